//! `bgctl gameday`: a release that is bad on purpose, in a team's own staging. It shows that the gates see it, that everybody
//! comes back, and that nobody is sent back across a contract.
//!
//! The runs are those of the program that is shipped, each in a process and a state folder of its own; here it is only
//! arranged, timed and written down.

mod child;
mod day;
mod proofs;
mod report;

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use self::child::Ending;
use self::day::Day;
use self::proofs::Proof;
use self::report::Report;
use super::answer;
use crate::arm;
use crate::diag::{Code, Kind, Refusal};
use crate::file;
use crate::people::signals::Signals;
use crate::plan::{LAB, Plan};
use crate::runbook::{GameDay, Language, Node, Runbook, Source};
use crate::scalar::spoken;
use crate::session::acting;
use crate::session::launch::SigningArgs;
use crate::session::open::locks;
use crate::session::overrides::{REASON, says_something};
use crate::session::prepare::{self, FromArgs};
use crate::session::surroundings::Surroundings;
use crate::session::{lease_guard, places, resources, routes, trust};
use crate::shell::{Context, Exit};

/// Show in staging that a bad release comes back, with a green that is made bad on purpose.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub from: FromArgs,
    /// The environment whose users are moved: it has to be the runbook's.
    #[arg(long = "in", value_name = "ENVIRONMENT")]
    pub environment: String,
    #[command(flatten)]
    pub launch: SigningArgs,
    /// The environment again: what a person would type.
    #[arg(long, value_name = "ENVIRONMENT")]
    pub confirm: Option<String>,
    /// Allow it in an environment that is called like production. Needs --reason.
    #[arg(long = "override", value_name = "GUARD", value_parser = ["production"], requires = "reason")]
    pub overridden: Option<String>,
    /// Why, for --override.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

const USERS: &str = "where they were. Nothing was changed.";
/// What a run may take beside its steps: starting, preflight, closing.
const AROUND: Duration = Duration::from_secs(120);
/// Names of environments in which real users are.
const PRODUCTION: [&str; 3] = ["prod", "prd", "live"];

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    cx.block_on(gameday(args, cx))?
}

async fn gameday(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let outside = Surroundings::new(cx, &args.from.lab, None, args.from.lab_mode())?;
    let (plan, _) = match prepare::pinned(cx, &args.from, &outside).await? {
        Ok(pinned) => pinned,
        Err(exit) => return Ok(exit),
    };
    let (source, runbook) = runbook(args, &outside)?;
    let contract = across_a_contract(&source.text, &runbook.tree);
    let hooks = runbook.document.gameday;
    fitting(args, &plan, hooks.as_ref())?;
    let archive = places::of(cx, &plan)?;
    let state = archive.root().to_path_buf();
    lease_guard::unfrozen(cx, &plan)?;
    // Nobody else moves these users for as long as the day lasts.
    let key = args.launch.key.as_deref();
    let _held = locks(cx, &archive, &plan, "a game day", &acting::here(cx, key, Some(&plan)).name, "gameday")?;
    let signer = trust::signer_or_labs(cx, &archive, key, &plan)?;
    all_on_blue(&plan, &outside).await?;
    announce(cx, &plan, hooks.as_ref(), &state);
    let ask = format!("Type {} to begin:", plan.environment);
    if !answer::typed(cx, &plan.environment, args.confirm.as_deref(), "--confirm", &ask).await? {
        cx.err("Nothing was changed.");
        return Ok(Exit::Stopped);
    }
    let now = cx.clock.now();
    let folder = report::folder(&state).join(now.strftime("%Y%m%d-%H%M%S").to_string());
    let across = folder.join("across-a-contract.yaml");
    let made = file::folder(&folder).and_then(|()| file::write(&across, &contract));
    made.map_err(|error| unwritable(&folder, &error).users(USERS))?;
    let signals = Signals::that_end().map_err(|error| {
        Refusal::new(Kind::Environment, Code::System, "signals cannot be listened to")
            .cause(error.to_string())
            .users(USERS)
    })?;
    let ending = Ending::asked_by(signals);
    let before =
        ["trigger", "rollback", "migration"].map(|name| (name.into(), report::last(&state, &plan, name))).to_vec();
    let world = resources::world_without_routes(cx, &outside, &plan)?;
    let day = Day { args, cx, outside: &outside, plan, hooks, across, world, folder, ending };
    let (mut proofs, mut good) = day.back().await?;
    let mut home = day.home(1).await?;
    // With users astray or a green that is still bad nothing more is tried, nor once somebody wants it to end.
    if home.1 && good.is_ok() && !day.ending.told() {
        let (proof, again) = day.blocked().await?;
        proofs.push(proof);
        good = again;
        home = day.home(2).await?;
    }
    let ended = day.ending.told();
    let passed = home.1 && good.is_ok() && !ended && proofs.len() == 3 && proofs.iter().all(|proof| proof.shown);
    let green = match (&good, &day.hooks) {
        (_, None) => "the lab ended with its run".into(),
        (Ok(()), _) => "`good` ended well".into(),
        (Err(why), _) => format!("NOT known to be good: {why}"),
    };
    let Day { plan, folder, .. } = day;
    let report = Report {
        bgctl_gameday: 1,
        service: plan.service.clone(),
        environment: plan.environment.clone(),
        runbook: plan.runbook.clone(),
        runbook_sha256: plan.runbook_sha256.clone(),
        versions: [plan.blue.version.clone(), plan.green.version.clone()],
        at: cx.clock.now(),
        by: acting::by(cx, signer.as_ref(), Some(&plan)).name,
        passed,
        proofs,
        home: home.0,
        green,
        version: env!("CARGO_PKG_VERSION").into(),
        before,
    };
    let kept = report.keep(&folder, signer.as_ref());
    // What the day has shown is said also where it cannot be kept.
    told(cx, &report, kept.as_deref().ok(), &folder);
    kept.map_err(|error| {
        let next = format!("bgctl status {}        where users are", args.from.file.display());
        unwritable(&folder, &error).users(report.home.clone()).next(next)
    })?;
    Ok(if passed { Exit::Success } else { Exit::Failed })
}

/// Whoever is on green is there for a reason, and is not taken away by an exercise.
async fn all_on_blue(plan: &Plan, outside: &Surroundings) -> Result<(), Refusal> {
    for planned in plan.routes.values().filter(|_| plan.environment != LAB) {
        let reading = routes::view(planned, outside)?.read().await.map_err(|error| arm::refused(&error, planned))?;
        if reading.split != planned.before {
            return Err(Refusal::new(Kind::Drift, Code::NotBlue, "a game day begins with everybody on BLUE")
                .place(planned.line.clone())
                .users(format!("{}, read just now. Nothing was changed.", reading.split))
                .next(format!("bgctl status {}        where users are, and what runs", plan.runbook)));
        }
    }
    Ok(())
}

/// The runbook with its places. A saved plan is none.
fn runbook(args: &Args, outside: &Surroundings) -> Result<(Source, Runbook), Refusal> {
    let source = Source::read(&args.from.file.to_string_lossy())?;
    match Language::default().parse(&source, &outside.inputs(&args.from.vars)) {
        Ok(runbook) => Ok((source, runbook)),
        Err(_) => Err(Refusal::new(Kind::Invalid, Code::GameDay, format!("`{}` is no runbook", source.path))
            .users(USERS)
            .next("name a runbook, and not a saved plan")),
    }
}

/// What has to be so before users of an environment are hurt on purpose.
fn fitting(args: &Args, plan: &Plan, hooks: Option<&GameDay>) -> Result<(), Refusal> {
    let refuse = |kind, headline: String| Refusal::new(kind, Code::GameDay, headline).users(USERS);
    if plan.environment != args.environment {
        let headline = format!("this runbook moves users of `{}`, not of `{}`", plan.environment, args.environment);
        return Err(refuse(Kind::Usage, headline).next("name the runbook of that environment"));
    }
    let named = plan.environment.to_lowercase();
    let real = |word: &str| PRODUCTION.iter().any(|name| word.starts_with(name) || word.ends_with(name));
    let words = named.contains("prod") || named.split(|c: char| !c.is_alphanumeric()).any(real);
    let reason = args.reason.as_deref().unwrap_or_default();
    if words && (args.overridden.is_none() || !says_something(reason)) {
        return Err(refuse(Kind::Denied, format!("a game day hurts users, and `{}` has real ones", plan.environment))
            .cause(format!("with `--override production` it needs a --reason of at least {REASON} characters"))
            .next("bgctl gameday RUNBOOK --in staging        with the runbook of your staging"));
    }
    if hooks.is_none() && !args.from.lab.lab {
        return Err(refuse(Kind::Invalid, "the runbook does not say how GREEN is made bad".into())
            .place(plan.runbook.clone())
            .next("gameday: { bad: { shell: ./bad.sh }, good: { shell: ./good.sh } }")
            .next("bgctl explain gameday        what they have to do"));
    }
    if let Some(reason) = &plan.policy.schema_reason {
        return Err(refuse(Kind::Invalid, "nobody would go back automatically from this release".into())
            .cause(reason.clone())
            .next("take a release whose schema BLUE can live with"));
    }
    if let Some(step) = plan.forward.iter().chain(&plan.rollback).find(|step| step.approval.is_some()) {
        let headline = format!("`{}` waits for an approval, and a game day has nobody to ask", step.id);
        return Err(refuse(Kind::Invalid, headline)
            .place(step.place.clone())
            .next("take a runbook of staging without approvals"));
    }
    if plan.policy.automatic_at_most == 0 {
        return Err(refuse(Kind::Invalid, "the runbook allows no automatic rollback".into())
            .next("policy: { automatic_rollback: { at_most: 2, within: 24h } }"));
    }
    Ok(())
}

fn announce(cx: &Context, plan: &Plan, hooks: Option<&GameDay>, state: &Path) {
    let within = hooks.map_or(AROUND, |hooks| hooks.within.time);
    let page = match plan.policy.page.len() {
        0 => "NOBODY IS CALLED: `policy.page` is empty".to_string(),
        _ => "a person is called: tell whoever is on call".to_string(),
    };
    let age = |proof: &str| report::age(report::last(state, plan, proof), cx.clock.now());
    cx.err(&format!(
        "GAME DAY of {} in {}: users are moved to a GREEN that is made bad",
        plan.service, plan.environment
    ));
    cx.err(&format!(
        "  1  trigger    after the first shift GREEN is made bad; a gate has to see it within {}",
        spoken(within)
    ));
    cx.err(&format!("                {}", age("trigger")));
    cx.err("  2  rollback   everybody is sent back to BLUE, read back and seen, without a person");
    cx.err(&format!("                {}", age("rollback")));
    cx.err(&format!("  3  migration  the same with a schema that BLUE cannot live with: nobody is sent back, {page}"));
    cx.err(&format!("                {}", age("migration")));
    cx.err("  After each run `good` is run and everybody is sent to BLUE.");
}

/// The same runbook with a schema that blue cannot live with, and nobody waited for. Everything else stays as it is written.
fn across_a_contract(text: &str, tree: &Node) -> String {
    let within = tree.get("policy").and_then(|policy| policy.get("acknowledge")?.get("within"));
    let change = tree.get("schema").and_then(|schema| schema.get("change"));
    let mut edits: Vec<(&Node, &str)> =
        within.map(|node| (node, "1s")).into_iter().chain(change.map(|node| (node, "contract"))).collect();
    // From the end, so that places before it stay where they are.
    edits.sort_by_key(|(node, _)| std::cmp::Reverse(node.span.start));
    let mut text = text.to_string();
    for (node, word) in edits {
        text.replace_range(node.span.clone(), word);
    }
    match change {
        Some(_) => text,
        None => format!("{}\nschema: {{ change: contract }}\n", text.trim_end()),
    }
}

fn told(cx: &Context, report: &Report, file: Option<&Path>, folder: &Path) {
    if cx.machine() {
        return cx.json(&json!({ "report": file, "gameday": report }));
    }
    let word = if report.passed { "PASSED" } else { "FAILED" };
    cx.out(&format!("GAME DAY {word} · {} · {}", report.service, report.environment));
    for Proof { name, shown, line, .. } in &report.proofs {
        cx.out(&format!("  {} {name:<10} {line}", if *shown { "✓" } else { "✗" }));
    }
    cx.out(&format!("  users        {}", report.home));
    cx.out(&format!("  GREEN        {}", report.green));
    for (name, at) in &report.before {
        cx.out(&format!("  before       {name}: {}", report::age(*at, report.at)));
    }
    cx.out(&match file {
        Some(file) => format!("  report       {}, signed", file.display()),
        None => "  report       NOT WRITTEN".to_string(),
    });
    cx.out(&format!("  runs         {}", folder.display()));
}

fn unwritable(place: &Path, error: &std::io::Error) -> Refusal {
    Refusal::new(Kind::Environment, Code::Unwritable, "the game day cannot be written down")
        .place(place.display().to_string())
        .cause(error.to_string())
}
