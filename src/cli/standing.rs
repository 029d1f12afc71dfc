//! The rules a run was opened under, as files: their digests stand in the owner's opening statement, and they are looked at
//! again at each step boundary.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::Context;
use super::policy::PolicyArgs;
use crate::clock::Clock;
use crate::drive;
use crate::guards::Question;
use crate::plan;
use crate::sign::{PublicKey, TrustError, TrustFiles, namespace};

/// The files of the rules, with their digests at the opening.
pub struct Standing {
    trust: TrustFiles,
    policy: PathBuf,
    name: String,
    /// SHA-256 in hex; none where there was no policy.
    policy_sha256: Option<String>,
}

impl Standing {
    pub fn trust(&self) -> &TrustFiles {
        &self.trust
    }

    /// Takes the digests of the files that hold for a run begun or resumed now.
    pub fn new(cx: &Context, trust: TrustFiles, policy: &PolicyArgs) -> Self {
        let (policy, name) = policy.place(cx);
        let policy_sha256 = digest(&policy);
        Standing { trust, policy, name, policy_sha256 }
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
    let check = |files: &TrustFiles, now| files.signers().check_key(None, namespace::OPEN, &key, now);
    let known = check(&files, clock.now()).is_ok();
    Box::new(move || {
        let error = match files.again() {
            Ok(files) => files.signers().check_key(None, namespace::OPEN, &key, clock.now()).err()?,
            Err(error) => return Some(format!("whether the signing key still counts cannot be known: {error}")),
        };
        let over = match &error {
            TrustError::Revoked { .. } | TrustError::RevocationUnknown { .. } => true,
            _ => known,
        };
        over.then(|| format!("the key that opened this run does not count any more: {error}"))
    })
}

impl drive::Standing for Standing {
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
    std::fs::read(path).ok().map(|bytes| plan::sha256(&bytes))
}
