//! `bgctl audit verify`: the verdict, its reasons, and what could not be checked.

use crate::audit;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::against::{Against, AnchorArgs, Said, against};
use super::{locate, unreadable, withheld};
use crate::audit::{Report, Verdict};
use crate::diag::{Code, Kind, Refusal};
use crate::file;
use crate::journal::ledger::Standing;
use crate::journal::{Archive, Fault, Seals, What};
use crate::report::{Mark, words};
use crate::secret::visible;
use crate::session::ran;
use crate::session::run_record::EMPTY;
use crate::session::trust::{Believed, BelievedArgs, Place};
use crate::shell::{Context, Exit};

/// Bytes read at once: a usual log is one read, and a large one is not a hundred thousand.
const BUFFER: usize = 256 * 1024;

/// Is the log unchanged, complete, and its owner's? Without a name: the newest run here.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A run, the end of its name, or a log file.
    run: Option<String>,
    #[command(flatten)]
    believed: BelievedArgs,
    /// Compare the rules of the run with this policy too, and name each rule that is weaker.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Check the signature of every seal. Without it: of the last one of each session, which covers all before it.
    #[arg(long)]
    all_seals: bool,
    #[command(flatten)]
    anchor: AnchorArgs,
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let log = locate(cx, args.run.as_deref())?;
    let believed = Believed::of_log(cx, &args.believed, &log)?;
    let trust = believed.trust(cx)?;
    let seals = if args.all_seals { Seals::All } else { Seals::Last };
    let file = file::open(&log).map_err(|error| unreadable(&log, &error))?;
    let mut file = BufReader::with_capacity(BUFFER, file);
    let report = match withheld::beside(&log)? {
        None => audit::verify(&mut file, &trust, seals),
        Some(redaction) => audit::verify_copy(&mut file, &trust, seals, &redaction),
    };
    let mut report = report.map_err(|e| unreadable(&log, &e))?;
    if let Some(policy) = &args.policy {
        super::policy::judge(cx, &log, policy, &mut report)?;
    }
    let against = against(cx, &args.anchor, &log, &report)?;
    if cx.machine() {
        machine(cx, &log, &report, &believed, &against)
    } else {
        show_verdict(cx, &report, &believed, &against)
    }
    if let Some(refusal) = judgement(cx, &log, &report, &believed, &against).filter(|_| !cx.machine()) {
        cx.refuse(&refusal);
    }
    Ok(exit(&report.verdict, &against))
}

fn exit(verdict: &Verdict, against: &Against) -> Exit {
    match verdict {
        _ if against.worst().is_some() => Exit::AuditTruncated,
        Verdict::Complete => against.missed().map_or(Exit::Success, |refusal| Exit::from(refusal.kind)),
        Verdict::Interrupted | Verdict::Ended | Verdict::Handover => Exit::AuditInterrupted,
        Verdict::Broken(_) | Verdict::Untrusted(_) => Exit::AuditBroken,
        Verdict::Policy => Exit::AuditPolicy,
    }
}

/// The verdict as it is always called, with what anchors say.
fn called(verdict: &Verdict, against: &Against) -> &'static str {
    match against.worst() {
        Some(Standing::Truncated) => "TRUNCATED",
        Some(Standing::Forked) => "FORKED",
        _ => word(verdict),
    }
}

/// The verdict over the log alone.
pub(super) fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Complete => "COMPLETE",
        Verdict::Interrupted => "INTERRUPTED",
        Verdict::Ended => "ENDED",
        Verdict::Handover => "INTERRUPTED",
        Verdict::Broken(_) => "BROKEN",
        Verdict::Untrusted(_) => "BROKEN",
        Verdict::Policy => "POLICY",
    }
}

fn show_verdict(cx: &Context, report: &Report, believed: &Believed, against: &Against) {
    let ink = cx.style.out;
    let line = |mark: Mark, name: &str, text: &str| {
        cx.raw_out(&format!("  {} {name:<11} {}", ink.mark(mark), ink.text(text)));
    };
    if let (Some(first), Some(last)) = (&report.first, &report.last) {
        let (from, to) = (words::time_of_day(first), words::time_of_day(last));
        cx.out(&format!("{} · {} records · {from} – {to} UTC", report.run, report.lines));
        cx.raw_out("");
    }
    let broken = matches!(report.verdict, Verdict::Broken(_));
    if !broken {
        let n = report.lines;
        line(Mark::Done, "chain", &format!("{n} of {n} linked, none missing, none moved; {} seals hold", report.seals));
    }
    for (n, owner) in report.owners.iter().enumerate().filter(|_| !broken) {
        // A resumed run has several statements; the same owner twice is one line.
        if report.owners[..n].iter().any(|before| before.signed == owner.signed) {
            continue;
        }
        let place = believed.place(&owner.signed);
        let said = match place {
            Place::List(name) => format!("in {name}"),
            Place::Ran(_) => "by the key that ran it here".into(),
            Place::SharedKey => "the shared key given".into(),
        };
        line(Mark::Done, "written by", &format!("{}   {said}", owner.signed));
        if let Place::Ran(path) = place {
            let text = "this machine's own word, for this run alone; no list of signers names the key";
            line(Mark::Plain, "rests on", &format!("{text} ({})", path.display()));
        }
        match owner.assurance.as_str() {
            "shared-key" => line(Mark::Warning, "assurance", "anyone holding the shared key could have written this"),
            "lab" => {
                line(Mark::Warning, "assurance", "a key the lab made for itself: it proves nothing about a person")
            }
            _ => {}
        }
    }
    for approved in report.approved.iter().filter(|_| !broken) {
        match &approved.signed {
            Some(signed) => {
                line(Mark::Done, "approval", &format!("{signed}   signed `{}` of this plan", approved.step))
            }
            None => {
                let text = format!("{}   typed at the runner's terminal for `{}`", approved.principal, approved.step);
                line(Mark::Plain, "approval", &text);
            }
        }
    }
    if !broken {
        let mark = if report.breaches.is_empty() { Mark::Done } else { Mark::Failed };
        let outcome = report.outcome.map_or("not ended", crate::run::RunOutcome::name);
        let text = format!(
            "{} of {} planned steps ran; {} facts replayed to the same end: {outcome}",
            report.steps_run, report.steps_planned, report.events
        );
        line(mark, "plan", &text);
        for said in &against.said {
            line(said.mark, "anchor", &visible(&format!("{} {}", said.place, said.text)));
        }
        if against.said.is_empty() {
            let line_of = "none given: an owner's own rewriting of a whole log cannot be seen without one";
            line(Mark::Plain, "anchor", line_of);
        }
        not_checked(report).iter().for_each(|what| line(Mark::Plain, "not checked", what));
    }
    for (mark, name, text) in withheld::lines(report).iter().filter(|_| !broken) {
        line(*mark, name, text);
    }
    for breach in &report.breaches {
        line(Mark::Failed, "rule", &format!("record {}: {}", breach.record, visible(&breach.what)));
    }
    if report.more_breaches > 0 {
        line(Mark::Failed, "rule", &format!("and {} more", report.more_breaches));
    }
    let until = report.last.as_deref().map_or("its beginning", words::time_of_day);
    let sentence = match &report.verdict {
        _ if against.worst() == Some(Standing::Truncated) => {
            "What is here is sound, but its end was cut off: more records were seen before.".into()
        }
        _ if against.worst() == Some(Standing::Forked) => {
            "What is here is sound, but it is not the log that was seen before: this run has two logs.".into()
        }
        Verdict::Complete if report.withheld.is_some() => {
            "Closed by its owner; this copy is the one its owner published; \
                what it withholds rests on the owner's word."
                .into()
        }
        Verdict::Complete => "Complete, unchanged, and closed by its owner.".into(),
        Verdict::Interrupted => {
            format!("Sound until {until}, and not closed by its owner: what came later may be missing.")
        }
        Verdict::Ended => {
            format!("Sound until {until}; the process ended, and its owner has not signed that this is all.")
        }
        Verdict::Handover => format!("Sound until {until}; its owner let the run rest, and it can be resumed."),
        Verdict::Broken(fault) => format!("At record {}.", fault.record),
        Verdict::Untrusted(_) => "The bytes hold together, but the key that signed them is not trusted here.".into(),
        Verdict::Policy => "The bytes are sound; the rules of the run were not kept.".into(),
    };
    cx.raw_out("");
    let word = called(&report.verdict, against);
    let short = match &report.withheld {
        Some(_) => format!("{word}, {}", withheld::counted(report)),
        None => word.to_string(),
    };
    let open = report.open.as_ref().map(|step| format!(" {step} had begun, and the log does not say how that ended."));
    cx.raw_out(&format!("{}. {}{}", ink.bold(&short), ink.text(&sentence), ink.text(&open.unwrap_or_default())));
}

/// What a reader might think was checked, and was not.
fn not_checked(report: &Report) -> Vec<String> {
    let mut all = Vec::new();
    match report.seals_covered {
        0 => {}
        n => all.push(format!(
            "{n} earlier seals, each by itself: the last one covers their lines (--all-seals checks them)"
        )),
    }
    all.push("whether the records are true: check them by the provider's request ids in the log".into());
    all
}

fn machine(cx: &Context, log: &Path, report: &Report, believed: &Believed, against: &Against) {
    let fault = match &report.verdict {
        Verdict::Broken(fault) => {
            json!({ "record": fault.record, "line": fault.record + 1, "offset": fault.offset, "what": fault.to_string() })
        }
        Verdict::Untrusted(error) => json!({ "what": error.to_string() }),
        _ => json!(null),
    };
    let owner = |o: &audit::Owner| {
        let rests_on = match believed.place(&o.signed) {
            Place::List(name) => json!(name),
            Place::Ran(path) => json!(path),
            Place::SharedKey => json!("shared key"),
        };
        json!({ "principal": o.signed.principal, "key": o.signed.fingerprint, "assurance": o.assurance, "rests_on": rests_on })
    };
    let approved = |a: &audit::Approved| {
        let key = a.signed.as_ref().map(|s| s.fingerprint.clone());
        json!({ "step": a.step, "principal": a.principal, "key": key })
    };
    let said = |s: &Said| json!({ "place": s.place, "agrees": s.mark == Mark::Done, "line": s.text });
    let breach = |b: &audit::Breach| json!({ "record": b.record, "what": b.what });
    cx.json(&json!({
        "verdict": called(&report.verdict, against), "exit": exit(&report.verdict, against).code(), "log": log, "run": report.run,
        "service": report.service, "environment": report.environment, "records": report.lines, "bytes": report.bytes,
        "outcome": report.outcome.map(crate::run::RunOutcome::name), "open": report.open, "fault": fault,
        "owners": report.owners.iter().map(owner).collect::<Vec<_>>(),
        "approvals": report.approved.iter().map(approved).collect::<Vec<_>>(),
        "breaches": report.breaches.iter().map(breach).collect::<Vec<_>>(), "more_breaches": report.more_breaches,
        "seals": report.seals, "seals_covered": report.seals_covered, "not_checked": not_checked(report),
        "withheld": withheld::json(report),
        "anchors": against.said.iter().map(said).collect::<Vec<_>>(),
    }));
}

/// What is wrong, and what to do about it.
fn judgement(cx: &Context, log: &Path, report: &Report, believed: &Believed, against: &Against) -> Option<Refusal> {
    let refuse = |code, headline: String| Refusal::new(Kind::Audit, code, headline).place(log.display().to_string());
    if let Some(worst) = against.worst() {
        let refusal = match worst {
            Standing::Forked | Standing::Broken => {
                refuse(Code::Forked, format!("there are two logs of run {}", report.run))
            }
            Standing::Truncated => refuse(Code::Truncated, format!("the end of the log of run {} is gone", report.run)),
        };
        let said = against.said.iter().filter(|said| said.standing.is_some());
        let refusal =
            said.fold(refusal, |refusal, said| refusal.cause(visible(&format!("{} {}", said.place, said.text))));
        return Some(
            refusal.next("keep the file as it is, and compare it with other copies").next("bgctl audit ledger"),
        );
    }
    match &report.verdict {
        Verdict::Complete => against.missed(),
        Verdict::Ended => {
            let headline = format!("run {} ended, and its owner has not signed that", report.run);
            Some(
                refuse(Code::NotClosed, headline)
                    .next(format!("bgctl audit sign {}    with the key that opened it", report.run)),
            )
        }
        Verdict::Interrupted | Verdict::Handover => {
            let headline = format!("run {} is not closed by its owner", report.run);
            Some(refuse(Code::NotClosed, headline).next(format!("bgctl resume {}", report.run)))
        }
        Verdict::Broken(fault) => Some(broken(log, report, fault)),
        Verdict::Untrusted(error) => {
            let mut refusal = refuse(Code::Untrusted, "the log is signed by a key that is not trusted here".into())
                .cause(error.to_string());
            refusal = match believed.names()[..] {
                [] => refusal.cause("no allowed-signers file was found here"),
                ref names => refusal.cause(format!("looked in: {}", names.join(", "))),
            };
            if let Some(former) = cx.state_dir().ok().and_then(|state| ran::former(&Archive::new(state))) {
                refusal = refusal.cause(format!(
                    "{} is not read any more: earlier versions wrote names of runbooks into it",
                    former.display()
                ));
            }
            Some(refusal.next("bgctl audit verify --allowed-signers FILE RUN    with the file of those who may sign"))
        }
        Verdict::Policy => {
            let mut refusal = refuse(Code::RulesBroken, format!("the rules of run {} were not kept", report.run));
            for breach in &report.breaches {
                refusal = refusal.cause(format!("record {}: {}", breach.record, visible(&breach.what)));
            }
            Some(refusal.next(format!("bgctl audit show {}", report.run)))
        }
    }
}

fn broken(log: &Path, report: &Report, fault: &Fault) -> Refusal {
    let place = format!("{}:{}, byte {}", log.display(), fault.record + 1, fault.offset);
    let mut refusal = Refusal::new(Kind::Audit, fault.what.code(), visible(&fault.to_string())).place(place);
    if let Some(kind) = &report.about {
        refusal = refusal.place(format!("it is a `{kind}` record"));
    }
    refusal = match report.lines {
        0 if fault.what == What::Empty => refusal.cause(EMPTY),
        0 => refusal.cause("nothing of the log is covered by a seal that holds"),
        n => refusal.cause(format!("records 0 to {} are intact; what follows was not judged", n - 1)),
    };
    match &fault.what {
        What::Unsealed { .. } => refusal
            .cause("a crash or a full disk leaves such an end")
            .next(format!("bgctl resume {}    keeps a copy of that end, cuts it off and goes on", report.run)),
        _ => refusal.next("keep the file as it is, and compare it with other copies"),
    }
}
