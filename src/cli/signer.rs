//! Whose key signs here, and whose signatures count: files and settings of this machine, found once.

use std::path::PathBuf;
use std::rc::Rc;

use super::Context;
use crate::diag::{Kind, Refusal};
use crate::journal::Archive;
use crate::people::{Signed, Signer as Person, Verify};
use crate::sign::choice::{Sources, choose, looks};
use crate::sign::{AllowedSigners, SignError, Signer, file};

/// Where the key that signs may be named.
pub fn sources(cx: &Context, archive: &Archive, flag: Option<&str>, principal: Option<&str>) -> Sources {
    let path = |name| cx.var(name).map(|value| cx.cwd.join(value));
    Sources {
        flag: flag.map(String::from),
        variable: cx.var("BGCTL_SIGNING_KEY").map(String::from),
        shared: path("BGCTL_HMAC_KEY_FILE"),
        git: (git(cx, "gpg.format").as_deref() == Some("ssh")).then(|| git(cx, "user.signingkey")).flatten(),
        own: archive.root().join("owner_ed25519"),
        agent: path("SSH_AUTH_SOCK"),
        home: path("HOME"),
        principal: principal.map(String::from),
    }
}

/// A setting of git, where there is a git.
fn git(cx: &Context, name: &str) -> Option<String> {
    let answer =
        std::process::Command::new("git").args(["config", "--get", name]).current_dir(&cx.cwd).output().ok()?;
    let value = String::from_utf8(answer.stdout).ok()?.trim().to_string();
    (answer.status.success() && !value.is_empty()).then_some(value)
}

/// The people whose signatures count: `--allowed-signers`, `.bgctl/allowed_signers`, or git's file, and nobody else.
pub fn allowed(cx: &Context, flag: Option<&PathBuf>) -> Result<(AllowedSigners, Option<PathBuf>), Refusal> {
    let named = flag.map(|path| cx.cwd.join(path));
    let project = cx.cwd.join(".bgctl/allowed_signers");
    let path = match named {
        Some(path) => Some(path),
        None if project.is_file() => Some(project),
        None => git(cx, "gpg.ssh.allowedSignersFile").map(|path| cx.cwd.join(path)).filter(|path| path.is_file()),
    };
    let Some(path) = path else { return Ok((AllowedSigners::default(), None)) };
    let refuse = |cause: String| {
        Refusal::new(Kind::Invalid, "BG0423", "the allowed-signers file cannot be used")
            .place(path.display().to_string())
            .cause(cause)
            .next("man ssh-keygen, section ALLOWED SIGNERS")
    };
    let text = std::fs::read_to_string(&path).map_err(|e| refuse(e.to_string()))?;
    let signers = AllowedSigners::parse(&text).map_err(|bad| refuse(format!("line {}: {}", bad.line, bad.why)))?;
    Ok((signers, Some(path)))
}

/// Checks the signatures of approvers.
pub fn verify(signers: AllowedSigners) -> Rc<Verify> {
    Rc::new(move |signed: &Signed<'_>| {
        if signers.is_empty() {
            return Err("there is no allowed-signers file: put one at .bgctl/allowed_signers".into());
        }
        let checked = signers.check(None, signed.namespace, signed.message, signed.signature, signed.at);
        checked.map(|who| Person { principal: who.principal, key: who.fingerprint }).map_err(|e| e.to_string())
    })
}

/// Opens the key that signs this run. In the lab, where nothing is at stake, a key of the lab's own will do.
pub fn open(
    cx: &Context,
    archive: &Archive,
    flag: Option<&str>,
    owners: &[String],
    lab: bool,
) -> Result<Box<dyn Signer>, Refusal> {
    if lab && flag.is_none() {
        let key = file::create_lab_key(&archive.root().join("lab")).map_err(|e| refused(&e))?;
        return Ok(Box::new(key));
    }
    let (signers, _) = allowed(cx, None)?;
    let looks = looks(&sources(cx, archive, flag, owners.first().map(String::as_str)), &signers);
    let chosen = choose(&looks)?;
    let interactive = cx.style.interactive;
    let ask = |name: &str| {
        let prompt = dialoguer::Password::new().with_prompt(format!("passphrase of {name}"));
        interactive.then(|| prompt.interact().ok()).flatten().map(crate::secret::Secret::new)
    };
    chosen.open(&ask).map_err(|e| refused(&e))
}

fn refused(error: &SignError) -> Refusal {
    Refusal::new(Kind::Denied, "BG0221", "the signing key cannot be used")
        .cause(error.to_string())
        .users("not asked. Nothing was changed.")
        .next("bgctl keys        which key would sign, and why")
}
