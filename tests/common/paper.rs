//! What a reporter is given in tests: paper that keeps every byte, and a clock that stands where it is put.

use std::cell::Cell;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bgctl::clock::Clock;
use jiff::Timestamp;

/// Keeps what is written, for all who hold it.
#[derive(Clone, Default)]
pub struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().expect("nobody panicked while writing").clone()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.bytes()).expect("text")
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panicked while writing").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Stands still until it is put elsewhere.
pub struct Still {
    began: Timestamp,
    now: Cell<Timestamp>,
}

impl Still {
    pub fn at(began: Timestamp) -> Self {
        Still { began, now: Cell::new(began) }
    }

    pub fn put(&self, now: Timestamp) {
        self.now.set(now);
    }

    /// How many seconds after it began it stands.
    pub fn after(&self) -> i64 {
        self.now.get().as_second() - self.began.as_second()
    }

    /// So many seconds after it began.
    pub fn put_after(&self, seconds: i64) {
        self.put(self.began + jiff::SignedDuration::from_secs(seconds));
    }
}

#[async_trait(?Send)]
impl Clock for Still {
    fn now(&self) -> Timestamp {
        self.now.get()
    }
    fn elapsed(&self) -> Duration {
        self.now.get().duration_since(self.began).unsigned_abs()
    }
    async fn sleep(&self, _: Duration) {
        std::future::pending().await
    }
}
