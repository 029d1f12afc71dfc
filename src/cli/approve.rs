//! `bgctl approve`: agree to a step of a cutover, from another terminal or another machine.

use serde_json::json;

use super::answer::{self, AnswerArgs, Asked, From};
use super::card;
use crate::diag::{Code, Kind, Refusal};
use crate::file;
use crate::people::Decision;
use crate::shell::{Context, Exit};

/// Agree to a step that waits for it: shows what is asked, has the percentage typed, and signs exactly what was shown.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub answer: AnswerArgs,
    /// The percentage (or the step's name): what a person would type to agree.
    #[arg(long, value_name = "WORD")]
    pub confirm: Option<String>,
    /// Hand in a signature that somebody sent, instead of signing.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "confirm"])]
    pub signature: Option<std::path::PathBuf>,
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    cx.block_on(approve(args, cx))?
}

async fn approve(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let asked = answer::asked(&args.answer, cx)?;
    if let Some(file) = &args.signature {
        return hand_in(args, cx, &asked, file);
    }
    if !card::show(cx, &asked.shown).await? {
        cx.err("Nothing was signed.");
        return Ok(Exit::Stopped);
    }
    asked.expired(cx)?;
    let (word, ask) = (&asked.shown.word, format!("Type {} to approve:", asked.shown.word));
    if !answer::typed(cx, word, args.confirm.as_deref(), "--confirm", &ask).await? {
        cx.err("Nothing was signed.");
        return Ok(Exit::Stopped);
    }
    let signer = asked.signer(&args.answer, cx)?;
    let signature = asked.sign(signer.as_ref(), false)?;
    asked.judge(&args.answer, cx, &signature)?;
    let name = asked.name(signer.as_ref());
    let file = asked.deliver(&args.answer, cx, &name, &signature)?;
    said(cx, &asked, &name, "approved", file.as_deref());
    Ok(Exit::Success)
}

/// A signature made elsewhere: judged now, so that whoever sent it hears at once what is wrong with it.
fn hand_in(args: &Args, cx: &Context, asked: &Asked, file: &std::path::Path) -> Result<Exit, Refusal> {
    if !matches!(asked.from, From::Run(..)) {
        return Err(Refusal::new(Kind::Usage, Code::Request, "a signature is handed in to a run that waits for it")
            .users("not checked. Nothing was changed.")
            .next("bgctl approve RUN --signature FILE"));
    }
    let signature = match file.to_str() {
        Some("-") => std::io::read_to_string(std::io::stdin()),
        _ => file::text(&cx.cwd.join(file), file::SHORT),
    };
    let signature = signature.map_err(|error| {
        let refusal = Refusal::new(Kind::Invalid, Code::Request, "the signature cannot be read");
        refusal.place(file.display().to_string()).cause(error.to_string()).users("not checked. Nothing was changed.")
    })?;
    let (name, what) = match asked.judge(&args.answer, cx, &signature)? {
        Some(Decision::Granted(grant)) => (grant.principal, "approved"),
        Some(Decision::Denied(grant)) => (grant.principal, "refused"),
        Some(Decision::Withdrawn { principal, .. }) => (principal, "taken back"),
        None => {
            cx.err("NO CHANGES. This signature is counted already.");
            return Ok(Exit::Success);
        }
    };
    let name = if what == "approved" { name } else { format!("{name}.no") };
    let file = asked.deliver(&args.answer, cx, &name, &signature)?;
    said(cx, asked, &name, what, file.as_deref());
    Ok(Exit::Success)
}

/// What was done, and what happens with it now.
pub fn said(cx: &Context, asked: &Asked, name: &str, what: &str, file: Option<&std::path::Path>) {
    let shown = &asked.shown;
    cx.err(&format!("{} {} of run {} as {name}", what.to_uppercase(), shown.step, shown.run));
    match (&asked.from, file) {
        (From::Run(past, _), _) if past.alive => cx.err("  the run takes it up by itself"),
        (From::Run(past, _), _) => cx.err(&format!("  next       bgctl resume {}", past.id)),
        (_, Some(file)) => {
            cx.err(&format!("  signature  {}", file.display()));
            cx.err("  next       send it back: it goes beside the request, under any name that ends in .sig, or");
            cx.err(&format!("             bgctl approve {} --signature FILE        where the run is", shown.run));
        }
        (_, None) => {
            cx.err(&format!("  next       send the lines above back: bgctl approve {} --signature -", shown.run))
        }
    }
    if cx.machine() {
        cx.json(&json!({ "run": shown.run, "step": shown.step, "answer": what, "by": name, "signature": file,
            "request_sha256": shown.sha256() }));
    }
}
