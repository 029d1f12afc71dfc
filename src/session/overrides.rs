//! What a person passes over with `bgctl rollback --override GUARD`: said with a reason, shown with what it means, and written
//! down before anybody moves.

use super::launch::Launch;
use super::open::Open;
use crate::diag::{Code, Kind, Refusal};
use crate::people::wish_override;
use crate::run::{Actor, guard};
use crate::shell::Context;

/// What stands as the reason where none was given.
pub const NO_REASON: &str = "by hand";
/// The shortest reason that says something.
pub const REASON: usize = 10;

/// The guards there are.
pub const GUARDS: [&str; 2] = [guard::SCHEMA, guard::BLUE_HEALTH];

/// Whether this guard is among those that were named.
pub fn names(given: &[String], name: &str) -> bool {
    given.iter().any(|guard| guard == name)
}

/// Whether users go to a blue that is not well, at the word of this person. It takes a reason, and nobody else: it is an
/// emergency. What blue is like has been shown already.
pub fn ill_blue(cx: &Context, given: &[String], reason: &str) -> Result<bool, Refusal> {
    if !names(given, guard::BLUE_HEALTH) {
        return Ok(false);
    }
    if !says_something(reason) {
        return Err(Refusal::new(
            Kind::Usage,
            Code::NeedsReason,
            "a rollback to a BLUE that may not be healthy needs a reason",
        )
        .cause("at least 10 characters; the log keeps it with your name")
        .users("as shown above. Nothing was changed.")
        .next("bgctl rollback --override blue-health --reason \"…\""));
    }
    cx.err(
        "! blue     users are sent there even if it is not healthy: \
        where targets are down, requests fail until they are fixed",
    );
    cx.err("           no approval is needed; the log keeps your name and reason");
    Ok(true)
}

/// Writes it down in a run that is open here.
pub fn write(launch: &Launch<'_>, open: &mut Open, by: &Actor, reason: &str) -> Result<(), Refusal> {
    launch.passed_over(open, guard::BLUE_HEALTH, by, reason)
}

/// Hands it to the process that drives the run; it stands there before the wish to go back does.
pub fn hand_over(folder: &std::path::Path, by: &Actor, reason: &str) -> std::io::Result<()> {
    wish_override(folder, guard::BLUE_HEALTH, by, reason)
}

/// Whether a reason is one.
pub fn says_something(reason: &str) -> bool {
    reason.trim().chars().count() >= REASON && reason != NO_REASON
}
