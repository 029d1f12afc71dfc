//! A pause: users are split, something forbids going forward, and nothing moves. The gates go on being judged, and whoever
//! wants users back is heard.

use std::time::Duration;

use super::Driver;
use crate::run::{Actor, Cause, Event};

/// How often is looked whether the way is free.
const EVERY: Duration = Duration::from_secs(10);

impl Driver<'_> {
    /// The fact that begins a pause, with its end.
    pub(super) fn paused(&self, cause: Cause, line: String) -> Event {
        let longest = i64::try_from(self.run.plan.policy.pause_at_most_s).unwrap_or(i64::MAX / 2);
        let until = self.run.deadlines.now().as_second().saturating_add(longest);
        Event::Paused { step: self.state.at(), cause, line, until }
    }

    /// Waits in a pause for whatever comes first: a wish, a failing gate, a free way, another reason, or its end.
    pub(super) async fn await_free(&self, cause: Cause, until: i64) -> Event {
        let step = self.state.at();
        let left = until.saturating_sub(self.run.deadlines.now().as_second());
        let left = Duration::from_secs(u64::try_from(left).unwrap_or(0));
        tokio::select! { biased;
            command = self.run.control.next() => self.interrupted(command),
            free = self.free(cause, until) => free,
            breach = self.run.watch.breach(self.run.world, self.desk) => breach.at(step),
            breach = self.side_fails() => breach.at(step),
            () = self.run.world.clock.sleep(left) => self.not_free(cause),
        }
    }

    /// Comes back when the way is free, or blocked for another reason.
    async fn free(&self, cause: Cause, until: i64) -> Event {
        let step = self.state.at();
        loop {
            match self.obstacle().await {
                Ok(None) => return Event::Unpaused { step, line: "nothing forbids going forward any more".into() },
                Ok(Some(blocked)) if blocked.cause != cause => {
                    return Event::Paused { step, cause: blocked.cause, line: blocked.line, until };
                }
                // Still there; or it cannot be said, and that frees nobody.
                Ok(Some(_)) | Err(_) => {}
            }
            self.run.world.clock.sleep(EVERY).await;
        }
    }

    /// The end of a pause that did not come free: under a freeze users are kept where they are on purpose; anything else is for
    /// a person.
    fn not_free(&self, cause: Cause) -> Event {
        let minutes = self.run.plan.policy.pause_at_most_s / 60;
        match cause {
            Cause::Frozen => Event::Held { by: Actor::rule(), line: format!("still frozen after {minutes} minutes") },
            _ => Event::RollbackDeclined {
                by: Actor::rule(),
                why: format!("paused for {minutes} minutes, and what forbids going forward is still there"),
            },
        }
    }
}
