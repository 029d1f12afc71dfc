//! One look at everything: where users are on each route and how both sides are, asked at the same moment and not waited for
//! longer than a person would. What is said at the end of a run and on a page is made of it.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use futures_util::future::{join, join_all};

use crate::clock::Clock;
use crate::plan::{Color, Counted, Plan, PlannedRoute, Split};
use crate::report::{Findings, Place, Side};
use crate::world::World;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where users are and how both sides are, everything asked at once and waited for as long as a person would.
pub async fn found(plan: &Plan, world: &World) -> Findings {
    let asked = join_all(plan.routes.iter().map(|(name, planned)| async move {
        let reading = within(world.clock.as_ref(), PATIENCE, world.route(name).read());
        let sides = join(side(world, name, planned, Color::Blue), side(world, name, planned, Color::Green));
        let (reading, (blue, green)) = join(reading, sides).await;
        let to_green = reading.as_ref().ok().and_then(|reading| world.route(name).native_to(Color::Green, reading));
        let split = reading.map(|reading| reading.split).map_err(|why| world.secrets.mask(&why));
        (name.clone(), Place { split, blue, green }, to_green)
    }))
    .await;
    // Commands for some of the routes would leave users on both sides.
    let to_green: Option<Vec<String>> = asked.iter().map(|(.., command)| command.clone()).collect();
    let routes = asked.into_iter().map(|(name, place, _)| (name, place)).collect();
    Findings { routes, to_green: to_green.unwrap_or_default() }
}

/// A side, asked whether it could take all users.
async fn side(world: &World, name: &str, planned: &PlannedRoute, stack: Color) -> Side {
    let all = match stack {
        Color::Blue => Split::ALL_BLUE,
        Color::Green => Split::ALL_GREEN,
    };
    match within(world.clock.as_ref(), PATIENCE, world.route(name).health(stack)).await {
        Err(why) => Side::Unknown(world.secrets.mask(&why)),
        Ok(health) => {
            let (healthy, total, zones) = (health.healthy, health.total, health.zones);
            let said = format!("{healthy} of {total}");
            match planned.capacity.lacks(all, stack, Counted { healthy, total, zones }) {
                Some(_) if healthy > 0 => Side::Ailing(format!("{said}, too few for all users")),
                None if healthy >= planned.min_healthy => Side::Well(said),
                _ => Side::Ailing(said),
            }
        }
    }
}

/// An answer, or why there is none in time.
pub(super) async fn within<T, E: Display>(
    clock: &dyn Clock,
    time: Duration,
    asked: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    tokio::select! { biased;
        answer = asked => answer.map_err(|error| error.to_string()),
        () = clock.sleep(time) => Err(format!("no answer in {}s", time.as_secs())),
    }
}
