//! The policy this machine knows for a service, and whether another one may take its place.
//!
//! The first one seen is believed, as with a host key. After that a policy counts only with the signatures the known one asks
//! for; one that was replaced before does not come back by its old signatures.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::diag::{Code, Kind, Refusal};
use crate::file;
use crate::journal::Archive;
use crate::plan::Plan;
use crate::policy::{PolicyFile, SIGNATURES, judge};
use crate::runbook::Source;
use crate::sign::AllowedSigners;

/// A policy that may stand, not yet remembered.
pub struct Accepted {
    folder: PathBuf,
    file: PolicyFile,
    /// The digest of the one it replaces.
    replaces: Option<String>,
}

impl Accepted {
    /// Holds the policy against the one known for this service and environment. Nothing to remember where there is none, or
    /// where it is the known one.
    pub fn judge(
        archive: &Archive,
        plan: &Plan,
        file: Option<&PolicyFile>,
        place: &Path,
        signers: &AllowedSigners,
        now: Timestamp,
    ) -> Result<Option<Accepted>, Refusal> {
        let folder = archive.root().join("policies").join(name(&plan.environment)).join(name(&plan.service));
        let known = folder.join("policy.yaml");
        let text = match file::text(&known, file::LONG) {
            Ok(text) => text,
            // A file where a folder should be means that nothing is below it; opening the journal says so.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(file.map(|file| Accepted { folder, file: file.clone(), replaces: None }));
            }
            Err(error) => return Err(unreadable(&known, error.to_string())),
        };
        let old = PolicyFile::parse(Source::new(known.display().to_string(), text));
        let old = old.map_err(|_| unreadable(&known, "this bgctl cannot read it as a policy".into()))?;
        let refuse = |headline: &str| {
            let refusal = Refusal::new(Kind::Denied, Code::PolicyUnsigned, headline.to_string())
                .place(place.display().to_string());
            refusal.users("not checked. Nothing was changed.")
        };
        let Some(file) = file else {
            if old.policy.change.is_none() {
                return Ok(None);
            }
            return Err(refuse("the policy of this service is gone")
                .cause("the policy says who may change it, and nobody has signed its removal")
                .next(format!("git checkout -- {}        or name it with --policy FILE", super::policy::TEAM)));
        };
        if old.sha256 == file.sha256 {
            return Ok(None);
        }
        let replaced = file::text(&folder.join("replaced"), file::LONG).unwrap_or_default();
        if old.policy.change.is_some() && replaced.lines().any(|sha256| sha256 == file.sha256) {
            return Err(refuse("this policy was replaced before, and old signatures do not bring it back")
                .cause(format!("sha256 {}…", &file.sha256[..12]))
                .next("change it (a comment is enough) and have that signed"));
        }
        let changed = judge(&old.policy, &file.source.text, &signatures(place), signers, now);
        if !changed.holds() {
            let role = old.policy.change.as_ref().map_or("", |change| change.role.as_str());
            let have =
                if changed.by.is_empty() { "nobody has".into() } else { format!("{} have", changed.by.join(", ")) };
            let mut refusal = refuse("the policy was changed, and not enough people have signed the new one")
                .cause(format!("the previous policy asks for {} of `{role}`: {have}", changed.quorum));
            for remark in changed.remarks {
                refusal = refusal.cause(format!("not counted: {remark}"));
            }
            let shown = place.display();
            return Err(refusal
                .next(format!("ssh-keygen -Y sign -n bgctl-policy-v1 -f KEY {shown}"))
                .next(format!("mv {shown}.sig {shown}.NAME.sig        one for each person"))
                .next("git checkout -- .bgctl/policy.yaml        back to the previous one"));
        }
        Ok(Some(Accepted { folder, file: file.clone(), replaces: Some(old.sha256) }))
    }

    /// From now on this is the known one.
    pub fn remember(&self) -> Result<(), Refusal> {
        let write = || -> std::io::Result<()> {
            file::folder(&self.folder)?;
            if let Some(old) = &self.replaces {
                let list = self.folder.join("replaced");
                let before = file::text(&list, file::LONG).unwrap_or_default();
                file::write(&list, format!("{before}{old}\n"))?;
            }
            let draft = self.folder.join(format!("policy.{}.tmp", std::process::id()));
            file::write(&draft, &self.file.source.text)?;
            fs::rename(&draft, self.folder.join("policy.yaml"))
        };
        write().map_err(|error| {
            Refusal::new(
                Kind::Environment,
                Code::PolicyMemory,
                "the policy cannot be stored, so a later change would go unnoticed",
            )
            .place(self.folder.display().to_string())
            .cause(error.to_string())
            .users("not checked. Nothing was changed.")
            .next("free space or fix the folder, then the same command again")
        })
    }
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

fn unreadable(place: &Path, cause: String) -> Refusal {
    Refusal::new(
        Kind::Environment,
        Code::PolicyMemory,
        "the stored policy cannot be read, so a change cannot be judged",
    )
    .place(place.display().to_string())
    .cause(cause)
    .users("not checked. Nothing was changed.")
    .next("restore the file from a copy; without one, remove it: the next policy is then trusted as the first one was")
}

/// A service or environment as the name of a folder.
fn name(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
    let safe: String = text.chars().map(plain).collect();
    // Two names that look the same here are told apart by their digest.
    format!("{safe}-{}", &crate::plan::sha256(text.as_bytes())[..8])
}
