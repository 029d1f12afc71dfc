//! A small cutover with an approval, its keys, a clock that is set by hand, and the log they make.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Cursor;
use std::rc::Rc;
use std::time::Duration;

use bgctl::audit::{Report, Verdict, verify};
use bgctl::clock::Clock;
use bgctl::journal::{Append, Journal, MemoryStore, Opening, Record, SealState, Seals, Who};
use bgctl::people::request::{Binding, Until, build};
use bgctl::plan::{
    ApprovalRule, AtExpiry, Color, Lane, Move, OnFailure, Plan, PlannedRoute, PlannedStep, Policy, Purpose, Resume,
    Split, Stack, StepRef,
};
use bgctl::run::Evidence;
use bgctl::sign::Trust;
use bgctl::sign::session::SessionKey;
use bgctl::sign::{AllowedSigners, Signer, trust};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

#[path = "telling.rs"]
mod telling;
pub use telling::Telling;

pub const RUN: &str = "20261121-0302-kfx";
pub const OWNER: &str = "engineer@example.com";
pub const APPROVER: &str = "rm-one@example.com";

/// A clock that stands until it is moved; each reading takes a millisecond.
pub struct HandClock {
    wall: Cell<Timestamp>,
    elapsed: Cell<Duration>,
}

impl HandClock {
    pub fn new() -> Rc<Self> {
        let wall = Cell::new("2026-11-21T03:02:41.000000Z".parse().unwrap());
        Rc::new(HandClock { wall, elapsed: Cell::new(Duration::from_secs(1000)) })
    }

    pub fn pass(&self, time: Duration) {
        self.set(SignedDuration::try_from(time).unwrap());
        self.elapsed.set(self.elapsed.get() + time);
    }

    /// Half an hour from now, in seconds since 1970.
    pub fn expires(&self) -> i64 {
        self.wall.get().as_second() + 1800
    }

    /// Moves the wall clock alone, as somebody who sets it does.
    pub fn set(&self, by: SignedDuration) {
        self.wall.set(self.wall.get() + by);
    }
}

#[async_trait::async_trait(?Send)]
impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        self.wall.get()
    }

    fn elapsed(&self) -> Duration {
        self.elapsed.get()
    }

    async fn sleep(&self, time: Duration) {
        self.pass(time);
    }
}

pub fn owner() -> SessionKey {
    SessionKey::from_seed([1; 32])
}

pub fn approver() -> SessionKey {
    SessionKey::from_seed([2; 32])
}

pub fn who() -> Who {
    Who { owner: OWNER.into(), mode: "interactive".into(), claims: json!({ "user": "engineer", "host": "laptop" }) }
}

pub fn signers() -> AllowedSigners {
    let text = trust::line(OWNER, &owner().public()) + &trust::line(APPROVER, &approver().public());
    AllowedSigners::parse(&text).unwrap()
}

pub fn plan() -> Plan {
    let step = |id: &str, before, after| PlannedStep {
        id: id.into(),
        kind: "shift".into(),
        line: format!("GREEN to {after}"),
        config: json!({}),
        resume: Resume::Observe,
        attempts: 1,
        timeout_s: 60,
        expected_s: 1,
        moves: Some(Move { route: "web".into(), before, after }),
        approval: None,
        on_failure: OnFailure::RollBack,
        place: "runbook.yaml:9".into(),
    };
    let mut first = step("shift-10", Split::ALL_BLUE, Split::of_green(100));
    first.approval = Some(ApprovalRule {
        role: "release-managers".into(),
        members: vec![APPROVER.into(), OWNER.into()],
        quorum: 1,
        own_run: false,
        within_s: 1800,
        at_expiry: AtExpiry::RollBack,
        evidence: Default::default(),
        covers_rollback: false,
        even_by_hand: false,
    });
    let route = PlannedRoute {
        router: "alb".into(),
        config: json!({}),
        line: "alb rule 10".into(),
        seen_at: None,
        before: Split::ALL_BLUE,
        min_healthy: 1,
        capacity: Default::default(),
        resources: Vec::new(),
    };
    Plan {
        bgctl_plan: 1,
        purpose: Purpose::Cutover,
        service: "slackbot".into(),
        environment: "production".into(),
        owners: vec![OWNER.parse().unwrap()],
        rollback_owner: OWNER.parse().unwrap(),
        runbook: "runbook.yaml".into(),
        runbook_sha256: "ab".repeat(32),
        blue: Stack {
            version: "v1.4.1".into(),
            url: "http://blue.test".into(),
            name: None,
            label: None,
            headers: Default::default(),
        },
        green: Stack {
            version: "v1.4.2".into(),
            url: "http://green.test".into(),
            name: None,
            label: None,
            headers: Default::default(),
        },
        version_at: None,
        routes: BTreeMap::from([("web".to_string(), route)]),
        gates: BTreeMap::new(),
        slack: None,
        compare: None,
        policy: Policy::default(),
        schema: None,
        forward: vec![first, step("shift-100", Split::of_green(100), Split::ALL_GREEN)],
        rollback: vec![step("back", Split::ALL_GREEN, Split::ALL_BLUE)],
        team: Default::default(),
        warnings: vec![],
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

pub fn at(index: usize) -> StepRef {
    StepRef { lane: Lane::Forward, index }
}

/// The text an approver of the first step signs.
pub fn request(plan: &Plan, expires: i64, requested_by: &str, trigger: Option<&str>) -> String {
    let (nonce, until) = ("5e".repeat(32), Until { expires, use_by: None });
    build(plan, at(0), &Binding { run: RUN, requested_by, trigger, nonce: &nonce, until, measured: &[] })
}

/// What is seen of a move that goes well: the call, what the provider reads back, and that the receiving side is well.
pub fn witnesses(change: &Move) -> Vec<Evidence> {
    let route = || change.route.clone();
    let call = Evidence::ProviderCalled {
        route: route(),
        action: "set".into(),
        attempt: 1,
        request_id: None,
        code: "200".into(),
        ms: 40,
    };
    let hosts = Color::BOTH.into_iter().filter(|color| change.after.weight(*color) > 0);
    let well =
        hosts.map(|color| Evidence::TrafficHealth { route: route(), stack: color.name().into(), healthy: 2, total: 2 });
    [call, Evidence::TrafficRead { route: route(), split: change.after, ms: 12 }].into_iter().chain(well).collect()
}

/// A run in the making.
pub struct Rig {
    pub clock: Rc<HandClock>,
    pub plan: Plan,
    pub store: MemoryStore,
    pub journal: Journal,
    /// Whose run it is by the newest statement.
    pub owner: String,
    /// Who started the job, as the claims say.
    pub trigger: Option<String>,
}

impl Rig {
    pub fn new() -> Self {
        Rig::of(RUN, &owner())
    }

    pub fn of(run: &str, owner: &dyn Signer) -> Self {
        Rig::with(run, owner, plan(), who())
    }

    /// A run of another plan, or opened by somebody else.
    pub fn with(run: &str, owner: &dyn Signer, plan: Plan, who: Who) -> Self {
        let (clock, store) = (HandClock::new(), MemoryStore::new());
        let mut bound = serde_json::Map::new();
        if !plan.team.is_empty() {
            bound.insert("policy_sha256".into(), json!(plan.team.policy_sha256));
        }
        let (asks, trigger) = (who.owner.clone(), who.claims["trigger"].as_str().map(String::from));
        let opening = Opening { run: run.into(), plan: &plan, who, bound };
        let journal = Journal::create(Box::new(store.clone()), opening, owner, clock.clone()).unwrap();
        Rig { clock, plan, store, journal, owner: asks, trigger }
    }
}

impl Telling for Rig {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn expires(&self) -> i64 {
        self.clock.expires()
    }

    fn asks(&self) -> (String, Option<String>) {
        (self.owner.clone(), self.trigger.clone())
    }

    fn append(&mut self, records: &[Record]) {
        self.journal.append(records).unwrap();
    }

    fn pass(&mut self) {
        self.clock.pass(Duration::from_millis(1500));
    }
}

impl Rig {
    pub fn close(self) -> Vec<u8> {
        self.close_by(&owner())
    }

    pub fn close_by(self, owner: &dyn Signer) -> Vec<u8> {
        self.clock.pass(Duration::from_secs(1));
        let closed = self.journal.close(SealState::Closed, Some(owner)).unwrap();
        assert_eq!(closed.state, SealState::Closed);
        self.store.bytes()
    }
}

/// A complete log.
pub fn complete() -> Vec<u8> {
    let mut rig = Rig::new();
    rig.walk();
    rig.close()
}

pub fn report(bytes: &[u8]) -> Report {
    report_by(bytes, signers())
}

/// With other people trusted.
pub fn report_by(bytes: &[u8], signers: AllowedSigners) -> Report {
    let trust = Trust { signers, shared: None };
    verify(&mut Cursor::new(bytes), &trust, Seals::All).unwrap()
}

pub fn verdict(bytes: &[u8]) -> Verdict {
    report(bytes).verdict
}

/// The record a broken log is broken at, and the words for it.
pub fn broken(bytes: &[u8]) -> (u64, String) {
    match verdict(bytes) {
        Verdict::Broken(fault) => (fault.record, fault.to_string()),
        other => panic!("not broken: {other:?}"),
    }
}

/// What of the rules was not kept.
pub fn breaches(bytes: &[u8]) -> Vec<String> {
    let report = report(bytes);
    assert_eq!(report.verdict, Verdict::Policy);
    report.breaches.into_iter().map(|b| b.what).collect()
}

pub fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect()
}

/// What an attacker without keys can do after a change: number and chain everything anew.
pub fn rechain(lines: &[Vec<u8>]) -> Vec<u8> {
    let (mut out, mut prev) = (Vec::new(), "0".repeat(64));
    for (seq, line) in lines.iter().enumerate() {
        let mut value: Value = serde_json::from_slice(line).unwrap();
        value["seq"] = json!(seq);
        value["prev"] = json!(prev);
        let text = serde_json::to_string(&value).unwrap() + "\n";
        prev = sha256(text.as_bytes());
        out.extend_from_slice(text.as_bytes());
    }
    out
}

/// The number of the first record of a type.
pub fn find(lines: &[Vec<u8>], kind: &str) -> usize {
    let mark = format!("\"type\":\"{kind}\"");
    lines.iter().position(|l| String::from_utf8_lossy(l).contains(&mark)).unwrap()
}
