//! What a fact tells whoever is asked or called later, and the steps that come after it. It is only read here; nothing follows
//! from it for the machine.

use crate::plan::Lane;
use crate::run::{Doing, Event, Outcome, State};
use crate::world::World;

/// What a person has to be told of this fact, if one is asked or called for it.
pub(super) fn because(event: &Event) -> Option<String> {
    match event {
        Event::StepOutcome { outcome: Outcome::Unknown { line, .. }, .. } => Some(line.clone()),
        Event::RollbackBegun { cause, .. } => Some(cause.clone()),
        _ => None,
    }
}

/// Steps go by what a person passes over, in this process and in those before it.
pub(super) fn passes_over(world: &World, event: &Event) {
    if let Event::OverrideUsed { guard, by, reason } = event {
        world.overrides.pass_over(guard, format!("{}: {reason}", by.name));
    }
}

/// The shortest name of a run that still reads well.
pub(super) fn short(run: &str) -> &str {
    run.rsplit('-').next().unwrap_or(run)
}

/// What bgctl has done about what happened, for whoever is paged.
pub(super) fn part(state: &State) -> &'static str {
    if let Doing::Paused { .. } = state.doing {
        return "the run pauses; gates are still judged, and nothing moves while a guard forbids it";
    }
    match (state.lane, state.moved) {
        (Lane::Rollback, _) => "the rollback was begun and is not confirmed; nothing more moves by itself",
        (Lane::Forward, true) => "users were left as they are; nothing more moves by itself",
        (Lane::Forward, false) => "no users were moved; nothing more moves by itself",
    }
}
