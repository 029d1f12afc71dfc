//! The session key: made when a run is opened, kept in memory only, wiped at the end. It signs every seal in between, so
//! the owner touches the key twice a run and not two hundred times.

use ed25519_dalek::{Signer as _, SigningKey};
use zeroize::Zeroize;

use super::{Assurance, PublicKey, SignError, Signer, dsse, sshsig};

/// An Ed25519 key in memory.
pub struct SessionKey {
    key: SigningKey,
    public: PublicKey,
}

impl SessionKey {
    /// A fresh key from the system's randomness.
    pub fn generate() -> Result<Self, SignError> {
        let mut seed = [0u8; 32];
        getrandom::fill(&mut seed)
            .map_err(|e| SignError::Unreadable { path: "the system's randomness".into(), why: e.to_string() })?;
        let key = SessionKey::from_seed(seed);
        seed.zeroize();
        Ok(key)
    }

    /// The key of a known seed: for keys read from files, and for worlds that must come out the same every time.
    pub fn from_seed(mut seed: [u8; 32]) -> Self {
        let key = SigningKey::from_bytes(&seed);
        seed.zeroize();
        let public = PublicKey::of_ed25519(&key.verifying_key());
        SessionKey { key, public }
    }

    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }
}

impl Signer for SessionKey {
    fn name(&self) -> String {
        "session key".into()
    }

    fn public(&self) -> String {
        self.public.line()
    }

    fn fingerprint(&self) -> String {
        self.public.fingerprint()
    }

    fn assurance(&self) -> Assurance {
        Assurance::File
    }

    fn sign(&self, namespace: &str, message: &[u8]) -> Result<String, SignError> {
        Ok(sshsig::sign(&self.key, &self.public, namespace, message))
    }

    fn sign_envelope(&self, kind: &str, payload: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(self.key.sign(&dsse::signed_bytes(kind, payload)).to_bytes().to_vec())
    }
}
