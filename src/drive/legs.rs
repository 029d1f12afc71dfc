//! Several routes going back at the same time: their calls are under way together, their facts are taken in one by one. Which
//! routes those are, and what follows for each, is for the run machine.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::desk::Desk;
use super::{Broken, Driver, Run, looked, overdue};
use crate::plan::StepRef;
use crate::run::{Event, Next, Outcome, decide};

/// What a leg came to: a fact, or the end of the pause before its next attempt.
type Came = (StepRef, Option<Event>);

impl Driver<'_> {
    /// Goes on with every leg until the last has ended, or a fact makes something else of the run.
    pub(super) async fn together(&mut self) -> Result<(), Broken> {
        let (run, desk) = (self.run, self.desk);
        let mut under_way: FuturesUnordered<LocalBoxFuture<'_, Came>> = FuturesUnordered::new();
        let (mut busy, mut rested) = (BTreeSet::new(), BTreeSet::new());
        'legs: while let Next::Together(legs) = decide(run.plan, &self.state) {
            for next in legs {
                let (at, attempt) = match next {
                    Next::Attempt(at, attempt) => (at, Some(attempt)),
                    Next::Observe(at) => (at, None),
                    next => panic!("BUG: {next:?} is nothing that a route in a rollback does"),
                };
                if busy.contains(&at) {
                    continue;
                }
                let in_vain = self.state.looked_in_vain(at);
                if (in_vain || attempt.is_some_and(|attempt| attempt > 1)) && self.time_is_over() {
                    self.take_in(&self.out_of_time(at))?;
                    continue 'legs;
                }
                busy.insert(at);
                match attempt {
                    Some(attempt) if attempt > 1 && !rested.remove(&at) => {
                        let pause = self.pause(at, attempt);
                        let rest = async move {
                            run.world.clock.sleep(pause).await;
                            (at, None)
                        };
                        under_way.push(rest.boxed_local());
                    }
                    Some(attempt) => {
                        let intent = self.intent(at, attempt);
                        self.take_in(&intent)?;
                        let call = async move {
                            let (id, outcome) = (run.plan.step(at).id.clone(), execute(run, desk, at).await);
                            (at, Some(Event::StepOutcome { step: at, id, outcome }))
                        };
                        under_way.push(call.boxed_local());
                    }
                    None => {
                        let look = async move { (at, Some(looked(run, desk, at, in_vain).await)) };
                        under_way.push(look.boxed_local());
                    }
                }
            }
            tokio::select! { biased;
                wish = self.wish() => self.take_in(&wish)?,
                Some((at, came)) = under_way.next() => {
                    busy.remove(&at);
                    match came {
                        Some(event) => self.take_in(&event)?,
                        None => {
                            rested.insert(at);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

async fn execute(run: &Run<'_>, desk: &Desk<'_>, at: StepRef) -> Outcome {
    let timeout = Duration::from_secs(run.plan.step(at).timeout_s);
    tokio::select! { biased;
        outcome = run.steps.get(at).execute(run.world, desk) => outcome,
        () = run.world.clock.sleep(timeout) => overdue(true, timeout),
    }
}
