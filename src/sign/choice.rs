//! Which key signs: every place is looked at in a fixed order ([`super::search`]), and every answer is kept, so that
//! `bgctl keys` can show why this key and not another. Values of flags, variables and git's settings are handed in.

use std::path::PathBuf;

use jiff::Timestamp;

use super::agent::AgentKey;
use super::certified::Certified;
use super::file::{self, Ask, FileKey};
use super::hmac::SharedKey;
pub use super::search::looks;
use super::{PublicKey, SignError, Signer};
use crate::diag::{Code, Kind, Refusal};
use crate::secret::visible;

/// Everything a choice depends on, as found by `cli`.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `--key`.
    pub flag: Option<String>,
    /// `BGCTL_SIGNING_KEY`.
    pub variable: Option<String>,
    /// `BGCTL_HMAC_KEY_FILE`.
    pub shared: Option<PathBuf>,
    /// `user.signingkey`, if `gpg.format` is `ssh`.
    pub git: Option<String>,
    /// Why git names no key, where it does not.
    pub git_unset: String,
    /// The key `bgctl keys create` makes.
    pub own: PathBuf,
    /// `SSH_AUTH_SOCK`.
    pub agent: Option<PathBuf>,
    /// For `~/` in names.
    pub home: Option<PathBuf>,
    /// Who may sign, where that is known.
    pub principals: Vec<String>,
    /// What is to be signed: the namespace the key must be allowed for.
    pub namespace: String,
    /// When: a key that is not valid now does not sign.
    pub now: Timestamp,
}

/// One place that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// `--key`, `BGCTL_SIGNING_KEY`, `git user.signingkey`, …
    pub place: &'static str,
    pub found: Found,
    /// What else is to be known about a key that was found: whose it is here, and why this one.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing is set there.
    Nothing(String),
    /// Something is set there and cannot be used. For a place that somebody named on purpose this ends the search.
    Unusable(String),
    Key(Chosen),
}

/// A key that would sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chosen {
    File(PathBuf),
    Agent {
        socket: PathBuf,
        key: PublicKey,
        comment: String,
    },
    /// A key that signs in the name of a certificate.
    Certified {
        key: Box<Chosen>,
        certificate: PublicKey,
    },
    Shared(PathBuf),
}

impl Chosen {
    /// One line for people.
    pub fn line(&self) -> String {
        match self {
            Chosen::File(path) => match self.public() {
                Ok(Some(key)) => format!("{} {} ({})", key.short_kind(), key.fingerprint(), path.display()),
                _ => path.display().to_string(),
            },
            Chosen::Agent { key, comment, .. } => {
                format!("{} {} (ssh-agent, {})", key.short_kind(), key.fingerprint(), visible(comment))
            }
            Chosen::Certified { key, certificate } => {
                let said = certificate.certificate();
                let said = said.map(|c| format!("certificate for {} until {}", c.principals.join(", "), c.until()));
                format!("{}, {}", key.line(), visible(&said.unwrap_or_default()))
            }
            Chosen::Shared(path) => format!("shared key {} (proves no person)", path.display()),
        }
    }

    /// Its public key, as far as that can be known without a passphrase; nothing for a shared key.
    pub fn public(&self) -> Result<Option<PublicKey>, SignError> {
        match self {
            // Its own public part, and not the file beside it: that may be another key's.
            Chosen::File(path) => file::public_part(path).map(Some),
            Chosen::Agent { key, .. } => Ok(Some(key.clone())),
            Chosen::Certified { certificate, .. } => Ok(Some(certificate.clone())),
            Chosen::Shared(_) => Ok(None),
        }
    }

    /// Opens the key; a passphrase is asked for here.
    pub fn open(&self, ask: Ask<'_>) -> Result<Box<dyn Signer>, SignError> {
        Ok(match self {
            Chosen::File(path) => Box::new(FileKey::read(path, ask)?),
            Chosen::Agent { socket, key, .. } => Box::new(AgentKey::new(socket, key.clone())),
            Chosen::Certified { key, certificate } => Box::new(Certified::new(key.open(ask)?, certificate.clone())?),
            Chosen::Shared(path) => Box::new(SharedKey::read(path)?),
        })
    }
}

/// The key that signs.
pub fn choose(looks: &[Look]) -> Result<&Chosen, Refusal> {
    for look in looks {
        match &look.found {
            Found::Key(chosen) => return Ok(chosen),
            // What is set for commits, or merely runs here, was not named for bgctl: the search goes on.
            Found::Unusable(why) if look.place != "ssh-agent" && look.place != "git user.signingkey" => {
                let headline = format!("the signing key of {} cannot be used", look.place);
                return Err(Refusal::new(Kind::Denied, Code::KeyUnusable, headline)
                    .cause(why.clone())
                    .next("bgctl keys"));
            }
            _ => {}
        }
    }
    let mut refusal = Refusal::new(Kind::Denied, Code::NoKey, "no key to sign this run with");
    for look in looks {
        if let Found::Nothing(why) | Found::Unusable(why) = &look.found {
            refusal = refusal.cause(format!("{}: {why}", look.place));
        }
    }
    Err(refusal
        .next("bgctl keys create                        make one for bgctl")
        .next("export BGCTL_SIGNING_KEY=~/.ssh/id_ed25519      use one you have")
        .next("export BGCTL_SIGNING_KEY=agent:SHA256:…         use one of your ssh-agent (`ssh-add -l`)"))
}
