//! The rules a run was opened under, as files: their digests stand in the owner's opening statement, and they are looked at
//! again at each step boundary.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::policy::PolicyArgs;
use crate::clock::Clock;
use crate::drive;
use crate::file;
use crate::guards::Question;
use crate::plan;
use crate::shell::Context;
use crate::sign::{PublicKey, TrustError, TrustFiles, namespace};

/// The files of the rules, with their digests at the opening.
pub struct RunRules {
    trust: TrustFiles,
    policy: PathBuf,
    name: String,
    /// SHA-256 in hex; none where there was no policy.
    policy_sha256: Option<String>,
}

impl RunRules {
    pub fn trust(&self) -> &TrustFiles {
        &self.trust
    }

    /// Takes the digests of the files that hold for a run begun or resumed now.
    pub fn new(cx: &Context, trust: TrustFiles, policy: &PolicyArgs) -> Self {
        let (policy, name) = policy.place(cx);
        let policy_sha256 = digest(&policy);
        RunRules { trust, policy, name, policy_sha256 }
    }

    /// What the owner's statement binds.
    pub fn bound(&self) -> Map<String, Value> {
        let mut bound = Map::new();
        if !self.trust.names().is_empty() {
            bound.insert("trust_sha256".into(), json!(self.trust.sha256()));
        }
        if let Some(sha256) = &self.policy_sha256 {
            bound.insert("policy_sha256".into(), json!(sha256));
        }
        bound
    }
}

/// Why the key that opened the run may not go on, if so: it was given up or ran out since. A key that stands in no list is not
/// asked for more than at the opening.
pub fn key(files: TrustFiles, key: PublicKey, clock: Rc<dyn Clock>) -> Question {
    let known = files.signers().check_key(None, namespace::OPEN, &key, clock.now()).is_ok();
    Box::new(move || {
        let error = match files.again() {
            Ok(files) => files.signers().check_key(None, namespace::OPEN, &key, clock.now()).err()?,
            Err(error) => return Some(format!("cannot tell whether the signing key still counts: {error}")),
        };
        let over = match &error {
            TrustError::Revoked { .. } | TrustError::RevocationUnknown { .. } => true,
            _ => known,
        };
        over.then(|| format!("the key that opened this run does not count any more: {error}"))
    })
}

impl drive::Rules for RunRules {
    fn changed(&self) -> Option<String> {
        let mut changes = self.trust.changes();
        let name = &self.name;
        match (&self.policy_sha256, digest(&self.policy)) {
            (then, now) if *then == now => {}
            (None, _) => changes.push(format!("{name} was not there before")),
            (_, None) => changes.push(format!("{name} is gone")),
            _ => changes.push(format!("{name} was changed")),
        }
        (!changes.is_empty()).then(|| format!("the rules changed during the run: {}", changes.join(", ")))
    }
}

/// A file that cannot be read is as good as none: the rules in it cannot be known.
fn digest(path: &Path) -> Option<String> {
    file::read(path, file::LONG).ok().map(|bytes| plan::sha256(&bytes))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sign::Signer as _;
    use crate::sign::session::SessionKey;
    use crate::sim::VirtualClock;

    #[test]
    fn a_key_that_ran_out_or_was_given_up_since_the_opening_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (list, revoked) = (dir.path().join("allowed_signers"), dir.path().join("revoked_keys"));
        let alice = SessionKey::from_seed([1; 32]);
        // Virtual time begins on 2026-01-01.
        let line = format!("alice@example.com valid-before=\"20260101010000Z\" {}\n", alice.public().trim());
        std::fs::write(&list, line).unwrap();
        let mut files = TrustFiles::default();
        files.add_signers(&list, "team", true).unwrap();
        let clock = Rc::new(VirtualClock::default());
        let question = key(files.clone(), alice.public_key().clone(), clock.clone());
        assert_eq!(question(), None);
        clock.run(clock.sleep(Duration::from_secs(3600))).unwrap();
        assert!(question().unwrap().contains("does not count any more"));
        // Known as run out when the run was opened: that was judged then.
        assert_eq!(key(files.clone(), alice.public_key().clone(), clock.clone())(), None);
        std::fs::write(&revoked, format!("{}\n", alice.fingerprint())).unwrap();
        assert!(key(files.clone(), alice.public_key().clone(), clock.clone())().unwrap().contains("revoked"));
        // A key that stands in no list was nobody's before, and is so now.
        let stranger = SessionKey::from_seed([2; 32]);
        assert_eq!(key(files.clone(), stranger.public_key().clone(), clock.clone())(), None);
        std::fs::remove_file(&list).unwrap();
        assert!(key(files, stranger.public_key().clone(), clock)().unwrap().contains("cannot tell whether"));
    }
}
