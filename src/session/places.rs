//! Where the runs of this machine are kept: real ones in the state folder, rehearsals in a folder of their own below it, with
//! keys, signers, ledger, locks, freezes and policies of their own. What a rehearsal has left there counts for rehearsals alone.

use std::path::{Path, PathBuf};

use crate::diag::Refusal;
use crate::journal::{Archive, found_in, own};
use crate::plan::Plan;
use crate::shell::Context;

/// The folder of rehearsals, below the state folder.
const REHEARSALS: &str = "lab";

/// Where runs of the real world are kept.
pub fn real(cx: &Context) -> Result<Archive, Refusal> {
    Ok(Archive::new(cx.state_dir()?))
}

/// Where rehearsals are kept.
pub fn rehearsals(cx: &Context) -> Result<Archive, Refusal> {
    Ok(Archive::new(cx.state_dir()?.join(REHEARSALS)))
}

/// Both, the real one first.
pub fn both(cx: &Context) -> Result<[Archive; 2], Refusal> {
    Ok(below(&cx.state_dir()?))
}

/// Those of a state folder.
pub fn below(state: &Path) -> [Archive; 2] {
    [Archive::new(state), Archive::new(state.join(REHEARSALS))]
}

/// Where a run of this plan is kept, and what counts for it.
pub fn of(cx: &Context, plan: &Plan) -> Result<Archive, Refusal> {
    if plan.is_rehearsal() { rehearsals(cx) } else { real(cx) }
}

/// The archive that this folder of a run, or file in it, lies in; the real one for what lies elsewhere.
pub fn holding(cx: &Context, path: &Path) -> Result<Archive, Refusal> {
    let lab = rehearsals(cx)?;
    if path.starts_with(lab.root()) { Ok(lab) } else { real(cx) }
}

/// The run of that name or the end of a name, wherever it is kept: its log is its own. Without a name the newest real run; a rehearsal only where
/// nothing real has run.
pub fn find(cx: &Context, name: Option<&str>) -> Result<(String, PathBuf), Refusal> {
    let (id, folder) = found_in(&both(cx)?, name)?;
    own(&id, folder).map(|folder| (id, folder))
}
