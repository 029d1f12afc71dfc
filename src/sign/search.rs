//! Where a signing key is looked for: each place, what was found there, and why it is or is not the one.
//!
//! Nothing is signed and no passphrase is asked for here, and no key is ever taken that nobody named or believes.

use std::path::{Path, PathBuf};

use super::agent::{self, Held};
use super::choice::{Chosen, Found, KINDS, Look, Sources};
use super::file;
use super::hmac::SharedKey;
use super::{AllowedSigners, PublicKey, SigError, SignError, Signed, TrustError};
use crate::file as files;
use crate::secret::visible;

/// Looks at every place, in order. The first key counts; a broken place that was named on purpose stops the search there.
pub fn looks(sources: &Sources, trust: &AllowedSigners) -> Vec<Look> {
    let held = sources.agent.as_deref().map(agent::list);
    let search = Search { sources, trust, held: held.as_ref() };
    let named = |word: &Option<String>, unset: &str| match word {
        None => (Found::Nothing(unset.into()), Vec::new()),
        Some(word) => search.by_name(word),
    };
    let shared = match &sources.shared {
        None => Found::Nothing("not set".into()),
        Some(path) => match SharedKey::read(path) {
            Ok(_) => Found::Key(Chosen::shared(path)),
            Err(error) => Found::Unusable(error.to_string()),
        },
    };
    let own = match sources.own.is_file() {
        true => search.in_file(&sources.own),
        false => (Found::Nothing(format!("{} does not exist", sources.own.display())), Vec::new()),
    };
    let git_unset = if sources.git_unset.is_empty() { "not set" } else { &sources.git_unset };
    [
        ("--key", named(&sources.flag, "not given")),
        ("BGCTL_SIGNING_KEY", named(&sources.variable, "not set")),
        ("BGCTL_HMAC_KEY_FILE", (shared, Vec::new())),
        ("git user.signingkey", named(&sources.git, git_unset)),
        ("bgctl's own key", own),
        ("ssh-agent", search.by_trust()),
    ]
    .map(|(place, (found, notes))| search.judged(place, found, notes))
    .into()
}

/// What every place is looked at with.
pub struct Search<'s> {
    sources: &'s Sources,
    trust: &'s AllowedSigners,
    held: Option<&'s Result<Vec<Held>, SignError>>,
}

/// What was found, and what else is to be said of it.
pub type Answer = (Found, Vec<String>);

impl Search<'_> {
    fn standing(&self, key: &PublicKey) -> Result<Signed, TrustError> {
        let Sources { principals, namespace, now, .. } = self.sources;
        let check = |who| self.trust.check_key(who, namespace, key, *now);
        let answers: Vec<_> = principals.iter().map(|who| check(Some(who.as_str()))).collect();
        match answers.iter().position(Result::is_ok).or((!answers.is_empty()).then_some(0)) {
            Some(best) => answers[best].clone(),
            None => check(None),
        }
    }

    /// A key that is known here not to count any more does not sign: the log would be worth nothing to anybody.
    fn judged(&self, place: &'static str, found: Found, mut notes: Vec<String>) -> Look {
        let Found::Key(chosen) = &found else { return Look { place, found, notes } };
        match chosen.public().ok().flatten().map(|key| self.standing(&key)) {
            Some(Err(error)) if is_final(&error) => {
                return Look { place, found: Found::Unusable(error.to_string()), notes };
            }
            Some(Ok(signed)) => notes.insert(0, format!("stands for {}", visible(&signed.principal))),
            Some(Err(error)) if !self.trust.is_empty() => notes.insert(0, visible(&error.to_string()).into_owned()),
            _ => {}
        }
        Look { place, found, notes }
    }

    /// What a word names, for the first kind that takes it.
    fn by_name(&self, word: &str) -> Answer {
        let word = word.trim();
        let taken = KINDS.iter().find_map(|kind| (kind.named)(self, word));
        taken.unwrap_or_else(|| (Found::Unusable(format!("`{word}` names no key")), Vec::new()))
    }

    /// `agent:SHA256:…`.
    pub(super) fn in_agent_by_name(&self, word: &str) -> Option<Answer> {
        let fingerprint = word.strip_prefix("agent:").or_else(|| word.strip_prefix("ssh-agent:"))?;
        Some((self.in_agent(fingerprint, |key| key.fingerprint() == fingerprint), Vec::new()))
    }

    /// A public key or a certificate as text.
    pub(super) fn by_public_text(&self, word: &str) -> Option<Answer> {
        let found = match PublicKey::from_line(word.strip_prefix("key::").unwrap_or(word)) {
            Ok(key) => self.of_public(&key, None),
            // Git takes what begins so for a key, not for a path.
            Err(error) if ["key::", "ssh-", "sk-"].iter().any(|so| word.starts_with(so)) => {
                Found::Unusable(error.to_string())
            }
            Err(_) => return None,
        };
        Some((found, Vec::new()))
    }

    /// A path to a private or public key or a certificate.
    pub(super) fn by_path(&self, word: &str) -> Answer {
        let path = match (word.strip_prefix("~/"), &self.sources.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(word),
        };
        let text = match files::text(&path, files::SHORT) {
            Ok(text) => text,
            Err(error) => return (Found::Unusable(format!("cannot read `{}`: {error}", path.display())), Vec::new()),
        };
        match PublicKey::from_line(&text) {
            Ok(key) => (self.of_public(&key, Some(&path)), Vec::new()),
            Err(SigError::Unsupported(why)) => {
                (Found::Unusable(format!("`{}` cannot be used: {why}", path.display())), Vec::new())
            }
            Err(_) => self.in_file(&path),
        }
    }

    /// A public key or certificate names a key of the agent, or the private file beside it.
    fn of_public(&self, key: &PublicKey, path: Option<&Path>) -> Found {
        let found = self.in_agent(&key.fingerprint(), |held| held == key);
        let Found::Unusable(why) = found else { return found };
        let certified = |chosen| Found::Key(Chosen::certified(chosen, key.clone()));
        let plain = key.plain();
        let (is_certificate, ending) = if plain == *key { (false, ".pub") } else { (true, "-cert.pub") };
        if is_certificate && let Found::Key(chosen) = self.in_agent(&key.fingerprint(), |held| *held == plain) {
            return certified(chosen);
        }
        match path.and_then(Path::to_str).and_then(|path| path.strip_suffix(ending)).map(Path::new) {
            Some(private) if private.is_file() => match file::look(private) {
                Ok(closed) if closed.public != plain => {
                    Found::Unusable(format!("`{}` is another key, {}", private.display(), closed.public.fingerprint()))
                }
                Ok(_) if is_certificate => certified(Chosen::file(private)),
                Ok(_) => Found::Key(Chosen::file(private)),
                Err(error) => Found::Unusable(error.to_string()),
            },
            _ => Found::Unusable(why),
        }
    }

    /// A private key, with the certificate beside it where the certificate is what is believed here: a key that stands
    /// in the file by itself needs none, and one that is not believed would only spoil the key.
    fn in_file(&self, path: &Path) -> Answer {
        let alone = Chosen::file(path);
        let key = match file::look(path) {
            Err(error) => return (Found::Unusable(error.to_string()), Vec::new()),
            Ok(closed) if closed.encrypted => {
                // The agent holds it open, so nobody has to type anything.
                let held = self.in_agent(&closed.public.fingerprint(), |held| *held == closed.public);
                if matches!(held, Found::Key(_)) {
                    return (held, vec![format!("{} has a passphrase; the agent holds it open", path.display())]);
                }
                if closed.public.is_security_key() {
                    return (Found::Unusable(file::locked_handle(path).to_string()), Vec::new());
                }
                closed.public
            }
            Ok(closed) => closed.public,
        };
        let beside = file::certificate_path(path);
        let name = beside.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let certificate = match file::read_public(&beside) {
            _ if !beside.is_file() => return (Found::Key(alone), Vec::new()),
            Ok(certificate) => certificate,
            Err(error) => return (Found::Key(alone), vec![format!("its certificate is not used: {error}")]),
        };
        if certificate.plain() != key {
            return (
                Found::Key(alone),
                vec![format!("{name} beside it is for another key, {}", certificate.fingerprint())],
            );
        }
        if self.standing(&key).is_ok() {
            return (Found::Key(alone), vec![format!("{name} is not needed: the key itself is believed here")]);
        }
        match self.standing(&certificate) {
            Ok(_) => (Found::Key(Chosen::certified(alone, certificate)), vec![format!("with {name}")]),
            // It was what made the key count. The key alone would sign a log that nobody believes, and say nothing.
            Err(error) if is_final(&error) => {
                (Found::Unusable(format!("its certificate {name} does not count: {error}")), Vec::new())
            }
            Err(error) => (Found::Key(alone), vec![format!("{name} is not used: {}", visible(&error.to_string()))]),
        }
    }

    fn in_agent(&self, name: &str, fits: impl Fn(&PublicKey) -> bool) -> Found {
        let (Some(socket), Some(held)) = (&self.sources.agent, self.held) else {
            return Found::Unusable(format!("{name} is to be found in an ssh-agent, and SSH_AUTH_SOCK is not set"));
        };
        let held = match held {
            Err(error) => return Found::Unusable(error.to_string()),
            Ok(held) => held,
        };
        // A fingerprint names a key and its certificate; the one that is believed here is meant, and if that is over, none.
        let fitting: Vec<(&Held, _)> =
            held.iter().filter(|h| fits(&h.key)).map(|h| (h, self.standing(&h.key))).collect();
        let believed = fitting.iter().find(|(_, standing)| standing.is_ok());
        let over = || fitting.iter().find(|(_, standing)| standing.as_ref().is_err_and(is_final));
        match believed.or_else(over).or(fitting.first()).map(|(held, _)| held) {
            Some(h) => Found::Key(of_agent(socket, h)),
            None => Found::Unusable(format!("the ssh-agent does not hold {name}; it has {}", counted(held))),
        }
    }

    /// The only key of the agent that is believed here: never a guess among several.
    fn by_trust(&self) -> Answer {
        let nothing = |why: String| (Found::Nothing(why), Vec::new());
        let (Some(socket), Some(held)) = (&self.sources.agent, self.held) else {
            return nothing("SSH_AUTH_SOCK is not set".into());
        };
        let held = match held {
            Err(error) => return (Found::Unusable(error.to_string()), Vec::new()),
            Ok(held) => held,
        };
        let mut fits: Vec<&Held> = Vec::new();
        let mut against = Vec::new();
        for one in held {
            match self.standing(&one.key) {
                // A key and its certificate are one key.
                Ok(_) if fits.iter().any(|other| other.key.fingerprint() == one.key.fingerprint()) => {}
                Ok(_) => fits.push(one),
                Err(TrustError::Unknown { .. } | TrustError::UnknownAuthority { .. }) => {}
                Err(error) => against.push(visible(&error.to_string()).into_owned()),
            }
        }
        let whose = match &self.sources.principals[..] {
            [] => String::new(),
            names => format!(" for {}", names.join(" or ")),
        };
        match fits[..] {
            [only] => {
                let why = match held.len() {
                    1 => format!("its only usable key, and it is believed{whose}"),
                    n => format!("the only one of {n} usable keys there that is believed{whose}"),
                };
                (Found::Key(of_agent(socket, only)), vec![why])
            }
            [] if against.is_empty() => {
                nothing(format!("it has {}, and none is in an allowed-signers file{whose}", counted(held)))
            }
            [] => nothing(format!("it has {}, and none that signs{whose}: {}", counted(held), against.join("; "))),
            _ => {
                nothing(format!("{} of its keys are believed{whose}; say which with --key agent:SHA256:…", fits.len()))
            }
        }
    }
}

/// Whether the files here know the key or certificate, and say that it does not count now.
fn is_final(error: &TrustError) -> bool {
    matches!(
        error,
        TrustError::Revoked { .. }
            | TrustError::RevocationUnknown { .. }
            | TrustError::Expired { .. }
            | TrustError::Certificate { .. }
    )
}

fn of_agent(socket: &Path, held: &Held) -> Chosen {
    Chosen::agent(socket, held.key.clone(), held.comment.clone())
}

fn counted(held: &[Held]) -> String {
    match held.len() {
        1 => "1 usable key".into(),
        n => format!("{n} usable keys"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    use crate::diag::Kind;
    use crate::sign::choice::choose;

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
        assert_eq!(choose(&looks(&sources, &trust)).unwrap(), &Chosen::file(&sources.own));
        sources.git = Some("~/b.pub".into());
        assert_eq!(choose(&looks(&sources, &trust)).unwrap(), &Chosen::file(&b));
        fs::write(dir.path().join("shared"), [7; 40]).unwrap();
        sources.shared = Some(dir.path().join("shared"));
        assert_eq!(choose(&looks(&sources, &trust)).unwrap(), &Chosen::shared(&dir.path().join("shared")));
        sources.variable = text(&a);
        assert_eq!(choose(&looks(&sources, &trust)).unwrap(), &Chosen::file(&a));
        sources.flag = text(&b);
        assert_eq!(choose(&looks(&sources, &trust)).unwrap(), &Chosen::file(&b));
        // Somebody named this one on purpose: another key must not sign in its place.
        sources.flag = Some("/nowhere/id".into());
        assert!(choose(&looks(&sources, &trust)).unwrap_err().cause[0].contains("/nowhere/id"));
        sources.flag = Some("agent:SHA256:abc".into());
        assert!(choose(&looks(&sources, &trust)).unwrap_err().cause[0].contains("SSH_AUTH_SOCK"));
    }
}
