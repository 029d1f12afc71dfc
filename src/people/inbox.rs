//! Signed approvals in a folder: the exact request goes in, signatures come back beside it. An approver needs nothing but
//! `ssh-keygen`; how the files travel needs no trust.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use jiff::Timestamp;

use super::{Approve, Decision};
use crate::run::Grant;

/// Namespace of an approval's signature.
pub const APPROVE: &str = "bgctl-approve-v1";
/// Namespace of a refusal's signature.
pub const DENY: &str = "bgctl-deny-v1";

/// A signature to be checked.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    pub namespace: &'a str,
    pub message: &'a [u8],
    /// The armored SSHSIG.
    pub signature: &'a str,
    /// The moment at which the key must be valid.
    pub at: Timestamp,
}

/// Whose signature it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    pub principal: String,
    /// `SHA256:…`.
    pub key: String,
}

/// Checks a signature against the allowed signers; the error says in words why it does not count.
pub type Verify = dyn Fn(&Signed<'_>) -> Result<Signer, String>;

/// What lies in the folder for a request.
#[derive(Debug, PartialEq)]
pub enum Found {
    Decision(Decision),
    /// Nothing that counts, and why not.
    Nothing(Vec<String>),
}

/// The folder of approvals.
#[derive(Clone)]
pub struct Inbox {
    folder: PathBuf,
    verify: Rc<Verify>,
    /// Who runs the cutover, and so may not approve it unless the rule says so.
    runner: String,
}

impl Inbox {
    pub fn new(folder: PathBuf, verify: Rc<Verify>, runner: impl Into<String>) -> Self {
        Inbox { folder, verify, runner: runner.into() }
    }

    /// The file of a step's request.
    pub fn request_file(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{}.request.json", safe(id)))
    }

    /// Writes the exact bytes to be signed.
    pub fn publish(&self, ask: &Approve<'_>) -> std::io::Result<PathBuf> {
        std::fs::create_dir_all(&self.folder)?;
        let file = self.request_file(ask.id);
        if std::fs::read(&file).ok().as_deref() != Some(ask.request.as_bytes()) {
            std::fs::write(&file, ask.request)?;
        }
        Ok(file)
    }

    /// Looks for one more approval, or a refusal. A refusal counts before any approval.
    pub fn look(&self, ask: &Approve<'_>, now: Timestamp) -> Found {
        let files = self.signatures(ask.id);
        let mut remarks = Vec::new();
        let mut used = Vec::new();
        let mut grants = Vec::new();
        for file in &files {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Ok(signature) = std::fs::read_to_string(file) else {
                remarks.push(format!("{name} cannot be read"));
                continue;
            };
            let check = |namespace| {
                let signed = Signed { namespace, message: ask.request.as_bytes(), signature: &signature, at: now };
                (self.verify)(&signed)
            };
            let (signer, denied) = match (check(APPROVE), check(DENY)) {
                (Ok(signer), _) => (signer, false),
                (_, Ok(signer)) => (signer, true),
                (Err(why), _) => {
                    remarks.push(format!("{name}: {why}"));
                    continue;
                }
            };
            if !ask.rule.members.contains(&signer.principal) {
                remarks.push(format!("{name}: {} does not hold the role {}", signer.principal, ask.rule.role));
            } else if signer.principal == self.runner && !ask.rule.own_run && !denied {
                remarks.push(format!("{name}: {} runs this cutover and cannot approve it", signer.principal));
            } else if ask.by.contains(&signer.principal) {
                used.push(signer.key);
            } else {
                grants.push((signer, signature, denied, name));
            }
        }
        if let Some((signer, signature, _, _)) = grants.iter().find(|(_, _, denied, _)| *denied) {
            return Found::Decision(Decision::Denied(grant(signer, signature)));
        }
        // One key in two people's names is one approval.
        match grants.iter().find(|(signer, ..)| !used.contains(&signer.key)) {
            Some((signer, signature, ..)) => Found::Decision(Decision::Granted(grant(signer, signature))),
            None => {
                let twice =
                    grants.iter().map(|(signer, _, _, name)| format!("{name}: key {} counted already", signer.key));
                remarks.extend(twice);
                Found::Nothing(remarks)
            }
        }
    }

    /// `<id>.request.json.sig`, and for more than one person `<id>.request.json.<anything>.sig`, in order of name.
    fn signatures(&self, id: &str) -> Vec<PathBuf> {
        let prefix = format!("{}.request.json.", safe(id));
        let mut files: Vec<PathBuf> = std::fs::read_dir(&self.folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with(&prefix) && name.ends_with("sig")
            })
            .collect();
        files.sort();
        files
    }
}

fn grant(signer: &Signer, signature: &str) -> Grant {
    Grant {
        principal: signer.principal.clone(),
        evidence: "signed".into(),
        key: Some(signer.key.clone()),
        sig: Some(signature.to_string()),
        prompt: None,
    }
}

/// What an approver types to sign a request, with nothing installed.
pub fn recipe(file: &Path) -> String {
    format!("ssh-keygen -Y sign -n {APPROVE} -f KEY {}", quoted(&file.display().to_string()))
}

fn quoted(path: &str) -> String {
    let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+=:@,".contains(c));
    if plain { path.into() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

/// A step's id as part of a file name.
fn safe(id: &str) -> String {
    let name: String =
        id.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
    name.trim_start_matches('.').to_string()
}
