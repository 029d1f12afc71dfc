//! What will be done, fully resolved: data only. No choice that changes what happens is left for the run.
//!
//! A plan is complete in itself: a run can be resumed or rolled back from it with the runbook file gone. Secrets stand in
//! it as references (`${env:NAME}`), never as values. It knows neither a vendor nor a file format.

mod capacity;
mod details;
mod principal;
mod schema;
mod split;
mod stack;
mod team;

pub use capacity::{Capacity, Counted, Counter};
pub use principal::Principal;
pub use schema::{Finding, PlannedCheck, PlannedMigration, PlannedSchema};
pub use split::{Color, Split};
pub use stack::{Stack, VersionAt};
pub use team::{EvidenceLevel, Person, PersonKind, Team};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A named place where traffic is split, with what was read there when the plan was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedRoute {
    /// The driver: a row of `routers::KINDS`.
    pub router: String,
    /// The driver's own settings, as checked at compile time.
    pub config: Value,
    /// One line a person recognises: `alb rule app/bot/…`.
    pub line: String,
    /// Where responses can be looked at from outside, if anywhere.
    pub seen_at: Option<SeenAt>,
    /// The split the plan starts from. The run is refused when it is another by then.
    pub before: Split,
    /// The fewest healthy targets a side must have before users may be sent to it.
    pub min_healthy: u32,
    /// What a side has to be able to carry beside that.
    #[serde(default, skip_serializing_if = "Capacity::is_unsaid")]
    pub capacity: Capacity,
    /// What a move of it changes, by the router's own names. Empty in plans of earlier versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
}

impl PlannedRoute {
    /// What this place is known by, whatever people call it: its leases and the policy remembered for it are kept under these
    /// names. Earlier versions had its line alone.
    pub fn known_by(&self) -> Vec<&str> {
        match self.resources.as_slice() {
            [] => vec![&self.line],
            names => names.iter().map(String::as_str).collect(),
        }
    }
}

/// The third witness of a shift: how to tell from a real response which stack gave it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeenAt {
    pub url: String,
    /// The response header that carries the version.
    pub header: String,
    /// How many fresh connections are asked.
    pub samples: u32,
    /// Allowed difference between wanted and seen share, in per mille.
    pub tolerance: u32,
    /// What is sent along. Secrets are references.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// Which of the two step lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    Forward,
    Rollback,
}

/// What may be done with a step whose end is not known (a crash, a lost reply).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resume {
    /// It only reads or waits: do it again.
    Repeat,
    /// It sets a wanted state: look whether that is in place.
    Observe,
    /// It can neither be looked at nor repeated (a message, a script): a person says.
    AskHuman,
}

/// A step of a lane: the facts the run machine needs, and the settings the step is built from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedStep {
    pub id: String,
    /// A row of `steps::KINDS`.
    pub kind: String,
    /// What it does, in one line, the same in plan, prompt and record.
    pub line: String,
    /// The step's own settings, as checked at compile time.
    pub config: Value,
    pub resume: Resume,
    /// How often it may be tried in all (1 or more).
    pub attempts: u32,
    /// The longest one attempt may take.
    pub timeout_s: u64,
    /// About how long it takes when nothing is wrong.
    pub expected_s: u64,
    /// The change of split, for a step that moves users.
    pub moves: Option<Move>,
    pub approval: Option<ApprovalRule>,
    pub on_failure: OnFailure,
    /// Where it stands in the runbook, `file:line`.
    pub place: String,
}

/// The change of split a step makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Move {
    pub route: String,
    pub before: Split,
    pub after: Split,
}

/// Who has to agree before a step starts, and what happens when nobody does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApprovalRule {
    pub role: String,
    /// Those who hold the role.
    pub members: Vec<String>,
    pub quorum: u32,
    /// Whether whoever runs the cutover may approve it.
    pub own_run: bool,
    pub within_s: u64,
    pub at_expiry: AtExpiry,
    /// The weakest proof that counts.
    #[serde(default, skip_serializing_if = "EvidenceLevel::is_least")]
    pub evidence: EvidenceLevel,
    /// Whoever approves this step approves the way back from it too, so that a rollback by rule waits for nobody.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub covers_rollback: bool,
    /// It holds also for a person who goes back by hand: the schema stands against it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub even_by_hand: bool,
}

/// What an unanswered approval means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AtExpiry {
    RollBack,
    Hold,
    Halt,
}

/// What a failed step means once users have moved. Before that the run just stops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    #[default]
    RollBack,
    Halt,
    Continue,
}

/// Rules of the run as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// How many automatic rollbacks this service may have in `within_s`; 0 forbids them.
    pub automatic_at_most: u32,
    pub within_s: u64,
    /// Whether blue can live with everything green does to the data. False turns automatic rollback into a page.
    pub schema_safe: bool,
    /// Why not, when it cannot.
    pub schema_reason: Option<String>,
    /// Who is called when a person must act.
    pub page: Vec<Value>,
    /// Who is told how the run has come to rest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<Value>,
    /// How long a run waits, with users split, for the end of what forbids going forward.
    #[serde(default = "half_an_hour", skip_serializing_if = "is_half_an_hour")]
    pub pause_at_most_s: u64,
    /// How long a rollback is tried again while the provider is throttled, unreachable or does not know us.
    #[serde(default = "ten_minutes", skip_serializing_if = "are_ten_minutes")]
    pub rollback_within_s: u64,
    /// How long a page may wait for an acknowledgement before the next channel is called; it need not, when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledge_s: Option<u64>,
    /// The routes go back one after the other, in the order of the rollback lane, and not all at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rollback_in_order: bool,
}

fn half_an_hour() -> u64 {
    1800
}

fn is_half_an_hour(seconds: &u64) -> bool {
    *seconds == half_an_hour()
}

fn ten_minutes() -> u64 {
    600
}

fn are_ten_minutes(seconds: &u64) -> bool {
    *seconds == ten_minutes()
}

/// What holds where a runbook says nothing.
impl Default for Policy {
    fn default() -> Self {
        Policy {
            automatic_at_most: 2,
            within_s: 86_400,
            schema_safe: true,
            schema_reason: None,
            page: Vec::new(),
            notify: Vec::new(),
            pause_at_most_s: half_an_hour(),
            rollback_within_s: ten_minutes(),
            acknowledge_s: None,
            rollback_in_order: false,
        }
    }
}

/// What a run is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    Cutover,
    /// Going back after the named run has ended: only the rollback lane is walked.
    RollbackOf(String),
    /// Going back where no run is known: from the runbook and the live world alone.
    RollbackWithoutRun,
}

/// The runbook resolved against the live world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The format of this value; 1.
    pub bgctl_plan: u32,
    pub purpose: Purpose,
    pub service: String,
    pub environment: String,
    /// Who answers for the run: one of their keys signs it.
    pub owners: Vec<Principal>,
    pub rollback_owner: Principal,
    /// Path of the runbook as given, and the SHA-256 of its bytes.
    pub runbook: String,
    pub runbook_sha256: String,
    pub blue: Stack,
    pub green: Stack,
    /// Where both say which version they run, if anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_at: Option<VersionAt>,
    pub routes: BTreeMap<String, PlannedRoute>,
    /// Gates by name, as checked at compile time: bakes use them, and waits between bakes are watched by them.
    pub gates: BTreeMap<String, Value>,
    /// Settings of the Slack app under test, if the runbook has any (references to secrets, never values).
    pub slack: Option<Value>,
    /// What the stacks are compared by before anybody moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare: Option<Value>,
    pub policy: Policy,
    /// The schema, as far as it was read or can be asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<PlannedSchema>,
    pub forward: Vec<PlannedStep>,
    pub rollback: Vec<PlannedStep>,
    /// The people as the team's policy has them; empty without one.
    #[serde(default, skip_serializing_if = "Team::is_empty")]
    pub team: Team,
    /// What the plan leaves to the operator's word: shown, never silently skipped.
    pub warnings: Vec<String>,
}

/// The environment of rehearsals.
pub const LAB: &str = "lab";

impl Plan {
    /// It was made in a rehearsal, for which every runbook is of that environment, and none else ever is.
    pub fn is_rehearsal(&self) -> bool {
        self.environment == LAB
    }

    /// The step that makes blue take users again before anybody goes back to it, where the way back has one.
    pub fn readied(&self) -> Option<&PlannedStep> {
        let mut before = self.rollback.iter().take_while(|step| step.moves.is_none());
        before.find(|step| step.kind == "ready" && step.config["stack"] == Color::Blue.name())
    }

    /// It has no route, so there are no users that it could move.
    pub fn moves_nobody(&self) -> bool {
        self.routes.is_empty()
    }

    /// The command that does this with the plan's runbook, as it can be typed: a rehearsal is one only with its flag.
    pub fn command(&self, verb: &str) -> String {
        let lab = if self.is_rehearsal() { " --lab" } else { "" };
        format!("bgctl {verb} {}{lab}", self.runbook)
    }

    /// Where the forward steps before this one have brought the users of each route.
    pub fn before(&self, step: &str) -> BTreeMap<&str, Split> {
        let mut splits: BTreeMap<&str, Split> = self.routes.iter().map(|(name, r)| (name.as_str(), r.before)).collect();
        let before = self.forward.iter().take_while(|other| other.id != step);
        splits.extend(before.filter_map(|s| s.moves.as_ref()).map(|change| (change.route.as_str(), change.after)));
        splits
    }

    pub fn lane(&self, lane: Lane) -> &[PlannedStep] {
        match lane {
            Lane::Forward => &self.forward,
            Lane::Rollback => &self.rollback,
        }
    }

    pub fn step(&self, at: StepRef) -> &PlannedStep {
        &self.lane(at.lane)[at.index]
    }

    /// The way back waits for a second person, whoever asks for it.
    pub fn waits_by_hand(&self) -> bool {
        self.rollback.iter().any(|step| step.approval.as_ref().is_some_and(|rule| rule.even_by_hand))
    }

    /// Who has to agree before users are sent back by a rule, where the runbook wants that. A person's own rollback asks nobody.
    pub fn agreed_rollback(&self) -> Option<&ApprovalRule> {
        self.rollback.iter().filter_map(|step| step.approval.as_ref()).find(|rule| !rule.even_by_hand)
    }

    pub fn stack(&self, color: Color) -> &Stack {
        match color {
            Color::Blue => &self.blue,
            Color::Green => &self.green,
        }
    }

    /// The bytes the digest is over: JSON, members in the order of the types, no blanks.
    pub fn canonical(&self) -> String {
        serde_json::to_string(self).expect("BUG: a plan is plain data")
    }

    /// What approvals and journal are bound to: SHA-256 of [`Plan::canonical`], in hex.
    pub fn id(&self) -> String {
        sha256(self.canonical().as_bytes())
    }
}

impl PlannedStep {
    /// SHA-256 of the step with all its settings, in hex: an approval of one step holds for nothing else.
    pub fn sha256(&self) -> String {
        let mut text = Vec::with_capacity(512);
        serde_json::to_writer(&mut text, self).expect("BUG: a step is plain data");
        sha256(&text)
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    base16ct::lower::encode_string(&Sha256::digest(bytes))
}

/// A step by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StepRef {
    pub lane: Lane,
    pub index: usize,
}
