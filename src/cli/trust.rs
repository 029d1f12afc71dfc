//! Whom this machine believes, and which key would sign here: files, variables and git's settings, read once and handed on.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Context;
use crate::diag::{Kind, Refusal};
use crate::journal::{Archive, Trust};
use crate::secret::Secret;
use crate::sign::choice::{self, Look, Sources};
use crate::sign::hmac::SharedKey;
use crate::sign::{AllowedSigners, SignError, Signer};

/// Where a team keeps its allowed signers, in the repository.
pub const TEAM: &str = ".bgctl/allowed_signers";

/// Allowed signers, and where each was found.
#[derive(Default)]
pub struct Believed {
    places: Vec<(String, AllowedSigners)>,
}

impl Believed {
    /// The files named, or the team's and this machine's.
    pub fn read(cx: &Context, named: &[PathBuf]) -> Result<Self, Refusal> {
        let mut believed = Believed::default();
        for path in named {
            believed.add(&cx.cwd.join(path), path.display().to_string(), true)?;
        }
        if named.is_empty() {
            believed.add(&cx.cwd.join(TEAM), TEAM.into(), false)?;
            let own = Archive::new(cx.state_dir()?).allowed_signers();
            believed.add(&own, format!("{} (this machine's own list)", own.display()), false)?;
        }
        Ok(believed)
    }

    fn add(&mut self, path: &Path, name: String, must: bool) -> Result<(), Refusal> {
        let refuse = |headline: String, why: String| {
            Err(Refusal::new(Kind::Invalid, "BG0424", headline).place(path.display().to_string()).cause(why))
        };
        match std::fs::read_to_string(path) {
            Ok(text) => match AllowedSigners::parse(&text) {
                Ok(signers) => self.places.push((name, signers)),
                Err(bad) => return refuse("the allowed-signers file cannot be read".into(), bad.to_string()),
            },
            // A file where a folder should be means that the one below is not there either.
            Err(error) if must || !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return refuse("the allowed-signers file cannot be read".into(), error.to_string());
            }
            Err(_) => {}
        }
        Ok(())
    }

    pub fn signers(&self) -> AllowedSigners {
        self.places.iter().fold(AllowedSigners::default(), |all, (_, signers)| all.join(signers.clone()))
    }

    /// The file a key was found in.
    pub fn place(&self, fingerprint: &str) -> Option<&str> {
        self.places.iter().find(|(_, signers)| signers.knows(fingerprint)).map(|(place, _)| place.as_str())
    }

    /// The files that were read.
    pub fn names(&self) -> Vec<&str> {
        self.places.iter().map(|(place, _)| place.as_str()).collect()
    }

    /// For the verifier: these signers, and the shared key where one is set.
    pub fn trust(&self, cx: &Context) -> Result<Trust, Refusal> {
        let shared = match cx.var("BGCTL_HMAC_KEY_FILE") {
            Some(path) => Some(SharedKey::read(&cx.cwd.join(path)).map_err(|error| refusal(&error))?),
            None => None,
        };
        Ok(Trust { signers: self.signers(), shared })
    }
}

/// The file that says whose approvals count: the one named, the team's, or git's. This machine's own list gives nobody a say.
pub fn approvers_file(cx: &Context, named: Option<&PathBuf>) -> Option<(PathBuf, String)> {
    let team = cx.cwd.join(TEAM);
    match named {
        Some(path) => Some((cx.cwd.join(path), path.display().to_string())),
        None if team.is_file() => Some((team, TEAM.into())),
        None => git(cx, "gpg.ssh.allowedSignersFile").map(|path| (cx.cwd.join(&path), path)),
    }
}

/// Whose approvals count, read now.
pub fn approvers(cx: &Context, named: Option<&PathBuf>) -> Result<AllowedSigners, Refusal> {
    let mut believed = Believed::default();
    if let Some((path, name)) = approvers_file(cx, named) {
        let must = named.is_some() || name == TEAM;
        believed.add(&path, name, must)?;
    }
    Ok(believed.signers())
}

/// The places a signing key is looked for, with the values they have here.
pub fn sources(cx: &Context, flag: Option<&str>, principal: Option<&str>) -> Result<Sources, Refusal> {
    Ok(Sources {
        flag: flag.map(String::from),
        variable: cx.var("BGCTL_SIGNING_KEY").map(String::from),
        shared: cx.var("BGCTL_HMAC_KEY_FILE").map(|path| cx.cwd.join(path)),
        git: (git(cx, "gpg.format").as_deref() == Some("ssh")).then(|| git(cx, "user.signingkey")).flatten(),
        own: own_key(cx)?,
        agent: cx.var("SSH_AUTH_SOCK").map(PathBuf::from),
        home: cx.var("HOME").map(PathBuf::from),
        principal: principal.map(String::from),
    })
}

/// Where `bgctl keys create` puts its key.
pub fn own_key(cx: &Context) -> Result<PathBuf, Refusal> {
    Ok(cx.state_dir()?.join("keys").join("id_ed25519"))
}

/// Looks at every place.
pub fn looks(cx: &Context, flag: Option<&str>, principal: Option<&str>) -> Result<Vec<Look>, Refusal> {
    Ok(choice::looks(&sources(cx, flag, principal)?, &Believed::read(cx, &[])?.signers()))
}

/// The key that signs here, opened. A passphrase is asked for where somebody can be asked.
pub fn signer(cx: &Context, flag: Option<&str>, principal: Option<&str>) -> Result<Box<dyn Signer>, Refusal> {
    let looks = looks(cx, flag, principal)?;
    let ask = |name: &str| {
        let prompt = dialoguer::Password::new().with_prompt(format!("passphrase of {name}"));
        cx.style.interactive.then(|| prompt.interact().ok()).flatten().map(Secret::new)
    };
    choice::choose(&looks)?.open(&ask).map_err(|error| refusal(&error))
}

/// A key that cannot be used, in five parts.
pub fn refusal(error: &SignError) -> Refusal {
    let refusal = Refusal::new(Kind::Denied, "BG0423", "the signing key cannot be used").cause(error.to_string());
    match error {
        SignError::Exposed { path, .. } => refusal.next(format!("chmod 600 {path}")),
        SignError::Locked { path } => refusal.next(format!("ssh-add {path}    the agent keeps it open")),
        SignError::Exists { .. } => refusal.next("bgctl keys create --out another/path"),
        SignError::Refused { .. } | SignError::Agent { .. } => refusal.next("ssh-add -l    which keys the agent holds"),
        _ => refusal.next("bgctl keys    which key would sign, and why"),
    }
}

fn git(cx: &Context, setting: &str) -> Option<String> {
    let output = Command::new("git").args(["config", "--get", setting]).current_dir(&cx.cwd).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_string()).filter(|value| output.status.success() && !value.is_empty())
}
