//! What a run of a game day proves, from its records alone. Pure.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::journal::Entry;
use crate::plan::{Color, Lane, Plan};
use crate::run::{Event, Evidence, Outcome, RunOutcome, Verdict};
use crate::scalar::spoken;

/// One of the three things that a game day shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// `trigger`, `rollback`, `migration`.
    pub name: String,
    pub shown: bool,
    pub line: String,
    /// How long it took, where that says something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
    pub run: String,
    /// The digest of the log that shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_sha256: Option<String>,
}

/// Since when green was bad.
#[derive(Clone, Debug, PartialEq)]
pub enum Bad {
    /// The lab's own faults.
    FromTheStart,
    /// The team's program began to make it bad, and had done so.
    Made { from: Timestamp, until: Timestamp },
    /// It was not made bad, and why.
    Never(String),
}

/// What is looked for in the records of one run.
#[derive(Default)]
struct Course {
    /// The verdict after which users went back.
    verdict: Option<(Timestamp, String)>,
    begun: Option<(Timestamp, bool)>,
    back: Option<Timestamp>,
    /// A rule wanted everybody back, and nobody was sent.
    declined: bool,
    /// A move forward after the verdict, or somebody's wish: then the run is no proof of what rules do.
    other: Option<&'static str>,
    ended: Option<(RunOutcome, String)>,
    paged: Option<(bool, String)>,
}

/// Whether users are on green: the first shift forward is done.
pub fn on_green(plan: &Plan, entries: &[Entry]) -> bool {
    entries.iter().filter_map(Entry::event).any(|event| match event {
        Event::StepOutcome { step, outcome: Outcome::Done { .. }, .. } => {
            step.lane == Lane::Forward
                && plan.step(step).moves.as_ref().is_some_and(|moves| moves.after.share(Color::Green) > 0.0)
        }
        _ => false,
    })
}

/// What has to come of a bad green has begun: users go back, or the run has come to rest.
pub fn settled(entries: &[Entry]) -> bool {
    entries.iter().filter_map(Entry::event).any(|event| {
        matches!(
            event,
            Event::RollbackBegun { .. } | Event::RollbackDeclined { .. } | Event::Ended { .. } | Event::Refused { .. }
        )
    })
}

/// The gates see that green is bad, and everybody comes back.
pub fn way_back(run: &str, plan: &Plan, entries: &[Entry], bad: &Bad, within: Duration) -> [Proof; 2] {
    let course = Course::of(plan, entries);
    let proof = |name: &str, shown: bool, line: String, ms| Proof {
        name: name.into(),
        shown,
        line,
        ms,
        run: run.into(),
        log_sha256: None,
    };
    let automatic = course.begun.filter(|(_, automatic)| *automatic);
    let trigger = match (bad, &course.verdict, automatic) {
        (Bad::Never(why), ..) => proof("trigger", false, format!("GREEN was never made bad: {why}"), None),
        (Bad::Made { from, .. }, Some((at, _)), Some(_)) if at < from => {
            proof("trigger", false, "users were sent back before GREEN was made bad".into(), None)
        }
        (Bad::Made { from, until }, Some((at, line)), Some(_)) => {
            // A program may go on for a while after it has done its work.
            let (since, what) = if at < until { (from, "`bad` began") } else { (until, "GREEN was made bad") };
            let took = between(*since, *at);
            let late = took > within.as_millis() as u64;
            let said = if late { format!(", and not within {}", spoken(within)) } else { String::new() };
            proof("trigger", !late, format!("{} after {what}{said}: {line}", short(took)), Some(took))
        }
        (Bad::FromTheStart, Some((_, line)), Some(_)) => {
            proof("trigger", true, format!("GREEN was bad from the start: {line}"), None)
        }
        _ => proof("trigger", false, format!("nobody was sent back automatically: {}", course.end()), None),
    };
    let rolled_back = matches!(course.ended, Some((RunOutcome::RolledBack, _)));
    let rollback = match (&course.verdict, course.back.filter(|_| rolled_back && automatic.is_some())) {
        (Some((verdict, _)), Some(back)) => {
            let took = between(*verdict, back);
            let line = format!("everybody was back on BLUE {} after the verdict, read back and seen", short(took));
            proof("rollback", true, line, Some(took))
        }
        _ => proof("rollback", false, format!("no automatic rollback was completed: {}", course.end()), None),
    };
    [trigger, rollback]
}

/// Across a contract nobody goes back automatically, and a person is called. `green`: users were read on it afterwards, if they
/// could be read.
pub fn blocked(run: &str, plan: &Plan, entries: &[Entry], bad: &Bad, green: Option<bool>) -> Proof {
    let course = Course::of(plan, entries);
    let halted = matches!(course.ended, Some((RunOutcome::Halted, _)));
    let seen = match (bad, &course.verdict) {
        (Bad::Made { from, .. }, Some((at, _))) => at >= from,
        (Bad::FromTheStart, verdict) => verdict.is_some(),
        _ => false,
    };
    let not = |line: String| (false, line);
    let (shown, line) = match (bad, course.other, &course.paged) {
        (Bad::Never(why), ..) => not(format!("GREEN was never made bad: {why}")),
        _ if course.begun.is_some() => not("users were sent back across a contract".into()),
        (_, Some(other), _) => not(format!("{other}: {}", course.end())),
        _ if !halted || !seen || !course.declined => {
            not(format!("the guard was not reached by a gate that failed: {}", course.end()))
        }
        _ if green.is_none() => not("nobody was sent back, but where users are could not be read".into()),
        _ if green == Some(false) => not("users are not on GREEN any more, and no rule sent them back".into()),
        (_, _, Some((true, how))) => {
            (true, format!("a bad green across a contract moved nobody, and a person was called: {how}"))
        }
        (_, _, Some((false, how))) => not(format!("nobody was moved, and NOBODY WAS CALLED: {how}")),
        (_, _, None) => not(format!("nobody was moved, and nobody was called: {}", course.end())),
    };
    Proof { name: "migration".into(), shown, line, ms: None, run: run.into(), log_sha256: None }
}

impl Course {
    fn of(plan: &Plan, entries: &[Entry]) -> Course {
        let mut course = Course::default();
        for entry in entries {
            let Ok(at) = entry.ts.parse::<Timestamp>() else { continue };
            if let Some(Evidence::GateEvaluated { gate, verdict: Verdict::Fail, line, .. }) = entry.evidence()
                && course.begun.is_none()
            {
                course.verdict = Some((at, format!("gate `{gate}`: {line}")));
            }
            match entry.event() {
                Some(Event::WaitBreached { line, .. }) if course.begun.is_none() => course.verdict = Some((at, line)),
                Some(Event::RollbackBegun { automatic, .. }) => course.begun = Some((at, automatic)),
                Some(Event::StepOutcome { step, outcome: Outcome::Done { .. }, .. })
                    if step.lane == Lane::Rollback && plan.step(step).moves.is_some() =>
                {
                    course.back = Some(at);
                }
                Some(Event::StepIntent { step, .. })
                    if step.lane == Lane::Forward && plan.step(step).moves.is_some() && course.verdict.is_some() =>
                {
                    course.other = Some("users were moved forward after the verdict");
                }
                Some(Event::Interrupted { .. }) => course.other = Some("somebody interrupted the run"),
                Some(Event::RollbackDeclined { .. }) => course.declined = true,
                Some(Event::Refused { why }) => course.ended = Some((RunOutcome::Refused, why)),
                Some(Event::Paged { delivered, line }) => course.paged = Some((delivered, line)),
                Some(Event::Ended { outcome, line }) => course.ended = Some((outcome, line)),
                _ => {}
            }
        }
        course
    }

    fn end(&self) -> String {
        match &self.ended {
            Some((outcome, line)) => format!("the run is {}, {line}", outcome.name()),
            None => "the run did not end".into(),
        }
    }
}

fn between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_millisecond() - from.as_millisecond()).unwrap_or(0)
}

fn short(ms: u64) -> String {
    spoken(std::time::Duration::from_millis(ms))
}
