//! A log held against what others keep of it: anchors, and this verifier's own memory.

use std::path::{Path, PathBuf};

use super::unreadable;
use crate::audit::anchors;
use crate::audit::anchors::{FOLDER, Memory, Named};
use crate::audit::{Report, Verdict};
use crate::diag::{Code, Kind, Refusal};
use crate::file;
use crate::journal::heads::{Head, Held, compare};
use crate::journal::ledger::{Ledger, Standing};
use crate::journal::{LOG, Note, SealState, origin};
use crate::report::{Mark, words};
use crate::session::policy::{self, PolicyArgs};
use crate::session::surroundings::Surroundings;
use crate::session::{notary, places};
use crate::shell::Context;

/// Where else to look.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct AnchorArgs {
    /// Compare it with what this place keeps: `file:DIR`, `git:REF`, `slack:CHANNEL` or `rfc3161`.
    #[arg(long = "anchor", value_name = "PLACE")]
    places: Vec<String>,
    /// The certificates of the time-stamping authority.
    #[arg(long, value_name = "FILE")]
    ca: Option<String>,
}

/// What a place said.
#[derive(Clone, Debug)]
pub struct Said {
    pub place: String,
    pub mark: Mark,
    pub text: String,
    /// How it contradicts what is here.
    pub standing: Option<Standing>,
    /// It was named on the command line, and could not be asked.
    pub missed: bool,
}

/// What all of them said.
#[derive(Clone, Debug, Default)]
pub struct Against {
    pub said: Vec<Said>,
    /// How many anchors the policy here wants.
    required: usize,
}

impl Against {
    pub fn worst(&self) -> Option<Standing> {
        self.said.iter().filter_map(|said| said.standing).max()
    }

    fn unchecked(&mut self, place: impl Into<String>, why: &str, missed: bool) {
        let text = format!("could not check: {why}");
        self.said.push(Said { place: place.into(), mark: Mark::Warning, text, standing: None, missed });
    }

    /// Named on the command line, and not to be asked: the command must not look as if they had agreed.
    pub fn missed(&self) -> Option<Refusal> {
        let missed: Vec<&Said> = self.said.iter().filter(|said| said.missed).collect();
        let headline = format!("{} of the anchors named could not be asked", missed.len());
        let refusal = Refusal::new(Kind::Unreachable, Code::AnchorSilent, headline).next("bgctl explain anchors");
        let causes = missed.iter().map(|said| format!("{}: {}", said.place, said.text));
        (!missed.is_empty()).then(|| causes.fold(refusal, Refusal::cause))
    }
}

/// Everybody to be asked: those named, then the policy's that need no secret, unless it was a rehearsal.
fn anchors_of(
    cx: &Context,
    args: &AnchorArgs,
    rehearsed: bool,
    against: &mut Against,
) -> Result<Vec<(Named, PathBuf, bool)>, Refusal> {
    let mut places = Vec::new();
    for text in &args.places {
        let anchor = anchors::parse(text, args.ca.as_deref());
        let anchor =
            anchor.map_err(|why| Refusal::new(Kind::Usage, Code::CommandLine, why).next("bgctl explain anchors"))?;
        places.push((anchor, cx.cwd.clone(), true));
    }
    let policy = PolicyArgs::default();
    match policy::read(cx, &policy) {
        // They were told nothing of it.
        _ if rehearsed => {}
        Ok(Ok(Some(file))) if places.is_empty() => {
            let beside = policy.place(cx).0.parent().unwrap_or(&cx.cwd).to_path_buf();
            against.required = file.policy.anchors.as_ref().map_or(0, |anchors| anchors.required as usize);
            for anchor in file.policy.anchors.into_iter().flat_map(|anchors| anchors.to) {
                match anchor.has_secret() {
                    true => {
                        let place = anchor.place();
                        against.unchecked(&place, &format!("not asked without --anchor {place}"), false);
                    }
                    false => places.push((anchor, beside.clone(), false)),
                }
            }
        }
        Ok(Ok(_)) => {}
        Ok(Err(_)) | Err(_) => {
            against.unchecked("policy", "the policy's anchors: `.bgctl/policy.yaml` is wrong", false)
        }
    }
    Ok(places)
}

/// Every head that the places keep of what begins with `of`, with the place.
pub fn asked(
    cx: &Context,
    args: &AnchorArgs,
    of: &str,
    receipts: Option<&Path>,
    rehearsed: bool,
    against: &mut Against,
) -> Result<Vec<(String, Vec<Head>)>, Refusal> {
    let mut all = Vec::new();
    for (named, beside, must) in anchors_of(cx, args, rehearsed, against)? {
        let anchor = anchors::open(&named, &notary::reach(cx, &Surroundings::real(cx), &named, &beside)?);
        match cx.block_on(anchors::heads(anchor.as_ref(), of, receipts, cx.clock.as_ref()))? {
            Ok(heads) if heads.is_empty() => against.unchecked(anchor.place(), "it keeps nothing of this log", must),
            Ok(heads) => all.push((anchor.place(), heads)),
            Err(why) => against.unchecked(anchor.place(), &why.to_string(), must),
        }
    }
    Ok(all)
}

/// Holds a log against anchors and memory. What does not hold by itself is not compared.
pub fn against(cx: &Context, args: &AnchorArgs, log: &Path, report: &Report) -> Result<Against, Refusal> {
    let mut against = Against::default();
    if matches!(report.verdict, Verdict::Broken(_) | Verdict::Untrusted(_)) {
        return Ok(against);
    }
    if report.withheld.is_some() {
        // Its bytes are not those of the original on purpose: neither an anchor nor the memory may take it for a fork.
        against.unchecked("this copy", "anchors and memory keep heads of the original", !args.places.is_empty());
        return Ok(against);
    }
    let now = head(cx, log, report)?;
    let receipts = log.with_file_name(FOLDER);
    let rehearsed = log.starts_with(places::rehearsals(cx)?.root());
    let mut kept = asked(cx, args, &now.log.origin, Some(&receipts), rehearsed, &mut against)?;
    let agreeing = kept.len();
    let memory = Memory::read(places::holding(cx, log)?.root());
    if let Ok(memory) = &memory {
        let place = format!("{} (this verifier's own memory)", memory.path().display());
        kept.extend(memory.log(&now.log.origin).map(|head| (place, vec![head])));
    }
    for (place, heads) in kept {
        let said = judge(log, report, place, &heads).map_err(|error| unreadable(log, &error))?;
        against.said.push(said);
    }
    if agreeing < against.required && against.worst().is_none() {
        let text = format!("the policy wants {} of them, and {agreeing} could be asked and agree", against.required);
        against.said.push(Said { place: "policy:".into(), mark: Mark::Warning, text, standing: None, missed: false });
    }
    match memory {
        Ok(mut memory) if against.worst().is_none() => {
            if let Err(error) = memory.remember_log(&now) {
                let (place, text) =
                    (memory.path().display().to_string(), format!("cannot be kept for the next time: {error}"));
                against.said.push(Said { place, mark: Mark::Warning, text, standing: None, missed: false });
            }
        }
        Ok(_) => {}
        Err(error) => against.unchecked("heads.json", &format!("this verifier's own memory: {error}"), false),
    }
    Ok(against)
}

fn judge(log: &Path, report: &Report, place: String, heads: &[Head]) -> std::io::Result<Said> {
    let notes: Vec<&Note> = heads.iter().map(|head| &head.log).collect();
    let (held, _) = compare(&mut file::open(log)?, report.bytes, &notes)?;
    let of = |wanted: Held| notes.iter().zip(&held).filter(move |(_, held)| **held == wanted).map(|(note, _)| *note);
    let at = |note: &Note| words::time_of_day(&note.time).to_string();
    let longest = |wanted: Held| of(wanted).max_by_key(|note| note.bytes);
    let (mark, text, standing) = if let Some(other) = of(Held::Other).min_by_key(|note| note.bytes) {
        let text = format!("keeps other bytes for the first {} records of this run ({} UTC)", other.lines, at(other));
        (Mark::Failed, text, Some(Standing::Forked))
    } else if let Some(more) = longest(Held::Short) {
        let state = if more.state == SealState::Open { String::new() } else { format!(", {}", more.state.name()) };
        let (now, then) = (report.lines, more.lines);
        let text = format!("saw {then} records{state} at {} UTC; this log has {now}", at(more));
        (Mark::Failed, text, Some(Standing::Truncated))
    } else {
        let whole = longest(Held::Holds).expect("BUG: a place without heads says nothing");
        let text = format!("saw {} records at {} UTC, and they are here unchanged", whole.lines, at(whole));
        (Mark::Done, text, None)
    };
    Ok(Said { place, mark, text, standing, missed: false })
}

/// The head of a log as it is now, and of the ledger beside it.
pub fn head(cx: &Context, log: &Path, report: &Report) -> Result<Head, Refusal> {
    let failed = |error: std::io::Error| unreadable(log, &error);
    let (_, sha256) = compare(&mut file::open(log).map_err(failed)?, report.bytes, &[]).map_err(failed)?;
    let archive = places::holding(cx, log)?;
    let ours = std::fs::canonicalize(archive.run(&report.run).join(LOG)).ok();
    let here = ours.is_some() && ours == std::fs::canonicalize(log).ok();
    let tip = Ledger::in_folder(archive.root()).tip().ok().filter(|tip| here && tip.lines > 0);
    let log = Note {
        origin: origin(&report.service, &report.run),
        lines: report.lines,
        bytes: report.bytes,
        sha256,
        time: report.last.clone().unwrap_or_default(),
        state: report.state.unwrap_or(SealState::Open),
    };
    Ok(Head { log, ledger: tip })
}
