//! `bgctl rollback`: everyone back to blue, whatever the log says and whether there is one. Needs no runbook, no Prometheus, no
//! Slack, and where it has to, no run and no disk.
//!
//! The world is read first ([`scene`]); one table ([`action`]) says what follows. It goes on with the run that moved users, or
//! asks the process that drives it ([`waiting`]), or opens a run of its own, or goes without a record ([`unrecorded`]). What it
//! says at the end is made from a reading made at the end.

mod action;
mod asked;
mod disk;
mod scene;
mod source;
mod waiting;

use std::path::PathBuf;
use std::rc::Rc;

use serde_json::json;

use self::action::{Record, Situation, plan_of_action};
use self::scene::Scene;
use self::waiting::{Met, Wish};
use crate::diag::{Code, Kind, Refusal};
use crate::drive::found;
use crate::journal::Archive;
use crate::people::{Acknowledgement, acknowledge};
use crate::plan::{Color, Plan, Purpose};
use crate::report::Findings;
use crate::run::{Actor, Event, Evidence, RunOutcome, guard};
use crate::session::drive::{Begins, Left};
use crate::session::launch::{self, Launch};
use crate::session::mistakes;
use crate::session::open::Open;
use crate::session::surroundings::LabArgs;
use crate::session::{acting, native, overrides, resources, schema_check, serving, trust};
use crate::shell::{Context, Exit};

/// The reason of whoever gave none.
pub const NO_REASON: &str = "by hand";

/// Send everybody back to blue: one call for each route.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The run, or the end of its name; otherwise the run whose users are under way. Or a runbook, which needs no run:
    /// blue is the one it names.
    #[arg(value_name = "RUN|RUNBOOK")]
    pub run: Option<String>,
    /// Do not ask.
    #[arg(short, long)]
    pub yes: bool,
    /// Why; the log keeps it.
    #[arg(long, value_name = "TEXT", default_value = NO_REASON)]
    pub reason: String,
    /// Roll back against a guard; takes a reason. `schema`: also takes a second person's signed approval.
    /// `blue-health`: BLUE is not well, or its health is not known. May be given more than once.
    #[arg(long = "override", value_name = "GUARD", value_parser = overrides::GUARDS)]
    pub overrides: Vec<String>,
    /// Only print the commands that roll back without bgctl.
    #[arg(long)]
    pub print: bool,
    /// Roll back even if it cannot be recorded. Without a terminal it takes `--confirm` too.
    #[arg(long)]
    pub unrecorded: bool,
    /// The environment's name, for `--unrecorded` where nobody can be asked.
    #[arg(long, value_name = "ENVIRONMENT", requires = "unrecorded")]
    pub confirm: Option<String>,
    /// Where to write the record at the end, if it cannot be written to its usual place.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Give a variable of the runbook its value.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = mistakes::variable)]
    pub vars: Vec<(String, String)>,
    /// Read the runbook with blue and green exchanged, as the cutover did.
    #[arg(long)]
    pub swap: bool,
    /// The stack that everybody goes to, where the runbook has `a` and `b` and no run of it is known here.
    #[arg(long, value_name = "NAME", value_parser = ["a", "b"])]
    pub blue: Option<String>,
    #[command(flatten)]
    pub launch: launch::SigningArgs,
    #[command(flatten)]
    pub lab: LabArgs,
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    cx.block_on(rollback(args, cx))?
}

async fn rollback(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let scene = match Scene::read(args, cx).await? {
        Ok(scene) => scene,
        Err(exit) => return Ok(exit),
    };
    if scene.plan.moves_nobody() {
        let headline = "the runbook has no route, so there are no users to bring back";
        return Err(Refusal::new(Kind::Usage, Code::NoMove, headline)
            .place(scene.plan.runbook.clone())
            .users("not asked. Nothing was changed.")
            .next("bgctl status        what a run of it has done"));
    }
    if args.print {
        return scene.print(cx);
    }
    let native = scene.native();
    let done = back(args, cx, scene).await;
    // Whoever cannot go back with us is told how to without.
    done.map_err(|refusal| match refusal.next.iter().any(|line| native.contains(line)) {
        true => refusal,
        false => native.into_iter().fold(refusal, Refusal::next),
    })
}

async fn back(args: &Args, cx: &Context, scene: Scene) -> Result<Exit, Refusal> {
    scene.show(cx);
    if scene.run.is_some() {
        let users = scene.users.sentence(&scene.plan);
        serving::still_blue(cx, &scene.outside, &scene.plan, &users).await?;
    }
    let folder = scene.run.as_ref().map(|(_, folder)| folder.as_path());
    let archive = scene.archive.clone();
    let archive = &archive;
    let (disk, broken) = disk::probe(archive.root(), folder);
    let situation = scene.situation(disk);
    let action = plan_of_action(&situation);
    if action.record == Record::Nothing {
        return Ok(nothing(cx, &scene, &situation));
    }
    situation.says().iter().for_each(|line| cx.err(line));
    let against = match action.moves {
        true => against(args, cx, &scene).await?,
        false => None,
    };
    let ill_blue = overrides::ill_blue(cx, &args.overrides, &args.reason)?;
    // Whatever takes time is done before the question: behind the answer only the move itself is waited for.
    let _ = trust::approvers(cx, &args.launch.trust);
    let _ = trust::looks(cx, args.launch.key.as_deref(), scene.plan.owners.iter().map(|owner| owner.as_str()));
    let broken = broken.unwrap_or_default();
    let answered = match action.record {
        Record::Nowhere => asked::without_record(args, cx, &scene.plan.environment, &broken).await?,
        _ => asked::agreed(args, cx, &scene.users.sentence(&scene.plan)).await?,
    };
    let Some(answered) = answered else {
        cx.err("Nothing was changed.");
        return Ok(Exit::Stopped);
    };
    let by = acting::here(cx, args.launch.key.as_deref(), Some(&scene.plan));
    // What is handed to other processes lies in files of the run's folder, where no secret may stand.
    scene.outside.known(cx, &scene.plan.canonical());
    let reason = cx.known.mask(&args.reason);
    if let Some(folder) = folder {
        // Whoever goes back has it. That nobody else is called is a courtesy, and no reason to go back later.
        let given = Acknowledgement { by: by.clone(), at: cx.clock.now(), word: Some(reason.clone()) };
        let _ = acknowledge(folder, &given);
    }
    let native = scene.native();
    let mut going =
        Going { args, cx, archive, scene, answered, by, reason, against, ill_blue, native, broken, notes: Vec::new() };
    going.go(action.record, action.asks_holder).await
}

/// Nobody is anywhere else, and there is nothing to write.
fn nothing(cx: &Context, scene: &Scene, situation: &Situation) -> Exit {
    let ailing: Vec<String> = scene.users.seen.iter().flat_map(|seen| seen.ailing()).collect();
    let programs = if ailing.is_empty() { Vec::new() } else { native::readying(&scene.plan) };
    // Users are where they are wanted, and a drain may have taken their side out: that is not done with.
    let (outcome, exit) = match programs.is_empty() {
        true => (RunOutcome::NoChanges, Exit::Success),
        false => (RunOutcome::Halted, Exit::Halted),
    };
    match programs.is_empty() {
        true => cx.err("NO CHANGES. All users are on BLUE already."),
        false => cx.err("! All users are on BLUE, and BLUE cannot take them on every route. Nothing was changed."),
    }
    if !programs.is_empty() {
        ailing.iter().for_each(|line| cx.err(&format!("  users      {line}")));
        programs.iter().for_each(|program| cx.err(&format!("  next       {}", program.typed)));
    }
    situation.says().iter().filter(|line| line.starts_with("Another")).for_each(|line| cx.err(line));
    if cx.machine() {
        let run = scene.run.as_ref().map(|(id, _)| id);
        let users = scene.users.sentence(&scene.plan);
        cx.json(&json!({ "run": run, "outcome": outcome.name(), "users": users, "ailing": ailing }));
    }
    exit
}

/// Why the schema stands against going back, where somebody may pass over it and said so.
async fn against(args: &Args, cx: &Context, scene: &Scene) -> Result<Option<String>, Refusal> {
    let against = schema_check::against(cx, &scene.outside, &scene.plan, &scene.found.state).await?;
    if let Some(why) = &against {
        schema_check::overridden(&scene.plan, why, overrides::names(&args.overrides, guard::SCHEMA), &args.reason)?;
        cx.err(&format!("! schema   {why}: this is overridden once a second person approves"));
    } else if overrides::names(&args.overrides, guard::SCHEMA) {
        cx.err("  schema   nothing stands against a rollback, so nothing is overridden");
    }
    Ok(against)
}

/// A rollback that was agreed to.
struct Going<'a> {
    args: &'a Args,
    cx: &'a Context,
    archive: &'a Archive,
    scene: Scene,
    answered: Evidence,
    by: Actor,
    reason: String,
    against: Option<String>,
    /// This person passes over BLUE's health.
    ill_blue: bool,
    native: Vec<String>,
    /// Why nothing can be written down, where that is so.
    broken: String,
    /// What its own log says of why it is one.
    notes: Vec<String>,
}

impl Going<'_> {
    async fn go(&mut self, mut record: Record, mut asks: bool) -> Result<Exit, Refusal> {
        loop {
            // What only the database says now stands in no plan of an open run: it halts, and the next run waits for a second
            // person.
            let opens = self.against.is_some() && self.scene.plan.waits_by_hand();
            if std::mem::take(&mut asks) {
                if self.ill_blue
                    && let Some((_, folder)) = &self.scene.run
                {
                    // Where it cannot be left, the holder refuses an ill blue, and its refusal says so.
                    let _ = overrides::hand_over(folder, &self.by, &self.reason);
                }
                let wish = Wish { by: &self.by, reason: &self.reason, overrides: opens };
                match waiting::ask(self.cx, self.archive, &self.scene.plan, &wish, &self.native).await? {
                    Met::Ended(RunOutcome::Completed | RunOutcome::NoChanges, _) => continue,
                    Met::Ended(outcome, line) => return Ok(self.followed(outcome, &line).await),
                    Met::Gone => record = if self.scene.found.log.open() { Record::SameLog } else { Record::OwnRun },
                    Met::Replaced(line) => {
                        self.notes.push(line);
                        record = Record::OwnRun;
                        // It writes no more, so what it has sent is known now.
                        if let Some((id, folder)) = &self.scene.run {
                            self.scene.found = source::log(id, folder);
                        }
                    }
                }
            }
            let opened = match (&record, &self.scene.run) {
                (Record::SameLog, Some((id, folder))) => self.same(&id.clone(), &folder.clone()),
                (Record::Nowhere, _) => self.launch(self.own()).without_record(self.args.record.clone(), &self.broken),
                _ => self.launch(self.own()).create(),
            };
            let open = match opened {
                Ok(open) => open,
                Err(refusal) if refusal.code == Code::Locked => {
                    asks = true;
                    continue;
                }
                Err(refusal) if record == Record::SameLog => {
                    let why = refusal.cause.first().unwrap_or(&refusal.headline).clone();
                    self.cx.err(&format!("! this run's log cannot be continued ({why}); a new run does the rollback"));
                    self.notes.push(format!("the log of the run could not be continued: {why}"));
                    record = Record::OwnRun;
                    continue;
                }
                Err(refusal) if record == Record::OwnRun && refusal.kind == Kind::Environment => {
                    self.broken = refusal.cause.first().unwrap_or(&refusal.headline).clone();
                    self.cx.err(&format!("! no run can be recorded: {}", self.broken));
                    let environment = self.scene.plan.environment.clone();
                    match asked::without_record(self.args, self.cx, &environment, &self.broken).await? {
                        Some(answered) => self.answered = answered,
                        None => {
                            self.cx.err("Nothing was changed.");
                            return Ok(Exit::Stopped);
                        }
                    }
                    record = Record::Nowhere;
                    continue;
                }
                Err(refusal) => return Err(refusal),
            };
            return self.drive(record, open, opens).await;
        }
    }

    fn launch(&self, plan: Plan) -> Launch<'_> {
        let (cx, outside, args) = (self.cx, &self.scene.outside, &self.args.launch);
        let native = self.native.clone();
        Launch { cx, outside, args, policy: None, plan: Rc::new(plan), command: "rollback", native }
    }

    fn same(&self, id: &str, folder: &std::path::Path) -> Result<Open, Refusal> {
        self.launch(self.scene.plan.clone()).resume(id, folder, self.scene.found.sound.as_ref())
    }

    /// The plan of a run that only goes back.
    fn own(&self) -> Plan {
        let purpose = match &self.scene.run {
            Some((id, _)) => Purpose::RollbackOf(id.clone()),
            None => Purpose::RollbackWithoutRun,
        };
        let plan = Plan { purpose, ..self.scene.plan.clone() };
        self.against.iter().fold(plan, |plan, why| schema_check::waiting(plan, why))
    }

    async fn drive(&mut self, record: Record, mut open: Open, opens: bool) -> Result<Exit, Refusal> {
        let same = record == Record::SameLog;
        let settled = self.scene.found.settled(!self.notes.is_empty());
        let seen = Some(Event::UsersSeen { routes: self.scene.users.sightings(), settled });
        let plan = if same { self.scene.plan.clone() } else { self.own() };
        if record == Record::OwnRun {
            native::keep_all(&open.folder, &plan, &self.scene.world, &self.scene.users);
        }
        // Whoever goes back is whoever signs the record of it.
        self.by.name.clone_from(&open.actor.name);
        let world = resources::again(&self.scene.world);
        self.scene.users.hand_over(&world);
        let ready = resources::of_rollback(world, &plan)?;
        let launch = self.launch(plan);
        launch.answered(&mut open, &self.answered)?;
        let remark = self.scene.remark.iter().filter(|_| !same);
        for line in self.notes.iter().chain(remark) {
            launch.answered(&mut open, &Evidence::Note { line: self.cx.known.mask(line) })?;
        }
        if self.ill_blue {
            overrides::write(&launch, &mut open, &self.by, &self.args.reason)?;
        }
        if self.against.is_some() && (!same || opens) {
            launch.overridden(&mut open, &self.by, &self.args.reason)?;
        } else if self.against.is_some() {
            self.cx.err("  schema   this run halts; the same command again opens one that waits for a second person");
        }
        let wish = (same && !opens).then(|| (self.by.clone(), self.args.reason.clone()));
        let Left { exit, found } = launch.drive(ready, open, Begins { seen, wish }).await?;
        Ok(self.home(exit, &found))
    }

    /// For this command, users back on blue is what was asked for; whether they are is read, never concluded.
    fn home(&self, exit: Exit, found: &Findings) -> Exit {
        let over = matches!(exit, Exit::RolledBack | Exit::Stopped | Exit::Success);
        match (found.only() == Some(Color::Blue), over) {
            (true, true) => Exit::Success,
            (false, true) => {
                let sentence = self.cx.known.mask(&found.line(&self.scene.plan));
                self.cx.err(&format!("! not all users are on BLUE: {sentence}, read just now"));
                self.native.iter().for_each(|line| self.cx.err(&format!("  {line}")));
                Exit::Halted
            }
            (_, false) => exit,
        }
    }

    /// The process that drove the run has ended it. Where users are is read all the same.
    async fn followed(&self, outcome: RunOutcome, line: &str) -> Exit {
        let found = found(&self.scene.plan, &self.scene.world).await;
        let sentence = self.cx.known.mask(&found.line(&self.scene.plan));
        self.cx.err(&format!("{}: {line}", outcome.name()));
        self.cx.err(&format!("  users      {sentence}, read just now"));
        if self.cx.machine() {
            let run = self.scene.run.as_ref().map(|(id, _)| id);
            self.cx.json(&json!({ "run": run, "outcome": outcome.name(), "users": sentence }));
        }
        self.home(Exit::from(outcome), &found)
    }
}
