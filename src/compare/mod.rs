//! Blue and green held against each other before anybody moves: versions, images, configuration, secrets, listeners, queues,
//! caches, health, and numbers of the team's own.
#![doc = include_str!("compare.md")]
//!
//! It only reads. What it cannot read counts as a difference that blocks, never as equal. Values of configuration and of
//! secrets never reach it: stacks answer digests under a nonce of one comparison, and not even those are kept.

mod checks;
mod differences;
mod inventory;
mod settings;

use serde::Deserialize;
use serde_json::{Value, json};

pub use differences::{Difference, differences};
pub use inventory::{Inventory, Nonce};
pub use settings::{Compare, Level, Part};

use crate::diag::{Code, Kind, Refusal};
use crate::plan::{Color, Plan};
use crate::world::World;

/// What a comparison found.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Every difference, declared ones included, in the order of the parts.
    pub differences: Vec<Difference>,
    /// Declared as meant, and not there any more.
    pub stale: Vec<String>,
    /// How much was compared, in words.
    pub compared: String,
}

impl Comparison {
    pub fn blocking(&self) -> impl Iterator<Item = &Difference> {
        self.differences.iter().filter(|difference| difference.level == Level::Block)
    }

    pub fn warnings(&self) -> impl Iterator<Item = &Difference> {
        self.differences.iter().filter(|difference| difference.level == Level::Warn)
    }
}

/// The settings of a plan, if it compares anything.
pub fn settings(plan: &Plan) -> Result<Option<Compare>, String> {
    plan.compare.as_ref().map(|config| Compare::deserialize(config).map_err(|e| e.to_string())).transpose()
}

/// Asks both stacks and holds them against each other. The error names the stack that cannot be read, and why.
pub async fn compare(plan: &Plan, compare: &Compare, world: &World) -> Result<Comparison, (Color, String)> {
    let nonce = Nonce::new().map_err(|why| (Color::Blue, why))?;
    let mut read = Vec::new();
    for stack in Color::BOTH {
        let inventory = inventory::read(plan, stack, compare, &nonce, world).await;
        read.push(inventory.map_err(|why| (stack, world.secrets.mask(&why)))?);
    }
    let mut found = differences(plan, compare, &read[0], &read[1]);
    found.extend(checks::run(plan, compare, world).await);
    let stale = compare.expected.iter().filter(|name| !found.iter().any(|d| d.name() == **name)).cloned().collect();
    Ok(Comparison { differences: found, stale, compared: inventory::counted(&read[0], &read[1], compare.checks.len()) })
}

/// The comparison as part of preflight: what may not differ refuses the run, the rest stands in the record of arming.
pub async fn preflight(plan: &Plan, world: &World) -> Result<Option<Value>, Refusal> {
    let users = "where they were, on blue. Nothing was changed.";
    let wrong = |cause: String| {
        Refusal::new(Kind::Invalid, Code::OtherBgctl, "this plan was made by another bgctl").cause(cause).users(users)
    };
    let Some(settings) = settings(plan).map_err(wrong)? else { return Ok(None) };
    let comparison = compare(plan, &settings, world).await.map_err(|(stack, why)| {
        Refusal::new(Kind::Stopped, Code::RunsWithUnread, format!("what {stack} runs with cannot be read"))
            .cause(why)
            .users(users)
            .next("bgctl explain compare        the inventory a stack has to give")
    })?;
    let blocking: Vec<&Difference> = comparison.blocking().collect();
    if let [first, rest @ ..] = &blocking[..] {
        let more = match rest.len() {
            0 => String::new(),
            n => format!(", and {n} more"),
        };
        let mut refusal =
            Refusal::new(Kind::Stopped, Code::Different, format!("GREEN differs from BLUE: {}{more}", first.line));
        for difference in rest {
            refusal = refusal.cause(difference.line.clone());
        }
        return Err(refusal
            .users(users)
            .next("bgctl diff blue green        all differences")
            .next(format!("or, if that is meant: `compare.expected: [\"{}\"]`", first.name())));
    }
    let warned: Vec<&str> = comparison.warnings().map(|difference| difference.line.as_str()).collect();
    let differ = comparison.differences.len();
    let line = match (differ, &warned[..]) {
        (0, _) => format!("GREEN matches BLUE: {}", comparison.compared),
        (_, []) => format!("GREEN differs from BLUE as declared ({differ}): {}", comparison.compared),
        (_, warned) => format!("GREEN differs from BLUE: {}", warned.join("; ")),
    };
    Ok(Some(json!({ "compare": comparison.compared, "differences": differ, "warnings": warned, "line": line })))
}
