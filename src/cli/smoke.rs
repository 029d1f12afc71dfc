//! `bgctl smoke`: the checks of a runbook's `smoke` steps against one stack, on their own. No journal is opened and nobody
//! can be moved: the world it runs in has no routes.

use std::cell::RefCell;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::diag::{Code, Kind, Refusal};
use crate::plan::{Color, Plan};
use crate::report::{Ink, Mark};
use crate::run::{Evidence, Verdict};
use crate::session::prepare;
use crate::session::resources;
use crate::session::surroundings::Surroundings;
use crate::shell::{Context, Exit};
use crate::slack::check::Check;
use crate::steps;
use crate::world::{Progress, Scribe};

/// Check one stack as Slack would use it, straight at its own address. Moves no users
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub from: prepare::FromArgs,
    /// The stack to check.
    #[arg(long, value_name = "STACK", default_value = "green", value_parser = color)]
    pub stack: Color,
    /// Only these checks, by name (`exactly-once`) or by a finding's name (`D3`); may be given more than once. Left out,
    /// those of the runbook's smoke steps for this stack, and without any such step all that need no more settings.
    #[arg(long = "check", value_name = "CHECK", value_parser = check)]
    pub checks: Vec<Check>,
}

fn color(text: &str) -> Result<Color, String> {
    Color::BOTH.into_iter().find(|color| color.name() == text).ok_or_else(|| "write `blue` or `green`".into())
}

fn check(text: &str) -> Result<Check, String> {
    let named = Check::deserialize(Value::from(text.to_ascii_lowercase())).ok();
    let by_finding = || Check::ALL.into_iter().find(|check| check.ids().contains(&text.to_ascii_uppercase().as_str()));
    named.or_else(by_finding).ok_or_else(|| {
        let all: Vec<&str> = Check::ALL.iter().map(|check| check.name()).collect();
        format!("known checks: {}", all.join(", "))
    })
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let outside = Surroundings::new(cx, &args.from.lab, None, args.from.lab_mode())?;
    let plan = match cx.block_on(prepare::draft(cx, &args.from, &outside))?? {
        Ok(plan) => plan,
        Err(exit) => return Ok(exit),
    };
    let config = settings(&plan, args);
    let kind = steps::KINDS.iter().find(|kind| kind.name == "smoke").expect("BUG: the table of kinds has `smoke`");
    let facts = (kind.facts)(&config, &plan).map_err(|mistakes| {
        let refusal = Refusal::new(Kind::Invalid, Code::StepSettings, "these checks cannot be run");
        mistakes.into_iter().fold(refusal, |refusal, mistake| match mistake.help {
            Some(help) => refusal.cause(mistake.message).next(help),
            None => refusal.cause(mistake.message),
        })
    })?;
    let step = kind.alone("smoke", "bgctl smoke", config, facts);
    let step = (kind.build)(&step, &plan)
        .map_err(|e| Refusal::new(Kind::Bug, Code::Bug, "a smoke test cannot be built").cause(format!("{e:#}")))?;
    let world = resources::world_without_routes(cx, &outside, &plan)?;
    let stack = plan.stack(args.stack);
    if !cx.machine() {
        let name = args.stack.to_string();
        cx.out(&format!("{} · {} · {name} {}", plan.service, plan.environment, stack.version));
    }
    let page = Page { cx, found: RefCell::default() };
    let outcome = cx.block_on(step.execute(&world, &page))?;
    let found = page.found.into_inner();
    let passed = found.iter().all(|finding| finding["verdict"] == "pass");
    if cx.machine() {
        cx.json(&json!({
            "ok": passed, "stack": args.stack.name(), "version": stack.version,
            "line": world.secrets.mask(outcome.line()), "checks": found,
        }));
    } else {
        cx.out(&world.secrets.mask(outcome.line()));
        cx.err(match passed {
            true => "no users were moved",
            false => "no users were moved        what each check sends and wants: bgctl explain smoke",
        });
    }
    Ok(if passed { Exit::Success } else { Exit::Failed })
}

/// The settings of the runbook's own smoke steps for this stack, put together; those of `--check` instead where given.
fn settings(plan: &Plan, args: &Args) -> Value {
    let steps = plan.forward.iter().filter(|s| s.kind == "smoke" && s.config["stack"] == args.stack.name());
    let mut config = json!({ "stack": args.stack.name(), "checks": [] });
    let (mut checks, mut pages) = (Vec::new(), Vec::new());
    for step in steps {
        for (name, value) in step.config.as_object().into_iter().flatten() {
            match (name.as_str(), value.as_array()) {
                ("checks", Some(more)) => checks.extend(more.iter().cloned()),
                ("expect", Some(more)) => pages.extend(more.iter().cloned()),
                _ => config[name] = value.clone(),
            }
        }
    }
    if !args.checks.is_empty() {
        (checks, pages) = (args.checks.iter().map(|check| json!(check)).collect(), Vec::new());
    } else if checks.is_empty() && pages.is_empty() {
        checks = Check::ALL.iter().filter(|check| check.runs_on(plan)).map(|check| json!(check)).collect();
    }
    let mut seen = Vec::new();
    checks.retain(|check| {
        !seen.contains(check) && {
            seen.push(check.clone());
            true
        }
    });
    config["checks"] = checks.into();
    config["expect"] = pages.into();
    config
}

/// Shows each finding as it comes.
struct Page<'a> {
    cx: &'a Context,
    found: RefCell<Vec<Value>>,
}

impl Scribe for Page<'_> {
    fn observed(&self, evidence: Evidence) {
        if let Evidence::Note { line } = &evidence
            && !self.cx.machine()
        {
            let ink: Ink = self.cx.style.out;
            self.cx.raw_out(&format!("  {} {}", ink.mark(Mark::Warning), ink.text(line)));
        }
        let Evidence::CheckDone { check, verdict, ms, line, .. } = evidence else { return };
        if !self.cx.machine() {
            let ink: Ink = self.cx.style.out;
            let mark = ink.mark(if verdict == Verdict::Pass { Mark::Done } else { Mark::Failed });
            self.cx.raw_out(&format!("  {mark} {check:<17} {ms:>6} ms  {}", ink.text(&line)));
        }
        self.found.borrow_mut().push(json!({ "check": check, "verdict": verdict, "ms": ms, "line": line }));
    }

    fn progress(&self, _: Progress) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_known_by_its_name_and_by_its_findings() {
        assert_eq!(check("exactly-once"), Ok(Check::ExactlyOnce));
        assert_eq!(check("d3"), Ok(Check::ExactlyOnce));
        assert_eq!(check("N2"), Ok(Check::Replay));
        assert!(check("x9").unwrap_err().contains("known checks: version"));
    }
}
