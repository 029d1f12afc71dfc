//! Which key signs, and of what kind it is. To add a kind of signer: a file that makes a [`Signer`], and a row of [`KINDS`].
//!
//! Every place is looked at in a fixed order ([`super::search`]), and every answer is kept, so that
//! `bgctl keys` can show why this key and not another. Values of flags, variables and git's settings are handed in.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::agent::AgentKey;
use super::certified::Certified;
use super::file::{self, Ask, FileKey};
use super::hmac::SharedKey;
pub use super::search::{Answer, Search, looks};
use super::{PublicKey, SignError, Signer};
use crate::diag::{self, Code, Refusal};
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

/// A key that would sign. Nothing of it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    pub kind: &'static Kind,
    /// The file of the key, or the socket of the agent that holds it.
    pub place: PathBuf,
    /// The public part, where it is not in that file.
    pub key: Option<PublicKey>,
    pub comment: String,
    /// The key that signs, where another one only says for whom.
    pub signs_with: Option<Box<Chosen>>,
}

/// A key that can sign now, or why it cannot.
pub type Opened = Result<Box<dyn Signer>, SignError>;

/// A kind of signer: how a word names its key, what is said of a key before it is opened, and how it is opened.
#[derive(Debug)]
pub struct Kind {
    pub name: &'static str,
    /// The page that explains it, as Markdown.
    pub page: &'static str,
    /// What a word of `--key`, `BGCTL_SIGNING_KEY` or git's settings names, if it is a word for this kind.
    pub named: fn(&Search<'_>, &str) -> Option<Answer>,
    /// One line for people.
    pub line: fn(&Chosen) -> String,
    /// Its public key, as far as that can be known without a passphrase; nothing for a shared key.
    pub public: fn(&Chosen) -> Result<Option<PublicKey>, SignError>,
    /// Opens the key; a passphrase is asked for here.
    pub open: fn(&Chosen, Ask<'_>) -> Opened,
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Kind {}

/// Every kind of signer. A word is for the first that takes it.
pub const KINDS: &[Kind] = &[AGENT, CERTIFICATE, FILE, SHARED];

/// What `bgctl explain keys` shows: the page of all of them.
const PAGE: &str = include_str!("keys.md");

const AGENT: Kind = Kind {
    name: "ssh-agent",
    page: PAGE,
    named: |search, word| search.in_agent_by_name(word),
    line: |chosen| match &chosen.key {
        Some(key) => format!("{} {} (ssh-agent, {})", key.short_kind(), key.fingerprint(), visible(&chosen.comment)),
        None => "ssh-agent".into(),
    },
    public: |chosen| Ok(chosen.key.clone()),
    open: |chosen, _| match &chosen.key {
        Some(key) => Ok(Box::new(AgentKey::new(&chosen.place, key.clone()))),
        None => Err(chosen.unusable("no key of it is named")),
    },
};

/// A key that signs in the name of a certificate.
const CERTIFICATE: Kind = Kind {
    name: "certificate",
    page: PAGE,
    named: |search, word| search.by_public_text(word),
    line: |chosen| {
        let said = chosen.key.as_ref().and_then(PublicKey::certificate);
        let said = said.map(|c| format!("certificate for {} until {}", c.principals.join(", "), c.until()));
        let key = chosen.signs_with.as_ref().map(|key| key.line()).unwrap_or_default();
        format!("{key}, {}", visible(&said.unwrap_or_default()))
    },
    public: |chosen| Ok(chosen.key.clone()),
    open: |chosen, ask| match (&chosen.signs_with, &chosen.key) {
        (Some(key), Some(certificate)) => Ok(Box::new(Certified::new(key.open(ask)?, certificate.clone())?)),
        _ => Err(chosen.unusable("no key signs for it")),
    },
};

const FILE: Kind = Kind {
    name: "file",
    page: PAGE,
    named: |search, word| Some(search.by_path(word)),
    line: |chosen| match chosen.public() {
        Ok(Some(key)) => format!("{} {} ({})", key.short_kind(), key.fingerprint(), chosen.place.display()),
        _ => chosen.place.display().to_string(),
    },
    // Its own public part, and not the file beside it: that may be another key's.
    public: |chosen| file::public_part(&chosen.place).map(Some),
    open: |chosen, ask| Ok(Box::new(FileKey::read(&chosen.place, ask)?)),
};

/// A key its verifiers hold too; it has a variable of its own, and no word names it.
const SHARED: Kind = Kind {
    name: "shared-key",
    page: PAGE,
    named: |_, _| None,
    line: |chosen| format!("shared key {} (proves no person)", chosen.place.display()),
    public: |_| Ok(None),
    open: |chosen, _| Ok(Box::new(SharedKey::read(&chosen.place)?)),
};

impl Chosen {
    fn at(kind: &'static Kind, place: &Path) -> Self {
        Chosen { kind, place: place.into(), key: None, comment: String::new(), signs_with: None }
    }

    pub(super) fn file(path: &Path) -> Self {
        Chosen::at(&FILE, path)
    }

    pub(super) fn shared(path: &Path) -> Self {
        Chosen::at(&SHARED, path)
    }

    pub(super) fn agent(socket: &Path, key: PublicKey, comment: String) -> Self {
        Chosen { key: Some(key), comment, ..Chosen::at(&AGENT, socket) }
    }

    pub(super) fn certified(key: Chosen, certificate: PublicKey) -> Self {
        let place = key.place.clone();
        Chosen { key: Some(certificate), signs_with: Some(Box::new(key)), ..Chosen::at(&CERTIFICATE, &place) }
    }

    fn unusable(&self, why: &str) -> SignError {
        SignError::Unusable { path: self.place.display().to_string(), why: why.into() }
    }

    /// One line for people.
    pub fn line(&self) -> String {
        (self.kind.line)(self)
    }

    /// Its public key, as far as that can be known without a passphrase; nothing for a shared key.
    pub fn public(&self) -> Result<Option<PublicKey>, SignError> {
        (self.kind.public)(self)
    }

    /// Opens the key; a passphrase is asked for here.
    pub fn open(&self, ask: Ask<'_>) -> Opened {
        (self.kind.open)(self, ask)
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
                return Err(Refusal::new(diag::Kind::Denied, Code::KeyUnusable, headline)
                    .cause(why.clone())
                    .next("bgctl keys"));
            }
            _ => {}
        }
    }
    let mut refusal = Refusal::new(diag::Kind::Denied, Code::NoKey, "no key to sign this run with");
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
