//! The writing end: groups of records, each closed by a seal, each one write and one sync.

use std::rc::Rc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::line::{LONGEST, LONGEST_GROUP, LONGEST_PLAN};
use super::note::{Note, SealState, origin};
use super::session::Session;
use super::spelling::{hex, microseconds, stamp};
use super::store::Store;
use super::{Append, Entry, JournalError, OpenError, Record, encode};
use crate::clock::Clock;
use crate::plan::Plan;
use crate::run::Evidence;
use crate::sign::session::SessionKey;
use crate::sign::{SignError, Signer, namespace};

/// How long a session key may seal after the owner named it.
pub const SESSION: SignedDuration = SignedDuration::from_hours(12);
/// A wall clock that jumps further than this against elapsed time is written down.
const JUMP: SignedDuration = SignedDuration::from_secs(2);

/// What a new run is.
pub struct Opening<'a> {
    pub run: String,
    pub plan: &'a Plan,
    pub who: Who,
    /// What else the owner's statement binds, by name: digests of the trust and policy files, the ledger's last line.
    pub bound: Map<String, Value>,
}

/// Who opens or resumes a run, and how.
#[derive(Clone, Debug)]
pub struct Who {
    /// The principal the owner's key stands for.
    pub owner: String,
    /// `interactive` or `ci`.
    pub mode: String,
    /// What the machine says of itself (user, host, CI job): kept, but proven by nothing.
    pub claims: Value,
}

/// What a closed journal comes to.
#[derive(Debug)]
pub struct Closed {
    pub state: SealState,
    /// Why the owner's key did not sign, where it should have.
    pub unsigned: Option<SignError>,
    /// SHA-256 of the whole file and its length.
    pub sha256: String,
    pub bytes: u64,
    /// The whole file, as the ledger and the anchors keep it.
    pub head: Note,
    /// Signs the run's last line in the ledger.
    pub session: Rc<Session>,
}

/// A journal that is being written.
pub struct Journal {
    store: Box<dyn Store>,
    clock: Rc<dyn Clock>,
    session: Rc<Session>,
    run: String,
    origin: String,
    seq: u64,
    prev: String,
    /// Over every byte so far; cloned for each seal, so nothing is ever read again.
    hash: Sha256,
    bytes: u64,
    /// Wall clock and elapsed time at the opening of this process, and at the last line.
    opened: (Timestamp, Duration),
    last: (Timestamp, Duration),
    mono: u64,
    not_after: Timestamp,
    broken: Option<String>,
}

/// One look at the clock for a whole group.
struct Reading {
    wall: Timestamp,
    elapsed: Duration,
    mono: u64,
    ts: String,
    /// How far the wall clock jumped, where it did.
    jump: Option<SignedDuration>,
}

/// What a journal goes on from: nothing, or the sealed part of an existing one.
pub(super) struct From {
    pub seq: u64,
    pub prev: String,
    pub hash: Sha256,
    pub bytes: u64,
}

impl Journal {
    /// Begins the journal of a new run: the owner's statement and the plan, under the first seal.
    pub fn create(
        store: Box<dyn Store>,
        opening: Opening<'_>,
        owner: &dyn Signer,
        clock: Rc<dyn Clock>,
    ) -> Result<Journal, OpenError> {
        let start = From { seq: 0, prev: "0".repeat(64), hash: Sha256::new(), bytes: 0 };
        let plan = opening.plan;
        let text = plan.canonical();
        let plan_sha256 = hex(&Sha256::digest(text.as_bytes()));
        let mut statement = statement("bgctl/opening/v1", &opening.run, &plan.service, &plan.environment);
        statement.insert("runbook".into(), json!(plan.runbook));
        statement.insert("runbook_sha256".into(), json!(plan.runbook_sha256));
        statement.extend(opening.bound);
        let loaded = Record { kind: "plan.loaded".into(), data: json!({ "sha256": &plan_sha256, "text": text }) };
        let beginning = Beginning { kind: "run.opened", statement, plan_sha256, who: &opening.who };
        Journal::begin(store, start, beginning, |_| Ok(vec![loaded]), owner, clock).map(|(journal, _)| journal)
    }

    pub(super) fn begin(
        mut store: Box<dyn Store>,
        from: From,
        beginning: Beginning<'_>,
        more: impl FnOnce(&mut dyn Store) -> Result<Vec<Record>, JournalError>,
        owner: &dyn Signer,
        clock: Rc<dyn Clock>,
    ) -> Result<(Journal, Vec<Entry>), OpenError> {
        let key = SessionKey::generate()?;
        let not_before = microseconds(clock.now());
        let not_after = not_before + SESSION;
        let Beginning { kind, mut statement, plan_sha256, who } = beginning;
        let run = statement["run"].as_str().unwrap_or_default().to_string();
        let service = statement["service"].as_str().unwrap_or_default();
        for name in [service, &run] {
            if name.is_empty() || name.chars().any(|c| c == '/' || c.is_whitespace() || c.is_control()) {
                return Err(OpenError::Name(name.to_string()));
            }
        }
        let origin = origin(service, &run);
        for (name, value) in [
            ("plan_sha256", plan_sha256),
            ("owner", who.owner.clone()),
            ("owner_key", owner.public()),
            ("session_key", key.public()),
            ("not_before", stamp(not_before)),
            ("not_after", stamp(not_after)),
            ("mode", who.mode.clone()),
            ("assurance", owner.assurance().label().into()),
            ("bgctl", env!("CARGO_PKG_VERSION").into()),
        ] {
            statement.insert(name.into(), Value::String(value));
        }
        let mut text = String::new();
        encode::put(&mut text, &Value::Object(statement));
        // Before anything is written: a key that is refused here leaves no half-opened run behind.
        let signature = owner.sign(namespace::OPEN, text.as_bytes())?;
        let mut data = Map::new();
        data.insert("statement".into(), Value::String(text.clone()));
        data.insert("ns".into(), json!(namespace::OPEN));
        data.insert(encode::signature_member(&signature).into(), Value::String(signature.clone()));
        let session = Rc::new(Session::new(key, text, signature));
        data.insert("claims".into(), who.claims.clone());
        let more = more(&mut *store)?;
        let opened = (microseconds(clock.now()), clock.elapsed());
        let From { seq, prev, hash, bytes } = from;
        let (last, mono, broken) = (opened, 0, None);
        let mut journal = Journal {
            store,
            clock,
            session,
            run,
            origin,
            seq,
            prev,
            hash,
            bytes,
            opened,
            last,
            mono,
            not_after,
            broken,
        };
        let mut records = vec![Record { kind: kind.into(), data: Value::Object(data) }];
        records.extend(more);
        let entries = journal.append(&records)?;
        Ok((journal, entries))
    }

    /// The run this journal is of.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Where it is written.
    pub fn place(&self) -> String {
        self.store.place()
    }

    /// The session that writes it.
    pub fn session(&self) -> Rc<Session> {
        self.session.clone()
    }

    /// All that was written so far, its last seal included.
    pub fn head(&self) -> Note {
        self.note(stamp(self.last.0), SealState::Open)
    }

    /// Ends the journal in this process. Where the state needs the owner's key and that is not there or refuses, the session
    /// key writes `ended` instead: all of it is kept, and it can be signed or resumed later.
    pub fn close(mut self, state: SealState, owner: Option<&dyn Signer>) -> Result<Closed, JournalError> {
        // Writes down a jump of the clock, if there was one: a seal alone cannot say it.
        self.append(&[])?;
        let reading = self.read_clock()?;
        let mut group = String::new();
        let mut unsigned = None;
        let by_owner = match owner.filter(|_| state.by_owner()) {
            // A certificate can end before its run does; a close that no verifier takes would be worse than none.
            Some(owner) => match owner.over(reading.wall) {
                None => self.seal(&mut group, &reading, state, owner, namespace::CLOSE),
                Some(error) => Err(error),
            }
            .map_err(|e| unsigned = Some(e)),
            None => Err(()),
        };
        let state = if by_owner.is_ok() { state } else { SealState::Ended };
        if by_owner.is_err() {
            group.clear();
            self.seal_by_session(&mut group, &reading, state)?;
        }
        self.commit(&group)?;
        let head = self.note(reading.ts, state);
        Ok(Closed { state, unsigned, sha256: head.sha256.clone(), bytes: self.bytes, head, session: self.session })
    }

    fn read_clock(&mut self) -> Result<Reading, JournalError> {
        if let Some(what) = &self.broken {
            return Err(JournalError { what: what.clone() });
        }
        let (wall, elapsed) = (microseconds(self.clock.now()), self.clock.elapsed());
        let since =
            |from: Duration| SignedDuration::try_from(elapsed.saturating_sub(from)).unwrap_or(SignedDuration::MAX);
        let drift = wall.duration_since(self.last.0) - since(self.last.1);
        let spent = elapsed.saturating_sub(self.opened.1);
        // A clock that was set back must not make the key live longer.
        let effective = wall.max(self.opened.0.saturating_add(since(self.opened.1)).unwrap_or(wall));
        if effective > self.not_after {
            return Err(self
                .fail("the session key is 12 hours old and seals no more; `bgctl resume` opens a new session".into()));
        }
        let mono = u64::try_from(spent.as_micros()).unwrap_or(u64::MAX).max(self.mono);
        Ok(Reading { wall, elapsed, mono, ts: stamp(wall), jump: (drift.abs() > JUMP).then_some(drift) })
    }

    fn fail(&mut self, what: String) -> JournalError {
        self.broken = Some(what.clone());
        JournalError { what }
    }

    /// Adds one line to the group and takes it into the chain.
    fn line(&mut self, group: &mut String, reading: &Reading, mono: u64, kind: &str, data: &Value) -> usize {
        let start = group.len();
        encode::put_line(group, (self.seq, &self.run, &reading.ts, mono), kind, &self.prev, data);
        group.len() - start
    }

    /// Takes the line that begins at `start` into chain and prefix.
    fn chain(&mut self, group: &str, start: usize) {
        let line = &group.as_bytes()[start..];
        self.prev = hex(&Sha256::digest(line));
        self.hash.update(line);
        self.bytes += line.len() as u64;
        self.seq += 1;
    }

    fn record(&mut self, group: &mut String, reading: &Reading, record: &Record) -> Result<Entry, JournalError> {
        let longest = if record.kind == "plan.loaded" { LONGEST_PLAN } else { LONGEST };
        let mut data = encode::tidy(record.data.clone());
        if super::line::KINDS.binary_search(&record.kind.as_str()).is_err() || record.kind == "seal" {
            return Err(self.fail(format!("`{}` is no type of record", record.kind)));
        }
        if !data.is_object() {
            return Err(self.fail(format!("the data of a `{}` record are not an object", record.kind)));
        }
        let start = group.len();
        if self.line(group, reading, reading.mono, &record.kind, &data) > longest {
            group.truncate(start);
            encode::shorten(&mut data);
            let bytes = self.line(group, reading, reading.mono, &record.kind, &data);
            if bytes > longest {
                return Err(self.fail(format!("a `{}` record has {bytes} bytes; {longest} are allowed", record.kind)));
            }
        }
        let entry = Entry { seq: self.seq, ts: reading.ts.clone(), kind: record.kind.clone(), data };
        self.chain(group, start);
        Ok(entry)
    }

    fn seal_by_session(&mut self, group: &mut String, reading: &Reading, state: SealState) -> Result<(), JournalError> {
        let note = self.note(reading.ts.clone(), state).text();
        match self.session.sign(namespace::SEAL, note.as_bytes()) {
            Ok(signature) => {
                self.put_seal(group, reading, note, namespace::SEAL, signature);
                Ok(())
            }
            Err(error) => Err(self.fail(error.to_string())),
        }
    }

    fn seal(
        &mut self,
        group: &mut String,
        reading: &Reading,
        state: SealState,
        by: &dyn Signer,
        purpose: &str,
    ) -> Result<(), SignError> {
        let note = self.note(reading.ts.clone(), state).text();
        let signature = by.sign(purpose, note.as_bytes())?;
        self.put_seal(group, reading, note, purpose, signature);
        Ok(())
    }

    fn note(&self, time: String, state: SealState) -> Note {
        let sha256 = hex(&self.hash.clone().finalize());
        Note { origin: self.origin.clone(), lines: self.seq, bytes: self.bytes, sha256, time, state }
    }

    fn put_seal(&mut self, group: &mut String, reading: &Reading, note: String, purpose: &str, signature: String) {
        let mut data = Map::new();
        data.insert("note".into(), Value::String(note));
        data.insert("ns".into(), json!(purpose));
        data.insert(encode::signature_member(&signature).into(), Value::String(signature));
        let start = group.len();
        // A seal repeats the `mono` of the line before it: everything else in its line is bound by note or chain.
        self.line(group, reading, self.mono, "seal", &Value::Object(data));
        self.chain(group, start);
    }

    fn commit(&mut self, group: &str) -> Result<(), JournalError> {
        self.store.append(group.as_bytes()).map_err(|error| self.fail(error.what))
    }
}

impl Append for Journal {
    fn append(&mut self, records: &[Record]) -> Result<Vec<Entry>, JournalError> {
        let reading = self.read_clock()?;
        if records.is_empty() && reading.jump.is_none() {
            return Ok(Vec::new());
        }
        let mut group = String::with_capacity(1024 + 512 * records.len());
        let mut entries = Vec::with_capacity(records.len());
        self.mono = reading.mono;
        for record in records {
            // Readers hold a group until its seal, so they refuse one without end. A jump of the clock is noted at the end of
            // the group whose times it explains, so that one stays whole.
            if group.len() > LONGEST_GROUP / 4 && reading.jump.is_none() {
                self.seal_by_session(&mut group, &reading, SealState::Open)?;
                self.commit(&group)?;
                group.clear();
            }
            entries.push(self.record(&mut group, &reading, record)?);
        }
        if let Some(jump) = reading.jump {
            let line = format!("the wall clock jumped by {:.3} s against elapsed time", jump.as_secs_f64());
            entries.push(self.record(&mut group, &reading, &Record::from(&Evidence::ClockAnomaly { line }))?);
        }
        self.seal_by_session(&mut group, &reading, SealState::Open)?;
        self.commit(&group)?;
        self.last = (reading.wall, reading.elapsed);
        Ok(entries)
    }
}

/// The first record of a process: its statement without the members every statement has.
pub(super) struct Beginning<'a> {
    pub kind: &'static str,
    pub statement: Map<String, Value>,
    pub plan_sha256: String,
    pub who: &'a Who,
}

pub(super) fn statement(kind: &str, run: &str, service: &str, environment: &str) -> Map<String, Value> {
    let named = [("_type", kind), ("run", run), ("service", service), ("environment", environment)];
    named.into_iter().map(|(name, value)| (name.to_string(), json!(value))).collect()
}
