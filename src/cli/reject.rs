//! `bgctl reject`: refuse a step of a cutover, or take an approval back before it is used.

use super::answer::{self, AnswerArgs};
use super::{approve, card};
use crate::diag::Refusal;
use crate::people::Decision;
use crate::shell::{Context, Exit};

/// Refuse a step that waits for an approval, or take your own back before it is used. One refusal closes the request.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub answer: AnswerArgs,
    /// The step's name: what a person would type to refuse.
    #[arg(long, value_name = "STEP")]
    pub confirm: Option<String>,
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    cx.block_on(reject(args, cx))?
}

async fn reject(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let asked = answer::asked(&args.answer, cx)?;
    if !card::show(cx, &asked.shown).await? {
        cx.err("Nothing was signed.");
        return Ok(Exit::Stopped);
    }
    let (word, ask) = (&asked.shown.step, format!("Type {} to refuse it:", asked.shown.step));
    if !answer::typed(cx, word, args.confirm.as_deref(), "--confirm", &ask).await? {
        cx.err("Nothing was signed.");
        return Ok(Exit::Stopped);
    }
    let signer = asked.signer(&args.answer, cx)?;
    let signature = asked.sign(signer.as_ref(), true)?;
    let what = match asked.judge(&args.answer, cx, &signature)? {
        Some(Decision::Withdrawn { .. }) => "taken back",
        _ => "refused",
    };
    let name = format!("{}.no", asked.name(signer.as_ref()));
    let file = asked.deliver(&args.answer, cx, &name, &signature)?;
    approve::said(cx, &asked, &name, what, file.as_deref());
    Ok(Exit::Success)
}
