//! Where a run stands: everything that decides what comes next, and nothing that can be read off elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use super::actor::{Actor, Grant};
use super::event::{Event, RunOutcome, Sighting, Wish};
use super::legs::Legs;
use super::outcome::{Cause, Reaction};
use super::tried::Tried;
use crate::plan::{Color, Lane, Move, OnFailure, Plan, Split, StepRef, Team};

/// How often a write that landed late is set right in one run.
const RIGHTED: u32 = 3;

/// The state of a run, rebuilt from its journal at any time.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    pub lane: Lane,
    pub index: usize,
    pub doing: Doing,
    /// A move of users is known, or has to be assumed, to have happened in this run.
    pub moved: bool,
    pub interrupted: Option<Wish>,
    pub approvals: BTreeMap<StepRef, Approval>,
    /// All approvals of the forward lane are asked for before its first step.
    pub approvals_ahead: bool,
    /// Automatic rollbacks of this service inside the policy's window before this run.
    pub automatic_used: u32,
    /// A person began this rollback, so the rollback lane asks for no approval.
    pub by_hand: bool,
    /// Routes whose users could not be taken back, with why: the others still are, and then a person is called.
    pub stranded: BTreeMap<String, String>,
    /// Why the live schema stands against going back, as last seen.
    pub schema_against: Option<String>,
    /// Why a person goes back although the schema stands against it.
    pub overridden: Option<String>,
    /// The attempt that was cut off when the run was held, of a step that leaves no trace: before it is made again somebody
    /// says whether it happened.
    pub in_doubt: Option<u32>,
    /// The newest step with an intent: its effect may be in place although its end is not known.
    pub begun: Option<StepRef>,
    /// Where every route was when last looked at all at once; forgotten as soon as anything may have changed that.
    pub seen: Option<BTreeMap<String, Sighting>>,
    /// When that was read no write of this run could land any more.
    pub settled: bool,
    /// This log says where users were found before it says how it ended. Logs of before do not.
    pub looks: bool,
    /// The steps that move users and were begun, each with its newest attempt.
    pub tried: Tried,
    /// The writes whose end was never known, by step and attempt (0 stands for one before): they may still land.
    pub doubts: BTreeSet<(StepRef, u32)>,
    /// A write that landed late is being set right.
    pub righting: Option<Righting>,
    /// How often that was done in this run.
    pub righted: u32,
    /// Who asked to go back, or to stop.
    pub wisher: Option<Actor>,
    /// What the newest attempt to take users back failed with, while it is tried again.
    pub waits_for: Option<String>,
    /// The pause of the step at hand, remembered while it is tried whether the way is free: it has one end and one page.
    pub paused: Option<Pause>,
    /// Why an automatic rollback was begun.
    pub automatic_for: Option<String>,
    /// Why one has taken users back: only now it has taken place.
    pub went_back: Option<String>,
}

/// A move that is made again because an older write landed on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Righting {
    /// The step the run goes on with afterwards.
    pub to: usize,
    /// Where users were found.
    pub found: Split,
}

/// A pause that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    pub step: StepRef,
    pub cause: Cause,
    /// Unix seconds.
    pub until: i64,
    pub paged: bool,
}

/// What is going on with the step at `index`.
#[derive(Clone, Debug, PartialEq)]
pub enum Doing {
    /// Preflight has not been passed yet.
    Planned,
    Ready {
        attempt: u32,
    },
    /// An intent is durable and its end is not known: in flight, or the process died, or the reply was lost.
    Uncertain {
        attempt: u32,
        /// How often the world could not be seen since.
        looks: u32,
        /// The attempt itself said it does not know (a lost reply), so the next try is a further attempt.
        lost: bool,
    },
    /// Several routes go back at the same time.
    Together(Legs),
    /// The forward lane failed. What follows depends on whether users moved and on the rules.
    Failed {
        cause: Cause,
        then: Reaction,
        line: String,
    },
    /// Users are split and something forbids going forward; the run waits for its end and watches the gates.
    Paused {
        cause: Cause,
        line: String,
        paged: bool,
        /// Unix seconds.
        until: i64,
    },
    Held,
    /// No more automatic moves; a person has to act.
    Stuck {
        paged: bool,
        line: String,
    },
    Ended(RunOutcome),
}

/// An approval on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Approval {
    pub request: String,
    pub request_sha256: String,
    /// Unix seconds: a later answer counts no more.
    pub expires: i64,
    /// Until when it may be used once it is complete.
    pub use_by: i64,
    /// Who granted so far.
    pub grants: Vec<Grant>,
    /// Who took theirs back: it never counts again for this request.
    pub void: Vec<String>,
    /// Whose newest counts no more, and why.
    pub lost: Option<String>,
    /// An intent has named it: it is used up.
    pub used: bool,
}

impl Approval {
    /// Whether one more agreement adds a person: somebody who is one, has not agreed yet, and not with a key that has.
    pub fn adds(&self, team: &Team, grant: &Grant) -> bool {
        let Some(person) = team.person(&grant.principal).filter(|person| team.is_human(person)) else { return false };
        let same = |principal: &String| team.person(principal) == Some(person);
        let counted = |given: &Grant| same(&given.principal) || given.key.is_some() && given.key == grant.key;
        !self.grants.iter().any(counted) && !self.void.iter().any(same)
    }
}

impl Default for State {
    fn default() -> Self {
        State {
            lane: Lane::Forward,
            index: 0,
            doing: Doing::Planned,
            moved: false,
            interrupted: None,
            approvals: BTreeMap::new(),
            approvals_ahead: false,
            automatic_used: 0,
            by_hand: false,
            stranded: BTreeMap::new(),
            schema_against: None,
            overridden: None,
            in_doubt: None,
            begun: None,
            seen: None,
            settled: false,
            looks: false,
            tried: Tried::default(),
            doubts: BTreeSet::new(),
            righting: None,
            righted: 0,
            wisher: None,
            waits_for: None,
            paused: None,
            automatic_for: None,
            went_back: None,
        }
    }
}

impl State {
    /// The step the run is at.
    pub fn at(&self) -> StepRef {
        StepRef { lane: self.lane, index: self.index }
    }

    /// Users may be elsewhere than before the run: a move is known, or one is in flight.
    pub fn may_have_moved(&self, plan: &Plan) -> bool {
        self.moved
            || matches!(self.doing, Doing::Uncertain { .. })
                && plan.lane(self.lane).get(self.index).is_some_and(|s| s.moves.is_some())
    }

    /// Why users cannot come back now: the schema stands against it, and nobody has answered for that. A plan whose way back
    /// waits for a second person can be opened by one; what only the live schema says cannot, in this run.
    pub fn closed(&self, plan: &Plan) -> Option<String> {
        let waits = plan.waits_by_hand();
        match (&self.schema_against, &plan.policy.schema_reason) {
            (_, said) if waits && self.overridden.is_none() => {
                let why = said.as_deref().or(self.schema_against.as_deref());
                Some(why.unwrap_or("the schema stands against it").to_string())
            }
            (Some(why), _) if !waits => Some(why.clone()),
            _ => None,
        }
    }

    /// Whether a step waits for its approval although a person began the way back.
    pub fn asks_by_hand(&self, plan: &Plan, at: StepRef) -> bool {
        plan.step(at).approval.as_ref().is_some_and(|rule| rule.even_by_hand)
    }

    /// The splits of a route that are this run's own doing: what is found there beside them is somebody else's.
    pub fn written(&self, plan: &Plan, route: &str) -> Vec<Split> {
        let Some(planned) = plan.routes.get(route) else { return Vec::new() };
        let mut written = vec![planned.before];
        let here = self.righting.map_or(self.index, |righting| righting.to);
        for (index, step) in plan.lane(self.lane).iter().enumerate() {
            let Some(change) = step.moves.as_ref().filter(|change| change.route == route) else { continue };
            let at = StepRef { lane: self.lane, index };
            if let Some(righting) = self.righting.filter(|_| index == self.index) {
                written.push(righting.found);
            }
            if index < here {
                // A shift whose failure is passed over may or may not have moved anybody.
                if step.on_failure != OnFailure::Continue {
                    written.clear();
                }
                written.push(change.after);
            } else if self.begun == Some(at) && index == self.index {
                written.push(change.after);
            }
        }
        written
    }

    /// The change of a route that was begun and has not ended, if the step at hand is one.
    pub fn under_way<'p>(&self, plan: &'p Plan, route: &str) -> Option<&'p Move> {
        let at = self.begun.filter(|at| at.lane == self.lane && at.index == self.index)?;
        plan.step(at).moves.as_ref().filter(|change| change.route == route)
    }

    /// Whether what was read is what this run has left: on the way back that is everybody on blue. What could not be read
    /// says nothing.
    pub fn as_left(&self, plan: &Plan, routes: &BTreeMap<String, Sighting>) -> bool {
        routes.iter().all(|(route, seen)| seen.split.is_none_or(|split| self.left_so(plan, route, split)))
    }

    pub(super) fn left_so(&self, plan: &Plan, route: &str, split: Split) -> bool {
        match self.lane {
            Lane::Forward => self.written(plan, route).contains(&split),
            Lane::Rollback => split.only() == Some(Color::Blue),
        }
    }

    /// Everybody was just found on blue, on every route.
    pub(super) fn home(&self, plan: &Plan) -> bool {
        let blue = |seen: &Sighting| seen.split.is_some_and(|split| split.only() == Some(Color::Blue));
        let seen = self.seen.as_ref().filter(|_| !plan.routes.is_empty());
        seen.is_some_and(|seen| plan.routes.keys().all(|route| seen.get(route).is_some_and(blue)))
    }

    /// A route that this run has touched, and whose users were not found when it looked.
    pub(super) fn dark<'p>(&self, plan: &'p Plan, seen: &BTreeMap<String, Sighting>) -> Option<&'p String> {
        let found = |route: &String| seen.get(route).is_some_and(|seen| seen.split.is_some());
        plan.routes.keys().find(|route| self.touched(plan, route) && !found(route))
    }

    /// This run has begun to move users of a route.
    fn touched(&self, plan: &Plan, route: &str) -> bool {
        self.tried.steps().any(|at| plan.step(at).moves.as_ref().is_some_and(|change| change.route == route))
    }

    /// A write was sent whose end is not known: by this log, which is written before every call.
    pub fn writes_out(&self, plan: &Plan) -> bool {
        let moves = |at: StepRef| plan.step(at).moves.is_some();
        match &self.doing {
            _ if !self.doubts.is_empty() => true,
            Doing::Together(legs) => legs.each(self).any(|leg| leg.writes_out(plan)),
            Doing::Uncertain { .. } => moves(self.at()),
            _ => false,
        }
    }

    /// A write to a route may still land.
    pub fn in_doubt_at(&self, plan: &Plan, route: &str) -> bool {
        self.doubts.iter().any(|(at, _)| plan.step(*at).moves.as_ref().is_some_and(|change| change.route == route))
    }

    /// The move that is to be made again, where `found` is what a write of this run may have left late.
    pub fn landed_late(&self, plan: &Plan, route: &str, found: Split) -> Option<StepRef> {
        let of_route = |at: &StepRef| plan.step(*at).moves.as_ref().is_some_and(|change| change.route == route);
        let ours = |at: StepRef| plan.step(at).moves.as_ref().is_some_and(|change| change.after == found);
        let known = self.lane == Lane::Rollback || self.tried.steps().filter(of_route).any(ours);
        let newest = self.tried.steps().filter(of_route).rfind(|at| at.lane == self.lane && at.index < self.index);
        newest.filter(|_| known && self.righted < RIGHTED && self.in_doubt_at(plan, route))
    }

    /// Whether a step that is still to come moves users.
    pub fn moves_on(&self, plan: &Plan) -> bool {
        plan.lane(self.lane).iter().skip(self.index).any(|step| step.moves.is_some())
    }

    /// The world was looked at for this step, and could not be seen.
    pub fn looked_in_vain(&self, at: StepRef) -> bool {
        let vain = |doing: &Doing| matches!(doing, Doing::Uncertain { looks, .. } if *looks > 0);
        match &self.doing {
            Doing::Together(legs) => legs.at().any(|(step, doing)| step == at && vain(doing)),
            doing => self.at() == at && vain(doing),
        }
    }

    /// Whether everybody who has to has agreed to a step.
    pub fn may_begin(&self, plan: &Plan, at: StepRef) -> bool {
        match self.asks_by_hand(plan, at) {
            true => self.approved(plan, at) && self.overridden.is_some(),
            false => self.lane == Lane::Rollback && self.by_hand || self.approved(plan, at),
        }
    }

    /// The routes that go back together, if a fact about a step is one about theirs.
    pub(super) fn legs(&self, plan: &Plan, e: &Event) -> Option<Legs> {
        match (&self.doing, e) {
            (Doing::Together(legs), _) => Some(legs.clone()),
            // The first intent makes them legs.
            (Doing::Ready { .. }, Event::StepIntent { .. }) => Legs::of(plan, self),
            _ => None,
        }
    }

    /// The approvals of a step are complete, or it is on a way back that was agreed to beforehand.
    pub fn approved(&self, plan: &Plan, at: StepRef) -> bool {
        plan.step(at).approval.is_none() || self.complete(plan, at) || self.covering(plan, at).is_some()
    }

    fn complete(&self, plan: &Plan, at: StepRef) -> bool {
        let rule = plan.step(at).approval.as_ref();
        let approval = self.approvals.get(&at);
        rule.zip(approval).is_some_and(|(rule, approval)| approval.grants.len() >= rule.quorum as usize)
    }

    /// The approval of a step forward, begun by now, that agreed to this step back too.
    pub fn covering(&self, plan: &Plan, at: StepRef) -> Option<&Approval> {
        // Whoever agreed before has not seen what stands against it now.
        let back = at.lane == Lane::Rollback && !self.asks_by_hand(plan, at);
        let covers = |of: &StepRef| {
            let rule = plan.step(*of).approval.as_ref();
            of.lane == Lane::Forward && rule.is_some_and(|rule| rule.covers_rollback) && self.complete(plan, *of)
        };
        self.approvals.iter().find(|(of, approval)| back && approval.used && covers(of)).map(|(_, approval)| approval)
    }
}
