//! The shared key: for CI that has only a secret. Everybody who can check it could have written it, and the log says so.

use std::path::Path;

use ::hmac::{Hmac, KeyInit, Mac};
use base16ct::lower::{decode_vec, encode_string as hex};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{Assurance, SigError, SignError, Signer};

use crate::file;

/// What a MAC begins with where a signature would stand.
pub const PREFIX: &str = "hmac-sha256:";
/// Bytes of key material below which a key is refused.
pub const LEAST: usize = 32;

/// A key that both signs and checks.
pub struct SharedKey {
    key: Zeroizing<Vec<u8>>,
    name: String,
}

impl SharedKey {
    /// Takes at least 32 bytes of key.
    pub fn new(key: &[u8], name: impl Into<String>) -> Result<Self, SignError> {
        let name = name.into();
        if key.len() < LEAST {
            let why = format!(
                "it has {} bytes; a shared key needs {LEAST} or more, from `head -c 32 /dev/urandom`",
                key.len()
            );
            return Err(SignError::Unusable { path: name, why });
        }
        Ok(SharedKey { key: Zeroizing::new(key.to_vec()), name })
    }

    /// Reads the file `BGCTL_HMAC_KEY_FILE` names: its bytes, without a line end at the end.
    pub fn read(path: &Path) -> Result<Self, SignError> {
        let name = path.display().to_string();
        let bytes = file::read(path, file::SHORT)
            .map_err(|e| SignError::Unreadable { path: name.clone(), why: e.to_string() })?;
        let bytes = Zeroizing::new(bytes);
        let key = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        SharedKey::new(key.strip_suffix(b"\r").unwrap_or(key), name)
    }

    /// The MAC over the bytes. Each purpose has its own key, derived from the one given.
    pub fn mac(&self, namespace: &str, message: &[u8]) -> String {
        let tag = self.keyed(namespace).chain_update(message).finalize().into_bytes();
        format!("{PREFIX}{}", hex(&tag))
    }

    /// Checks a MAC in constant time.
    pub fn check(&self, namespace: &str, message: &[u8], mac: &str) -> Result<(), SigError> {
        let bytes = mac.strip_prefix(PREFIX).and_then(|tag| decode_vec(tag).ok()).filter(|tag| tag.len() == 32);
        let bytes = bytes.ok_or_else(|| SigError::Malformed(format!("a MAC is `{PREFIX}` and 64 hex digits")))?;
        self.keyed(namespace).chain_update(message).verify_slice(&bytes).map_err(|_| SigError::Tampered)
    }

    fn keyed(&self, namespace: &str) -> Hmac<Sha256> {
        let derived = of(&self.key).chain_update(b"bgctl/").chain_update(namespace).chain_update(b"\0").finalize();
        of(&derived.into_bytes())
    }
}

fn of(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("BUG: HMAC takes a key of any length")
}

impl Signer for SharedKey {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn public(&self) -> String {
        format!("hmac-sha256 {}", self.fingerprint())
    }

    /// An id of the key that gives nothing of it away.
    fn fingerprint(&self) -> String {
        let id = self.keyed("key-id").finalize().into_bytes();
        format!("id:{}", hex(&id[..8]))
    }

    fn assurance(&self) -> Assurance {
        Assurance::SharedKey
    }

    fn sign(&self, namespace: &str, message: &[u8]) -> Result<String, SignError> {
        Ok(self.mac(namespace, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_holds_for_its_key_purpose_and_bytes_only() {
        let key = SharedKey::new(&[5; 32], "test").unwrap();
        let mac = key.mac("bgctl-seal-v1", b"note");
        assert_eq!(key.check("bgctl-seal-v1", b"note", &mac), Ok(()));
        assert_eq!(key.check("bgctl-seal-v1", b"nota", &mac), Err(SigError::Tampered));
        assert_eq!(key.check("bgctl-close-v1", b"note", &mac), Err(SigError::Tampered));
        let other = SharedKey::new(&[6; 32], "test").unwrap();
        assert_eq!(other.check("bgctl-seal-v1", b"note", &mac), Err(SigError::Tampered));
        assert!(matches!(key.check("bgctl-seal-v1", b"note", &mac.to_uppercase()), Err(SigError::Malformed(_))));
        assert!(SharedKey::new(&[5; 31], "short").is_err());
    }
}
