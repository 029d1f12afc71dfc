//! `migrate`: the team's own migration command, before any user is on green.
//!
//! It sets the two timeouts that keep a waiting `alter table` from stopping everybody, tries again where no lock was had, and
//! holds what ran against what was read. It undoes nothing, and no way back contains it.
#![doc = include_str!("migrate.md")]

use std::collections::BTreeMap;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::command::{self, Ended};
use super::{Facts, GRACE, Kind, Mistake, Review, Step, settings};
use crate::migrations::live;
use crate::migrations::live::Ran;
use crate::migrations::{changed, shortened};
use crate::plan::{Color, Plan, PlannedSchema, Resume};
use crate::rehearsal::{InLab, Mark};
use crate::run::{Cause, Evidence, Found, Outcome};
use crate::scalar::Duration;
use crate::world::{Exit, Progress, Scribe, World};

pub const KIND: Kind = Kind {
    name: "migrate",
    about: "run the team's migrations, before any user is on green",
    page: include_str!("migrate.md"),
    schema: |generator| generator.subschema_for::<Migrate>(),
    facts,
    lab: InLab::Programs(&[""]),
    build: |step, plan| {
        let (id, settings) = (step.id.clone(), Migrate::deserialize(&step.config)?);
        Ok(Box::new(Migrating { id, settings, schema: plan.schema.clone().unwrap_or_default() }))
    },
};

/// Runs the team's migrations. Exactly one of `run` and `shell` is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Migrate {
    /// The program and its arguments, passed as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Vec<String>>,
    /// A line for `/bin/sh -c`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// Environment variables beside those bgctl itself was started with. `PGOPTIONS` is added to.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Where it runs; the working directory of bgctl when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// The longest all of it may take.
    #[serde(default = "within")]
    pub within: Duration,
    /// The longest a statement waits for a lock: everybody who comes after it waits as long.
    #[serde(default = "lock_timeout")]
    pub lock_timeout: Duration,
    /// The longest a statement may run.
    #[serde(default = "statement_timeout")]
    pub statement_timeout: Duration,
    /// How often it is run in all when no lock was had in time.
    #[serde(default = "attempts")]
    #[schemars(range(min = 1, max = 50))]
    pub attempts: u32,
    /// `safe`: it touches nothing but the lab, so a rehearsal may run it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lab: Option<Mark>,
}

fn within() -> Duration {
    Duration::seconds(900)
}

fn lock_timeout() -> Duration {
    Duration::seconds(2)
}

fn statement_timeout() -> Duration {
    Duration::seconds(300)
}

fn attempts() -> u32 {
    5
}

/// Between two tries: whoever holds the lock gets time to end.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(5);

fn facts(config: &Value, plan: &Plan) -> Result<Facts, Vec<Mistake>> {
    let migrate: Migrate = settings(config)?;
    let mut review = Review::default();
    let shown = command::review(&mut review, migrate.run.as_deref(), migrate.shell.as_deref(), &migrate.env);
    review.longer_than_zero("/within", migrate.within.time);
    for (at, time) in [("/lock_timeout", &migrate.lock_timeout), ("/statement_timeout", &migrate.statement_timeout)] {
        if time.time.is_zero() {
            review.wrong(at, "zero means no limit to PostgreSQL", Some("write `2s`, for one"));
        }
    }
    review.between("/attempts", migrate.attempts, 1, 50);
    let tells = plan.schema.as_ref().is_some_and(|schema| schema.postgres.is_some() && !schema.migrations.is_empty());
    review.passed(|| Facts {
        line: format!("migrate with `{}`{}", shortened(&shown), Mark::shown(migrate.lab)),
        resume: if tells { Resume::Observe } else { Resume::AskHuman },
        attempts: 1,
        timeout_s: migrate.within.whole_seconds() + GRACE,
        expected_s: migrate.within.whole_seconds().min(30),
        moves: None,
    })
}

struct Migrating {
    id: String,
    settings: Migrate,
    schema: PlannedSchema,
}

impl Migrating {
    /// What has run, as the tool's own table says; none without a database to ask.
    async fn ran(&self, world: &World) -> Option<Result<Ran, String>> {
        let url = world.secrets.resolve(self.schema.postgres.as_ref()?);
        Some(live::has_run(&self.schema, &url, world.database.as_ref()).await)
    }

    fn command(&self, world: &World) -> crate::world::Command {
        let Migrate { lock_timeout, statement_timeout, .. } = &self.settings;
        let (lock, statement) = (lock_timeout.time.as_millis(), statement_timeout.time.as_millis());
        let own = self.settings.env.get("PGOPTIONS").map_or(String::new(), |own| format!("{own} "));
        let mut env = self.settings.env.clone();
        env.insert("PGOPTIONS".into(), format!("{own}-c lock_timeout={lock} -c statement_timeout={statement}"));
        crate::world::Command {
            argv: command::argv(self.settings.run.as_deref(), self.settings.shell.as_deref())
                .iter()
                .map(|word| world.secrets.resolve(word))
                .collect(),
            env: env.iter().map(|(name, value)| (name.clone(), world.secrets.resolve(value))).collect(),
            directory: self.settings.directory.clone(),
            input: Vec::new(),
            timeout: self.settings.within.time,
        }
    }

    /// Users on green are the reason why nothing is migrated any more, whoever sent them there.
    async fn nobody_on_green(&self, world: &World) -> Result<(), Outcome> {
        for (name, route) in &world.routes {
            match route.read().await {
                Ok(reading) if reading.split.weight(Color::Green) == 0 => {}
                Ok(reading) => {
                    let line = format!("{name} reads {}: nothing is migrated with users on GREEN", reading.split);
                    return Err(Outcome::failed(Cause::Drift, line));
                }
                Err(error) => {
                    let line = format!("where users are at {name} cannot be read ({error}), so nothing is migrated");
                    return Err(Outcome::failed(Cause::Provider, line));
                }
            }
        }
        Ok(())
    }

    /// What is going to run, for the record: it has to be what was read.
    async fn announced(&self, world: &World, scribe: &dyn Scribe) -> Result<Option<Vec<String>>, Outcome> {
        let other = changed(&self.schema);
        if !other.is_empty() {
            let line = format!("the migrations are not those that the plan read: {}", other.join(", "));
            return Err(Outcome::failed(Cause::Drift, line));
        }
        match self.ran(world).await {
            Some(Ok(Ran::Pending(pending))) => {
                for name in &pending {
                    let of = |place: &&crate::plan::Finding| place.place.starts_with(&format!("{name}:"));
                    let found: Vec<String> = self
                        .schema
                        .findings
                        .iter()
                        .filter(of)
                        .map(|f| format!("{} {}: {}", f.place, f.class, f.why))
                        .collect();
                    let what = if found.is_empty() { "only additions".into() } else { found.join("; ") };
                    scribe.observed(Evidence::Note { line: format!("{}: {name} has to run: {what}", self.id) });
                }
                Ok(Some(pending))
            }
            Some(Ok(Ran::Broken(which))) => {
                let line = format!("migration {} did not end well earlier: a person has to look", which.join(", "));
                Err(Outcome::failed(Cause::Action, line))
            }
            Some(Ok(Ran::NoTable)) => {
                let line = format!("{}: no table of a known tool says what has run", self.id);
                scribe.observed(Evidence::Note { line });
                Ok(None)
            }
            Some(Err(why)) => {
                let line = format!("what has run cannot be read, so nothing is migrated: {why}");
                Err(Outcome::Failed {
                    line,
                    cause: Cause::Action,
                    moved: false,
                    retry: true,
                    then: None,
                    facts: Value::Null,
                })
            }
            None => Ok(None),
        }
    }
}

/// PostgreSQL's own words, in the languages of its messages that name the setting, or its code.
fn lacked_a_lock(line: &str) -> bool {
    line.contains("55P03") || line.contains("lock timeout") || line.contains("lock_timeout")
}

#[async_trait(?Send)]
impl Step for Migrating {
    async fn execute(&self, world: &World, scribe: &dyn Scribe) -> Outcome {
        if let Err(outcome) = self.nobody_on_green(world).await {
            return outcome;
        }
        let pending = match self.announced(world, scribe).await {
            Ok(pending) => pending,
            Err(outcome) => return outcome,
        };
        let mut command = self.command(world);
        let began = world.clock.elapsed();
        let mut attempt = 1;
        let Ended { exit, line, .. } = loop {
            let ended = command::capture(&self.id, &command, world, scribe, &lacked_a_lock).await;
            let left = self.settings.within.time.saturating_sub(world.clock.elapsed().saturating_sub(began) + PAUSE);
            let again = ended.marked && !matches!(ended.exit, Ok(Exit::Status(0))) && attempt < self.settings.attempts;
            if !again || left.is_zero() {
                break ended;
            }
            let within = &self.settings.lock_timeout;
            let line = format!("{}: try {attempt}: no lock within {within}, so it is tried again", self.id);
            scribe.observed(Evidence::Note { line: line.clone() });
            scribe.progress(Progress { done: 0, of: 0, line });
            world.clock.sleep(PAUSE).await;
            (attempt, command.timeout) = (attempt + 1, left);
        };
        let mut facts = json!({ "tries": attempt });
        match exit {
            Ok(Exit::Status(0)) => {}
            Ok(Exit::TimedOut) => return Outcome::failed(Cause::Timeout, line).with(facts),
            _ => return Outcome::failed(Cause::Action, line).with(facts),
        }
        // Its good word is not enough where its own table can be read.
        match self.ran(world).await {
            Some(Ok(Ran::Pending(left))) if left.is_empty() => {
                let ran = pending.unwrap_or_default();
                let what =
                    if ran.is_empty() { "nothing was left to run".into() } else { format!("ran {}", ran.join(", ")) };
                facts["ran"] = json!(ran);
                Outcome::done(format!("{what}; {line}")).with(facts)
            }
            Some(Ok(Ran::Pending(left))) => {
                let line = format!("{line}, but {} has not run", left.join(", "));
                Outcome::failed(Cause::Action, line).with(facts)
            }
            Some(Ok(Ran::Broken(which))) => {
                let line = format!("{line}, and migration {} did not end well", which.join(", "));
                Outcome::failed(Cause::Action, line).with(facts)
            }
            Some(Ok(Ran::NoTable)) | None => Outcome::done(line).with(facts),
            Some(Err(why)) => Outcome::unknown(format!("{line}, but what has run cannot be read: {why}")).with(facts),
        }
    }

    async fn in_place(&self, world: &World, _: &dyn Scribe) -> (Found, String) {
        match self.ran(world).await {
            Some(Ok(Ran::Pending(left))) if left.is_empty() => (Found::InPlace, "every migration has run".into()),
            Some(Ok(Ran::Pending(left))) => (Found::NotInPlace, format!("{} has not run", left.join(", "))),
            Some(Ok(Ran::Broken(which))) => {
                (Found::Other, format!("migration {} did not end well: a person has to look", which.join(", ")))
            }
            Some(Ok(Ran::NoTable)) | None => {
                (Found::CannotSee, "no table of a known tool says what has run: a person has to look".into())
            }
            Some(Err(why)) => (Found::CannotSee, why),
        }
    }
}
