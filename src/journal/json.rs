//! The strict reader of the journal's JSON: one text for one value, and nothing else.
//!
//! A usual JSON reader takes blanks, several spellings of a character, repeated members and rounded numbers. Each of them
//! would be a way to change a byte of a log without being noticed, so they are errors here. The verifier reads with this;
//! the writer's encoder is other code on purpose, so that an error in one is not hidden by the same error in the other.

use serde_json::{Map, Value};

/// How deep values may be nested.
const DEPTH: usize = 64;
/// Integers that every JSON reader keeps exactly.
pub const MOST: i64 = (1 << 53) - 1;

/// A text that is not the one spelling of a value: what is wrong, and at which byte of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misspelled {
    pub at: usize,
    pub why: &'static str,
}

/// Reads a whole text.
pub fn parse(text: &str) -> Result<Value, Misspelled> {
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    if reader.at == text.len() { Ok(value) } else { reader.fail("something follows the value") }
}

/// Characters that must be escaped, because a terminal or a reader would not show them, or would show something else.
pub fn hidden(c: char) -> bool {
    matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
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

    fn word(&mut self, word: &str, value: Value) -> Result<Value, Misspelled> {
        if !self.text[self.at..].starts_with(word) {
            return self.fail("not a value");
        }
        self.at += word.len();
        Ok(value)
    }

    fn value(&mut self, depth: usize) -> Result<Value, Misspelled> {
        if depth > DEPTH {
            return self.fail("nested too deep");
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Value::String(self.string()?)),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(b'-' | b'0'..=b'9') => self.integer(),
            Some(b' ' | b'\t' | b'\r' | b'\n') => self.fail("a blank between the parts"),
            Some(_) => self.fail("not a value"),
            None => self.fail("it ends too early"),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, Misspelled> {
        let mut map = Map::new();
        self.at += 1;
        if self.eat(b'}') {
            return Ok(Value::Object(map));
        }
        loop {
            if self.peek() != Some(b'"') {
                return self.fail("a member's name is missing");
            }
            let name = self.string()?;
            if !self.eat(b':') {
                return self.fail("a colon is missing");
            }
            let value = self.value(depth + 1)?;
            if map.insert(name, value).is_some() {
                return self.fail("a member stands there twice");
            }
            if self.eat(b'}') {
                return Ok(Value::Object(map));
            }
            if !self.eat(b',') {
                return self.fail("a comma or the closing brace is missing");
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, Misspelled> {
        let mut items = Vec::new();
        self.at += 1;
        if self.eat(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.eat(b']') {
                return Ok(Value::Array(items));
            }
            if !self.eat(b',') {
                return self.fail("a comma or the closing bracket is missing");
            }
        }
    }

    fn integer(&mut self) -> Result<Value, Misspelled> {
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
            Ok(number) if number.abs() <= MOST => Ok(Value::from(number)),
            _ => self.fail("a number beyond 2^53-1"),
        }
    }

    fn string(&mut self) -> Result<String, Misspelled> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest
                .char_indices()
                .find(|(_, c)| *c == '"' || *c == '\\' || (!matches!(c, ' '..='~') && hidden(*c)))
                .map_or(rest.len(), |(at, _)| at);
            out.push_str(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                Some(_) => return self.fail("a character that must be escaped"),
                None => return self.fail("it ends inside a text"),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Misspelled> {
        self.at += 1;
        let short = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'u') => return self.code(),
            _ => return self.fail("an escape that is not used here"),
        };
        self.at += 1;
        Ok(short)
    }

    fn code(&mut self) -> Result<char, Misspelled> {
        let digits = self.text.as_bytes().get(self.at + 1..self.at + 5);
        let lower = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b);
        let code = digits.filter(|d| d.iter().all(lower)).and_then(|d| std::str::from_utf8(d).ok());
        let c = code.and_then(|d| u32::from_str_radix(d, 16).ok()).and_then(char::from_u32);
        match c {
            Some('\n' | '\r' | '\t' | '\u{8}' | '\u{c}') | None => self.fail("not the usual spelling of a character"),
            Some(c) if !hidden(c) => self.fail("not the usual spelling of a character"),
            Some(c) => {
                self.at += 5;
                Ok(c)
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
        for bad in [
            "",
            " 1",
            "1 ",
            r#"{"a": 1}"#,
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,}"#,
            "[1,]",
            "01",
            "-0",
            "+1",
            "1.0",
            "1e3",
            "9007199254740992",
            "-9007199254740992",
            "99999999999999999999",
            r#""\u000a""#,
            r#""\u0041""#,
            r#""\u001B""#,
            r#""\/""#,
            r#""\ud800""#,
            r#""\ud83d\ude00""#,
            "\"\u{1b}\"",
            "\"\u{202e}\"",
            "\"\u{7f}\"",
            "\"",
            r#""\"#,
            "tru",
            "nul",
            "{",
            "[",
            r#"{"a"}"#,
            "\u{feff}1",
            "\"\0\"",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        assert!(parse(&("[".repeat(64) + &"]".repeat(64))).is_ok());
        assert_eq!(parse(&"[".repeat(100_000)).unwrap_err().why, "nested too deep");
    }
}
