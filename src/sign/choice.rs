//! Which key signs: every place is looked at in a fixed order, and every answer is kept, so that `bgctl keys` can show why
//! this key and not another. Values of flags, variables and git's settings are handed in.

use std::fs;
use std::path::{Path, PathBuf};

use super::agent::{self, AgentKey, Held};
use super::file::{self, Ask, FileKey};
use super::hmac::SharedKey;
use super::{AllowedSigners, PublicKey, SignError, Signer};
use crate::diag::{Kind, Refusal};

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
    /// The key `bgctl keys create` makes.
    pub own: PathBuf,
    /// `SSH_AUTH_SOCK`.
    pub agent: Option<PathBuf>,
    /// For `~/` in names.
    pub home: Option<PathBuf>,
    /// Who wants to sign, where that is known.
    pub principal: Option<String>,
}

/// One place that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// `--key`, `BGCTL_SIGNING_KEY`, `git user.signingkey`, …
    pub place: &'static str,
    pub found: Found,
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
    Agent { socket: PathBuf, key: PublicKey, comment: String },
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
                format!("{} {} (ssh-agent, {comment})", key.short_kind(), key.fingerprint())
            }
            Chosen::Shared(path) => format!("shared key {} (proves no person)", path.display()),
        }
    }

    /// Its public key, as far as that can be known without a passphrase; nothing for a shared key.
    pub fn public(&self) -> Result<Option<PublicKey>, SignError> {
        match self {
            Chosen::File(path) => match file::read_public(&file::public_path(path)) {
                Ok(key) => Ok(Some(key)),
                Err(_) => file::public_part(path).map(Some),
            },
            Chosen::Agent { key, .. } => Ok(Some(key.clone())),
            Chosen::Shared(_) => Ok(None),
        }
    }

    /// Opens the key; a passphrase is asked for here.
    pub fn open(&self, ask: Ask<'_>) -> Result<Box<dyn Signer>, SignError> {
        Ok(match self {
            Chosen::File(path) => Box::new(FileKey::read(path, ask)?),
            Chosen::Agent { socket, key, .. } => Box::new(AgentKey::new(socket, key.clone())),
            Chosen::Shared(path) => Box::new(SharedKey::read(path)?),
        })
    }
}

/// Looks at every place, in order. The first key counts; a broken place that was named on purpose stops the search there.
pub fn looks(sources: &Sources, trust: &AllowedSigners) -> Vec<Look> {
    let held = sources.agent.as_deref().map(agent::list);
    let named = |word: &Option<String>| match word {
        None => Found::Nothing("not set".into()),
        Some(word) => by_name(word, sources, held.as_ref()),
    };
    let shared = match &sources.shared {
        None => Found::Nothing("not set".into()),
        Some(path) => match SharedKey::read(path) {
            Ok(_) => Found::Key(Chosen::Shared(path.clone())),
            Err(error) => Found::Unusable(error.to_string()),
        },
    };
    let own = if sources.own.is_file() {
        Found::Key(Chosen::File(sources.own.clone()))
    } else {
        Found::Nothing(format!("{} does not exist", sources.own.display()))
    };
    vec![
        Look { place: "--key", found: named(&sources.flag) },
        Look { place: "BGCTL_SIGNING_KEY", found: named(&sources.variable) },
        Look { place: "BGCTL_HMAC_KEY_FILE", found: shared },
        Look { place: "git user.signingkey", found: named(&sources.git) },
        Look { place: "bgctl's own key", found: own },
        Look { place: "ssh-agent", found: by_trust(sources, held, trust) },
    ]
}

/// The key that signs.
pub fn choose(looks: &[Look]) -> Result<&Chosen, Refusal> {
    for look in looks {
        match &look.found {
            Found::Key(chosen) => return Ok(chosen),
            // What is set for commits, or merely runs here, was not named for bgctl: the search goes on.
            Found::Unusable(why) if look.place != "ssh-agent" && look.place != "git user.signingkey" => {
                let headline = format!("the signing key of {} cannot be used", look.place);
                return Err(Refusal::new(Kind::Denied, "BG0423", headline).cause(why.clone()).next("bgctl keys"));
            }
            _ => {}
        }
    }
    let mut refusal = Refusal::new(Kind::Denied, "BG0422", "no key to sign this run with");
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

/// `agent:SHA256:…`, a public key as text, or a path to a private or public key.
fn by_name(word: &str, sources: &Sources, held: Option<&Result<Vec<Held>, SignError>>) -> Found {
    for prefix in ["agent:", "ssh-agent:"] {
        if let Some(fingerprint) = word.strip_prefix(prefix) {
            return in_agent(sources, held, fingerprint, |key| key.fingerprint() == fingerprint);
        }
    }
    let line = word.strip_prefix("key::").unwrap_or(word);
    if let Ok(key) = PublicKey::from_line(line) {
        return in_agent(sources, held, &key.fingerprint(), |k| *k == key);
    }
    let path = match (word.strip_prefix("~/"), &sources.home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(word),
    };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => return Found::Unusable(format!("cannot read `{}`: {error}", path.display())),
    };
    let Ok(key) = PublicKey::from_line(&text) else { return Found::Key(Chosen::File(path)) };
    // A public key file names a key of the agent, or the private file beside it.
    match in_agent(sources, held, &key.fingerprint(), |k| *k == key) {
        Found::Unusable(why) => match path.to_str().and_then(|p| p.strip_suffix(".pub")).map(Path::new) {
            Some(private) if private.is_file() => Found::Key(Chosen::File(private.to_path_buf())),
            _ => Found::Unusable(why),
        },
        found => found,
    }
}

fn in_agent(
    sources: &Sources,
    held: Option<&Result<Vec<Held>, SignError>>,
    name: &str,
    fits: impl Fn(&PublicKey) -> bool,
) -> Found {
    let (Some(socket), Some(held)) = (&sources.agent, held) else {
        return Found::Unusable(format!("{name} is to be found in an ssh-agent, and SSH_AUTH_SOCK is not set"));
    };
    match held {
        Err(error) => Found::Unusable(error.to_string()),
        Ok(held) => match held.iter().find(|h| fits(&h.key)) {
            Some(h) => {
                Found::Key(Chosen::Agent { socket: socket.clone(), key: h.key.clone(), comment: h.comment.clone() })
            }
            None => Found::Unusable(format!("the ssh-agent does not hold {name}; it has {} usable keys", held.len())),
        },
    }
}

/// The only key of the agent that the trust file knows: never a guess among several.
fn by_trust(sources: &Sources, held: Option<Result<Vec<Held>, SignError>>, trust: &AllowedSigners) -> Found {
    let (Some(socket), Some(held)) = (&sources.agent, held) else {
        return Found::Nothing("SSH_AUTH_SOCK is not set".into());
    };
    let held = match held {
        Err(error) => return Found::Unusable(error.to_string()),
        Ok(held) => held,
    };
    let known = |h: &&Held| match &sources.principal {
        Some(principal) => trust.keys(principal).contains(&&h.key),
        None => !trust.principals(&h.key).is_empty(),
    };
    let fits: Vec<&Held> = held.iter().filter(known).collect();
    match fits[..] {
        [only] => {
            Found::Key(Chosen::Agent { socket: socket.clone(), key: only.key.clone(), comment: only.comment.clone() })
        }
        [] => Found::Nothing(format!("none of its {} usable keys is in an allowed-signers file", held.len())),
        _ => Found::Nothing(format!("{} of its keys are in an allowed-signers file; say which", fits.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_in(dir: &Path, name: &str) -> PathBuf {
        let path = dir.join(name);
        file::create(&path, name).unwrap();
        path
    }

    #[test]
    fn the_first_place_in_the_order_wins_and_every_place_is_explained() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (key_in(dir.path(), "a"), key_in(dir.path(), "b"));
        let text = |p: &Path| Some(p.display().to_string());
        let trust = AllowedSigners::default();
        let mut sources = Sources { own: dir.path().join("own"), home: Some(dir.path().into()), ..Sources::default() };

        let refusal = choose(&looks(&sources, &trust)).unwrap_err();
        assert_eq!((refusal.kind, refusal.cause.len(), refusal.next.len()), (Kind::Denied, 6, 3));

        key_in(dir.path(), "own");
        assert_eq!(choose(&looks(&sources, &trust)).unwrap(), &Chosen::File(sources.own.clone()));
        sources.git = Some("~/b.pub".into());
        assert_eq!(choose(&looks(&sources, &trust)).unwrap(), &Chosen::File(b.clone()));
        fs::write(dir.path().join("shared"), [7; 40]).unwrap();
        sources.shared = Some(dir.path().join("shared"));
        assert_eq!(choose(&looks(&sources, &trust)).unwrap(), &Chosen::Shared(dir.path().join("shared")));
        sources.variable = text(&a);
        assert_eq!(choose(&looks(&sources, &trust)).unwrap(), &Chosen::File(a));
        sources.flag = text(&b);
        assert_eq!(choose(&looks(&sources, &trust)).unwrap(), &Chosen::File(b));
        // Somebody named this one on purpose: another key must not sign in its place.
        sources.flag = Some("/nowhere/id".into());
        assert!(choose(&looks(&sources, &trust)).unwrap_err().cause[0].contains("/nowhere/id"));
        sources.flag = Some("agent:SHA256:abc".into());
        assert!(choose(&looks(&sources, &trust)).unwrap_err().cause[0].contains("SSH_AUTH_SOCK"));
    }
}
