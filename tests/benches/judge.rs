//! The judge of error rates beside the rules others use, on the same simulated canaries: how often a healthy release is sent
//! back within 15 minutes, and how soon a bad one is found.
//!
//! `cargo bench --bench judge` prints one table; a number after `--` sets how many bakes a cell has. It measures no time, so
//! any profile gives the same figures.
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench takes an argument and prints a table")]

use bgctl::gates::judge::Counts;
use canary::{Canary, Dice, LOOK, Release, Tick, errors, judge, plus};

#[expect(dead_code, reason = "the tests use the rest of it")]
#[path = "../common/canary.rs"]
mod canary;

const BAKES: usize = 4_000;
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
    ("sequential test alone", |ticks| {
        let (mut green, mut blue) = (Counts::default(), Counts::default());
        ticks.iter().position(|t| {
            (green, blue) = (plus(green, t.green()), plus(blue, t.blue));
            errors().judge_counts(green, blue).verdict == bgctl::run::Verdict::Fail
        })
    }),
    ("bgctl, instances not told apart", |ticks| judge(ticks, false).sent_back().map(looks)),
    ("bgctl", |ticks| judge(ticks, true).sent_back().map(looks)),
];

fn looks(seconds: u64) -> usize {
    (seconds / LOOK) as usize - 1
}

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

fn main() {
    let bakes = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(BAKES);
    let healthy = Canary::HEALTHY;
    let large = Canary { rps: 500.0, ..healthy };
    let cases: [(&str, Canary); 8] = [
        ("healthy, 20/s", healthy),
        ("healthy, 500/s", large),
        ("one burst", Canary { bursts: 1, ..healthy }),
        ("three bursts", Canary { bursts: 3, ..healthy }),
        ("tenant burst", Canary { bursts: 1, release: Release::OneTenant, ..healthy }),
        ("2 %, 20/s", Canary { green: 0.02, ..healthy }),
        ("2 %, 500/s", Canary { green: 0.02, ..large }),
        ("10 %, 20/s", Canary { green: 0.10, ..healthy }),
    ];
    println!("{bakes} bakes of 15 min a cell, a tenth of users on green, 0.2 % bad on blue, a look each {LOOK} s.");
    println!(
        "Sent back, and the median of the seconds that took. A burst: 10 to 50 bad requests of one instance (or of"
    );
    println!("one tenant on green) within {LOOK} s of an else healthy release at 20 requests a second.\n");
    println!("{:32}{}", "", cases.iter().map(|c| format!("{:>16}", c.0)).collect::<String>());
    let mut table: Vec<String> = RULES.iter().map(|(name, _)| format!("{name:32}")).collect();
    for (seed, (_, canary)) in cases.iter().enumerate() {
        let mut back = vec![Vec::new(); RULES.len()];
        let mut dice = Dice::new(seed as u64);
        for _ in 0..bakes {
            let ticks = canary.ticks(&mut dice);
            for ((_, rule), back) in RULES.iter().zip(&mut back) {
                back.extend(rule(&ticks).map(|look| (look as u64 + 1) * LOOK));
            }
        }
        for (line, mut seconds) in table.iter_mut().zip(back) {
            seconds.sort_unstable();
            let share = 100.0 * seconds.len() as f64 / bakes as f64;
            let median = seconds.get(seconds.len() / 2).map_or(String::from("-"), |s| format!("{s} s"));
            *line += &format!("{:>8.2} %{median:>6}", share);
        }
    }
    println!("{}", table.join("\n"));
}
