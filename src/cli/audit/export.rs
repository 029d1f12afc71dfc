//! `bgctl audit export`: a log in the words of other tools.

use crate::audit;
use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::{locate, unreadable, verify};
use crate::audit::Report;
use crate::audit::exports;
use crate::audit::exports::{KINDS, Source};
use crate::diag::{Code, Kind, Refusal};
use crate::journal;
use crate::journal::Seals;
use crate::secret::visible;
use crate::session::trust::{self, Believed, BelievedArgs};
use crate::shell::{Context, Exit};

/// Export a log as CloudEvents, OCSF or in-toto: events for a SIEM, or an attestation.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A run, the end of its name, or a log file.
    run: Option<String>,
    /// The format to export.
    #[arg(long, value_name = "FORM", value_parser = form())]
    format: &'static exports::Kind,
    /// Write into this file instead of to stdout; one that exists is not overwritten.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The owner's key that signs the attestation: a key file, or `agent:SHA256:…`.
    #[arg(long, value_name = "KEY", conflicts_with = "unsigned")]
    key: Option<String>,
    /// Write the bare statement, for a tool that signs it itself.
    #[arg(long)]
    unsigned: bool,
}

/// The form of a name, with what each is for `--help`.
fn form() -> impl TypedValueParser<Value = &'static exports::Kind> {
    let names = KINDS.iter().map(|kind| PossibleValue::new(kind.name).help(kind.about));
    PossibleValuesParser::new(names).try_map(|name| KINDS.iter().find(|kind| kind.name == name).ok_or("no such format"))
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    if args.format.signed_as.is_none() && (args.key.is_some() || args.unsigned) {
        let refusal = Refusal::new(Kind::Usage, Code::CommandLine, "only an attestation is signed");
        return Err(refusal.next("--format in-toto, or without --key and --unsigned"));
    }
    let log = locate(cx, args.run.as_deref())?;
    let bytes = std::fs::read(&log).map_err(|error| unreadable(&log, &error))?;
    let sound = journal::read(&bytes).map_err(|fault| {
        Refusal::new(Kind::Audit, fault.what.code(), visible(&fault.to_string()))
            .place(log.display().to_string())
            .cause("a log that is not sound is not exported")
            .next("bgctl audit verify    what is wrong, and what is still intact")
    })?;
    let trust = Believed::of_log(cx, &BelievedArgs::default(), &log)?.trust(cx)?;
    let report =
        audit::verify(&mut std::io::Cursor::new(&bytes[..]), &trust, Seals::All).map_err(|e| unreadable(&log, &e))?;
    let verdict = verify::word(&report.verdict);
    let source = Source { bytes: &bytes, sound: &sound, report: &report, verdict };
    let text = (args.format.write)(&source);
    let text = match args.format.signed_as {
        Some(payload) => attestation(args, cx, text, payload, &report)?,
        None => text,
    };
    match &args.out {
        None => cx.raw_out(text.trim_end()),
        Some(path) => super::write_new(&cx.cwd.join(path), text.as_bytes())?,
    }
    if verdict != "COMPLETE" {
        cx.err(&format!("the log is {verdict}, and the export says so: bgctl audit verify {}", sound.run));
    }
    Ok(Exit::Success)
}

/// The envelope, or the bare Statement where the owner's key is not here or cannot sign one.
fn attestation(
    args: &Args,
    cx: &Context,
    statement: String,
    payload: &str,
    report: &Report,
) -> Result<String, Refusal> {
    let bare = |why: &str| {
        cx.err(&format!("not signed: {why}. The bare statement proves nothing by itself"));
        Ok(format!("{statement}\n"))
    };
    if args.unsigned {
        return bare("as asked for");
    }
    let owner = report.owners.first().map(|owner| owner.signed.principal.clone());
    let signer = match (trust::signer(cx, args.key.as_deref(), owner.as_deref()), &args.key) {
        (Ok(signer), _) => signer,
        // Somebody named this key: another answer than theirs would be a surprise.
        (Err(refusal), Some(_)) => return Err(refusal),
        (Err(refusal), None) => return bare(&refusal.headline),
    };
    let fingerprint = signer.fingerprint();
    if !report.owners.iter().any(|owner| owner.signed.fingerprint == fingerprint) {
        let why = format!("{fingerprint} did not sign this log, so it cannot vouch for it");
        return match &args.key {
            Some(_) => Err(Refusal::new(Kind::Denied, Code::NotThisKey, "this key did not sign the log")
                .cause(why)
                .next("the key of the run's owner, or --unsigned")),
            None => bare(&why),
        };
    }
    match signer.sign_envelope(payload, statement.as_bytes()) {
        Ok(signature) => Ok(format!("{}\n", exports::envelope(payload, &statement, &fingerprint, &signature))),
        Err(error) if args.key.is_some() => Err(trust::refusal(&error)),
        Err(error) => bare(&error.to_string()),
    }
}
