//! `bgctl audit ledger`: is every run still here that was opened here, and is its log the one that was written?

use std::path::Path;

use serde_json::json;

use super::against::{Against, AnchorArgs, asked};
use crate::audit::anchors::Memory;
use crate::diag::{Code, Kind, Refusal};
use crate::file;
use crate::journal::Archive;
use crate::journal::ledger::{self, Findings, Ledger, Line, Reading, Standing, Tip, What};
use crate::report::{Mark, words};
use crate::secret::visible;
use crate::session::trust::{Believed, BelievedArgs};
use crate::session::{places, ran};
use crate::shell::{Context, Exit};
use crate::sign::{PublicKey, namespace};

/// Is every run still here, and unchanged? Compares each log with the ledger of runs.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The ledger of rehearsals.
    #[arg(long)]
    lab: bool,
    #[command(flatten)]
    believed: BelievedArgs,
    #[command(flatten)]
    anchor: AnchorArgs,
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let archive = if args.lab { places::rehearsals(cx)? } else { places::real(cx)? };
    let ledger = Ledger::in_folder(archive.root());
    let place = ledger.path().display().to_string();
    let bytes = match file::read(ledger.path(), file::LOG) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            return Err(Refusal::new(Kind::Usage, Code::Ledger, "the ledger of runs cannot be read")
                .place(place)
                .cause(error.to_string()));
        }
    };
    let believed = Believed::among(cx, &args.believed, &archive)?;
    let mut reading = ledger::read(&bytes, &believed.trust(cx)?);
    if args.believed.allowed_signers.is_empty() {
        own(&mut reading, &archive, &believed);
    }
    let mut against = Against::default();
    let seen = seen(cx, args, archive.root(), &place, &mut against)?;
    let mut found = ledger::check(&reading, &archive, &seen);
    found.unchecked.extend(against.said.iter().map(|said| format!("{} {}", said.place, said.text)));
    let worst = found.all.iter().map(|finding| finding.standing).max();
    match cx.machine() {
        true => machine(cx, &place, &reading, &found, worst),
        false => show(cx, &place, &reading, &found, worst),
    }
    if worst.is_none()
        && let Err(error) = Memory::read(archive.root()).and_then(|mut m| m.remember_ledger(&place, &reading.tip()))
    {
        cx.err(&format!("! this verifier's own memory cannot be kept: {error}"));
    }
    match against.missed().filter(|_| worst.is_none()) {
        Some(refusal) => Err(refusal),
        None => Ok(exit(worst)),
    }
}

/// A line by a key that no list names stands, where this machine says that the key ran that run here.
fn own(reading: &mut Reading, archive: &Archive, believed: &Believed) {
    let Reading { lines, untrusted, .. } = reading;
    untrusted.retain(|(n, _)| {
        let Some(line) = usize::try_from(*n).ok().and_then(|n| lines.get(n)) else { return true };
        let Ok(at) = line.entry.time.parse() else { return true };
        let ran = believed.signers().join(ran::of(archive, line.run()));
        let space = match line.entry.what {
            What::Signed | What::Adopted => namespace::LEDGER,
            _ => namespace::OPEN,
        };
        let counts = |key: &&PublicKey| {
            key.fingerprint() == line.key && ran.check_key(Some(&line.owner), space, key, at).is_ok()
        };
        !ran.keys(&line.owner).iter().any(counts)
    });
}

/// Where others saw the ledger end: anchors, and this verifier's own memory.
fn seen(
    cx: &Context,
    args: &Args,
    state: &Path,
    place: &str,
    against: &mut Against,
) -> Result<Vec<(String, Tip)>, Refusal> {
    let mut tips = Vec::new();
    let asked = asked(cx, &args.anchor, "bgctl/log/", None, args.lab, against)?;
    for (who, heads) in asked {
        tips.extend(heads.into_iter().filter_map(|head| Some((who.clone(), head.ledger?))));
    }
    match Memory::read(state) {
        Ok(memory) => tips.extend(memory.ledger(place).map(|tip| ("this verifier".to_string(), tip))),
        Err(error) => cx.err(&format!("! this verifier's own memory cannot be read: {error}")),
    }
    Ok(tips)
}

fn exit(worst: Option<Standing>) -> Exit {
    match worst {
        None => Exit::Success,
        Some(Standing::Broken) => Exit::AuditBroken,
        Some(Standing::Truncated | Standing::Forked) => Exit::AuditTruncated,
    }
}

fn word(worst: Option<Standing>) -> &'static str {
    match worst {
        None => "COMPLETE",
        Some(Standing::Broken) => "BROKEN",
        Some(Standing::Truncated) => "TRUNCATED",
        Some(Standing::Forked) => "FORKED",
    }
}

/// The last line of each run, in the order in which they were opened.
fn runs(reading: &Reading) -> Vec<&Line> {
    let mut last: Vec<&Line> = Vec::new();
    for line in &reading.lines {
        match last.iter_mut().find(|known| known.run() == line.run()) {
            Some(known) => *known = line,
            None => last.push(line),
        }
    }
    last
}

fn show(cx: &Context, place: &str, reading: &Reading, found: &Findings, worst: Option<Standing>) {
    let ink = cx.style.out;
    let say = |mark: Mark, name: &str, text: &str| {
        cx.raw_out(&format!("  {} {name:<11} {}", ink.mark(mark), ink.text(&visible(text))));
    };
    let runs = runs(reading);
    let counted = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    cx.out(&format!("{place} · {} · {}", counted(reading.lines.len(), "line"), counted(runs.len(), "run")));
    cx.raw_out("");
    for line in &runs {
        let (head, bad) = (&line.entry.head, found.all.iter().any(|f| f.what.contains(&format!("run {}", line.run()))));
        let (mark, state) = match head.state {
            _ if bad => (Mark::Failed, head.state.name()),
            crate::journal::SealState::Open => (Mark::Warning, "open, never closed"),
            state => (Mark::Done, state.name()),
        };
        let time = words::time_of_day(&line.entry.time);
        say(mark, line.run(), &format!("{state}, {} records, {time} UTC, {} {}", head.lines, line.owner, line.key));
    }
    for finding in &found.all {
        say(Mark::Failed, word(Some(finding.standing)), &finding.what);
    }
    for unchecked in &found.unchecked {
        say(Mark::Plain, "unchecked", unchecked);
    }
    let sentence = match worst {
        None if reading.lines.is_empty() => "No run was opened here since the ledger began.",
        None => "Every run in the ledger is still here, and its log is unchanged.",
        Some(Standing::Broken) => "A line of the ledger does not hold, or no key trusted here signed it.",
        Some(Standing::Truncated) => "Something that was written here is gone.",
        Some(Standing::Forked) => "A log or a line of the ledger was replaced.",
    };
    cx.raw_out("");
    cx.raw_out(&format!("{}. {}", ink.bold(word(worst)), ink.text(sentence)));
    if worst.is_none() && !reading.lines.is_empty() {
        let end = "if lines are cut off its end and those runs are deleted, only an anchor shows it";
        cx.raw_out(&ink.text(&format!("The ledger cannot prove its own end: {end}.")));
    }
}

fn machine(cx: &Context, place: &str, reading: &Reading, found: &Findings, worst: Option<Standing>) {
    let line = |line: &&Line| {
        let head = &line.entry.head;
        json!({
            "run": line.run(), "event": line.entry.what.name(), "at": line.entry.time, "state": head.state.name(),
            "records": head.lines, "bytes": head.bytes, "sha256": head.sha256, "owner": line.owner, "key": line.key,
        })
    };
    let finding = |finding: &ledger::Finding| json!({ "verdict": word(Some(finding.standing)), "line": finding.line, "what": finding.what });
    let tip = reading.tip();
    cx.json(&json!({
        "verdict": word(worst), "exit": exit(worst).code(), "ledger": place, "lines": tip.lines, "sha256": tip.sha256,
        "runs": runs(reading).iter().map(line).collect::<Vec<_>>(),
        "findings": found.all.iter().map(finding).collect::<Vec<_>>(), "unchecked": found.unchecked,
    }));
}
