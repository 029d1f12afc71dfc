//! The live schema, asked before users are sent on to green and before they come back. The database is only asked here: what
//! an answer means for the run is for the machine to say.

use std::time::Duration;

use super::Driver;
use crate::migrations::live::{Seen, When, look};
use crate::plan::{Color, Lane, PlannedSchema, StepRef};
use crate::run::{Event, Evidence, Next, Verdict};
use crate::world::Scribe;

/// How often a database that does not answer is asked before users go on, and how long is waited between.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_secs(3);
/// The longest a way back waits for the database.
const BACK_WITHIN: Duration = Duration::from_millis(1500);
/// For so long a good answer counts when users have to come back and the database is silent: a green that takes all its
/// connections must not be what keeps users on green.
const FRESH: Duration = Duration::from_secs(1200);

/// What was asked so far.
#[derive(Default)]
pub(super) struct Memory {
    /// The attempt that the last answer was for has not begun yet.
    asked: bool,
    asked_back: bool,
    /// When it was last seen that blue can live with it, by the clock that cannot be set.
    good: Option<Duration>,
}

impl Memory {
    /// An attempt begins: the next one asks anew.
    pub(super) fn forget(&mut self) {
        self.asked = false;
    }
}

impl Driver<'_> {
    /// What the schema says to what is next; none where it is not asked, or has been.
    pub(super) async fn schema(&mut self, next: &Next) -> Option<Event> {
        let schema = self.run.plan.schema.as_ref()?;
        match next {
            Next::Attempt(at, _) if !self.schema.asked && self.raises_green(*at) => {
                self.schema.asked = true;
                self.before_green(schema, *at).await
            }
            // Beside the moves too: that the way back is closed is to be known before it is needed.
            Next::Attempt(at, _) if !self.schema.asked && at.lane == Lane::Forward && self.state.moved => {
                self.schema.asked = true;
                self.between(schema, *at).await
            }
            Next::Note(Event::RollbackBegun { automatic, .. }) if !self.schema.asked_back => {
                self.schema.asked_back = true;
                self.before_blue(schema, *automatic).await
            }
            _ => None,
        }
    }

    fn raises_green(&self, at: StepRef) -> bool {
        let moves = self.run.plan.step(at).moves.as_ref();
        moves.is_some_and(|moves| moves.after.share(Color::Green) > moves.before.share(Color::Green))
    }

    async fn asked(&self, schema: &PlannedSchema, when: When) -> Option<Seen> {
        let world = self.run.world;
        let url = world.secrets.resolve(schema.postgres.as_ref()?);
        // What was accepted when the run began is no reason to stop now: its way back is closed already.
        let closed = !self.run.plan.policy.schema_safe;
        look(schema, &url, world.database.as_ref(), when, closed).await
    }

    async fn before_green(&mut self, schema: &PlannedSchema, step: StepRef) -> Option<Event> {
        let mut seen = self.asked(schema, When::Forward).await?;
        for _ in 1..TRIES {
            if seen.forward != Verdict::Unknown {
                break;
            }
            self.desk.observed(Evidence::Note { line: format!("schema: {}; asked again", seen.line) });
            tokio::select! { biased;
                command = self.run.control.next() => return Some(self.interrupted(command)),
                () = self.run.world.clock.sleep(PAUSE) => {}
            }
            seen = self.asked(schema, When::Forward).await?;
        }
        if seen.back == Verdict::Pass {
            self.schema.good = Some(self.run.world.clock.elapsed());
        }
        let Seen { forward, back, line } = seen;
        Some(Event::SchemaSeen { step, forward, back, line })
    }

    /// Asked in passing: an answer that cannot be had changes nothing here.
    async fn between(&mut self, schema: &PlannedSchema, step: StepRef) -> Option<Event> {
        let Seen { back, line, .. } = self.asked_within(schema).await?;
        if back == Verdict::Pass {
            self.schema.good = Some(self.run.world.clock.elapsed());
        }
        let news = back == Verdict::Fail && self.state.closed(self.run.plan).is_none();
        news.then_some(Event::SchemaSeen { step, forward: Verdict::Pass, back, line })
    }

    async fn asked_within(&self, schema: &PlannedSchema) -> Option<Seen> {
        tokio::select! { biased;
            seen = self.asked(schema, When::Back) => seen,
            () = self.run.world.clock.sleep(BACK_WITHIN) => Some(Seen {
                forward: Verdict::Unknown,
                back: Verdict::Unknown,
                line: format!("PostgreSQL gives no answer in {}", crate::scalar::spoken(BACK_WITHIN)),
            }),
        }
    }

    async fn before_blue(&mut self, schema: &PlannedSchema, automatic: bool) -> Option<Event> {
        let clock = &self.run.world.clock;
        let Seen { mut back, mut line, .. } = self.asked_within(schema).await?;
        if back == Verdict::Unknown {
            let age = self.schema.good.map(|good| clock.elapsed().saturating_sub(good));
            match age.filter(|age| *age <= FRESH) {
                Some(age) => {
                    line = format!("{line}; the check {} before that passed", crate::scalar::spoken(age));
                    back = Verdict::Pass;
                }
                // Whoever goes back by hand has looked, or takes it on themselves.
                None if !automatic => {
                    self.desk.observed(Evidence::Note { line: format!("schema: not known: {line}") });
                    return None;
                }
                None => line = format!("not known whether BLUE works with the schema: {line}"),
            }
        }
        // Where users come back it says nothing about going on.
        Some(Event::SchemaSeen { step: self.state.at(), forward: Verdict::Pass, back, line })
    }
}
