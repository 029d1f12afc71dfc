//! `bake`: watch users on the split they are on, and judge the gates window by window.
#![doc = include_str!("bake.md")]

use std::cell::Cell;
use std::time::Duration as Time;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Facts, GRACE, Kind, Mistake, Review, Step, settings};
use crate::gates::gate::{OnInstance, OnUnknown, WHOLE};
use crate::gates::judge::Back;
use crate::gates::watch::Places;
use crate::gates::watched::{self, Failures, NO_BETTER, NamedGate, POLL, SILENT, Says, Watched};
use crate::plan::{Plan, PlannedStep, Resume};
use crate::rehearsal::{InLab, at};
use crate::run::{Cause, Evidence, Outcome, Reaction, Verdict};
use crate::scalar::{Duration, spoken};
use crate::slack::ledger::{self, Ledger, SETTLE, Sending};
use crate::slack::suite::Suite;
use crate::world::{Progress, Scribe, World};

pub const KIND: Kind = Kind {
    name: "bake",
    about: "watch users and judge the gates",
    page: include_str!("bake.md"),
    schema: |generator| generator.subschema_for::<Bake>(),
    facts,
    lab: InLab::To(|settings| at(settings, &["/ledger/url"])),
    build: |step, plan| Ok(Box::new(Watching::new(step, plan)?)),
};

/// Watches after a shift. Only gates that pass let the run go on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bake {
    /// How long to watch.
    #[serde(rename = "for")]
    pub time: Duration,
    /// Into how many windows that time is cut; one a minute when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<u32>,
    /// How many windows of one gate must fail before the bake fails. Error rates are tested all the time and can fail
    /// at once. 2 when left out, 1 where there is only one window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail: Option<u32>,
    /// Names of gates of this runbook.
    pub gates: Vec<String>,
    /// So many looks in a row to which a gate's source gives no answer end the bake without a verdict; 5 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub silent: Option<u32>,
    /// Synthetic events through the public address, each accounted for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<Ledger>,
}

fn facts(config: &Value, plan: &Plan) -> Result<Facts, Vec<Mistake>> {
    let bake: Bake = settings(config)?;
    let mut review = Review::default();
    review.longer_than_zero("/for", bake.time.time);
    if bake.gates.is_empty() {
        review.wrong("/gates", "a bake without gates watches nothing", Some("name gates of this runbook"));
    }
    for (n, name) in bake.gates.iter().enumerate() {
        if !plan.gates.contains_key(name) {
            let known: Vec<&str> = plan.gates.keys().map(String::as_str).collect();
            let help = format!("known gates: {}", if known.is_empty() { "none".into() } else { known.join(", ") });
            review.wrong(&format!("/gates/{n}"), format!("there is no gate `{name}`"), Some(&help));
        }
    }
    let known = watched::named(plan, bake.gates.iter().filter(|g| plan.gates.contains_key(*g))).unwrap_or_default();
    let together: u32 = known.iter().map(NamedGate::weighs).sum();
    if !known.is_empty() && together < WHOLE {
        let message =
            format!("these gates together weigh {together} of {WHOLE}, so all of them may fail and the bake does not");
        review.wrong("/gates", message, Some("add a gate, or raise a `weight`"));
    }
    for gate in known {
        if gate.is_precondition() {
            let n = bake.gates.iter().position(|name| *name == gate.name).unwrap_or_default();
            let message = format!("gate `{}` has an `objective`: it is judged before the first step", gate.name);
            review.wrong(&format!("/gates/{n}"), message, Some("leave it out here"));
        }
        if let Some(range) = gate.warm_up().filter(|range| *range > bake.time.time) {
            let message = format!("gate `{}` looks back over {}, longer than this bake", gate.name, spoken(range));
            review.wrong("/for", message, Some("bake longer, or shorten the range in the gate's query"));
        }
    }
    if let Some(ledger) = &bake.ledger {
        ledger.review(&mut review, plan);
    }
    let settle = bake.ledger.as_ref().map_or(0, |_| SETTLE.as_secs());
    let with = bake.ledger.as_ref().map_or(String::new(), |l| format!(", and a ledger of {} events/s", l.per_second));
    let (windows, fail) = (bake.windows(), bake.fail());
    review.between("/windows", windows, 1, 1000);
    review.between("/fail", fail, 1, windows.max(1));
    review.between("/silent", bake.silent(), 1, 100);
    review.passed(|| Facts {
        line: format!(
            "bake {} in {windows} windows, failed at {fail} bad ones: {}{with}",
            bake.time,
            bake.gates.join(", ")
        ),
        resume: Resume::Repeat,
        attempts: 1,
        timeout_s: 2 * bake.time.whole_seconds() + 2 * GRACE + settle,
        expected_s: bake.time.whole_seconds(),
        moves: None,
    })
}

impl Bake {
    /// One a minute, at least one, where the runbook does not say.
    pub fn windows(&self) -> u32 {
        self.windows.unwrap_or_else(|| (self.time.whole_seconds() / 60).clamp(1, 1000) as u32)
    }

    /// How many of them fail a gate that is judged by windows.
    pub fn fail(&self) -> u32 {
        self.fail.unwrap_or_else(|| self.windows().min(2))
    }

    fn silent(&self) -> u32 {
        self.silent.unwrap_or(SILENT)
    }
}

/// One window without a number may be a restart of whoever gathers them.
const BLIND: u32 = 2;
/// Looks at error rates that a bake has at least, where it is long enough for one a second.
const FEWEST_LOOKS: u32 = 6;
/// Longer than this past its time, and the machine slept.
const SLEPT: Time = Time::from_secs(10);

struct Watching {
    id: String,
    bake: Bake,
    gates: Vec<NamedGate>,
    /// What the ledger is sent with.
    suite: Option<Suite>,
    /// Users are on both sides meanwhile.
    split: bool,
}

/// It has failed often enough, and still does.
fn fails(gate: &Watched<'_>, fail: u32) -> bool {
    gate.last.verdict == Verdict::Fail && (gate.gate.fails_at_once() || gate.failures.all >= fail)
}

/// Whether the gates that are picked decide together.
fn decisive<'a>(courses: &'a [Watched<'a>], pick: impl Fn(&Watched<'a>) -> bool) -> bool {
    watched::decisive(courses.iter().filter(|c| pick(c)).map(|c| &c.gate))
}

impl Watching {
    fn new(step: &PlannedStep, plan: &Plan) -> anyhow::Result<Self> {
        let bake = Bake::deserialize(&step.config)?;
        let gates = watched::named(plan, bake.gates.iter())?;
        let suite = bake.ledger.as_ref().map(|ledger| ledger.suite(plan));
        let split = plan.before(&step.id).values().any(|split| split.blue > 0 && split.green > 0);
        Ok(Watching { id: step.id.clone(), bake, gates, suite, split })
    }

    /// Waits until `until` on the elapsed clock, with a live line each second. Time the machine slept is no bake time: it
    /// is given back.
    async fn wait(&self, world: &World, scribe: &dyn Scribe, begun: &mut Time, until: Time, courses: &[Watched<'_>]) {
        loop {
            let passed = world.clock.elapsed().saturating_sub(*begun);
            let Some(left) = until.checked_sub(passed).filter(|left| !left.is_zero()) else { return };
            let slice = left.min(Time::from_secs(1));
            world.clock.sleep(slice).await;
            let over = world.clock.elapsed().saturating_sub(*begun + passed + slice);
            if over > SLEPT {
                *begun += over;
                let line = format!("the machine slept for {} during the bake; that time does not count", spoken(over));
                scribe.observed(Evidence::ClockAnomaly { line });
            }
            let states: Vec<String> =
                courses.iter().map(|c| format!("{} {}", c.gate.name(), watched::word(c.last.verdict))).collect();
            scribe.progress(Progress {
                done: world.clock.elapsed().saturating_sub(*begun).as_secs(),
                of: self.bake.time.whole_seconds(),
                line: states.join(", "),
            });
        }
    }
}

#[async_trait(?Send)]
impl Step for Watching {
    fn only_waits(&self) -> bool {
        true
    }

    async fn execute(&self, world: &World, scribe: &dyn Scribe) -> Outcome {
        let (Some(ledger), Some(suite)) = (&self.bake.ledger, &self.suite) else {
            return self.watch(world, scribe).await;
        };
        let begun = world.clock.elapsed();
        let (sending, stop) = (Sending::new(ledger, suite, world), Cell::new(false));
        let watched = {
            let watch = std::pin::pin!(self.watch(world, scribe));
            let mut send = std::pin::pin!(sending.send(&stop));
            let watched = tokio::select! {
                watched = watch => watched,
                () = &mut send => panic!("BUG: the ledger ended before its bake"),
            };
            // Users who are hurt do not wait for the count.
            if !matches!(watched, Outcome::Done { .. }) {
                return watched;
            }
            stop.set(true);
            send.await;
            watched
        };
        // Nobody is sent back for a store that cannot say: the gates have passed. A person looks.
        let hold = |line| Outcome::failed(Cause::NoVerdict, line).wanting(Reaction::Hold);
        match ledger::close(&sending, &self.id, scribe, begun).await {
            Ok(tally) => match (tally.verdict(), watched) {
                (Verdict::Pass, Outcome::Done { line, facts }) => {
                    Outcome::Done { line: format!("{line}; {}", tally.line()), facts }
                }
                (Verdict::Pass, other) => other,
                (Verdict::Unknown, _) => hold(tally.line()),
                (Verdict::Fail, _) => Outcome::failed(Cause::Gate, tally.line()),
            },
            Err(why) => hold(format!("the ledger cannot be counted: {why}")),
        }
    }
}

impl Watching {
    /// The gates, until the time is up or one of them fails.
    async fn watch(&self, world: &World, scribe: &dyn Scribe) -> Outcome {
        let (windows, fail) = (self.bake.windows(), self.bake.fail());
        let window = self.bake.time.time / windows;
        let mut courses = Vec::new();
        for gate in &self.gates {
            match gate.open() {
                Ok(gate) => courses.push(Watched::new(gate)),
                Err(e) => {
                    return Outcome::failed(Cause::NoVerdict, format!("gate `{}` cannot be asked: {e}", gate.name));
                }
            }
        }
        let since = world.clock.now();
        let mut begun = world.clock.elapsed();
        for course in &courses {
            course.gate.begin(world, since).await;
        }
        // A fail is confirmed by later looks, so a short bake has no fewer of them than it takes to tell a burst from an outage.
        let look = window.min(POLL).min(self.bake.time.time / FEWEST_LOOKS).max(Time::from_secs(1));
        let (mut ended, mut next_poll) = (0, look);
        let mut places = Places::default();
        // The bake may take one more of its own length when nothing can be judged, and no longer.
        while ended < 2 * windows {
            let window_end = window * (ended + 1);
            let until = window_end.min(next_poll);
            self.wait(world, scribe, &mut begun, until, &courses).await;
            if let Some(line) = places.look(&self.id, world, scribe).await {
                return Outcome::failed(Cause::Destination, line);
            }
            let whole = until == window_end;
            next_poll = until + look;
            ended += u32::from(whole);
            for course in &mut courses {
                if !whole && !course.gate.fails_at_once() {
                    continue;
                }
                let look = course.look(world, since).await;
                let fails = look.judgement.verdict == Verdict::Fail;
                if whole || (fails && course.gate.fails_at_once()) {
                    scribe.observed(course.gate.evidence(&self.id, &look, course.silent, (ended.max(1), windows)));
                }
                if whole {
                    course.blind = if look.blind { course.blind + 1 } else { 0 };
                }
                course.last = look.judgement;
                if course.gate.fails_at_once() && !fails {
                    course.failures = Failures::default();
                }
                if fails && (whole || course.gate.fails_at_once()) {
                    course.failures.add(course.last.back);
                }
            }
            // Only once all of them were looked at: blue may be worse by another one than that which fails.
            if decisive(&courses, |c| fails(c, fail) && c.says() != Says::Wait) {
                return failed(&courses, |c| fails(c, fail));
            }
            if decisive(&courses, |c| c.silent >= self.bake.silent()) {
                return no_verdict(&courses, "nobody answers");
            }
            // A green that nobody can see is left after the time after which one that fails would be.
            if self.split && decisive(&courses, |c| c.blind >= fail.max(BLIND)) {
                return no_verdict(&courses, "there is nothing to judge by");
            }
            if whole && ended >= windows && !decisive(&courses, |c| c.last.verdict != Verdict::Pass) {
                return passed(&courses, ended);
            }
            // More time makes no other finding of it.
            if whole && ended >= windows && !decisive(&courses, |c| c.last.verdict != Verdict::Pass && !c.last.instance)
            {
                return one_instance(&courses);
            }
        }
        let fails = |course: &Watched<'_>| course.last.verdict == Verdict::Fail;
        match decisive(&courses, fails) {
            true => failed(&courses, fails),
            false => no_verdict(&courses, "the time is up"),
        }
    }
}

/// Why nobody is sent back after what failed, if so: the gates for going back do not decide alone, or one of them all knows that
/// blue is worse than green.
fn against_blue(courses: &[Watched<'_>], fails: impl Fn(&Watched<'_>) -> bool) -> Option<String> {
    let worse = courses.iter().find(|c| c.last.back == Back::Worse);
    let stay = courses.iter().find(|c| fails(c) && c.says() != Says::GoBack);
    let course = match worse {
        None if decisive(courses, |c| fails(c) && c.says() == Says::GoBack) => return None,
        worse => worse.or(stay)?,
    };
    let why = course.last.back.why().unwrap_or(NO_BETTER);
    Some(if fails(course) {
        why.into()
    } else {
        format!("{why} (gate `{}`: {})", course.gate.name(), course.last.line)
    })
}

/// The gates that did not pass, of which there may be some light ones, are named beside the others.
fn passed(courses: &[Watched<'_>], windows: u32) -> Outcome {
    let (good, open): (Vec<_>, Vec<_>) = courses.iter().partition(|c| c.last.verdict == Verdict::Pass);
    let line = |c: &&Watched<'_>| format!("{}: {}", c.gate.name(), c.last.line);
    let told = good.iter().map(line).collect::<Vec<_>>().join("; ");
    let line = if open.is_empty() {
        format!("every gate passed; {told}")
    } else {
        let light: Vec<String> = open.iter().map(|c| format!("{}: {}", weighed(c), c.last.line)).collect();
        format!("passed; {told}; too light to stop it: {}", light.join("; "))
    };
    Outcome::done(line).with(json!({ "windows": windows.to_string() }))
}

/// `` `latency` (50 of 100, fail) ``.
fn weighed(course: &Watched<'_>) -> String {
    let (name, weight) = (course.gate.name(), course.gate.named.weighs());
    format!("`{name}` ({weight} of {WHOLE}, {})", watched::word(course.last.verdict))
}

/// The gates that fail, and why. Where one of them is enough that is said of it alone.
fn failed(courses: &[Watched<'_>], fails: impl Fn(&Watched<'_>) -> bool) -> Outcome {
    let failing: Vec<&Watched<'_>> = courses.iter().filter(|c| fails(c)).collect();
    let alone = failing.iter().copied().find(|c| c.gate.named.weighs() == WHOLE);
    let Some(course) = alone.or(failing.first().copied()) else {
        panic!("BUG: a bake failed without a gate that fails")
    };
    let line = match alone {
        Some(course) => format!("gate `{}` failed: {}", course.gate.name(), course.last.line),
        None => {
            let told: Vec<String> = failing.iter().map(|c| format!("{}: {}", weighed(c), c.last.line)).collect();
            format!("gates failed together: {}", told.join("; "))
        }
    };
    let facts = json!({ "gate": course.gate.name(), "failed_windows": course.failures.all.to_string() });
    match against_blue(courses, fails) {
        None => Outcome::failed(Cause::Gate, line),
        Some(why) => Outcome::failed(Cause::Gate, format!("{line}; {why}")).wanting(Reaction::Halt),
    }
    .with(facts)
}

/// Without its one bad instance green is well: that is for a person, unless the runbook says otherwise.
fn one_instance(courses: &[Watched<'_>]) -> Outcome {
    let found: Vec<&Watched<'_>> = courses.iter().filter(|c| c.last.instance).collect();
    let lines: Vec<String> = found.iter().map(|c| format!("`{}`: {}", c.gate.name(), c.last.line)).collect();
    let line = format!("one bad instance of GREEN; {}", lines.join("; "));
    let page = found.iter().all(|c| c.gate.named.on_instance() == OnInstance::Page);
    Outcome::failed(Cause::NoVerdict, line).wanting(if page { Reaction::Halt } else { Reaction::RollBack })
}

fn no_verdict(courses: &[Watched<'_>], why: &str) -> Outcome {
    let open: Vec<&Watched<'_>> = courses.iter().filter(|c| c.last.verdict != Verdict::Pass).collect();
    let hold = open.iter().all(|c| c.gate.named.on_unknown() == OnUnknown::Hold);
    let lines: Vec<String> = open.iter().map(|c| format!("`{}`: {}", c.gate.name(), c.last.line)).collect();
    let line = format!("no verdict, {why}; {}", lines.join("; "));
    match against_blue(courses, |_| false).filter(|_| courses.iter().any(|c| c.last.back == Back::Worse)) {
        Some(against) if !hold => {
            Outcome::failed(Cause::NoVerdict, format!("{line}; {against}")).wanting(Reaction::Halt)
        }
        _ => Outcome::failed(Cause::NoVerdict, line).wanting(if hold { Reaction::Hold } else { Reaction::RollBack }),
    }
}
