//! Opening a run, or going on with one: whose key, which locks, which rules, and the first records. When something here is
//! refused, nothing was written that anybody could take for a run, and nobody was moved.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::{Map, Value};

use super::hand::{Hand, Wanted};
use super::launch::Launch;
use super::notary::Notary;
use super::ran;
use super::run_rules::RunRules;
use super::unrecorded::{UNRECORDED, Unrecorded};
use crate::clock::Ratchet;
use crate::diag::{Code, Kind, Refusal};
use crate::journal::ledger::What;
use crate::journal::{
    Archive, DirStore, Entry, Holder, Journal, LocalDisk, Lock, MemoryStore, OpenError, Opening, Record, Sound, Store,
    keep_plan,
};
use crate::plan::{Plan, PlannedRoute, Principal, Purpose};
use crate::run::{Actor, Event, Evidence, guard};
use crate::shell::Context;
use crate::sign::Signer;

/// The code of a key that is there and did not sign.
const UNSIGNED: Code = Code::Unsigned;

/// A run with its journal open and its lock held.
pub struct Open {
    pub id: String,
    pub folder: PathBuf,
    pub journal: Journal,
    pub past: Vec<Entry>,
    pub signer: Box<dyn Signer>,
    pub actor: Actor,
    pub witnesses: Notary,
    pub rules: RunRules,
    /// Judges deadlines: never earlier than what the log says already.
    pub deadlines: Rc<Ratchet>,
    pub leases: Rc<Vec<Lock>>,
    /// Nothing of this run is on the disk: what is kept of it until its end.
    pub unrecorded: Option<Unrecorded>,
}

impl Open {
    /// Whoever runs this process, and the key they signed with.
    pub fn runner(&self) -> (String, String) {
        (self.actor.name.clone(), self.signer.fingerprint())
    }

    /// Whether this process has opened the run, and not gone on with it.
    pub fn is_new(&self) -> bool {
        self.past.is_empty()
    }

    /// Others may move these users now: this process will not any more.
    pub fn give_up_locks(&mut self) {
        self.leases.iter().for_each(Lock::release);
    }

    pub fn facts(&self) -> Vec<Event> {
        self.past.iter().filter_map(Entry::event).collect()
    }
}

impl Launch<'_> {
    fn open_failed(&self, error: OpenError, place: &Path) -> Refusal {
        match error {
            OpenError::Sign(error) => Refusal::new(Kind::Denied, UNSIGNED, "the owner's key did not sign")
                .cause(error.to_string())
                .users(self.users_as_planned())
                .next("bgctl keys        which key would sign, and why"),
            other => self.unwritable(other, place),
        }
    }

    fn locks(&self, archive: &Archive, run: &str, actor: &Actor) -> Result<Vec<Lock>, Refusal> {
        locks(self.cx, archive, &self.plan, run, &actor.name, self.command)
    }

    /// Opens a new run. Until this has succeeded nothing was written that anybody could take for a run.
    pub fn create(&self) -> Result<Open, Refusal> {
        let archive = self.archive()?;
        let hand = self.hand(&archive)?;
        let first = hand.one_time.is_none();
        match self.create_by(&archive, hand) {
            // An agent that is there and does not sign is found out only now.
            Err(refusal) if refusal.code == UNSIGNED && first && self.policy.is_none() => {
                self.create_by(&archive, self.one_time(&refusal)?)
            }
            opened => opened,
        }
    }

    fn create_by(&self, archive: &Archive, hand: Hand) -> Result<Open, Refusal> {
        let Hand { signer, actor, one_time } = hand;
        self.permitted(signer.as_ref())?;
        let rules = self.run_rules()?;
        let policy = self.policy_as_planned(archive)?;
        let (id, folder) = archive.reserve(self.cx.clock.now()).map_err(|e| self.unwritable(e, archive.root()))?;
        let witnesses = Notary::new(self.cx, archive);
        let opened = self.locks(archive, &id, &actor).and_then(|locks| {
            policy.remember()?;
            keep_plan(&LocalDisk, &folder, &self.plan).map_err(|e| self.unwritable(e, &folder))?;
            let store: Box<dyn Store> = Box::new(DirStore::create(&folder).map_err(|e| self.unwritable(e, &folder))?);
            let mut bound = rules.bound();
            bound.insert("epochs".into(), epochs(&locks));
            match witnesses.bound() {
                Ok(tip) => bound.extend(tip),
                // A ledger that does not hold is no reason to leave users where they are: it is complained of where it is read.
                Err(_) if self.policy.is_none() => {}
                Err(error) => return Err(self.unwritable(error, archive.root())),
            }
            let opening = Opening { run: id.clone(), plan: &self.plan, who: self.who(&actor), bound };
            let journal = Journal::create(store, opening, signer.as_ref(), self.cx.clock.clone());
            let mut journal = journal.map_err(|e| self.open_failed(e, &folder))?;
            let entered = witnesses.enter(What::Opened, &mut journal, self.plan.purpose == Purpose::Cutover);
            entered.map_err(|e| self.unwritable(e, archive.root()))?;
            Ok((journal, locks))
        });
        let (journal, locks) = opened.inspect_err(|_| {
            // Nothing was opened, so nothing is left behind; what cannot be removed is without a log and no run.
            let _ = std::fs::remove_dir_all(&folder);
        })?;
        if one_time.is_none() {
            ran_here(archive, &id, &actor, signer.as_ref());
        }
        let deadlines = Rc::new(Ratchet::new(self.cx.clock.clone(), self.cx.clock.now()));
        Ok(Open {
            id,
            folder,
            journal,
            past: Vec::new(),
            signer,
            actor,
            rules,
            deadlines,
            witnesses,
            leases: Rc::new(locks),
            unrecorded: None,
        })
    }

    /// Opens a rollback that nothing on the disk keeps: its records are in memory until its end. No lease is held, since
    /// none can be written down.
    pub fn without_record(&self, file: Option<PathBuf>, why: &str) -> Result<Open, Refusal> {
        let archive = self.archive()?;
        let hand = self.hand(&archive)?;
        let (clock, store) = (self.cx.clock.clone(), MemoryStore::new());
        let id = archive.unreserved(clock.now()).map_err(|e| self.unwritable(e, archive.root()))?;
        let begin = |hand: &Hand| {
            let opening = Opening { run: id.clone(), plan: &self.plan, who: self.who(&hand.actor), bound: Map::new() };
            Journal::create(Box::new(store.clone()), opening, hand.signer.as_ref(), clock.clone())
        };
        let (journal, hand) = match begin(&hand) {
            Ok(journal) => (journal, hand),
            Err(error) => {
                let hand = self.one_time(&self.open_failed(error, archive.root()))?;
                (begin(&hand).map_err(|e| self.open_failed(e, archive.root()))?, hand)
            }
        };
        let Hand { signer, actor, .. } = hand;
        let folder = archive.run(&id);
        let mut open = Open {
            id,
            folder,
            journal,
            past: Vec::new(),
            signer,
            actor,
            rules: self.run_rules()?,
            deadlines: Rc::new(Ratchet::new(clock.clone(), clock.now())),
            witnesses: Notary::new(self.cx, &archive),
            leases: Rc::default(),
            unrecorded: Some(Unrecorded { store, file }),
        };
        let line = format!("{UNRECORDED}, and without a lease: {why}");
        self.answered(&mut open, &Evidence::Note { line })?;
        Ok(open)
    }

    /// Goes on with a run whose process has gone. The tail a crash tore off is cut; everything sealed counts. What was read of
    /// its log already is not read again.
    pub fn resume(&self, id: &str, folder: &Path, known: Option<&Sound>) -> Result<Open, Refusal> {
        let archive = self.archive()?;
        // Whoever goes back and is no owner of this run has one of their own for it.
        let forward = self.plan.purpose == Purpose::Cutover;
        let Hand { signer, actor, .. } = self.key(&archive, if forward { Wanted::Forward } else { Wanted::Back })?;
        if self.policy.is_some() {
            self.permitted(signer.as_ref())?;
            self.policy_as_planned(&archive)?;
        }
        let rules = self.run_rules()?;
        let locks = self.locks(&archive, id, &actor)?;
        let store: Box<dyn Store> = Box::new(DirStore::open(folder).map_err(|e| self.unwritable(e, folder))?);
        let (who, clock) = (self.who(&actor), self.cx.clock.clone());
        let mut bound = rules.bound();
        bound.insert("epochs".into(), epochs(&locks));
        let resumed = Journal::resume_under(store, &who, bound, known, signer.as_ref(), clock);
        let (mut journal, mut past) = resumed.map_err(|e| self.open_failed(e, folder))?;
        let witnesses = Notary::new(self.cx, &archive);
        witnesses.enter(What::Resumed, &mut journal, false).map_err(|e| self.unwritable(e, folder))?;
        let ended = past.iter().any(|e| matches!(e.event(), Some(Event::Ended { .. } | Event::Refused { .. })));
        if !ended {
            let record = Record::from(&Event::Resumed { by: actor.clone() });
            let more = crate::journal::Append::append(&mut journal, &[record]);
            past.extend(more.map_err(|e| self.unwritable(e, folder))?);
        }
        ran_here(&archive, id, &actor, signer.as_ref());
        let (id, folder) = (id.to_string(), folder.to_path_buf());
        let newest = past.iter().filter_map(|entry| entry.ts.parse().ok()).max();
        let now = self.cx.clock.now();
        let deadlines = Rc::new(Ratchet::new(self.cx.clock.clone(), newest.unwrap_or(now).max(now)));
        let leases = Rc::new(locks);
        let unrecorded = None;
        Ok(Open { id, folder, journal, past, signer, actor, rules, deadlines, witnesses, leases, unrecorded })
    }

    /// Writes down that a person goes back although the schema stands against it, and why.
    pub fn overridden(&self, open: &mut Open, by: &Actor, reason: &str) -> Result<(), Refusal> {
        self.passed_over(open, guard::SCHEMA, by, reason)
    }

    /// Writes down that a person passes over a guard on the way back, and why.
    pub fn passed_over(&self, open: &mut Open, name: &str, by: &Actor, reason: &str) -> Result<(), Refusal> {
        let known = self.cx.known.secrets();
        let event = Event::OverrideUsed { guard: name.into(), by: by.clone(), reason: known.mask(reason) };
        let written = crate::journal::Append::append(&mut open.journal, &[Record::from(&event)]);
        open.past.extend(written.map_err(|e| self.unwritable(e, &open.folder))?);
        Ok(())
    }

    /// Writes down what was asked before there was a log, and what was answered: by whoever signed it then.
    pub fn answered(&self, open: &mut Open, answer: &Evidence) -> Result<(), Refusal> {
        let mut answer = answer.clone();
        if let Evidence::PromptAnswered { by, .. } = &mut answer {
            by.name.clone_from(&open.actor.name);
        }
        let record = Record::from(&answer);
        let written = crate::journal::Append::append(&mut open.journal, &[record]);
        open.past.extend(written.map_err(|e| self.unwritable(e, &open.folder))?);
        Ok(())
    }
}

/// The takings of the service's lease and its routes' that this process goes by, in their order: the owner signs them.
fn epochs(leases: &[Lock]) -> Value {
    leases.iter().map(|lease| lease.epoch().to_string()).collect::<Vec<_>>().into()
}

/// What the leases of a plan are of: its service, and each thing its routes move. A place that two services share is moved by
/// one of them at a time, and one that two routes move is taken once.
pub fn leases(plan: &Plan) -> Vec<(&str, &str)> {
    let mut things = Vec::new();
    for name in plan.routes.values().flat_map(PlannedRoute::known_by) {
        if !things.contains(&("route", name)) {
            things.push(("route", name));
        }
    }
    std::iter::once((plan.environment.as_str(), plan.service.as_str())).chain(things).collect()
}

/// The locks of a service and of its routes: whoever holds them moves these users alone.
pub fn locks(
    cx: &Context,
    archive: &Archive,
    plan: &Plan,
    run: &str,
    who: &str,
    command: &str,
) -> Result<Vec<Lock>, Refusal> {
    let holder = Holder {
        run: run.into(),
        who: who.into(),
        host: host(),
        pid: std::process::id(),
        command: format!("bgctl {command}"),
        since: cx.clock.now().to_string(),
        epoch: 0,
    };
    leases(plan).into_iter().map(|(scope, what)| Lock::take(archive, scope, what, &holder)).collect()
}

/// What this machine calls itself.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// A run can be verified on the machine that ran it without being told whom to trust.
fn ran_here(archive: &Archive, run: &str, actor: &Actor, signer: &dyn Signer) {
    // Without this line `audit verify` asks for --allowed-signers; no run depends on it.
    if let Ok(name) = Principal::parse(&actor.name) {
        let _ = ran::remember(archive, run, &name, signer);
    }
}
