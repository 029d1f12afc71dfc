//! Whom to believe: OpenSSH's `allowed_signers` file, so a team uses the same one as for signed commits.
//!
//! Standing in the file means that a key belongs to a person and may sign for a purpose; it gives nobody a role.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::public::PublicKey;
use super::sshsig::{self, SigError};

/// A parsed `allowed_signers` file.
#[derive(Clone, Debug, Default)]
pub struct AllowedSigners {
    lines: Vec<Line>,
    /// Lines bgctl understands but does not support, by number, with the reason.
    pub unsupported: Vec<(usize, String)>,
}

#[derive(Clone, Debug)]
struct Line {
    principals: Vec<String>,
    namespaces: Option<Vec<String>>,
    after: Option<Timestamp>,
    before: Option<Timestamp>,
    key: PublicKey,
}

/// A line that is no line of such a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct BadLine {
    pub line: usize,
    pub why: String,
}

/// A signature that holds: who made it, and with which key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    pub principal: String,
    /// `SHA256:…`
    pub fingerprint: String,
    /// `ed25519`, `ed25519-sk`, `ecdsa`
    pub kind: String,
}

/// Why a signature does not count. Each says something else about what happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    #[error(transparent)]
    Signature(#[from] SigError),
    #[error("the key {fingerprint} is in no allowed-signers file")]
    Unknown { fingerprint: String },
    #[error("the key {fingerprint} belongs to {found}, not to `{wanted}`")]
    WrongPerson { fingerprint: String, found: String, wanted: String },
    #[error("`{principal}` may not sign for `{namespace}` with {fingerprint}")]
    NotForThis { principal: String, namespace: String, fingerprint: String },
    #[error("the key {fingerprint} of `{principal}` was not valid then: {why}")]
    Expired { principal: String, fingerprint: String, why: String },
}

impl AllowedSigners {
    /// Reads a file. Empty lines and `#` lines are skipped; a line that cannot be read is an error, since a skipped one
    /// might be the one that takes a right away.
    pub fn parse(text: &str) -> Result<Self, BadLine> {
        let mut signers = AllowedSigners::default();
        for (n, line) in text.lines().enumerate() {
            let line_number = n + 1;
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match parse_line(line) {
                Ok(Parsed::Line(line)) => signers.lines.push(line),
                Ok(Parsed::Unsupported(why)) => signers.unsupported.push((line_number, why)),
                Err(why) => return Err(BadLine { line: line_number, why }),
            }
        }
        Ok(signers)
    }

    /// Everything of both.
    pub fn join(mut self, other: AllowedSigners) -> Self {
        self.lines.extend(other.lines);
        self.unsupported.extend(other.unsupported);
        self
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The principals a key stands under.
    pub fn principals(&self, key: &PublicKey) -> Vec<&str> {
        let mut found: Vec<&str> =
            self.lines.iter().filter(|l| l.key == *key).flat_map(|l| l.principals.iter().map(String::as_str)).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether the key with this fingerprint is in the file.
    pub fn knows(&self, fingerprint: &str) -> bool {
        self.lines.iter().any(|line| line.key.fingerprint() == fingerprint)
    }

    /// The keys that stand under a principal.
    pub fn keys(&self, principal: &str) -> Vec<&PublicKey> {
        self.lines.iter().filter(|l| l.is_for(principal)).map(|l| &l.key).collect()
    }

    /// Checks a signature in full: bytes, purpose, key, person, time. Without a principal, whoever the key belongs to is
    /// found in the file.
    pub fn check(
        &self,
        principal: Option<&str>,
        namespace: &str,
        message: &[u8],
        armor: &str,
        time: Timestamp,
    ) -> Result<Signed, TrustError> {
        let key = sshsig::verify(namespace, message, armor)?;
        self.check_key(principal, namespace, &key, time)
    }

    /// The part of [`AllowedSigners::check`] after the bytes: whether this key may sign for this purpose at this time.
    pub fn check_key(
        &self,
        principal: Option<&str>,
        namespace: &str,
        key: &PublicKey,
        time: Timestamp,
    ) -> Result<Signed, TrustError> {
        let fingerprint = key.fingerprint();
        let of_key: Vec<&Line> = self.lines.iter().filter(|l| l.key == *key).collect();
        if of_key.is_empty() {
            return Err(TrustError::Unknown { fingerprint });
        }
        let of_person: Vec<&Line> =
            of_key.iter().copied().filter(|l| principal.is_none_or(|wanted| l.is_for(wanted))).collect();
        let Some(first) = of_person.first() else {
            let found = self.principals(key).join(", ");
            return Err(TrustError::WrongPerson { fingerprint, found, wanted: principal.unwrap_or_default().into() });
        };
        let name = |line: &Line| principal.map_or_else(|| line.principals[0].clone(), String::from);
        let for_this: Vec<&Line> = of_person.iter().copied().filter(|l| l.permits(namespace)).collect();
        if for_this.is_empty() {
            return Err(TrustError::NotForThis { principal: name(first), namespace: namespace.into(), fingerprint });
        }
        match for_this.iter().find(|l| l.outside(time).is_none()) {
            Some(line) => Ok(Signed { principal: name(line), fingerprint, kind: key.short_kind().into() }),
            None => {
                let why = for_this[0].outside(time).unwrap_or_default();
                Err(TrustError::Expired { principal: name(for_this[0]), fingerprint, why })
            }
        }
    }
}

impl Line {
    fn is_for(&self, principal: &str) -> bool {
        listed(&self.principals, principal)
    }

    fn permits(&self, namespace: &str) -> bool {
        self.namespaces.as_ref().is_none_or(|patterns| listed(patterns, namespace))
    }

    /// Why a time lies outside this line's validity.
    fn outside(&self, time: Timestamp) -> Option<String> {
        if let Some(after) = self.after.filter(|after| time < *after) {
            return Some(format!("valid from {after} on, used at {time}"));
        }
        self.before.filter(|before| time >= *before).map(|before| format!("valid before {before}, used at {time}"))
    }
}

/// OpenSSH's pattern lists: `*`, `?`, and `!` in front, which wins.
fn listed(patterns: &[String], name: &str) -> bool {
    let hit = |pattern: &str| wild(pattern.as_bytes(), name.as_bytes());
    let refused = patterns.iter().filter_map(|p| p.strip_prefix('!')).any(hit);
    !refused && patterns.iter().filter(|p| !p.starts_with('!')).any(|p| hit(p))
}

/// Walks both at once and remembers the last star: no recursion, so no pattern can make it slow.
fn wild(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    p = at + 1;
                    n = from + 1;
                    star = Some((at, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

enum Parsed {
    Line(Line),
    Unsupported(String),
}

fn parse_line(text: &str) -> Result<Parsed, String> {
    let mut words = words(text)?.into_iter();
    let principals: Vec<String> = words.next().unwrap_or_default().split(',').map(String::from).collect();
    if principals.iter().any(|p| p.is_empty()) {
        return Err("an empty name among the principals".into());
    }
    let mut word = words.next().ok_or("the key is missing")?;
    let (mut namespaces, mut after, mut before) = (None, None, None);
    let is_key = |w: &str| w.starts_with("ssh-") || w.starts_with("sk-") || w.starts_with("ecdsa-");
    let mut authority = false;
    if !is_key(&word) {
        for option in options(&word) {
            let (name, value) = option.split_once('=').unwrap_or((option.as_str(), ""));
            match name.to_ascii_lowercase().as_str() {
                "namespaces" => namespaces = Some(value.split(',').map(String::from).collect()),
                "valid-after" => after = Some(time(value)?),
                "valid-before" => before = Some(time(value)?),
                "cert-authority" => authority = true,
                other => return Err(format!("`{other}` is not an option of an allowed-signers line")),
            }
        }
        word = words.next().ok_or("the key is missing")?;
    }
    let blob = words.next().ok_or("the key's text is missing")?;
    if authority {
        return Ok(Parsed::Unsupported("certificate authorities are not supported yet".into()));
    }
    match PublicKey::from_line(&format!("{word} {blob}")) {
        Ok(key) => Ok(Parsed::Line(Line { principals, namespaces, after, before, key })),
        Err(SigError::Unsupported(why)) => Ok(Parsed::Unsupported(why)),
        Err(error) => Err(error.to_string()),
    }
}

/// Splits at blanks outside of double quotes; the quotes go away, except that an option keeps its commas together.
fn words(text: &str) -> Result<Vec<String>, String> {
    let (mut out, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_ascii_whitespace() && !quoted => {
                if !word.is_empty() {
                    out.push(std::mem::take(&mut word));
                }
            }
            // Commas inside quotes must not split options later on.
            ',' if quoted && !out.is_empty() => word.push(INNER_COMMA),
            c => word.push(c),
        }
    }
    if quoted {
        return Err("a quote is not closed".into());
    }
    if !word.is_empty() {
        out.push(word);
    }
    Ok(out)
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
    let time = DateTime::strptime("%Y%m%d%H%M%S", &full).map_err(|_| bad())?;
    zone.to_timestamp(time).map_err(|_| bad())
}

/// A line for such a file that lets a key sign for bgctl and nothing else.
pub fn line(principal: &str, public: &str) -> String {
    format!("{principal} namespaces=\"bgctl-*\" {public}\n")
}

/// Adds a key to a file of this machine, once; says whether it was new.
///
/// # Errors
///
/// The file cannot be read or written, or a line of it cannot be read.
pub fn remember(path: &Path, principal: &str, key: &PublicKey) -> io::Result<bool> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let known = AllowedSigners::parse(&text).map_err(|bad| io::Error::new(io::ErrorKind::InvalidData, bad))?;
    if known.keys(principal).contains(&key) {
        return Ok(false);
    }
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let start = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    file.write_all(format!("{start}{}", line(principal, &key.line())).as_bytes())?;
    file.sync_all()?;
    Ok(true)
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}   {} {}", self.principal, self.kind, self.fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::session::SessionKey;
    use crate::sign::{Signer as _, namespace};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn every_refusal_has_its_own_words() {
        let (alice, bob) = (SessionKey::from_seed([1; 32]), SessionKey::from_seed([2; 32]));
        let file = format!(
            "# team\nalice@example.com,al namespaces=\"bgctl-approve-*,git\" {}\nbob@example.com valid-after=\"20260101Z\",valid-before=\"20261231Z\" {} bob's laptop\n",
            alice.public(),
            bob.public()
        );
        let signers = AllowedSigners::parse(&file).unwrap();
        let now = at("2026-11-21T00:00:00Z");
        let by_alice = alice.sign(namespace::APPROVE, b"request").unwrap();
        let ok = signers.check(None, namespace::APPROVE, b"request", &by_alice, now).unwrap();
        assert_eq!((ok.principal.as_str(), ok.kind.as_str()), ("alice@example.com", "ed25519"));
        assert_eq!(signers.check(Some("al"), namespace::APPROVE, b"request", &by_alice, now).unwrap().principal, "al");

        let check = |who, space, message: &[u8], armor: &str, time| signers.check(who, space, message, armor, time);
        assert!(matches!(
            check(None, namespace::APPROVE, b"requesT", &by_alice, now),
            Err(TrustError::Signature(SigError::Tampered))
        ));
        assert!(matches!(
            check(None, namespace::DENY, b"request", &by_alice, now),
            Err(TrustError::Signature(SigError::WrongNamespace { .. }))
        ));
        assert!(matches!(
            check(Some("bob@example.com"), namespace::APPROVE, b"request", &by_alice, now),
            Err(TrustError::WrongPerson { .. })
        ));
        let opens = alice.sign(namespace::OPEN, b"x").unwrap();
        assert!(matches!(check(None, namespace::OPEN, b"x", &opens, now), Err(TrustError::NotForThis { .. })));
        let by_bob = bob.sign(namespace::OPEN, b"x").unwrap();
        assert!(check(None, namespace::OPEN, b"x", &by_bob, now).is_ok());
        for late in ["2025-12-31T23:59:59Z", "2026-12-31T00:00:00Z"] {
            assert!(matches!(check(None, namespace::OPEN, b"x", &by_bob, at(late)), Err(TrustError::Expired { .. })));
        }
        let by_eve = SessionKey::from_seed([3; 32]).sign(namespace::OPEN, b"x").unwrap();
        assert!(matches!(check(None, namespace::OPEN, b"x", &by_eve, now), Err(TrustError::Unknown { .. })));
    }

    #[test]
    fn lines_that_cannot_be_kept_are_named() {
        let key = SessionKey::from_seed([1; 32]).public();
        assert_eq!(AllowedSigners::parse("\n\nalice").unwrap_err().line, 3);
        assert_eq!(
            AllowedSigners::parse("a namespaces=\"x ssh-ed25519 AAAA").unwrap_err().why,
            "a quote is not closed"
        );
        assert!(AllowedSigners::parse(&format!("a colour=blue {key}")).unwrap_err().why.contains("`colour`"));
        assert!(
            AllowedSigners::parse(&format!("a valid-after=yesterday {key}")).unwrap_err().why.contains("yesterday")
        );
        let signers =
            AllowedSigners::parse(&format!("*@ci cert-authority {key}\nb ssh-rsa AAAAB3NzaC1yc2EAAAABAw==\n"));
        let lines: Vec<usize> = signers.unwrap().unsupported.iter().map(|(n, _)| *n).collect();
        assert_eq!(lines, [1, 2]);
    }

    #[test]
    fn patterns_are_those_of_openssh() {
        let list = |text: &str| text.split(',').map(String::from).collect::<Vec<_>>();
        for (patterns, name, fits) in [
            ("*@example.com", "rm@example.com", true),
            ("*@example.com", "rm@example.org", false),
            ("!eve@example.com,*@example.com", "eve@example.com", false),
            ("bgctl-*", "bgctl-open-v1", true),
            ("bgctl-*", "git", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*c*", "xxaxxbxxcxx", true),
        ] {
            assert_eq!(listed(&list(patterns), name), fits, "{patterns} {name}");
        }
    }
}
