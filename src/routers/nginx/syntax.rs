//! The grammar of nginx's configuration: directives, each with its words and its block, and where in the text it stands.

use std::ops::Range;

/// One directive: `listen 80;` or `server { … }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    pub name: String,
    /// Its words behind the name, without quotes.
    pub words: Vec<String>,
    pub block: Option<Vec<Directive>>,
    /// Its bytes in the text, up to its `;` or `}`.
    pub span: Range<usize>,
}

impl Directive {
    /// The directives of its block.
    pub fn inside(&self) -> &[Directive] {
        self.block.as_deref().unwrap_or_default()
    }

    pub fn word(&self, n: usize) -> &str {
        self.words.get(n).map_or("", String::as_str)
    }
}

/// How deep blocks may lie in each other; nginx itself knows fewer.
const DEEP: usize = 64;

/// Reads a whole text, or says on which line it is none.
pub fn parse(text: &str) -> Result<Vec<Directive>, String> {
    let mut reader = Reader { text, at: 0 };
    let found = reader.block(0)?;
    if reader.at < text.len() {
        return Err(reader.wrong("a `}` that closes nothing"));
    }
    Ok(found)
}

enum Token {
    Word(String),
    End,
    Open,
    Close,
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    /// Directives up to the `}` of this block, which is left, or the end of the text.
    fn block(&mut self, depth: usize) -> Result<Vec<Directive>, String> {
        if depth > DEEP {
            return Err(self.wrong("blocks that lie too deep"));
        }
        let mut found = Vec::new();
        loop {
            self.skip();
            let (start, mut words) = (self.at, Vec::new());
            let block = loop {
                let before = self.at;
                match self.token()? {
                    Some(Token::Word(word)) => words.push(word),
                    Some(Token::End) => break None,
                    Some(Token::Open) if words.first().is_some_and(|name| name.ends_with("_by_lua_block")) => {
                        self.foreign()?;
                        break Some(Vec::new());
                    }
                    Some(Token::Open) => {
                        let inside = self.block(depth + 1)?;
                        if !matches!(self.token()?, Some(Token::Close)) {
                            return Err(self.wrong("a block that does not end"));
                        }
                        break Some(inside);
                    }
                    Some(Token::Close) | None if words.is_empty() => {
                        self.at = before;
                        return Ok(found);
                    }
                    Some(Token::Close) | None => return Err(self.wrong("a directive without `;`")),
                }
            };
            let mut words = words.into_iter();
            let Some(name) = words.next() else { return Err(self.wrong("a directive without a name")) };
            found.push(Directive { name, words: words.collect(), block, span: start..self.at });
        }
    }

    /// Leaves a block of another language by its braces.
    fn foreign(&mut self) -> Result<(), String> {
        let mut open = 1;
        for (n, byte) in self.text.as_bytes()[self.at..].iter().enumerate() {
            open += i32::from(*byte == b'{') - i32::from(*byte == b'}');
            if open == 0 {
                self.at += n + 1;
                return Ok(());
            }
        }
        Err(self.wrong("a block that does not end"))
    }

    /// Leaves blanks and comments.
    fn skip(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            let blanks = rest.len() - rest.trim_start().len();
            self.at += blanks;
            if !self.text[self.at..].starts_with('#') {
                return;
            }
            self.at += self.text[self.at..].find('\n').unwrap_or(self.text.len() - self.at);
        }
    }

    fn token(&mut self) -> Result<Option<Token>, String> {
        self.skip();
        let Some(first) = self.text[self.at..].chars().next() else { return Ok(None) };
        let mark = match first {
            ';' => Some(Token::End),
            '{' => Some(Token::Open),
            '}' => Some(Token::Close),
            _ => None,
        };
        if mark.is_some() {
            self.at += 1;
            return Ok(mark);
        }
        let quote = Some(first).filter(|c| matches!(c, '"' | '\''));
        let (mut word, mut before) = (String::new(), ' ');
        let mut letters = self.text[self.at..].char_indices().skip(usize::from(quote.is_some()));
        while let Some((n, letter)) = letters.next() {
            match (letter, quote) {
                ('\\', _) => {
                    // Only a quote and a backslash lose their own backslash; those of patterns stay.
                    let Some((_, next)) = letters.next() else { break };
                    if !matches!(next, '"' | '\'' | '\\') {
                        word.push('\\');
                    }
                    word.push(next);
                    before = next;
                    continue;
                }
                (letter, Some(quote)) if letter == quote => {
                    self.at += n + 1;
                    return Ok(Some(Token::Word(word)));
                }
                // The brace of `${name}` belongs to the word.
                ('{', None) if before == '$' => {}
                (letter, None) if letter.is_whitespace() || matches!(letter, ';' | '{') => {
                    self.at += n;
                    return Ok(Some(Token::Word(word)));
                }
                _ => {}
            }
            word.push(letter);
            before = letter;
        }
        Err(self.wrong("a word that does not end"))
    }

    fn wrong(&self, what: &str) -> String {
        let line = self.text[..self.at.min(self.text.len())].matches('\n').count() + 1;
        format!("line {line} has {what}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(directives: &[Directive]) -> String {
        let one = |directive: &Directive| {
            let words: Vec<&str> =
                std::iter::once(directive.name.as_str()).chain(directive.words.iter().map(String::as_str)).collect();
            let block = directive.block.as_ref().map(|inside| format!(" {{{}}}", shown(inside))).unwrap_or_default();
            format!("{}{block}", words.join("|"))
        };
        directives.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn words_blocks_quotes_and_comments() {
        let table = [
            ("listen 80;", "listen|80"),
            ("# a { comment\nlisten   80 # more ;\n default;", "listen|80|default"),
            (
                "server { listen 80; location / { return 200 \"a; } b\"; } }",
                "server {listen|80 location|/ {return|200|a; } b}}",
            ),
            (
                "map \"${a}_$b\" $c { default 'x'; \"~^y\\.z$\" \"q\\\"r\"; }",
                "map|${a}_$b|$c {default|x ~^y\\.z$|q\"r}",
            ),
            ("set $a ${b}c;", "set|$a|${b}c"),
            ("access_by_lua_block { if x { y } } listen 1;", "access_by_lua_block {} listen|1"),
            ("", ""),
        ];
        for (text, wanted) in table {
            assert_eq!(shown(&parse(text).unwrap_or_else(|why| panic!("{text}: {why}"))), wanted);
        }
    }

    #[test]
    fn a_directive_knows_where_it_stands() {
        let text = "# before\nmap a $b { default c; } # behind\nlisten 1;";
        let found = parse(text).unwrap();
        assert_eq!(&text[found[0].span.clone()], "map a $b { default c; }");
        assert_eq!(&text[found[1].span.clone()], "listen 1;");
    }

    #[test]
    fn what_is_no_configuration_is_named_by_its_line() {
        let table = [
            ("listen 80", "line 1 has a word that does not end"),
            ("\nlisten 80 }", "line 2 has a directive without `;`"),
            ("a;\n}", "line 2 has a `}` that closes nothing"),
            ("server {\n", "line 2 has a block that does not end"),
            ("a { b }\n", "line 1 has a directive without `;`"),
            ("; ", "line 1 has a directive without a name"),
            ("a \"b", "line 1 has a word that does not end"),
        ];
        for (text, wanted) in table {
            assert_eq!(parse(text).unwrap_err(), wanted, "{text}");
        }
        assert!(parse(&"a {".repeat(100)).unwrap_err().contains("too deep"));
    }
}
