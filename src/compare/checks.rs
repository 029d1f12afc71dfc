//! Numbers that have to be within limits before anybody moves: how far a queue lags, how much lies in its dead letters.

use super::differences::Difference;
use super::settings::{Check, Compare, Level, Part};
use crate::gates::source::About;
use crate::plan::{Color, Plan};
use crate::world::World;

/// Every check that is not within its limits, or has no number.
pub async fn run(plan: &Plan, compare: &Compare, world: &World) -> Vec<Difference> {
    let mut found = Vec::new();
    for (name, check) in &compare.checks {
        let mut said = [String::new(), String::new()];
        let mut lines = Vec::new();
        let asked: &[Option<Color>] =
            if check.number.of_a_stack() { &[Some(Color::Blue), Some(Color::Green)] } else { &[None] };
        for stack in asked {
            let about = stack.map_or_else(About::service, |color| About::stack(plan, color));
            let of = stack.map_or(String::new(), |color| format!(" on {color}"));
            let (number, wrong) = match check.number.read(world, &about).await {
                Ok(number) => (number.to_string(), outside(check, number)),
                Err(gap) => ("?".into(), Some(format!("is not known: {}", gap.line()))),
            };
            match stack {
                Some(Color::Green) => said[1] = number,
                Some(Color::Blue) => said[0] = number,
                None => said = [number.clone(), number],
            }
            lines.extend(wrong.map(|wrong| format!("`{name}`{of} {wrong}")));
        }
        if !lines.is_empty() {
            let [blue, green] = said;
            let level = if compare.expected.contains(&format!("check {name}")) { Level::Ignore } else { check.level };
            found.push(Difference { part: Part::Check, of: name.clone(), blue, green, level, line: lines.join(", ") });
        }
    }
    found
}

fn outside(check: &Check, number: f64) -> Option<String> {
    let over = check.max.as_ref().filter(|max| number > max.value).map(|max| format!("is {number}, at most {max}"));
    over.or_else(|| {
        check.min.as_ref().filter(|min| number < min.value).map(|min| format!("is {number}, at least {min}"))
    })
}
