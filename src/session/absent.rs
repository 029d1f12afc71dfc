//! A route that cannot be opened here, in the place of one: it says why, and never an answer. The other routes are reached all
//! the same.

use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;

use crate::diag::{Kind, Refusal};
use crate::plan::{Color, PlannedRoute, Split};
use crate::routers::{Call, Health, Identity, NativeWayBack, Reading, RouteView, RouterError, TrafficRouter, Trouble};

/// The route, and what is missing.
pub struct Absent {
    line: String,
    resources: Vec<String>,
    why: String,
    kind: Trouble,
    cure: Option<String>,
    /// What its settings alone say. It is asked for the provider's own command, and for nothing that needs an answer.
    view: Option<Rc<dyn RouteView>>,
}

impl Absent {
    pub fn new(planned: &PlannedRoute, refusal: &Refusal, view: Option<Rc<dyn RouteView>>) -> Self {
        let kind = match refusal.kind {
            Kind::Denied => Trouble::Denied,
            _ => Trouble::Invalid,
        };
        let resources = planned.known_by().into_iter().map(String::from).collect();
        // Its columns are those of a list, and here it stands in a sentence.
        let cure = refusal.next.first().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        Absent { line: planned.line.clone(), resources, why: refusal.headline.clone(), kind, cure, view }
    }

    fn error(&self) -> RouterError {
        let error = RouterError::new(self.kind, format!("cannot be reached from here: {}", self.why));
        RouterError { cure: self.cure.clone(), ..error }
    }
}

#[async_trait(?Send)]
impl RouteView for Absent {
    fn line(&self) -> String {
        self.line.clone()
    }

    fn resources(&self, _: Option<&Reading>) -> Vec<String> {
        self.resources.clone()
    }

    async fn read(&self) -> Result<Reading, RouterError> {
        Err(self.error())
    }

    async fn health(&self, _: Color) -> Result<Health, RouterError> {
        Err(self.error())
    }

    async fn controller(&self) -> Result<Option<String>, RouterError> {
        Err(self.error())
    }

    async fn identity(&self) -> Result<Identity, RouterError> {
        Err(self.error())
    }

    fn native_way_back(&self, route: &str, reading: &Reading) -> NativeWayBack {
        self.view.as_ref().map(|view| view.native_way_back(route, reading)).unwrap_or_default()
    }

    fn all_on(&self, stack: Color, _: Option<&Reading>) -> Option<Reading> {
        self.view.as_ref()?.all_on(stack, None)
    }
}

#[async_trait(?Send)]
impl TrafficRouter for Absent {
    async fn set(&self, _: &Reading, _: Split) -> Result<Vec<Call>, RouterError> {
        Err(self.error())
    }

    fn settle(&self) -> Duration {
        Duration::ZERO
    }
}

#[cfg(all(test, feature = "dns"))]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::diag::Code;
    use crate::routers::{Access, dns};

    #[test]
    fn a_route_without_its_secret_still_has_the_command_that_needs_no_bgctl() {
        let config = json!({
            "zone": "example.test", "name": "bot.example.test", "servers": ["127.0.0.1:1"], "blue": ["127.0.0.1"],
            "green": ["127.0.0.2"], "health": "http://bot.example.test/", "key": { "name": "k", "secret": "${env:DNS_KEY}" },
        });
        let view = (dns::KIND.view)(&config, &Access::default()).unwrap();
        let planned = serde_json::from_value(json!({
            "router": "dns", "config": config, "line": "", "seen_at": null, "before": Split::ALL_GREEN, "min_healthy": 1,
        }));
        let refusal = Refusal::new(Kind::Environment, Code::Environment, "DNS_KEY is not set")
            .next("export DNS_KEY_FILE=PATH    (or DNS_KEY=…), then the same command again");
        let absent = Absent::new(&planned.unwrap(), &refusal, Some(view));
        let blue = absent.all_on(Color::Blue, None).expect("the settings say it");
        let command = absent.native_way_back("web", &blue).command;
        assert!(absent.error().cure.is_some_and(|cure| cure.starts_with("export DNS_KEY_FILE=PATH (or DNS_KEY=…)")));
        assert!(command.contains("key hmac-sha256:k ${DNS_KEY:?}") && command.contains("A 127.0.0.1"), "{command}");
    }
}
