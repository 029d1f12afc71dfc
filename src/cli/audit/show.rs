//! `bgctl audit show`: a log as a timeline.

use crate::audit;
use serde_json::json;

use super::{locate, unreadable, verify, withheld};
use crate::diag::{Kind, Refusal};
use crate::file;
use crate::journal::{self, SealState, Seals, Sound};
use crate::report::{Mark, Moment, spoken_seconds, timeline, words};
use crate::secret::visible;
use crate::session::trust::{Believed, BelievedArgs};
use crate::shell::{Context, Exit, Output};

/// What happened: who, what, when, and on what evidence.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A run, the end of its name, or a log file.
    run: Option<String>,
    /// Every record: each call, check and window, and what programs printed.
    #[arg(long)]
    all: bool,
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let log = locate(cx, args.run.as_deref())?;
    let bytes = file::read(&log, file::LOG).map_err(|error| unreadable(&log, &error))?;
    let redaction = withheld::beside(&log)?;
    let sound = match &redaction {
        None => journal::read(&bytes),
        Some(redaction) => journal::read_copy(&bytes, &redaction.withheld),
    };
    let sound = sound.map_err(|fault| {
        Refusal::new(Kind::Audit, fault.what.code(), visible(&fault.to_string()))
            .place(log.display().to_string())
            .next("bgctl audit verify    what is wrong, and what is still intact")
    })?;
    // A timeline is read as the truth, so it says beside itself what a stranger may believe of it.
    let trust = Believed::of_log(cx, &BelievedArgs::default(), &log)?.trust(cx)?;
    let mut input = std::io::Cursor::new(&bytes[..]);
    let report = match &redaction {
        None => audit::verify(&mut input, &trust, Seals::Last),
        Some(redaction) => audit::verify_copy(&mut input, &trust, Seals::Last, redaction),
    };
    let report = report.map_err(|e| unreadable(&log, &e))?;
    let word = verify::word(&report.verdict);
    let verdict = match report.withheld {
        Some(_) => format!("{word}, {}", withheld::counted(&report)),
        None => word.to_string(),
    };
    let verdict = verdict.as_str();
    let moments = timeline(&sound.entries);
    match cx.output {
        Output::Json => cx.json(&json!({
            "run": sound.run, "service": sound.service, "environment": sound.environment, "plan": sound.plan.id(),
            "verdict": word, "withheld": withheld::json(&report), "state": sound.state.name(), "timeline": moments,
        })),
        Output::Jsonl => moments.iter().for_each(|moment| cx.raw_out(&json!(moment).to_string())),
        Output::Human | Output::Plain => text(&sound, &moments, args, cx, verdict),
    }
    Ok(Exit::Success)
}

fn text(sound: &Sound, moments: &[Moment], args: &Args, cx: &Context, verdict: &str) {
    let ink = cx.style.out;
    cx.out(&format!("{} · {} · {}", sound.run, sound.service, sound.environment));
    let mut day = "";
    for moment in moments.iter().filter(|moment| args.all || !moment.detail) {
        if let Some(today) = moment.ts.get(..10).filter(|today| *today != day) {
            cx.raw_out("");
            cx.out(&format!("  {today}, times UTC"));
            day = today;
        }
        // Each text on one line of its own, whatever stands in it: nothing that was recorded can look like a line of this page.
        let line = |text: &str| ink.text(&visible(text)).replace('\n', "\\n");
        let (time, after) = (words::time_of_day(&moment.ts), spoken_seconds(moment.after_s.max(0).unsigned_abs()));
        let who = moment.who.as_ref().map_or(String::new(), |who| {
            let key = who.key.as_ref().map_or(String::new(), |key| format!(", {key}"));
            format!("   [{}, {}{key}]", who.name, who.evidence)
        });
        // Records are named by their number wherever something is to be done with one.
        let number = if args.all { format!("{:>6} ", moment.seq) } else { String::new() };
        let (mark, subject) = (ink.mark(moment.mark), line(&moment.subject));
        cx.raw_out(&format!(
            " {number} {time} {after:>7}  {mark} {subject:<14} {}",
            line(&(moment.text.clone() + &who))
        ));
        for quoted in &moment.quoted {
            cx.raw_out(&format!("{:36}{} {}", "", bar(cx), line(quoted)));
        }
    }
    let end = match sound.state {
        SealState::Open => "not closed",
        SealState::Closed => "closed by its owner",
        SealState::Handover => "at rest, to be resumed",
        SealState::Ended => "ended, not signed by its owner",
    };
    let hidden = moments.iter().filter(|moment| moment.detail && !args.all).count();
    cx.raw_out("");
    if hidden > 0 {
        cx.out(&format!("{hidden} details are left out: --all shows them"));
    }
    let mark = ink.mark(if verdict.starts_with("COMPLETE") { Mark::Done } else { Mark::Warning });
    let text = ink.text(&format!("{end}; why, and what could not be checked: bgctl audit verify {}", sound.run));
    cx.raw_out(&format!("{mark} {verdict}: {text}"));
}

/// What stands before a quoted line.
fn bar(cx: &Context) -> &'static str {
    if cx.style.out.ascii { "|" } else { "│" }
}
