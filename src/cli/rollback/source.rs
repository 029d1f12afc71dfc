//! Where the plan of a rollback comes from: the log of a run, the plan beside a log that cannot be used, or a runbook alone.
//!
//! A plan without a signature is only ever used to go back, and only after the routes were shown. Nothing is decided here.

use std::path::{Path, PathBuf};

use super::action::Log;
use crate::arm;
use crate::diag::{Code, Kind, Refusal};
use crate::file;
use crate::journal::{Archive, Entry, SealState, Sound, Unread, read_on};
use crate::plan::{Plan, Split};
use crate::routers::RouterError;
use crate::run::{Doing, Event, RunOutcome, State, replay};
use crate::runbook::{Sides, Source as File};
use crate::session::surroundings::Surroundings;
use crate::session::{pin, prepare};
use crate::shell::Context;

/// What the command line named.
pub enum Named {
    Run { id: String, folder: PathBuf },
    Runbook { path: PathBuf },
}

/// A log as it was found, with what it says of the run where it can be used.
pub struct Found {
    pub log: Log,
    pub plan: Option<Plan>,
    /// What was read of it, so that it need not be read again.
    pub sound: Option<Sound>,
    pub state: State,
    /// Why it cannot be used, or what to know of it.
    pub why: Option<String>,
}

impl Found {
    /// No write of that run can land any more: by its log where that says, and where it does not, by whether a process that drove
    /// it was there until now.
    pub fn settled(&self, was_there: bool) -> bool {
        match (self.log, &self.plan) {
            (Log::None | Log::Alien | Log::Unreadable, _) | (_, None) => !was_there,
            (_, Some(plan)) => !self.state.writes_out(plan),
        }
    }
}

/// A file of that name, or one that is called like a runbook, is a runbook; everything else is the name of a run.
pub fn is_runbook(cx: &Context, name: &str) -> bool {
    let called = Path::new(name).extension().is_some_and(|end| end == "yaml" || end == "yml");
    called || cx.cwd.join(name).is_file()
}

/// Reads a run's log. It may be large, and is read on a thread of its own while the routes are.
pub fn log(id: &str, folder: &Path) -> Found {
    let unusable =
        |log: Log, why: String| Found { log, plan: None, sound: None, state: State::default(), why: Some(why) };
    let sound = match read_on(folder, None) {
        Ok(sound) => sound,
        Err(Unread::Io(error)) => return unusable(Log::Unreadable, format!("its log cannot be read: {error}")),
        Err(Unread::Fault(fault)) => {
            return unusable(Log::Unreadable, format!("its log does not hold together: {fault}"));
        }
    };
    if sound.run != id {
        return unusable(Log::Alien, format!("the log in its folder is that of run {}", sound.run));
    }
    of_sound(sound)
}

fn of_sound(sound: Sound) -> Found {
    let events: Vec<Event> = sound.entries.iter().filter_map(Entry::event).collect();
    let plan = sound.plan.clone();
    let state = match replay(&plan, &events) {
        Ok(state) => state,
        Err(illegal) => {
            let why = Some(format!("its log does not follow its plan: {illegal}"));
            return Found { log: Log::Unreadable, plan: Some(plan), sound: None, state: State::default(), why };
        }
    };
    let log = match (&state.doing, sound.state) {
        (Doing::Ended(RunOutcome::Halted), _) => Log::Halted,
        (Doing::Ended(_), _) | (_, SealState::Closed) => Log::Ended,
        _ if sound.torn > 0 => Log::Torn,
        _ if state.lane == crate::plan::Lane::Rollback => Log::InRollback,
        _ if state.may_have_moved(&plan) => Log::Split,
        _ => Log::NeverMoved,
    };
    let why = (sound.torn > 0).then(|| format!("{} bytes behind its last seal do not count", sound.torn));
    Found { log, plan: Some(plan), sound: Some(sound), state, why }
}

/// The plan beside a log. Nobody signed it.
pub fn beside(folder: &Path) -> Result<Plan, String> {
    let path = folder.join("plan.json");
    let text = file::text(&path, file::LOG).map_err(|e| format!("{}: {e}", path.display()))?;
    serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
}

/// No route of a runbook was found by its names, and looking again would not find one. A run that was made of such a runbook has
/// the places that were found for it.
pub fn nowhere(archive: &Archive, plan: &Plan, lacking: &[(String, RouterError)]) -> Option<Refusal> {
    let (name, first) = lacking.first()?;
    if lacking.len() < plan.routes.len() || lacking.iter().any(|(_, error)| error.passing()) {
        return None;
    }
    let others = lacking.iter().skip(1).map(|(name, error)| format!("{name}: {error}"));
    let refusal = others.fold(arm::refused(first, &plan.routes[name]), Refusal::cause);
    let of_it = |id: &&String| {
        beside(&archive.run(id)).is_ok_and(|kept| {
            (&kept.service, &kept.environment, &kept.blue.version)
                == (&plan.service, &plan.environment, &plan.blue.version)
        })
    };
    Some(match archive.runs().iter().rev().find(of_it) {
        Some(id) => {
            refusal.next(format!("bgctl rollback {id}        that run kept the places as they were found for it"))
        }
        None => refusal.next(format!("bgctl status {}        looks again", plan.runbook)),
    })
}

/// The newest run kept here that a runbook is about: the same service, environment, blue and places. Which version is blue's
/// does not matter where that was `found`; then the runbook is given read both ways.
pub fn known(archive: &Archive, plans: &[&Plan], found: bool) -> Option<(String, PathBuf)> {
    let about = |id: &String| {
        let kept = beside(&archive.run(id)).ok()?;
        let same = |plan: &&Plan| {
            (&kept.service, &kept.environment) == (&plan.service, &plan.environment)
                && kept.blue.name == plan.blue.name
                && (found || kept.blue.version == plan.blue.version)
                && kept.routes.keys().eq(plan.routes.keys())
                && kept.routes.iter().all(|(name, route)| route.config == plan.routes[name].config)
        };
        plans.iter().any(same).then(|| (id.clone(), archive.run(id)))
    };
    archive.runs().iter().rev().find_map(about)
}

/// The rollback as a runbook has it, with the routes whose names could not be looked up, and why.
pub async fn runbook(
    cx: &Context,
    path: &Path,
    vars: &[(String, String)],
    swap: bool,
    outside: &Surroundings,
) -> Result<Result<(Plan, Sides, Vec<(String, RouterError)>), crate::shell::Exit>, Refusal> {
    let source = File::read(&path.to_string_lossy())?;
    let mut draft = match prepare::backward(cx, &source, vars, swap, outside)? {
        Ok(draft) => draft,
        Err(exit) => return Ok(Err(exit)),
    };
    let plan = &draft.plan;
    // One without a route is refused by whoever reads where its users are.
    if plan.rollback.is_empty() && !plan.moves_nobody() {
        return Err(Refusal::new(Kind::Invalid, Code::NoWayBack, "this runbook has no rollback")
            .place(source.path.clone())
            .users("not checked. Nothing was changed.")
            .next("add `rollback: { steps: [ { id: back, shift: { route: …, blue: 100% } } ] }`"));
    }
    let lacking = pin::what_can_be(cx, &source, &mut draft, outside).await;
    Ok(lacking.map(|lacking| (draft.plan, draft.runbook.sides, lacking)))
}

/// The plan with what was just read as its beginning.
pub fn from_here(mut plan: Plan, splits: impl Iterator<Item = (String, Split)>) -> Plan {
    for (name, split) in splits {
        let Some(route) = plan.routes.get_mut(&name) else { continue };
        route.before = split;
        let first = plan.rollback.iter_mut().filter_map(|step| step.moves.as_mut()).find(|change| change.route == name);
        if let Some(change) = first {
            change.before = split;
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::journal::LOG;
    use crate::plan::Policy;

    fn plan(service: &str, blue: &str, rule: &str) -> Plan {
        let route = json!({
            "router": "alb", "config": { "rule": rule }, "line": format!("alb rule {rule}"), "seen_at": null,
            "before": { "blue": 100, "green": 0 }, "min_healthy": 1,
        });
        let plan = json!({
            "bgctl_plan": 1, "purpose": "cutover", "service": service, "environment": "test", "owners": ["owner@example.com"],
            "rollback_owner": "owner@example.com", "runbook": "runbook.yaml", "runbook_sha256": "",
            "blue": { "version": blue, "url": "" }, "green": { "version": "v2", "url": "" }, "routes": { "web": route },
            "gates": {}, "slack": null, "policy": Policy::default(), "forward": [], "rollback": [], "warnings": [],
        });
        serde_json::from_value(plan).unwrap()
    }

    /// What was sent and not heard of is waited for, however the run ended; a log that says nothing speaks for nobody.
    #[test]
    fn r14_what_a_run_has_sent_is_settled_by_its_log() {
        let doubt = State {
            doubts: [(crate::plan::StepRef { lane: crate::plan::Lane::Rollback, index: 0 }, 1)].into(),
            ..State::default()
        };
        let found = |log, state: &State| Found {
            log,
            plan: Some(plan("bot", "v1", "one")),
            sound: None,
            state: state.clone(),
            why: None,
        };
        for was_there in [false, true] {
            for log in [Log::NeverMoved, Log::Split, Log::InRollback, Log::Torn, Log::Ended, Log::Halted] {
                assert!(found(log, &State::default()).settled(was_there), "{log:?}");
                assert!(!found(log, &doubt).settled(was_there), "{log:?}");
            }
            for log in [Log::None, Log::Alien, Log::Unreadable] {
                assert_eq!(found(log, &State::default()).settled(was_there), !was_there, "{log:?}");
            }
        }
    }

    /// A runbook is about a run only where it is the same service, the same blue and the very same place.
    #[test]
    fn r07_a_run_about_another_place_is_not_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::new(dir.path());
        let folder = archive.run("20261121-0302-kfx");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(LOG), "").unwrap();
        std::fs::write(folder.join("plan.json"), plan("bot", "v1", "one").canonical()).unwrap();
        let known = |plan: Plan| known(&archive, &[&plan], false).map(|(id, _)| id);
        assert_eq!(known(plan("bot", "v1", "one")).as_deref(), Some("20261121-0302-kfx"));
        for other in [plan("bot", "v1", "two"), plan("bot", "v2", "one"), plan("other", "v1", "one")] {
            assert_eq!(known(other.clone()), None, "{other:?}");
        }
    }
}
