//! Time, behind a trait: the one place that may look at a clock or wait for one.
//!
//! Nothing else in the crate calls `Instant::now`, `SystemTime::now` or `tokio::time::sleep` (clippy refuses it), so a
//! run can be played in virtual time and a test never sleeps.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

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
