//! A fail is confirmed: it has to stand without what came all at once, without the worst instance, and on more than one look.
//! Pure.

use std::time::Duration;

use super::counts::Counts;
use super::likelihood::{over_limit, worse_than_blue};
use super::rate_history::{Burst, Calm, Lately, RateHistory};
use super::{Back, Judgement, Rule};
use crate::run::Verdict;
use crate::scalar::spoken;

/// Where most bad requests are of one instance, the others must be this likely to be worse by themselves.
const WITHOUT_THE_WORST: f64 = 40.0;
/// Looks before which nothing fails: caches are cold, and a burst cannot be told from an outage.
const SETTLED: usize = 3;
/// Among at least so many others, an instance with half of all bad requests is told apart by what the others have.
const MANY: usize = 4;
/// How sure the newest looks must be by themselves.
const CERTAIN_LATELY: f64 = 5_000.0;
/// A burst is an accident, and so may be a second one. What comes a third time does not pass.
const ACCIDENTS: usize = 2;
/// What bursts may cost: one request in twenty, or as many as the limit allows. A release that lost more has not been well.
const COSTLIEST: f64 = 0.05;

impl Rule {
    /// Judges the counts of all looks so far. A fail has to stand without what came all at once and without the worst
    /// instance, and never rests on a single look; a burst that is over and cost little does not keep a green from passing, and
    /// what has just begun does.
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
        let all = self.judge_all(history, &calm, plain);
        match self.lately(&calm, history) {
            Some(lately) if all.verdict == Verdict::Pass || lately.verdict == Verdict::Fail && !all.instance => lately,
            _ => match calm.newly.filter(|_| all.verdict == Verdict::Pass) {
                Some(bad) => {
                    let line = format!(
                        "{bad} bad in the last look, more than usual: the next one has to confirm it; {}",
                        all.line
                    );
                    Judgement { verdict: Verdict::Unknown, line, ..all }
                }
                None => all,
            },
        }
    }

    /// Everything since users were shifted.
    fn judge_all(&self, history: &RateHistory, calm: &Calm, plain: Judgement) -> Judgement {
        let (green, blue, limit) = (history.green(), history.blue(), self.highest());
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
            (Verdict::Fail, _) if history.looks() < SETTLED || calm.green.requests == 0 => {
                unproven("seen too shortly to tell a burst; the next look has to confirm it".into())
            }
            (Verdict::Fail, Verdict::Fail) => match self.one_instance(history, limit, blue) {
                Some(why) => Judgement { instance: true, ..unproven(why) },
                None => plain,
            },
            (Verdict::Pass, _) | (_, Verdict::Pass) if goes_on => {
                unproven(format!("it may go on; {}", self.without_bursts(calm)))
            }
            // Early in a bake every burst is a large part of the requests so far: it is for the end to say what it cost.
            (_, Verdict::Pass) if self.costs_too_much(calm, green) => {
                unproven(format!("more than a burst may cost; {}", self.without_bursts(calm)))
            }
            (_, Verdict::Pass) if calm.bursts.len() <= ACCIDENTS && !calm.bursts.is_empty() => Judgement {
                verdict: Verdict::Pass,
                line: format!("{}; {}", calmly.line, left_out(&calm.bursts)),
                ..plain
            },
            (Verdict::Fail, _) if !calm.bursts.is_empty() => unproven(self.without_bursts(calm)),
            _ => plain,
        }
    }

    /// What the newest looks say by themselves, where that is not well. A rise of the last minutes is little of a long bake.
    fn lately(&self, calm: &Calm, history: &RateHistory) -> Option<Judgement> {
        let Lately { green, blue, took } = calm.lately.clone()?;
        let judged = self.judge_counts(green, blue);
        if judged.verdict != Verdict::Fail {
            return None;
        }
        let line = format!("in the last {}: {}", whole(took), judged.line);
        let unknown =
            Judgement { verdict: Verdict::Unknown, line: format!("{line}, not yet proven"), ..judged.clone() };
        // These looks are chosen anew each time, so they have to prove more; and what blue shares is told by all of them.
        let proven = self.judge_counts_by(CERTAIN_LATELY, green, blue).verdict == Verdict::Fail;
        if !proven || judged.back != Back::Fit {
            return Some(unknown);
        }
        // Instances are counted since the shift, which is longer: one that stands out there does so here.
        let alone = history.worst_instance().filter(|worst| worst.lopsided);
        Some(match alone.and_then(|_| self.one_instance(history, self.highest(), history.blue())) {
            Some(why) => Judgement { instance: true, line: format!("{line}: {why}"), ..unknown },
            None => Judgement { line, ..judged },
        })
    }

    fn costs_too_much(&self, calm: &Calm, green: Counts) -> bool {
        let lost: u64 = calm.bursts.iter().filter(|burst| !burst.shared).map(|burst| burst.bad).sum();
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
        let most = worst.others >= MANY && worst.bad * 2 >= worst.bad + rest.bad;
        let of_the_release = if worst.lopsided || most { proven } else { doubtful || worst.others < 2 };
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
