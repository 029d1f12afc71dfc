//! What is said about a signature: whose it is and how it was made, or why it does not count. Words and nothing else.

use std::fmt;

use super::public::Touch;
use super::sshsig::SigError;

/// What a policy asks of every signature of a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demands {
    /// Only security keys count.
    pub security_key: bool,
    /// A security key has to know its holder, by PIN or fingerprint.
    pub verified: bool,
}

/// A signature that holds: who made it, and with which key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    pub principal: String,
    /// `SHA256:…`
    pub fingerprint: String,
    /// `ed25519`, `ed25519-sk`, `ecdsa`, `ecdsa-sk`
    pub kind: String,
    /// How a security key was touched; nothing for other keys, and where no signature was asked about.
    pub touch: Option<Touch>,
    /// Who said so, where a certificate speaks for the key.
    pub authority: Option<Authority>,
}

/// An authority, and what it calls the certificate: an auditor finds the job or login by that in its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// `SHA256:…`
    pub fingerprint: String,
    pub id: String,
    pub serial: u64,
}

impl Signed {
    /// How good the evidence is: `signed-hw` by a security key that a person touched, `signed` otherwise.
    pub fn evidence(&self) -> &'static str {
        if self.touch.is_some() { "signed-hw" } else { "signed" }
    }

    /// The fingerprint that stands in the file: the authority's, for a certificate.
    pub fn listed(&self) -> &str {
        self.authority.as_ref().map_or(&self.fingerprint, |authority| &authority.fingerprint)
    }
}

/// Why a signature does not count. Each says something else about what happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    #[error(transparent)]
    Signature(#[from] SigError),
    #[error("the key {fingerprint} is in no allowed-signers file")]
    Unknown { fingerprint: String },
    #[error(
        "the certificate of {fingerprint} is by {authority}, which is no `cert-authority` of an allowed-signers file"
    )]
    UnknownAuthority { fingerprint: String, authority: String },
    #[error("the certificate of {fingerprint} does not count: {why}")]
    Certificate { fingerprint: String, why: String },
    #[error("the key {fingerprint} belongs to {found}, not to `{wanted}`")]
    WrongPerson { fingerprint: String, found: String, wanted: String },
    #[error("the key {fingerprint} stands under `{pattern}` only, which is nobody's name")]
    NobodyByName { fingerprint: String, pattern: String },
    #[error("`{principal}` may not sign for `{namespace}` with {fingerprint}")]
    NotForThis { principal: String, namespace: String, fingerprint: String },
    #[error("the key {fingerprint} of `{principal}` was not valid then: {why}")]
    Expired { principal: String, fingerprint: String, why: String },
    #[error("the key {fingerprint}{of} is revoked ({place})")]
    Revoked { fingerprint: String, of: String, place: String },
    #[error("cannot tell whether the key {fingerprint} is revoked: {why}")]
    RevocationUnknown { fingerprint: String, why: String },
    #[error("`{principal}` signed with {fingerprint}, and only security keys count here")]
    NoSecurityKey { principal: String, fingerprint: String },
    #[error("the security key {fingerprint} of `{principal}` was touched, but asked for neither PIN nor fingerprint")]
    NotVerified { principal: String, fingerprint: String },
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}   {} {}", self.principal, self.kind, self.fingerprint)?;
        match self.touch {
            Some(Touch::Present) => f.write_str(", touched")?,
            Some(Touch::Verified) => f.write_str(", touched and verified")?,
            None => {}
        }
        match &self.authority {
            Some(Authority { fingerprint, id, serial }) => {
                write!(f, ", certified by {fingerprint} as `{id}`, serial {serial}")
            }
            None => Ok(()),
        }
    }
}
