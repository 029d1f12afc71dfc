//! The owner's signatures: over the statements that open and resume, and under the closing seal. Whether a key is to be
//! believed is not asked here.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::Scan;
use crate::journal::json::word;
use crate::sign::{PublicKey, Touch, sshsig};

/// Whose signature stands under an opening, a resuming or a close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnerKey {
    Ssh(PublicKey),
    /// A shared key, by its id.
    Shared(String),
}

/// One signature of an owner, found good over its bytes; whether to believe the key is another question.
#[derive(Clone, Debug)]
pub struct OwnerSignature {
    pub owner: String,
    pub key: OwnerKey,
    pub namespace: &'static str,
    pub time: Timestamp,
    pub assurance: String,
    /// How a security key was touched for it.
    pub touch: Option<Touch>,
    /// False for a shared key that the verifier does not have.
    pub checked: bool,
}

/// What stands for the signer: a signature, or the MAC of a shared key.
pub(super) enum Proof<'v> {
    Sig(Cow<'v, str>),
    Mac(Cow<'v, str>),
}

impl<'v> Proof<'v> {
    pub fn of(data: &'v Map<String, Value>) -> Result<Self, String> {
        match data.get("sig") {
            Some(_) => word(data, "sig").map(|sig| Proof::Sig(sig.into())),
            None => word(data, "mac").map(|mac| Proof::Mac(mac.into())),
        }
    }
}

impl Scan<'_> {
    /// Checks the owner's signature or MAC over the text; false where the shared key is not at hand. With it, how a
    /// security key was touched.
    pub(super) fn check_owner(
        &self,
        key: &OwnerKey,
        proof: &Proof<'_>,
        space: &str,
        text: &str,
    ) -> Result<(bool, Option<Touch>), String> {
        match (key, proof) {
            (OwnerKey::Ssh(key), Proof::Sig(sig)) => by(key, space, text, sig).map(|touch| (true, touch)),
            (OwnerKey::Shared(id), Proof::Mac(mac)) => match self.shared {
                Some(shared) if crate::sign::Signer::fingerprint(shared) == *id => {
                    shared.check(space, text.as_bytes(), mac).map_err(|e| e.to_string()).map(|()| (true, None))
                }
                _ => Ok((false, None)),
            },
            _ => Err("its signature is of another kind than its key".into()),
        }
    }
}

/// The signature holds, is in its one form, and is by this key.
pub fn by(key: &PublicKey, space: &str, text: &str, sig: &str) -> Result<Option<Touch>, String> {
    let sshsig::Signature { key: found, touch } =
        sshsig::check(space, text.as_bytes(), sig).map_err(|e| e.to_string())?;
    if found != *key {
        return Err(format!("it was signed with {}, not with {}", found.fingerprint(), key.fingerprint()));
    }
    if sshsig::is_canonical(sig) { Ok(touch) } else { Err("its signature is not in the usual form".into()) }
}
