//! Simulated canaries: requests of both stacks by chance, look by look, and the shipping judge's word on them.

use std::time::Duration;

use bgctl::gates::judge::rate_history::RateHistory;
use bgctl::gates::judge::{Bound, Counts, Judgement, Rule};
use bgctl::run::Verdict;
use bgctl::scalar::{Limit, Margin, Unit};

/// A look each so many seconds, as a bake takes them.
pub const LOOK: u64 = 15;
/// Looks in a bake of 15 minutes.
pub const LOOKS: usize = 60;
/// Instances of green.
const INSTANCES: usize = 3;
/// How long a burst goes on at most, in seconds.
const BURST: f64 = 15.0;

/// A generator of our own, so that the figures are the same on every machine.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(seed)
    }

    pub fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn below(&mut self, n: u64) -> u64 {
        (self.roll() * n as f64) as u64
    }

    /// Above a mean of 60 by its normal shape.
    pub fn poisson(&mut self, mean: f64) -> u64 {
        if mean > 60.0 {
            let (radius, angle) = (self.roll().max(1e-12), self.roll() * std::f64::consts::TAU);
            return (mean + (-2.0 * radius.ln() * mean).sqrt() * angle.cos()).round().max(0.0) as u64;
        }
        let (floor, mut product, mut n) = ((-mean).exp(), self.roll(), 0);
        while product > floor {
            product *= self.roll();
            n += 1;
        }
        n
    }
}

/// Whose bursts there are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Release {
    OneInstance,
    /// Its requests reach every instance of green, and (as a tenant kept on one side does) none of blue.
    OneTenant,
}

/// A bake of 15 minutes with a tenth of all users on green.
#[derive(Clone, Copy, Debug)]
pub struct Canary {
    /// Requests a second of both stacks together.
    pub rps: f64,
    /// The share of bad requests of either stack.
    pub blue: f64,
    pub green: f64,
    /// From this second on green is as bad as that; until then it is as good as blue.
    pub from: f64,
    /// Bursts of 10 to 50 bad requests within seconds, on top of everything.
    pub bursts: u32,
    pub release: Release,
    /// The share of bad requests of the first instance, on top of everything.
    pub sick: f64,
}

/// What came between two looks.
#[derive(Clone, Debug, Default)]
pub struct Tick {
    pub green: Vec<Counts>,
    pub blue: Counts,
}

impl Tick {
    pub fn green(&self) -> Counts {
        self.green.iter().fold(Counts::default(), |sum, one| plus(sum, *one))
    }
}

/// A bake and how it was judged.
pub struct Bake {
    /// The last judgement; it ends at the first fail.
    pub last: Judgement,
    pub looks: usize,
}

impl Bake {
    /// Seconds until users were sent back.
    pub fn sent_back(&self) -> Option<u64> {
        (self.last.verdict == Verdict::Fail).then_some(self.looks as u64 * LOOK)
    }
}

pub fn plus(a: Counts, b: Counts) -> Counts {
    Counts { requests: a.requests + b.requests, bad: a.bad + b.bad }
}

/// The gate of the README: at most 0.5 % bad, and at most 0.3 % more than blue.
pub fn errors() -> Rule {
    Rule {
        bound: Bound::Max(0.005),
        unit: Unit::Percent,
        margin: Some(Margin::Plus(Limit::parse("0.3%").unwrap())),
        min_requests: 600,
    }
}

impl Canary {
    pub const HEALTHY: Canary =
        Canary { rps: 20.0, blue: 0.002, green: 0.002, from: 0.0, bursts: 0, release: Release::OneInstance, sick: 0.0 };

    /// What happens look by look.
    pub fn ticks(&self, dice: &mut Dice) -> Vec<Tick> {
        let seconds = LOOKS as f64 * LOOK as f64;
        let mut extra = vec![[0; INSTANCES]; LOOKS + 2];
        for _ in 0..self.bursts {
            let (size, at, length) = (10 + dice.below(41), dice.roll() * seconds, dice.roll() * BURST);
            for _ in 0..size {
                let look = ((at + dice.roll() * length) / LOOK as f64) as usize;
                let instance = match self.release {
                    Release::OneInstance => 0,
                    Release::OneTenant => dice.below(INSTANCES as u64) as usize,
                };
                extra[look][instance] += 1;
            }
        }
        let counts = |dice: &mut Dice, requests: f64, rate: f64| {
            let bad = dice.poisson(requests * rate);
            Counts { requests: bad + dice.poisson(requests * (1.0 - rate)), bad }
        };
        (0..LOOKS)
            .map(|look| {
                let ill = look as f64 * LOOK as f64 >= self.from;
                let rate = if ill { self.green } else { self.blue };
                let each = self.rps * 0.1 * LOOK as f64 / INSTANCES as f64;
                let green = (0..INSTANCES).map(|n| {
                    let sick = if n == 0 { self.sick } else { 0.0 };
                    plus(
                        counts(dice, each, (rate + sick).min(1.0)),
                        Counts { requests: extra[look][n], bad: extra[look][n] },
                    )
                });
                let green = green.collect();
                Tick { green, blue: counts(dice, self.rps * 0.9 * LOOK as f64, self.blue) }
            })
            .collect()
    }

    /// The bake as the shipping judge sees it.
    pub fn bake(&self, dice: &mut Dice) -> Bake {
        judge(&self.ticks(dice), true)
    }
}

/// The shipping judge on what came; `told_apart` says whether green's instances are counted apart.
pub fn judge(ticks: &[Tick], told_apart: bool) -> Bake {
    let (rule, mut course) = (errors(), RateHistory::default());
    let (mut green, mut blue) = (vec![Counts::default(); INSTANCES], Counts::default());
    let mut last = rule.unknown("not judged yet");
    for (n, tick) in ticks.iter().enumerate() {
        green = green.iter().zip(&tick.green).map(|(so_far, new)| plus(*so_far, *new)).collect();
        blue = plus(blue, tick.blue);
        let all = green.iter().fold(Counts::default(), |sum, one| plus(sum, *one));
        let apart =
            green.iter().enumerate().filter(|_| told_apart).map(|(n, one)| (format!("green-{n}"), *one)).collect();
        course.look(Duration::from_secs((n as u64 + 1) * LOOK), all, blue);
        course.tell_apart(apart);
        last = rule.judge_history(&course);
        if last.verdict == Verdict::Fail {
            return Bake { last, looks: n + 1 };
        }
    }
    Bake { last, looks: ticks.len() }
}
