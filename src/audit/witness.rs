//! What was seen of the world beside the facts: whether the evidence of a log is about things the plan has, and whether a
//! fact says what was seen for it. It judges the records against each other, never against the world.
//!
//! Evidence changes nothing of what a run does, so the run machine never reads it: a log whose facts follow on each other can
//! still say of a gate that it failed, and of its bake that it passed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::document::{object, word};

use crate::plan::{Color, Lane, Move, Plan, PlannedStep, Split, StepRef};
use crate::run::{Event, Found, Outcome, Verdict, guard};

/// What the weights of gates come to that fail a bake together.
const WHOLE: u64 = 100;

/// One record of evidence, as far as it is judged.
pub enum Witness<'d> {
    Gate(Gate<'d>),
    Check(Check<'d>),
    Drain(Drain<'d>),
    Output(Named<'d>),
    Call(OfRoute<'d>),
    Read(Read<'d>),
    Health(Health<'d>),
    Seen(Seen<'d>),
    /// It is not in this copy.
    Withheld,
    /// Not as this version writes it.
    Unread(String),
}

#[derive(Deserialize)]
pub struct Gate<'d> {
    #[serde(borrow)]
    step: Cow<'d, str>,
    #[serde(borrow)]
    gate: Cow<'d, str>,
    #[serde(deserialize_with = "word")]
    verdict: Verdict,
}

#[derive(Deserialize)]
pub struct Check<'d> {
    #[serde(borrow)]
    step: Cow<'d, str>,
    #[serde(borrow)]
    check: Cow<'d, str>,
    #[serde(deserialize_with = "word")]
    verdict: Verdict,
}

#[derive(Deserialize)]
pub struct Drain<'d> {
    #[serde(borrow)]
    step: Cow<'d, str>,
    #[serde(deserialize_with = "word")]
    stack: Color,
    in_flight: Option<String>,
}

#[derive(Deserialize)]
pub struct Named<'d> {
    #[serde(borrow)]
    step: Cow<'d, str>,
}

#[derive(Deserialize)]
pub struct OfRoute<'d> {
    #[serde(borrow)]
    route: Cow<'d, str>,
}

#[derive(Deserialize)]
pub struct Read<'d> {
    #[serde(borrow)]
    route: Cow<'d, str>,
    #[serde(deserialize_with = "object")]
    split: Split,
}

#[derive(Deserialize)]
pub struct Health<'d> {
    #[serde(borrow)]
    route: Cow<'d, str>,
    #[serde(deserialize_with = "word")]
    stack: Color,
    healthy: u32,
}

#[derive(Deserialize)]
pub struct Seen<'d> {
    #[serde(borrow)]
    route: Cow<'d, str>,
    agrees: bool,
}

impl<'d> Witness<'d> {
    /// Of a record's type and data; nothing for a type that is not judged as evidence.
    pub fn of(kind: &str, data: &'d str) -> Option<Self> {
        fn read<'d, T: Deserialize<'d>>(data: &'d str, of: fn(T) -> Witness<'d>) -> Witness<'d> {
            serde_json::from_str(data).map_or_else(|error| Witness::Unread(error.to_string()), of)
        }
        Some(match kind {
            "gate.evaluated" => read(data, Witness::Gate),
            "check.done" => read(data, Witness::Check),
            "drain.measured" => read(data, Witness::Drain),
            "command.output" => read(data, Witness::Output),
            "provider.called" => read(data, Witness::Call),
            "traffic.read" => read(data, Witness::Read),
            "traffic.health" => read(data, Witness::Health),
            "traffic.seen" => read(data, Witness::Seen),
            _ => return None,
        })
    }
}

/// What was seen so far, of each step and each route since its newest attempt began.
#[derive(Default)]
pub struct Witnesses {
    steps: BTreeMap<String, OfStep>,
    places: BTreeMap<String, Place>,
    /// Where the users of each route were read last, whenever that was.
    users: BTreeMap<String, Split>,
    /// The log says where users were found before it says how it ended: then that is the run machine's to judge.
    looks: bool,
    /// A person sends users back whatever blue's health is.
    ill_blue: bool,
    /// Some of it is not in this copy, so nothing is said of what is not there.
    withheld: bool,
}

#[derive(Default)]
struct OfStep {
    gates: BTreeMap<String, Verdict>,
    checks: u32,
    /// The first check that did not pass.
    bad: Option<String>,
    /// How much was in flight when that was measured last; nothing inside: it is not known.
    in_flight: Option<Option<String>>,
}

#[derive(Default)]
struct Place {
    called: bool,
    read: Option<Split>,
    healthy: BTreeMap<Color, u32>,
    agrees: Option<bool>,
}

impl Witnesses {
    /// Takes in evidence; says what of it is about nothing in the plan.
    pub fn saw(&mut self, plan: &Plan, witness: &Witness<'_>) -> Option<String> {
        let alien = match witness {
            Witness::Gate(Gate { step, gate, .. }) => no_step(plan, step).or_else(|| {
                let missing = !plan.gates.contains_key(gate.as_ref());
                missing.then(|| format!("it is about gate `{gate}`, which the plan does not have"))
            }),
            Witness::Check(Check { step, .. }) | Witness::Drain(Drain { step, .. }) => no_step(plan, step),
            Witness::Output(Named { step }) => no_step(plan, step),
            Witness::Call(OfRoute { route })
            | Witness::Read(Read { route, .. })
            | Witness::Health(Health { route, .. })
            | Witness::Seen(Seen { route, .. }) => no_route(plan, route),
            Witness::Unread(why) => Some(format!("evidence this version cannot read: {why}")),
            Witness::Withheld => None,
        };
        if alien.is_some() {
            return alien;
        }
        match witness {
            Witness::Gate(Gate { step, gate, verdict }) => {
                self.step(step).gates.insert(gate.to_string(), *verdict);
            }
            Witness::Check(Check { step, check, verdict }) => {
                let of = self.step(step);
                of.checks += 1;
                if *verdict != Verdict::Pass {
                    of.bad.get_or_insert_with(|| check.to_string());
                }
            }
            Witness::Drain(Drain { step, stack, in_flight }) => {
                let other = find(plan, step).filter(|step| step.config["stack"] != stack.name());
                self.step(step).in_flight = Some(in_flight.clone());
                return other.map(|of| format!("it measures {stack}, and `{}` is of the other stack", of.id));
            }
            Witness::Call(OfRoute { route }) => self.place(route).called = true,
            Witness::Read(Read { route, split }) => {
                self.place(route).read = Some(*split);
                match self.users.get_mut(route.as_ref()) {
                    Some(was) => *was = *split,
                    None => drop(self.users.insert(route.to_string(), *split)),
                }
            }
            Witness::Health(Health { route, stack, healthy }) => {
                self.place(route).healthy.insert(*stack, *healthy);
            }
            Witness::Seen(Seen { route, agrees }) => self.place(route).agrees = Some(*agrees),
            Witness::Withheld => self.withheld = true,
            Witness::Output(_) | Witness::Unread(_) => {}
        }
        None
    }

    fn step(&mut self, id: &str) -> &mut OfStep {
        entry(&mut self.steps, id)
    }

    fn place(&mut self, route: &str) -> &mut Place {
        entry(&mut self.places, route)
    }

    /// Takes in a fact; says how it contradicts what was seen for it.
    pub fn fact(&mut self, plan: &Plan, event: &Event) -> Option<String> {
        match event {
            Event::StepIntent { step, .. } => {
                let step = plan.lane(step.lane).get(step.index)?;
                self.steps.remove(&step.id);
                if let Some(change) = &step.moves {
                    self.places.remove(&change.route);
                }
                None
            }
            Event::OverrideUsed { guard: name, .. } => {
                self.ill_blue |= name == guard::BLUE_HEALTH;
                None
            }
            Event::UsersSeen { routes, .. } => {
                self.looks = true;
                routes.keys().find_map(|route| no_route(plan, route))
            }
            _ if self.withheld => None,
            Event::StepOutcome { step, outcome: Outcome::Done { facts, .. }, .. } => {
                let planned = plan.lane(step.lane).get(step.index)?;
                let against = match &planned.moves {
                    Some(change) => self.moved(plan, *step, change, Some(facts)),
                    None => self.passed(plan, planned),
                };
                against.map(|why| format!("`{}` is said to be done, and {why}", planned.id))
            }
            Event::StepReconciled { step, found, .. } => {
                let planned = plan.lane(step.lane).get(step.index)?;
                let against = self.found(plan, *step, planned.moves.as_ref()?, *found);
                against.map(|why| format!("`{}` was looked for, and {why}", planned.id))
            }
            Event::Ended { outcome, .. } if !self.looks => self.ended(plan, outcome.name()),
            _ => None,
        }
    }

    /// A move that is done was sent, read back, and seen.
    fn moved(&self, plan: &Plan, at: StepRef, change: &Move, facts: Option<&Value>) -> Option<String> {
        let back = at.lane == Lane::Rollback;
        let (route, after) = (&change.route, change.after);
        let (planned, nothing) = (plan.routes.get(route)?, Place::default());
        let place = self.places.get(route).unwrap_or(&nothing);
        let said = |name: &str| -> Option<Split> { facts.and_then(|facts| object(&facts[name]).ok()) };
        // More users are on blue already than at this stop of a ramp: nobody is taken from there.
        let beyond = |split: Split| back && split != after && split.share(Color::Blue) > after.share(Color::Blue);
        if let Some(stays) = said("after").or(place.read.filter(|_| facts.is_none())).filter(|split| beyond(*split)) {
            let kept = facts.is_none() || said("before") == Some(stays);
            return (!kept || place.read.is_some_and(|read| read != stays))
                .then(|| format!("`{route}` was not read at {stays}"));
        }
        if let Some(split) = said("after").filter(|split| *split != after) {
            return Some(format!("users of `{route}` are at {split}, where the plan has {after}"));
        }
        match place.read {
            None => return Some(format!("the split of `{route}` was never read back")),
            Some(read) if read != after => return Some(format!("`{route}` was read at {read}, not at {after}")),
            Some(_) => {}
        }
        if facts.is_some() && !place.called && said("before") != Some(after) {
            return Some(format!("no call was sent to the provider of `{route}`"));
        }
        if back && self.ill_blue {
            return None;
        }
        for stack in Color::BOTH.into_iter().filter(|c| after.weight(*c) > 0 && (!back || *c == Color::Blue)) {
            match place.healthy.get(&stack) {
                None => return Some(format!("nobody looked whether {stack} is well on `{route}`")),
                Some(healthy) if *healthy < planned.min_healthy => {
                    let least = planned.min_healthy;
                    return Some(format!("{stack} had {healthy} healthy targets on `{route}`, of {least} it needs"));
                }
                Some(_) => {}
            }
        }
        match (&planned.seen_at, place.agrees) {
            (None, _) | (Some(_), Some(true)) => None,
            (Some(_), None) => Some(format!("no response of `{route}` was looked at")),
            (Some(_), Some(false)) => Some(format!("the responses of `{route}` did not agree")),
        }
    }

    /// What a look for a move found is what it read.
    fn found(&self, plan: &Plan, at: StepRef, change: &Move, found: Found) -> Option<String> {
        let read = self.places.get(&change.route).and_then(|place| place.read);
        let word = match found {
            Found::InPlace => return self.moved(plan, at, change, None),
            Found::CannotSee => return None,
            Found::NotInPlace => "its split is not there",
            Found::Other => "its split is another",
        };
        match read {
            None => Some(format!("{word}, and `{}` was not read", change.route)),
            Some(read) if read == change.after => Some(format!("{word}, and `{}` was read at {read}", change.route)),
            Some(_) => None,
        }
    }

    /// What passed or was measured fits its end.
    fn passed(&self, plan: &Plan, step: &PlannedStep) -> Option<String> {
        let nothing = OfStep::default();
        let seen = self.steps.get(&step.id).unwrap_or(&nothing);
        if let Some(check) = &seen.bad {
            return Some(format!("its check `{check}` did not pass"));
        }
        match step.kind.as_str() {
            "smoke" | "warm" if seen.checks == 0 => Some("none of its checks is in the log".into()),
            "bake" => {
                let gates = step.config["gates"].as_array().into_iter().flatten().filter_map(Value::as_str);
                let open: Vec<&str> = gates.filter(|gate| seen.gates.get(*gate) != Some(&Verdict::Pass)).collect();
                let weighs = |gate: &&str| plan.gates.get(*gate).and_then(|g| g["weight"].as_u64()).unwrap_or(WHOLE);
                let weight: u64 = open.iter().map(weighs).fold(0, u64::saturating_add);
                (weight >= WHOLE).then(|| format!("its gates `{}` had not passed", open.join("`, `")))
            }
            "drain" if step.config["at_timeout"] != "continue" => match &seen.in_flight {
                None => Some("what was in flight was never measured".into()),
                Some(None) if step.config["longest_job"].is_null() => Some("what was in flight was not known".into()),
                Some(Some(left)) if left != "0" => Some(format!("{left} were still in flight")),
                Some(_) => None,
            },
            _ => None,
        }
    }

    /// The end of a log of before, which does not say where users were found: by what was read of each route last.
    fn ended(&self, plan: &Plan, outcome: &str) -> Option<String> {
        let elsewhere = |(route, read): (&String, &Split)| {
            let before = plan.routes.get(route)?.before;
            let fits = match outcome {
                "completed" => left(plan, route).contains(read),
                "rolled-back" => read.only() == Some(Color::Blue),
                "stopped" | "no-changes" => *read == before || plan.purpose != crate::plan::Purpose::Cutover,
                _ => true,
            };
            (!fits).then(|| format!("it ends as {outcome}, and `{route}` was read at {read} last"))
        };
        self.users.iter().find_map(elsewhere)
    }
}

/// The splits a route may have once every step forward is done: what the last move left, or one whose failure is passed over.
fn left(plan: &Plan, route: &str) -> Vec<Split> {
    let mut left = vec![plan.routes[route].before];
    for step in &plan.forward {
        let Some(change) = step.moves.as_ref().filter(|change| change.route == route) else { continue };
        if step.on_failure != crate::plan::OnFailure::Continue {
            left.clear();
        }
        left.push(change.after);
    }
    left
}

/// What is kept under a name; most of the time that is there already, and the name is not copied.
fn entry<'m, T: Default>(map: &'m mut BTreeMap<String, T>, name: &str) -> &'m mut T {
    if !map.contains_key(name) {
        map.insert(name.to_string(), T::default());
    }
    map.get_mut(name).unwrap_or_else(|| panic!("BUG: just inserted"))
}

fn find<'p>(plan: &'p Plan, id: &str) -> Option<&'p PlannedStep> {
    plan.forward.iter().chain(&plan.rollback).find(|step| step.id == id)
}

fn no_step(plan: &Plan, id: &str) -> Option<String> {
    find(plan, id).is_none().then(|| format!("it is about step `{id}`, which the plan does not have"))
}

fn no_route(plan: &Plan, route: &str) -> Option<String> {
    let missing = !plan.routes.contains_key(route);
    missing.then(|| format!("it is about route `{route}`, which the plan does not have"))
}
