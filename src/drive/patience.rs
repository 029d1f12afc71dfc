//! Trying a move again: after a pause that grows, and on the way back until its time is over.
//!
//! That it is tried again, and what follows when the time is over, is for the run machine; this only waits, says for what, and
//! hears whoever wishes something meanwhile.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::{Broken, Driver};
use crate::plan::{Lane, StepRef};
use crate::run::{Doing, Event};
use crate::scalar::spoken;
use crate::world::{Progress, Scribe};

/// The pause before the second attempt at the longest, and before any.
const FIRST: Duration = Duration::from_millis(400);
const LONGEST: Duration = Duration::from_secs(20);

/// How long to wait before this attempt: half of a span that doubles, and a part of the other half that differs from run to run,
/// so that many runs do not come back at the same moment. The same attempt of the same run always waits as long.
fn pause_before(run: &str, at: StepRef, attempt: u32) -> Duration {
    let span = FIRST.saturating_mul(1 << attempt.saturating_sub(2).min(10)).min(LONGEST);
    let mut hash = DefaultHasher::new();
    (run, at, attempt).hash(&mut hash);
    let part = (hash.finish() % 1000) as f64 / 1000.0;
    span.mul_f64(0.5 + part / 2.0)
}

impl Driver<'_> {
    /// One attempt, after the pause it takes if it is a further one.
    pub(super) async fn tries(&mut self, at: StepRef, attempt: u32) -> Result<Option<Event>, Broken> {
        let moves = self.run.plan.step(at).moves.is_some();
        if moves && attempt > 1 {
            if self.overdue(at) {
                return Ok(Some(self.out_of_time(at)));
            }
            if let Some(wish) = self.waits_before(at, attempt).await {
                self.tried.set(None);
                return Ok(Some(wish));
            }
        }
        let ended = self.attempt(at, attempt).await?;
        self.tried.set(Some(self.run.world.clock.elapsed()));
        Ok(ended)
    }

    /// Comes back with a wish, if there was one.
    async fn waits_before(&self, at: StepRef, attempt: u32) -> Option<Event> {
        let clock = &self.run.world.clock;
        let tried = self.tried.get()?;
        let mut until = tried + pause_before(self.run.id, at, attempt);
        if at.lane == Lane::Rollback {
            until = until.min(self.back_by.get());
        }
        let why = self.state.waits_for.as_deref().unwrap_or("the attempt before failed");
        loop {
            let now = clock.elapsed();
            let left = until.saturating_sub(now);
            if left.is_zero() {
                return None;
            }
            let mut line = format!("{why}: attempt {attempt} in {}", spoken(left.max(Duration::from_secs(1))));
            if at.lane == Lane::Rollback {
                line += &format!(", tried for {} more", spoken(self.back_by.get().saturating_sub(now)));
            }
            self.desk.progress(Progress { line, ..Progress::default() });
            tokio::select! { biased;
                wish = self.wish() => return Some(wish),
                () = clock.sleep(left.min(Duration::from_secs(1))) => {}
            }
        }
    }

    /// The way back has been tried for as long as it may be.
    pub(super) fn overdue(&self, at: StepRef) -> bool {
        let failing = match self.state.doing {
            Doing::Ready { attempt } => attempt > 1,
            Doing::Uncertain { looks, .. } => looks > 0,
            _ => false,
        };
        let back = at.lane == Lane::Rollback && self.run.plan.step(at).moves.is_some();
        back && failing && self.time_is_over()
    }

    pub(super) fn time_is_over(&self) -> bool {
        self.run.world.clock.elapsed() >= self.back_by.get()
    }

    /// The pause before a further attempt to go back, which is not longer than the time that is left.
    pub(super) fn pause(&self, at: StepRef, attempt: u32) -> Duration {
        let left = self.back_by.get().saturating_sub(self.run.world.clock.elapsed());
        pause_before(self.run.id, at, attempt).min(left)
    }

    pub(super) fn out_of_time(&self, at: StepRef) -> Event {
        let why = self.state.waits_for.as_deref().unwrap_or("it could not be seen");
        let within = spoken(Duration::from_secs(self.run.plan.policy.rollback_within_s));
        Event::RollbackOverdue { step: at, id: self.id_of(at), line: format!("tried again for {within}: {why}") }
    }

    /// The time of the way back counts from its beginning, and anew from each command that asks for it and each late write that
    /// is set right.
    pub(super) fn renew_patience(&self, event: &Event) {
        let back = self.state.lane == Lane::Rollback;
        let begins = matches!(
            event,
            Event::RollbackBegun { .. } | Event::Armed { .. } | Event::Interrupted { .. } | Event::WriteLanded { .. }
        );
        if back && begins {
            let within = Duration::from_secs(self.run.plan.policy.rollback_within_s);
            self.back_by.set(self.run.world.clock.elapsed() + within);
            self.tried.set(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r09_pauses_grow_to_an_end_and_differ_from_run_to_run() {
        let at = StepRef { lane: Lane::Rollback, index: 0 };
        for attempt in 2..40 {
            let pause = pause_before("run", at, attempt);
            let span = FIRST * 2_u32.pow((attempt - 2).min(10));
            let span = span.min(LONGEST);
            assert!(span / 2 <= pause && pause <= span, "{attempt}: {pause:?} of {span:?}");
            assert_eq!(pause, pause_before("run", at, attempt));
        }
        let runs = (0..50).map(|run| pause_before(&run.to_string(), at, 9));
        assert!(runs.collect::<std::collections::BTreeSet<_>>().len() > 30);
    }
}
