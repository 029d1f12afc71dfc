//! What whoever is paged can do: commands that would be accepted now, best first. Every one rests on what was read for it.

use std::time::Duration;

use super::{Driver, short};
use crate::people::Choice;
use crate::plan::Color;

/// So long the routes and the health of their sides are waited for: a page may not be late.
const WITHIN: Duration = Duration::from_secs(5);

impl Driver<'_> {
    pub(super) async fn choices(&self) -> Vec<Choice> {
        let run = short(self.run.id);
        let blue = &self.run.plan.blue.version;
        let stay = |what: &str| Choice::new(format!("bgctl ack {run}"), what);
        let found = tokio::select! { biased;
            found = self.sides() => found,
            () = self.run.world.clock.sleep(WITHIN) => Sides {
                home: false,
                blue: Some("how BLUE is could not be read in time".into()),
                green: None,
            },
        };
        if found.home {
            return vec![stay("users are on BLUE already: you have it, and mend what is named above")];
        }
        let (mut flags, mut although) = (String::new(), Vec::new());
        if let Some(why) = self.state.closed(self.run.plan) {
            flags += " --override schema";
            although.push(format!("the schema stands against it ({why}); a second person has to agree"));
        }
        if let Some(why) = &found.blue {
            flags += " --override blue-health";
            although.push(why.clone());
        }
        if although.is_empty() {
            let back = format!("everyone back to BLUE {blue}; refused while BLUE is not well");
            let stay = stay("users stay as they are: you have it, and mend what is named above");
            return vec![Choice::new(format!("bgctl rollback {run}"), back), stay];
        }
        let back = format!("everyone back to BLUE {blue} although {}", self.desk.clean(&although.join(", and ")));
        let green = found.green.map_or(String::new(), |line| format!(" ({line})"));
        vec![
            stay(&format!(
                "users stay as they are{}: you have it, and mend what is named above",
                self.desk.clean(&green)
            )),
            Choice::new(format!("bgctl rollback {run}{flags} --reason \"…\""), back),
        ]
    }

    /// Where users are and how both sides are, read now.
    async fn sides(&self) -> Sides {
        let mut sides = Sides { home: true, blue: None, green: None };
        for (name, planned) in &self.run.plan.routes {
            let route = self.run.world.route(name);
            let split = route.read().await.ok().map(|reading| reading.split);
            if split.is_some_and(|split| split.only() == Some(Color::Blue)) {
                continue;
            }
            sides.home = false;
            let of = |stack: Color, health: Result<(u32, u32), String>| match health {
                Ok((healthy, total)) => {
                    (healthy >= planned.min_healthy, format!("{stack} has {healthy} of {total} targets healthy"))
                }
                Err(error) => (false, format!("the health of {stack} cannot be read: {error}")),
            };
            let health = async |stack| {
                route
                    .health(stack)
                    .await
                    .map(|health| (health.healthy, health.total))
                    .map_err(|error| error.to_string())
            };
            let (well, line) = of(Color::Blue, health(Color::Blue).await);
            if !well {
                sides.blue = Some(line);
                sides.green = Some(of(Color::Green, health(Color::Green).await).1);
            }
        }
        sides
    }
}

struct Sides {
    /// Every route reads all users on blue.
    home: bool,
    /// Why blue could not take users now.
    blue: Option<String>,
    /// How green is, where blue could not.
    green: Option<String>,
}
