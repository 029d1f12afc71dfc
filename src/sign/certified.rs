//! A key that signs in the name of its certificate. Keys that lie in an agent together with their certificate need none of
//! this: there the certificate is a key of its own.

use super::{Assurance, PublicKey, SignError, Signer, sshsig};

/// A key and the certificate for it.
pub struct Certified {
    key: Box<dyn Signer>,
    certificate: PublicKey,
}

impl Certified {
    pub fn new(key: Box<dyn Signer>, certificate: PublicKey) -> Result<Self, SignError> {
        match key.fingerprint() == certificate.fingerprint() {
            true => Ok(Certified { key, certificate }),
            false => {
                let why = format!("its certificate is for {}", certificate.fingerprint());
                Err(SignError::Unusable { path: key.name(), why })
            }
        }
    }
}

impl Signer for Certified {
    fn name(&self) -> String {
        self.key.name()
    }

    fn public(&self) -> String {
        self.certificate.line()
    }

    fn fingerprint(&self) -> String {
        self.key.fingerprint()
    }

    fn assurance(&self) -> Assurance {
        self.key.assurance()
    }

    fn sign(&self, namespace: &str, message: &[u8]) -> Result<String, SignError> {
        let text = self.key.sign(namespace, message)?;
        sshsig::certified(&text, &self.certificate)
            .map_err(|error| SignError::Unusable { path: self.name(), why: error.to_string() })
    }
}
