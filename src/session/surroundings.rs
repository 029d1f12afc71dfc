//! The outside as a process reaches it: its own environment, or that of a rehearsal it starts or joins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::diag::{Code, Kind, Refusal};
use crate::plan::Plan;
use crate::rehearsal::{Mode, NotStarted, Rehearsal};
use crate::routers::{Access, AwsAccess, socket_mode};
use crate::secret::Secret;
use crate::shell::Context;

/// The memory of the newest lab, below the state folder.
pub const LAB_MEMORY: &str = "lab/world.json";

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
    pub lab: Option<Box<dyn Rehearsal>>,
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
        match cx.rehearsals.start(memory.as_deref().and_then(Path::parent), &args.faults, mode) {
            Ok(lab) => Ok(Self::of_lab(cx, lab)),
            Err(NotStarted::Fault(why)) => {
                Err(Refusal::new(Kind::Usage, Code::CommandLine, why).next("bgctl explain lab"))
            }
            Err(NotStarted::Lab(error)) => Err(no_lab(error)),
        }
    }

    /// Those of a run that is gone on with from its log: the lab it is played in, where one lives; a new one that remembers the
    /// weights, where `args` ask for it; and otherwise the process's own.
    pub fn of_run(cx: &Context, args: &LabArgs, memory: PathBuf, plan: &Plan) -> Result<Self, Refusal> {
        if let Some(joined) = Self::joined(cx, plan)? {
            if !args.faults.is_empty() {
                cx.err("! lab      it is already running, with the faults it was started with");
            }
            return Ok(joined);
        }
        Self::new(cx, args, args.lab.then_some(memory), lab_mode(plan))
    }

    /// The lab that a run's plan was made in, if it lives: whoever plays it may be another process, stopped, or dead.
    pub fn joined(cx: &Context, plan: &Plan) -> Result<Option<Self>, Refusal> {
        let memory = cx.state_dir()?.join(LAB_MEMORY);
        let joined = memory.parent().map_or(Ok(None), |folder| cx.rehearsals.join(folder, &plan.canonical()));
        Ok(joined.map_err(no_lab)?.map(|lab| Self::of_lab(cx, lab)))
    }

    /// Takes up what the references in a text stand for, in a rehearsal and outside it: neither value may be written.
    pub fn known(&self, cx: &Context, text: &str) {
        cx.known.of_references(text, &cx.env);
        cx.known.of_references(text, &self.env);
    }

    fn of_lab(cx: &Context, lab: Box<dyn Rehearsal>) -> Self {
        let mut env = cx.env.clone();
        env.extend(lab.environment());
        let key = |name: &str| env.get(name).cloned().unwrap_or_default();
        let aws = AwsAccess {
            endpoint: Some(key("AWS_ENDPOINT_URL")),
            keys: Some((key("AWS_ACCESS_KEY_ID"), Secret::new(key("AWS_SECRET_ACCESS_KEY")))),
            ..AwsAccess::default()
        };
        Surroundings { env, access: Access { aws, ..Access::default() }, lab: Some(lab) }
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
