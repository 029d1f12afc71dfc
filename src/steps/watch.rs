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
        Ok(Watch { gates: gates::named(plan, plan.gates.keys())? })
    }

    /// Comes back only when a gate fails, judged from now on. Cancelled by dropping. `step` stands in the evidence.
    pub async fn breach(&self, step: &str, world: &World, scribe: &dyn Scribe) -> (Cause, String) {
        let since = world.clock.now();
        let open: Vec<_> = self.gates.iter().filter_map(|g| g.open(world).ok()).collect();
        let mut failing = vec![0; open.len()];
        let mut places = Places::default();
        for poll in 1u32.. {
            world.clock.sleep(POLL).await;
            if let Some(line) = places.look(step, world, scribe).await {
                return (Cause::Destination, line);
            }
            for (gate, failing) in open.iter().zip(&mut failing) {
                if !gate.is_share() && poll % LOOKS_A_WINDOW != 0 {
                    continue;
                }
                let judgement = gate.look(world, since).await.judgement;
                let enough = if gate.is_share() { 1 } else { FAIL };
                if judgement.verdict != Verdict::Fail {
                    *failing = 0;
                    continue;
                }
                *failing += 1;
                scribe.observed(gate.evidence(step, &judgement, *failing, enough));
                if *failing >= enough {
                    return (Cause::Gate, format!("gate `{}` failed while waiting: {}", gate.name(), judgement.line));
                }
            }
        }
        unreachable!("BUG: a wait of a thousand years")
    }
}
