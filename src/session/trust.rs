//! Whom this machine believes, and which key would sign here: files, variables and git's settings, read once and handed on.

use std::cell::RefCell;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{places, ran};
use crate::diag::{Code, Kind, Refusal};
use crate::journal::Archive;
use crate::plan::Plan;
use crate::rehearsal::few;
use crate::secret::Secret;
use crate::shell::Context;
use crate::sign::Trust;
use crate::sign::choice::{self, Look, Sources};
use crate::sign::file;
use crate::sign::files::{self, Unreadable};
use crate::sign::hmac::SharedKey;
use crate::sign::{AllowedSigners, Assurance, PublicKey, SignError, Signed, Signer, TrustError, TrustFiles, namespace};

/// Where a team keeps its allowed signers, in the repository.
pub const TEAM: &str = ".bgctl/allowed_signers";

/// Whose approvals count.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ApproversArgs {
    /// Whose signatures count (OpenSSH's format); `.bgctl/allowed_signers` otherwise.
    #[arg(long, value_name = "FILE")]
    pub allowed_signers: Option<PathBuf>,
    #[command(flatten)]
    pub revoked: RevokedArgs,
}

/// Whom a verifier believes.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct BelievedArgs {
    /// Believe these files only (OpenSSH's allowed_signers format).
    #[arg(long, value_name = "FILE")]
    pub allowed_signers: Vec<PathBuf>,
    #[command(flatten)]
    pub revoked: RevokedArgs,
}

/// Keys that were given up.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RevokedArgs {
    /// Keys that no longer count: one public key or SHA256: fingerprint a line, or OpenSSH's binary list (KRL);
    /// `revoked_keys` beside the allowed signers always counts.
    #[arg(long, value_name = "FILE")]
    pub revoked: Vec<PathBuf>,
}

/// What it rests on that a signature counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// A list of signers.
    List(&'a str),
    /// This machine's own word that the key ran this run here.
    Ran(&'a Path),
    /// The shared key that was given.
    SharedKey,
}

/// Whom the verifier believes: the files that were read.
#[derive(Default)]
pub struct Believed {
    files: TrustFiles,
    /// Where this machine says which key ran the run at hand, and what it says.
    ran: Option<(PathBuf, AllowedSigners)>,
}

impl Believed {
    /// The files named, or the team's; and the keys that were given up.
    pub fn read(cx: &Context, args: &BelievedArgs) -> Result<Self, Refusal> {
        Self::among(cx, args, &places::real(cx)?)
    }

    /// The same for the runs of this folder.
    pub fn among(cx: &Context, args: &BelievedArgs, archive: &Archive) -> Result<Self, Refusal> {
        let mut files = TrustFiles::default();
        for path in &args.allowed_signers {
            files.add_signers(&cx.cwd.join(path), path.display().to_string(), true).map_err(unreadable)?;
        }
        if args.allowed_signers.is_empty() {
            files.add_signers(&cx.cwd.join(TEAM), TEAM, false).map_err(unreadable)?;
            let own = archive.root().join(files::REVOKED);
            files.add_revoked(&own, own.display().to_string(), false).map_err(unreadable)?;
        }
        add_revoked(cx, &mut files, &args.revoked.revoked)?;
        Ok(Believed { files, ran: None })
    }

    /// The same for one log, with what this machine says of who ran it here, unless it is to believe named files only.
    pub fn of_log(cx: &Context, args: &BelievedArgs, log: &Path) -> Result<Self, Refusal> {
        let archive = places::holding(cx, log)?;
        let believed = Self::among(cx, args, &archive)?;
        let run = ran::named_by(log).filter(|_| args.allowed_signers.is_empty());
        let ran = run.and_then(|run| Some((ran::file(&archive, &run)?, ran::of(&archive, &run))));
        Ok(Believed { ran: ran.filter(|(_, signers)| !signers.is_empty()), ..believed })
    }

    pub fn signers(&self) -> AllowedSigners {
        self.ran.iter().fold(self.files.signers(), |all, (_, ran)| all.join(ran.clone()))
    }

    /// Where it stands that a signature counts.
    pub fn place(&self, signed: &Signed) -> Place<'_> {
        let of = |signers: &AllowedSigners| {
            signers.keys(&signed.principal).iter().any(|key| key.fingerprint() == signed.fingerprint)
        };
        match (&self.ran, self.files.place(signed.listed())) {
            (Some((path, ran)), _) if of(ran) && !of(&self.files.signers()) => Place::Ran(path),
            (_, Some(name)) => Place::List(name),
            _ => Place::SharedKey,
        }
    }

    /// The list in which a key stands.
    pub fn list(&self, fingerprint: &str) -> Option<&str> {
        self.files.place(fingerprint)
    }

    /// The files that were read.
    pub fn names(&self) -> Vec<&str> {
        self.files.names()
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

/// Whose approvals count, and which keys were given up: the files named, the team's, or git's.
pub fn approvers(cx: &Context, args: &ApproversArgs) -> Result<TrustFiles, Refusal> {
    let mut files = TrustFiles::default();
    let team = cx.cwd.join(TEAM);
    match (&args.allowed_signers, git(cx, "gpg.ssh.allowedSignersFile")) {
        (Some(path), _) => {
            files.add_signers(&cx.cwd.join(path), path.display().to_string(), true).map_err(unreadable)?;
        }
        (None, Some(path)) if !team.is_file() => {
            files.add_signers(&at_home(cx, &path), path, false).map_err(unreadable)?;
            if let Some(path) = git(cx, "gpg.ssh.revocationFile") {
                files.add_revoked(&at_home(cx, &path), path, true).map_err(unreadable)?;
            }
        }
        (None, _) => {
            files.add_signers(&team, TEAM, false).map_err(unreadable)?;
        }
    }
    add_revoked(cx, &mut files, &args.revoked.revoked)?;
    Ok(files)
}

fn add_revoked(cx: &Context, files: &mut TrustFiles, named: &[PathBuf]) -> Result<(), Refusal> {
    for path in named {
        files.add_revoked(&cx.cwd.join(path), path.display().to_string(), true).map_err(unreadable)?;
    }
    Ok(())
}

/// A path of git's settings, where `~/` stands for the home folder.
fn at_home(cx: &Context, path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), cx.var("HOME")) {
        (Some(rest), Some(home)) => Path::new(home).join(rest),
        _ => cx.cwd.join(path),
    }
}

fn unreadable(error: Unreadable) -> Refusal {
    let list = if error.path.ends_with(files::REVOKED) { "list of revoked keys" } else { "allowed-signers file" };
    Refusal::new(Kind::Invalid, Code::SignersFile, format!("the {list} cannot be read"))
        .place(error.path)
        .cause(error.why)
}

/// The places a signing key is looked for, with the values they have here.
fn sources<'a>(
    cx: &Context,
    flag: Option<&str>,
    principals: impl IntoIterator<Item = &'a str>,
) -> Result<Sources, Refusal> {
    let (key, unset) = match git_key(cx) {
        Ok(key) => (Some(key), String::new()),
        Err(why) => (None, why),
    };
    Ok(Sources {
        flag: flag.map(String::from),
        variable: cx.var("BGCTL_SIGNING_KEY").map(String::from),
        shared: cx.var("BGCTL_HMAC_KEY_FILE").map(|path| cx.cwd.join(path)),
        git: key,
        git_unset: unset,
        own: own_key(cx)?,
        agent: cx.var("SSH_AUTH_SOCK").map(PathBuf::from),
        home: cx.var("HOME").map(PathBuf::from),
        principals: principals.into_iter().map(String::from).collect(),
        namespace: namespace::OPEN.into(),
        now: cx.clock.now(),
    })
}

/// Where `bgctl keys create` puts its key.
pub fn own_key(cx: &Context) -> Result<PathBuf, Refusal> {
    Ok(cx.state_dir()?.join("keys").join("id_ed25519"))
}

/// Looks at every place. `principals` are those who may sign, where that is known.
pub fn looks<'a>(
    cx: &Context,
    flag: Option<&str>,
    principals: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<Look>, Refusal> {
    Ok(choice::looks(&sources(cx, flag, principals)?, &Believed::read(cx, &BelievedArgs::default())?.signers()))
}

/// The key that signs here, opened. A passphrase is asked for where somebody can be asked.
pub fn signer<'a>(
    cx: &Context,
    flag: Option<&str>,
    principals: impl IntoIterator<Item = &'a str>,
) -> Result<Box<dyn Signer>, Refusal> {
    let looks = looks(cx, flag, principals)?;
    let ask = |name: &str| {
        let prompt = dialoguer::Password::new().with_prompt(format!("passphrase of {name}"));
        cx.style.interactive.then(|| prompt.interact().ok()).flatten().map(Secret::new)
    };
    let key = choice::choose(&looks)?.open(&ask).map_err(|error| refusal(&error))?;
    let touched = PublicKey::from_line(&key.public()).is_ok_and(|key| key.is_security_key());
    Ok(if touched { Box::new(Touched { key, err: RefCell::new(cx.stderr()) }) } else { key })
}

/// The key that signs here. In the lab nothing is at stake, so a key of the lab's own will do. It lies in `archive`.
pub fn signer_or_labs(
    cx: &Context,
    archive: &Archive,
    flag: Option<&str>,
    plan: &Plan,
) -> Result<Box<dyn Signer>, Refusal> {
    match plan.is_rehearsal() && flag.is_none() {
        true => Ok(Box::new(file::create_lab_key(archive.root()).map_err(|error| refusal(&error))?)),
        false => signer(cx, flag, plan.owners.iter().map(|owner| owner.as_str())),
    }
}

/// A key that those who approve here know as given up opens no run, wherever it was found.
pub fn not_revoked(cx: &Context, signers: &AllowedSigners, signer: &dyn Signer) -> Result<(), Refusal> {
    let Ok(key) = PublicKey::from_line(&signer.public()) else { return Ok(()) };
    match signers.check_key(None, namespace::OPEN, &key, cx.clock.now()) {
        Err(error @ (TrustError::Revoked { .. } | TrustError::RevocationUnknown { .. })) => {
            let refusal = Refusal::new(Kind::Denied, Code::KeyUnusable, "the signing key cannot be used");
            Err(refusal.cause(error.to_string()).next("bgctl keys create        make a new one"))
        }
        _ => Ok(()),
    }
}

/// A security key whose owner is told to touch it: the device only blinks, and perhaps in a pocket.
struct Touched {
    key: Box<dyn Signer>,
    err: RefCell<Box<dyn Write + Send>>,
}

impl Signer for Touched {
    fn name(&self) -> String {
        self.key.name()
    }

    fn public(&self) -> String {
        self.key.public()
    }

    fn fingerprint(&self) -> String {
        self.key.fingerprint()
    }

    fn assurance(&self) -> Assurance {
        self.key.assurance()
    }

    fn sign(&self, namespace: &str, message: &[u8]) -> Result<String, SignError> {
        // Nobody may be reading; the key is asked all the same.
        let _ = writeln!(self.err.borrow_mut(), "touch your security key {} ({namespace})", self.key.fingerprint());
        self.key.sign(namespace, message)
    }
}

/// A key that cannot be used, in five parts.
pub fn refusal(error: &SignError) -> Refusal {
    let (code, headline) = match error {
        SignError::Exists { .. } => (Code::Unwritable, "the key cannot be written"),
        _ => (Code::KeyUnusable, "the signing key cannot be used"),
    };
    let refusal = Refusal::new(Kind::Denied, code, headline).cause(error.to_string());
    match error {
        SignError::Exposed { path, .. } => refusal.next(format!("chmod 600 {path}")),
        SignError::Locked { path } => refusal.next(format!("ssh-add {path}    the agent keeps it open")),
        SignError::Exists { .. } => refusal.next("bgctl keys create --out another/path"),
        SignError::SecurityKey { .. } => {
            refusal.next("bgctl keys    which key would sign; then touch it when it blinks")
        }
        SignError::Refused { .. } | SignError::Agent { .. } => refusal.next("ssh-add -l    which keys the agent holds"),
        _ => refusal.next("bgctl keys    which key would sign, and why"),
    }
}

/// The address git writes into commits here.
pub fn email(cx: &Context) -> Option<String> {
    git(cx, "user.email")
}

/// The SSH key git signs commits with, or why there is none.
fn git_key(cx: &Context) -> Result<String, String> {
    match git(cx, "gpg.format").as_deref() {
        Some("ssh") => {}
        Some(other) => return Err(format!("git signs with `{other}` here (gpg.format), not with SSH keys")),
        None => return Err("git has no gpg.format = ssh here".into()),
    }
    git(cx, "user.signingkey").ok_or_else(|| match git(cx, "gpg.ssh.defaultKeyCommand") {
        // That takes whichever key a command prints first, and bgctl signs with no key that nobody named.
        Some(_) => "not set; gpg.ssh.defaultKeyCommand is not followed".into(),
        None => "not set".into(),
    })
}

fn git(cx: &Context, setting: &str) -> Option<String> {
    cx.git(setting, || {
        // Nothing that git does not need for that: not the credentials of this environment.
        let gits = |name: &str| name.starts_with("GIT_") || name == "XDG_CONFIG_HOME";
        let gits = cx.env.iter().filter(|(name, _)| gits(name));
        let mut command = Command::new("git");
        command.args(["config", "--get", setting]).current_dir(&cx.cwd).env_clear().envs(few(&cx.env)).envs(gits);
        let output = command.output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        Some(text.trim().to_string()).filter(|value| output.status.success() && !value.is_empty())
    })
}
