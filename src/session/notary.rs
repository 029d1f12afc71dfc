//! What outside of a run's log knows of it: the ledger of runs, and the anchors of the policy. They are told when a process
//! opens a run or goes on with it, and when it ends. Whether a run may begin without them is decided here, and nothing else.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Map, Value, json};

use super::doors::Doors;
use super::policy;
use super::policy::PolicyArgs;
use super::surroundings::Surroundings;
use crate::audit::anchors;
use crate::audit::anchors::{Anchor, AnchorError, FOLDER, Kept, Reach};
use crate::clock::Clock;
use crate::diag::{Code, Kind, Refusal};
use crate::journal::heads::Head;
use crate::journal::ledger::{Hand, Ledger, Tip, What};
use crate::journal::{Append, Archive, Closed, Entry, Journal, JournalError, Note, Record};
use crate::policy::Anchors;
use crate::rehearsal::InLab;
use crate::run::{Event, Evidence};
use crate::runbook;
use crate::shell::Context;

/// Whoever is told of a run.
pub struct Notary {
    ledger: Ledger,
    clock: Rc<dyn Clock>,
}

/// The anchors of the policy.
#[derive(Default)]
pub struct Anchored {
    anchors: Vec<Box<dyn Anchor>>,
    required: usize,
    /// Those that cannot even be asked, and why.
    missing: Vec<(String, String)>,
    /// Anchors that are told nothing of a rehearsal.
    pub left_out: Vec<String>,
}

/// What came of telling the anchors that a run was opened.
pub struct Begun {
    pub entries: Vec<Entry>,
    /// Why nothing may move, if so.
    pub refusal: Option<Refusal>,
}

impl Anchored {
    /// Those of the policy, where there is one; in a rehearsal those whose rows say that the lab has them.
    pub fn new(cx: &Context, outside: &Surroundings, policy: Option<&PolicyArgs>) -> Self {
        let mut anchored = Anchored::default();
        let default = PolicyArgs::default();
        let args = policy.unwrap_or(&default);
        match policy::read(cx, args) {
            Ok(Ok(Some(file))) => {
                if let Some(named) = &file.policy.anchors {
                    let beside = args.place(cx).0.parent().unwrap_or(&cx.cwd).to_path_buf();
                    anchored.add(cx, outside, named, &beside);
                }
            }
            Ok(Ok(None)) => {}
            Ok(Err((source, _))) => anchored.miss("the policy's anchors", &format!("`{}` is wrong", source.path)),
            Err(refusal) => anchored.miss("the policy's anchors", &refusal.headline),
        }
        anchored
    }

    fn miss(&mut self, place: &str, why: &str) {
        self.missing.push((place.into(), why.into()));
    }

    fn add(&mut self, cx: &Context, outside: &Surroundings, named: &Anchors, beside: &Path) {
        if outside.lab.is_none() {
            self.required = named.required as usize;
        }
        for anchor in &named.to {
            let kind = anchor.kind;
            if let (Some(played), place) = (&outside.lab, (kind.place)(&anchor.settings)) {
                let left_out = matches!(kind.lab, InLab::LeftOut);
                if left_out || !kind.lab.review(kind.name, &anchor.settings, &played.own).is_empty() {
                    self.left_out.push(place);
                    continue;
                }
            }
            match reach(cx, outside, anchor, beside) {
                Ok(reach) => self.anchors.push(anchors::open(anchor, &reach)),
                Err(refusal) => self.miss(anchor.kind.name, &refusal.headline),
            }
        }
    }

    async fn tell(
        &self,
        head: &Head,
        folder: &Path,
        clock: &dyn Clock,
        patience: Duration,
    ) -> Vec<Result<Kept, AnchorError>> {
        let receipts = folder.join(FOLDER);
        let all = self.anchors.iter();
        join_all(all.map(|anchor| anchors::keep(anchor.as_ref(), head, &receipts, clock, patience))).await
    }

    fn too_few(&self, kept: usize, lost: &[(String, String)]) -> Refusal {
        let headline = format!("{kept} of {} required anchors keep the head of this log", self.required);
        let refusal = Refusal::new(Kind::Unreachable, Code::NotAnchored, headline)
            .users("not moved: the anchors come before the first step. Nothing was changed.")
            .next("fix what is named above, then the same command again");
        lost.iter().fold(refusal, |refusal, (place, why)| refusal.cause(format!("{place}: {why}")))
    }
}

impl Notary {
    pub fn new(cx: &Context, archive: &Archive) -> Self {
        Notary { ledger: Ledger::in_folder(archive.root()), clock: cx.clock.clone() }
    }

    /// What the owner binds beside the plan: where the ledger ends now, so that nobody can take lines from it later.
    pub fn bound(&self) -> Result<Map<String, Value>, JournalError> {
        let tip = self.ledger.tip()?;
        Ok(Map::from_iter([("ledger_sha256".to_string(), json!(tip.sha256))]))
    }

    /// Writes into the ledger that a process has begun. Where it must not fail and does, nothing may move; where users may
    /// be waiting to go back, the failure is written down and the run goes on.
    pub fn enter(&self, what: What, journal: &mut Journal, must: bool) -> Result<(), JournalError> {
        let session = journal.session();
        match self.ledger.append(what, &journal.head(), &Hand::Session(&session), self.clock.as_ref()) {
            Ok(_) => Ok(()),
            Err(error) if must => Err(error),
            Err(error) => {
                let lost = Evidence::SinkDegraded { sink: "ledger".into(), line: error.what };
                journal.append(&[Record::from(&lost)]).map(|_| ())
            }
        }
    }

    /// Lets the anchors keep the head of a run that has moved nobody yet; too few of them end it there.
    pub async fn begin(
        &self,
        anchored: &Anchored,
        journal: &mut Journal,
        folder: &Path,
    ) -> Result<Begun, JournalError> {
        if anchored.anchors.is_empty() && anchored.missing.is_empty() {
            return Ok(Begun { entries: Vec::new(), refusal: None });
        }
        let head = self.head(journal.head());
        let told = anchored.tell(&head, folder, self.clock.as_ref(), anchors::PATIENCE).await;
        let (mut records, mut lost) = (Vec::new(), anchored.missing.clone());
        let kept = told.iter().filter(|kept| kept.is_ok()).count();
        for (anchor, kept) in anchored.anchors.iter().zip(told) {
            match kept {
                Ok(Kept { receipt, line, warning }) => {
                    let (kind, place, head) = (anchor.kind().into(), anchor.place(), head.text());
                    records.push(Record::from(&Evidence::AnchorReceipt { kind, place, head, receipt, line }));
                    let weak = warning.map(|line| Evidence::SinkDegraded { sink: anchor.place(), line });
                    records.extend(weak.iter().map(Record::from));
                }
                Err(AnchorError(why)) => lost.push((anchor.place(), why)),
            }
        }
        for (sink, line) in &lost {
            records.push(Record::from(&Evidence::SinkDegraded { sink: sink.clone(), line: line.clone() }));
        }
        let refusal = (kept < anchored.required).then(|| anchored.too_few(kept, &lost));
        records.extend(refusal.iter().map(|r| Record::from(&Event::Refused { why: r.headline.clone() })));
        Ok(Begun { entries: journal.append(&records)?, refusal })
    }

    /// Writes into the ledger how the log ended; what a person has to know of it.
    pub fn leave(&self, closed: &Closed) -> Option<String> {
        let hand = Hand::Session(&closed.session);
        let written = self.ledger.append(What::Closed, &closed.head, &hand, self.clock.as_ref());
        written.err().map(|error| format!("! the ledger of runs does not have this end: {error}"))
    }

    /// Lets the anchors keep the log's end. Nothing can be written into the log any more, so it is said, and kept beside it.
    pub async fn end(&self, anchored: &Anchored, closed: &Note, id: &str, folder: &Path) -> Vec<String> {
        let head = self.head(closed.clone());
        let told = anchored.tell(&head, folder, self.clock.as_ref(), anchors::PATIENCE_AT_END).await;
        let (mut kept, mut lines) = (Vec::new(), Vec::new());
        for (anchor, told) in anchored.anchors.iter().zip(told) {
            match told {
                Ok(_) => kept.push(anchor.place()),
                Err(why) => lines.push(format!("! the end of this log is not kept at {}: {why}", anchor.place())),
            }
        }
        if !lines.is_empty() {
            lines.push(format!("  next: bgctl audit anchor {id} --to PLACE"));
        }
        if !kept.is_empty() {
            lines.push(format!("the end of this log is kept at {}", kept.join(", ")));
        }
        lines
    }

    fn head(&self, log: Note) -> Head {
        // A ledger that cannot be read has been complained of already.
        Head { log, ledger: self.ledger.tip().ok().filter(|tip| *tip != Tip::nothing()) }
    }
}

/// The doors an anchor needs, with the secrets it names.
pub fn reach(
    cx: &Context,
    outside: &Surroundings,
    anchor: &anchors::Named,
    beside_policy: &Path,
) -> Result<Rc<Reach>, Refusal> {
    let clock = cx.clock.clone();
    let secrets = runbook::resolve_plan(&anchor.settings.to_string(), &outside.env)?;
    let Doors { web, processes, .. } = Doors::of(outside, &clock);
    let (folder, beside_policy) = (cx.cwd.clone(), beside_policy.to_path_buf());
    Ok(Rc::new(Reach { clock, web, processes, secrets, folder, beside_policy }))
}
