//! Counts of a gate look by look, and what in them is no rate: bad requests that came all at once, or of one instance only.
//!
//! The tests of [`super::likelihood`] take bad requests as independent of each other. A process that restarts, a tenant that
//! sends nonsense for ten seconds, one broken machine: each makes dozens of bad requests out of one cause, and would send a
//! healthy release back in 97 of 100 bakes. So a fail has to stand without them. Pure; the verdict is [`super`]'s.

use std::time::Duration;

use super::counts::Counts;
use super::likelihood::at_least;

/// Looks that one burst can lie across: it may begin shortly before a look.
const LOOKS: usize = 2;
/// Looks that are also judged by themselves: what has just begun is little of all requests so far. Two minutes of usual looks.
const NEWEST: usize = 8;
/// A burst is what has no chance of one to three thousand to be of the rate of all other looks.
const ODD: f64 = 0.0003;
/// So seldom has a healthy release as many bad requests in the newest look: enough to look once more before it passes.
const UNUSUAL: f64 = 0.15;
/// What is known of the rate before the first look, in bad requests at the limit.
const BEFORE: f64 = 2.0;
/// An instance has more than its share of the bad requests when chance would do it less often than this.
const LOPSIDED: f64 = 0.01;

/// Requests since users were shifted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RateHistory {
    looks: Vec<Look>,
    /// Of green, by the name of the instance; empty where they cannot be told apart.
    instances: Vec<(String, Counts)>,
}

/// What came between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Look {
    from: Duration,
    until: Duration,
    green: Counts,
    blue: Counts,
    /// A look soon after it has become a part of it.
    grown: bool,
}

/// Bad requests of green that came all at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    pub from: Duration,
    pub until: Duration,
    pub bad: u64,
    /// Blue had it too.
    pub shared: bool,
}

/// Both stacks without the looks in which green had a burst.
#[derive(Clone, Debug, PartialEq)]
pub struct Calm {
    pub green: Counts,
    pub blue: Counts,
    pub bursts: Vec<Burst>,
    /// How many bad requests the newest look has, where they are more than usual: what has just begun looks like that.
    pub newly: Option<u64>,
    /// The same of the newest looks alone, where there were more before.
    pub lately: Option<Lately>,
}

/// Both stacks in the newest looks, without bursts.
#[derive(Clone, Debug, PartialEq)]
pub struct Lately {
    pub green: Counts,
    pub blue: Counts,
    pub took: Duration,
}

/// The instance of green with the most bad requests, and green without it.
#[derive(Clone, Debug, PartialEq)]
pub struct Worst<'a> {
    pub name: &'a str,
    pub bad: u64,
    pub rest: Counts,
    /// How many instances there are beside it.
    pub others: usize,
    /// It has more of the bad requests than chance gives it.
    pub lopsided: bool,
}

impl RateHistory {
    /// Takes in the counts since users were shifted, as they stand `at` this long after. Counts never fall: what
    /// Prometheus estimates between two scrapes may, by one or two.
    pub fn look(&mut self, at: Duration, green: Counts, blue: Counts) {
        let (green_so_far, blue_so_far) = (self.green(), self.blue());
        let new = Look {
            from: self.looks.last().map_or(Duration::ZERO, |look| look.until),
            until: at,
            green: green.since(green_so_far),
            blue: blue.since(blue_so_far),
            grown: false,
        };
        let took = |look: &Look| look.until.saturating_sub(look.from);
        match self.looks.last_mut() {
            // A look soon after another one (at the end of a window) is a part of it, or a burst could lie across three. Only
            // once: the first look may have been long in coming, and what follows it are looks of their own.
            Some(last) if !last.grown && took(&new) * 2 < took(last) => {
                last.until = at;
                last.green = last.green.and(new.green);
                last.blue = last.blue.and(new.blue);
                last.grown = true;
            }
            _ => self.looks.push(new),
        }
        // What was told apart was so until then.
        self.instances.clear();
    }

    /// Takes in green's counts since users were shifted by instance.
    pub fn tell_apart(&mut self, instances: Vec<(String, Counts)>) {
        self.instances = instances;
    }

    pub fn green(&self) -> Counts {
        self.looks.iter().fold(Counts::default(), |sum, look| sum.and(look.green))
    }

    pub fn blue(&self) -> Counts {
        self.looks.iter().fold(Counts::default(), |sum, look| sum.and(look.blue))
    }

    /// Whether a burst reaches to the last look: then nobody knows yet that it is over.
    pub fn is_open(&self, burst: &Burst) -> bool {
        self.looks.last().is_some_and(|last| burst.until >= last.until)
    }

    /// How many looks there were.
    pub fn looks(&self) -> usize {
        self.looks.len()
    }

    /// Sets bursts aside: the worst looks of green, as long as they are too bad for what is left, beginning with the worst.
    ///
    /// Two bursts never touch, so of an outage that goes on at least every third look is left in, and is found. A stretch
    /// counts as a burst by the rate of what is left *without* all worse ones, so that two bursts do not excuse each other.
    pub fn calm(&self, limit: f64) -> Calm {
        let mut aside = vec![false; self.looks.len()];
        let (mut found, mut bursts, mut so_far) = (aside.clone(), Vec::new(), Vec::new());
        for _ in 0..2 + self.looks.len() / 4 {
            let Some((begin, bad)) = self.worst(&aside) else { break };
            let stretch = begin..(begin + LOOKS).min(self.looks.len());
            aside[stretch.clone()].fill(true);
            let rest = self.rest(&aside);
            let looks = &self.looks[stretch.clone()];
            let inside = looks.iter().fold(Counts::default(), |sum, look| sum.and(look.green));
            let beside = looks.iter().fold(Counts::default(), |sum, look| sum.and(look.blue));
            // Half as bad is a cause that both share, where it is beyond every limit.
            let shared = beside.rate() > limit && beside.rate() > inside.rate() / 2.0;
            so_far.push(Burst { from: looks[0].from, until: looks[looks.len() - 1].until, bad, shared });
            let (before, after) = (BEFORE + rest.0.bad as f64, BEFORE / limit + rest.0.good() as f64);
            if at_least(inside.bad, inside.requests, before, after) < ODD {
                (found, bursts) = (aside.clone(), so_far.clone());
            }
        }
        let (green, blue) = self.rest(&found);
        Calm { green, blue, bursts, newly: self.newly(limit, found.clone()), lately: self.lately(found) }
    }

    fn newly(&self, limit: f64, mut aside: Vec<bool>) -> Option<u64> {
        *aside.last_mut()? = true;
        let (rest, _) = self.rest(&aside);
        let (before, after) = (BEFORE + rest.bad as f64, BEFORE / limit + rest.good() as f64);
        let Counts { requests, bad } = self.looks.last()?.green;
        (bad > 0 && at_least(bad, requests, before, after) < UNUSUAL).then_some(bad)
    }

    fn lately(&self, mut aside: Vec<bool>) -> Option<Lately> {
        let first = self.looks.len().checked_sub(NEWEST).filter(|first| *first > 0)?;
        aside[..first].fill(true);
        let (green, blue) = self.rest(&aside);
        let took = self.looks.last()?.until.saturating_sub(self.looks[first].from);
        Some(Lately { green, blue, took })
    }

    /// The stretch with the most bad requests of green that touches nothing set aside already.
    fn worst(&self, aside: &[bool]) -> Option<(usize, u64)> {
        let last = self.looks.len().saturating_sub(LOOKS);
        let free = |begin: &usize| {
            let end = (begin + LOOKS + 1).min(aside.len());
            !aside[begin.saturating_sub(1)..end].contains(&true)
        };
        let bad = |begin: usize| self.looks[begin..].iter().take(LOOKS).map(|look| look.green.bad).sum::<u64>();
        let most = (0..=last).filter(free).map(|begin| (begin, bad(begin))).rev().max_by_key(|(_, bad)| *bad);
        // Three bad requests that are no accident are what a gate is for.
        most.filter(|(_, bad)| *bad >= 3)
    }

    fn rest(&self, aside: &[bool]) -> (Counts, Counts) {
        let left = self.looks.iter().zip(aside).filter(|(_, aside)| !**aside).map(|(look, _)| look);
        left.fold(Default::default(), |(green, blue): (Counts, Counts), look| {
            (green.and(look.green), blue.and(look.blue))
        })
    }

    /// The instance with the most bad requests. None where fewer than two can be told apart.
    pub fn worst_instance(&self) -> Option<Worst<'_>> {
        let busy: Vec<&(String, Counts)> = self.instances.iter().filter(|(_, counts)| counts.requests > 0).collect();
        let (name, worst) = busy.iter().max_by_key(|(_, counts)| counts.bad)?;
        let all = busy.iter().fold(Counts::default(), |sum, (_, counts)| sum.and(*counts));
        let rest = all.since(*worst);
        if busy.len() < 2 || rest.requests == 0 {
            return None;
        }
        // Its own bad requests say nothing of how many requests it gets.
        let share = worst.good() as f64 / (all.good() as f64).max(1.0);
        let certain = 1e9;
        let chance = match share {
            share if share > 0.0 && share < 1.0 => {
                at_least(worst.bad, all.bad, share * certain, (1.0 - share) * certain) * busy.len() as f64
            }
            _ => 1.0,
        };
        Some(Worst { name, bad: worst.bad, rest, others: busy.len() - 1, lopsided: chance < LOPSIDED })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks of 15 s with 30 requests of green and 270 of blue, so many of green's bad.
    fn history(bad: &[u64]) -> RateHistory {
        let mut history = RateHistory::default();
        let (mut green, mut blue) = (Counts::default(), Counts::default());
        for (n, bad) in bad.iter().enumerate() {
            green = Counts { requests: green.requests + 30 + bad, bad: green.bad + bad };
            blue.requests += 270;
            history.look(Duration::from_secs(15 * (n as u64 + 1)), green, blue);
        }
        history
    }

    fn bursts(bad: &[u64]) -> Vec<u64> {
        history(bad).calm(0.005).bursts.iter().map(|burst| burst.bad).collect()
    }

    #[test]
    fn a_burst_is_told_from_an_outage_by_its_end() {
        assert_eq!(bursts(&[0, 0, 1, 0, 20, 10, 0, 0]), [30]);
        assert_eq!(bursts(&[0, 1, 0, 40, 0, 0, 0, 0, 12, 11, 0]), [40, 23]);
        // Single bad requests, however many, are a rate.
        assert_eq!(bursts(&[1, 0, 1, 1, 0, 2, 0, 1]), [0_u64; 0]);
        // Half of all requests from the second minute on: what touches the burst is left in, and is enough.
        let outage = history(&[0, 0, 0, 0, 0, 0, 0, 0, 15, 15, 15, 15]).calm(0.005);
        assert!(outage.green.bad >= 15, "{outage:?}");
        assert!(history(&[15, 15, 15]).calm(0.005).green.bad >= 15);
    }

    #[test]
    fn a_look_soon_after_another_is_a_part_of_it() {
        let mut history = history(&[0, 0, 0]);
        let green = history.green();
        history.look(Duration::from_secs(50), Counts { requests: green.requests + 9, bad: 3 }, history.blue());
        assert_eq!((history.looks(), history.green().bad), (3, 3));
        // An estimate that falls is no look into the past.
        history.look(Duration::from_secs(65), green, history.blue());
        assert_eq!((history.looks(), history.green().bad), (4, 3));
        // Nothing could be counted for nine seconds, and then every three.
        let mut history = RateHistory::default();
        for seconds in [9, 12, 15, 18] {
            history.look(Duration::from_secs(seconds), Counts { requests: seconds * 10, bad: seconds * 3 }, green);
        }
        assert_eq!(history.looks(), 3);
    }

    #[test]
    fn one_instance_of_many_is_named() {
        let mut history = RateHistory::default();
        let counts = |requests, bad| Counts { requests, bad };
        let pods = |bad: [u64; 3]| {
            bad.iter().enumerate().map(|(n, bad)| (format!("g{n}"), counts(100, *bad))).collect::<Vec<_>>()
        };
        history.look(Duration::from_secs(15), counts(300, 20), counts(900, 2));
        history.tell_apart(pods([0, 20, 0]));
        let worst = history.worst_instance().unwrap();
        assert_eq!((worst.name, worst.others, worst.lopsided), ("g1", 2, true));
        assert_eq!(worst.rest, counts(200, 0));
        history.look(Duration::from_secs(30), counts(300, 21), counts(900, 2));
        history.tell_apart(pods([6, 8, 7]));
        assert!(!history.worst_instance().unwrap().lopsided);
        history.look(Duration::from_secs(45), counts(300, 21), counts(900, 2));
        history.tell_apart(pods([21, 0, 0])[..1].to_vec());
        assert_eq!(history.worst_instance(), None);
    }
}
