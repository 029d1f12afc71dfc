//! How commands that only look reach the routes of a plan: views that can write nothing, and why a route is not asked.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::surroundings::Surroundings;
use crate::plan::{Color, LAB, Plan, PlannedRoute};
use crate::routers::{Access, KINDS};
use crate::shell::Context;
use crate::users::{Ask, Seen, Users};

/// How the routes of a plan are reached, or why they are not asked.
pub enum Reach {
    NotAsked(&'static str),
    /// The lab the plan was made in lives and does not answer.
    Unknown(String),
    Through(BTreeMap<String, String>, Box<Access>),
}

/// A living lab is asked where it lives; the real provider knows nothing of a lab's routes.
pub fn reach(cx: &Context, plan: &Plan, offline: bool) -> Reach {
    if offline {
        return Reach::NotAsked("--offline");
    }
    match Surroundings::joined(cx, plan) {
        Err(refusal) => Reach::Unknown(format!("{}: {}", refusal.headline, refusal.cause.join("; "))),
        Ok(Some(lab)) => Reach::Through(lab.env, Box::new(lab.access)),
        Ok(None) if plan.environment == LAB => Reach::NotAsked("the lab it was played in has ended"),
        Ok(None) => Reach::Through(cx.env.clone(), Box::default()),
    }
}

/// Looks at every route and both sides of it.
pub async fn look(plan: &Plan, cx: &Context, reach: &Reach) -> Users {
    let asked = plan.routes.iter().map(|(name, planned)| async move {
        match reach {
            Reach::NotAsked(why) => Seen::unread(name, planned, (*why).into(), false),
            Reach::Unknown(why) => Seen::unread(name, planned, why.clone(), true),
            Reach::Through(env, access) => ask(name, planned, cx, env, access).await,
        }
    });
    Users { seen: join_all(asked).await, since: cx.clock.elapsed() }
}

async fn ask(
    name: &str,
    planned: &PlannedRoute,
    cx: &Context,
    env: &BTreeMap<String, String>,
    access: &Access,
) -> Seen {
    let unread = |why: String| Seen::unread(name, planned, why, true);
    let Some(kind) = KINDS.iter().find(|kind| kind.name == planned.router) else {
        return unread(format!("this build has no router `{}`", planned.router));
    };
    let secrets = match crate::runbook::resolve_plan(&planned.config.to_string(), env) {
        Ok(secrets) => secrets,
        Err(refusal) => return unread(refusal.headline),
    };
    let view = match (kind.view)(&planned.config, &Access { secrets: secrets.clone(), ..access.clone() }) {
        Ok(view) => view,
        Err(mistakes) => return unread(mistakes.iter().map(|m| m.message.clone()).collect::<Vec<_>>().join("; ")),
    };
    Seen::read(name, planned, view.as_ref(), Ask::Both, cx.clock.as_ref()).await.masked(&secrets)
}

/// `web BLUE 90 GREEN 10, read just now`.
pub fn line(seen: &Seen) -> String {
    match &seen.reading {
        Ok(reading) => format!("{} {}, read just now", seen.name, reading.split),
        Err(unread) => format!("{} unknown ({})", seen.name, unread.why),
    }
}

/// Both sides as their targets are: counted, or why not. Nothing where nobody was asked.
pub fn sides(seen: &Seen) -> Option<String> {
    Some(format!("{} · {}", seen.targets(Color::Blue)?, seen.targets(Color::Green)?))
}
