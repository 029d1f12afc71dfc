//! Watching while a run waits with users split: an approval, a question, a drain. A breach beats an approval.
//!
//! It only ever finds that a gate failed, or that a route is in trouble no gate would see. That nothing could be judged is for the bake that follows.

use std::collections::BTreeSet;

use anyhow::Result;
use jiff::Timestamp;

use super::judge::Back;
use super::watched::{self, Failures, NO_BETTER, NamedGate, POLL, Says, Watched};
use crate::plan::Plan;
use crate::run::{Breach, Cause, Evidence, Verdict};
use crate::world::{Scribe, World};

/// Looks between two values of a gate that is judged by windows.
const LOOKS_A_WINDOW: u32 = 4;
/// So many failing windows in a row are a breach.
const FAIL: u32 = 2;

/// The routes, looked at again and again for what no gate sees.
#[derive(Default)]
pub struct Places(BTreeSet<String>);

impl Places {
    /// Looks at every route. What is worth a line is noted once; comes back with why users cannot stay as they are.
    pub async fn look(&mut self, step: &str, world: &World, scribe: &dyn Scribe) -> Option<String> {
        for (name, route) in &world.routes {
            let watched = route.watch().await;
            for note in watched.notes {
                if self.0.insert(note.clone()) {
                    scribe.observed(Evidence::Note { line: format!("{step}: {name}: {note}") });
                }
            }
            if let Some(trouble) = watched.trouble {
                return Some(format!("{name}: {trouble}"));
            }
        }
        None
    }
}

/// The gates of a plan, judged for as long as somebody waits.
pub struct Watch {
    gates: Vec<NamedGate>,
}

impl Watch {
    /// All gates of the plan.
    pub fn new(plan: &Plan) -> Result<Self> {
        let mut gates = watched::named(plan, plan.gates.keys())?;
        gates.retain(|gate| !gate.is_precondition());
        Ok(Watch { gates })
    }

    /// Comes back only when a gate fails, judged from now on. Cancelled by dropping. `step` stands in the evidence.
    pub async fn breach(&self, step: &str, world: &World, scribe: &dyn Scribe) -> Breach {
        let since = world.clock.now();
        let mut watched: Vec<Watched<'_>> = self.gates.iter().filter_map(|g| g.open().ok()).map(Watched::new).collect();
        for watched in &watched {
            watched.gate.begin(world, since).await;
        }
        let mut places = Places::default();
        for poll in 1u32.. {
            world.clock.sleep(POLL).await;
            if let Some(line) = places.look(step, world, scribe).await {
                return Breach::new(Cause::Destination, line);
            }
            for gate in &mut watched {
                if gate.gate.fails_at_once() || poll % LOOKS_A_WINDOW == 0 {
                    look(gate, step, since, world, scribe).await;
                }
            }
            // Only once all of them were looked at: blue may be worse by another one than that which fails.
            let failing =
                || watched.iter().filter(|gate| gate.failures.all >= enough(gate) && gate.says() != Says::Wait);
            if watched::decisive(failing().map(|gate| &gate.gate)) {
                return failed(&watched, failing().collect());
            }
        }
        unreachable!("BUG: a wait of a thousand years")
    }
}

/// So many failing looks in a row are a breach.
fn enough(gate: &Watched<'_>) -> u32 {
    if gate.gate.fails_at_once() { 1 } else { FAIL }
}

/// Looks at a gate once more. Only what fails is written down.
async fn look(gate: &mut Watched<'_>, step: &str, since: Timestamp, world: &World, scribe: &dyn Scribe) {
    let look = gate.look(world, since).await;
    if look.judgement.verdict == Verdict::Fail {
        gate.failures.add(look.judgement.back);
        scribe.observed(gate.gate.evidence(step, &look, gate.silent, (gate.failures.all, enough(gate))));
    } else {
        gate.failures = Failures::default();
    }
    gate.last = look.judgement;
}

/// What failed, and whether anybody is sent back for it.
fn failed(watched: &[Watched<'_>], failing: Vec<&Watched<'_>>) -> Breach {
    let alone = failing.iter().find(|gate| watched::decisive([&gate.gate].into_iter()));
    let Some(told) = alone.or(failing.last()) else { panic!("BUG: a wait was breached without a gate that fails") };
    let others: Vec<&str> = failing.iter().map(|g| g.gate.name()).filter(|name| *name != told.gate.name()).collect();
    let with = if others.is_empty() || alone.is_some() {
        String::new()
    } else {
        format!(", together with `{}`", others.join("`, `"))
    };
    let line = format!("gate `{}` failed while waiting{with}: {}", told.gate.name(), told.last.line);
    let worse = watched.iter().any(|gate| gate.last.back == Back::Worse);
    let back = failing.iter().filter(|gate| gate.says() == Says::GoBack);
    if !worse && watched::decisive(back.map(|gate| &gate.gate)) {
        return Breach::new(Cause::Gate, line);
    }
    let why = if worse { Back::Worse } else { told.last.back }.why().unwrap_or(NO_BETTER);
    Breach::new(Cause::Gate, format!("{line}; {why}")).halting()
}
