//! One process's part of a run once it is open: world, people and eyes around the driver, and its last word.
//!
//! `cutover`, `resume` and `rollback` all end here, so they cannot differ in what they write down or how they stop.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use async_trait::async_trait;
use serde_json::json;

use super::eyes::Eyes;
use super::open::Open;
use super::policy::PolicyArgs;
use super::prepare::Surroundings;
use super::ready::Ready;
use super::witnesses::{Anchored, Begun};
use super::{Context, Exit, requests, standing, undo};
use crate::diag::{Kind, Refusal};
use crate::drive::{Broken, End, Run, Watch, drive};
use crate::guards::freeze::{self, Freezes};
use crate::guards::{self};
use crate::journal::{Append, Archive, Entry, Journal, JournalError, Lock, Record, SealState};
use crate::people::{self, Ci, Inbox, Operator, Pager, People, Terminal};
use crate::plan::{Plan, Purpose, Split};
use crate::report::{About, Chorus, Reporter, Rest};
use crate::routers::NativeWayBack;
use crate::run::{Actor, Cause, Event, Evidence, RunOutcome, Wish};
use crate::secret::{self, TagKey};
use crate::sign::PublicKey;
use crate::world::{Scribe, World};

/// Who signs, and whose approvals count.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SigningArgs {
    /// The key that signs the run: a key file, or `agent:SHA256:…`.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Take approvals as signed files from this folder; requests are written there too.
    #[arg(long, value_name = "DIR")]
    pub approvals: Option<PathBuf>,
    /// Whose signatures count (OpenSSH's format); `.bgctl/allowed_signers` otherwise.
    #[arg(long, value_name = "FILE")]
    pub allowed_signers: Option<PathBuf>,
    /// Keys that no longer count: one public key or SHA256: fingerprint a line, or OpenSSH's binary list (KRL);
    /// `revoked_keys` beside the allowed signers always counts.
    #[arg(long, value_name = "FILE")]
    pub revoked: Vec<PathBuf>,
}

/// What a process brings to a run.
pub struct Launch<'a> {
    pub cx: &'a Context,
    pub outside: &'a Surroundings,
    pub args: &'a SigningArgs,
    /// The policy that holds; none for a command that only ever goes back.
    pub policy: Option<&'a PolicyArgs>,
    pub plan: Rc<Plan>,
    /// The command line's own word, for whoever meets the lock.
    pub command: &'static str,
}

impl Launch<'_> {
    pub(super) fn archive(&self) -> Result<Archive, Refusal> {
        Ok(Archive::new(self.cx.state_dir()?))
    }

    pub(super) fn users_as_planned(&self) -> String {
        let split = self.plan.routes.values().map(|r| format!("{} at {}", r.before, r.line)).collect::<Vec<_>>();
        format!("{}, read when the plan was made. Nothing was changed.", split.join("; "))
    }

    pub(super) fn unwritable(&self, cause: impl std::fmt::Display, place: &Path) -> Refusal {
        Refusal::new(Kind::Environment, "BG0601", "the journal cannot be written, so nothing may move")
            .place(place.display().to_string())
            .cause(cause.to_string())
            .users(self.users_as_planned())
            .next(format!("df -h {}        free space, or choose another place with --state-dir", place.display()))
    }

    fn anchored(&self) -> Anchored {
        Anchored::new(self.cx, self.outside, self.policy)
    }

    /// Builds everything a run needs beside its journal. Nothing is asked of anybody yet.
    pub fn ready(&self) -> Result<Ready, Refusal> {
        Ready::new(self.cx, self.outside, &self.plan)
    }

    /// Drives an open run until it rests, closes its journal, and says the last word.
    pub async fn drive(&self, ready: Ready, mut open: Open, wish: Option<(Actor, String)>) -> Result<Exit, Refusal> {
        let Ready { mut world, steps, automatic_used } = ready;
        let root = self.archive()?.root().join("keys").join("redaction");
        let root = secret::root(&root).map_err(|e| self.unwritable(e, &root))?;
        world.secrets = world.secrets.tagged(TagKey::of_run(&root, &self.plan.service, &open.id));
        if let Some((by, line)) = wish {
            let line = world.secrets.mask(&line);
            let wish = Record::from(&Event::Interrupted { wish: Wish::RollBack, by, line });
            let entries = crate::journal::Append::append(&mut open.journal, &[wish]);
            open.past.extend(entries.map_err(|e| self.unwritable(e, &open.folder))?);
        }
        // Only before anybody has moved: a way back waits for nobody.
        let fresh = open.facts().iter().all(|fact| matches!(fact, Event::Resumed { .. }));
        let mut begun = Begun { entries: Vec::new(), refusal: None };
        if fresh && self.plan.purpose == Purpose::Cutover {
            let anchored = self.anchored();
            let told = open.witnesses.begin(&anchored, &mut open.journal, &open.folder).await;
            begun = told.map_err(|e| self.unwritable(e, &open.folder))?;
        }
        world.guards = Rc::new(self.guards(&open, &world)?);
        let leases = open.leases.clone();
        if open.past.iter().any(|entry| matches!(entry.event(), Some(Event::RollbackBegun { automatic: true, .. })))
            && !open.past.iter().any(|entry| entry.kind == "freeze.changed")
            && let Some((scope, line)) = world.guards.went_back("taken up again after a crash")
        {
            let freeze = Evidence::FreezeChanged { change: "set".into(), scope, line };
            let entries = open.journal.append(&[Record::from(&freeze)]);
            open.past.extend(entries.map_err(|e| self.unwritable(e, &open.folder))?);
        }
        let watch = Gates { plan: self.plan.clone() };
        let eyes =
            Eyes::new(self.cx, About { run: open.id.clone(), plan: self.plan.clone(), by: open.actor.name.clone() });
        let people = self.people(&open, &eyes, &world)?;
        let operator = self.operator(&open, &eyes)?;
        let keep = |route: &str, way: &NativeWayBack| undo::keep(&open.folder, route, way);
        let nonce = people::request::nonce;
        let request = |at, expires, measured: &[String]| {
            let nonce = nonce().unwrap_or_else(|e| panic!("the system gives no random bytes: {e}"));
            let binding = people::request::Binding {
                run: &open.id,
                requested_by: &open.actor.name,
                trigger: self.cx.trigger(),
                nonce: &nonce,
                expires,
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
            standing: &open.standing,
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
        drop(operator);
        let end = end.map(|end| End { refusal: end.refusal.or(begun.refusal), ..end });
        self.close(open, end, chorus, &world, people.as_ref()).await
    }

    /// Everything that may forbid a move of this run.
    fn guards(&self, open: &Open, world: &World) -> Result<guards::Standing, Refusal> {
        let leases = open.leases.clone();
        let epochs = leases.iter().map(Lock::epoch).collect();
        let key: guards::Question = match PublicKey::from_line(&open.signer.public()) {
            Ok(key) => standing::key(open.standing.trust().clone(), key, self.cx.clock.clone()),
            // A shared key stands in no list, so none can say anything about it.
            Err(_) => Box::new(|| None),
        };
        Ok(guards::Standing {
            run: open.id.clone(),
            plan: self.plan.clone(),
            clock: open.deadlines.clone(),
            lease: Box::new(move || lost(&leases)),
            epochs,
            key,
            freezes: freezes(self.cx)?,
            // A lab's routes live and die with the process that plays it.
            freezes_after_rollback: self.outside.lab.is_none(),
            credentials: guards::Credentials::new(self.cx.clock.clone(), world.routes.clone()),
            more: Vec::new(),
        })
    }

    async fn close(
        &self,
        open: Open,
        end: Result<End, Broken>,
        mut chorus: Chorus,
        world: &World,
        people: &dyn People,
    ) -> Result<Exit, Refusal> {
        let Open { id, folder, journal, signer, witnesses, leases, .. } = open;
        let users = world.secrets.mask(&read_users(&self.plan, world).await);
        let end = match end {
            Ok(end) => end,
            Err(broken) => return Err(self.broken(&broken, lost(&leases), &users, &folder, people).await),
        };
        let state = match end.outcome {
            RunOutcome::Holding | RunOutcome::Waiting => SealState::Handover,
            _ if matches!(end.state.doing, crate::run::Doing::Ended(_)) => SealState::Closed,
            _ => SealState::Handover,
        };
        let closed = journal.close(state, Some(signer.as_ref()));
        let mut tail = Vec::new();
        match &closed {
            Ok(closed) => {
                if let Some(why) = &closed.unsigned {
                    tail.push(format!("! the owner's key did not close the log: {why}"));
                    tail.push(format!("  next: bgctl audit sign {id}        when the key is there again"));
                }
                tail.extend(witnesses.leave(closed));
            }
            Err(error) => tail.push(format!("! the log could not be closed: {error}")),
        }
        let exit = match &end.refusal {
            Some(refusal) => Exit::from(refusal.kind),
            None => Exit::from(end.outcome),
        };
        if let Some(lab) = &self.outside.lab {
            tail.push(String::new());
            tail.push(format!("lab: {}", lab.finish()));
        }
        if self.cx.output == super::Output::Json && end.refusal.is_none() {
            let outcome = end.outcome.name();
            self.cx.json(&json!({ "run": id, "outcome": outcome, "users": users, "record": folder }));
        }
        let rest = Rest {
            outcome: end.outcome,
            exit: exit.code(),
            users: Some(users),
            now: self.cx.clock.now(),
            native: undo::native(&folder),
            folder: Some(folder.display().to_string()),
            tail,
        };
        chorus.close(&rest);
        if let Ok(closed) = &closed {
            // Behind the last words: whoever cancels a job does not wait for anchors.
            let lines = witnesses.end(&self.anchored(), &closed.head, &id, &folder).await;
            lines.iter().for_each(|line| self.cx.err(line));
        }
        match end.refusal {
            Some(refusal) => Err(refusal),
            None => Ok(exit),
        }
    }

    /// The journal broke while users may be split: nothing moves any more, and a person has to know.
    async fn broken(
        &self,
        broken: &Broken,
        lost: Option<String>,
        users: &str,
        folder: &Path,
        people: &dyn People,
    ) -> Refusal {
        let (kind, code, headline, page) = match (&lost, broken) {
            (Some(_), _) => (
                Kind::Later,
                "BG0161",
                "this process has lost the lease of its run, so it moves nobody any more",
                "bgctl lost the lease of its run and has stopped",
            ),
            (None, Broken::Journal(_)) => (Kind::Environment, "BG0602", UNWRITTEN, "bgctl lost its journal"),
            (None, Broken::Illegal(_)) => (Kind::Bug, "BG0702", UNWRITTEN, "bgctl lost its journal"),
        };
        let mut refusal = Refusal::new(kind, code, headline)
            .place(folder.display().to_string())
            .cause(lost.clone().unwrap_or_else(|| broken.to_string()))
            .users(format!("{users}, read just now."));
        let split = !self.plan.routes.values().all(|r| users.contains(&r.before.to_string()));
        if split {
            let (delivered, line) = people.page(&format!("{page}; users: {users}")).await;
            let paged = if delivered { "a person was paged" } else { "NOBODY COULD BE PAGED" };
            refusal = refusal.cause(format!("{paged}: {line}")).kind(Kind::Halted);
        }
        refusal = match lost {
            Some(_) => refusal.next("bgctl status        whether another process moves users now"),
            None => refusal.next("free space or mend the disk, then: bgctl rollback        everyone back to blue"),
        };
        undo::native(folder).into_iter().fold(refusal, Refusal::next)
    }

    fn people(&self, open: &Open, eyes: &Eyes, world: &World) -> Result<Box<dyn People>, Refusal> {
        let plan = &self.plan;
        let about = format!("{} {} run {}", plan.service, plan.environment, open.id);
        let pager = Pager::new(&plan.policy.page, world.secrets.clone(), world.web.clone(), about)
            .map_err(|e| Refusal::new(Kind::Invalid, "BG0109", "policy.page cannot be used").cause(e))?;
        let signers = self.approvers()?.signers().demanding(self.demands());
        let named = self.args.approvals.as_ref().map(|folder| self.cx.cwd.join(folder));
        let folder = named.unwrap_or_else(|| open.folder.join("approvals"));
        let mut barred = requests::barred(&open.past);
        barred.extend(requests::runner(open, self.cx.trigger()));
        let archive = self.archive()?;
        let known = Rc::new(move || requests::known(&archive));
        let inbox =
            Inbox::new(folder, people::trusting(signers), barred).knowing(known).also(open.folder.join("approvals"));
        let clock = open.deadlines.clone();
        let actor = open.actor.clone();
        Ok(match &eyes.keyboard {
            Some(keyboard) => Box::new(Terminal {
                keyboard: keyboard.clone(),
                board: eyes.board.clone(),
                clock,
                actor: Actor { via: "prompt".into(), ..actor },
                inbox,
                pager,
            }),
            None => Box::new(Ci { run: open.id.clone(), actor, clock, inbox, pager, board: eyes.board.clone() }),
        })
    }

    fn operator(&self, open: &Open, eyes: &Eyes) -> Result<Operator, Refusal> {
        let live = eyes.live.clone();
        let status = move || {
            if let Some(live) = &live {
                live.status();
            }
        };
        let (clock, folder) = (self.cx.clock.clone(), open.folder.clone());
        let actor = Actor { via: "key".into(), ..open.actor.clone() };
        Operator::new(eyes.keyboard.clone(), clock, folder, actor, eyes.board.clone(), status).map_err(|e| {
            Refusal::new(Kind::Environment, "BG0204", "signals cannot be listened to").cause(e.to_string())
        })
    }
}

const UNWRITTEN: &str = "the run cannot be written down any more, so nothing more moves";

/// Why this process may not go on, if somebody has taken one of its leases.
fn lost(leases: &[Lock]) -> Option<String> {
    leases.iter().find_map(Lock::lost)
}

/// The freezes as this process finds them.
pub fn freezes(cx: &Context) -> Result<Freezes, Refusal> {
    Ok(Freezes::new(&cx.state_dir()?, &cx.cwd, cx.var(freeze::VARIABLE)))
}

/// A journal that only the holder of its leases writes: whoever was stopped while another took over must not append to a log
/// that is the other's now.
struct Fenced<'a> {
    journal: &'a mut Journal,
    leases: Rc<Vec<Lock>>,
}

impl Append for Fenced<'_> {
    fn append(&mut self, records: &[Record]) -> Result<Vec<Entry>, JournalError> {
        match lost(&self.leases) {
            Some(what) => Err(JournalError { what }),
            None => self.journal.append(records),
        }
    }
}

/// Keeps judging all gates of the plan while a run waits.
struct Gates {
    plan: Rc<Plan>,
}

#[async_trait(?Send)]
impl Watch for Gates {
    async fn breach(&self, world: &World, scribe: &dyn Scribe) -> (Cause, String) {
        match crate::steps::watch::Watch::new(&self.plan) {
            Ok(watch) => watch.breach("wait", world, scribe).await,
            Err(error) => (Cause::NoVerdict, format!("the gates cannot be judged: {error:#}")),
        }
    }
}

/// Where the users are, in words, read now.
pub async fn read_users(plan: &Plan, world: &World) -> String {
    let mut lines = Vec::new();
    for (name, planned) in &plan.routes {
        lines.push(match world.route(name).read().await {
            Ok(reading) => line(plan, reading.split),
            Err(error) => format!("unknown at {} ({error})", planned.line),
        });
    }
    lines.dedup();
    lines.join("; ")
}

fn line(plan: &Plan, split: Split) -> String {
    match split.only() {
        Some(stack) => format!("{split} (all on {stack} {})", plan.stack(stack).version),
        None => split.to_string(),
    }
}
