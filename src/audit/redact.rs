//! A copy of a log with something withheld, and the owner's statement that makes it worth anything.
//!
//! A hash chain has no eraser: a log that holds what nobody may read can only be published as another file. In the copy the
//! records withheld keep everything but their data; the statement names each with the hash and length of its original line, so
//! the chain can be followed through it. What the chain cannot show rests on the owner's word, and the verdict says so. What
//! may be withheld is decided by whoever calls; what never can be is decided here.

use std::collections::BTreeMap;
use std::io::{BufRead, Seek, SeekFrom};

use base16ct::lower::encode_string as hex;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::verify;
use super::verify::{Owner, Report, Verdict};
use crate::journal::line::{Raw, instant, is_digest};
use crate::journal::scan::Scan;
use crate::journal::{Fault, What};

use crate::journal::{Entry, Seals, encode, json as strict};
use crate::journal::{Withheld, Withholding, can_be_withheld};
use crate::sign::Trust;
use crate::sign::{AllowedSigners, Signed, namespace, sshsig};

/// What a statement is called.
const TYPE: &str = "bgctl/redaction/v1";
/// Beside the copy, with this behind its name.
pub const BESIDE: &str = "redaction";

/// A copy, and what its owner has to sign.
pub struct Copy {
    pub bytes: Vec<u8>,
    pub withheld: BTreeMap<u64, Withheld>,
    original: Vec<u8>,
}

/// Copies the sealed part of a log. `data` gives the data that stand in the copy where a record is withheld.
///
/// # Errors
///
/// The log does not hold together, or a record was to be withheld that cannot be.
pub fn copy(log: &[u8], mut data: impl FnMut(&Entry) -> Option<Value>) -> Result<Copy, CopyError> {
    let mut scan = Scan::new(Seals::All, None);
    let (mut bytes, mut withheld) = (Vec::with_capacity(log.len()), BTreeMap::new());
    let (mut sealed, mut kept) = (0, 0);
    let mut lines = log.split_inclusive(|b| *b == b'\n').peekable();
    while let Some(line) = lines.next() {
        let Ok(read) = scan.take(line, lines.peek().copied()) else { break };
        let (seq, kind) = (read.seq, read.kind);
        let entry = Entry { seq, ts: read.ts.into(), kind: kind.into(), data: read.data() };
        match data(&entry) {
            None => bytes.extend_from_slice(line),
            Some(_) if !can_be_withheld(kind) => return Err(CopyError::Signed { record: seq, kind: kind.into() }),
            Some(data) => {
                let sha256 = hex(&Sha256::digest(line));
                withheld.insert(seq, Withheld { kind: kind.into(), sha256, bytes: line.len() as u64 });
                bytes.extend_from_slice(without(&read, &data).as_bytes());
            }
        }
        if kind == "seal" {
            (sealed, kept) = (bytes.len(), usize::try_from(scan.sealed.bytes).unwrap_or(log.len()));
        }
    }
    if kept == 0 {
        return Err(CopyError::Broken(scan.fault(What::Empty)));
    }
    bytes.truncate(sealed);
    withheld.retain(|record, _| *record < scan.sealed.lines);
    Ok(Copy { bytes, withheld, original: log[..kept].to_vec() })
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("{0}")]
    Broken(Fault),
    #[error("record {record} is a `{kind}`: it carries signed text, and the log holds nothing without it")]
    Signed { record: u64, kind: String },
}

/// The same line with other data.
fn without(line: &Raw<'_>, data: &Value) -> String {
    let mut out = format!("{{\"v\":1,\"seq\":{},\"run\":", line.seq);
    encode::put_text(&mut out, &line.run);
    out.push_str(&format!(",\"ts\":\"{}\",\"mono\":{},\"type\":\"{}\"", line.ts, line.mono, line.kind));
    out.push_str(&format!(",\"prev\":\"{}\",\"data\":", line.prev));
    encode::put(&mut out, data);
    out.push_str("}\n");
    out
}

/// Who publishes a copy, when and why.
pub struct Publishing<'a> {
    pub run: &'a str,
    pub owner: &'a str,
    pub owner_key: String,
    /// RFC 3339, UTC, microseconds.
    pub time: String,
    pub reason: &'a str,
}

impl Copy {
    /// The text the owner signs.
    pub fn statement(&self, by: &Publishing<'_>) -> String {
        let entry = |(record, of): (&u64, &Withheld)| json!({ "record": record, "type": of.kind, "sha256": of.sha256, "bytes": of.bytes });
        let lines = self.original.iter().filter(|b| **b == b'\n').count();
        let said = json!({
            "_type": TYPE, "run": by.run, "owner": by.owner, "owner_key": by.owner_key, "time": by.time, "reason": by.reason,
            "original": { "sha256": hex(&Sha256::digest(&self.original)), "bytes": self.original.len(), "lines": lines },
            "copy": { "sha256": hex(&Sha256::digest(&self.bytes)), "bytes": self.bytes.len() },
            "withheld": self.withheld.iter().map(entry).collect::<Vec<_>>(),
            "bgctl": env!("CARGO_PKG_VERSION"),
        });
        let mut text = String::new();
        encode::put(&mut text, &said);
        text
    }

    /// The file beside the copy.
    pub fn beside(statement: &str, signature: &str) -> String {
        let whole = json!({ "statement": statement, "ns": namespace::REDACT, "sig": signature });
        let mut text = String::new();
        encode::put(&mut text, &whole);
        text + "\n"
    }
}

/// The owner's statement about a copy, read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redaction {
    pub run: String,
    pub owner: String,
    pub time: String,
    pub reason: String,
    /// What the owner says that the original was.
    pub original_sha256: String,
    pub original_bytes: u64,
    pub original_lines: u64,
    pub copy_sha256: String,
    pub withheld: BTreeMap<u64, Withheld>,
    statement: String,
    signature: String,
}

impl Redaction {
    /// Reads the file beside a copy. Whether to believe it is asked of [`Redaction::signed`].
    pub fn parse(text: &str) -> Result<Self, String> {
        let Ok(Value::Object(file)) = strict::parse(text.trim_end_matches('\n')) else {
            return Err("it is not an object of this format".into());
        };
        let (statement, signature) = (word(&file, "statement")?, word(&file, "sig")?);
        if word(&file, "ns")? != namespace::REDACT {
            return Err(format!("it is not for `{}`", namespace::REDACT));
        }
        let Ok(Value::Object(said)) = strict::parse(&statement) else {
            return Err("its statement is no object".into());
        };
        if word(&said, "_type")? != TYPE {
            return Err(format!("it is no `{TYPE}`"));
        }
        let part = |name: &str| match said.get(name) {
            Some(Value::Object(part)) => Ok(part),
            _ => Err(format!("`{name}` is missing")),
        };
        let (original, copy) = (part("original")?, part("copy")?);
        let mut withheld = BTreeMap::new();
        for entry in said.get("withheld").and_then(Value::as_array).ok_or("`withheld` is missing")? {
            let Value::Object(entry) = entry else { return Err("an entry of `withheld` is no object".into()) };
            let of = Withheld {
                kind: word(entry, "type")?,
                sha256: digest(entry, "sha256")?,
                bytes: number(entry, "bytes")?,
            };
            if !can_be_withheld(&of.kind) {
                return Err(format!("a `{}` cannot be withheld", of.kind));
            }
            if withheld.insert(number(entry, "record")?, of).is_some() {
                return Err("a record is withheld twice".into());
            }
        }
        Ok(Redaction {
            run: word(&said, "run")?,
            owner: word(&said, "owner")?,
            time: word(&said, "time")?,
            reason: word(&said, "reason")?,
            original_sha256: digest(original, "sha256")?,
            original_bytes: number(original, "bytes")?,
            original_lines: number(original, "lines")?,
            copy_sha256: digest(copy, "sha256")?,
            withheld,
            statement,
            signature,
        })
    }

    /// Run, lines and bytes of the original, as the owner says.
    pub fn original(&self) -> (&str, u64, u64) {
        (&self.run, self.original_lines, self.original_bytes)
    }

    /// Who signed it, if that counts here.
    pub fn signed(&self, trust: &AllowedSigners) -> Result<Signed, String> {
        let time = instant(&self.time).ok_or("its `time` is no UTC time with six decimals")?;
        let message = self.statement.as_bytes();
        if !sshsig::is_canonical(&self.signature) {
            return Err("its signature is not in the usual form".into());
        }
        trust.check(Some(&self.owner), namespace::REDACT, message, &self.signature, time).map_err(|e| e.to_string())
    }
}

/// Reads a copy in which records are withheld: everything a log is held to, as far as the bytes are there, and beyond that the
/// owner's statement, which has to hold for exactly this copy.
pub fn verify_copy<I: BufRead + Seek>(
    input: &mut I,
    trust: &Trust,
    seals: Seals,
    redaction: &Redaction,
) -> std::io::Result<Report> {
    let start = input.stream_position()?;
    let mut hash = Sha256::new();
    std::io::copy(input, &mut HashWriter(&mut hash))?;
    input.seek(SeekFrom::Start(start))?;
    let mut report = verify::read(input, trust, seals, Some(&redaction.withheld))?;
    let held = redaction.signed(&trust.signers).and_then(|by| {
        let owner = |owner: &Owner| owner.signed.principal == by.principal;
        let trusted = !matches!(report.verdict, Verdict::Untrusted(_) | Verdict::Broken(_));
        if hex(&hash.finalize()) != redaction.copy_sha256 {
            return Err("it was made for another copy".into());
        }
        if trusted && !report.owners.iter().any(owner) {
            return Err(format!("`{}` signed it and is no owner of this run", by.principal));
        }
        if trusted && (report.run.as_str(), report.lines, report.bytes) != redaction.original() {
            return Err("it speaks of another log".into());
        }
        Ok(by)
    });
    match held {
        Ok(by) => {
            let records = redaction.withheld.keys().copied().collect();
            let (reason, time) = (redaction.reason.clone(), redaction.time.clone());
            let original_sha256 = redaction.original_sha256.clone();
            report.withheld = Some(Withholding { records, reason, time, by, original_sha256 });
        }
        // A fault of the bytes is said first: it says where.
        Err(why) if !matches!(report.verdict, Verdict::Broken(_)) => {
            let record = redaction.withheld.keys().next().copied().unwrap_or(0);
            report.verdict = Verdict::Broken(Fault { record, offset: 0, what: What::Redaction(why) });
        }
        Err(_) => {}
    }
    Ok(report)
}

struct HashWriter<'h>(&'h mut Sha256);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn word(map: &Map<String, Value>, name: &str) -> Result<String, String> {
    strict::word(map, name).map(String::from)
}

fn number(map: &Map<String, Value>, name: &str) -> Result<u64, String> {
    map.get(name).and_then(Value::as_u64).ok_or_else(|| format!("`{name}` is missing or no number"))
}

fn digest(map: &Map<String, Value>, name: &str) -> Result<String, String> {
    word(map, name).and_then(|text| if is_digest(&text) { Ok(text) } else { Err(format!("`{name}` is no digest")) })
}
