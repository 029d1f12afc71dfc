//! `bgctl plan`: the live world is read, every step is shown with what it changes and how it is undone. Nothing is changed.

use std::path::PathBuf;
use std::time::Duration;

use super::prepare::{self, Prepared, Surroundings, prepare};
use super::{Context, Exit};
use crate::diag::{Kind, Refusal};
use crate::plan::{AtExpiry, Plan, PlannedStep};
use crate::report::Ink;
use crate::scalar::spoken;

/// Show what a cutover would do, from what is live now. Changes nothing.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub from: prepare::FromArgs,
    /// Save the plan: `bgctl cutover FILE` does exactly this, or refuses if the world has changed.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Exit 2 when there is something to do.
    #[arg(long)]
    pub detailed_exitcode: bool,
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    cx.block_on(plan(args, cx))?
}

async fn plan(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let outside = Surroundings::new(cx, &args.from.lab, None)?;
    let Prepared { plan, remarks, saved } = match prepare(cx, &args.from, &outside).await? {
        Ok(prepared) => prepared,
        Err(exit) => return Ok(exit),
    };
    if cx.machine() {
        cx.json(&serde_json::json!({ "id": plan.id(), "plan": *plan, "remarks": remarks }));
    } else {
        lines(&plan, &remarks, &cx.style.out).iter().for_each(|line| cx.out(line));
    }
    if let Some(path) = &args.out {
        let path = cx.cwd.join(path);
        std::fs::write(&path, plan.canonical() + "\n").map_err(|e| {
            Refusal::new(Kind::Environment, "BG0207", format!("the plan cannot be saved to `{}`", path.display()))
                .cause(e.to_string())
        })?;
        cx.err(&format!("saved  {}  good until the live split changes", path.display()));
        cx.err(&format!("next:  bgctl cutover {}", path.display()));
    } else if !cx.machine() && !saved {
        cx.err(&format!("next:  bgctl cutover {}", plan.runbook));
    }
    Ok(if args.detailed_exitcode { Exit::Differences } else { Exit::Success })
}

/// The plan as people read it.
pub fn lines(plan: &Plan, remarks: &[String], _ink: &Ink) -> Vec<String> {
    let mut lines = vec![format!(
        "{} · {} · {} (BLUE) → {} (GREEN)",
        plan.service, plan.environment, plan.blue.version, plan.green.version
    )];
    for (name, route) in &plan.routes {
        lines.push(format!("users: {}        route {name}: {}, read just now", route.before, route.line));
    }
    lines.push(String::new());
    let width = plan.forward.iter().chain(&plan.rollback).map(|s| s.id.chars().count()).max().unwrap_or(0).max(4);
    lines.push(format!("       #  {:<width$}  {:<44} {:<8} way back", "step", "what", "takes"));
    for (n, step) in plan.forward.iter().enumerate() {
        lines.extend(row(n + 1, step, width, "1 call a route"));
    }
    lines.push(String::new());
    lines.push(format!("way back, owned by {}:", plan.rollback_owner));
    for (n, step) in plan.rollback.iter().enumerate() {
        lines.extend(row(n + 1, step, width, "–"));
    }
    lines.push(String::new());
    let moves = plan.forward.iter().filter(|s| s.moves.is_some()).count();
    let approvals = plan.forward.iter().filter(|s| s.approval.is_some()).count();
    let seconds: u64 = plan.forward.iter().map(|s| s.expected_s).sum();
    lines.push(format!(
        "Plan {}…: {moves} moves, {approvals} approvals, about {} when nothing is wrong.",
        &plan.id()[..12],
        spoken(Duration::from_secs(seconds))
    ));
    lines.push(match (&plan.policy.schema_reason, plan.policy.automatic_at_most) {
        (_, n) if plan.policy.schema_safe => {
            format!("Automatic rollback: at most {n} in {}.", spoken(Duration::from_secs(plan.policy.within_s)))
        }
        (reason, _) => format!(
            "No automatic rollback: {}. A failure halts and pages.",
            reason.as_deref().unwrap_or("the schema is not declared safe")
        ),
    });
    lines.extend(remarks.iter().map(|remark| format!("! {remark}")));
    lines.extend(plan.warnings.iter().map(|warning| format!("! {warning}")));
    lines
}

fn row(n: usize, step: &PlannedStep, width: usize, back: &str) -> Vec<String> {
    let class = match (&step.moves, step.kind.as_str()) {
        (Some(_), _) => "MOVE",
        (None, "bake" | "drain") => "wait",
        (None, "command" | "announce") => "act ",
        _ => "read",
    };
    let what = match &step.moves {
        Some(change) => format!("{}: {} → {}", change.route, change.before, change.after),
        None => step.line.clone(),
    };
    let back = if step.moves.is_some() { back } else { "–" };
    let takes = spoken(Duration::from_secs(step.expected_s));
    let mut lines = Vec::new();
    if let Some(rule) = &step.approval {
        let expiry = match rule.at_expiry {
            AtExpiry::RollBack => "roll back",
            AtExpiry::Hold => "hold",
            AtExpiry::Halt => "halt and page",
        };
        lines.push(format!(
            "  wait {:>2}  {:<width$}  approval: {} of {} ({}); expired = {expiry}",
            "",
            "",
            rule.quorum,
            rule.role,
            rule.members.join(", ")
        ));
    }
    lines.push(format!("  {class} {n:>2}  {:<width$}  {what:<44} {takes:<8} {back}", step.id));
    lines
}
