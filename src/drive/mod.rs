//! The loop: read what is next, do it through the world, write down what happened. The only caller of `Step::execute`.
//!
//! Running and resuming are this same function, entered with the facts so far. Nothing is decided here that changes what a
//! run does: that is `run::decide`. An intent is durable before its effect begins, and an outcome before the next thing
//! is decided; when the journal cannot be written the loop ends at once.

mod approvals;
mod boundary;
mod choices;
mod desk;
mod found;
mod legs;
mod look;
mod patience;
mod pause;
mod questions;
mod schema;
mod served;
mod sides;
mod steps;
mod told;
mod undone;
mod wishes;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use crate::arm::{Keep, arm};
use crate::clock::Clock;
use crate::diag::Refusal;
use crate::journal::{Append, JournalError};
use crate::people::request::Until;
use crate::people::{Command, Control, People};
use crate::plan::{Lane, Plan, StepRef};
use crate::report::Reporter;
use crate::run::{
    Breach, Cause, Event, Evidence, Found, Illegal, Next, Outcome, RunOutcome, State, decide, evolve, replay,
};
use crate::world::{Scribe, World};
use boundary::Trip;

pub use self::choices::page;
pub use self::found::found;
pub use self::steps::Steps;
use desk::Desk;
use told::{because, passes_over, short};

/// How long a call that moves users may go on after Ctrl-C before it counts as lost.
const GRACE: Duration = Duration::from_secs(10);

/// Keeps judging while a run waits with users split. A breach beats an approval.
#[async_trait(?Send)]
pub trait Watch {
    /// Comes back only when a gate or a guard is breached.
    async fn breach(&self, world: &World, scribe: &dyn Scribe) -> Breach;
}

/// The rules a run was opened under.
pub trait Rules {
    /// Asked at each step boundary forward: how the policy or the trusted keys differ from what the owner signed for, if so.
    fn changed(&self) -> Option<String>;
}

/// Everything a run needs.
pub struct Run<'a> {
    pub id: &'a str,
    pub plan: &'a Plan,
    pub steps: &'a Steps,
    pub world: &'a World,
    pub people: &'a dyn People,
    pub control: &'a dyn Control,
    pub watch: &'a dyn Watch,
    pub keep: &'a Keep<'a>,
    /// The exact text of an approval request for a step, from how long it holds and what was measured so far.
    pub request: &'a dyn Fn(StepRef, Until, &[String]) -> String,
    /// Deadlines are judged by this clock, which cannot be set back.
    pub deadlines: &'a dyn Clock,
    pub rules: &'a dyn Rules,
    /// Automatic rollbacks of this service inside the policy's window so far.
    pub automatic_used: u32,
}

/// How a drive came to rest.
#[derive(Debug)]
pub struct End {
    pub outcome: RunOutcome,
    /// Why preflight refused, in full.
    pub refusal: Option<Refusal>,
    pub state: State,
}

/// The run cannot go on: nothing more may move.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("the journal cannot be written: {0}")]
    Journal(#[from] JournalError),
    #[error("the journal does not fit the plan: {0}")]
    Illegal(#[from] Illegal),
}

/// Runs a plan, or goes on with one: `facts` are the events of its journal so far.
pub async fn drive(
    run: &Run<'_>,
    facts: &[Event],
    journal: &mut dyn Append,
    reporter: &mut dyn Reporter,
) -> Result<End, Broken> {
    let desk = Desk::new(&run.world.secrets, journal, reporter);
    let now = run.world.clock.elapsed();
    // Preflight reads every route of a new run; of one that is taken up again nothing is known.
    let seen = Cell::new(if facts.is_empty() { now } else { now.saturating_sub(boundary::COUNTS) });
    let (state, schema) = (replay(run.plan, facts)?, schema::Memory::default());
    facts.iter().for_each(|fact| passes_over(run.world, fact));
    let mut driver = Driver {
        run,
        desk: &desk,
        state,
        refusal: None,
        seen,
        schema,
        sides: served::Sides::default(),
        because: facts.iter().filter_map(because).next_back().unwrap_or_default(),
        tried: Cell::new(None),
        back_by: Cell::new(now + Duration::from_secs(run.plan.policy.rollback_within_s)),
        out_since: RefCell::default(),
    };
    driver.remember_writes();
    let outcome = driver.go().await?;
    Ok(End { outcome, refusal: driver.refusal, state: driver.state })
}

struct Driver<'a> {
    run: &'a Run<'a>,
    desk: &'a Desk<'a>,
    state: State,
    refusal: Option<Refusal>,
    schema: schema::Memory,
    /// When every route was last found as this run has left it.
    seen: Cell<Duration>,
    sides: served::Sides,
    /// Why a person is asked or called, should one be: what the last step in doubt said, or why users go back.
    because: String,
    /// When the newest attempt of a move ended; none: it may be tried at once.
    tried: Cell<Option<Duration>>,
    /// Until when the way back is tried again.
    back_by: Cell<Duration>,
    /// Since when each write whose end is not known is out, as far as this process knows.
    out_since: RefCell<BTreeMap<(StepRef, u32), Duration>>,
}

impl Driver<'_> {
    async fn go(&mut self) -> Result<RunOutcome, Broken> {
        loop {
            let next = decide(self.run.plan, &self.state);
            if let Some(breach) = self.at_boundary(&next).await {
                self.take_in(&breach)?;
                continue;
            }
            if let Some(seen) = self.schema(&next).await {
                self.take_in(&seen)?;
                continue;
            }
            let event = match next {
                Next::Stop(outcome) => return Ok(outcome),
                Next::Note(event) => event,
                Next::Arm => self.arm().await,
                Next::Request(at) => self.request(at),
                Next::Await(at) => match self.approval(at).await {
                    Some(event) => event,
                    None if at.lane == Lane::Rollback && self.state.moved => return Ok(RunOutcome::Halted),
                    None => return Ok(RunOutcome::Waiting),
                },
                Next::Attempt(at, attempt) => match self.tries(at, attempt).await? {
                    Some(event) => event,
                    None => return self.left(),
                },
                Next::Observe(at) => self.observe(at).await,
                Next::Together(_) => {
                    self.together().await?;
                    continue;
                }
                Next::Look { settle, patient } => self.users_seen(settle, patient).await,
                Next::AskInPlace(at) => self.ask_in_place(at).await,
                Next::AskRollback { why } => match self.ask_rollback(why).await {
                    Some(event) => event,
                    None => return self.left(),
                },
                Next::AskInterrupted => match self.ask_interrupted().await {
                    Some(event) => event,
                    None => return self.left(),
                },
                Next::Pause { cause, line } => match self.taken_back(cause).await {
                    Some(seen) => seen,
                    None => self.paused(cause, line),
                },
                Next::AwaitFree { cause, until } => self.await_free(cause, until).await,
                Next::Page { line } => {
                    let page = self.page(line).await;
                    let (delivered, how) = self.run.people.page(&page).await;
                    Event::Paged { delivered, line: how }
                }
            };
            self.take_in(&event)?;
        }
    }

    /// Writes the fact, and only then believes it.
    fn take_in(&mut self, event: &Event) -> Result<(), Broken> {
        let (event, record) = self.desk.masked(event);
        let event = &event;
        let next = evolve(self.run.plan, &self.state, event)?;
        self.desk.write(&[record])?;
        if let Some(because) = because(event) {
            self.because = because;
        }
        passes_over(self.run.world, event);
        let before = std::mem::replace(&mut self.state, next);
        self.remember_writes();
        self.renew_patience(event);
        // A service is frozen for a rollback that took place, and for no other.
        if let (None, Some(cause)) = (before.went_back, &self.state.went_back)
            && let Some((scope, line)) = self.run.world.guards.went_back(cause)
        {
            self.desk.observed(Evidence::FreezeChanged { change: "set".into(), scope, line });
        }
        Ok(())
    }

    fn id_of(&self, at: StepRef) -> String {
        self.run.plan.step(at).id.clone()
    }

    /// Looks what became of a step. Whoever wants users back forward is not let wait for that.
    async fn observe(&self, at: StepRef) -> Event {
        if self.overdue(at) {
            return self.out_of_time(at);
        }
        tokio::select! { biased;
            wish = self.wish() => wish,
            event = looked(self.run, self.desk, at, self.state.looked_in_vain(at)) => event,
        }
    }

    async fn arm(&mut self) -> Event {
        let checked = tokio::select! { biased;
            command = self.run.control.next() => return self.interrupted(command),
            checked = arm(self.run.plan, self.run.world, self.run.keep) => checked,
        };
        match checked {
            Ok(checks) => Event::Armed {
                approvals_ahead: self.run.people.ahead(),
                automatic_used: self.run.automatic_used,
                checks,
            },
            Err(refusal) => {
                // Whoever reads the log later has no screen to look at.
                let why = match &refusal.cause[..] {
                    [] => refusal.headline.clone(),
                    causes => format!("{}: {}", refusal.headline, causes.join("; ")),
                };
                self.refusal = Some(refusal);
                Event::Refused { why }
            }
        }
    }

    /// One attempt: intent, effect, outcome. `None`: the operator left at once.
    async fn attempt(&mut self, at: StepRef, attempt: u32) -> Result<Option<Event>, Broken> {
        let planned = self.run.plan.step(at);
        if planned.moves.is_some()
            && at.lane == Lane::Forward
            && let Some(event) = self.answered().await
        {
            return Ok(Some(event));
        }
        if let Some(event) = self.unusable(at).await {
            return Ok(Some(event));
        }
        self.schema.forget();
        let intent = self.intent(at, attempt);
        self.take_in(&intent)?;
        let id = planned.id.clone();
        let timeout = Duration::from_secs(planned.timeout_s);
        let step = self.run.steps.get(at);
        let mut work = match self.state.righting {
            Some(righting) => step.set_right(righting.found, self.run.world, self.desk),
            None => step.execute(self.run.world, self.desk),
        };
        let mut wished = None;
        let mut late = self.run.world.clock.sleep(timeout);
        let waits = at.lane == Lane::Forward && self.state.moved && self.run.steps.get(at).only_waits();
        let waits = waits && planned.moves.is_none();
        let mut trips = Box::pin(async { if waits { self.trips().await } else { std::future::pending().await } });
        let outcome = loop {
            let command = tokio::select! { biased;
                command = self.run.control.next() => command,
                outcome = &mut work => break outcome,
                // Dropping the work is the same as a power cut, and such a step has done nothing to anybody.
                trip = &mut trips => match trip {
                    Trip::Blocked(breach) => {
                        self.sides.forget();
                        break breach.outcome();
                    }
                    Trip::Landed(event) => return Ok(Some(*event)),
                },
                () = &mut late => break overdue(planned.moves.is_some(), timeout),
            };
            // Going back is not interrupted: it is what an interruption would ask for. Who asked stands in the log once this
            // attempt is over.
            if at.lane == Lane::Rollback {
                if matches!(command, Command::RollBack { .. } | Command::Override { .. }) {
                    wished = Some(self.interrupted(command));
                }
                continue;
            }
            if command == Command::Leave {
                return Ok(None);
            }
            let interrupted = self.interrupted(command);
            if planned.moves.is_none() {
                return Ok(Some(interrupted)); // Dropping the work is the same as a power cut.
            }
            // A call that moves users is let finish: half a second now saves a settle wait and a doubt.
            let outcome = tokio::select! { biased;
                outcome = &mut work => Some(outcome),
                () = self.left_twice() => return Ok(None),
                () = self.run.world.clock.sleep(GRACE) => None,
            };
            wished = Some(interrupted);
            break outcome.unwrap_or_else(|| overdue(true, GRACE));
        };
        drop(work);
        drop(trips);
        if let Some(wished) = wished {
            self.take_in(&wished)?;
        }
        Ok(Some(Event::StepOutcome { step: at, id, outcome }))
    }

    /// What is durable before the first byte of an attempt.
    fn intent(&self, at: StepRef, attempt: u32) -> Event {
        let planned = self.run.plan.step(at);
        Event::StepIntent {
            step: at,
            id: planned.id.clone(),
            attempt,
            line: planned.line.clone(),
            step_sha256: planned.sha256(),
            approvals: self.used_by(at),
        }
    }

    async fn left_twice(&self) {
        while self.run.control.next().await != Command::Leave {}
    }
}

/// Looks whether the effect of a step is in place.
async fn looked(run: &Run<'_>, desk: &Desk<'_>, at: StepRef, in_vain: bool) -> Event {
    if in_vain {
        run.world.clock.sleep(Duration::from_secs(3)).await;
    }
    let within = Duration::from_secs(run.plan.step(at).timeout_s);
    let (found, line) = tokio::select! { biased;
        found = run.steps.get(at).in_place(run.world, desk) => found,
        () = run.world.clock.sleep(within) => (Found::CannotSee, format!("no answer in {}s", within.as_secs())),
    };
    Event::StepReconciled { step: at, id: run.plan.step(at).id.clone(), found, line }
}

fn overdue(moves: bool, after: Duration) -> Outcome {
    let line = format!("no end after {}s", after.as_secs());
    if moves { Outcome::unknown(line) } else { Outcome::failed(Cause::Timeout, line) }
}
