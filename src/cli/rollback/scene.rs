//! What a rollback begins with: the plan, the routes as they are now, and what the log says. The world is read first and beside
//! the log, which may be long, torn or gone.

use std::path::{Path, PathBuf};

use futures_util::future::join;
use serde_json::json;

use super::Args;
use super::action::{Blue, Disk, Holder, Live, Log, Situation};
use super::source::{self, Found, Named};
use super::waiting;
use crate::diag::{Code, Kind, Refusal};
use crate::journal::Archive;
use crate::plan::{Color, Plan, Split};
use crate::rehearsal::Mode;
use crate::run::State;
use crate::runbook::Sides;
use crate::session::surroundings::Surroundings;
use crate::session::{native, places, resources, serving, which};
use crate::shell::{Context, Exit};
use crate::users::{Ask, Users};
use crate::world::World;

/// Everything that was read before anything is decided.
pub struct Scene {
    pub outside: Surroundings,
    /// Where this run is kept, or would be.
    pub archive: Archive,
    pub plan: Plan,
    pub world: World,
    pub users: Users,
    pub found: Found,
    pub run: Option<(String, PathBuf)>,
    /// What a person should know of where the plan comes from.
    pub remark: Option<String>,
}

impl Scene {
    /// Reads it, or gives the exit of a runbook whose mistakes were shown.
    pub async fn read(args: &Args, cx: &Context) -> Result<Result<Scene, Exit>, Refusal> {
        let named = match &args.run {
            Some(name) if source::is_runbook(cx, name) => Named::Runbook { path: PathBuf::from(name) },
            name => {
                let found = which::called(cx, name.as_deref(), "rollback").await;
                let (id, folder) =
                    found.map_err(|refusal| if name.is_some() { without_run(refusal) } else { refusal })?;
                Named::Run { id, folder }
            }
        };
        match named {
            Named::Run { .. } if args.blue.is_some() => Err(of_a_runbook()),
            Named::Run { id, folder } => Scene::of_run(args, cx, id, folder).await.map(Ok),
            Named::Runbook { path } => Scene::of_runbook(args, cx, &path).await,
        }
    }

    async fn of_run(args: &Args, cx: &Context, id: String, folder: PathBuf) -> Result<Scene, Refusal> {
        let archive = places::holding(cx, &folder)?;
        let (name, place) = (id.clone(), folder.clone());
        let log = tokio::task::spawn_blocking(move || source::log(&name, &place));
        let log = async {
            log.await.unwrap_or_else(|error| Found {
                log: Log::Unreadable,
                plan: None,
                sound: None,
                state: State::default(),
                why: Some(format!("its log could not be read: {error}")),
            })
        };
        let beside = source::beside(&folder);
        let (first, found) = match &beside {
            Ok(plan) => {
                let outside = Surroundings::of_run(cx, &args.lab, plan)?;
                let world = resources::world_of_rollback(cx, &outside, plan)?;
                let (users, found) = join(Users::read(plan, &world, Ask::Blue), log).await;
                (Some((outside, world, users)), found)
            }
            Err(_) => (None, log.await),
        };
        let remark = match (&found.log, &found.why) {
            (Log::Unreadable | Log::Alien, Some(why)) if beside.is_ok() => Some(format!(
                "{why}. The plan is the one beside it ({}), which is not signed: it is used only for the rollback",
                folder.join("plan.json").display()
            )),
            (_, why) => why.clone(),
        };
        let plan = match (&found.log, found.plan.clone(), &beside) {
            (Log::Unreadable | Log::Alien, _, Ok(plan)) => plan.clone(),
            (_, Some(plan), _) => plan,
            (_, None, Ok(plan)) => plan.clone(),
            (_, None, Err(why)) => return Err(nothing_known(&id, &folder, found.why.as_deref(), why)),
        };
        let same = beside.as_ref().is_ok_and(|read| read.routes == plan.routes);
        let (outside, world, users) = match first.filter(|_| same) {
            Some(first) => first,
            // What lay beside the log was another plan, or none: the routes are those of the log.
            None => {
                let outside = Surroundings::of_run(cx, &args.lab, &plan)?;
                let world = resources::world_of_rollback(cx, &outside, &plan)?;
                let users = Users::read(&plan, &world, Ask::Blue).await;
                (outside, world, users)
            }
        };
        Ok(Scene { outside, archive, plan, world, users, found, run: Some((id, folder)), remark })
    }

    async fn of_runbook(args: &Args, cx: &Context, path: &Path) -> Result<Result<Scene, Exit>, Refusal> {
        let archive = if args.lab.lab { places::rehearsals(cx)? } else { places::real(cx)? };
        let folder = args.lab.lab.then(|| archive.root().to_path_buf());
        let outside = Surroundings::new(cx, &args.lab, folder, Mode::Http)?;
        let swap = args.swap || args.blue.as_deref() == Some("b");
        let (mut plan, sides, lacking) = match source::runbook(cx, path, &args.vars, swap, &outside).await? {
            Ok(found) => found,
            Err(exit) => return Ok(Err(exit)),
        };
        which_is_blue(args, path, sides)?;
        if let Some(refusal) = source::nowhere(&archive, &plan, &lacking) {
            return Err(refusal);
        }
        for (name, error) in &lacking {
            cx.err(&format!("! {name} is not found: {error}"));
        }
        // A person has said which stack: a run is gone on with only where that stack is what it was in it.
        let named = sides.found && args.blue.is_some();
        let told = if named { serving::tell(cx, &outside, &mut plan).await } else { None };
        told.iter().for_each(|line| cx.err(&format!("! {line}")));
        // Otherwise the newest run of either says which was blue.
        let other = match sides.found && !named {
            true => source::runbook(cx, path, &args.vars, true, &outside).await?.ok().map(|(plan, ..)| plan),
            false => None,
        };
        let plans: Vec<&Plan> = std::iter::once(&plan).chain(&other).collect();
        let known = source::known(&archive, &plans, sides.found && !(named && told.is_none()));
        if sides.found && !named && known.is_none() {
            return Err(serving::unsaid(&plan, &serving::splits(&plan, &outside).await));
        }
        if let Some((id, folder)) = known {
            cx.err(&format!("run {id} on this machine is about this runbook"));
            drop(outside);
            return Scene::of_run(args, cx, id, folder).await.map(Ok);
        }
        let world = resources::world_of_rollback(cx, &outside, &plan)?;
        let users = Users::read(&plan, &world, Ask::Blue).await;
        let splits = users.seen.iter().filter_map(|seen| Some((seen.name.clone(), seen.split()?)));
        let mut plan = source::from_here(plan, splits);
        // Leases are of the things that are really moved, which some places tell only when they are read.
        for seen in &users.seen {
            if let (Ok(reading), Some(planned)) = (&seen.reading, plan.routes.get_mut(&seen.name)) {
                planned.resources = world.route(&seen.name).resources(Some(reading));
            }
        }
        let remark = "no run on this machine is about this runbook: the rollback is made from the runbook alone";
        let found = Found { log: Log::None, plan: None, sound: None, state: State::default(), why: None };
        Ok(Ok(Scene { outside, archive, plan, world, users, found, run: None, remark: Some(remark.into()) }))
    }

    /// The provider's own commands, as lines; none where none is known.
    pub fn native(&self) -> Vec<String> {
        let kept = self.run.iter().flat_map(|(_, folder)| native::native(folder)).collect::<Vec<_>>();
        if kept.is_empty() { native::from_readings(&self.plan, &self.world, &self.users).0 } else { kept }
    }

    /// Shows what is, and what will be.
    pub fn show(&self, cx: &Context) {
        let plan = &self.plan;
        cx.err(&format!("{} · {} · back to BLUE {}", plan.service, plan.environment, plan.blue.named()));
        if let Some(remark) = &self.remark {
            cx.err(&format!("! {remark}"));
        }
        for seen in &self.users.seen {
            cx.err(&match &seen.reading {
                Ok(reading) => format!("  now      {}   read just now at {}", reading.split, seen.line),
                Err(unread) => format!("  now      unknown at {}: {}", seen.line, unread.why),
            });
            let blue = seen.targets(Color::Blue).unwrap_or_else(|| "BLUE's health was not checked".into());
            cx.err(&format!("  after    {}   {blue}", Split::ALL_BLUE));
        }
    }

    /// The row of the table.
    pub fn situation(&self, disk: Disk) -> Situation {
        let archive = &self.archive;
        let died = |(id, _): &(String, PathBuf)| waiting::died(archive, &self.plan, id).is_some();
        let holder = match waiting::holder(archive, &self.plan) {
            None if self.found.log.open() && self.run.as_ref().is_some_and(died) => Holder::Dead,
            None => Holder::None,
            Some(holder) if waiting::is_stopped(&holder) => Holder::Stopped,
            Some(_) => Holder::Alive,
        };
        let (live, blue) = (Live::of(&self.users), Blue::of(&self.users));
        Situation { log: self.found.log, live, blue, holder, disk }
    }

    /// The commands that do it without bgctl, from the run's folder or from what was read, each route for itself.
    pub fn print(&self, cx: &Context) -> Result<Exit, Refusal> {
        let (mut lines, mut any) = (Vec::new(), false);
        for seen in &self.users.seen {
            let kept = self.run.as_ref().and_then(|(_, folder)| Some((folder, native::kept(folder, &seen.name)?)));
            match kept {
                Some((folder, commands)) => {
                    any = true;
                    lines.push(format!("sh {}", folder.join("undo").join(format!("{}.sh", seen.name)).display()));
                    lines.extend(commands.iter().map(|line| format!("# {line}")));
                }
                None => {
                    let one = Users { seen: vec![seen.clone()], ..Users::default() };
                    let (found, has) = native::from_readings(&self.plan, &self.world, &one);
                    any |= has;
                    lines.extend(found);
                }
            }
        }
        if !any {
            let refusal = Refusal::new(Kind::Other, Code::NoNative, "no rollback command without bgctl is known")
                .users(format!("{}, read just now. Nothing was changed.", self.users.sentence(&self.plan)))
                .next(
                    "bgctl rollback RUNBOOK.yaml        everyone back to BLUE, from the runbook and the live systems",
                );
            return Err(lines.into_iter().fold(refusal, Refusal::cause));
        }
        match cx.machine() {
            true => cx.json(&json!({ "commands": lines })),
            false => lines.iter().for_each(|line| cx.out(line)),
        }
        Ok(Exit::Success)
    }
}

/// A run knows which stack was blue.
fn of_a_runbook() -> Refusal {
    Refusal::new(Kind::Usage, Code::CommandLine, "`--blue` is for a runbook: a run knows which stack was blue")
        .users("not checked. Nothing was changed.")
        .next("bgctl rollback RUNBOOK.yaml --blue NAME    everyone to that stack, from the runbook and the live systems alone")
        .next("bgctl rollback RUN                         everyone back to what was blue in that run")
}

/// `--swap` and `--blue` are each for one way of naming stacks.
fn which_is_blue(args: &Args, path: &Path, sides: Sides) -> Result<(), Refusal> {
    let runbook = path.display().to_string();
    match (sides.found, args.swap, &args.blue) {
        (true, true, _) => Err(serving::not_exchanged(&runbook)),
        (false, _, Some(_)) => Err(Refusal::new(Kind::Usage, Code::CommandLine, "`--blue` is for stacks `a` and `b`")
            .place(runbook.clone())
            .cause("this runbook says itself which stack is blue")
            .users("not checked. Nothing was changed.")
            .next(format!("bgctl rollback {runbook}"))),
        _ => Ok(()),
    }
}

/// No run is needed to go back.
fn without_run(refusal: Refusal) -> Refusal {
    refusal
        .cause("a run is known only on the machine that opened it; users may be under way from another machine")
        .next(
            "bgctl rollback RUNBOOK.yaml            everyone back to BLUE, from the runbook and the live systems alone",
        )
        .next("bgctl rollback --print RUNBOOK.yaml    the provider's own commands for it")
}

/// A run that is there by name and by nothing else.
fn nothing_known(id: &str, folder: &Path, log: Option<&str>, plan: &str) -> Refusal {
    let refusal = Refusal::new(Kind::Audit, Code::LogUnread, format!("run {id} has no plan that a rollback can use"))
        .place(folder.display().to_string())
        .cause(log.unwrap_or("its log has no plan").to_string())
        .cause(format!("the plan beside it: {plan}"))
        .users("not checked: their routes are named in that plan. Nothing was changed.")
        .next(
            "bgctl rollback RUNBOOK.yaml            everyone back to BLUE, from the runbook and the live systems alone",
        )
        .next("bgctl rollback --print RUNBOOK.yaml    the provider's own commands for it");
    native::native(folder).into_iter().fold(refusal, Refusal::next)
}
