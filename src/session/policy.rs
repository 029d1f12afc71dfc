//! The team's policy as this process finds it, and whether the one a plan was made under still stands.
//!
//! Nothing is decided by it here: `compile` puts it into the plan.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::trust;
use crate::diag::{Code, Diagnostic, Kind, Refusal, Severity};
use crate::plan::Plan;
use crate::policy::PolicyFile;
use crate::runbook::Source;
use crate::shell::Context;

/// Where a team keeps its policy, in the repository.
pub const TEAM: &str = ".bgctl/policy.yaml";

/// Which policy holds.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct PolicyArgs {
    /// The team's policy; `.bgctl/policy.yaml` otherwise, where there is one.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
}

impl PolicyArgs {
    /// The file that holds here: the one named, or the team's.
    pub fn place(&self, cx: &Context) -> (PathBuf, String) {
        let name = self.policy.clone().unwrap_or_else(|| PathBuf::from(TEAM));
        (cx.cwd.join(&name), name.display().to_string())
    }
}

/// A policy file with its mistakes.
pub type Wrong = (Source, Vec<Diagnostic>);

/// Reads the policy: none where there is no file, or its mistakes with the file they are in.
pub fn read(cx: &Context, args: &PolicyArgs) -> Result<Result<Option<PolicyFile>, Wrong>, Refusal> {
    let (path, name) = args.place(cx);
    let Some(source) = source(&path, name, args.policy.is_some())? else { return Ok(Ok(None)) };
    let file = match PolicyFile::parse(source.clone()) {
        Ok(file) => file,
        Err(found) => return Ok(Err((source, found))),
    };
    let found = file.beside(&trust::approvers(cx, &trust::ApproversArgs::default())?.signers());
    if found.iter().any(|d| d.severity == Severity::Error) {
        return Ok(Err((source, found)));
    }
    Ok(Ok(Some(file)))
}

/// The text of a policy file; none where there is no file and none was named.
pub fn source(path: &Path, name: String, must: bool) -> Result<Option<Source>, Refusal> {
    // A link that leads nowhere is something that stands there.
    match std::fs::symlink_metadata(path) {
        // A file where a folder should be means that the one below is not there either.
        Err(error) if !must && absent(&error) => return Ok(None),
        _ => {}
    }
    let read = Source::read(&path.display().to_string())?;
    Ok(Some(Source::new(name, read.text)))
}

fn absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// A plan goes on only under the policy it was made with: its rules stand in the plan.
pub fn same(plan: &Plan, policy: Option<&PolicyFile>) -> Result<(), Refusal> {
    let now = policy.map_or("", |file| file.sha256.as_str());
    if plan.team.policy_sha256 == now {
        return Ok(());
    }
    let headline = match (plan.team.policy_sha256.as_str(), now) {
        ("", _) => "the plan was made without a policy, and there is one now",
        (_, "") => "the plan was made under a policy that is gone",
        _ => "the plan was made under another policy",
    };
    let short =
        |sha256: &str| if sha256.is_empty() { "none".to_string() } else { format!("sha256 {}…", &sha256[..12]) };
    Err(Refusal::new(Kind::Drift, Code::PolicyChanged, headline)
        .place(policy.map_or_else(|| TEAM.to_string(), |file| file.source.path.clone()))
        .cause(format!("then {}, now {}", short(&plan.team.policy_sha256), short(now)))
        .users("not asked. Nothing was changed by this command.")
        .next("bgctl cutover RUNBOOK        a new plan, under the policy as it is")
        .next("bgctl rollback               everyone back to blue; asks no policy"))
}
