//! `bgctl audit adopt`: the record of a rollback that could not be written down then takes its place among the runs, as what it
//! is. Nothing of it is changed; the ledger says when it came and who brought it.

use std::path::PathBuf;

use crate::diag::{Code, Kind, Refusal};
use crate::file;
use crate::journal::ledger::{Hand, Ledger, What};
use crate::journal::{self, LOG, Note, Sound};
use crate::plan::Purpose;
use crate::session::unrecorded::{UNRECORDED, place};
use crate::session::{places, ran, trust};
use crate::shell::{Context, Exit};
use crate::sign::{PublicKey, namespace};

/// Keep the record of a rollback that could not be written to the disk when it was made.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What `bgctl rollback --record FILE` wrote, or the JSON lines it left on stderr.
    file: PathBuf,
    /// The key that signs its line in the ledger: a key file, or `agent:SHA256:…`.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let path = cx.cwd.join(&args.file);
    let refuse = |kind, headline: &str, cause: String| {
        let refusal = Refusal::new(kind, Code::NotAdopted, headline).place(path.display().to_string()).cause(cause);
        refusal.users("not checked. Nothing was changed.")
    };
    let text = file::read(&path, file::LOG).map_err(|e| super::unreadable(&path, &e))?;
    // What was saved from a terminal or a job has other lines around it.
    let lines: Vec<u8> =
        text.split_inclusive(|b| *b == b'\n').filter(|l| l.starts_with(b"{\"v\":")).flatten().copied().collect();
    let sound = journal::read(&lines)
        .map_err(|fault| refuse(Kind::Audit, "this record does not hold together", fault.to_string()))?;
    if let Err(why) = fits(&sound) {
        return Err(refuse(Kind::Audit, "this record cannot be adopted", why));
    }
    let archive = places::of(cx, &sound.plan)?;
    if archive.run(&sound.run).exists() {
        let why = format!("run {} is kept here already", sound.run);
        return Err(
            refuse(Kind::Usage, "this record cannot be adopted", why).next(format!("bgctl audit verify {}", sound.run))
        );
    }
    let signer = trust::signer(cx, args.key.as_deref(), None)?;
    let failed = |why: String| refuse(Kind::Environment, "the record cannot be kept", why);
    let folder = place(&archive, &sound.run, &lines, &sound.plan.canonical()).map_err(failed)?;
    let head = Note::of_log(&lines, (&sound.service, &sound.run), cx.clock.now(), sound.state);
    let trusted = trust::Believed::among(cx, &trust::BelievedArgs::default(), &archive)?.signers();
    let key = PublicKey::from_line(&signer.public()).ok();
    let now = cx.clock.now();
    let known = key.as_ref().and_then(|key| trusted.check_key(None, namespace::LEDGER, key, now).ok());
    let owner = match known {
        Some(signed) => signed.principal,
        // As for a run opened here: the key speaks for its owner, and this machine says which key it was.
        None => {
            let owner = sound.plan.owners.first().unwrap_or(&sound.plan.rollback_owner);
            let _ = ran::remember(&archive, &sound.run, owner, signer.as_ref());
            owner.to_string()
        }
    };
    let hand = Hand::Owner { owner: &owner, key: signer.as_ref() };
    Ledger::in_folder(archive.root()).append(What::Adopted, &head, &hand, cx.clock.as_ref()).map_err(|error| {
        // Without its line the ledger would call it a run that nobody wrote down.
        let _ = std::fs::remove_dir_all(&folder);
        failed(error.what)
    })?;
    cx.out(&format!("run {} is kept: {}", sound.run, folder.join(LOG).display()));
    cx.out(&format!("  brought by {owner} ({})", signer.fingerprint()));
    cx.err(&format!("next: bgctl audit verify {}", sound.run));
    Ok(Exit::Success)
}

/// Only a rollback that says of itself that nothing kept it.
fn fits(sound: &Sound) -> Result<(), String> {
    if sound.plan.purpose == Purpose::Cutover {
        return Err("it records a cutover, and a cutover never runs without a record on the disk".into());
    }
    let said = |entry: &journal::Entry| entry.data["line"].as_str().is_some_and(|line| line.starts_with(UNRECORDED));
    match sound.entries.iter().any(|entry| entry.kind == "note" && said(entry)) {
        true => Ok(()),
        false => Err("it does not say that it was made without a record on the disk".into()),
    }
}
