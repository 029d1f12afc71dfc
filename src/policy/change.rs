//! Another policy in the place of the one known so far: it counts once enough of the people whom the *old* one names have
//! signed the bytes of the new one, so that nobody can vote themselves in.
//!
//! What this rests on: the allowed signers. Whoever may write that file speaks for everybody in it.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::types::{PersonKind, Policy};
use crate::sign::{AllowedSigners, namespace};

/// How the names of a policy's signatures end, beside it: `policy.yaml.sig`, `policy.yaml.alice.sig`.
pub const SIGNATURES: &str = "sig";

/// What the signatures beside a new policy come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The persons of the old policy's role who signed the new one.
    pub by: Vec<String>,
    /// How many it takes; 0 where the old policy asks for nobody.
    pub quorum: u32,
    /// Signatures that do not count, and why.
    pub remarks: Vec<String>,
}

impl Changed {
    pub fn holds(&self) -> bool {
        self.by.len() >= self.quorum as usize
    }
}

/// Counts the people of the old policy who signed the new one. `signatures` are names and armored texts.
pub fn judge(
    old: &Policy,
    new: &str,
    signatures: &[(String, String)],
    signers: &AllowedSigners,
    now: Timestamp,
) -> Changed {
    let rule = old.change.as_ref().and_then(|change| Some((change, old.roles.get(&change.role)?)));
    let Some((change, role)) = rule else { return Changed { by: Vec::new(), quorum: 0, remarks: Vec::new() } };
    let (mut by, mut keys, mut remarks) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for (name, armor) in signatures {
        let signed = match signers.check(None, namespace::POLICY, new.as_bytes(), armor, now) {
            Ok(signed) => signed,
            Err(error) => {
                remarks.push(format!("{name}: {error}"));
                continue;
            }
        };
        let person = old.persons.iter().find(|(_, person)| person.is(&signed.principal));
        match person {
            Some((person, about)) if role.members.contains(person) && about.kind == PersonKind::Human => {
                if !by.contains(person) && !keys.insert(signed.fingerprint.clone()) {
                    remarks.push(format!("{name}: the key {} was counted already", signed.fingerprint));
                } else {
                    by.insert(person.clone());
                }
            }
            _ => remarks.push(format!(
                "{name}: {} does not hold the role `{}` of the policy so far",
                signed.principal, change.role
            )),
        }
    }
    Changed { by: by.into_iter().collect(), quorum: role.quorum, remarks }
}
