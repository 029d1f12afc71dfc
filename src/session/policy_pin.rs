//! Whether the policy of a run may stand beside what this machine knows of the things the run moves.
//!
//! The first one seen is believed, as with a host key. After that a policy counts only with the signatures the known one asks
//! for; one that was replaced before does not come back by its old signatures. Where the known ones lie is
//! [`super::policy_memory`]'s.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::policy_memory::{Known, Memory, Place};
use crate::diag::{Code, Kind, Refusal};
use crate::file;
use crate::journal::Archive;
use crate::plan::Plan;
use crate::policy::{PolicyFile, SIGNATURES, judge};
use crate::sign::AllowedSigners;

/// A policy that may stand.
#[derive(Debug, Default)]
pub struct Accepted {
    file: Option<PolicyFile>,
    /// Where it is not remembered yet.
    places: Vec<Place>,
    replaced: BTreeSet<String>,
    /// Folders of earlier versions that hold for a name alone.
    pub unplaced: Vec<PathBuf>,
}

impl Accepted {
    /// Holds the policy against every one that is known for what the plan moves.
    pub fn judge(
        archive: &Archive,
        plan: &Plan,
        file: Option<&PolicyFile>,
        place: &Path,
        signers: &AllowedSigners,
        now: Timestamp,
    ) -> Result<Accepted, Refusal> {
        let memory = Memory::of(archive, plan)?;
        let mut replaced = BTreeSet::new();
        for known in memory.known() {
            may_follow(known, file, place, signers, now)?;
            replaced.extend(known.replaced.iter().cloned().chain([known.policy.sha256.clone()]));
        }
        let Memory { mut places, unplaced, .. } = memory;
        let Some(file) = file else { return Ok(Accepted { unplaced, ..Accepted::default() }) };
        replaced.remove(&file.sha256);
        places.retain(|place| place.known.as_ref().is_none_or(|known| known.policy.sha256 != file.sha256));
        Ok(Accepted { file: Some(file.clone()), places, replaced, unplaced })
    }

    /// From now on this is the known one.
    pub fn remember(&self) -> Result<(), Refusal> {
        let Some(file) = &self.file else { return Ok(()) };
        self.places.iter().try_for_each(|place| place.keep(file, &self.replaced))
    }
}

/// Whether this policy, or none, may take the place of a known one.
fn may_follow(
    known: &Known,
    file: Option<&PolicyFile>,
    place: &Path,
    signers: &AllowedSigners,
    now: Timestamp,
) -> Result<(), Refusal> {
    let old = &known.policy;
    let refuse = |headline: &str| {
        let refusal =
            Refusal::new(Kind::Denied, Code::PolicyUnsigned, headline.to_string()).place(place.display().to_string());
        refusal.users("not checked. Nothing was changed.")
    };
    let remembered = format!("it is remembered for `{}`, whatever service moves that", known.of);
    let Some(file) = file else {
        if old.policy.change.is_none() {
            return Ok(());
        }
        return Err(refuse("the policy of this service is gone")
            .cause("the policy says who may change it, and nobody has signed its removal")
            .cause(remembered)
            .next(format!("git checkout -- {}        or name it with --policy FILE", super::policy::TEAM)));
    };
    if old.sha256 == file.sha256 {
        return Ok(());
    }
    if old.policy.change.is_some() && known.replaced.contains(&file.sha256) {
        return Err(refuse("this policy was replaced before, and old signatures do not bring it back")
            .cause(format!("sha256 {}…", &file.sha256[..12]))
            .cause(remembered)
            .next("change it (a comment is enough) and have that signed"));
    }
    let changed = judge(&old.policy, &file.source.text, &signatures(place), signers, now);
    if changed.holds() {
        return Ok(());
    }
    let role = old.policy.change.as_ref().map_or("", |change| change.role.as_str());
    let have = if changed.by.is_empty() { "nobody has".into() } else { format!("{} have", changed.by.join(", ")) };
    let mut refusal = refuse("the policy was changed, and not enough people have signed the new one")
        .cause(format!("the previous policy asks for {} of `{role}`: {have}", changed.quorum))
        .cause(remembered);
    for remark in changed.remarks {
        refusal = refusal.cause(format!("not counted: {remark}"));
    }
    let shown = place.display();
    Err(refusal
        .next(format!("ssh-keygen -Y sign -n bgctl-policy-v1 -f KEY {shown}"))
        .next(format!("mv {shown}.sig {shown}.NAME.sig        one for each person"))
        .next("git checkout -- .bgctl/policy.yaml        back to the previous one"))
}

/// The signatures beside a policy file, by name.
fn signatures(place: &Path) -> Vec<(String, String)> {
    let folder = place.parent().unwrap_or(Path::new("."));
    let file = place.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!("{file}.");
    let mut found: Vec<(String, String)> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .filter(|(name, _)| name.starts_with(&prefix) && name.ends_with(SIGNATURES))
        .filter_map(|(name, path)| Some((name, file::text(&path, file::SHORT).ok()?)))
        .collect();
    found.sort();
    found
}
