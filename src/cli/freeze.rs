//! `bgctl freeze`: forbid forward moves of a service, an environment or everything. Anybody may, also a job.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::diag::{Code, Kind, Refusal};
use crate::file;
use crate::guards::freeze::{By, Found, Freeze, Place, Scope};
use crate::journal::Archive;
use crate::scalar::Duration;
use crate::session::{acting, lease_guard};
use crate::shell::{Context, Exit};

/// Forbid forward moves of a service, an environment or everything. Never stops a rollback.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// `production/slackbot`, `production`, or `all`.
    #[arg(required_unless_present = "list")]
    pub scope: Option<String>,
    /// Why; everybody that the freeze stops reads it.
    #[arg(long, value_name = "TEXT", required_unless_present = "list")]
    pub reason: Option<String>,
    /// When it ends by itself: a UTC time (`2026-11-21T06:00:00Z`) or from now on (`2h`). Otherwise a person has to
    /// lift it.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// The role of the team's policy that may lift it; any person otherwise.
    #[arg(long, value_name = "ROLE")]
    pub lift: Option<String>,
    /// The key whose owner freezes: a key file, or `agent:SHA256:…`.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Only list what is frozen.
    #[arg(long, conflicts_with_all = ["scope", "reason", "until", "lift", "key"])]
    pub list: bool,
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let (Some(scope), Some(reason)) = (&args.scope, &args.reason) else { return list(cx) };
    let now = cx.clock.now();
    let refuse = |code: Code, what: String| Refusal::new(Kind::Usage, code, what).users(super::unfreeze::NOTHING);
    let wrong = |what: String| refuse(Code::CommandLine, what);
    let scope = Scope::parse(scope).map_err(wrong)?;
    if reason.trim().is_empty() {
        let headline = "a freeze needs a reason: it is all that a person on call can go by";
        return Err(refuse(Code::Unsaid, headline.into()));
    }
    let until = args.until.as_deref().map(|text| until(text, now)).transpose().map_err(wrong)?;
    let freezes = lease_guard::freezes(cx)?;
    let stands = |(freeze, _): &(Freeze, _)| freeze.via == By::Person && freeze.until.is_none_or(|until| now < until);
    // A freeze that only a role may lift must not be weakened by setting it again.
    if let Some((freeze, _)) = freezes.of(&scope).iter().find(|found| stands(found)) {
        return Err(Refusal::new(Kind::Later, Code::Frozen, format!("{scope} is frozen already"))
            .cause(freeze.line())
            .users(super::unfreeze::NOTHING)
            .next(format!("bgctl unfreeze {scope} --reason \"…\"        then freeze it anew")));
    }
    let scope_text = scope.to_string();
    let freeze = Freeze {
        scope,
        reason: cx.known.mask(reason.trim()),
        by: acting::proven(cx, args.key.as_deref(), &format!("freeze {scope_text}: {}", reason.trim())).name,
        via: By::Person,
        since: Some(now),
        until,
        lift: args.lift.clone(),
        run: None,
    };
    let path = freezes.set(&freeze).map_err(|error| {
        Refusal::new(Kind::Environment, Code::Freeze, "the freeze cannot be written")
            .cause(error.to_string())
            .users(super::unfreeze::NOTHING)
    })?;
    cx.err(&freeze.line());
    if let Some(known) = unmet(&freeze.scope, &Archive::new(cx.state_dir()?)) {
        cx.err(&format!("! no run kept here is of `{}`, so check the spelling; there are: {known}", freeze.scope));
    }
    cx.err("  runs that are under way stop at their next boundary; a rollback is never frozen");
    cx.err(&format!("  next       bgctl unfreeze {} --reason \"…\"", freeze.scope));
    if cx.machine() {
        cx.json(&json!({ "freeze": freeze, "file": path }));
    }
    Ok(Exit::Success)
}

/// What runs were of, where none of them would have met this freeze: one that is spelled wrong freezes nothing.
fn unmet(scope: &Scope, archive: &Archive) -> Option<String> {
    let place = |id: &String| {
        let text = file::read(&archive.run(id).join("plan.json"), file::LOG).ok()?;
        let plan: Value = serde_json::from_slice(&text).ok()?;
        Some((plan["environment"].as_str()?.to_string(), plan["service"].as_str()?.to_string()))
    };
    let known: BTreeSet<(String, String)> = archive.runs().iter().filter_map(place).collect();
    let met = known.is_empty() || known.iter().any(|(environment, service)| scope.covers(environment, service));
    let names = || known.iter().map(|(environment, service)| format!("{environment}/{service}")).collect::<Vec<_>>();
    (!met).then(|| names().join(", "))
}

fn until(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let until = match text.parse::<Timestamp>() {
        Ok(until) => until,
        Err(_) => {
            let wrong = || format!("`{text}` is not a time: write `2026-11-21T06:00:00Z` or `2h`");
            let time = Duration::parse(text).map_err(|_| wrong())?.time;
            let span = SignedDuration::try_from(time).map_err(|_| wrong())?;
            now.checked_add(span).map_err(|_| wrong())?
        }
    };
    if until <= now { Err(format!("`{text}` is in the past")) } else { Ok(until) }
}

fn list(cx: &Context) -> Result<Exit, Refusal> {
    let now = cx.clock.now();
    let holds = |found: &Found| match found {
        Found::Freeze(freeze, _) => freeze.until.is_none_or(|until| now < until),
        Found::Unreadable { .. } => true,
    };
    let found: Vec<Found> = lease_guard::freezes(cx)?.all().into_iter().filter(holds).collect();
    if cx.machine() {
        cx.json(&json!({ "freezes": found.iter().map(machine).collect::<Vec<_>>() }));
        return Ok(Exit::Success);
    }
    if found.is_empty() {
        cx.out("nothing is frozen");
    }
    found.iter().for_each(|found| cx.out(&found.line()));
    Ok(Exit::Success)
}

/// A freeze for machines.
pub fn machine(found: &Found) -> Value {
    match found {
        Found::Freeze(freeze, place) => {
            let place = match place {
                Place::State(path) => path.display().to_string(),
                Place::Team => crate::guards::freeze::TEAM.into(),
                Place::Variable => crate::guards::freeze::VARIABLE.into(),
            };
            json!({ "freeze": freeze, "place": place })
        }
        Found::Unreadable { place, why } => json!({ "unreadable": why, "place": place }),
    }
}
