//! DSSE: what an Ed25519 key signs for tools outside the SSH world. The signed bytes begin with `DSSEv1`, so they can be taken
//! neither for an SSHSIG nor for a login.

use ed25519_dalek::{Signature, VerifyingKey};

use super::wire::Reader;
use super::{PublicKey, SignError};

/// The bytes that are signed: the payload and its type, each with its length in front.
pub fn signed_bytes(kind: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

/// The 64 bytes inside an agent's answer, found good by this key: an agent that signs something else, or with another key, is
/// met here and not by whoever collects the envelope.
pub fn of_agent(key: &PublicKey, message: &[u8], answer: &[u8]) -> Option<Vec<u8>> {
    let parts = |blob: &[u8]| {
        let mut reader = Reader(blob);
        let (kind, bytes) = (reader.text()?.to_string(), reader.string()?.to_vec());
        (reader.is_empty() && kind == "ssh-ed25519").then_some(bytes)
    };
    let (point, raw) = (parts(key.blob())?, parts(answer)?);
    let point = VerifyingKey::from_bytes(point.as_slice().try_into().ok()?).ok()?;
    point.verify_strict(message, &Signature::from_slice(&raw).ok()?).ok()?;
    Some(raw)
}

/// Why a key that is no plain Ed25519 key cannot sign an envelope.
pub fn cannot(name: &str) -> SignError {
    let why = "an envelope is signed with a plain Ed25519 key: a security key signs other bytes, and others are not supported";
    SignError::Unusable { path: name.into(), why: why.into() }
}
