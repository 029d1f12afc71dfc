//! What a copy of a log withholds, as every verb of `bgctl audit` finds it and says it.

use crate::audit;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::unreadable;
use crate::audit::{Redaction, Report};
use crate::diag::{Code, Kind, Refusal};
use crate::file;
use crate::report::Mark;
use crate::secret::visible;

/// Records that are named one by one.
const FEW: usize = 12;

/// The owner's statement beside a copy: its name, with `.redaction` behind it.
pub fn place(copy: &Path) -> PathBuf {
    let mut name = copy.as_os_str().to_owned();
    name.push(".");
    name.push(audit::BESIDE);
    name.into()
}

/// The statement beside a log, where it is a copy.
pub fn beside(log: &Path) -> Result<Option<Redaction>, Refusal> {
    let path = place(log);
    let read = match file::text(&path, file::LOG) {
        Ok(text) => Redaction::parse(&text),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(error.to_string()),
        Err(error) => return Err(unreadable(&path, &error)),
    };
    read.map(Some).map_err(|why| {
        Refusal::new(Kind::Audit, Code::Withheld, "the owner's statement on what this copy withholds cannot be read")
            .place(path.display().to_string())
            .cause(why)
            .next("ask the owner of the run for both files again")
    })
}

/// `1 record withheld`, `3 records withheld`.
pub fn counted(report: &Report) -> String {
    match report.withheld.as_ref().map_or(0, |withheld| withheld.records.len()) {
        1 => "1 record withheld".into(),
        n => format!("{n} records withheld"),
    }
}

/// What a reader has to know: what is gone, what the copy proves all the same, and what rests on the owner's word.
pub fn lines(report: &Report) -> Vec<(Mark, &'static str, String)> {
    let Some(withheld) = &report.withheld else { return Vec::new() };
    let mut list = withheld.records.iter().take(FEW).map(u64::to_string).collect::<Vec<_>>().join(", ");
    if withheld.records.len() > FEW {
        list.push_str(", …");
    }
    let day = withheld.time.get(..10).unwrap_or(&withheld.time);
    let (by, reason, from) = (&withheld.by, visible(&withheld.reason), report.recomputed);
    let proven = match from {
        0 => "nothing by the seals of the run".into(),
        n => format!("records 0 to {}: the seals over them were computed anew, as in the original", n - 1),
    };
    vec![
        (Mark::Warning, "withheld", format!("{list}   by {by} on {day}: {reason}")),
        (Mark::Plain, "proven", proven),
        (
            Mark::Plain,
            "on word",
            format!(
                "from record {from} on the chain uses the hashes that the owner names; only the owner's signature \
                    says that nothing else was changed, \
                    since a seal cannot be computed without what is withheld"
            ),
        ),
        (
            Mark::Plain,
            "original",
            format!("sha256 {}: compare it with an anchor, or with the original", withheld.original_sha256),
        ),
    ]
}

/// The same for machines.
pub fn json(report: &Report) -> Value {
    report.withheld.as_ref().map_or(Value::Null, |withheld| {
        json!({
            "records": withheld.records, "by": withheld.by.principal, "key": withheld.by.fingerprint,
            "time": withheld.time, "reason": withheld.reason, "proven_records": report.recomputed,
            "original_sha256": withheld.original_sha256,
        })
    })
}
