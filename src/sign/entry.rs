//! One line of an `allowed_signers` file: who, for what, from when to when, and the key or the authority.
//!
//! What OpenSSH would refuse is an error here; what it takes and bgctl cannot check is said by name. Whether a line is
//! wise is for [`super::lint`].

use std::ops::Range;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::pattern::listed;
use super::public::PublicKey;
use super::sshsig::SigError;

/// A line that could be read.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub principals: Vec<String>,
    pub namespaces: Option<Vec<String>>,
    pub after: Option<Timestamp>,
    pub before: Option<Timestamp>,
    /// The key signs certificates, and these sign.
    pub authority: bool,
    pub key: PublicKey,
    pub spans: Spans,
}

/// Where its parts stand, in bytes of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Spans {
    pub principals: Range<usize>,
    pub options: Option<Range<usize>>,
    pub key: Range<usize>,
    /// Times without a `Z`, which every machine reads in its own time zone.
    pub local: bool,
}

/// What a line turned out to be.
pub(super) enum Parsed {
    Entry(Box<Entry>),
    /// OpenSSH could use it, bgctl cannot.
    Unsupported(String),
}

impl Entry {
    pub fn is_for(&self, principal: &str) -> bool {
        listed(&self.principals, principal)
    }

    pub fn permits(&self, namespace: &str) -> bool {
        self.namespaces.as_ref().is_none_or(|patterns| listed(patterns, namespace))
    }

    /// Why a time lies outside this line's validity.
    pub fn outside(&self, time: Timestamp) -> Option<String> {
        if let Some(after) = self.after.filter(|after| time < *after) {
            return Some(format!("valid from {after} on, used at {time}"));
        }
        self.before.filter(|before| time >= *before).map(|before| format!("valid before {before}, used at {time}"))
    }

    /// Reads a line, of which `start` is the first byte in its file.
    pub fn parse(text: &str, start: usize) -> Result<Parsed, String> {
        let mut words = Words { text, at: 0 };
        let (names, span) = words.next()?.ok_or("the key is missing")?;
        let within = |span: Range<usize>| start + span.start..start + span.end;
        let mut spans = Spans { principals: within(span), ..Spans::default() };
        let principals: Vec<String> = names.replace(INNER_COMMA, ",").split(',').map(String::from).collect();
        if principals.iter().any(String::is_empty) {
            return Err("an empty name among the principals".into());
        }
        let (mut word, mut span) = words.next()?.ok_or("the key is missing")?;
        let (mut namespaces, mut after, mut before) = (None, None, None);
        let is_key = |w: &str| w.starts_with("ssh-") || w.starts_with("sk-") || w.starts_with("ecdsa-");
        let mut authority = false;
        if !is_key(&word) {
            for option in options(&word) {
                let (name, value) = match option.split_once('=') {
                    Some((name, value)) if !name.eq_ignore_ascii_case("cert-authority") => (name, value),
                    None if option.eq_ignore_ascii_case("cert-authority") => (option.as_str(), ""),
                    _ => return Err(format!("`{option}` is not an option of an allowed-signers line")),
                };
                let twice = match name.to_ascii_lowercase().as_str() {
                    "namespaces" => {
                        namespaces.replace(value.split(',').map(String::from).collect::<Vec<_>>()).is_some()
                    }
                    "valid-after" => {
                        spans.local |= !value.ends_with(['Z', 'z']);
                        after.replace(time(value)?).is_some()
                    }
                    "valid-before" => {
                        spans.local |= !value.ends_with(['Z', 'z']);
                        before.replace(time(value)?).is_some()
                    }
                    "cert-authority" => std::mem::replace(&mut authority, true),
                    other => return Err(format!("`{other}` is not an option of an allowed-signers line")),
                };
                if twice {
                    return Err(format!("`{name}` is given twice"));
                }
            }
            if let (Some(after), Some(before)) = (after, before)
                && after >= before
            {
                return Err("it is never valid: `valid-before` is not behind `valid-after`".into());
            }
            spans.options = Some(within(span));
            (word, span) = words.next()?.ok_or("the key is missing")?;
        }
        let (blob, last) = words.next()?.ok_or("the key's text is missing")?;
        spans.key = within(span.start..last.end);
        match PublicKey::from_line(&format!("{word} {blob}")) {
            Ok(key) if key.certificate().is_some() => {
                Err("a certificate stands where a key belongs; its authority is what is listed".into())
            }
            Ok(key) => {
                Ok(Parsed::Entry(Box::new(Entry { principals, namespaces, after, before, authority, key, spans })))
            }
            Err(SigError::Unsupported(why)) => Ok(Parsed::Unsupported(why)),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Splits at blanks outside of double quotes, one word at a time: a comment behind the key may hold any character.
struct Words<'t> {
    text: &'t str,
    at: usize,
}

impl Words<'_> {
    fn next(&mut self) -> Result<Option<(String, Range<usize>)>, String> {
        let rest = &self.text[self.at..];
        let start = self.at + (rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_whitespace()).len());
        let (mut word, mut quoted, mut end) = (String::new(), false, self.text.len());
        for (n, c) in self.text[start..].char_indices() {
            match c {
                '"' => quoted = !quoted,
                c if c.is_ascii_whitespace() && !quoted => {
                    end = start + n;
                    break;
                }
                // Commas inside quotes must not split options later on.
                ',' if quoted => word.push(INNER_COMMA),
                c => word.push(c),
            }
        }
        if quoted {
            return Err("a quote is not closed".into());
        }
        self.at = end;
        Ok((start < end).then_some((word, start..end)))
    }
}

/// Stands for a comma inside quotes between the two splits; a private-use character no name contains.
const INNER_COMMA: char = '\u{e000}';

fn options(word: &str) -> Vec<String> {
    word.split(',').map(|option| option.replace(INNER_COMMA, ",")).collect()
}

/// `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS`, in UTC with a `Z`, else in the local time zone as OpenSSH has it.
fn time(text: &str) -> Result<Timestamp, String> {
    let bad = || format!("`{text}` is not a time like 20261120, 202611201530 or 20261120153000Z");
    let (digits, zone) = match text.strip_suffix(['Z', 'z']) {
        Some(digits) => (digits, TimeZone::UTC),
        None => (text, TimeZone::system()),
    };
    let full = match digits.len() {
        8 => format!("{digits}000000"),
        12 => format!("{digits}00"),
        14 => digits.to_string(),
        _ => return Err(bad()),
    };
    if !full.bytes().all(|b| b.is_ascii_digit()) || &full[12..] > "59" || full.starts_with("0000") {
        return Err(bad());
    }
    let time = DateTime::strptime("%Y%m%d%H%M%S", &full).map_err(|_| bad())?;
    // The last days of the last year are how people write "for ever", and are beyond what a time here holds.
    zone.to_timestamp(time).or_else(|_| if time.year() == 9999 { Ok(Timestamp::MAX) } else { Err(bad()) })
}
