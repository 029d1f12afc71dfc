//! `bgctl audit show`: a log as a timeline.

use serde_json::json;

use super::super::{Context, Exit};
use super::{locate, unreadable};
use crate::diag::{Kind, Refusal};
use crate::journal::{self, Entry, SealState};
use crate::report::{Mark, words};
use crate::secret::visible;

/// What happened, by whom and when.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A run, the end of its name, or a log file.
    run: Option<String>,
    /// Every detail.
    #[arg(long)]
    all: bool,
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let log = locate(cx, args.run.as_deref())?;
    let bytes = std::fs::read(&log).map_err(|error| unreadable(&log, &error))?;
    let sound = journal::read(&bytes).map_err(|fault| {
        Refusal::new(Kind::Audit, "BG0603", visible(&fault.to_string()))
            .place(log.display().to_string())
            .next("bgctl audit verify    what is wrong, and what is still intact")
    })?;
    if cx.machine() {
        sound.entries.iter().for_each(|entry| cx.raw_out(&json!(entry).to_string()));
        return Ok(Exit::Success);
    }
    let ink = cx.style.out;
    cx.out(&format!("{} · {} · {}", sound.run, sound.service, sound.environment));
    for entry in &sound.entries {
        let (mark, subject, text, detail) = match words::sentence(entry) {
            Some(said) => (said.mark, said.subject, said.text, said.detail),
            None => match beginning(entry) {
                Some((subject, text)) => (Mark::Plain, subject, text, false),
                None => continue,
            },
        };
        if args.all || !detail {
            let time = words::time_of_day(&entry.ts);
            let text = ink.text(&visible(&text));
            cx.raw_out(&format!("  {time}  {} {:<14} {text}", ink.mark(mark), visible(&subject)));
        }
    }
    let end = match sound.state {
        SealState::Open => "not closed",
        SealState::Closed => "closed by its owner",
        SealState::Aborted => "given up by its owner",
        SealState::Handover => "at rest, to be resumed",
        SealState::Ended => "ended, not signed by its owner",
    };
    cx.out(&format!("{end}; every line above is under a seal. Who signed: bgctl audit verify {}", sound.run));
    Ok(Exit::Success)
}

/// The records that only the journal itself writes.
fn beginning(entry: &Entry) -> Option<(String, String)> {
    let statement = || {
        let said: serde_json::Value = serde_json::from_str(entry.data["statement"].as_str()?).ok()?;
        let (owner, assurance) = (said["owner"].as_str()?.to_string(), said["assurance"].as_str()?.to_string());
        Some((owner, assurance))
    };
    match entry.kind.as_str() {
        "run.opened" => statement().map(|(who, how)| ("open".into(), format!("opened by {who} ({how})"))),
        "run.resumed" => statement().map(|(who, how)| ("open".into(), format!("taken up by {who} ({how})"))),
        "recovered" => {
            let text =
                format!("{} unsealed bytes of a crash are kept in {}", entry.data["bytes"], entry.data["kept_as"]);
            Some(("open".into(), text))
        }
        _ => None,
    }
}
