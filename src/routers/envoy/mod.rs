//! Router `envoy`: the weights of two clusters in one route of Envoy, by the file that Envoy discovers its routes from.
//!
//! It puts the file in its place by a move, and believes nothing until Envoy says that it runs it. How users are split is what
//! Envoy says, never what lies in the file.
#![doc = include_str!("../envoy.md")]

mod admin;
mod change;
mod clusters;
mod discovery;
mod fleet;
mod listeners;
mod place;
mod preflight;
mod settings;
mod way_back;
mod weights;

use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Call, Health, Identity, Kind, NativeWayBack, Reading, RouteView, RouterError, TrafficRouter, Watched};
use crate::diag::Mistake;
use crate::plan::{Color, Move, Split};
use crate::rehearsal::InLab;
use admin::Admin;
use fleet::Exact;
use place::Place;
use settings::Settings;

/// The row of [`super::KINDS`].
pub const KIND: Kind = Kind {
    name: "envoy",
    about: "route: two clusters in the weights of a route of Envoy",
    page: include_str!("../envoy.md"),
    schema: |generator| generator.subschema_for::<Settings>(),
    lab: InLab::Missing("Envoy"),
    view: |value, _| Ok(Rc::new(Envoy::new(value)?)),
    open: |value, _| Ok(Rc::new(Envoy::new(value)?)),
};

/// One file of routes, and the Envoys that watch it.
pub struct Envoy {
    settings: Settings,
    place: Place,
    admins: Vec<Admin>,
}

impl Envoy {
    /// Checks the settings; asks nobody.
    pub fn new(value: &Value) -> Result<Self, Vec<Mistake>> {
        let settings = Settings::read(value)?;
        let wrong = |message| vec![Mistake { at: "/admin".into(), message, help: None }];
        let admins: Result<Vec<Admin>, String> = settings.admin.all().iter().map(|at| Admin::new(at)).collect();
        Ok(Envoy { place: Place::new(&settings.file), admins: admins.map_err(wrong)?, settings })
    }
}

#[async_trait(?Send)]
impl RouteView for Envoy {
    fn line(&self) -> String {
        let more = match self.admins.len() {
            0 | 1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        let Settings { file, admin, .. } = &self.settings;
        format!("envoy route `{}` of {file} at {}{more}", self.settings.inside(), admin.all()[0])
    }

    /// The file of this machine: whatever it holds is put there as a whole.
    fn resources(&self, _: Option<&Reading>) -> Vec<String> {
        let machine = rustix::system::uname().nodename().to_string_lossy().to_string();
        vec![format!("envoy {machine}:{}", self.settings.file)]
    }

    fn min_healthy(&self) -> u32 {
        self.settings.min_healthy
    }

    fn takes(&self, to: Split) -> Result<(), String> {
        self.can_have(to)
    }

    /// A file of ours that some Envoy does not run: only a change of ours that was cut off leaves that.
    fn cut_off(&self, found: &Reading, _: Option<&Move>) -> bool {
        let exact = Exact::read(found);
        let file = exact.file.as_ref().and_then(|text| discovery::read(text, &self.settings).ok());
        file.is_some_and(|file| file.ours && exact.envoys.iter().any(|stood| stood.version != file.version))
    }

    fn unseen(&self) -> &'static str {
        "Envoy itself says that it runs these weights"
    }

    fn nowhere(&self) -> &'static str {
        "neither cluster has a weight"
    }

    async fn read(&self) -> Result<Reading, RouterError> {
        self.fleet().await?.reading()
    }

    async fn health(&self, stack: Color) -> Result<Health, RouterError> {
        self.health_of(stack).await
    }

    async fn controller(&self) -> Result<Option<String>, RouterError> {
        self.other_writer().await
    }

    async fn preflight(&self, _moves: &[Split]) -> Result<Vec<String>, RouterError> {
        self.fit().await
    }

    /// A file that nobody runs is worth a line: the next restart would move users. Envoys that differ while nobody shifts are no
    /// split that anybody planned.
    async fn watch(&self) -> Watched {
        match self.fleet().await {
            Ok(fleet) => Watched { trouble: fleet.differs(), notes: fleet.apart() },
            Err(error) => Watched { trouble: None, notes: vec![error.what] },
        }
    }

    async fn lingering(&self, stack: Color) -> Result<u64, RouterError> {
        self.under_way(stack).await
    }

    async fn writer(&self) -> Option<String> {
        self.place.writer()
    }

    async fn identity(&self) -> Result<Identity, RouterError> {
        self.place.writable()?;
        let mut nodes = Vec::new();
        for admin in &self.admins {
            nodes.push(format!("node `{}` at {}", admin.about().await?.node, admin.at));
        }
        let user = rustix::process::geteuid().as_raw();
        let line = format!("user {user} may write `{}`; Envoy is {}", self.settings.file, nodes.join(", "));
        Ok(Identity { line, left: None, renews: true })
    }

    fn native_way_back(&self, route: &str, reading: &Reading) -> NativeWayBack {
        way_back::way_back(route, &Exact::read(reading), &self.settings)
    }

    /// Without a reading nobody knows what else is in the file.
    fn all_on(&self, stack: Color, now: Option<&Reading>) -> Option<Reading> {
        let (reading, to) = (now?, Split::all_on(stack));
        let mut exact = Exact::read(reading);
        let text = exact.file.as_ref()?;
        let wanted = discovery::read(text, &self.settings).ok()?.at(text, to, &[]).ok()?;
        exact.file = Some(wanted.text);
        for stood in &mut exact.envoys {
            stood.version = wanted.version.clone();
            (stood.blue, stood.green) = match stack {
                Color::Blue => (weights::ALL, 0),
                Color::Green => (0, weights::ALL),
            };
        }
        Some(Reading { split: to, exact: json!(exact), remarks: reading.remarks.clone() })
    }
}

#[async_trait(?Send)]
impl TrafficRouter for Envoy {
    async fn set(&self, from: &Reading, to: Split) -> Result<Vec<Call>, RouterError> {
        self.write(from, to).await
    }

    /// A write is answered when Envoy says that it runs it.
    fn settle(&self) -> Duration {
        Duration::ZERO
    }

    fn lands_within(&self) -> Duration {
        change::LANDS_WITHIN
    }
}
