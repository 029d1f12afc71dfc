//! What a gate finds of each stack right now, beside its limit: whether blue itself keeps it, and whether green will have requests
//! enough. It asks and never judges green: there may be no green yet.

use std::time::Duration;

use jiff::SignedDuration;

use super::by_stack::Sides;
use super::gate::Gate;
use super::probe::{Measured, Probe};
use super::survey::{Finding, Grade};
use crate::plan::{Color, Plan, PlannedStep};
use crate::scalar::spoken;
use crate::world::{Gap, World};

/// How far back is looked, where something is counted.
const BACK: Duration = Duration::from_secs(900);
/// Fewer bad requests than this break no limit.
const FEWEST_BAD: u64 = 3;

/// What is known of one stack, or of the service.
struct Now {
    line: String,
    grade: Grade,
    /// Requests, where they are counted.
    requests: Option<u64>,
}

/// Measures both stacks, each for itself, as a bake would.
pub async fn present(name: &str, gate: &Gate, sides: &Sides, plan: &Plan, world: &World) -> Vec<Finding> {
    let probe = match Probe::new(gate.clone(), sides) {
        Ok(probe) => probe,
        Err(line) => return vec![Finding { grade: Grade::Wrong, line }],
    };
    let limit = probe.rule().limit();
    let green = measure(gate, sides, world).await;
    if !probe.of_a_stack() {
        return vec![Finding { grade: green.grade, line: format!("now: {} · {limit}", green.line) }];
    }
    let blue = measure(gate, &sides.swapped(), world).await;
    // What green has now are the requests of no user, and it may not run yet.
    let (doubt, also) = match green.grade {
        Grade::Sound => (Grade::Sound, ""),
        Grade::Contradicted => (Grade::Doubtful, "; green breaks it now"),
        _ => (Grade::Doubtful, ""),
    };
    let line = format!("now: blue {} · green {} · {limit}{also}", blue.line, green.line);
    let mut found = vec![Finding { grade: doubt.max(blue.grade), line }];
    if blue.grade == Grade::Contradicted {
        let line = format!("blue itself breaks this limit ({limit}), and so would a green that is as good");
        found.push(Finding { grade: Grade::Contradicted, line });
    }
    if let Some(requests) = blue.requests
        && let Some(seconds) = probe.known_for(world, BACK).await
    {
        let requests = requests + green.requests.unwrap_or(0);
        found.extend(reach(name, requests as f64 / seconds, probe.rule().min_requests, plan));
    }
    found
}

async fn measure(gate: &Gate, sides: &Sides, world: &World) -> Now {
    // The growth that another source counts needs two looks, and one shows whether there is anything to grow.
    let (delta, grows) = (gate.delta, gate.delta && gate.source.promql().is_none());
    let gate = Gate { versus_blue: None, min_requests: Some(0), delta: gate.delta && !grows, ..gate.clone() };
    let now = world.clock.now();
    let since = now.checked_sub(SignedDuration::try_from(BACK).unwrap_or_default()).unwrap_or(now);
    let probe = match Probe::new(gate, sides) {
        Ok(probe) => probe,
        Err(line) => return Now { line, grade: Grade::Wrong, requests: None },
    };
    let rule = probe.rule();
    // What a counter has had so far is not what it will grow by.
    let of = |breaks: bool| if breaks && !delta { Grade::Contradicted } else { Grade::Sound };
    match probe.measure(world, since, now).await.measured {
        Ok(Measured::Counts { green, .. }) => Now {
            line: format!("{} in {}", rule.counted(green), spoken(BACK)),
            grade: of(green.bad >= FEWEST_BAD && rule.is_broken_by(rule.share(green))),
            requests: Some(green.requests),
        },
        Ok(Measured::Value { green, requests, .. }) => {
            Now { line: rule.unit.show(green), grade: of(rule.is_broken_by(green)), requests }
        }
        Err(Gap::Silent(line)) => Now { line, grade: Grade::Silent, requests: None },
        Err(Gap::Never(line)) => Now { line: format!("has no number: {line}"), grade: Grade::Wrong, requests: None },
        Err(Gap::Unknown(line)) => {
            // An expression that finds nothing has been looked into, label by label; of another source nothing more is known.
            let grade = if probe.gate.source.promql().is_some() { Grade::Doubtful } else { Grade::Wrong };
            Now { line: format!("has no number: {line}"), grade, requests: None }
        }
    }
}

/// Bakes in which green would not have the requests that a pass needs, with as many a second as there are now.
fn reach(name: &str, per_second: f64, needed: u64, plan: &Plan) -> Vec<Finding> {
    let judges =
        |step: &&PlannedStep| step.config["gates"].as_array().is_some_and(|gates| gates.iter().any(|g| g == name));
    let too_few = |step: &PlannedStep| {
        // Which route its requests come by is not known, so it may be any.
        let splits = plan.before(&step.id).into_values();
        let share = splits.map(|split| split.share(Color::Green)).fold(0.0, f64::max);
        let expected = per_second * share * step.expected_s as f64;
        (expected < needed as f64).then(|| {
            let now = format!("at {per_second:.1} a second now");
            let line = format!(
                "in `{}` green would have about {expected:.0} requests, {now}; {needed} are needed to pass",
                step.id
            );
            Finding { grade: Grade::Contradicted, line }
        })
    };
    plan.forward.iter().filter(judges).filter_map(too_few).collect()
}
