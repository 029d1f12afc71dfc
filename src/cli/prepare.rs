//! From a file to a plan: the runbook (or a saved plan) is read, its secrets are found, and the live world is looked at.
//!
//! Nothing is changed here. Mistakes of the file come first, then what is missing in the environment, then the world.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::{Context, Exit, check, earlier, policy, ratchet};
use crate::arm;
use crate::compile::{self, Compiled, Facts};
use crate::diag::{Code, Diagnostic, Kind, Refusal, Severity};
use crate::journal::{Archive, Lock};
use crate::lab::{Fault, Lab, Living, Mode, Options, Stage};
use crate::plan::{Color, Plan, PlannedRoute, Split};
use crate::policy::PolicyFile;
use crate::routers::{self, Access, AwsAccess, RouteView, TrafficRouter};
use crate::run::Verdict;
use crate::runbook::{Inputs, Language, Runbook, Source, sorted};
use crate::secret::Secret;

/// The memory of the newest lab, below the state folder.
pub const LAB_MEMORY: &str = "lab/world.json";

/// What a plan is made from.
#[derive(Clone, Debug, clap::Args)]
pub struct FromArgs {
    /// A runbook, or a plan that `bgctl plan --out` saved.
    #[arg(value_name = "RUNBOOK")]
    pub file: PathBuf,
    /// Give a variable its value.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = check::variable)]
    pub vars: Vec<(String, String)>,
    /// Read the runbook with its two stacks exchanged, when green is what is live.
    #[arg(long)]
    pub swap: bool,
    #[command(flatten)]
    pub policy: policy::PolicyArgs,
    #[command(flatten)]
    pub lab: LabArgs,
}

/// The embedded rehearsal stack.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LabArgs {
    /// Rehearse in the embedded lab: real sockets on loopback, live traffic, no account.
    #[arg(long)]
    pub lab: bool,
    /// Let something go wrong in the lab; may be given more than once.
    #[arg(long = "lab-fault", value_name = "FAULT", requires = "lab")]
    pub faults: Vec<String>,
}

/// The outside as this process reaches it: its environment, or that of a lab.
pub struct Surroundings {
    pub env: BTreeMap<String, String>,
    pub access: Access,
    pub lab: Option<Stage>,
}

impl Surroundings {
    /// The process's own, or a new lab: one that remembers itself in `memory`, where other terminals can join it, or one for
    /// this command alone.
    pub fn new(cx: &Context, args: &LabArgs, memory: Option<PathBuf>, mode: Mode) -> Result<Self, Refusal> {
        if !args.lab {
            let expires = cx.env.get("AWS_CREDENTIAL_EXPIRATION").cloned();
            let aws = AwsAccess { expires, ..AwsAccess::default() };
            return Ok(Surroundings { env: cx.env.clone(), access: Access { aws, ..Access::default() }, lab: None });
        }
        let faults = args.faults.iter().map(|name| name.parse::<Fault>()).collect::<Result<Vec<_>, _>>();
        let faults = faults
            .map_err(|e| Refusal::new(Kind::Usage, Code::CommandLine, e.to_string()).next("bgctl explain lab"))?;
        let stage = match memory.as_deref().and_then(Path::parent) {
            Some(folder) => std::env::current_exe()
                .map_err(anyhow::Error::from)
                .and_then(|program| Living::start(&program, folder, &faults, mode))
                .map(Stage::Apart),
            None => Lab::start(Options { faults, mode, ..Options::default() }).map(Stage::Here),
        };
        Ok(Self::of_lab(cx, stage.map_err(no_lab)?))
    }

    /// Those of a run that is gone on with from its log: the lab it is played in, where one lives; a new one that remembers the
    /// weights, where `args` ask for it; and otherwise the process's own.
    pub fn of_run(cx: &Context, args: &LabArgs, memory: PathBuf, plan: &Plan) -> Result<Self, Refusal> {
        if let Some(joined) = Self::joined(cx, plan)? {
            if !args.faults.is_empty() {
                cx.err("! lab      it lives already, with the faults it was started with");
            }
            return Ok(joined);
        }
        Self::new(cx, args, args.lab.then_some(memory), lab_mode(plan))
    }

    /// The lab that a run's plan was made in, if it lives: whoever plays it may be another process, stopped, or dead.
    pub fn joined(cx: &Context, plan: &Plan) -> Result<Option<Self>, Refusal> {
        let memory = cx.state_dir()?.join(LAB_MEMORY);
        let joined = memory.parent().map_or(Ok(None), Living::join).map_err(no_lab)?;
        let joined = joined.filter(|lab| lab.knows(&plan.canonical()));
        Ok(joined.map(|lab| Self::of_lab(cx, Stage::Apart(lab))))
    }

    fn of_lab(cx: &Context, stage: Stage) -> Self {
        let mut env = cx.env.clone();
        env.extend(stage.environment());
        let key = |name: &str| env.get(name).cloned().unwrap_or_default();
        let aws = AwsAccess {
            endpoint: Some(key("AWS_ENDPOINT_URL")),
            keys: Some((key("AWS_ACCESS_KEY_ID"), Secret::new(key("AWS_SECRET_ACCESS_KEY")))),
            ..AwsAccess::default()
        };
        Surroundings { env, access: Access { aws, ..Access::default() }, lab: Some(stage) }
    }
}

fn no_lab(error: anyhow::Error) -> Refusal {
    Refusal::new(Kind::Environment, Code::Lab, "the lab does not start, or does not answer").cause(format!("{error:#}"))
}

impl FromArgs {
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

/// A rehearsal reaches nothing but the lab, and the lab has no app whose request URLs could be moved.
fn outside_the_lab(plan: &Plan, outside: &Surroundings) -> Option<Refusal> {
    let real = plan.routes.values().find(|route| route.router == routers::slack_manifest::KIND.name)?;
    outside.lab.as_ref()?;
    Some(
        Refusal::new(Kind::Invalid, Code::Lab, "the lab has no Slack app whose request URLs could be moved")
            .place(real.line.clone())
            .cause("this route leads to Slack itself, and a rehearsal may not")
            .users("not asked; nothing was changed")
            .next("rehearse with an app of its own for staging, without --lab")
            .next("bgctl cutover runbooks/quickstart.yaml --lab    the same with a load balancer"),
    )
}

/// The router whose lab has fleets and no load balancer.
const SOCKETS: &str = routers::socket_mode::KIND.name;

/// The lab a plan was made in.
pub fn lab_mode(plan: &Plan) -> Mode {
    if plan.routes.values().any(|route| route.router == SOCKETS) { Mode::Sockets } else { Mode::Http }
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
    cx.known.of_references(&source.text, &outside.env);
    let policy = match policy::read(cx, &args.policy)? {
        Ok(policy) => policy,
        Err((source, found)) => return Ok(Err(mistaken(cx, &source, found, Exit::Invalid))),
    };
    if is_plan(&source) {
        return saved(cx, &source, policy.as_ref(), outside).await.map(Ok);
    }
    let (runbook, draft) = match drafted(cx, args, outside, &source, policy.as_ref())? {
        Ok(drafted) => drafted,
        Err(exit) => return Ok(Err(exit)),
    };
    if let Some(refusal) = outside_the_lab(&draft, outside) {
        return Err(refusal);
    }
    let mut facts = Facts::default();
    let mut remarks = Vec::new();
    for (name, planned) in &draft.routes {
        let view = view(planned, outside)?;
        let reading = view.read().await.map_err(|e| arm::refused(&e, planned))?;
        remarks.extend(reading.remarks.into_iter().chain(view.ends().await).map(|remark| format!("{name}: {remark}")));
        if reading.split == (Split { blue: 0, green: 0 }) {
            return Err(nowhere(planned, view.nowhere()));
        }
        facts.routes.insert(name.clone(), (view.line(), reading.split));
    }
    if let Some(schema) = &draft.schema
        && let Some(seen) = ratchet::live(cx, outside, schema).await?
    {
        remarks.push(format!("schema, live: {}", seen.line));
        facts.schema = (seen.back == Verdict::Fail).then_some(seen.line);
    }
    let plan = match compile::compile(&source, &runbook, policy.as_ref(), Some(&facts), args.swap) {
        Ok(Compiled { plan, .. }) => plan,
        Err(found) => return Ok(Err(mistaken(cx, &source, found, Exit::Invalid))),
    };
    if let Some((route, split)) = compile::not_on_blue(&plan) {
        if let Some(exit) = earlier::done(cx, &plan) {
            return Ok(Err(exit));
        }
        return Err(moved_by_a_run(cx, &plan).unwrap_or_else(|| not_on_blue(&plan, route, split)));
    }
    Ok(Ok(Prepared { plan: Rc::new(plan), remarks, saved: false }))
}

/// The plan as far as no system has to be asked for it: all users are taken to be on blue.
pub fn draft(cx: &Context, args: &FromArgs, outside: &Surroundings) -> Result<Result<Plan, Exit>, Refusal> {
    let source = Source::read(&args.file.to_string_lossy())?;
    cx.known.of_references(&source.text, &outside.env);
    if is_plan(&source) {
        return read_plan(&source).map(Ok);
    }
    let policy = match policy::read(cx, &args.policy)? {
        Ok(policy) => policy,
        Err((source, found)) => return Ok(Err(mistaken(cx, &source, found, Exit::Invalid))),
    };
    Ok(drafted(cx, args, outside, &source, policy.as_ref())?.map(|(_, plan)| plan))
}

fn is_plan(source: &Source) -> bool {
    source.text.trim_start().starts_with("{\"bgctl_plan\"")
}

fn drafted(
    cx: &Context,
    args: &FromArgs,
    outside: &Surroundings,
    source: &Source,
    policy: Option<&PolicyFile>,
) -> Result<Result<(Runbook, Plan), Exit>, Refusal> {
    let inputs = match &outside.lab {
        Some(lab) => Inputs { ambient: lab.variables(), ..check::inputs(&args.vars, &outside.env) },
        None => check::inputs(&args.vars, &outside.env),
    };
    let runbook = match Language::default().parse(source, &inputs) {
        Ok(runbook) => runbook,
        Err(found) => return Ok(Err(mistaken(cx, source, found, Exit::Invalid))),
    };
    let draft = match compile::compile(source, &runbook, policy, None, args.swap) {
        Ok(Compiled { plan, .. }) => plan,
        Err(found) => return Ok(Err(mistaken(cx, source, found, Exit::Invalid))),
    };
    if let Some(refusal) = runbook.refuse_missing(source) {
        return Err(refusal);
    }
    let mut missing = runbook.unset(&outside.env);
    if !missing.is_empty() {
        missing.iter_mut().for_each(|d| d.severity = Severity::Error);
        return Ok(Err(mistaken(cx, source, missing, Exit::Environment)));
    }
    Ok(Ok((runbook, draft)))
}

/// A saved plan holds only while the world is what it saw.
async fn saved(
    cx: &Context,
    source: &Source,
    policy: Option<&PolicyFile>,
    outside: &Surroundings,
) -> Result<Prepared, Refusal> {
    let plan = read_plan(source)?;
    policy::same(&plan, policy)?;
    if let Some(refusal) = outside_the_lab(&plan, outside) {
        return Err(refusal);
    }
    let mut remarks = Vec::new();
    for (name, planned) in &plan.routes {
        let reading = view(planned, outside)?.read().await.map_err(|e| arm::refused(&e, planned))?;
        if reading.split != planned.before {
            let users = format!("{}, read just now at {}", reading.split, planned.line);
            return Err(moved_by_a_run(cx, &plan).unwrap_or_else(|| arm::drift(&plan, planned, &users)));
        }
        remarks.extend(reading.remarks.iter().map(|remark| format!("{name}: {remark}")));
    }
    Ok(Prepared { plan: Rc::new(plan), remarks, saved: true })
}

fn read_plan(source: &Source) -> Result<Plan, Refusal> {
    serde_json::from_str(&source.text).map_err(|e| {
        Refusal::new(Kind::Invalid, Code::OtherBgctl, format!("`{}` is not a plan this bgctl can read", source.path))
            .cause(e.to_string())
            .next("bgctl plan RUNBOOK --out FILE")
    })
}

/// Users are where a run has sent them that is being driven now, or that nobody drives any more: that run is the reason, and
/// not drift.
fn moved_by_a_run(cx: &Context, plan: &Plan) -> Option<Refusal> {
    let held = Lock::held(&Archive::new(cx.state_dir().ok()?), &plan.environment, &plan.service);
    held.or_else(|| earlier::open(cx, plan))
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
            "a cutover moves users from what is live to the candidate; here the runbook has them the other way round",
        )
        .next(format!("bgctl cutover {} --swap      when BLUE is the new candidate", plan.runbook))
        .next("nothing, when this cutover is done already"),
        _ => Refusal::new(
            Kind::Drift,
            Code::NotBlue,
            "users are split already, so there is no live stack to start from",
        )
        .cause("no run that is kept on this machine is open, so another machine's is, or somebody moved users by hand")
        .next(format!("bgctl status {}          where users are", plan.runbook))
        .next(format!("bgctl rollback {}        everyone to BLUE {}", plan.runbook, plan.blue.version))
        .next(format!("bgctl rollback --print {}        the provider's own command for it", plan.runbook)),
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

/// Shows mistakes of a file and gives back the exit code.
pub fn mistaken(cx: &Context, source: &Source, found: Vec<Diagnostic>, exit: Exit) -> Exit {
    let found = sorted(found);
    if cx.machine() {
        cx.raw_out(&check::file_json(source, &found, true).to_string());
    }
    let all: Vec<&Diagnostic> = found.iter().filter(|d| d.severity == Severity::Error).collect();
    // A reader who closed the pipe has what they wanted.
    let _ = check::draw(source, &all, &mut cx.stderr(), cx.style.err.color);
    let count = check::counted(all.len(), "error");
    cx.err(&format!("{count} in {} · nothing was asked of any system, nothing changed", source.path));
    cx.err(&format!("next: fix, then bgctl check {}", source.path));
    exit
}

fn kind(planned: &PlannedRoute) -> Result<&'static routers::Kind, Refusal> {
    routers::KINDS.iter().find(|kind| kind.name == planned.router).ok_or_else(|| {
        let known = routers::KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
        Refusal::new(Kind::Invalid, Code::UnknownRouter, format!("this bgctl has no router `{}`", planned.router))
            .cause(format!("it was built with: {known}"))
            .next("build it with `--features full`")
    })
}

fn wrong(planned: &PlannedRoute, mistakes: &[crate::diag::Mistake]) -> Refusal {
    let refusal =
        Refusal::new(Kind::Invalid, Code::RouteSettings, format!("the settings of {} are wrong", planned.line));
    mistakes.iter().fold(refusal, |refusal, mistake| refusal.cause(mistake.message.clone()))
}

/// The reading side of a route: what plan and status may hold.
pub fn view(planned: &PlannedRoute, outside: &Surroundings) -> Result<Rc<dyn RouteView>, Refusal> {
    (kind(planned)?.view)(&planned.config, &access(planned, outside)?).map_err(|mistakes| wrong(planned, &mistakes))
}

/// A route that can be moved: only for a run.
pub fn router(planned: &PlannedRoute, outside: &Surroundings) -> Result<Rc<dyn TrafficRouter>, Refusal> {
    (kind(planned)?.open)(&planned.config, &access(planned, outside)?).map_err(|mistakes| wrong(planned, &mistakes))
}

/// How providers are reached, with the values of the references in this route's settings.
fn access(planned: &PlannedRoute, outside: &Surroundings) -> Result<Access, Refusal> {
    let secrets = crate::runbook::resolve_plan(&planned.config.to_string(), &outside.env)?;
    Ok(Access { secrets, ..outside.access.clone() })
}

/// Where a lab remembers itself; what an earlier one left there is forgotten.
pub fn new_memory(state: &Path) -> Result<PathBuf, Refusal> {
    let file = state.join(LAB_MEMORY);
    match std::fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Refusal::new(Kind::Environment, Code::Lab, "the memory of an earlier lab cannot be removed")
                .place(file.display().to_string())
                .cause(error.to_string()))
        }
        _ => Ok(file),
    }
}
