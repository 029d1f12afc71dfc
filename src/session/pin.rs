//! Routes that a runbook names in words which only their provider can look up: looked up once, before anything else of the world
//! is read, and put into the plan in the provider's own words. Whoever has the plan is led to the same place whatever is called
//! by that name later. Nothing is changed here.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;

use super::mistakes::mistaken;
use super::routes::view;
use super::surroundings::Surroundings;
use crate::arm;
use crate::compile::Draft;
use crate::diag::Refusal;
use crate::plan::Plan;
use crate::routers::{Pinned, RouterError, Trouble};
use crate::runbook::Source;
use crate::scalar::spoken;
use crate::shell::{Context, Exit};

/// How long a rollback waits for names to be looked up before it goes on with the routes that were found.
const PATIENCE: Duration = Duration::from_secs(15);

/// Looks up every name of a draft, or refuses: without the place of each route nothing can be planned. What was found is given as
/// a line for each name.
pub async fn all(
    cx: &Context,
    source: &Source,
    draft: &mut Draft<'_>,
    outside: &Surroundings,
) -> Result<Result<Vec<String>, Exit>, Refusal> {
    let mut settings = BTreeMap::new();
    let mut lines = Vec::new();
    for (name, looked) in look_up(cx, &draft.plan, outside, None).await {
        let Pinned { settings: found, found: said } =
            looked.map_err(|error| arm::refused(&error, &draft.plan.routes[&name]))?;
        lines.extend(said.iter().map(|line| format!("{name}: {line}")));
        settings.insert(name, found);
    }
    Ok(put(cx, source, draft, settings).map(|()| lines))
}

/// Looks up what can be, for a rollback: a route that cannot be found holds up no other. It stays as it is written, is looked up
/// again when it is read, and is named here with the reason.
pub async fn what_can_be(
    cx: &Context,
    source: &Source,
    draft: &mut Draft<'_>,
    outside: &Surroundings,
) -> Result<Vec<(String, RouterError)>, Exit> {
    let (mut settings, mut lacking) = (BTreeMap::new(), Vec::new());
    let looked = look_up(cx, &draft.plan, outside, Some(PATIENCE)).await;
    for (name, looked) in looked {
        match looked {
            Ok(Pinned { settings: found, .. }) => drop(settings.insert(name, found)),
            Err(error) => lacking.push((name, error)),
        }
    }
    put(cx, source, draft, settings).map(|()| lacking)
}

fn put(cx: &Context, source: &Source, draft: &mut Draft<'_>, settings: BTreeMap<String, Value>) -> Result<(), Exit> {
    if settings.is_empty() {
        return Ok(());
    }
    draft.pin(settings).map_err(|found| mistaken(cx, source, found, Exit::Invalid))
}

/// All routes at the same moment, each for itself. One that cannot be opened is missed where it is needed.
async fn look_up(
    cx: &Context,
    plan: &Plan,
    outside: &Surroundings,
    within: Option<Duration>,
) -> Vec<(String, Result<Pinned, RouterError>)> {
    let asked = plan.routes.iter().map(|(name, planned)| async move {
        let view = view(planned, outside).ok().filter(|view| view.by_names())?;
        let looked = match within {
            None => view.pinned().await,
            Some(time) => tokio::select! { biased;
                looked = view.pinned() => looked,
                () = cx.clock.sleep(time) => {
                    let what = format!("its names were not looked up within {}", spoken(time));
                    Err(RouterError::new(Trouble::Unreachable, what))
                }
            },
        };
        Some((name.clone(), looked.transpose()?))
    });
    join_all(asked).await.into_iter().flatten().collect()
}
