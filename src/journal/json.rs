//! The strict reader of the journal's JSON: one text for one value, and nothing else.
//!
//! A usual JSON reader takes blanks, several spellings of a character, repeated members and rounded numbers. Each of them
//! would be a way to change a byte of a log without being noticed, so they are errors here. The verifier reads with this;
//! the writer's encoder is other code on purpose, so that an error in one is not hidden by the same error in the other.
//!
//! Checking and building are apart: most lines of a log are only checked, without making a value of them, and that is what
//! lets a verifier keep up with a disk.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::plain::plain;

/// How deep values may be nested.
const DEPTH: usize = 64;
/// Integers that every JSON reader keeps exactly.
pub const MOST: i64 = (1 << 53) - 1;
/// Members up to which a repeated name is looked for one by one; more are sorted, so that a wide object is not slow.
const FEW: usize = 16;

/// A text that is not the one spelling of a value: what is wrong, and at which byte of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misspelled {
    pub at: usize,
    pub why: &'static str,
}

/// Reads a whole text.
pub fn parse(text: &str) -> Result<Value, Misspelled> {
    check(text)?;
    // What passed is plain JSON with more rules, so the usual reader can only agree; it is asked, not believed.
    serde_json::from_str(text).map_err(|_| Misspelled { at: 0, why: "not JSON" })
}

/// Whether a whole text is the one spelling of a value.
pub fn check(text: &str) -> Result<(), Misspelled> {
    let mut reader = Reader::new(text);
    reader.value(0)?;
    if reader.is_done() { Ok(()) } else { reader.fail("something follows the value") }
}

/// The text inside a checked value, if it is one: without its quotes and escapes.
pub fn text(raw: &str) -> Option<Cow<'_, str>> {
    leading(raw).filter(|(_, behind)| behind.is_empty()).map(|(text, _)| text)
}

/// The text that something checked begins with, as [`text`] has it, and what stands behind it.
pub fn leading(checked: &str) -> Option<(Cow<'_, str>, &str)> {
    let (inside, behind) = spelled(checked)?;
    unescaped(inside).map(|text| (text, behind))
}

/// The same as it is spelled: nothing is made of it yet.
pub fn spelled(checked: &str) -> Option<(&str, &str)> {
    let inside = checked.strip_prefix('"')?;
    let mut at = 0;
    loop {
        at += plain(inside.as_bytes().get(at..)?);
        match inside.as_bytes().get(at)? {
            b'"' => return Some((&inside[..at], &inside[at + 1..])),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// What stands between the quotes of a checked text, without its escapes.
pub fn unescaped(inside: &str) -> Option<Cow<'_, str>> {
    let Some((mut own, mut rest)) = inside.split_once('\\') else { return Some(Cow::Borrowed(inside)) };
    let mut text = String::with_capacity(inside.len());
    loop {
        text.push_str(own);
        let (c, behind) = escaped(rest)?;
        text.push(c);
        match behind.split_once('\\') {
            Some(next) => (own, rest) = next,
            None => {
                text.push_str(behind);
                return Some(Cow::Owned(text));
            }
        }
    }
}

/// The character that a checked escape stands for, of what stands behind its backslash, and the rest.
fn escaped(escape: &str) -> Option<(char, &str)> {
    let mut rest = escape.chars();
    let c = match rest.next()? {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'u' => {
            let (code, rest) = rest.as_str().split_at_checked(4)?;
            return Some((char::from_u32(u32::from_str_radix(code, 16).ok()?)?, rest));
        }
        own => own,
    };
    Some((c, rest.as_str()))
}

/// The number in a checked value, if it is one from 0 up.
pub fn number(raw: &str) -> Option<u64> {
    raw.bytes().all(|b| b.is_ascii_digit()).then(|| raw.parse().ok()).flatten()
}

/// The text that an object has under a name; if it has none, why.
pub fn word<'v>(map: &'v Map<String, Value>, name: &str) -> Result<&'v str, String> {
    map.get(name).and_then(Value::as_str).ok_or_else(|| format!("`{name}` is missing or no text"))
}

/// Characters that must be escaped, because a terminal or a reader would not show them, or would show something else.
pub fn hidden(c: char) -> bool {
    matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// Walks over a text and checks it; values are given as the part of the text they are.
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Names of the members of every object that is open, one object behind the other.
    names: Vec<&'a str>,
}

impl<'a> Reader<'a> {
    pub fn new(text: &'a str) -> Self {
        Reader::behind(text, 0)
    }

    /// Goes on with a text of which this much was read elsewhere.
    pub fn behind(text: &'a str, at: usize) -> Self {
        Reader { text, at, names: Vec::with_capacity(FEW) }
    }

    pub fn is_done(&self) -> bool {
        self.at == self.text.len()
    }

    /// Goes over exactly this text, if it stands here.
    #[inline]
    pub fn exactly(&mut self, wanted: &str) -> bool {
        let hit = self.text.as_bytes()[self.at..].starts_with(wanted.as_bytes());
        self.at += if hit { wanted.len() } else { 0 };
        hit
    }

    /// Goes over the next value, which is nested that deep already.
    pub fn value(&mut self, depth: usize) -> Result<&'a str, Misspelled> {
        let start = self.at;
        self.names.clear();
        self.any(depth)?;
        Ok(&self.text[start..self.at])
    }

    fn fail<T>(&self, why: &'static str) -> Result<T, Misspelled> {
        Err(Misspelled { at: self.at, why })
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let hit = self.peek() == Some(byte);
        self.at += usize::from(hit);
        hit
    }

    fn word(&mut self, word: &str) -> Result<(), Misspelled> {
        if self.exactly(word) { Ok(()) } else { self.fail("not a value") }
    }

    fn any(&mut self, depth: usize) -> Result<(), Misspelled> {
        if depth > DEPTH {
            return self.fail("nested too deep");
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(|_| ()),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            Some(b'-' | b'0'..=b'9') => self.integer(),
            Some(b' ' | b'\t' | b'\r' | b'\n') => self.fail("a blank between the parts"),
            Some(_) => self.fail("not a value"),
            None => self.fail("it ends too early"),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), Misspelled> {
        let first = self.names.len();
        self.at += 1;
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return self.fail("a member's name is missing");
            }
            // One spelling for a text makes two names the same exactly where their bytes are.
            let name = self.string()?;
            // Most differ in their first byte, and nothing else is looked at then.
            let same = |other: &&str| other.as_bytes().first() == name.as_bytes().first() && *other == name;
            if self.names.len() - first < FEW && self.names[first..].iter().any(same) {
                return self.fail("a member stands there twice");
            }
            self.names.push(name);
            if !self.eat(b':') {
                return self.fail("a colon is missing");
            }
            self.any(depth + 1)?;
            if self.eat(b'}') {
                break;
            }
            if !self.eat(b',') {
                return self.fail("a comma or the closing brace is missing");
            }
        }
        if self.names.len() - first > FEW {
            self.names[first..].sort_unstable();
            if self.names[first..].windows(2).any(|pair| pair[0] == pair[1]) {
                return self.fail("a member stands there twice");
            }
        }
        self.names.truncate(first);
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), Misspelled> {
        self.at += 1;
        if self.eat(b']') {
            return Ok(());
        }
        loop {
            self.any(depth + 1)?;
            if self.eat(b']') {
                return Ok(());
            }
            if !self.eat(b',') {
                return self.fail("a comma or the closing bracket is missing");
            }
        }
    }

    fn integer(&mut self) -> Result<(), Misspelled> {
        let start = self.at;
        let negative = self.eat(b'-');
        let digits = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        let text = &self.text[digits..self.at];
        if text.is_empty() || (text.len() > 1 && text.starts_with('0')) || (negative && text == "0") {
            return self.fail("not the usual spelling of a whole number");
        }
        if matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            return self.fail("a number that is not whole");
        }
        match self.text[start..self.at].parse::<i64>() {
            // The lowest number has no opposite: its `abs()` is itself, or a panic.
            Ok(number) if number.unsigned_abs() <= MOST.unsigned_abs() => Ok(()),
            _ => self.fail("a number beyond 2^53-1"),
        }
    }

    /// Gives what stands between the quotes, as it is spelled.
    fn string(&mut self) -> Result<&'a str, Misspelled> {
        self.at += 1;
        let start = self.at;
        loop {
            self.at += plain(&self.text.as_bytes()[self.at..]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(&self.text[start..self.at - 1]);
                }
                Some(b'\\') => self.escape()?,
                Some(0x80..) => match self.text[self.at..].chars().next() {
                    Some(c) if !hidden(c) => self.at += c.len_utf8(),
                    _ => return self.fail("a character that must be escaped"),
                },
                Some(_) => return self.fail("a character that must be escaped"),
                None => return self.fail("it ends inside a text"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Misspelled> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'n' | b'r' | b't' | b'b' | b'f') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => self.code(),
            _ => self.fail("an escape that is not used here"),
        }
    }

    fn code(&mut self) -> Result<(), Misspelled> {
        let digits = self.text.as_bytes().get(self.at + 1..self.at + 5);
        let lower = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b);
        let code = digits.filter(|d| d.iter().all(lower)).and_then(|d| std::str::from_utf8(d).ok());
        let c = code.and_then(|d| u32::from_str_radix(d, 16).ok()).and_then(char::from_u32);
        match c {
            Some('\n' | '\r' | '\t' | '\u{8}' | '\u{c}') | None => self.fail("not the usual spelling of a character"),
            Some(c) if !hidden(c) => self.fail("not the usual spelling of a character"),
            Some(_) => {
                self.at += 5;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_only() {
        for good in [r#"{"a":[1,-2,true,null,"\n\u001b\u202eä\"\\"]}"#, "9007199254740991", "0", "[]", "{}"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        let short = [
            "", " 1", "1 ", "[1,]", "01", "-0", "+1", "1.0", "1e3", r#""\/""#, "\"", r#""\"#, "tru", "nul", "{", "[",
            r#"{"a"}"#, "\"\0\"",
        ];
        let long = [
            r#"{"a": 1}"#,
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,}"#,
            "9007199254740992",
            "-9007199254740992",
            "-9223372036854775808",
            "99999999999999999999",
            r#""\u000a""#,
            r#""\u0041""#,
            r#""\u001B""#,
            r#""\ud800""#,
            r#""\ud83d\ude00""#,
            "\"\u{1b}\"",
            "\"\u{202e}\"",
            "\"\u{7f}\"",
            "\u{feff}1",
        ];
        for bad in short.iter().chain(&long) {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_text_is_read_as_the_usual_reader_reads_it() {
        for raw in [r#""""#, r#""ä b""#, r#""\n""#, r#""a\n\r\t\b\f\"\\b\u001b\u202eä""#, r#""\\n\\""#] {
            assert_eq!(check(raw), Ok(()), "{raw}");
            assert_eq!(text(raw).as_deref(), serde_json::from_str::<String>(raw).ok().as_deref(), "{raw}");
            assert_eq!((text(&format!("{raw},")), text("1")), (None, None), "{raw}");
        }
    }

    #[test]
    fn a_name_is_found_twice_in_narrow_and_in_wide_objects() {
        for members in [2, FEW, FEW + 1, FEW + 2, 5_000] {
            let name = |n: usize| format!("\"{n}\":{{\"0\":1}}");
            let all: Vec<String> = (0..members).map(name).collect();
            assert_eq!(check(&format!("{{{}}}", all.join(","))), Ok(()), "{members}");
            let twice = format!("{{{},{}}}", all.join(","), name(members / 2));
            assert_eq!(check(&twice).unwrap_err().why, "a member stands there twice", "{members}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        assert!(parse(&("[".repeat(64) + &"]".repeat(64))).is_ok());
        assert_eq!(parse(&"[".repeat(100_000)).unwrap_err().why, "nested too deep");
    }
}
