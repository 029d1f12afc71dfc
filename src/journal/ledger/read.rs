//! Reading the ledger and believing nothing: grammar, chain, session keys and the owners behind them. What the logs say to
//! it is for [`super::check`].

use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::{Map, Value};

use super::super::json::{self, word};
use super::super::line::{LONGEST, instant};
use super::super::scan::by;
use super::{Entry, NOTHING, Tip, What, digest};
use crate::file;
use crate::sign::Trust;
use crate::sign::sshsig::Signature;
use crate::sign::{PublicKey, Signer, namespace};

/// The members a line may have: signed by a session, or by the owner themself; by a key, or with a shared one.
const MEMBERS: [&[&str]; 4] = [
    &["v", "statement", "statement_sig", "note", "sig"],
    &["v", "statement", "statement_mac", "note", "sig"],
    &["v", "owner", "owner_key", "note", "sig"],
    &["v", "owner", "owner_key", "note", "mac"],
];

/// A line that holds.
#[derive(Clone, Debug)]
pub struct Line {
    pub entry: Entry,
    /// Who answers for it, and with which key.
    pub owner: String,
    pub key: String,
    /// The last line of the ledger when the owner opened the run, as they signed it.
    pub bound: Option<String>,
    /// What the line itself is known by.
    pub sha256: String,
}

impl Line {
    /// The run it is about.
    pub fn run(&self) -> &str {
        self.entry.head.origin.rsplit('/').next().unwrap_or_default()
    }
}

/// What was read of a ledger.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    pub lines: Vec<Line>,
    /// The first line that does not hold, from 0, where it begins, and why. What follows was not judged.
    pub fault: Option<(u64, u64, String)>,
    /// Owners whose signature holds, and whom nobody here believes: each line, and why.
    pub untrusted: Vec<(u64, String)>,
    /// What could not be checked.
    pub unchecked: Vec<String>,
}

impl Reading {
    pub fn tip(&self) -> Tip {
        match self.lines.last() {
            None => Tip::nothing(),
            Some(last) => Tip { lines: self.lines.len() as u64, sha256: last.sha256.clone() },
        }
    }
}

/// The runs a ledger names, in the order they were opened here. Nothing is checked: what it says is believed by nobody, and
/// only stands runs in a row.
pub fn order(path: &Path) -> Vec<String> {
    let Ok(file) = file::open(path) else { return Vec::new() };
    let mut runs: Vec<String> = Vec::new();
    for line in BufReader::new(file).split(b'\n').map_while(Result::ok) {
        let said: Value = serde_json::from_slice(&line).unwrap_or_default();
        let entry = said["note"].as_str().and_then(Entry::parse);
        if let Some(Entry { what: What::Opened, head, .. }) = entry
            && let Some(run) = head.origin.rsplit('/').next()
        {
            runs.push(run.to_string());
        }
    }
    runs
}

/// Reads a ledger to its end or to its first fault.
pub fn read(bytes: &[u8], trust: &Trust) -> Reading {
    let mut reading = Reading::default();
    let (mut offset, mut prev) = (0, NOTHING.to_string());
    for (n, bytes) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
        let n = n as u64;
        match line(bytes, n, &prev, trust, &mut reading) {
            Ok(line) => {
                prev.clone_from(&line.sha256);
                reading.lines.push(line);
            }
            Err(why) => {
                reading.fault = Some((n, offset, why));
                break;
            }
        }
        offset += bytes.len() as u64;
    }
    reading
}

fn line(bytes: &[u8], n: u64, prev: &str, trust: &Trust, reading: &mut Reading) -> Result<Line, String> {
    let body = bytes.strip_suffix(b"\n").ok_or("it has no line end: a crash, or a cut, left a part of a line")?;
    if bytes.len() > LONGEST {
        return Err(format!("it has {} bytes; {LONGEST} are allowed", bytes.len()));
    }
    let text = std::str::from_utf8(body).map_err(|e| format!("byte {} of it is not UTF-8", e.valid_up_to()))?;
    let Value::Object(members) = json::parse(text).map_err(|e| format!("{}, at byte {} of it", e.why, e.at))? else {
        return Err("it is not an object".into());
    };
    if !MEMBERS.iter().any(|names| members.keys().map(String::as_str).eq(names.iter().copied())) {
        return Err(format!("its members are not {}", MEMBERS[0].join(" ")));
    }
    if members["v"] != 1 {
        return Err(format!("version {} is not known", members["v"]));
    }
    let note = word(&members, "note")?;
    let entry = Entry::parse(note).ok_or("its note is not of the known form")?;
    if entry.line != n {
        return Err(format!("it says that it is line {}, and stands at {n}", entry.line));
    }
    if entry.prev != prev {
        return Err("it follows another line than the one before it: that one was changed, or lines are gone".into());
    }
    let (owner, key, bound) = match members.contains_key("statement") {
        true => by_session(&members, note, &entry, trust, reading)?,
        false => by_owner(&members, note, &entry, trust, reading)?,
    };
    Ok(Line { entry, owner, key, bound, sha256: digest(bytes) })
}

type Answers = (String, String, Option<String>);

fn by_session(
    members: &Map<String, Value>,
    note: &str,
    entry: &Entry,
    trust: &Trust,
    reading: &mut Reading,
) -> Result<Answers, String> {
    let text = word(members, "statement")?;
    let Ok(Value::Object(said)) = json::parse(text) else {
        return Err("its statement is not an object of this format".into());
    };
    let wanted =
        if entry.what == What::Opened { &["bgctl/opening/v1"][..] } else { &["bgctl/opening/v1", "bgctl/resuming/v1"] };
    if !wanted.contains(&word(&said, "_type")?) || matches!(entry.what, What::Signed | What::Adopted) {
        return Err(format!("its statement is none for `{}`", entry.what.name()));
    }
    let origin = super::super::note::origin(word(&said, "service")?, word(&said, "run")?);
    if origin != entry.head.origin {
        return Err(format!("its statement is for `{origin}`, its note for `{}`", entry.head.origin));
    }
    let moment = |name: &str| instant(word(&said, name)?).ok_or_else(|| format!("`{name}` is not a time"));
    let (from, to) = (moment("not_before")?, moment("not_after")?);
    let at = instant(&entry.time).ok_or("its time is not a time")?;
    if at < from || at > to {
        return Err(format!("its session ran from {from} to {to}"));
    }
    let session = PublicKey::from_line(word(&said, "session_key")?).map_err(|e| e.to_string())?;
    by(&session, namespace::LEDGER, note, word(members, "sig")?)?;
    let (owner, key) = (word(&said, "owner")?, word(&said, "owner_key")?);
    let signed = Signed { owner, key, space: namespace::OPEN, text };
    let (sig, mac) = (members.get("statement_sig"), members.get("statement_mac"));
    let key = signed.check(sig, mac, entry, trust, reading)?;
    let bound = said.get("ledger_sha256").and_then(Value::as_str).map(String::from);
    Ok((owner.into(), key, bound))
}

fn by_owner(
    members: &Map<String, Value>,
    note: &str,
    entry: &Entry,
    trust: &Trust,
    reading: &mut Reading,
) -> Result<Answers, String> {
    if !matches!(entry.what, What::Signed | What::Adopted) {
        return Err(format!("`{}` is signed by a session, not by an owner", entry.what.name()));
    }
    let (owner, key) = (word(members, "owner")?, word(members, "owner_key")?);
    let signed = Signed { owner, key, space: namespace::LEDGER, text: note };
    let key = signed.check(members.get("sig"), members.get("mac"), entry, trust, reading)?;
    Ok((owner.into(), key, None))
}

/// A text an owner put their name to.
struct Signed<'a> {
    owner: &'a str,
    key: &'a str,
    space: &'static str,
    text: &'a str,
}

impl Signed<'_> {
    /// The fingerprint of the key, if the signature holds and the key is the owner's.
    fn check(
        &self,
        sig: Option<&Value>,
        mac: Option<&Value>,
        entry: &Entry,
        trust: &Trust,
        reading: &mut Reading,
    ) -> Result<String, String> {
        let at = instant(&entry.time).ok_or("its time is not a time")?;
        if let Some(id) = self.key.strip_prefix("hmac-sha256 ") {
            let mac = mac.and_then(Value::as_str).ok_or("its signature is of another kind than its key")?;
            match trust.shared.as_ref().filter(|shared| shared.fingerprint() == id) {
                Some(shared) => shared.check(self.space, self.text.as_bytes(), mac).map_err(|e| e.to_string())?,
                None => reading.unchecked.push(format!("line {}: the shared key {id} is not here", entry.line)),
            }
            return Ok(id.into());
        }
        let key = PublicKey::from_line(self.key).map_err(|e| e.to_string())?;
        let sig = sig.and_then(Value::as_str).ok_or("its signature is of another kind than its key")?;
        let touch = by(&key, self.space, self.text, sig)?;
        // Whom to believe changes with time, the bytes do not: the reading goes on.
        let (fingerprint, made) = (key.fingerprint(), Signature { key, touch });
        if let Err(error) = trust.signers.check_signature(Some(self.owner), self.space, &made, at) {
            reading.untrusted.push((entry.line, error.to_string()));
        }
        Ok(fingerprint)
    }
}
