//! A fail is confirmed: it has to stand without what came all at once, without the worst instance, and on more than one look.
//! Pure.

use std::time::Duration;

use super::counts::Counts;
use super::likelihood::{over_limit, worse_than_blue};
use super::rate_history::{Burst, Calm, RateHistory};
use super::{Judgement, Rule};
use crate::run::Verdict;
use crate::scalar::spoken;

/// Where most bad requests are of one instance, the others must be this likely to be worse by themselves.
const WITHOUT_THE_WORST: f64 = 40.0;
/// A burst is an accident, and so may be a second one. What comes a third time does not pass.
const ACCIDENTS: usize = 2;
/// What bursts may cost: one request in twenty, or as many as the limit allows. A release that lost more has not been well.
const COSTLIEST: f64 = 0.05;

impl Rule {
    /// Judges the counts of all looks so far. A fail has to stand without what came all at once and without the worst
    /// instance, and never rests on a single look; a burst that is over and cost little does not keep a green from passing.
    pub fn judge_history(&self, history: &RateHistory) -> Judgement {
        let (green, blue) = (history.green(), history.blue());
        let plain = self.judge_counts(green, blue);
        let limit = self.highest();
        // A count that must not move at all is no rate: every one of its bad requests stands for itself.
        if limit <= 0.0 || green.bad > green.requests {
            return plain;
        }
        let lowest = self.lowest_forbidden(limit, blue).max(limit / 100.0);
        let calm = history.calm(lowest);
        // What has just begun is little of all requests so far, and may be an outage.
        let goes_on = calm.bursts.iter().any(|burst| history.is_open(burst));
        if plain.verdict == Verdict::Pass && !goes_on {
            return plain;
        }
        let calmly = self.judge_counts(calm.green, calm.blue);
        let unproven = |why: String| Judgement {
            verdict: Verdict::Unknown,
            line: format!("{} ({} of {} bad): {why}", self.green_in_short(green), green.bad, green.requests),
            ..plain.clone()
        };
        match (plain.verdict, calmly.verdict) {
            (Verdict::Fail, _) if history.looks() < 2 || calm.green.requests == 0 => {
                unproven("seen too shortly to tell a burst; the next look has to confirm it".into())
            }
            (Verdict::Fail, Verdict::Fail) => match self.one_instance(history, limit, blue) {
                Some(why) => Judgement { instance: true, ..unproven(why) },
                None => plain,
            },
            (Verdict::Pass, _) | (_, Verdict::Pass) if goes_on => {
                unproven(format!("it may go on; {}", self.without_bursts(&calm)))
            }
            // Early in a bake every burst is a large part of the requests so far: it is for the end to say what it cost.
            (_, Verdict::Pass) if self.costs_too_much(&calm, green) => {
                unproven(format!("more than a burst may cost; {}", self.without_bursts(&calm)))
            }
            (_, Verdict::Pass) if calm.bursts.len() <= ACCIDENTS && !calm.bursts.is_empty() => Judgement {
                verdict: Verdict::Pass,
                line: format!("{}; {}", calmly.line, left_out(&calm.bursts)),
                ..plain
            },
            (Verdict::Fail, _) if !calm.bursts.is_empty() => unproven(self.without_bursts(&calm)),
            _ => plain,
        }
    }

    fn costs_too_much(&self, calm: &Calm, green: Counts) -> bool {
        let lost: u64 = calm.bursts.iter().map(|burst| burst.bad).sum();
        lost as f64 > self.highest().max(COSTLIEST) * green.requests as f64
    }

    fn without_bursts(&self, calm: &Calm) -> String {
        let rest = format!("otherwise {} of {} requests bad", calm.green.bad, calm.green.requests);
        format!("{}; {rest}", left_out(&calm.bursts))
    }

    /// Why the bad requests are one instance's and not the release's, if they are.
    fn one_instance(&self, history: &RateHistory, limit: f64, blue: Counts) -> Option<String> {
        let worst = history.worst_instance()?;
        let rest = worst.rest;
        let proven = worse_than_blue(rest, blue).max(over_limit(rest, limit)) >= WITHOUT_THE_WORST.ln();
        let doubtful = rest.rate() > self.lowest_forbidden(limit, blue);
        // Beside two others a worst one is often the worst by chance, so it must stand out before the rest has to prove more.
        let of_the_release = if worst.lopsided { proven } else { doubtful || worst.others < 2 };
        (!of_the_release).then(|| {
            let others =
                if worst.others == 1 { "the other one has".into() } else { format!("the other {} have", worst.others) };
            format!(
                "{} of them are of one instance, {}; {others} {} of {}",
                worst.bad, worst.name, rest.bad, rest.requests
            )
        })
    }
}

/// `left out: 38 bad from 2m 15s to 2m 45s`.
fn left_out(bursts: &[Burst]) -> String {
    let each = |burst: &Burst| format!("{} bad from {} to {}", burst.bad, whole(burst.from), whole(burst.until));
    format!("left out: {}", bursts.iter().map(each).collect::<Vec<_>>().join(", "))
}

fn whole(time: Duration) -> String {
    spoken(Duration::from_secs(time.as_secs())).replace("0ms", "0s")
}
