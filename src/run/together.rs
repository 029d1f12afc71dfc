//! How a fact changes several routes that are on their way back at the same time. Each takes it in as a run that is at its step
//! would, by [`super::evolve::alone`]. Pure.

use super::event::Event;
use super::evolve::{Illegal, alone};
use super::follows::onward;
use super::legs::{Leg, Legs};
use super::patience;
use super::state::{Doing, State};
use crate::plan::{Lane, Plan, StepRef};

/// Takes in a fact about one of the steps.
pub(super) fn evolve(of: &Legs, plan: &Plan, s: &State, step: StepRef, e: &Event) -> Result<State, Illegal> {
    let leg = of.open.iter().find(|(_, leg)| leg.index == step.index && step.lane == Lane::Rollback);
    let (route, leg) = leg.ok_or_else(|| Illegal::of(s, e))?;
    let after = alone(plan, &leg.alone(s), e)?;
    let mut legs = of.clone();
    legs.open.remove(route);
    let mut stranded = s.stranded.clone();
    match &after.doing {
        doing @ (Doing::Ready { .. } | Doing::Uncertain { .. }) if after.index == leg.index => {
            legs.open.insert(route.clone(), Leg { index: leg.index, doing: doing.clone() });
        }
        _ if !after.stranded.is_empty() => stranded.extend(after.stranded.clone()),
        Doing::Stuck { line, .. } => {
            stranded.insert(route.clone(), line.clone());
        }
        // There: a ramp has more stops of this route.
        _ => {
            let more = (leg.index + 1..=of.last).find(|n| route_of(plan, *n) == Some(route));
            if let Some(index) = more {
                legs.open.insert(route.clone(), Leg { index, doing: Doing::Ready { attempt: 1 } });
            }
        }
    }
    let next = State { index: s.index, doing: Doing::Together(legs.clone()), stranded, ..after };
    Ok(match legs.open.is_empty() {
        true => onward(plan, State { index: of.last, doing: Doing::Ready { attempt: 1 }, ..next }),
        false => next,
    })
}

/// A log of before gives a route up without a word that its time was over: it goes on as if that had been said.
pub(super) fn gave_up_before(plan: &Plan, s: &State, e: &Event) -> Result<State, Illegal> {
    let mut s = s.clone();
    while let Doing::Together(legs) = &s.doing {
        let given_up = |leg: &&Leg| patience::gave_up_before(plan, &leg.alone(&s), e);
        let Some(leg) = legs.open.values().find(given_up) else { break };
        let step = StepRef { lane: Lane::Rollback, index: leg.index };
        let line = s.waits_for.clone().unwrap_or_else(|| "it could not be seen".into());
        let overdue = Event::RollbackOverdue { step, id: plan.step(step).id.clone(), line };
        s = evolve(&legs.clone(), plan, &s, step, &overdue)?;
    }
    Ok(s)
}

fn route_of(plan: &Plan, index: usize) -> Option<&String> {
    plan.rollback.get(index)?.moves.as_ref().map(|moves| &moves.route)
}
