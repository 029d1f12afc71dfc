//! Preconditions: users are not moved while the error budget of the service burns.
//!
//! A burn rate is the share of bad requests over what the objective allows. It is judged over two pairs of windows, as the
//! SRE workbook pages by them: the long one says that it is much, the short one that it still goes on. Asked once, when a run
//! is armed; what is not known is no reason to start.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::gate::Gate;
use super::prometheus::Prometheus;
use super::promql::{Counting, Query};
use crate::diag::{Code, Kind, Refusal};
use crate::plan::Plan;
use crate::run::Verdict;
use crate::world::{Gap, World};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
/// Long window, short window, and the burn rate that is too much in both of them.
const PAIRS: [(u64, u64, f64); 2] = [(HOUR, 5 * MINUTE, 14.4), (6 * HOUR, 30 * MINUTE, 6.0)];

/// What came of one precondition.
#[derive(Clone, Debug, PartialEq)]
pub struct Burn {
    pub verdict: Verdict,
    pub line: String,
}

/// Every precondition of a plan, each as a line for the record of arming; or the refusal to start.
pub async fn preconditions(plan: &Plan, world: &World) -> Result<Vec<Value>, Refusal> {
    let mut checks = Vec::new();
    for (name, config) in &plan.gates {
        let Ok(gate) = Gate::deserialize(config) else { continue };
        if !gate.is_precondition() {
            continue;
        }
        let burn = judge(&gate, world).await;
        let refuse = |code, headline: String| {
            let refusal = Refusal::new(Kind::Stopped, code, headline).cause(burn.line.clone());
            Err(refusal.users("where they were, on blue. Nothing was changed."))
        };
        match burn.verdict {
            Verdict::Pass => checks.push(json!({ "gate": name, "line": format!("{name}: {}", burn.line) })),
            Verdict::Fail => {
                return refuse(Code::BudgetBurns, format!("the error budget burns (`{name}`)"))
                    .map_err(|r| r.next("find out what hurts users now; then the same command again"));
            }
            Verdict::Unknown => {
                return refuse(Code::BudgetUnknown, format!("not known whether the error budget burns (`{name}`)"))
                    .map_err(|r| r.next("bgctl check --live RUNBOOK        what its query finds"));
            }
        }
    }
    Ok(checks)
}

/// Judges one precondition now.
pub async fn judge(gate: &Gate, world: &World) -> Burn {
    match rates(gate, world).await {
        Ok(rates) => {
            let Burn { verdict, mut line } = verdict(&rates);
            let allowed = gate.objective.as_ref().map_or(0.0, |objective| 1.0 - objective.value);
            if rates.iter().any(|(_, rate)| rate * allowed > 0.5) {
                line += "; more than half of all requests count as bad: does the query count the good ones?";
            }
            Burn { verdict, line }
        }
        Err(gap) => Burn { verdict: Verdict::Unknown, line: world.secrets.mask(gap.line()) },
    }
}

/// The burn rate in each window.
async fn rates(gate: &Gate, world: &World) -> Result<Vec<(u64, f64)>, Gap> {
    let (Some(text), Some(objective)) = (gate.source.promql(), &gate.objective) else {
        return Err(Gap::Unknown("there is no objective".into()));
    };
    let allowed = 1.0 - objective.value;
    let query = Query::parse(text, "").map_err(Gap::Unknown)?;
    let Some(share) = query.burning() else {
        return Err(Gap::Unknown("the query is no share of bad requests among all".into()));
    };
    let prometheus = Prometheus::new(world.web.as_ref(), gate.url.reached(&world.secrets), world.clock.now());
    let (absences, mut rates) = (share.absences(), Vec::new());
    for seconds in PAIRS.iter().flat_map(|(long, short, _)| [*long, *short]) {
        let Some(Counting { part, all }) = share.over(Duration::from_secs(seconds)) else {
            return Err(Gap::Unknown("there is no `rate(…[range])` in the query".into()));
        };
        let all = match prometheus.ask(&all.join(" + ")).await?.only()? {
            Some(all) if all > 0.0 => all,
            _ => return Err(Gap::Unknown(format!("no requests in the last {}", named(seconds)))),
        };
        let mut counted = 0.0;
        for (term, absence) in part.iter().zip(&absences) {
            counted += match prometheus.ask(term).await?.only()? {
                Some(counted) => counted,
                None => prometheus.none(absence.as_ref(), gate.absent.is_some()).await?,
            };
        }
        let bad = if share.left_out { all - counted } else { counted };
        rates.push((seconds, bad / all / allowed));
    }
    Ok(rates)
}

fn verdict(rates: &[(u64, f64)]) -> Burn {
    let of = |seconds: u64| rates.iter().find(|(s, _)| *s == seconds).map_or(f64::NAN, |(_, rate)| *rate);
    for (long, short, most) in PAIRS {
        if of(long) > most && of(short) > most {
            let line = format!(
                "{:.1} times what the objective allows in the last {}, {:.1} times in the last {}; {most} is too much",
                of(long),
                named(long),
                of(short),
                named(short)
            );
            return Burn { verdict: Verdict::Fail, line };
        }
    }
    let told: Vec<String> = rates.iter().map(|(s, rate)| format!("{rate:.1} in {}", named(*s))).collect();
    Burn { verdict: Verdict::Pass, line: format!("the budget does not burn: {}", told.join(", ")) }
}

fn named(seconds: u64) -> String {
    if seconds.is_multiple_of(HOUR) { format!("{} h", seconds / HOUR) } else { format!("{} min", seconds / MINUTE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burn_is_long_and_goes_on() {
        let judged = |hour: f64, five: f64, six: f64, half: f64| {
            verdict(&[(HOUR, hour), (5 * MINUTE, five), (6 * HOUR, six), (30 * MINUTE, half)]).verdict
        };
        let table = [
            (judged(1.0, 1.0, 1.0, 1.0), Verdict::Pass),
            (judged(15.0, 15.0, 3.0, 15.0), Verdict::Fail),
            // It was bad, and is over.
            (judged(15.0, 0.1, 3.0, 3.0), Verdict::Pass),
            // It has just begun.
            (judged(2.0, 40.0, 0.5, 5.0), Verdict::Pass),
            // Slow and long.
            (judged(7.0, 7.0, 6.5, 6.5), Verdict::Fail),
        ];
        for (n, (got, wanted)) in table.iter().enumerate() {
            assert_eq!(got, wanted, "row {n}");
        }
    }
}
