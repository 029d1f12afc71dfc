//! Signed approvals in a folder: the exact request goes in, signatures come back beside it. An approver needs nothing but
//! `ssh-keygen`; how the files travel needs no trust.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use jiff::Timestamp;

use super::{Approve, Decision};
use crate::run::Grant;
use crate::sign::AllowedSigners;

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

/// The check against a team's allowed signers.
pub fn trusting(signers: AllowedSigners) -> Rc<Verify> {
    Rc::new(move |signed| {
        let found = signers.check(None, signed.namespace, signed.message, signed.signature, signed.at);
        found.map(|by| Signer { principal: by.principal, key: by.fingerprint }).map_err(|error| error.to_string())
    })
}

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

    pub fn folder(&self) -> &Path {
        &self.folder
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

/// A path as a shell takes it.
pub fn quoted(path: &str) -> String {
    let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+=:@,".contains(c));
    if plain { path.into() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

/// A step's id as part of a file name.
fn safe(id: &str) -> String {
    let name: String =
        id.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
    name.trim_start_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{ApprovalRule, AtExpiry, Lane, StepRef};

    fn rule(quorum: u32, own_run: bool) -> ApprovalRule {
        ApprovalRule {
            role: "release-managers".into(),
            members: ["one@example.com", "two@example.com", "me@example.com"].map(String::from).into(),
            quorum,
            own_run,
            within_s: 60,
            at_expiry: AtExpiry::RollBack,
            evidence: Default::default(),
            covers_rollback: false,
        }
    }

    fn ask<'a>(rule: &'a ApprovalRule, by: &'a [String]) -> Approve<'a> {
        Approve {
            step: StepRef { lane: Lane::Forward, index: 0 },
            id: "shift-100",
            line: "shift web to BLUE 0 GREEN 100",
            rule,
            request: r#"{"step":"shift-100"}"#,
            request_sha256: "",
            expires: 0,
            word: "100".into(),
            users: String::new(),
            evidence: Vec::new(),
            by,
        }
    }

    /// A folder with keys of a few people, signed by the real `ssh-keygen`.
    struct Desk(tempfile::TempDir);

    impl Desk {
        fn keygen(&self, words: &[&str]) -> bool {
            let run = std::process::Command::new("ssh-keygen").args(words).current_dir(self.0.path()).output();
            run.is_ok_and(|output| output.status.success())
        }

        fn sign(&self, key: &str, namespace: &str, name: &str) {
            // Signed on another desk, where no signature of somebody else lies in the way.
            let (request, copy) = (self.0.path().join("shift-100.request.json"), self.0.path().join("copy.json"));
            std::fs::copy(&request, &copy).unwrap();
            assert!(self.keygen(&["-Y", "sign", "-n", namespace, "-f", key, copy.to_str().unwrap()]));
            std::fs::rename(copy.with_extension("json.sig"), request.with_file_name(name)).unwrap();
        }

        fn trust(&self, who: &[(&str, &str)]) -> Inbox {
            let mut text = String::new();
            for (principal, key) in who {
                let public = std::fs::read_to_string(self.0.path().join(format!("{key}.pub"))).unwrap();
                text += &format!("{principal} {public}");
            }
            let verify = trusting(AllowedSigners::parse(&text).unwrap());
            Inbox::new(self.0.path().to_path_buf(), verify, "me@example.com")
        }
    }

    fn now() -> Timestamp {
        "2026-11-20T03:00:00Z".parse().unwrap()
    }

    fn who(found: &Found) -> String {
        match found {
            Found::Decision(Decision::Granted(grant)) => format!("granted {}", grant.principal),
            Found::Decision(Decision::Denied(grant)) => format!("denied {}", grant.principal),
            Found::Nothing(remarks) => remarks.join(" / "),
        }
    }

    #[test]
    fn signatures_count_once_for_the_right_people_and_bytes() {
        let desk = Desk(tempfile::tempdir().unwrap());
        for key in ["one", "two", "me", "stranger"] {
            assert!(desk.keygen(&["-q", "-t", "ed25519", "-N", "", "-C", key, "-f", key]), "ssh-keygen is needed");
        }
        let people =
            [("one@example.com", "one"), ("two@example.com", "two"), ("me@example.com", "me"), ("x@y", "stranger")];
        let inbox = desk.trust(&people[..3]);
        let (one_of, two_of) = (rule(1, false), rule(2, false));
        let sig = "shift-100.request.json.sig";
        inbox.publish(&ask(&one_of, &[])).unwrap();
        assert_eq!(inbox.look(&ask(&one_of, &[]), now()), Found::Nothing(vec![]));

        desk.sign("one", APPROVE, sig);
        assert_eq!(who(&inbox.look(&ask(&one_of, &[]), now())), "granted one@example.com");
        // The same person a second time is nobody; another one is.
        let by = ["one@example.com".to_string()];
        assert_eq!(inbox.look(&ask(&two_of, &by), now()), Found::Nothing(vec![]));
        desk.sign("two", APPROVE, "shift-100.request.json.two.sig");
        assert_eq!(who(&inbox.look(&ask(&two_of, &by), now())), "granted two@example.com");
        // One key in two names is one approval.
        let shared = desk.trust(&[("one@example.com", "one"), ("two@example.com", "one")]);
        std::fs::remove_file(desk.0.path().join("shift-100.request.json.two.sig")).unwrap();
        assert_eq!(shared.look(&ask(&two_of, &by), now()), Found::Nothing(vec![]));

        // A refusal closes the request, also beside an approval.
        desk.sign("two", DENY, "shift-100.request.json.two.sig");
        assert_eq!(who(&inbox.look(&ask(&one_of, &[]), now())), "denied two@example.com");
        std::fs::remove_file(desk.0.path().join("shift-100.request.json.two.sig")).unwrap();

        desk.sign("stranger", APPROVE, sig);
        assert!(who(&inbox.look(&ask(&one_of, &[]), now())).contains("no allowed-signers"));
        assert!(who(&desk.trust(&people).look(&ask(&one_of, &[]), now())).contains("does not hold the role"));
        desk.sign("me", APPROVE, sig);
        assert!(who(&inbox.look(&ask(&one_of, &[]), now())).contains("cannot approve"));
        let own = rule(1, true);
        assert_eq!(who(&inbox.look(&ask(&own, &[]), now())), "granted me@example.com");
        desk.sign("one", "file", sig);
        assert!(matches!(inbox.look(&ask(&one_of, &[]), now()), Found::Nothing(why) if why.len() == 1));

        // Signed for another request.
        desk.sign("one", APPROVE, sig);
        let other = Approve { request: r#"{"step":"shift-101"}"#, ..ask(&one_of, &[]) };
        assert!(matches!(inbox.look(&other, now()), Found::Nothing(why) if why.len() == 1));
    }

    #[test]
    fn a_step_cannot_lead_out_of_the_folder() {
        let verify: Rc<Verify> = Rc::new(|_| Err("no".into()));
        let inbox = Inbox::new("/in".into(), verify, "me");
        for id in ["../x", "/etc/passwd", "..", ".hidden", "a b'c"] {
            assert_eq!(inbox.request_file(id).parent(), Some(Path::new("/in")), "{id}");
        }
        assert!(recipe(Path::new("/a b/x")).ends_with("'/a b/x'"));
    }
}
