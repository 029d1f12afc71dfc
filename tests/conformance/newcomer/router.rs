//! A router to copy: the split stands in a JSON file that some proxy reads anew whenever it changes.
//!
//! This file and one row of `KINDS` in `src/routers/mod.rs` are all that a router is. Everything else is inherited: keys of the
//! runbook with their mistakes, plan, three witnesses, retries, rollback, `bgctl explain`, and the suite of `tests/conformance`.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use bgctl::diag::Mistake;
use bgctl::plan::{Color, Split};
use bgctl::rehearsal::InLab;
use bgctl::routers::{
    Call, Health, Identity, Kind, NativeWayBack, Reading, RouteView, RouterError, TrafficRouter, Trouble,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The row: the key in YAML, what explains it, and how one is opened. The page is a file of its own beside a real router
/// (`include_str!("weights_file.md")`), and says for how long a write is reckoned with whose answer was lost.
pub const KIND: Kind = Kind {
    name: "weights_file",
    about: "route: the weights in a file that a proxy reads",
    page: "# weights_file\n\nThe weights of a proxy's file. A rename has happened or not: it is reckoned with for 0 s after the loss.",
    schema: |generator| generator.subschema_for::<Settings>(),
    // A rehearsal moves nobody by a file of this machine, and says so.
    lab: InLab::Missing("proxy that reads its weights from a file"),
    view: |settings, _| Ok(Rc::new(WeightsFile::new(settings)?)),
    open: |settings, _| Ok(Rc::new(WeightsFile::new(settings)?)),
};

/// The file of a proxy: `{ "weights": { "blue": 100, "green": 0 }, "targets": { "blue": […], "green": […] } }`.
// Comments of a field become its text in `bgctl explain runbook` and in editors. A key that is not known is a mistake.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The file: `/etc/proxy/split.json`.
    file: PathBuf,
}

struct WeightsFile(Settings);

impl WeightsFile {
    /// Says every mistake of the settings at once, and asks nobody: `bgctl check` works on a plane.
    fn new(settings: &Value) -> Result<Self, Vec<Mistake>> {
        let wrong = |message: String| vec![Mistake { at: "/file".into(), message, help: None }];
        let settings = Settings::deserialize(settings).map_err(|error| wrong(error.to_string()))?;
        match settings.file.is_absolute() {
            true => Ok(WeightsFile(settings)),
            false => Err(wrong("a proxy and bgctl need not stand in the same folder: write the whole path".into())),
        }
    }

    /// An error says what was tried in the provider's own words. Its kind decides what follows: an `Unreachable` place is
    /// tried again, an `Invalid` one is not.
    fn document(&self) -> Result<Value, RouterError> {
        let failed = |kind, why: String| RouterError::new(kind, format!("{}: {why}", self.line()));
        let text = std::fs::read_to_string(&self.0.file).map_err(|e| failed(Trouble::Unreachable, e.to_string()))?;
        serde_json::from_str(&text).map_err(|e| failed(Trouble::Invalid, e.to_string()))
    }
}

/// What may be asked. `plan`, `check` and `status` hold only this half, so they cannot move anybody.
#[async_trait(?Send)]
impl RouteView for WeightsFile {
    /// One line a person recognises the place by at three in the morning.
    fn line(&self) -> String {
        format!("weights in `{}`", self.0.file.display())
    }

    /// The one thing a move changes, by a name that does not depend on who writes the runbook: no other run changes it meanwhile,
    /// and the policy it was last changed under is remembered by it.
    fn resources(&self, _: Option<&Reading>) -> Vec<String> {
        vec![format!("weights_file {}", self.0.file.display())]
    }

    /// The split as it is now, never as it was or as it should be; `exact` is enough to put the place back as it was.
    async fn read(&self) -> Result<Reading, RouterError> {
        let document = self.document()?;
        let weight = |color: Color| {
            let weight = document["weights"][color.name()].as_u64().and_then(|weight| u32::try_from(weight).ok());
            let what = || format!("{} says no weight of {color}", self.line());
            weight.ok_or_else(|| RouterError::new(Trouble::Invalid, what()))
        };
        let split = Split { blue: weight(Color::Blue)?, green: weight(Color::Green)? };
        Ok(Reading { split, exact: document, remarks: Vec::new() })
    }

    /// How many of a side's targets would take users, as the provider counts them. Nothing is not well.
    async fn health(&self, stack: Color) -> Result<Health, RouterError> {
        let document = self.document()?;
        let targets = document["targets"][stack.name()].as_array().map_or(0, Vec::len).try_into().unwrap_or(u32::MAX);
        let ailing = if targets == 0 { vec![format!("{stack} has no target")] } else { Vec::new() };
        Ok(Health { healthy: targets, total: targets, ailing, ..Health::default() })
    }

    /// Who else writes here by itself and would undo us.
    async fn controller(&self) -> Result<Option<String>, RouterError> {
        Ok(None)
    }

    /// Who we are to the provider, and for how long: a run does not begin with credentials that end in the middle of it.
    async fn identity(&self) -> Result<Identity, RouterError> {
        Ok(Identity { line: "whoever may write the file".into(), left: None, renews: true })
    }

    /// How everybody goes back without bgctl, kept before the first move. A person pastes it, so it is short.
    fn native_way_back(&self, route: &str, reading: &Reading) -> NativeWayBack {
        let (file, quoted) = (format!("{route}.json"), self.0.file.display().to_string().replace('\'', r"'\''"));
        let command = format!("cp {file} '{quoted}.new' && mv '{quoted}.new' '{quoted}'");
        NativeWayBack { files: vec![(file, reading.exact.to_string())], command }
    }
}

/// What moves users: one write at a time.
#[async_trait(?Send)]
impl TrafficRouter for WeightsFile {
    /// Compares before it writes, keeps everything that is not a weight, writes once and never again: whether to try once
    /// more is decided elsewhere, after the place was read back.
    async fn set(&self, from: &Reading, to: Split) -> Result<Vec<Call>, RouterError> {
        if to.only().is_none() && to.share(Color::Green) == 0.0 {
            return Err(RouterError::new(Trouble::Invalid, "no split sends everybody nowhere"));
        }
        let now = self.read().await?;
        if now.split == to {
            return Ok(Vec::new());
        }
        if now.split != from.split {
            let what = format!("{} is at {}, not at {}: nothing was written", self.line(), now.split, from.split);
            return Err(RouterError::new(Trouble::Drift { found: now.split }, what));
        }
        let (mut document, fresh) = (now.exact, self.0.file.with_extension("new"));
        document["weights"] = json!({ "blue": to.blue, "green": to.green });
        // At no moment there is half a file.
        let written = std::fs::write(&fresh, document.to_string()).and_then(|()| std::fs::rename(&fresh, &self.0.file));
        written.map_err(|error| RouterError::new(Trouble::Unreachable, format!("{}: {error}", self.line())))?;
        Ok(vec![Call { action: "rename".into(), request_id: None, code: "ok".into(), time: Duration::ZERO }])
    }

    /// How long a reading may lag behind a write that was answered; its page says where that is known from.
    fn settle(&self) -> Duration {
        Duration::ZERO
    }
}
