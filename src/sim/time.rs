//! Virtual time: a clock whose hours pass when nothing else can happen, and the executor that turns it.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use crate::clock::Clock;

/// The process died at the boundary that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crashed;

/// A clock that stands still while anything can be done, and then jumps to the next moment somebody waits for.
#[derive(Default)]
pub struct VirtualClock {
    now: Cell<Duration>,
    alarms: RefCell<BinaryHeap<Reverse<Alarm>>>,
    count: Cell<u64>,
    boundaries: Cell<u32>,
    crash_at: Cell<Option<u32>>,
    crashed: Cell<bool>,
    answers: Cell<u64>,
}

impl VirtualClock {
    pub fn time(&self) -> Duration {
        self.now.get()
    }

    /// Lets the process die at the n-th boundary from now (1 is the next), or live on.
    pub fn crash_at(&self, n: Option<u32>) {
        self.boundaries.set(0);
        self.crash_at.set(n);
        self.crashed.set(false);
    }

    /// A running number, for simulated chance that repeats.
    pub(super) fn answers(&self) -> u64 {
        self.answers.replace(self.answers.get() + 1)
    }

    pub fn boundaries(&self) -> u32 {
        self.boundaries.get()
    }

    /// A place where a process can die: around every effect and every record. True: it just did.
    pub fn dies_here(&self) -> bool {
        self.boundaries.set(self.boundaries.get() + 1);
        if self.crash_at.get() == Some(self.boundaries.get()) {
            self.crashed.set(true);
        }
        self.crashed.get()
    }

    /// The same for asynchronous code: after the crash it never comes back.
    pub async fn boundary(&self) {
        if self.dies_here() {
            std::future::pending::<()>().await;
        }
    }

    /// Runs a future to its end in virtual time, or to the crash.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> Result<T, Crashed> {
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        loop {
            let poll = future.as_mut().poll(&mut context);
            if self.crashed.get() {
                return Err(Crashed);
            }
            if let Poll::Ready(value) = poll {
                return Ok(value);
            }
            let Some(Reverse(alarm)) = self.alarms.borrow_mut().pop() else {
                panic!("BUG: everybody waits and nobody will ever come")
            };
            self.now.set(self.now.get().max(alarm.at));
            alarm.waker.wake();
        }
    }
}

#[async_trait(?Send)]
impl Clock for VirtualClock {
    /// Virtual time begins on 2026-01-01.
    fn now(&self) -> Timestamp {
        let start = Timestamp::from_second(1_767_225_600).expect("BUG: a date of this century");
        start + SignedDuration::try_from(self.now.get()).expect("BUG: a run of centuries")
    }

    fn elapsed(&self) -> Duration {
        self.now.get()
    }

    async fn sleep(&self, time: Duration) {
        Sleep { clock: self, until: self.now.get() + time, set: false }.await;
    }
}

struct Alarm {
    at: Duration,
    /// Alarms of one moment ring in the order they were set.
    order: u64,
    waker: Waker,
}

impl PartialEq for Alarm {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for Alarm {}
impl PartialOrd for Alarm {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Alarm {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

struct Sleep<'a> {
    clock: &'a VirtualClock,
    until: Duration,
    set: bool,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.clock.now.get() >= self.until {
            return Poll::Ready(());
        }
        if !self.set {
            self.set = true;
            let order = self.clock.count.get();
            self.clock.count.set(order + 1);
            let alarm = Alarm { at: self.until, order, waker: context.waker().clone() };
            self.clock.alarms.borrow_mut().push(Reverse(alarm));
        }
        Poll::Pending
    }
}
