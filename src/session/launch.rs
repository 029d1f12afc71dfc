//! What a process brings to a run: its surroundings, the plan, who signs, and which policy holds. It acts on nothing.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::places;
use super::policy::PolicyArgs;
use super::surroundings::Surroundings;
use super::{native, trust};
use crate::diag::{Code, Kind, Refusal};
use crate::journal::Archive;
use crate::plan::Plan;
use crate::shell::Context;

/// Who signs, and whose approvals count.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SigningArgs {
    /// The key that signs the run: a key file, or `agent:SHA256:…`.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Take approvals as signed files from this folder; requests are written there too.
    #[arg(long, value_name = "DIR")]
    pub approvals: Option<PathBuf>,
    #[command(flatten)]
    pub trust: trust::ApproversArgs,
}

/// What a process brings to a run.
pub struct Launch<'a> {
    pub cx: &'a Context,
    pub outside: &'a Surroundings,
    pub args: &'a SigningArgs,
    /// The policy that holds; none for a command that only ever goes back.
    pub policy: Option<&'a PolicyArgs>,
    pub plan: Rc<Plan>,
    /// The command line's own word, for whoever meets the lock.
    pub command: &'static str,
    /// What sends everybody back without bgctl, where the run's folder cannot say it.
    pub native: Vec<String>,
}

impl Launch<'_> {
    pub(super) fn archive(&self) -> Result<Archive, Refusal> {
        places::of(self.cx, &self.plan)
    }

    /// A folder of approvals that could never be one is known before anybody moves.
    pub(super) fn approvals(&self) -> Result<(), Refusal> {
        let named = self.args.approvals.as_ref().map(|folder| self.cx.cwd.join(folder));
        let Some(path) = named.filter(|path| path.symlink_metadata().is_ok() && !path.is_dir()) else { return Ok(()) };
        Err(Refusal::new(Kind::Usage, Code::Folder, "--approvals does not name a folder")
            .place(path.display().to_string())
            .cause("requests are written there as files, and signatures are looked for beside them")
            .users(self.users_as_planned())
            .next("--approvals FOLDER        one that is there, or that bgctl may make"))
    }

    pub(super) fn users_as_planned(&self) -> String {
        let split = self.plan.routes.values().map(|r| format!("{} at {}", r.before, r.line)).collect::<Vec<_>>();
        format!("{}, read when the plan was made. Nothing was changed.", split.join("; "))
    }

    pub(super) fn unwritable(&self, cause: impl std::fmt::Display, place: &Path) -> Refusal {
        Refusal::new(Kind::Environment, Code::NoRecord, "the journal cannot be written, so nothing may move")
            .place(place.display().to_string())
            .cause(cause.to_string())
            .users(self.users_as_planned())
            .next(format!("df -h {}        free space, or choose another place with --state-dir", place.display()))
    }

    /// The commands that send everybody back without bgctl.
    pub(super) fn native(&self, folder: &Path) -> Vec<String> {
        let kept = native::native(folder);
        if kept.is_empty() { self.native.clone() } else { kept }
    }
}
