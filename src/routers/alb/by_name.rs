//! A route whose place is given by names: it looks them up when it is first asked, keeps what it found for as long as it lives,
//! and from then on is the route that was found. What a plan keeps is [`RouteView::pinned`].

use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use super::api::Api;
use super::names::Names;
use super::{ALL_ZERO, Alb, LANDS_WITHIN, SETTLE};
use crate::plan::{Color, Split};
use crate::routers::{
    Access, Call, Health, Identity, Lack, MetricsPlace, NativeWayBack, Pinned, Reading, RouteView, RouterError,
    TrafficRouter,
};

/// A route by names.
pub struct ByName {
    names: Names,
    api: Api,
    access: Access,
    found: OnceCell<(Rc<Alb>, Pinned)>,
}

impl ByName {
    pub fn new(names: Names, access: &Access) -> Self {
        ByName { api: Api::new(&names.region, &access.aws), names, access: access.clone(), found: OnceCell::new() }
    }

    async fn found(&self) -> Result<&(Rc<Alb>, Pinned), RouterError> {
        self.found
            .get_or_try_init(|| async {
                let (settings, pinned) = self.api.look_up(&self.names).await?;
                Ok((Rc::new(Alb::of(settings, &self.access)), pinned))
            })
            .await
    }

    async fn route(&self) -> Result<Rc<Alb>, RouterError> {
        Ok(self.found().await?.0.clone())
    }

    /// The route, where it was found already.
    fn known(&self) -> Option<&Rc<Alb>> {
        self.found.get().map(|(route, _)| route)
    }
}

#[async_trait(?Send)]
impl RouteView for ByName {
    fn line(&self) -> String {
        self.known().map_or_else(|| self.names.line(), |route| route.line())
    }

    fn resources(&self, now: Option<&Reading>) -> Vec<String> {
        self.known().map_or_else(|| vec![self.names.line()], |route| route.resources(now))
    }

    fn min_healthy(&self) -> u32 {
        self.names.min_healthy.unwrap_or(1)
    }

    fn by_names(&self) -> bool {
        true
    }

    async fn pinned(&self) -> Result<Option<Pinned>, RouterError> {
        Ok(Some(self.found().await?.1.clone()))
    }

    fn metrics(&self) -> Option<MetricsPlace> {
        self.known().and_then(|route| route.metrics())
    }

    async fn read(&self) -> Result<Reading, RouterError> {
        self.route().await?.read().await
    }

    async fn health(&self, stack: Color) -> Result<Health, RouterError> {
        self.route().await?.health(stack).await
    }

    async fn controller(&self) -> Result<Option<String>, RouterError> {
        self.route().await?.controller().await
    }

    async fn preflight(&self, moves: &[Split]) -> Result<Vec<String>, RouterError> {
        self.route().await?.preflight(moves).await
    }

    async fn writer(&self) -> Option<String> {
        self.route().await.ok()?.writer().await
    }

    async fn identity(&self) -> Result<Identity, RouterError> {
        self.route().await?.identity().await
    }

    async fn ends(&self) -> Option<String> {
        self.route().await.ok()?.ends().await
    }

    fn lacks(&self, reading: &Reading) -> Option<Lack> {
        self.known()?.lacks(reading)
    }

    fn nowhere(&self) -> &'static str {
        ALL_ZERO
    }

    fn native_way_back(&self, route: &str, reading: &Reading) -> NativeWayBack {
        self.known().map(|known| known.native_way_back(route, reading)).unwrap_or_default()
    }

    fn all_on(&self, stack: Color, now: Option<&Reading>) -> Option<Reading> {
        self.known()?.all_on(stack, now)
    }
}

#[async_trait(?Send)]
impl TrafficRouter for ByName {
    async fn set(&self, from: &Reading, to: Split) -> Result<Vec<Call>, RouterError> {
        self.route().await?.set(from, to).await
    }

    fn settle(&self) -> Duration {
        SETTLE
    }

    fn lands_within(&self) -> Duration {
        LANDS_WITHIN
    }

    async fn complete(&self, from: &Reading) -> Result<Vec<Call>, RouterError> {
        self.route().await?.complete(from).await
    }
}
