//! Were the rules of the run kept? The facts of a log are replayed through the run machine, its approvals are counted once
//! more, and every record is held against the plan, the sequence and what was seen.
//!
//! What is found here is an honest record of something forbidden, which is another thing than a forged record.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::approval::{Approvals, Approved, Moment, Named};
use super::shape;
use super::witness::{Witness, Witnesses};
use crate::journal::scan::Head;
use crate::plan;
use crate::plan::{Plan, Purpose, StepRef};
use crate::run::{Doing, Event, Next, RunOutcome, State, decide, evolve};
use crate::sign::{AllowedSigners, PublicKey};

/// What stands in a record where something looked like a secret.
const MASKED: &str = "[secret]";

/// A rule that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    pub record: u64,
    pub what: String,
}

/// A sealed record, with what it says as it is spelled.
pub struct Said<'d> {
    pub seq: u64,
    pub time: Timestamp,
    pub kind: &'static str,
    pub data: &'d str,
}

impl Said<'_> {
    fn value(&self) -> Value {
        serde_json::from_str(self.data).expect("BUG: a checked line is JSON")
    }
}

/// The judgement so far.
pub struct Rules<'t> {
    approvals: Approvals<'t>,
    plan: Option<Plan>,
    plan_sha256: String,
    run: String,
    state: Option<State>,
    /// The owner key of the newest statement, as written, and the policy it names.
    statement: Option<(String, Option<String>)>,
    /// Who opened the run, until the plan says who may.
    opened: Option<String>,
    witnesses: Witnesses,
    /// Somebody went on with the run under another policy than its plan's.
    other_policy: bool,
    /// Room for the text of a fact.
    text: String,
    pub breaches: Vec<Breach>,
    pub steps_run: BTreeSet<(plan::Lane, usize)>,
    pub outcome: Option<RunOutcome>,
    pub events: u64,
}

impl<'t> Rules<'t> {
    pub fn new(trust: &'t AllowedSigners) -> Self {
        Rules {
            approvals: Approvals::new(trust),
            plan: None,
            plan_sha256: String::new(),
            run: String::new(),
            state: Some(State::default()),
            statement: None,
            opened: None,
            witnesses: Witnesses::default(),
            other_policy: false,
            text: String::new(),
            breaches: Vec::new(),
            steps_run: BTreeSet::new(),
            outcome: None,
            events: 0,
        }
    }

    pub fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    /// The state of the machine after everything read so far, unless a fact did not follow.
    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// The steps that had begun and have no end, by name.
    pub fn open(&self) -> Option<String> {
        let (plan, state) = (self.plan.as_ref()?, self.state.as_ref()?);
        let at: Vec<StepRef> = match &state.doing {
            Doing::Uncertain { .. } => vec![state.at()],
            Doing::Together(legs) => {
                let begun = legs.at().filter(|(_, doing)| matches!(doing, Doing::Uncertain { .. }));
                begun.map(|(at, _)| at).collect()
            }
            _ => Vec::new(),
        };
        let names: Vec<String> = at.into_iter().map(|at| format!("`{}`", plan.step(at).id)).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }

    /// The approvals that counted.
    pub fn approved(self) -> Vec<Approved> {
        self.approvals.approved
    }

    fn breach(&mut self, line: &Said<'_>, what: impl Into<String>) {
        self.breaches.push(Breach { record: line.seq, what: what.into() });
    }

    /// Takes in sealed evidence.
    pub fn saw(&mut self, record: u64, witness: &Witness<'_>) {
        let Some(plan) = &self.plan else { return };
        if let Some(what) = self.witnesses.saw(plan, witness) {
            self.breaches.push(Breach { record, what });
        }
    }

    /// Takes in a sealed record, written at `now`: seconds since 1970, by the time that cannot be set back. `whole`: it stands
    /// there as it was written.
    pub fn take(&mut self, line: &Said<'_>, now: i64, head: &Head, whole: bool) {
        match line.kind {
            "run.opened" | "run.resumed" => self.opened(line),
            "plan.loaded" => self.load(line, head),
            kind if is_event(kind) => match Fact::read(line, &mut self.text) {
                Ok(fact) => self.event(line, now, &fact, whole),
                Err(why) => {
                    self.breach(line, format!("a `{}` this version cannot read: {why}", line.kind));
                    self.state = None;
                }
            },
            _ => {}
        }
    }

    /// Whose run it is, and under which rules they signed for it.
    fn opened(&mut self, line: &Said<'_>) {
        let data = line.value();
        let text = data["statement"].as_str().unwrap_or_default();
        let said: Value = serde_json::from_str(text).unwrap_or_default();
        let word = |name: &str| said[name].as_str().map(String::from);
        let theirs = &mut self.approvals.theirs;
        let owner = word("owner").unwrap_or_default();
        theirs.runners.insert(owner.clone());
        let key = word("owner_key").unwrap_or_default();
        theirs.keys.extend(PublicKey::from_line(&key).ok().map(|key| key.fingerprint()));
        let started = data["claims"]["trigger"].as_str().map(String::from);
        theirs.starters.extend(started.clone());
        theirs.newest = (word("owner"), started);
        self.statement = Some((key, word("policy_sha256")));
        // The first statement comes before the plan.
        match self.plan.take() {
            None => self.opened = Some(owner),
            Some(plan) => {
                self.may_run(&plan, line, &owner, "resumed");
                self.signed_as_asked(&plan, line);
                self.plan = Some(plan);
            }
        }
    }

    /// Users are moved forward by an owner of the plan, whoever began it. Back they are moved by anybody.
    fn may_run(&mut self, plan: &Plan, line: &Said<'_>, who: &str, did: &str) {
        let owner = plan.owners.iter().chain([&plan.rollback_owner]).any(|owner| *owner == *who);
        if plan.purpose == Purpose::Cutover && !owner {
            self.breach(line, format!("`{who}` {did} the run and is none of the plan's owners"));
        }
    }

    /// The newest statement against what the plan's policy asks of it.
    fn signed_as_asked(&mut self, plan: &Plan, line: &Said<'_>) {
        let Some((key, policy)) = self.statement.clone() else { return };
        let team = &plan.team;
        if team.shared_key_refused && key.starts_with("hmac-sha256") {
            self.breach(line, "the run is sealed with a shared key, and its policy refuses those");
        } else if team.security_key_required && !key.starts_with("sk-") {
            self.breach(line, "the run is not signed with a security key, and its policy wants one");
        }
        self.other_policy = policy.unwrap_or_default() != team.policy_sha256;
    }

    fn load(&mut self, line: &Said<'_>, head: &Head) {
        let data = line.value();
        let (text, said) = (data["text"].as_str().unwrap_or_default(), data["sha256"].as_str());
        let sha256 = plan::sha256(text.as_bytes());
        if said != Some(&sha256) || sha256 != head.plan_sha256 {
            self.breach(line, "the plan is not the one the owner signed");
            return;
        }
        (self.plan_sha256, self.run) = (sha256, head.run.clone());
        match serde_json::from_str::<Plan>(text) {
            // A step is known by the digest of its text, so there is one text for it.
            Ok(plan) if !shape::is(&plan, text) || plan.bgctl_plan != 1 => {
                self.breach(line, "the plan is not written in the one way plans are written");
            }
            Ok(plan) => {
                if (&plan.service, &plan.environment) != (&head.service, &head.environment) {
                    self.breach(line, "the plan is for another service or environment than the owner signed");
                }
                let owner = self.opened.take().unwrap_or_default();
                self.may_run(&plan, line, &owner, "opened");
                self.signed_as_asked(&plan, line);
                self.plan = Some(plan);
            }
            Err(error) => self.breach(line, format!("the plan cannot be read by this version: {error}")),
        }
    }

    fn event(&mut self, line: &Said<'_>, now: i64, fact: &Fact, whole: bool) {
        let Some(plan) = self.plan.take() else { return };
        let event = &fact.event;
        self.names(&plan, line, fact, whole);
        if let Some(what) = self.witnesses.fact(&plan, event) {
            self.breach(line, what);
        }
        let (run, plan_sha256, time) = (&self.run, &self.plan_sha256, line.time);
        let by_hand = self.state.as_ref().is_some_and(|state| state.by_hand);
        let moment = Moment { of: Named { plan: &plan, run, plan_sha256 }, time, now, by_hand };
        for what in self.approvals.take(&moment, event) {
            self.breach(line, what);
        }
        if let Some(state) = self.state.take() {
            match evolve(&plan, &state, event) {
                Ok(next) => {
                    self.state = Some(next);
                    self.events += 1;
                }
                Err(illegal) => self.breach(line, illegal.to_string()),
            }
        }
        if let Event::Ended { outcome, .. } = event {
            self.outcome = Some(*outcome);
        }
        self.plan = Some(plan);
    }

    /// Whether the step a fact names is the plan's, and one that begins is as planned, the attempt that is due, and under the
    /// plan's policy.
    fn names(&mut self, plan: &Plan, line: &Said<'_>, Fact { event, id }: &Fact, whole: bool) {
        let (Some(at), Some(id)) = (event.step(), id) else { return };
        let Some(step) = plan.lane(at.lane).get(at.index) else {
            return self.breach(line, format!("`{id}` is no step of the plan"));
        };
        let other = || format!("`{id}` is not the step the plan has there");
        let Event::StepIntent { attempt, line: said, step_sha256, .. } = event else {
            if step.id != *id {
                self.breach(line, other());
            }
            return;
        };
        self.steps_run.insert((at.lane, at.index));
        if step.id != *id || step.sha256() != *step_sha256 {
            self.breach(line, other());
        }
        if whole && !is_masked(said, &step.line) {
            self.breach(line, format!("`{id}` says of itself what the plan does not say: {said}"));
        }
        if let Some(due) = self.due(plan, at).filter(|due| due != attempt) {
            self.breach(line, format!("`{id}` is begun as attempt {attempt}, and attempt {due} was due"));
        }
        if self.other_policy && at.lane == plan::Lane::Forward {
            self.breach(line, format!("`{id}` was begun under another policy than the plan's"));
        }
    }

    /// The attempt of a step that the machine would begin now; nothing where it would do something else.
    fn due(&self, plan: &Plan, at: StepRef) -> Option<u32> {
        let of = |next: Next| match next {
            Next::Attempt(step, attempt) if step == at => Some(attempt),
            _ => None,
        };
        match decide(plan, self.state.as_ref()?) {
            Next::Together(legs) => legs.into_iter().find_map(of),
            next => of(next),
        }
    }
}

/// A fact, and the step it names.
struct Fact {
    event: Event,
    id: Option<String>,
}

impl Fact {
    /// A record as the fact it is, if its data are written as those of its type are. `text` is room that is used again.
    fn read(record: &Said<'_>, text: &mut String) -> Result<Fact, String> {
        text.clear();
        text.extend(["{\"type\":\"", record.kind, "\",\"data\":", record.data, "}"]);
        // Most facts are written in the one way they would be written again: then nothing else has to be compared.
        if let Some(event) = serde_json::from_str::<Event>(text).ok().filter(|event| shape::is(event, text)) {
            let id = event.id().map(String::from);
            return Ok(Fact { event, id });
        }
        let data = record.value();
        let fact = serde_json::json!({ "type": record.kind, "data": data });
        let event: Event = serde_json::from_value(fact).map_err(|error| error.to_string())?;
        let again = serde_json::to_value(&event).map_err(|error| error.to_string())?;
        let fits = shape::is_in(&again["data"], &data);
        let id = data["id"].as_str().map(String::from);
        if fits {
            Ok(Fact { event, id })
        } else {
            Err("a list stands for an object in it, or an object for a word".into())
        }
    }
}

/// Whether a text is that of the plan, or what was left of it where something looked like a secret.
fn is_masked(said: &str, planned: &str) -> bool {
    let (Some((before, _)), Some((_, after))) = (said.split_once(MASKED), said.rsplit_once(MASKED)) else {
        return said == planned;
    };
    said == planned || planned.starts_with(before) && planned.ends_with(after)
}

/// Whether a type of record is one the run machine reads.
fn is_event(kind: &str) -> bool {
    kind.starts_with("step.")
        || kind.starts_with("approval.")
        || kind.starts_with("rollback.")
        || matches!(
            kind,
            "run.refused"
                | "run.interrupted"
                | "run.continued"
                | "run.held"
                | "run.paged"
                | "run.paused"
                | "run.unpaused"
                | "run.continues"
                | "run.ended"
                | "run.unconfirmed"
                | "write.landed"
                | "wait.breached"
                | "schema.seen"
                | "override.used"
                | "users.seen"
        )
}
