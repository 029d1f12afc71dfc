//! Where users are and how the sides that have them fare: every route of a plan asked at the same moment, each for itself, for
//! commands that only look. One that hangs or is denied holds up no other.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use futures_util::future::{join_all, join3};

use super::Context;
use super::prepare::Surroundings;
use crate::clock::Clock;
use crate::plan::{Color, Plan, PlannedRoute, Split};
use crate::routers::{Access, Health, KINDS, RouterError};

/// How long a provider may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was found about a route.
#[derive(Clone, Debug, PartialEq)]
pub enum Live {
    Read(Split),
    Unknown(String),
    NotAsked(&'static str),
}

/// A route as it is now.
pub struct Route {
    pub name: String,
    /// The place, as people recognise it.
    pub place: String,
    pub live: Live,
    /// The targets of blue and green, where they could be counted.
    health: [Option<Result<Health, String>>; 2],
    needs: u32,
}

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
        Ok(None) if plan.environment == "lab" => Reach::NotAsked("the lab it was played in has ended"),
        Ok(None) => Reach::Through(cx.env.clone(), Box::default()),
    }
}

/// Looks at every route at once.
pub async fn look(plan: &Plan, cx: &Context, reach: &Reach) -> Vec<Route> {
    join_all(plan.routes.iter().map(|(name, planned)| async move {
        let (live, health) = match reach {
            Reach::NotAsked(why) => (Live::NotAsked(why), [None, None]),
            Reach::Unknown(why) => (Live::Unknown(why.clone()), [None, None]),
            Reach::Through(env, access) => ask(planned, cx, env, access).await,
        };
        Route { name: name.clone(), place: planned.line.clone(), live, health, needs: planned.min_healthy }
    }))
    .await
}

async fn ask(
    planned: &PlannedRoute,
    cx: &Context,
    env: &BTreeMap<String, String>,
    access: &Access,
) -> (Live, [Option<Result<Health, String>>; 2]) {
    let unknown = |why: String| (Live::Unknown(why), [None, None]);
    let Some(kind) = KINDS.iter().find(|kind| kind.name == planned.router) else {
        return unknown(format!("this build has no router `{}`", planned.router));
    };
    let secrets = match crate::runbook::resolve_plan(&planned.config.to_string(), env) {
        Ok(secrets) => secrets,
        Err(refusal) => return unknown(refusal.headline),
    };
    let view = match (kind.view)(&planned.config, &Access { secrets, ..access.clone() }) {
        Ok(view) => view,
        Err(mistakes) => return unknown(mistakes.iter().map(|m| m.message.clone()).collect::<Vec<_>>().join("; ")),
    };
    let clock = cx.clock.as_ref();
    let health = |side| bounded(view.health(side), clock);
    let (reading, blue, green) = join3(bounded(view.read(), clock), health(Color::Blue), health(Color::Green)).await;
    let live = reading.map_or_else(Live::Unknown, |reading| Live::Read(reading.split));
    (live, [Some(blue), Some(green)])
}

/// The answer, or why there is none in time.
async fn bounded<T>(asked: impl Future<Output = Result<T, RouterError>>, clock: &dyn Clock) -> Result<T, String> {
    tokio::select! { biased;
        answer = asked => answer.map_err(|error| match &error.cure {
            Some(cure) => format!("{error} (cure: {cure})"),
            None => error.to_string(),
        }),
        () = clock.sleep(PATIENCE) => Err(format!("no answer in {}s", PATIENCE.as_secs())),
    }
}

impl Route {
    pub fn split(&self) -> Option<Split> {
        match self.live {
            Live::Read(split) => Some(split),
            _ => None,
        }
    }

    /// `web BLUE 90 GREEN 10, read just now`.
    pub fn line(&self) -> String {
        match &self.live {
            Live::Read(split) => format!("{} {split}, read just now", self.name),
            Live::Unknown(why) => format!("{} unknown ({why})", self.name),
            Live::NotAsked(why) => format!("{} unknown ({why})", self.name),
        }
    }

    /// The sides as their targets are: counted, or why not. Nothing where nobody was asked.
    pub fn sides(&self) -> Option<String> {
        let side = |stack: Color, health: &Result<Health, String>| match health {
            Ok(health) => format!("{stack} {}/{} healthy", health.healthy, health.total),
            Err(why) => format!("{stack}'s health is unknown ({why})"),
        };
        match &self.health {
            [Some(blue), Some(green)] => Some(format!("{} · {}", side(Color::Blue, blue), side(Color::Green, green))),
            _ => None,
        }
    }

    /// The sides that have users and cannot serve them, or of which that is not known.
    pub fn ailing(&self) -> Vec<String> {
        let Some(split) = self.split() else { return Vec::new() };
        let mut found = Vec::new();
        for (stack, health) in [Color::Blue, Color::Green].into_iter().zip(&self.health) {
            if split.share(stack) <= 0.0 {
                continue;
            }
            match health {
                Some(Ok(health)) if health.healthy < self.needs => found.push(format!(
                    "{}: {stack} has users and {} of {} targets are healthy ({} are needed)",
                    self.name, health.healthy, health.total, self.needs
                )),
                Some(Err(why)) => {
                    found.push(format!("{}: {stack} has users and its health is unknown: {why}", self.name))
                }
                _ => {}
            }
        }
        found
    }
}

/// Every route was read, and all of them have their users on this side.
pub fn all_on(routes: &[Route], side: Color) -> bool {
    !routes.is_empty() && routes.iter().all(|route| route.split().and_then(Split::only) == Some(side))
}
