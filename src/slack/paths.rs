//! The request URLs of an app, by what Slack posts there: a path of both stacks for each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What Slack posts to a URL of its own, where the app has registered one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Events,
    Commands,
    /// Buttons, modals and shortcuts.
    Interactivity,
    /// The choices of a menu that the app fills.
    Options,
}

impl Door {
    pub const ALL: [Door; 4] = [Door::Events, Door::Commands, Door::Interactivity, Door::Options];

    /// Its key under `slack.paths`.
    pub fn name(self) -> &'static str {
        match self {
            Door::Events => "events",
            Door::Commands => "commands",
            Door::Interactivity => "interactivity",
            Door::Options => "options",
        }
    }
}

/// The paths both stacks take Slack's requests on. What is left out goes where events go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Paths {
    /// Events; the default of the others.
    #[serde(default = "events")]
    #[schemars(extend("format" = "path"))]
    pub events: String,
    /// Slash commands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "path"))]
    pub commands: Option<String>,
    /// Buttons, modals and shortcuts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "path"))]
    pub interactivity: Option<String>,
    /// Menus whose choices the app gives; where interactivity goes, when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "path"))]
    pub options: Option<String>,
}

impl Default for Paths {
    fn default() -> Self {
        Paths { events: events(), commands: None, interactivity: None, options: None }
    }
}

fn events() -> String {
    "/slack/events".into()
}

impl Paths {
    pub fn of(&self, door: Door) -> &str {
        let own = match door {
            Door::Events => None,
            Door::Commands => self.commands.as_ref(),
            Door::Interactivity => self.interactivity.as_ref(),
            Door::Options => self.options.as_ref().or(self.interactivity.as_ref()),
        };
        own.unwrap_or(&self.events)
    }

    /// One door of each path that is not that of events.
    pub fn beside_events(&self) -> Vec<Door> {
        let mut doors: Vec<Door> = Vec::new();
        for door in Door::ALL {
            let known = |other: &Door| self.of(*other) == self.of(door);
            if self.of(door) != self.events && !doors.iter().any(known) {
                doors.push(door);
            }
        }
        doors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_goes_where_events_go() {
        let one = Paths::default();
        assert!(Door::ALL.iter().all(|door| one.of(*door) == "/slack/events") && one.beside_events().is_empty());
        let paths = Paths { commands: Some("/c".into()), interactivity: Some("/i".into()), ..Paths::default() };
        assert_eq!(Door::ALL.map(|door| paths.of(door)), ["/slack/events", "/c", "/i", "/i"]);
        assert_eq!(paths.beside_events(), [Door::Commands, Door::Interactivity]);
        let own = Paths { options: Some("/slack/events".into()), ..paths };
        assert_eq!(own.beside_events(), [Door::Commands, Door::Interactivity]);
    }
}
