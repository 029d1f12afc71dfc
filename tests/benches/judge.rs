//! The bake beside the rules others use, on the same simulated traffic: how often a healthy release is sent back, in whatever
//! way, how soon a bad one is found, and what a person is called for. The bake is the shipping step over the PromQL of the lab.
//!
//! `cargo bench --features full --bench judge` prints one table; a number after `--` sets how many bakes a row has, a
//! text picks rows by a part of their name. It measures no
//! time, so any profile gives the same figures.
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench takes an argument and prints a table")]

use std::sync::atomic::{AtomicUsize, Ordering};

use bgctl::gates::judge::Counts;
use common::canary::{Dice, LOOK, Tick, errors, plus};
use common::traffic::{BAKE, CASES, Case, Fate};

#[path = "../common/mod.rs"]
mod common;

const BAKES: usize = 200;
/// Kayenta is asked after so many looks, over everything so far: five minutes.
const KAYENTA: usize = 20;

/// A rule: the looks of a bake, to the number of looks after which it sends users back.
type Rule = fn(&[Tick]) -> Option<usize>;

const RULES: &[(&str, Rule)] = &[
    ("any poll over 0.5 %", |ticks| ticks.iter().position(|t| t.green().rate() > 0.005)),
    ("any poll over 2x baseline", |ticks| {
        ticks.iter().position(|t| t.green().bad > 0 && t.green().rate() > 2.0 * t.blue.rate())
    }),
    ("three polls in a row over 0.5 %", |ticks| {
        ticks.windows(3).position(|w| w.iter().all(|t| t.green().rate() > 0.005)).map(|at| at + 2)
    }),
    ("Mann-Whitney as Kayenta", kayenta),
    ("sequential test alone (bgctl's first judge)", |ticks| {
        let (mut green, mut blue) = (Counts::default(), Counts::default());
        ticks.iter().position(|t| {
            (green, blue) = (plus(green, t.green()), plus(blue, t.blue));
            errors().judge_counts(green, blue).verdict == bgctl::run::Verdict::Fail
        })
    }),
];

/// Kayenta's classifier (NetflixACAJudge, MannWhitneyClassifier): `High`, when the 98 % confidence interval of the shift
/// between both series of rates lies above a quarter of its estimate.
fn kayenta(ticks: &[Tick]) -> Option<usize> {
    (KAYENTA..=ticks.len()).step_by(KAYENTA).find(|n| high(&ticks[..*n])).map(|n| n - 1)
}

fn high(ticks: &[Tick]) -> bool {
    let green: Vec<f64> = ticks.iter().map(|t| t.green().rate()).collect();
    let blue: Vec<f64> = ticks.iter().map(|t| t.blue.rate()).collect();
    let mut shifts: Vec<f64> = green.iter().flat_map(|g| blue.iter().map(move |b| g - b)).collect();
    shifts.sort_by(f64::total_cmp);
    let (n, m) = (green.len() as f64, blue.len() as f64);
    let below = (n * m / 2.0 - 2.326 * (n * m * (n + m + 1.0) / 12.0).sqrt()).floor().max(0.0) as usize;
    let estimate = shifts[shifts.len() / 2];
    shifts[below] > 0.25 * estimate.abs()
}

/// Times of those who were sent back, held or passed.
#[derive(Default)]
struct Column {
    back: Vec<u64>,
    held: Vec<u64>,
    passed: usize,
}

impl Column {
    fn text(&mut self, bakes: usize) -> String {
        let share = |n: usize| match 100.0 * n as f64 / bakes as f64 {
            whole if whole.fract() == 0.0 => format!("{whole:.0} %"),
            part => format!("{part:.1} %"),
        };
        let mut told = Vec::new();
        for (what, seconds) in [("back", &mut self.back), ("stay", &mut self.held)] {
            seconds.sort_unstable();
            if let Some(worst) = seconds.last() {
                told.push(format!("{what} {} ({}, {worst} s)", share(seconds.len()), seconds[seconds.len() / 2]));
            }
        }
        if self.passed > 0 {
            told.push(format!("pass {}", share(self.passed)));
        }
        told.join(", ")
    }
}

/// One case: what each rule makes of the same bakes, and what the shipping step does with users.
fn case(seed: u64, case: &Case, bakes: usize) -> Vec<String> {
    let mut columns: Vec<Column> = (0..=RULES.len()).map(|_| Column::default()).collect();
    let mut dice = Dice::new(seed);
    for _ in 0..bakes {
        let traffic = case.traffic(&mut dice);
        for ((_, rule), column) in RULES.iter().zip(&mut columns) {
            match rule(&traffic.ticks) {
                Some(look) => column.back.push((look as u64 + 1) * LOOK),
                None => column.passed += 1,
            }
        }
        let column = columns.last_mut().expect("a column for the step");
        match case.bake(traffic) {
            Fate::Passed => column.passed += 1,
            Fate::Back(seconds) => column.back.push(seconds),
            Fate::Held(seconds) => column.held.push(seconds),
        }
    }
    columns.iter_mut().map(|column| column.text(bakes)).collect()
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let bakes = words.iter().find_map(|word| word.parse().ok()).unwrap_or(BAKES);
    // A row by a part of its name.
    let named = words.iter().find(|word| word.parse::<usize>().is_err());
    let cases: Vec<&Case> =
        CASES.iter().filter(|case| named.is_none_or(|name| case.name.contains(name.as_str()))).collect();
    let names: Vec<&str> = RULES.iter().map(|(name, _)| *name).chain(["bgctl's bake"]).collect();
    println!(
        "{bakes} bakes of {BAKE} s a row, a tenth of users on green, 0.2 % bad on blue, a look each {LOOK} s. A burst: 10 to 50 bad"
    );
    println!(
        "requests within {LOOK} s, of one instance (or of one tenant). `back`: users were sent back; `stay`: they stay where they"
    );
    println!(
        "are and a person is called; in brackets the median and the longest of the seconds that took. The rules to the left are"
    );
    println!("given error rates alone; the bake is the shipping step with all it asks, to its end.\n");
    println!("| case | {} |", names.join(" | "));
    println!("|---{}|", "|---".repeat(names.len()));
    let next = AtomicUsize::new(0);
    let rows: Vec<Vec<String>> = std::thread::scope(|scope| {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let done: Vec<_> = (0..workers)
            .map(|_| {
                scope.spawn(|| {
                    let mut mine = Vec::new();
                    while let Some((n, one)) = {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        cases.get(n).map(|one| (n, *one))
                    } {
                        mine.push((n, case(n as u64, one, bakes)));
                    }
                    mine
                })
            })
            .collect();
        let mut rows: Vec<(usize, Vec<String>)> =
            done.into_iter().flat_map(|one| one.join().expect("a worker ends")).collect();
        rows.sort_unstable_by_key(|(n, _)| *n);
        rows.into_iter().map(|(_, row)| row).collect()
    });
    for (case, row) in cases.iter().zip(rows) {
        println!("| {} | {} |", case.name, row.join(" | "));
    }
}
