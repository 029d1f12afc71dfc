//! Several routes going back at the same time: their calls are under way together, their facts are taken in one by one. Which
//! routes those are, and what follows for each, is for the run machine.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::desk::Desk;
use super::{Broken, Driver, Run, looked, overdue};
use crate::plan::StepRef;
use crate::run::{Event, Next, Outcome, decide};

impl Driver<'_> {
    /// Goes on with every leg until the last has ended, or a fact makes something else of the run.
    pub(super) async fn together(&mut self) -> Result<(), Broken> {
        let (run, desk) = (self.run, self.desk);
        let mut under_way = FuturesUnordered::new();
        let mut busy: BTreeSet<usize> = BTreeSet::new();
        while let Next::Together(legs) = decide(run.plan, &self.state) {
            for next in legs {
                let (at, attempt) = match next {
                    Next::Attempt(at, attempt) => (at, Some(attempt)),
                    Next::Observe(at) => (at, None),
                    next => panic!("BUG: {next:?} is nothing that a route on its way back does"),
                };
                if !busy.insert(at.index) {
                    continue;
                }
                if let Some(attempt) = attempt {
                    let intent = self.intent(at, attempt);
                    self.take_in(&intent)?;
                }
                under_way.push(leg(run, desk, at, attempt.is_some(), self.state.looked_in_vain(at)));
            }
            tokio::select! { biased;
                command = run.control.next() => self.heard(command)?,
                Some((at, event)) = under_way.next() => {
                    busy.remove(&at.index);
                    self.take_in(&event)?;
                }
            }
        }
        Ok(())
    }
}

/// One call of one leg, or one look at it.
async fn leg(run: &Run<'_>, desk: &Desk<'_>, at: StepRef, begins: bool, in_vain: bool) -> (StepRef, Event) {
    let event = match begins {
        true => {
            Event::StepOutcome { step: at, id: run.plan.step(at).id.clone(), outcome: execute(run, desk, at).await }
        }
        false => looked(run, desk, at, in_vain).await,
    };
    (at, event)
}

async fn execute(run: &Run<'_>, desk: &Desk<'_>, at: StepRef) -> Outcome {
    let timeout = Duration::from_secs(run.plan.step(at).timeout_s);
    tokio::select! { biased;
        outcome = run.steps.get(at).execute(run.world, desk) => outcome,
        () = run.world.clock.sleep(timeout) => overdue(true, timeout),
    }
}
