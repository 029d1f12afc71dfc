//! Runs told to a forged log: every key, time and byte is known beforehand.

use std::rc::Rc;

use bgctl::journal::Record;
use bgctl::plan::{Lane, Plan, Split, StepRef};
use bgctl::run::{Event, Outcome, RunOutcome, Sighting};
use bgctl::sign::session::SessionKey;
use bgctl::sign::{Signer, namespace};
use jiff::SignedDuration;
use serde_json::json;

use crate::forge::Forge;
use crate::rig::*;

/// The nth step of the way back.
pub fn back(index: usize) -> StepRef {
    StepRef { lane: Lane::Rollback, index }
}

/// A log in the making, and what it tells of.
pub struct Scribe {
    pub forge: Forge,
    pub plan: Plan,
    pub owner: String,
    pub trigger: Option<String>,
}

impl Scribe {
    pub fn new() -> Self {
        Scribe::of(plan())
    }

    pub fn of(plan: Plan) -> Self {
        Scribe::with(plan, Rc::new(owner()), |_| {})
    }

    /// Opened by this key, in a log that begins as it is told to.
    pub fn with(plan: Plan, owner: Rc<dyn Signer>, begin: impl FnOnce(&mut Forge)) -> Self {
        let mut forge = Forge::new();
        (forge.plan, forge.owner) = (plan.canonical(), owner);
        if !plan.team.policy_sha256.is_empty() {
            forge.says.push(("policy_sha256", plan.team.policy_sha256.clone()));
        }
        begin(&mut forge);
        forge.open();
        let said = |name: &str| forge.says.iter().find(|(said, _)| *said == name).map(|(_, text)| text.clone());
        let owner = said("owner").unwrap_or(OWNER.into());
        let trigger = forge.claims["trigger"].as_str().map(String::from);
        Scribe { forge, plan, owner, trigger }
    }

    /// Another process goes on, for this person and with this key.
    pub fn resumes(&mut self, who: &str, key: Rc<dyn Signer>) {
        self.sealed();
        self.forge.pass(SignedDuration::from_secs(60)).mono = 0;
        self.forge.not_after = self.forge.now + SignedDuration::from_hours(12);
        (self.forge.session, self.forge.owner) = (SessionKey::from_seed([13; 32]), key);
        self.forge.says.retain(|(name, _)| *name != "owner");
        self.forge.says.push(("owner", who.into()));
        self.owner = who.into();
        self.forge.statement("run.resumed").seal();
    }

    /// The log so far, under a seal. Groups are long here, so that the vectors are small.
    pub fn sealed(&mut self) -> Vec<u8> {
        let log = self.forge.bytes();
        let last = lines(&log).pop().unwrap_or_default();
        if String::from_utf8_lossy(&last).contains("\"type\":\"seal\"") { log } else { self.forge.seal().bytes() }
    }

    /// The last seal, in this state, by the key that signs such ones.
    pub fn left(&mut self, state: &str) -> Vec<u8> {
        let note = self.forge.note(state);
        let by_owner = state == "closed" || state == "handover";
        let space = if by_owner { namespace::CLOSE } else { namespace::SEAL };
        let sig = match by_owner {
            true => self.forge.owner.sign(space, note.as_bytes()),
            false => self.forge.session.sign(space, note.as_bytes()),
        };
        let sig = sig.unwrap();
        let member = if sig.starts_with("hmac-sha256:") { "mac" } else { "sig" };
        self.forge.line("seal", &json!({ "note": note, "ns": space, member: sig })).bytes()
    }

    /// A step of either lane is begun.
    pub fn begin(&mut self, at: StepRef, attempt: u32, uses: &[String]) {
        let step = self.plan.step(at).clone();
        let (id, line, step_sha256, approvals) = (step.id.clone(), step.line.clone(), step.sha256(), uses.to_vec());
        self.write(&Event::StepIntent { step: at, id, attempt, line, step_sha256, approvals });
    }

    /// An attempt of it ends so.
    pub fn ends(&mut self, at: StepRef, outcome: Outcome) {
        let id = self.plan.step(at).id.clone();
        self.write(&Event::StepOutcome { step: at, id, outcome });
    }

    /// A move back that goes well.
    pub fn goes_back(&mut self, at: StepRef, uses: &[String]) {
        self.begin(at, 1, uses);
        self.arrived(at);
        self.ends(at, Outcome::done("all on blue"));
    }

    pub fn ended(&mut self, outcome: RunOutcome) {
        self.write(&Event::Ended { outcome, line: "it is over".into() });
    }

    /// Where every route was read at the same moment.
    pub fn users(&mut self, split: Split) {
        let seen = |route: &String| (route.clone(), Sighting { split: Some(split), line: split.to_string() });
        let routes = self.plan.routes.keys().map(seen).collect();
        self.write(&Event::UsersSeen { routes, settled: true });
    }

    /// The first step is approved as it has to be, and done.
    pub fn first(&mut self) -> String {
        self.arm();
        let (text, sha256) = self.ask();
        self.grant(&sha256, APPROVER, Some(approver().sign(namespace::APPROVE, text.as_bytes()).unwrap()));
        self.step(0, std::slice::from_ref(&sha256));
        self.sealed();
        sha256
    }

    /// The same without the approval of anybody.
    pub fn short() -> Vec<u8> {
        let mut plan = plan();
        plan.forward[0].approval = None;
        let mut run = Scribe::of(plan);
        run.arm();
        run.step(0, &[]);
        run.step(1, &[]);
        run.end();
        run.sealed();
        run.left("closed")
    }

    /// The shortest run there is, closed.
    pub fn refused(mut self) -> Vec<u8> {
        self.write(&Event::Refused { why: "frozen".into() });
        self.left("closed")
    }

    pub fn walked(mut self) -> Vec<u8> {
        self.walk();
        self.sealed();
        self.left("closed")
    }
}

impl Telling for Scribe {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn expires(&self) -> i64 {
        self.forge.now.as_second() + 1800
    }

    fn asks(&self) -> (String, Option<String>) {
        (self.owner.clone(), self.trigger.clone())
    }

    fn append(&mut self, records: &[Record]) {
        for record in records {
            self.forge.line(&record.kind, &record.data);
        }
    }

    fn pass(&mut self) {
        self.forge.pass(SignedDuration::from_millis(1500));
    }

    /// The forger writes what it is given, and a fraction has no place in a log.
    fn arm(&mut self) {
        self.write(&Event::Armed { approvals_ahead: false, automatic_used: 0, checks: vec![] });
    }
}
