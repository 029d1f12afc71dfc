//! The lab's own clock: real time, never the run's. The only file of the lab that may look at a clock or wait for one.
//!
//! The lab stands for the outside world, and the outside world does not follow a run's virtual time.

use std::future::Future;
use std::time::{Duration, Instant, SystemTime};

/// Monotonic time.
#[expect(clippy::disallowed_methods, reason = "the lab is the outside world and keeps its own time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Wall clock in milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the lab is the outside world and keeps its own time")]
pub fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Waits on the lab's runtime.
#[expect(clippy::disallowed_methods, reason = "the lab is the outside world and keeps its own time")]
pub async fn sleep(time: Duration) {
    tokio::time::sleep(time).await;
}

/// The future's value, or nothing when it took longer than `time`.
#[expect(clippy::disallowed_methods, reason = "the lab is the outside world and keeps its own time")]
pub async fn within<F: Future>(time: Duration, future: F) -> Option<F::Output> {
    tokio::time::timeout(time, future).await.ok()
}

/// Milliseconds as a duration.
pub fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}
