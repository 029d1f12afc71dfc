//! Before anybody is moved, every gate is asked once: one that cannot answer now would judge users who are moved already.
//!
//! It refuses for what keeps a gate from ever answering. What is only doubtful is said in the record of arming.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::survey::{Finding, Grade};
use super::watched::{self, NamedGate};
use crate::diag::{Code, Kind, Refusal};
use crate::plan::{LAB, Plan};
use crate::world::World;

/// For how long numbers that are not there are waited for.
const FIRST_NUMBERS: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(1);

/// Asks the gates of a plan, all at once. A line for each finding, or the refusal to start.
pub async fn ready(plan: &Plan, world: &World) -> Result<Vec<Value>, Refusal> {
    let gates =
        watched::named(plan, plan.gates.keys()).map_err(|e| refusal("a gate cannot be read", [format!("{e:#}")]))?;
    let gates: Vec<&NamedGate> = gates.iter().filter(|gate| !gate.is_precondition()).collect();
    let found = join_all(gates.iter().map(|gate| asked(gate, plan, world))).await;
    let mut checks = Vec::new();
    for (gate, found) in gates.iter().zip(found) {
        let name = &gate.name;
        let (wrong, usable): (Vec<Finding>, Vec<Finding>) = found.into_iter().partition(|f| f.grade >= Grade::Wrong);
        if !wrong.is_empty() {
            let silent = wrong.iter().any(|finding| finding.grade == Grade::Silent);
            let what = if silent { "does not answer" } else { "can never give a verdict" };
            let lines = wrong.into_iter().map(|finding| finding.line);
            return Err(refusal(&format!("gate `{name}` {what}"), lines).next(match plan.environment == LAB {
                true => "the same command again: the rehearsal's Prometheus had no answer".into(),
                false => format!("bgctl check --live {}        asks every gate again", plan.runbook),
            }));
        }
        checks.extend(usable.into_iter().map(|Finding { grade, line }| {
            json!({ "gate": name, "line": format!("{name}: {line}"), "doubt": grade == Grade::Contradicted })
        }));
    }
    Ok(checks)
}

/// What a gate finds. Whoever has just begun to collect has its first numbers a moment later.
async fn asked(gate: &NamedGate, plan: &Plan, world: &World) -> Vec<Finding> {
    let until = world.clock.elapsed() + FIRST_NUMBERS;
    loop {
        let found = gate.survey(plan, world).await;
        let worst = found.iter().map(|finding| finding.grade).max();
        if worst != Some(Grade::Wrong) || world.clock.elapsed() >= until {
            return found;
        }
        world.clock.sleep(PAUSE).await;
    }
}

fn refusal(headline: &str, lines: impl IntoIterator<Item = String>) -> Refusal {
    let refusal = Refusal::new(Kind::Stopped, Code::GateSilent, headline);
    let refusal = lines.into_iter().fold(refusal, |refusal, line| refusal.cause(line));
    refusal.users("where they were, on blue. Nothing was changed.")
}
