//! From a file to a plan: the runbook (or a saved plan) is read, its secrets are found, and the live world is looked at.
//!
//! Nothing is changed here. Mistakes of the file come first, then what is missing in the environment, then the world.

use std::path::PathBuf;
use std::rc::Rc;

use super::mistakes::{self, mistaken};
use super::routes::view;
use super::surroundings::{LabArgs, SOCKETS, Surroundings, lab_mode, of_the_other_world};
use super::{earlier, pin, policy, saved, schema_check, serving};
use crate::arm;
use crate::child::quoted;
use crate::compile::{self, Draft, Facts, Seen};
use crate::diag::{Code, Kind, Refusal, Severity};
use crate::plan::{Color, Plan, PlannedRoute, Split};
use crate::policy::PolicyFile;
use crate::rehearsal::Mode;
use crate::run::Verdict;
use crate::runbook::{Inputs, Language, Sides, Source};
use crate::shell::{Context, Exit};

/// What a plan is made from.
#[derive(Clone, Debug, clap::Args)]
pub struct FromArgs {
    /// A runbook, or a plan that `bgctl plan --out` saved.
    #[arg(value_name = "RUNBOOK")]
    pub file: PathBuf,
    /// Give a variable its value.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = mistakes::variable)]
    pub vars: Vec<(String, String)>,
    /// Read a runbook of `blue` and `green` with the two exchanged, when green is what is live.
    #[arg(long)]
    pub swap: bool,
    #[command(flatten)]
    pub policy: policy::PolicyArgs,
    #[command(flatten)]
    pub lab: LabArgs,
}

impl FromArgs {
    /// The variables as they were given, for a command that is to be typed next.
    pub fn given(&self) -> String {
        self.vars.iter().map(|(name, value)| format!(" --var {}", quoted(&format!("{name}={value}")))).collect()
    }

    /// The lab this file needs. A file that cannot be read needs none: its mistakes are shown when it is prepared.
    pub fn lab_mode(&self) -> Mode {
        let Ok(source) = Source::read(&self.file.to_string_lossy()) else { return Mode::Http };
        if let Ok(plan) = serde_json::from_str::<Plan>(&source.text) {
            return lab_mode(&plan);
        }
        let runbook = Language::default().parse(&source, &Inputs::default());
        let sockets = runbook.is_ok_and(|r| r.document.routes.values().any(|route| route.router == SOCKETS));
        if sockets { Mode::Sockets } else { Mode::Http }
    }
}

/// Why a runbook is not for this world, if it is not: a rehearsal reaches nothing but the lab, and its environment is nobody
/// else's. The mistakes are shown.
pub fn of_this_world(
    cx: &Context,
    source: &Source,
    draft: &Draft<'_>,
    outside: &Surroundings,
) -> Option<Result<Exit, Refusal>> {
    match &outside.lab {
        Some(played) => {
            let found = compile::rehearsed(&draft.runbook, &played.own);
            (!found.is_empty()).then(|| Ok(mistaken(cx, source, found, Exit::Invalid)))
        }
        None => draft.plan.is_rehearsal().then(|| Err(only_rehearsed(&draft.plan))),
    }
}

/// The environment of rehearsals has no live users, and no run there is a real one.
fn only_rehearsed(plan: &Plan) -> Refusal {
    of_the_other_world("the environment `lab` is that of rehearsals, and this command has no --lab")
        .place(plan.runbook.clone())
        .next(plan.command("cutover"))
        .next("or name the environment whose users are moved, and give the variables their values with --var")
}

/// A plan that fits the live world.
pub struct Prepared {
    pub plan: Rc<Plan>,
    /// What the routes say about themselves.
    pub remarks: Vec<String>,
    /// It came from a file that `bgctl plan` saved.
    pub saved: bool,
}

/// Makes the plan, or shows the mistakes of the file and gives the exit code.
pub async fn prepare(cx: &Context, args: &FromArgs, outside: &Surroundings) -> Result<Result<Prepared, Exit>, Refusal> {
    let path = args.file.to_string_lossy().into_owned();
    let source = Source::read(&path)?;
    outside.known(cx, &source.text);
    let policy = match policy::read(cx, &args.policy)? {
        Ok(policy) => policy,
        Err((source, found)) => return Ok(Err(mistaken(cx, &source, found, Exit::Invalid))),
    };
    if saved::is_plan(&source) {
        let (plan, remarks) = saved::saved(cx, &source, policy.as_ref(), outside).await?;
        return Ok(Ok(Prepared { plan: Rc::new(plan), remarks, saved: true }));
    }
    let LookedUp { draft, versions, found: mut remarks } =
        match looked_up(cx, args, outside, &source, policy.as_ref(), true).await? {
            Ok(found) => found,
            Err(exit) => return Ok(Err(exit)),
        };
    let mut facts = Facts { versions, ..Facts::default() };
    for (name, planned) in &draft.plan.routes {
        let view = view(planned, outside)?;
        let reading = view.read().await.map_err(|e| arm::refused(&e, planned))?;
        let resources = view.resources(Some(&reading));
        remarks.extend(reading.remarks.into_iter().chain(view.ends().await).map(|remark| format!("{name}: {remark}")));
        if reading.split == (Split { blue: 0, green: 0 }) {
            return Err(nowhere(planned, view.nowhere()));
        }
        let (line, split) = (view.line(), reading.split);
        facts.routes.insert(name.clone(), Seen { line, split, resources });
    }
    if let Some(schema) = &draft.plan.schema
        && let Some(seen) = schema_check::live(cx, outside, schema).await?
    {
        remarks.push(format!("schema, live: {}", seen.line));
        facts.schema.extend((seen.back == Verdict::Fail).then(|| format!("the live database: {}", seen.line)));
    }
    if let Some(shadow) = schema_check::shadow(cx, outside, &draft.runbook.document).await? {
        remarks.push(format!("schema, shadow: {}", shadow.line()));
        facts.schema.extend(shadow.against().map(|line| format!("the shadow database: {line}")));
    }
    let plan = match draft.against(&facts) {
        Ok(plan) => plan,
        Err(found) => return Ok(Err(mistaken(cx, &source, found, Exit::Invalid))),
    };
    if draft.runbook.sides.found {
        serving::served(cx, outside, &plan).await?;
    }
    let release = draft.runbook.document.stacks.release.as_ref();
    if let Some(exit) = release.map_or(Ok(None), |release| serving::released(cx, &plan, release))? {
        return Ok(Err(exit));
    }
    if let Some((route, split)) = compile::not_on_blue(&plan) {
        if let Some(exit) = earlier::done(cx, &plan) {
            return Ok(Err(exit));
        }
        return Err(saved::moved_by_a_run(cx, &plan).unwrap_or_else(|| not_on_blue(&plan, route, split)));
    }
    Ok(Ok(Prepared { plan: Rc::new(plan), remarks, saved: false }))
}

/// The plan as far as no more has to be asked for it than which of `a` and `b` serves: all users are taken to be on blue.
pub async fn draft(cx: &Context, args: &FromArgs, outside: &Surroundings) -> Result<Result<Plan, Exit>, Refusal> {
    Ok(partly(cx, args, outside, false).await?.map(|(plan, _)| plan))
}

/// The same with the place of every route looked up, and a line for each name that was.
pub async fn pinned(
    cx: &Context,
    args: &FromArgs,
    outside: &Surroundings,
) -> Result<Result<(Plan, Vec<String>), Exit>, Refusal> {
    partly(cx, args, outside, true).await
}

async fn partly(
    cx: &Context,
    args: &FromArgs,
    outside: &Surroundings,
    places: bool,
) -> Result<Result<(Plan, Vec<String>), Exit>, Refusal> {
    let source = Source::read(&args.file.to_string_lossy())?;
    outside.known(cx, &source.text);
    if saved::is_plan(&source) {
        return Ok(Ok((saved::read(&source)?, Vec::new())));
    }
    let policy = match policy::read(cx, &args.policy)? {
        Ok(policy) => policy,
        Err((source, found)) => return Ok(Err(mistaken(cx, &source, found, Exit::Invalid))),
    };
    let looked = match looked_up(cx, args, outside, &source, policy.as_ref(), places).await? {
        Ok(looked) => looked,
        Err(exit) => return Ok(Err(exit)),
    };
    let LookedUp { draft, versions: versions @ Some(_), found } = looked else {
        return Ok(Ok((looked.draft.plan, looked.found)));
    };
    let plan = draft.against(&Facts { versions, ..Facts::default() });
    Ok(plan.map(|plan| (plan, found)).map_err(|found| mistaken(cx, &source, found, Exit::Invalid)))
}

/// The rollback of a runbook, for whoever reads users however they are: of `a` and `b` the one is blue that `swap` says, and only
/// what routes and rollback need has to be there. Nothing is asked.
pub fn backward<'a>(
    cx: &Context,
    source: &'a Source,
    vars: &[(String, String)],
    swap: bool,
    outside: &Surroundings,
) -> Result<Result<Draft<'a>, Exit>, Refusal> {
    outside.known(cx, &source.text);
    let draft = match Draft::of_rollback(source, &Inputs { swap, ..outside.inputs(vars) }) {
        Ok(draft) => draft,
        Err(found) => return Ok(Err(mistaken(cx, source, found, Exit::Invalid))),
    };
    if let Some(refused) = of_this_world(cx, source, &draft, outside) {
        return refused.map(Err);
    }
    let needed = serde_json::to_string(&(&draft.plan.routes, &draft.plan.rollback)).unwrap_or_default();
    match draft.refuse_missing().filter(|_| needed.contains("${var.")) {
        Some(refusal) => Err(refusal),
        None => Ok(Ok(draft)),
    }
}

/// A saved plan, or what [`backward`] makes of a runbook, to look at.
pub fn to_look_at(
    cx: &Context,
    file: &str,
    vars: &[(String, String)],
    swap: bool,
    outside: &Surroundings,
) -> Result<Result<(Plan, Sides), Exit>, Refusal> {
    let source = Source::read(file)?;
    if saved::is_plan(&source) {
        outside.known(cx, &source.text);
        return saved::read(&source).map(|plan| Ok((plan, Sides::default())));
    }
    Ok(backward(cx, &source, vars, swap, outside)?.map(|draft| (draft.plan, draft.runbook.sides)))
}

/// A draft with what it leaves to the live world, as far as that was looked up.
struct LookedUp<'a> {
    /// Blue is what serves.
    draft: Draft<'a>,
    /// Of blue and green, where the runbook leaves them to what is there.
    versions: Option<[String; 2]>,
    /// A line for each name of a route's place that was looked up.
    found: Vec<String>,
}

/// Looks up which of `a` and `b` serves and what both run, and, where they are wanted, the `places` of routes.
async fn looked_up<'a>(
    cx: &Context,
    args: &FromArgs,
    outside: &Surroundings,
    source: &'a Source,
    policy: Option<&'a PolicyFile>,
    places: bool,
) -> Result<Result<LookedUp<'a>, Exit>, Refusal> {
    let mut draft = match drafted(cx, args, outside, source, policy, args.swap)? {
        Ok(draft) => draft,
        Err(exit) => return Ok(Err(exit)),
    };
    let open = draft.runbook.sides.found;
    if open {
        if args.swap {
            return Err(serving::not_exchanged(&args.file.to_string_lossy()));
        }
        let splits = serving::splits(&draft.plan, outside).await?;
        match serving::only(&splits) {
            Some(Color::Blue) => {}
            Some(Color::Green) => match drafted(cx, args, outside, source, policy, true)? {
                Ok(turned) => draft = turned,
                Err(exit) => return Ok(Err(exit)),
            },
            None => {
                let plan = serving::beginning(draft.plan.clone(), &splits);
                return Err(saved::moved_by_a_run(cx, &plan).unwrap_or_else(|| serving::neither(&plan, &splits)));
            }
        }
    }
    let found = match places {
        true => match pin::all(cx, source, &mut draft, outside).await? {
            Ok(found) => found,
            Err(exit) => return Ok(Err(exit)),
        },
        false => Vec::new(),
    };
    let versions = match open {
        true => {
            let release = draft.runbook.document.stacks.release.as_deref();
            Some(serving::versions(cx, outside, &draft.plan, release).await?)
        }
        false => None,
    };
    Ok(Ok(LookedUp { draft, versions, found }))
}

fn drafted<'a>(
    cx: &Context,
    args: &FromArgs,
    outside: &Surroundings,
    source: &'a Source,
    policy: Option<&'a PolicyFile>,
    swap: bool,
) -> Result<Result<Draft<'a>, Exit>, Refusal> {
    let draft = match Draft::new(source, &Inputs { swap, ..outside.inputs(&args.vars) }, policy) {
        Ok(draft) => draft,
        Err(found) => return Ok(Err(mistaken(cx, source, found, Exit::Invalid))),
    };
    if let Some(refused) = of_this_world(cx, source, &draft, outside) {
        return refused.map(Err);
    }
    if let Some(refusal) = draft.refuse_missing() {
        return Err(refusal);
    }
    let mut missing = draft.runbook.unset(&outside.env);
    if !missing.is_empty() {
        missing.iter_mut().for_each(|d| d.severity = Severity::Error);
        return Ok(Err(mistaken(cx, source, missing, Exit::Environment)));
    }
    Ok(Ok(draft))
}

fn not_on_blue(plan: &Plan, route: &str, split: Split) -> Refusal {
    let line = &plan.routes[route].line;
    let refusal = match split.only() {
        Some(Color::Green) => Refusal::new(
            Kind::Drift,
            Code::NotBlue,
            format!("GREEN {} is live already, BLUE {} is not", plan.green.version, plan.blue.version),
        )
        .cause(
            "a cutover moves users from the live stack to the candidate; the runbook has the two the other way round",
        )
        .next(format!("bgctl cutover {} --swap      when BLUE is the new candidate", plan.runbook))
        .next("nothing to do, if this cutover is done already"),
        _ => {
            Refusal::new(Kind::Drift, Code::NotBlue, "users are split already, so there is no live stack to start from")
                .cause("no run on this machine is open; another machine may have one, or users were moved by hand")
                .next(format!("bgctl status {}          where users are", plan.runbook))
                .next(format!("bgctl rollback {}        everyone to BLUE {}", plan.runbook, plan.blue.version))
                .next(format!("bgctl rollback --print {}        the provider's own command for it", plan.runbook))
        }
    };
    refusal.place(line.clone()).users(format!("{split}, read just now. Nothing was changed."))
}

/// No side has a share: that is neither a live stack nor a split, and nobody need have moved anybody.
fn nowhere(planned: &PlannedRoute, why: &str) -> Refusal {
    Refusal::new(Kind::Drift, Code::NotBlue, "there is no live stack to start from")
        .place(planned.line.clone())
        .cause(why)
        .users("BLUE 0 GREEN 0, read just now. Nothing was changed.")
        .next("give the live stack all users at the provider, then the same command again")
        .next("bgctl status        what runs")
}
