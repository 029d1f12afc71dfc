//! `bgctl diff blue green`: what the two stacks run with, held against each other. Moves nobody.

use std::path::PathBuf;

use serde_json::json;

use crate::compare::{self, Comparison, Difference, Level};
use crate::diag::{Code, Kind, Refusal};
use crate::plan::{Color, Plan};
use crate::report::Mark;
use crate::session::mistakes;
use crate::session::prepare::{self, FromArgs};
use crate::session::routes;
use crate::session::run_record::RunRecord;
use crate::session::surroundings::{LabArgs, Surroundings};
use crate::session::{policy, resources};
use crate::shell::{Context, Exit};

/// Compare the two stacks: versions, images, configuration, secrets, listeners, queues, caches, health.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The side that is shown first.
    #[arg(value_name = "STACK", default_value = "blue", value_parser = ["blue", "green"])]
    first: String,
    /// The other one.
    #[arg(value_name = "STACK", default_value = "green", value_parser = ["blue", "green"])]
    second: String,
    /// The runbook that says what is compared; the newest run's plan otherwise.
    #[arg(long, value_name = "RUNBOOK")]
    runbook: Option<PathBuf>,
    /// Exit 2 when something differs that is not declared as expected.
    #[arg(long)]
    detailed_exitcode: bool,
    /// Give a variable its value.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = mistakes::variable, requires = "runbook")]
    vars: Vec<(String, String)>,
    #[command(flatten)]
    policy: policy::PolicyArgs,
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    if args.first == args.second {
        return Err(Refusal::new(Kind::Usage, Code::CommandLine, "a stack is compared with the other one")
            .next("bgctl diff blue green"));
    }
    cx.block_on(diff(args, cx))?
}

async fn diff(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let lab = LabArgs::default();
    let outside = Surroundings::new(cx, &lab, None, crate::rehearsal::Mode::Http)?;
    let plan = match &args.runbook {
        None => RunRecord::find(cx, None)?.plan.as_ref().clone(),
        Some(file) => {
            let (file, vars, policy) = (file.clone(), args.vars.clone(), args.policy.clone());
            match prepare::draft(cx, &FromArgs { file, vars, swap: false, policy, lab }, &outside).await? {
                Ok(plan) => plan,
                Err(exit) => return Ok(exit),
            }
        }
    };
    let users = "not checked. Nothing was changed.";
    let settings = compare::settings(&plan)
        .map_err(|e| Refusal::new(Kind::Invalid, Code::OtherBgctl, "this plan was made by another bgctl").cause(e))?;
    let Some(settings) = settings else {
        return Err(Refusal::new(Kind::Invalid, Code::NothingToCompare, "the runbook does not say what to compare")
            .place(plan.runbook.clone())
            .cause("it has no section `compare`")
            .users(users)
            .next("bgctl explain compare        the section, and what a stack has to answer"));
    };
    let world = resources::world_without_routes(cx, &outside, &plan)?;
    let found = compare::compare(&plan, &settings, &world).await.map_err(|(stack, why)| {
        Refusal::new(Kind::Unreachable, Code::RunsWithUnread, format!("what {stack} runs with cannot be read"))
            .cause(why)
            .users(users)
            .next("bgctl explain compare        the inventory a stack has to give")
    })?;
    let targets = targets(&plan, &outside).await;
    let differs = found.differences.iter().any(|d| !settings.expected.contains(&d.name()));
    if cx.machine() {
        cx.json(&json!({
            "blue": plan.blue.version, "green": plan.green.version, "compared": found.compared,
            "differences": found.differences, "stale": found.stale, "targets": targets,
        }));
    } else {
        show(args, cx, &plan, &found, &targets, &settings.expected);
    }
    Ok(if differs && args.detailed_exitcode { Exit::Differences } else { Exit::Success })
}

/// How many targets of each side are healthy, on every route.
async fn targets(plan: &Plan, outside: &Surroundings) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, planned) in &plan.routes {
        let Ok(view) = routes::view(planned, outside) else { continue };
        let mut sides = Vec::new();
        for stack in Color::BOTH {
            sides.push(match view.health(stack).await {
                Ok(health) => format!("{stack} {}/{} healthy", health.healthy, health.total),
                Err(error) => format!("{stack} unknown ({error})"),
            });
        }
        lines.push(format!("{name}: {}", sides.join(" · ")));
    }
    lines
}

fn show(args: &Args, cx: &Context, plan: &Plan, found: &Comparison, targets: &[String], expected: &[String]) {
    let ink = cx.style.out;
    let sides = |difference: &Difference| match args.first.as_str() {
        "blue" => (difference.blue.clone(), difference.green.clone()),
        _ => (difference.green.clone(), difference.blue.clone()),
    };
    let head = |name: &str| match name {
        "blue" => format!("BLUE {}", plan.blue.version),
        _ => format!("GREEN {}", plan.green.version),
    };
    cx.out(&format!("{} · {} · {} against {}", plan.service, plan.environment, head(&args.first), head(&args.second)));
    cx.out(&format!("compared   {}", found.compared));
    targets.iter().for_each(|line| cx.out(&format!("targets    {line}")));
    for difference in &found.differences {
        let (mark, word) = match difference.level {
            Level::Block => (Mark::Failed, "blocks"),
            Level::Warn => (Mark::Warning, "warns"),
            Level::Ignore if expected.contains(&difference.name()) => (Mark::Plain, "expected"),
            Level::Ignore => (Mark::Plain, "listed"),
        };
        let (first, second) = sides(difference);
        cx.raw_out(&format!("{} {word:<9} {}", ink.mark(mark), ink.text(&difference.name())));
        cx.out(&format!("              {} {first}  →  {} {second}", args.first, args.second));
        cx.out(&format!("              {}", difference.line));
    }
    for name in &found.stale {
        cx.out(&format!("  expected  {name}: there is no such difference any more; take it out of `compare.expected`"));
    }
    let blocking = found.blocking().count();
    cx.out(&match (found.differences.len(), blocking) {
        (0, _) => "NO DIFFERENCES. Values were compared by digests under a nonce; none was kept.".to_string(),
        (n, 0) => {
            format!("{n} differ, none blocks a cutover. Values were compared by digests under a nonce; none was kept.")
        }
        (n, blocking) => format!("{n} differ, {blocking} would stop a cutover before any user moves."),
    });
}
