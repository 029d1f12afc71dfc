//! The outside as a process reaches it: its own environment, or that of a rehearsal it starts or joins. Of a rehearsal nothing
//! of the real environment is in reach: neither its values nor any address that is not the lab's.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{mistakes, places};
use crate::diag::{Code, Kind, Refusal};
use crate::plan::{LAB, Plan};
use crate::rehearsal::{Mode, NotStarted, Own, Rehearsal};
use crate::routers::{Access, AwsAccess, socket_mode};
use crate::runbook::Inputs;
use crate::secret::Secret;
use crate::shell::Context;

/// The memory of the newest lab, in the folder of rehearsals.
const MEMORY: &str = "world.json";

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
    pub lab: Option<Played>,
}

/// A rehearsal that runs, and what is its own.
pub struct Played {
    pub lab: Box<dyn Rehearsal>,
    pub own: Own,
}

impl Surroundings {
    /// The process's own.
    pub fn real(cx: &Context) -> Self {
        let expires = cx.env.get("AWS_CREDENTIAL_EXPIRATION").cloned();
        let bundle = cx.env.get("AWS_CA_BUNDLE").filter(|path| !path.is_empty());
        let bundle = bundle.map(|path| AwsAccess::bundle(&cx.cwd.join(path)));
        let aws = AwsAccess { expires, bundle, ..AwsAccess::default() };
        Surroundings { env: cx.env.clone(), access: Access { aws, ..Access::default() }, lab: None }
    }

    /// The process's own, or a new lab: one that remembers itself in `folder`, where other terminals can join it, or one for
    /// this command alone.
    pub fn new(cx: &Context, args: &LabArgs, folder: Option<PathBuf>, mode: Mode) -> Result<Self, Refusal> {
        if !args.lab {
            return Ok(Self::real(cx));
        }
        match cx.rehearsals.start(folder.as_deref(), &args.faults, mode) {
            Ok(lab) => Ok(Self::of_lab(cx, lab)),
            Err(NotStarted::Fault(why)) => {
                Err(Refusal::new(Kind::Usage, Code::CommandLine, why).next("bgctl explain lab"))
            }
            Err(NotStarted::Lab(error)) => Err(no_lab(error)),
        }
    }

    /// Those of a run that is gone on with from its log. A rehearsal goes on in the lab it is played in, where that lives, or in
    /// a new one that remembers ports and weights; a real run never does.
    pub fn of_run(cx: &Context, args: &LabArgs, plan: &Plan) -> Result<Self, Refusal> {
        if !plan.is_rehearsal() {
            return match args.lab {
                true => Err(of_the_other_world("this run is a real one, and --lab rehearses")),
                false => Self::new(cx, args, None, lab_mode(plan)),
            };
        }
        if let Some(joined) = Self::joined(cx, plan)? {
            if !args.faults.is_empty() {
                cx.err("! lab      it is already running, with the faults it was started with");
            }
            return Ok(joined);
        }
        let folder = places::rehearsals(cx)?.root().to_path_buf();
        if !folder.join(MEMORY).is_file() {
            return Err(of_the_other_world("the lab of this rehearsal is gone, and what it remembered with it"));
        }
        Self::new(cx, &LabArgs { lab: true, ..args.clone() }, Some(folder), lab_mode(plan))
    }

    /// The lab that a rehearsal's plan was made in, if it lives: whoever plays it may be another process, stopped, or dead.
    pub fn joined(cx: &Context, plan: &Plan) -> Result<Option<Self>, Refusal> {
        if !plan.is_rehearsal() {
            return Ok(None);
        }
        let joined = cx.rehearsals.join(places::rehearsals(cx)?.root(), &plan.canonical());
        Ok(joined.map_err(no_lab)?.map(|lab| Self::of_lab(cx, lab)))
    }

    /// Takes up what the references in a text stand for, in a rehearsal and outside it: neither value may be written.
    pub fn known(&self, cx: &Context, text: &str) {
        cx.known.of_references(text, &cx.env);
        cx.known.of_references(text, &self.env);
    }

    /// Values for the variables of a runbook: `--var` first, then those that lead to the lab, or `BGCTL_VAR_name`. In a
    /// rehearsal every runbook is of the environment of rehearsals, whatever it says.
    pub fn inputs(&self, vars: &[(String, String)]) -> Inputs {
        let inputs = mistakes::inputs(vars, &self.env);
        match &self.lab {
            Some(played) => Inputs { ambient: played.own.variables.clone(), environment: Some(LAB.into()), ..inputs },
            None => inputs,
        }
    }

    fn of_lab(cx: &Context, lab: Box<dyn Rehearsal>) -> Self {
        let own = Own::new(lab.variables(), lab.environment(), &cx.env);
        let key = |name: &str| own.env.get(name).cloned().unwrap_or_default();
        let aws = AwsAccess {
            endpoint: Some(key("AWS_ENDPOINT_URL")),
            keys: Some((key("AWS_ACCESS_KEY_ID"), Secret::new(key("AWS_SECRET_ACCESS_KEY")))),
            ..AwsAccess::default()
        };
        Surroundings {
            env: own.env.clone(),
            access: Access { aws, only: Some(own.env.clone()), ..Access::default() },
            lab: Some(Played { lab, own }),
        }
    }
}

fn no_lab(error: anyhow::Error) -> Refusal {
    Refusal::new(Kind::Environment, Code::Lab, "the lab does not start, or does not answer").cause(format!("{error:#}"))
}

/// The router whose lab has fleets and no load balancer.
pub const SOCKETS: &str = socket_mode::KIND.name;

/// The lab a plan was made in.
pub fn lab_mode(plan: &Plan) -> Mode {
    if plan.routes.values().any(|route| route.router == SOCKETS) { Mode::Sockets } else { Mode::Http }
}

/// A plan or a run that belongs to the other world than the command.
pub fn of_the_other_world(why: &str) -> Refusal {
    Refusal::new(Kind::Invalid, Code::NotTheLabs, why).users("not checked; nothing was changed")
}

/// Where a lab remembers itself; what an earlier one left there is forgotten.
pub fn new_memory(cx: &Context) -> Result<PathBuf, Refusal> {
    let folder = places::rehearsals(cx)?.root().to_path_buf();
    match std::fs::remove_file(folder.join(MEMORY)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Refusal::new(Kind::Environment, Code::Lab, "the memory of an earlier lab cannot be removed")
                .place(folder.join(MEMORY).display().to_string())
                .cause(error.to_string()))
        }
        _ => Ok(folder),
    }
}
