//! Watching while a run waits with users split: an approval, a question, a drain. A breach beats an approval.
//!
//! It only ever finds that a gate failed. That nothing could be judged is for the bake that follows.

use anyhow::Result;

use super::gates::{self, NamedGate, POLL};
use crate::plan::Plan;
use crate::run::{Cause, Verdict};
use crate::world::{Scribe, World};

/// Looks between two values of a gate that is judged by windows.
const LOOKS_A_WINDOW: u32 = 4;
/// So many failing windows in a row are a breach.
const FAIL: u32 = 2;

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
        for poll in 1u32.. {
            world.clock.sleep(POLL).await;
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
