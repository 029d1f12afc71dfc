//! A route that cannot be opened here, in the place of one: it says why, and never an answer. The other routes are reached all
//! the same.

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
}

impl Absent {
    pub fn new(planned: &PlannedRoute, refusal: &Refusal) -> Self {
        let kind = match refusal.kind {
            Kind::Denied => Trouble::Denied,
            _ => Trouble::Invalid,
        };
        let resources = planned.known_by().into_iter().map(String::from).collect();
        Absent { line: planned.line.clone(), resources, why: refusal.headline.clone(), kind }
    }

    fn error(&self) -> RouterError {
        RouterError::new(self.kind, format!("cannot be reached from here: {}", self.why))
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

    fn native_way_back(&self, _: &str, _: &Reading) -> NativeWayBack {
        NativeWayBack::default()
    }

    fn all_on(&self, _: Color, _: Option<&Reading>) -> Option<Reading> {
        None
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
