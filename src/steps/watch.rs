//! Watching while a run waits with users split: an approval, a question, a drain. A breach beats an approval.
//!
//! It only ever finds that a gate failed, or that a route is in trouble no gate would see. That nothing could be judged is for the bake that follows.

use std::collections::BTreeSet;

use anyhow::Result;

use super::gates::{self, NamedGate, POLL};
use crate::plan::Plan;
use crate::run::{Cause, Evidence, Verdict};
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
        let mut gates = gates::named(plan, plan.gates.keys())?;
        gates.retain(|gate| !gate.is_precondition());
        Ok(Watch { gates })
    }

    /// Comes back only when a gate fails, judged from now on. Cancelled by dropping. `step` stands in the evidence.
    pub async fn breach(&self, step: &str, world: &World, scribe: &dyn Scribe) -> (Cause, String) {
        let since = world.clock.now();
        let open: Vec<_> = self.gates.iter().filter_map(|g| g.open().ok()).collect();
        for gate in &open {
            gate.begin(world, since).await;
        }
        let (mut failing, mut silent) = (vec![0; open.len()], vec![0; open.len()]);
        let mut failed = vec![false; open.len()];
        let mut places = Places::default();
        for poll in 1u32.. {
            world.clock.sleep(POLL).await;
            if let Some(line) = places.look(step, world, scribe).await {
                return (Cause::Destination, line);
            }
            for (n, gate) in open.iter().enumerate() {
                if !gate.fails_at_once() && poll % LOOKS_A_WINDOW != 0 {
                    continue;
                }
                let look = gate.look(world, since).await;
                silent[n] = if look.silent { silent[n] + 1 } else { 0 };
                let enough = if gate.fails_at_once() { 1 } else { FAIL };
                if look.judgement.verdict != Verdict::Fail {
                    (failing[n], failed[n]) = (0, false);
                    continue;
                }
                failing[n] += 1;
                failed[n] = failing[n] >= enough;
                scribe.observed(gate.evidence(step, &look, silent[n], (failing[n], enough)));
                let together = || open.iter().zip(&failed).filter(|(_, failed)| **failed).map(|(gate, _)| gate);
                if failed[n] && gates::decisive(together()) {
                    let line = &look.judgement.line;
                    let others: Vec<&str> = together().map(|g| g.name()).filter(|name| *name != gate.name()).collect();
                    let with = if others.is_empty() || gates::decisive([gate].into_iter()) {
                        String::new()
                    } else {
                        format!(", together with `{}`", others.join("`, `"))
                    };
                    return (Cause::Gate, format!("gate `{}` failed while waiting{with}: {line}", gate.name()));
                }
            }
        }
        unreachable!("BUG: a wait of a thousand years")
    }
}
