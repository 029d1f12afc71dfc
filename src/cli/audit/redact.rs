//! `bgctl audit redact`: a copy of a log without what nobody may read, signed by the owner of the run.

use crate::audit;
use std::cell::RefCell;
use std::io::{Cursor, IsTerminal, Read};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{locate, unreadable, verify, withheld, write_new};
use crate::audit::{CopyError, Publishing, Redaction, Verdict};
use crate::diag::{Code, Kind, Refusal};
use crate::journal::{COMPARED, EVIDENCE, Entry, Seals};
use crate::secret::{LEAST, Secret, Secrets};
use crate::session::trust::{self, Believed, BelievedArgs};
use crate::shell::{Context, Exit};
use crate::sign::namespace;

/// What stands in a copy where something is withheld.
const WITHHELD: &str = "[withheld]";

/// Publish a copy of a log with records or a text withheld. The original is not touched.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A run, the end of its name, or a log file.
    run: Option<String>,
    /// Withhold what this record says, by its number (`audit show --all`); may be given more than once.
    #[arg(long = "record", value_name = "N", required_unless_present = "text_from_stdin")]
    records: Vec<u64>,
    /// Withhold the text given on standard input wherever it stands, in every usual form.
    #[arg(long)]
    text_from_stdin: bool,
    /// Why; it is signed with the copy. Do not write the text itself here.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The copy; `RUN.withheld.jsonl` in the current folder otherwise. The owner's statement stands beside it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The owner's key: a key file, or `agent:SHA256:…`.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let log = locate(cx, args.run.as_deref())?;
    if withheld::beside(&log)?.is_some() {
        return Err(refuse("this is a copy with something withheld already").next("redact the original once more"));
    }
    let bytes = std::fs::read(&log).map_err(|error| unreadable(&log, &error))?;
    let trust = Believed::of_log(cx, &BelievedArgs::default(), &log)?.trust(cx)?;
    let report = audit::verify(&mut Cursor::new(&bytes[..]), &trust, Seals::All).map_err(|e| unreadable(&log, &e))?;
    if let Verdict::Broken(_) | Verdict::Untrusted(_) = report.verdict {
        return Err(refuse("an owner cannot vouch for a log that does not hold").next("bgctl audit verify"));
    }
    let text = if args.text_from_stdin { Some(text(cx, &args.reason)?) } else { None };
    let found = RefCell::new(Vec::new());
    let copy = audit::copy(&bytes, |entry| {
        let data = data(entry, args, text.as_ref());
        found.borrow_mut().extend(data.is_some().then_some(entry.seq));
        data
    });
    let copy = copy.map_err(|error| {
        let next = match &error {
            CopyError::Signed { .. } => "keep this log to yourself, and give an export instead: bgctl audit export",
            CopyError::Broken(_) => "bgctl audit verify",
        };
        refuse("this cannot be withheld").cause(error.to_string()).next(next)
    })?;
    if copy.withheld.is_empty() {
        return Err(refuse("there is nothing to withhold").cause("no sealed record is, or holds, what was named"));
    }
    let left = String::from_utf8_lossy(&copy.bytes);
    if text.as_ref().is_some_and(|secrets| secrets.mask_known(&left) != left) {
        return Err(refuse("the text would still stand in the copy").next("name the records too: --record N"));
    }
    let owner = report.owners.first().map(|owner| owner.signed.principal.clone());
    let signer = trust::signer(cx, args.key.as_deref(), owner.as_deref())?;
    let fingerprint = signer.fingerprint();
    let Some(owner) = report.owners.iter().find(|owner| owner.signed.fingerprint == fingerprint) else {
        return Err(Refusal::new(Kind::Denied, Code::NotThisKey, "this key did not sign the log")
            .cause(format!("{fingerprint} did not sign this log: only its owner can say what was withheld"))
            .next("the same command with --key and the key of the run's owner"));
    };
    let time = cx.clock.now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    let (name, owner_key) = (&owner.signed.principal, signer.public());
    let by = Publishing { run: &report.run, owner: name, owner_key, time, reason: &args.reason };
    let statement = copy.statement(&by);
    let signature = signer.sign(namespace::REDACT, statement.as_bytes()).map_err(|error| trust::refusal(&error))?;
    let beside = audit::Copy::beside(&statement, &signature);
    // What is handed out has to verify: a stranger meets the copy without us.
    let redaction = Redaction::parse(&beside).map_err(|why| refuse("the copy would not verify").cause(why))?;
    let judged = audit::verify_copy(&mut Cursor::new(&copy.bytes[..]), &trust, Seals::All, &redaction)
        .map_err(|e| unreadable(&log, &e))?;
    if judged.verdict != report.verdict {
        let words = [verify::word(&judged.verdict), verify::word(&report.verdict)];
        return Err(refuse("the copy would not verify").cause(format!("it is {}, the log is {}", words[0], words[1])));
    }
    let out = args.out.clone().unwrap_or_else(|| format!("{}.withheld.jsonl", report.run).into());
    let path = cx.cwd.join(&out);
    // The statement first: a copy without it would look like a forged log.
    write_new(&withheld::place(&path), beside.as_bytes())?;
    write_new(&path, &copy.bytes)?;
    let count = withheld::counted(&judged);
    if cx.machine() {
        let (copy, statement) = (path.display().to_string(), withheld::place(&path).display().to_string());
        cx.json(
            &json!({ "run": report.run, "copy": copy, "statement": statement, "withheld": withheld::json(&judged) }),
        );
        return Ok(Exit::Success);
    }
    cx.out(&format!("{}, {count}: {}", verify::word(&judged.verdict), out.display()));
    for (_, name, text) in withheld::lines(&judged) {
        cx.out(&format!("  {name:<11} {text}"));
    }
    cx.err(&format!("hand out both files: {} and {}", out.display(), withheld::place(&out).display()));
    cx.err("the chain holds the hash of each line: what is short or easily guessed can be found by trying, so replace a secret");
    cx.err(&format!("the original still holds it: {}", log.display()));
    Ok(Exit::Success)
}

fn refuse(headline: &str) -> Refusal {
    Refusal::new(Kind::Audit, Code::NotWithheld, headline)
}

/// The text that has to go. It comes on standard input, since a command line is seen by everybody on the machine.
fn text(cx: &Context, reason: &str) -> Result<Secrets, Refusal> {
    if std::io::stdin().is_terminal() && cx.style.interactive {
        cx.err("type the text and end with Ctrl-D; a line end at its end does not count");
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|error| {
        Refusal::new(Kind::Usage, Code::NotWithheld, "the text cannot be read").cause(error.to_string())
    })?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.len() < LEAST {
        return Err(Refusal::new(Kind::Usage, Code::NotWithheld, format!("the text is shorter than {LEAST} bytes"))
            .cause("so short a text also occurs in unrelated words")
            .next("--record N for each record that holds it"));
    }
    let secrets = Secrets::new([("the text".to_string(), Secret::new(text))].into());
    if secrets.mask_known(reason) != reason {
        return Err(Refusal::new(Kind::Usage, Code::NotWithheld, "the reason holds the text itself")
            .next("say it in other words"));
    }
    // From here on no message of ours shows it either.
    cx.known.add(&secrets);
    Ok(secrets)
}

/// The data of a record in the copy; `None` where it stays as it is.
fn data(entry: &Entry, args: &Args, text: Option<&Secrets>) -> Option<Value> {
    if args.records.contains(&entry.seq) {
        let mut data = entry.data.clone();
        if EVIDENCE.contains(&entry.kind.as_str()) {
            return Some(json!({ "line": WITHHELD }));
        }
        // What the run machine compares stays, or the run could not be followed any more.
        blot(&mut data, &|_| WITHHELD.to_string(), COMPARED);
        return Some(data);
    }
    let secrets = text?;
    let mut data = entry.data.clone();
    blot(&mut data, &|text| secrets.mask_known(text).replace("[secret]", WITHHELD), &[]);
    // A text that held the mask of something else already is no reason to withhold a record.
    let whole = entry.data.to_string();
    (secrets.mask_known(&whole) != whole).then_some(data)
}

fn blot(value: &mut Value, with: &dyn Fn(&str) -> String, except: &[&str]) {
    match value {
        Value::String(text) => *text = with(text),
        Value::Array(items) => items.iter_mut().for_each(|item| blot(item, with, except)),
        Value::Object(map) => {
            let kept = map.iter_mut().filter(|(name, value)| value.is_object() || !except.contains(&name.as_str()));
            kept.for_each(|(_, value)| blot(value, with, except));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
