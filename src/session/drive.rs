//! One process's part of a run once it is open: world, people and eyes around the driver, and its last word.
//!
//! `cutover`, `resume` and `rollback` all end here, so they cannot differ in what they write down or how they stop.

use std::path::Path;
use std::rc::Rc;

use async_trait::async_trait;
use serde_json::json;

use super::display::Display;
use super::launch::Launch;
use super::lease_guard::{Fenced, lost};
use super::native;
use super::notary::{Anchored, Begun};
use super::open::Open;
use super::resources::Resources;
use crate::diag::{Code, Kind, Refusal};
use crate::drive::{Broken, End, Run, Watch, drive, found};
use crate::journal::{Append, Entry, Record, SealState};
use crate::people::{self, Page, People};
use crate::plan::{Plan, Purpose};
use crate::report::{About, Chorus, Findings, Place, Reporter, Rest};
use crate::routers::NativeWayBack;
use crate::run::{Actor, Breach, Cause, Doing, Event, Evidence, RunOutcome, Wish};
use crate::secret::{self, TagKey};
use crate::shell::Exit;
use crate::world::{Scribe, World};

/// What stands in the log before the first thing is decided: where users were found, and what somebody wants.
#[derive(Default)]
pub struct Begins {
    pub seen: Option<Event>,
    pub wish: Option<(Actor, String)>,
}

/// How a process left a run: its exit, and where users were when they were read last of all.
pub struct Left {
    pub exit: Exit,
    pub found: Findings,
}

impl Launch<'_> {
    fn anchored(&self) -> Anchored {
        Anchored::new(self.cx, self.outside, self.policy)
    }

    /// Builds everything a run needs beside its journal. Nothing is asked of anybody yet.
    pub fn ready(&self) -> Result<Resources, Refusal> {
        self.approvals()?;
        Resources::new(self.cx, self.outside, &self.plan)
    }

    /// Drives an open run until it rests, closes its journal, and says the last word.
    pub async fn drive(&self, ready: Resources, mut open: Open, begins: Begins) -> Result<Left, Refusal> {
        let Resources { mut world, steps, automatic_used } = ready;
        if open.unrecorded.is_none() {
            let root = self.archive()?.root().join("keys").join("redaction");
            let root = secret::root(&root).map_err(|e| self.unwritable(e, &root))?;
            world.secrets = world.secrets.tagged(TagKey::of_run(&root, &self.plan.service, &open.id));
        }
        let seen = begins.seen.map(|event| match event {
            Event::UsersSeen { mut routes, settled } => {
                routes.values_mut().for_each(|route| route.line = world.secrets.mask(&route.line));
                Event::UsersSeen { routes, settled }
            }
            other => other,
        });
        let wish = begins.wish.map(|(by, line)| Event::Interrupted {
            wish: Wish::RollBack,
            by,
            line: world.secrets.mask(&line),
        });
        // The reading comes first: it decides whether anybody has moved, whatever the log says of it.
        let first: Vec<Record> = seen.iter().chain(&wish).map(Record::from).collect();
        let entries = open.journal.append(&first).map_err(|e| self.unwritable(e, &open.folder))?;
        open.past.extend(entries);
        // Only before anybody has moved: a way back waits for nobody.
        let fresh = open.facts().iter().all(|fact| matches!(fact, Event::Resumed { .. } | Event::UsersSeen { .. }));
        let mut begun = Begun { entries: Vec::new(), refusal: None };
        if fresh && self.plan.purpose == Purpose::Cutover {
            let anchored = self.anchored();
            let left_out = |place| self.cx.err(&format!("! lab      {place} is told nothing of a rehearsal"));
            anchored.left_out.iter().for_each(left_out);
            let told = open.witnesses.begin(&anchored, &mut open.journal, &open.folder).await;
            begun = told.map_err(|e| self.unwritable(e, &open.folder))?;
        }
        world.guards = Rc::new(self.guards(&open, &world)?);
        let leases = open.leases.clone();
        // The process before may have died between an automatic rollback and its freeze.
        let went_back = crate::run::replay(&self.plan, &open.facts()).ok().and_then(|state| state.went_back);
        if let Some(cause) = went_back
            && !open.past.iter().any(|entry| entry.kind == "freeze.changed")
            && let Some((scope, line)) = world.guards.went_back(&cause)
        {
            let freeze = Evidence::FreezeChanged { change: "set".into(), scope, line };
            let entries = open.journal.append(&[Record::from(&freeze)]);
            open.past.extend(entries.map_err(|e| self.unwritable(e, &open.folder))?);
        }
        let watch = Gates { plan: self.plan.clone() };
        let eyes =
            Display::new(self.cx, About { run: open.id.clone(), plan: self.plan.clone(), by: open.actor.name.clone() });
        let pager = self.pager(&open, &world)?;
        let people = self.people(&open, &eyes, pager.clone())?;
        let operator = self.operator(&open, &eyes)?;
        let keep = |route: &str, way: &NativeWayBack| native::keep(&open.folder, &self.plan, route, way);
        let nonce = people::request::nonce;
        let request = |at, until, measured: &[String]| {
            let nonce = nonce().unwrap_or_else(|e| panic!("the system gives no random bytes: {e}"));
            let binding = people::request::Binding {
                run: &open.id,
                requested_by: &open.actor.name,
                trigger: self.cx.trigger(),
                nonce: &nonce,
                until,
                measured,
            };
            people::request::build(&self.plan, at, &binding)
        };
        let run = Run {
            id: &open.id,
            plan: &self.plan,
            steps: &steps,
            world: &world,
            people: people.as_ref(),
            control: &operator,
            watch: &watch,
            keep: &keep,
            request: &request,
            deadlines: open.deadlines.as_ref(),
            rules: &open.rules,
            automatic_used,
        };
        let facts: Vec<Event> = open.past.iter().chain(&begun.entries).filter_map(Entry::event).collect();
        let mut chorus = eyes.chorus;
        open.past.iter().for_each(|entry| chorus.story.take(entry));
        begun.entries.iter().for_each(|entry| chorus.record(entry));
        let mut fenced = Fenced { journal: &mut open.journal, leases: leases.clone() };
        let driving = drive(&run, &facts, &mut fenced, &mut chorus);
        let end = match &eyes.live {
            Some(live) => {
                tokio::select! { end = driving => end, () = live.ticking() => unreachable!("BUG: the clock stopped") }
            }
            None => driving.await,
        };
        if let Ok(end) = &end {
            self.tell(&mut open, &pager, end, &world, &mut chorus).await;
        }
        if let Ok(End { outcome: RunOutcome::Halted, state, .. }) = &end {
            if !pager.is_out() && pager.calls() {
                self.called_again(&mut open, &pager, state, &world, &mut chorus).await;
            }
            self.acknowledged(&mut open, &pager, &operator, &mut chorus, &eyes.board).await;
        }
        drop(operator);
        let end = end.map(|end| End { refusal: end.refusal.or(begun.refusal), ..end });
        self.close(open, end, chorus, &world, people.as_ref()).await
    }

    async fn close(
        &self,
        open: Open,
        end: Result<End, Broken>,
        mut chorus: Chorus,
        world: &World,
        people: &dyn People,
    ) -> Result<Left, Refusal> {
        let Open { id, folder, journal, signer, witnesses, leases, unrecorded, .. } = open;
        let found = found(&self.plan, world).await;
        let users = world.secrets.mask(&found.line(&self.plan));
        let end = match end {
            Ok(end) => end,
            Err(broken) => {
                let before = |name: &String| self.plan.routes.get(name).map(|route| route.before);
                let moved = |(name, place): (&String, &Place)| place.split.as_ref().ok().copied() != before(name);
                let split = found.routes.iter().any(moved);
                return Err(self.broken(&broken, lost(&leases), (&users, split), &folder, people).await);
            }
        };
        let state = match end.outcome {
            RunOutcome::Holding | RunOutcome::Waiting => SealState::Handover,
            _ if matches!(end.state.doing, Doing::Ended(_)) => SealState::Closed,
            _ => SealState::Handover,
        };
        let closed = journal.close(state, Some(signer.as_ref()));
        let mut tail = Vec::new();
        match &closed {
            Ok(closed) => {
                if let Some(why) = &closed.unsigned {
                    tail.push(format!("! the owner's key did not close the log: {why}"));
                    tail.push(format!("  next: bgctl audit sign {id}        when the key is available again"));
                }
                match &unrecorded {
                    None => tail.extend(witnesses.leave(closed)),
                    Some(unrecorded) => tail.extend(unrecorded.keep(self, &id, closed)),
                }
            }
            Err(error) => {
                tail.push(format!("! the log could not be closed: {error}"));
                tail.push(format!("  next: bgctl resume {id}        closes it, once it can be written again"));
            }
        }
        let exit = match &end.refusal {
            Some(refusal) => Exit::from(refusal.kind),
            None => Exit::from(end.outcome),
        };
        if end.outcome == RunOutcome::Halted && !matches!(end.state.doing, Doing::Ended(_)) {
            tail.push(format!(
                "  or         bgctl approve {id}, then bgctl resume {id}: goes on with the rollback once it is approved"
            ));
        }
        if let Some(played) = &self.outside.lab {
            tail.push(String::new());
            tail.push(format!("lab: {}", played.lab.finish()));
        }
        if self.cx.output == crate::shell::Output::Json && end.refusal.is_none() {
            let outcome = end.outcome.name();
            self.cx.json(&json!({ "run": id, "outcome": outcome, "users": users, "record": folder }));
        }
        let rest = Rest {
            outcome: end.outcome,
            exit: exit.code(),
            found: Some(found.clone()),
            now: self.cx.clock.now(),
            native: self.native(&folder),
            folder: unrecorded.is_none().then(|| folder.display().to_string()),
            tail,
        };
        chorus.close(&rest);
        if let Ok(closed) = &closed
            && unrecorded.is_none()
        {
            // Behind the last words: whoever cancels a job does not wait for anchors.
            let lines = witnesses.end(&self.anchored(), &closed.head, &id, &folder).await;
            lines.iter().for_each(|line| self.cx.err(line));
        }
        match end.refusal {
            Some(refusal) => Err(refusal),
            None => Ok(Left { exit, found }),
        }
    }

    /// The journal broke while users may be split: nothing moves any more, and a person has to know.
    async fn broken(
        &self,
        broken: &Broken,
        lost: Option<String>,
        (users, split): (&str, bool),
        folder: &Path,
        people: &dyn People,
    ) -> Refusal {
        let (kind, code, headline, page) = match (&lost, broken) {
            (Some(_), _) => (
                Kind::Later,
                Code::LeaseLost,
                "this process has lost the lease of its run, so it moves no more users",
                "bgctl lost the lease of its run and has stopped",
            ),
            (None, Broken::Journal(_)) => (Kind::Environment, Code::NoRecord, UNWRITTEN, "bgctl lost its journal"),
            (None, Broken::Illegal(_)) => (
                Kind::Bug,
                Code::Machine,
                "an event does not fit the state of the run, so no more users are moved",
                "bgctl met a case that its run machine does not know, and has stopped",
            ),
        };
        let mut refusal = Refusal::new(kind, code, headline)
            .place(folder.display().to_string())
            .cause(lost.clone().unwrap_or_else(|| broken.to_string()))
            .users(format!("{users}, read just now."));
        if split {
            let page = Page {
                users: users.into(),
                happened: page.into(),
                bgctl: "users were left as they are; nothing more moves by itself".into(),
                choices: vec![people::Choice::new("bgctl rollback", "everyone back to BLUE, if BLUE is well")],
            };
            let (delivered, line) = people.page(&page).await;
            let paged = if delivered { "a person was paged" } else { "NOBODY COULD BE PAGED" };
            refusal = refusal.cause(format!("{paged}: {line}")).kind(Kind::Halted);
        }
        refusal = match lost {
            Some(_) => refusal.next("bgctl status        whether another process moves users now"),
            None => refusal
                .next("bgctl rollback        everyone back to blue; it asks first if it cannot be recorded either"),
        };
        self.native(folder).into_iter().fold(refusal, Refusal::next)
    }
}

const UNWRITTEN: &str = "the run cannot be recorded any more, so no more users are moved";

/// Keeps judging all gates of the plan while a run waits.
struct Gates {
    plan: Rc<Plan>,
}

#[async_trait(?Send)]
impl Watch for Gates {
    async fn breach(&self, world: &World, scribe: &dyn Scribe) -> Breach {
        match crate::gates::watch::Watch::new(&self.plan) {
            Ok(watch) => watch.breach("wait", world, scribe).await,
            Err(error) => Breach::new(Cause::NoVerdict, format!("the gates cannot be judged: {error:#}")),
        }
    }
}
