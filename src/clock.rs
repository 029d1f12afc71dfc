//! Time, behind a trait: the one place that may look at a clock or wait for one.
//!
//! Nothing else in the crate calls `Instant::now`, `SystemTime::now` or `tokio::time::sleep` (clippy refuses it), so a
//! run can be played in virtual time and a test never sleeps.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

/// Wall clock, elapsed time and waiting.
#[async_trait(?Send)]
pub trait Clock {
    /// The wall clock as read, never corrected.
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment. Counts through system sleep, so a closed laptop lid is visible as a gap.
    fn elapsed(&self) -> Duration;

    /// Waits. Cancelled by dropping the future.
    async fn sleep(&self, time: Duration);
}

/// A clock whose time never goes back: the wall clock, or what must have passed since it was last right, whichever is later.
/// Deadlines of approvals are judged by it, so setting the clock back revives nothing, and setting it forward lets nothing
/// live longer.
pub struct Ratchet {
    inner: Rc<dyn Clock>,
    /// The latest time known, and the elapsed time at which it was.
    anchor: Cell<(Timestamp, Duration)>,
}

impl Ratchet {
    /// Never earlier than `floor`: the newest time in the run's own log.
    pub fn new(inner: Rc<dyn Clock>, floor: Timestamp) -> Self {
        let anchor = Cell::new((floor, inner.elapsed()));
        Ratchet { inner, anchor }
    }
}

#[async_trait(?Send)]
impl Clock for Ratchet {
    fn now(&self) -> Timestamp {
        let (wall, elapsed) = (self.inner.now(), self.inner.elapsed());
        let (then, at) = self.anchor.get();
        let passed = SignedDuration::try_from(elapsed.saturating_sub(at)).unwrap_or(SignedDuration::MAX);
        let expected = then.saturating_add(passed).unwrap_or(then);
        if wall > expected {
            // From here on time goes on from the later one; otherwise a clock that was ahead for a moment would stand still.
            self.anchor.set((wall, elapsed));
        }
        wall.max(expected)
    }

    fn elapsed(&self) -> Duration {
        self.inner.elapsed()
    }

    async fn sleep(&self, time: Duration) {
        self.inner.sleep(time).await;
    }
}

/// The machine's own clocks: `CLOCK_REALTIME`, `CLOCK_BOOTTIME`, and tokio's timer.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait(?Send)]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn elapsed(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
