//! `bgctl plan`: the live world is read, every step is shown with what it changes and how it is undone. Nothing is changed.

use std::path::PathBuf;
use std::time::Duration;

use crate::arm;
use crate::cli::schema_page;
use crate::diag::{Code, Kind, Refusal};
use crate::guards;
use crate::plan::{AtExpiry, Plan, PlannedStep};
use crate::report::wrap;
use crate::scalar::counted;
use crate::scalar::spoken;
use crate::session::prepare::{self, Prepared, prepare};
use crate::session::surroundings::Surroundings;
use crate::session::{lease_guard, routes};
use crate::shell::{Context, Exit};

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
    let outside = Surroundings::new(cx, &args.from.lab, None, args.from.lab_mode())?;
    let Prepared { plan, mut remarks, saved } = match prepare(cx, &args.from, &outside).await? {
        Ok(prepared) => prepared,
        Err(exit) => return Ok(exit),
    };
    let frozen = guards::frozen(&lease_guard::freezes(cx)?, &plan, cx.clock.now());
    remarks.extend(frozen.iter().map(|found| format!("a cutover is refused now: {}", found.line())));
    let refused = unfit(&plan, &outside, &mut remarks).await?;
    if cx.machine() {
        cx.json(&serde_json::json!({ "id": plan.id(), "plan": *plan, "remarks": remarks }));
    } else {
        lines(&plan, &remarks, cx.columns()).iter().for_each(|line| cx.out(line));
    }
    if let Some(path) = &args.out {
        let path = cx.cwd.join(path);
        std::fs::write(&path, plan.canonical() + "\n").map_err(|e| {
            Refusal::new(
                Kind::Environment,
                Code::Unwritable,
                format!("the plan cannot be saved to `{}`", path.display()),
            )
            .cause(e.to_string())
        })?;
        cx.err(&format!("saved  {}  good until the live split changes", path.display()));
        if plan.is_rehearsal() {
            cx.err(&format!(
                "next:  {}{}    a saved plan is not rehearsed",
                plan.command("cutover"),
                args.from.given()
            ));
        } else if !refused {
            cx.err(&format!("next:  bgctl cutover {}", path.display()));
        }
    } else if !cx.machine() && !saved && !refused {
        cx.err(&format!("next:  {}{}", plan.command("cutover"), args.from.given()));
    }
    if refused && !cx.machine() {
        cx.err(&format!("next:  mend that; then {}{}", plan.command("plan"), args.from.given()));
    }
    Ok(if args.detailed_exitcode { Exit::Differences } else { Exit::Success })
}

/// What a cutover would be told by each route before its first move, all of it at once; whether one would be refused for it.
async fn unfit(plan: &Plan, outside: &Surroundings, remarks: &mut Vec<String>) -> Result<bool, Refusal> {
    let mut refused = false;
    for (name, planned) in &plan.routes {
        let view = routes::view(planned, outside)?;
        let reading = view.read().await.map_err(|error| arm::refused(&error, planned))?;
        let mut refusals = Vec::new();
        match arm::fit(plan, name, planned, &*view, &reading).await {
            Ok(checks) => {
                let asked = checks.iter().filter(|check| check["stack"].is_null());
                remarks.extend(asked.filter_map(|check| check["line"].as_str()).map(String::from));
            }
            Err(refusal) => refusals.push(refusal),
        }
        let users = format!("{}, read just now at {}", reading.split, planned.line);
        refusals.extend(view.identity().await.err().map(|error| arm::refused_at(&error, planned, &users)));
        for refusal in refusals {
            refused = true;
            let mut why = refusal.cause;
            why.extend(refusal.next.into_iter().take(1));
            remarks.push(format!("{name}: a cutover is refused now: {}: {}", refusal.headline, why.join("; ")));
        }
    }
    Ok(refused)
}

/// The plan as people read it, in lines of at most `width` columns.
pub fn lines(plan: &Plan, remarks: &[String], width: usize) -> Vec<String> {
    let mut page = Page { width, lines: Vec::new() };
    let versions = format!("{} (BLUE) → {} (GREEN)", plan.blue.named(), plan.green.named());
    page.row("", &format!("{} · {} · {versions}", plan.service, plan.environment));
    for (name, route) in &plan.routes {
        page.row("", &format!("users: {}, read just now    {name}: {}", route.before, route.line));
    }
    page.row("", "");
    let id = plan.forward.iter().chain(&plan.rollback).map(|s| s.id.chars().count()).max().unwrap_or(0).max(4);
    page.row(&format!("       #  {:<id$}  {:<6}  ", "step", "takes"), "what");
    for (n, step) in plan.forward.iter().enumerate() {
        page.step(n + 1, step, id);
    }
    page.row("", "");
    if plan.moves_nobody() {
        page.row("", "rollback: none, the runbook has no route and moves nobody");
    } else {
        page.row("", &format!("rollback, owned by {}, one call for each route:", plan.rollback_owner));
    }
    for (n, step) in plan.rollback.iter().enumerate() {
        page.step(n + 1, step, id);
    }
    page.row("", "");
    let moves = plan.forward.iter().filter(|s| s.moves.is_some()).count();
    let approvals = plan.forward.iter().filter(|s| s.approval.is_some()).count();
    let seconds: u64 = plan.forward.iter().map(|s| s.expected_s).sum();
    let takes = spoken(Duration::from_secs(seconds));
    let (moves, approvals) = (counted(moves, "move"), counted(approvals, "approval"));
    page.row("", &format!("Plan {}…: {moves}, {approvals}, about {takes} when nothing is wrong.", &plan.id()[..12]));
    if !plan.moves_nobody() {
        page.row("", &automatic(plan));
    }
    for (head, text) in schema_page::rows(plan) {
        page.row(&head, &text);
    }
    for remark in remarks.iter().chain(&plan.warnings) {
        page.row("! ", remark);
    }
    page.lines
}

fn automatic(plan: &Plan) -> String {
    let policy = &plan.policy;
    if policy.schema_safe {
        let window = spoken(Duration::from_secs(policy.within_s));
        let waits = plan.agreed_rollback().map_or(String::new(), |rule| {
            let within = spoken(Duration::from_secs(rule.within_s));
            let who = format!("{} of {} ({})", rule.quorum, rule.role, rule.members.join(", "));
            format!(" Each waits for {who} up to {within}, unless an approval before `covers: rollback`.")
        });
        return format!("Automatic rollback: at most {} in {window}.{waits}", policy.automatic_at_most);
    }
    let reason = policy.schema_reason.as_deref().unwrap_or("the schema is not declared safe");
    format!("No automatic rollback: {reason}. A failure halts and pages.")
}

struct Page {
    width: usize,
    lines: Vec<String>,
}

impl Page {
    /// A text behind a head; what does not fit goes on below the text's own start.
    fn row(&mut self, head: &str, text: &str) {
        let indent = head.chars().count();
        for (n, line) in wrap(text, self.width.saturating_sub(indent)).into_iter().enumerate() {
            let head = if n == 0 { head.to_string() } else { " ".repeat(indent) };
            self.lines.push(format!("{head}{line}").trim_end().to_string());
        }
    }

    fn step(&mut self, n: usize, step: &PlannedStep, id: usize) {
        let class = match (&step.moves, step.kind.as_str()) {
            (Some(_), _) => "MOVE",
            (None, "bake" | "drain") => "wait",
            (None, "command" | "announce" | "migrate" | "ready") => "act",
            _ => "read",
        };
        let what = match &step.moves {
            Some(change) => format!("{}: {} → {}", change.route, change.before, change.after),
            None => step.line.clone(),
        };
        if let Some(rule) = &step.approval {
            let expiry = match rule.at_expiry {
                AtExpiry::RollBack => "roll back",
                AtExpiry::Hold => "hold",
                AtExpiry::Halt => "halt and page",
            };
            let within = spoken(Duration::from_secs(rule.within_s));
            let head = format!("  ask      {:<id$}  ≤ {within:<4}  ", step.id);
            let members = rule.members.join(", ");
            self.row(&head, &format!("approval by {} of {} ({members}); expired = {expiry}", rule.quorum, rule.role));
        }
        let takes = spoken(Duration::from_secs(step.expected_s));
        self.row(&format!("  {class:<4} {n:>2}  {:<id$}  {takes:<6}  ", step.id), &what);
    }
}
