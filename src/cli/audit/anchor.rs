//! `bgctl audit anchor`: the head of a log that is there already, kept somewhere else by hand.

use crate::audit;
use std::io::BufReader;

use super::against::head;
use super::{locate, unreadable};
use crate::audit::Verdict;
use crate::audit::anchors;
use crate::audit::anchors::FOLDER;
use crate::diag::{Code, Kind, Refusal};
use crate::file;
use crate::journal::Seals;
use crate::secret::visible;
use crate::session::notary;
use crate::session::surroundings::Surroundings;
use crate::session::trust::{Believed, BelievedArgs};
use crate::shell::{Context, Exit};

/// Keep the head of a log where its owner cannot change it. `bgctl explain anchors` has the places.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A run, the end of its name, or a log file; the newest run otherwise.
    run: Option<String>,
    /// Where: `file:DIR`, `git:REF`, `slack:CHANNEL` or `rfc3161:URL`; may be given more than once.
    #[arg(long, value_name = "PLACE", required = true)]
    to: Vec<String>,
    /// The certificates of the time-stamping authority.
    #[arg(long, value_name = "FILE")]
    ca: Option<String>,
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let mut places = Vec::new();
    for text in &args.to {
        places.push(
            anchors::parse(text, args.ca.as_deref())
                .map_err(|why| Refusal::new(Kind::Usage, Code::CommandLine, why).next("bgctl explain anchors"))?,
        );
    }
    let log = locate(cx, args.run.as_deref())?;
    let trust = Believed::of_log(cx, &BelievedArgs::default(), &log)?.trust(cx)?;
    let file = file::open(&log).map_err(|error| unreadable(&log, &error))?;
    let report = audit::verify(&mut BufReader::new(file), &trust, Seals::Last).map_err(|e| unreadable(&log, &e))?;
    if let Verdict::Broken(fault) = &report.verdict {
        return Err(Refusal::new(Kind::Audit, fault.what.code(), "a log that does not hold cannot be anchored")
            .place(log.display().to_string())
            .cause(visible(&fault.to_string()))
            .next("bgctl audit verify    which line, and what is still intact"));
    }
    let head = head(cx, &log, &report)?;
    let receipts = log.with_file_name(FOLDER);
    let mut lost = Vec::new();
    for place in &places {
        let anchor = anchors::open(place, &notary::reach(cx, &Surroundings::real(cx), place, &cx.cwd)?);
        let keeping = anchors::keep(anchor.as_ref(), &head, &receipts, cx.clock.as_ref(), anchors::PATIENCE);
        match cx.block_on(keeping)? {
            Ok(kept) => {
                cx.out(&format!("{}: {} records, {}", anchor.place(), head.log.lines, kept.line));
                kept.warning.iter().for_each(|warning| cx.err(&format!("! {warning}")));
            }
            Err(why) => lost.push(format!("{}: {why}", anchor.place())),
        }
    }
    if lost.is_empty() {
        return Ok(Exit::Success);
    }
    let headline = format!("{} of {} places did not take the head", lost.len(), places.len());
    let refusal = Refusal::new(Kind::Unreachable, Code::NotAnchored, headline).next("the same command again");
    Err(lost.into_iter().fold(refusal, Refusal::cause))
}
