//! The one question before users go back, and the other before they go back without a record.

use super::Args;
use crate::diag::{Code, Kind, Refusal};
use crate::people::tty::Keyboard;
use crate::people::{Answer, Board, confirm};
use crate::run::{Actor, Evidence, NOBODY};
use crate::session::display;
use crate::shell::Context;
use std::rc::Rc;

fn keyboard(cx: &Context) -> Option<Rc<Keyboard>> {
    if cx.style.interactive { display::keyboard() } else { None }
}

/// The answer, where it was yes.
pub async fn agreed(args: &Args, cx: &Context, users: &str) -> Result<Option<Evidence>, Refusal> {
    if args.yes {
        return Ok(Some(confirm::rollback_by_flag(NOBODY)));
    }
    match keyboard(cx) {
        Some(keyboard) => Ok(put(cx, &keyboard).await),
        None => Err(Refusal::new(Kind::Usage, Code::NobodyHere, "nobody can be asked here whether to roll back")
            .users(format!("{users}, read just now. Nothing was changed."))
            .next("the same command with --yes")),
    }
}

/// Without a record nobody goes back by mistake: a person says so at a terminal, or by two flags where there is none.
pub async fn without_record(
    args: &Args,
    cx: &Context,
    environment: &str,
    why: &str,
) -> Result<Option<Evidence>, Refusal> {
    let keyboard = keyboard(cx);
    let said = args.unrecorded && (keyboard.is_some() || args.confirm.as_deref() == Some(environment));
    if said {
        return Ok(Some(confirm::rollback_by_flag(NOBODY)));
    }
    match keyboard {
        Some(keyboard) => {
            cx.err("without a record on the disk: it is kept in memory, and written at the end wherever it can be");
            Ok(put(cx, &keyboard).await)
        }
        None => Err(Refusal::new(
            Kind::Environment,
            Code::NoRecord,
            "this rollback cannot be recorded, and no one can confirm that here",
        )
        .cause(why.to_string())
        .users("as shown above, read just now. Nothing was changed.")
        .next(format!("the same command with --unrecorded --confirm {environment}        without a record on the disk"))
        .next("free space or fix the folder, or name another with --state-dir, then the same command again")),
    }
}

async fn put(cx: &Context, keyboard: &Rc<Keyboard>) -> Option<Evidence> {
    let board = Board::on(cx.screen());
    let by = Actor::nobody("prompt");
    match confirm::rollback(keyboard, &board, cx.clock.as_ref(), &by).await {
        Answer::Given(answered) => answered.yes.then_some(answered.evidence),
        Answer::NobodyThere => None,
    }
}
