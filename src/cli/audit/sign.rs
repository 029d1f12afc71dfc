//! `bgctl audit sign`: the owner's closing seal under a log that ended while their key was away.

use crate::diag::{Code, Kind, Refusal};
use crate::journal::ledger::{Hand, Ledger, What};
use crate::journal::{self, DirStore, OpenError, SealState};
use crate::session::{places, trust};
use crate::shell::{Context, Exit};

/// Sign a log that ended while its owner's key was away. Only the key that opened the run can.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The run, or the end of its name; the newest otherwise.
    run: Option<String>,
    /// The key that opened the run: a key file, or `agent:SHA256:…`.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let (id, folder) = places::find(cx, args.run.as_deref())?;
    let archive = places::holding(cx, &folder)?;
    let signer = trust::signer(cx, args.key.as_deref(), None)?;
    let failed = |error: OpenError| refused(&error, &id, &folder.display().to_string());
    let store = DirStore::open(&folder).map_err(|e| failed(e.into()))?;
    let signed = journal::countersign(Box::new(store), signer.as_ref(), cx.clock.as_ref()).map_err(failed)?;
    let (head, hand) = (signed.head, Hand::Owner { owner: &signed.owner, key: signer.as_ref() });
    let noted = Ledger::in_folder(archive.root()).append(What::Signed, &head, &hand, cx.clock.as_ref());
    match head.state {
        SealState::Handover => cx.out(&format!("run {id} is signed, and can be resumed: bgctl resume {id}")),
        _ => cx.out(&format!("run {id} is closed by its owner")),
    }
    cx.out(&format!("  signed with {} ({})", signer.fingerprint(), signer.name()));
    if let Err(error) = noted {
        cx.err(&format!("! the ledger of runs does not have this signature: {error}"));
    }
    cx.err(&format!("next: bgctl audit verify {id}"));
    Ok(Exit::Success)
}

fn refused(error: &OpenError, id: &str, place: &str) -> Refusal {
    let refuse = |kind, code, headline: &str| Refusal::new(kind, code, headline).place(place).cause(error.to_string());
    match error {
        OpenError::Sign(_) => refuse(Kind::Denied, Code::Unsigned, "the owner's key did not sign").next("bgctl keys"),
        OpenError::OtherKey { .. } => refuse(Kind::Denied, Code::NotThisKey, "this is not the key that opened the run")
            .next(format!("bgctl audit sign {id} --key KEY    with the key that opened it")),
        OpenError::Over { .. } => refuse(Kind::Usage, Code::NothingToSign, "there is nothing to sign")
            .next(format!("bgctl audit verify {id}")),
        OpenError::NotEnded { .. } => refuse(Kind::Usage, Code::NothingToSign, "there is nothing to sign yet")
            .next(format!("bgctl resume {id}    go on with it, and close it at its end")),
        OpenError::Broken { fault, .. } => {
            refuse(Kind::Audit, fault.what.code(), "a log that does not hold is not signed")
                .next(format!("bgctl audit verify {id}    which line, and what is still intact"))
        }
        OpenError::Journal(_) | OpenError::Name(_) => {
            refuse(Kind::Environment, Code::NoRecord, "the log cannot be written")
        }
    }
}
