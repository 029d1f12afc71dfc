//! Requests of one stack, counted: the one form in which they go from whoever measures them to whoever judges them. Pure.

/// Requests of one stack since users were shifted, and how many of them were bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub requests: u64,
    pub bad: u64,
}

impl Counts {
    /// Of numbers as Prometheus estimates them. `part` counts the bad requests, or the good ones.
    pub fn estimated(requests: f64, part: f64, good: bool) -> Self {
        let requests = whole(requests);
        // Both are estimates between scrapes, so the part may come out a little larger than the whole.
        let part = whole(part).min(requests);
        Counts { requests, bad: if good { requests - part } else { part } }
    }

    /// Of numbers as a source says them: that there are more bad requests than requests is for the judge to see.
    pub fn said(requests: f64, bad: f64) -> Self {
        Counts { requests: whole(requests), bad: whole(bad) }
    }

    pub(super) fn and(self, more: Counts) -> Counts {
        Counts { requests: self.requests + more.requests, bad: self.bad + more.bad }
    }

    pub(super) fn since(self, before: Counts) -> Counts {
        let requests = self.requests.saturating_sub(before.requests);
        Counts { requests, bad: self.bad.saturating_sub(before.bad).min(requests) }
    }

    pub(super) fn good(self) -> u64 {
        self.requests - self.bad
    }

    pub fn rate(self) -> f64 {
        if self.requests == 0 { 0.0 } else { self.bad as f64 / self.requests as f64 }
    }
}

/// A measured number of requests, to the nearest whole one.
pub fn whole(number: f64) -> u64 {
    number.round().max(0.0) as u64
}
