//! One look at everything, for what is said at the end of a run and on a page.

use crate::plan::{Color, Plan};
use crate::report::{Findings, Place};
use crate::users::{Ask, Users};
use crate::world::World;

/// Where users are and how both sides are, and the commands that send everybody to green without bgctl.
pub async fn found(plan: &Plan, world: &World) -> Findings {
    let users = Users::read(plan, world, Ask::Both).await;
    // Commands for some of the routes would leave users on both sides.
    let to_green = users.seen.iter().map(|seen| {
        let route = world.route(&seen.name);
        let there = route.all_on(Color::Green, Some(seen.reading.as_ref().ok()?))?;
        // Whoever is paged gets one line.
        <[String; 1]>::try_from(route.native_way_back(&seen.name, &there).pasted()).ok().map(|[line]| line)
    });
    let to_green: Option<Vec<String>> = to_green.collect();
    let routes = users.seen.into_iter().map(|seen| {
        let (blue, green) = (seen.side(Color::Blue), seen.side(Color::Green));
        let split = seen.reading.map(|reading| reading.split).map_err(|unread| unread.why);
        (seen.name, Place { split, blue, green })
    });
    let follow = plan.routes.keys().map(|name| world.route(name).followed_within()).max().unwrap_or_default();
    Findings { routes: routes.collect(), to_green: to_green.unwrap_or_default(), follow }
}
