//! Keys and signatures: who signs, and whom to believe.
//!
//! Every signature of bgctl is an OpenSSH signature (SSHSIG) with a namespace that names its purpose, so `ssh-keygen -Y`
//! can check and make each of them. The signing half ([`Signer`]) and the checking half ([`trust`]) share only the
//! signature's own format. Nothing here decides what a signature permits, and nothing here reads the environment.

pub mod agent;
pub mod certificate;
pub mod certified;
pub mod choice;
pub mod dsse;
mod entry;
pub mod file;
pub mod files;
pub mod hmac;
pub mod lint;
mod pattern;
pub mod public;
pub mod revoked;
pub mod rights;
mod search;
mod security_key;
pub mod session;
mod signed;
pub mod sshsig;
pub mod trust;
mod whose;
mod wire;

use jiff::Timestamp;

pub use certificate::Certificate;
pub use files::TrustFiles;
pub use public::{PublicKey, Touch};
pub use revoked::Revoked;
pub use sshsig::{SigError, Signature};
pub use trust::{AllowedSigners, Authority, Demands, Signed, Trust, TrustError};

/// What a signature is for. It stands inside the signed bytes, so one made for a purpose is worth nothing for another.
pub mod namespace {
    /// The owner opens or resumes a run and names the session key.
    pub const OPEN: &str = "bgctl-open-v1";
    /// The session key seals what was written so far.
    pub const SEAL: &str = "bgctl-seal-v1";
    /// The owner closes a run.
    pub const CLOSE: &str = "bgctl-close-v1";
    /// An approver agrees to a request.
    pub const APPROVE: &str = "bgctl-approve-v1";
    /// An approver refuses a request.
    pub const DENY: &str = "bgctl-deny-v1";
    /// Somebody of the policy so far agrees to another one.
    pub const POLICY: &str = "bgctl-policy-v1";
    /// The session key adds to the ledger of runs.
    pub const LEDGER: &str = "bgctl-ledger-v1";
    /// The owner publishes a copy of a log with something withheld.
    pub const REDACT: &str = "bgctl-redact-v1";
    /// Somebody freezes a service, or lifts a freeze.
    pub const FREEZE: &str = "bgctl-freeze-v1";
    /// Whoever held a game day reports it.
    pub const GAMEDAY: &str = "bgctl-gameday-v1";
}

/// Somebody's key, wherever it lives.
pub trait Signer {
    /// Where the key is, for people: a path, or `ssh-agent`.
    fn name(&self) -> String;

    /// The public key as in an `authorized_keys` line, without a comment. A shared key gives `hmac-sha256` and its id.
    fn public(&self) -> String;

    /// `SHA256:…`, as `ssh-keygen -l` shows it.
    fn fingerprint(&self) -> String;

    fn assurance(&self) -> Assurance;

    /// Why a signature made at this time would count for nobody: certificates end.
    fn over(&self, time: Timestamp) -> Option<SignError> {
        let key = PublicKey::from_line(&self.public()).ok()?;
        let why = key.certificate()?.outside(time)?;
        Some(SignError::Over { fingerprint: self.fingerprint(), why })
    }

    /// Signs the bytes for a purpose: an armored SSHSIG, or `hmac-sha256:…` for a shared key.
    fn sign(&self, namespace: &str, message: &[u8]) -> Result<String, SignError>;

    /// Signs the payload of a DSSE envelope: 64 bytes. Only a plain Ed25519 key can.
    fn sign_envelope(&self, _kind: &str, _payload: &[u8]) -> Result<Vec<u8>, SignError> {
        Err(dsse::cannot(&self.name()))
    }
}

/// How well a key is kept, as far as bgctl can know it. It stands in the opening statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assurance {
    SshAgent,
    File,
    /// A device that cannot be copied, and is touched for each signature.
    SecurityKey,
    /// Made by the lab for itself: proves nothing about a person.
    Lab,
    /// Whoever can verify could have written it.
    SharedKey,
}

impl Assurance {
    pub fn label(self) -> &'static str {
        match self {
            Assurance::SshAgent => "ssh-agent",
            Assurance::File => "file",
            Assurance::SecurityKey => "security-key",
            Assurance::Lab => "lab",
            Assurance::SharedKey => "shared-key",
        }
    }
}

/// A key could not be read or did not sign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    #[error("cannot read `{path}`: {why}")]
    Unreadable { path: String, why: String },
    #[error("`{path}` is not a key bgctl can use: {why}")]
    Unusable { path: String, why: String },
    #[error("`{path}` has a passphrase, and nobody can be asked for it here")]
    Locked { path: String },
    #[error("the passphrase of `{path}` is wrong")]
    WrongPassphrase { path: String },
    #[error("`{path}` can be read by others (mode {mode:o}); a private key must be 0600")]
    Exposed { path: String, mode: u32 },
    #[error("the ssh-agent at `{socket}` cannot be used: {why}")]
    Agent { socket: String, why: String },
    #[error(
        "the ssh-agent refused to sign with {fingerprint}: the key may need a confirmation or a touch, or its time is over"
    )]
    Refused { fingerprint: String },
    #[error("the key {fingerprint} no longer signs: {why}")]
    Over { fingerprint: String, why: String },
    #[error("the security key of `{path}` did not sign: {why}")]
    SecurityKey { path: String, why: String },
    #[error("`{path}` exists already; bgctl never overwrites a key")]
    Exists { path: String },
}
