//! Verdicts: a rule and what was observed, to `pass`, `fail` or `unknown` with the reason in numbers. Pure.
//!
//! Error rates are judged by two sequential tests that may be looked at as often as one likes: green against blue, and green
//! against the limit. Comparing every poll with the limit instead would send a healthy canary of 2 requests a second back
//! in 97 of 100 bakes, because one error of 60 requests is 1.7 %. Everything else is judged value by value; how many
//! failing windows count is for the caller.

mod back;
mod confirmation;
pub mod counts;
mod likelihood;
pub mod rate_history;

pub use self::back::Back;
pub use self::counts::Counts;
use self::likelihood::{interval, over_limit, worse_than_blue};
use crate::run::Verdict;
use crate::scalar::{Margin, Unit};

/// How sure a sequential test must be: a healthy green reaches this likelihood ratio in at most 1 of 80 runs, however
/// often it is looked at. The floors below make it rarer still: 1 of 700.
pub(super) const CERTAIN: f64 = 80.0;
/// The absolute floor beneath the comparison with blue: the excess over what is allowed must itself be this likely, so a
/// real but tiny difference fails nothing. In simulation it takes false alarms from 0.4 % to 0.1 % and costs no time.
const NOTICEABLE: f64 = 5.0;
/// Fewer bad requests than this never fail a gate: two unlucky users prove nothing, however few there are in all.
pub(super) const FEWEST_BAD: u64 = 3;

/// What is demanded.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub bound: Bound,
    pub unit: Unit,
    /// How much worse than blue green may be.
    pub margin: Option<Margin>,
    /// Without this many requests of green there is no pass. A fail needs none.
    pub min_requests: u64,
}

/// The side of the limit that is good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    Max(f64),
    Min(f64),
}

/// What blue does meanwhile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Control {
    Value(f64),
    /// It serves nobody, so there is nothing to compare with and green's limit decides alone.
    Idle,
    /// It should have a value and has none.
    Absent,
}

/// A verdict that explains itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    pub verdict: Verdict,
    pub green: Option<String>,
    pub blue: Option<String>,
    pub limit: String,
    pub requests: Option<String>,
    pub line: String,
    /// Of blue over the same time.
    pub back: Back,
    /// One instance of green is bad and the others keep the rule: a finding about that instance, not about the release.
    pub instance: bool,
}

impl Rule {
    /// `max 0.5%, blue +0.3%`.
    pub fn limit(&self) -> String {
        let bound = match self.bound {
            Bound::Max(limit) => format!("max {}", self.unit.show(limit)),
            Bound::Min(limit) => format!("min {}", self.unit.show(limit)),
        };
        match &self.margin {
            Some(margin) => format!("{bound}, blue {margin}"),
            None => bound,
        }
    }

    /// Nothing can be said, and why.
    pub fn unknown(&self, why: impl Into<String>) -> Judgement {
        Judgement {
            verdict: Verdict::Unknown,
            green: None,
            blue: None,
            limit: self.limit(),
            requests: None,
            line: why.into(),
            back: Back::Fit,
            instance: false,
        }
    }

    /// Judges one value of green, beside blue's of the same time where there is one.
    pub fn judge_value(&self, green: f64, control: Control, requests: Option<u64>) -> Judgement {
        let show = |v: f64| self.beside_limit(v);
        let blue = if let Control::Value(blue) = control { Some(blue) } else { None };
        let answer = |verdict, line| Judgement {
            verdict,
            green: Some(show(green)),
            blue: blue.map(show),
            limit: self.limit(),
            requests: requests.map(|n| n.to_string()),
            line,
            back: blue.map_or(Back::Fit, |blue| self.back_to_value(green, blue)),
            instance: false,
        };
        // A comparison with a value that is not a number is false both ways, so it would pass or fail by accident.
        if !green.is_finite() || blue.is_some_and(|b| !b.is_finite()) {
            return self.unknown("a value is not a finite number");
        }
        let against_blue = blue.map_or(String::new(), |b| format!(", blue {}", show(b)));
        let word = if matches!(self.bound, Bound::Max(_)) { "over" } else { "under" };
        if self.is_broken_by(green) {
            return answer(
                Verdict::Fail,
                format!("green {} is {word} the limit ({}){against_blue}", show(green), self.limit()),
            );
        }
        if let Some(margin) = &self.margin
            && control != Control::Idle
        {
            let Some(blue) = blue else {
                return answer(
                    Verdict::Unknown,
                    format!("green {}, but blue has no value to compare with", show(green)),
                );
            };
            if self.beyond(margin, green, blue) {
                return answer(Verdict::Fail, format!("green {} is beyond blue {} {margin}", show(green), show(blue)));
            }
        }
        match requests {
            Some(n) if n < self.min_requests => answer(
                Verdict::Unknown,
                format!("green {} on {n} requests; {} are needed to pass", show(green), self.min_requests),
            ),
            None if self.min_requests > 0 => answer(
                Verdict::Unknown,
                format!(
                    "green {}, but its requests are not counted; {} are needed to pass",
                    show(green),
                    self.min_requests
                ),
            ),
            _ => answer(Verdict::Pass, format!("green {} keeps {}{against_blue}", show(green), self.limit())),
        }
    }

    /// Requests of one stack as they are shown beside the limit: `0.2% (4 of 2000 bad)`.
    pub fn counted(&self, counts: Counts) -> String {
        format!("{} ({} of {} bad)", self.unit.show(self.share(counts)), counts.bad, counts.requests)
    }

    /// Where the true share lies: `likely 1.5% to 2.7%`.
    fn likely(&self, counts: Counts) -> String {
        let (low, high) = interval(counts);
        let (low, high) = if matches!(self.bound, Bound::Min(_)) { (1.0 - high, 1.0 - low) } else { (low, high) };
        format!("likely {} to {}", self.unit.show(low), self.unit.show(high))
    }

    /// The share that the limit is about: of good requests where it is the lowest one allowed.
    pub fn share(&self, counts: Counts) -> f64 {
        if matches!(self.bound, Bound::Min(_)) { 1.0 - counts.rate() } else { counts.rate() }
    }

    /// A value as it is shown: with all its digits where fewer would make it look like the limit.
    fn beside_limit(&self, value: f64) -> String {
        let (Bound::Max(limit) | Bound::Min(limit)) = self.bound;
        let shown = self.unit.show(value);
        let alike = value != limit && shown == self.unit.show(limit);
        if alike { format!("{value} ({shown} rounded)") } else { shown }
    }

    /// Whether a value is on the wrong side of the limit.
    pub fn is_broken_by(&self, value: f64) -> bool {
        match self.bound {
            Bound::Max(limit) => value > limit,
            Bound::Min(limit) => value < limit,
        }
    }

    /// The highest share of bad requests that the limit allows.
    pub(super) fn highest(&self) -> f64 {
        match self.bound {
            Bound::Max(limit) => limit,
            Bound::Min(limit) => 1.0 - limit,
        }
    }

    pub(super) fn green_in_short(&self, green: Counts) -> String {
        format!("green {}", self.unit.show(self.share(green)))
    }

    /// Judges bad requests of both stacks, counted over the same time since users were shifted. `blue` with no requests
    /// means that everybody is on green, so the limit alone decides.
    pub fn judge_counts(&self, green: Counts, blue: Counts) -> Judgement {
        self.judge_counts_by(CERTAIN, green, blue)
    }

    /// The same with a likelihood ratio of one's own for a fail.
    pub(super) fn judge_counts_by(&self, certain: f64, green: Counts, blue: Counts) -> Judgement {
        let limit = self.highest();
        let shown = format!("green {}", self.counted(green));
        let compared = if blue.requests == 0 {
            "blue serves nobody".to_string()
        } else {
            format!("blue {} ({} of {})", self.unit.show(self.share(blue)), blue.bad, blue.requests)
        };
        let answer = |verdict, line: String| Judgement {
            verdict,
            green: Some(self.unit.show(self.share(green))),
            blue: (blue.requests > 0).then(|| self.unit.show(self.share(blue))),
            limit: self.limit(),
            requests: Some(green.requests.to_string()),
            line,
            back: self.back_to_counts(green, blue),
            instance: false,
        };
        if green.bad > green.requests || blue.bad > blue.requests {
            return self.unknown(format!("more bad requests than requests: {shown}, {compared}"));
        }
        let over = green.rate() > limit;
        let beyond = blue.requests > 0
            && self.margin.as_ref().is_some_and(|m| self.beyond(m, self.share(green), self.share(blue)));
        if green.bad >= FEWEST_BAD && (over || beyond) {
            let (against_blue, against_limit) = (worse_than_blue(green, blue), over_limit(green, limit));
            let felt = over_limit(green, self.lowest_forbidden(limit, blue)) >= NOTICEABLE.ln();
            if against_limit >= certain.ln() || (against_blue >= certain.ln() && felt) {
                let (odds, likely) = (odds(against_blue.max(against_limit)), self.likely(green));
                let line = format!("{shown} against {compared}, {}: {odds}, {likely}", self.limit());
                return answer(Verdict::Fail, line);
            }
        }
        if over || beyond {
            return answer(
                Verdict::Unknown,
                format!(
                    "{shown} against {compared}: worse than {}, not yet proven, {}",
                    self.limit(),
                    self.likely(green)
                ),
            );
        }
        if green.requests < self.min_requests || green.requests == 0 {
            let needed = self.min_requests.max(1);
            return answer(Verdict::Unknown, format!("{shown}; {needed} requests are needed to pass"));
        }
        answer(Verdict::Pass, format!("{shown}, {compared}, keeps {}", self.limit()))
    }

    /// The lowest share of bad requests that the rule forbids, given blue's.
    pub(super) fn lowest_forbidden(&self, limit: f64, blue: Counts) -> f64 {
        match &self.margin {
            Some(Margin::Plus(by)) => limit.min(blue.rate() + by.value),
            Some(Margin::Times(factor)) => limit.min(blue.rate() * factor),
            None => limit,
        }
    }

    pub(super) fn beyond(&self, margin: &Margin, green: f64, blue: f64) -> bool {
        match (margin, self.bound) {
            (Margin::Plus(by), Bound::Max(_)) => green > blue + by.value,
            (Margin::Plus(by), Bound::Min(_)) => green < blue - by.value,
            (Margin::Times(factor), Bound::Max(_)) => green > blue * factor,
            (Margin::Times(factor), Bound::Min(_)) => green < blue / factor,
        }
    }
}

/// A likelihood ratio, given as its logarithm, as people say it.
fn odds(ln: f64) -> String {
    match ln.exp() {
        odds if odds < 10_000.0 => format!("{odds:.0} to 1 against chance"),
        odds if odds < 1e6 => format!("{:.0} thousand to 1 against chance", odds / 1e3),
        _ => "more than a million to 1 against chance".into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scalar::Limit;

    fn errors() -> Rule {
        Rule {
            bound: Bound::Max(0.005),
            unit: Unit::Percent,
            margin: Some(Margin::Plus(Limit::parse("0.3%").unwrap())),
            min_requests: 600,
        }
    }

    fn counts(requests: u64, bad: u64) -> Counts {
        Counts { requests, bad }
    }

    #[test]
    fn verdicts_on_counts() {
        use Verdict::{Fail, Pass, Unknown};
        let table = [
            // (green requests, bad), (blue requests, bad), verdict
            ((1000, 1), (9000, 18), Pass),
            ((599, 0), (9000, 18), Unknown), // under the floor: nothing bad proves nothing
            ((1, 1), (9, 0), Unknown),       // one of one
            ((0, 0), (9000, 18), Unknown),   // idle
            ((50, 10), (450, 1), Fail),      // a fail needs no floor
            ((1000, 8), (9000, 18), Unknown), // worse, not yet proven
            ((1000, 30), (0, 0), Fail),      // everybody on green: the limit alone
            ((1000, 2), (0, 0), Pass),
            ((1_000_000, 5), (1_000_000, 1), Pass), // a real difference that nobody can feel
            ((1000, 1001), (9000, 0), Unknown),
        ];
        for (green, blue, verdict) in table {
            let got = errors().judge_counts(counts(green.0, green.1), counts(blue.0, blue.1));
            assert_eq!(got.verdict, verdict, "{green:?} {blue:?}: {}", got.line);
        }
    }

    #[test]
    fn a_share_of_good_requests_is_judged_the_same_way() {
        let rule = Rule { bound: Bound::Min(0.995), margin: None, ..errors() };
        assert_eq!(rule.judge_counts(counts(1000, 1), counts(9000, 18)).verdict, Verdict::Pass);
        let failed = rule.judge_counts(counts(1000, 40), counts(9000, 18));
        assert_eq!((failed.verdict, failed.green.as_deref()), (Verdict::Fail, Some("96%")));
    }

    #[test]
    fn verdicts_on_values() {
        use Verdict::{Fail, Pass, Unknown};
        let rule =
            Rule { bound: Bound::Max(0.8), unit: Unit::Seconds, margin: Some(Margin::Times(1.5)), min_requests: 100 };
        let table = [
            (0.3, Some(0.3), Some(500), Pass),
            (0.9, Some(0.3), Some(500), Fail),
            (0.9, None, Some(1), Fail),
            (0.6, Some(0.3), Some(500), Fail),
            (0.3, None, Some(500), Unknown),
            (0.3, Some(0.3), Some(99), Unknown),
            (0.3, Some(0.3), None, Unknown),
            (f64::NAN, Some(0.3), Some(500), Unknown),
            (f64::INFINITY, Some(0.3), Some(500), Unknown),
            (0.3, Some(f64::NAN), Some(500), Unknown),
        ];
        for (green, blue, requests, verdict) in table {
            let control = blue.map_or(Control::Absent, Control::Value);
            let got = rule.judge_value(green, control, requests);
            assert_eq!(got.verdict, verdict, "{green} {blue:?} {requests:?}: {}", got.line);
        }
        assert_eq!(rule.judge_value(0.3, Control::Idle, Some(500)).verdict, Pass);
        let line = rule.judge_value(0.9, Control::Value(0.3), Some(500)).line;
        assert_eq!(line, "green 900ms is over the limit (max 800ms, blue x1.5), blue 300ms");
    }

    #[test]
    fn a_limit_of_zero_fails_on_three_bad_requests() {
        let rule = Rule { bound: Bound::Max(0.0), margin: None, min_requests: 10, ..errors() };
        assert_eq!(rule.judge_counts(counts(100, 0), counts(100, 0)).verdict, Verdict::Pass);
        assert_eq!(rule.judge_counts(counts(100, 3), counts(100, 0)).verdict, Verdict::Fail);
    }

    proptest! {
        /// More bad requests never make a verdict better, and no counts make it panic.
        #[test]
        fn worse_is_never_judged_better(n in 0u64..50_000, k in 0u64..500, m in 0u64..50_000, h in 0u64..500) {
            let rank = |v| match v { Verdict::Pass => 0, Verdict::Unknown => 1, Verdict::Fail => 2 };
            let (n, m) = (n + 501, m + 501);
            let less = errors().judge_counts(counts(n, k), counts(m, h));
            let more = errors().judge_counts(counts(n, k + 1), counts(m, h));
            prop_assert!(rank(more.verdict) >= rank(less.verdict), "{} then {}", less.line, more.line);
        }

        /// A pass always rests on enough requests and on a rate inside the limit.
        #[test]
        fn a_pass_has_its_floor(n in 0u64..5_000, k in 0u64..50, m in 0u64..50_000, h in 0u64..500) {
            let got = errors().judge_counts(counts(n, k), counts(m, h));
            if got.verdict == Verdict::Pass {
                prop_assert!(n >= 600 && k as f64 / n as f64 <= 0.005);
            }
        }
    }
}
