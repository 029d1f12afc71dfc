//! The runs of a game day, one after the other, and the team's own programs between them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::child::{Running, Signals};
use super::proofs::{self, Bad, Proof};
use super::{AROUND, Args, unwritable};
use crate::diag::Refusal;
use crate::guards::way_back_s;
use crate::plan::{LAB, Plan, PlannedStep};
use crate::run::{Evidence, Outcome};
use crate::runbook::GameDay;
use crate::session::routes;
use crate::session::run_record::RunRecord;
use crate::session::surroundings::Surroundings;
use crate::shell::Context;
use crate::steps::KINDS;
use crate::world::{Progress, Scribe, World};

/// Everything that a game day is arranged with.
pub struct Day<'a> {
    pub args: &'a Args,
    pub cx: &'a Context,
    pub outside: &'a Surroundings,
    pub plan: Plan,
    /// None in the lab, whose faults do it.
    pub hooks: Option<GameDay>,
    /// The runbook with a schema that blue cannot live with.
    pub contract: String,
    pub world: World,
    pub folder: PathBuf,
    pub signals: Signals,
}

impl Day<'_> {
    /// A run from which everybody comes back.
    pub async fn back(&self) -> Result<[Proof; 2], Refusal> {
        let runbook = self.args.from.file.to_string_lossy().into_owned();
        let (record, bad) = self.course("1", &runbook).await?;
        let Some(record) = record else { return Ok(["trigger", "rollback"].map(not_begun)) };
        Ok(proofs::way_back(&record.id, &record.plan, &record.entries, &bad))
    }

    /// A run across a contract.
    pub async fn blocked(&self) -> Result<Proof, Refusal> {
        let file = self.folder.join("across-a-contract.yaml");
        std::fs::write(&file, &self.contract).map_err(|error| unwritable(&file, &error))?;
        let (record, bad) = self.course("2", &file.to_string_lossy()).await?;
        let Some(record) = record else { return Ok(not_begun("migration")) };
        let green = match self.plan.environment == LAB {
            // Its lab ended with the run.
            true => Some(proofs::on_green(&record.plan, &record.entries)),
            false => self.on_green().await,
        };
        Ok(proofs::blocked(&record.id, &record.entries, &bad, green))
    }

    /// Whether any users are on green, read now; none where a route cannot be read.
    async fn on_green(&self) -> Option<bool> {
        let mut green = false;
        for planned in self.plan.routes.values() {
            green |= routes::view(planned, self.outside).ok()?.read().await.ok()?.split.green > 0;
        }
        Some(green)
    }

    /// One run with a green that becomes bad: its records, and since when green was bad.
    async fn course(&self, state: &str, runbook: &str) -> Result<(Option<RunRecord>, Bad), Refusal> {
        let mut words = vec!["cutover".to_string(), runbook.into(), "--confirm".into(), self.plan.environment.clone()];
        words.extend(self.passed_on());
        let mut running = Running::start(self.cx, &self.folder.join(state), &words)?;
        let there = |record: &RunRecord| proofs::on_green(&record.plan, &record.entries);
        let on_green = running.until(self.cx, there).await;
        let bad = match &self.hooks {
            None => Bad::FromTheStart,
            Some(_) if !on_green => Bad::Never("no users came to GREEN".into()),
            Some(hooks) => match self.hook("bad", &hooks.bad).await {
                Ok(()) => Bad::Since(self.cx.clock.now()),
                Err(why) => Bad::Never(format!("`bad` did not end well: {why}")),
            },
        };
        let within = self.hooks.as_ref().map_or(AROUND, |hooks| hooks.within.time);
        let back = Duration::from_secs(way_back_s(&self.plan, 0));
        running.end(self.cx, within + back + AROUND, &self.signals).await;
        if let Some(hooks) = &self.hooks {
            // That it failed is said already, and that green may be bad still.
            let _ = self.hook("good", &hooks.good).await;
        }
        Ok((running.record(), bad))
    }

    /// Everybody on blue, whatever a run has left: decided from the live routes alone.
    pub async fn home(&self, n: u32) -> Result<(String, bool), Refusal> {
        if self.plan.environment == LAB {
            return Ok(("the lab ended with its run".into(), true));
        }
        let mut words = vec!["rollback".to_string(), self.args.from.file.to_string_lossy().into(), "--yes".into()];
        words.extend(self.variables());
        let mut running = Running::start(self.cx, &self.folder.join(format!("home-{n}")), &words)?;
        let back = Duration::from_secs(way_back_s(&self.plan, 0)) + AROUND;
        Ok(match running.end(self.cx, back, &self.signals).await {
            Some(0) => ("everybody is on BLUE, read back".into(), true),
            _ => ("NOT CONFIRMED: `bgctl status RUNBOOK` shows where users are".into(), false),
        })
    }

    fn variables(&self) -> Vec<String> {
        self.args.from.vars.iter().flat_map(|(name, value)| ["--var".to_string(), format!("{name}={value}")]).collect()
    }

    fn passed_on(&self) -> Vec<String> {
        let mut words = self.variables();
        let path = |path: &Path| self.cx.cwd.join(path).display().to_string();
        let launch = &self.args.launch;
        words.extend(launch.key.iter().flat_map(|key| ["--key".to_string(), key.clone()]));
        words.extend(launch.trust.allowed_signers.iter().flat_map(|file| ["--allowed-signers".into(), path(file)]));
        words.extend(self.args.from.policy.policy.iter().flat_map(|file| ["--policy".into(), path(file)]));
        if self.args.from.lab.lab {
            words.push("--lab".into());
            words.extend(self.args.from.lab.faults.iter().flat_map(|fault| ["--lab-fault".into(), fault.clone()]));
        }
        words
    }

    /// One of the team's own programs, and why it did not end well.
    async fn hook(&self, name: &str, command: &crate::steps::Command) -> Result<(), String> {
        let config = serde_json::to_value(command).expect("BUG: a command is plain data");
        let kind = KINDS.iter().find(|kind| kind.name == "command").expect("BUG: the table of kinds has `command`");
        let built =
            (kind.facts)(&config, &self.plan).map_err(|mistakes| mistakes[0].message.clone()).and_then(|facts| {
                let step = PlannedStep {
                    id: format!("gameday.{name}"),
                    kind: kind.name.into(),
                    line: facts.line,
                    config,
                    resume: facts.resume,
                    attempts: 1,
                    timeout_s: facts.timeout_s,
                    expected_s: facts.expected_s,
                    moves: None,
                    approval: None,
                    on_failure: Default::default(),
                    place: "bgctl gameday".into(),
                };
                (kind.build)(&step, &self.plan).map_err(|error| format!("{error:#}"))
            });
        self.cx.err(&format!("game day: `{name}` runs"));
        let outcome = match built {
            Ok(step) => step.execute(&self.world, &Silent).await,
            Err(why) => Outcome::unknown(why),
        };
        if matches!(outcome, Outcome::Done { .. }) {
            return Ok(());
        }
        let why = self.world.secrets.mask(outcome.line());
        let still = if name == "good" { "; GREEN may still be bad" } else { "" };
        self.cx.err(&format!("! game day: `{name}` did not end well: {why}{still}"));
        Err(why)
    }
}

fn not_begun(name: &str) -> Proof {
    let line = "the run did not begin: its reason stands above".to_string();
    Proof { name: name.into(), shown: false, line, ms: None, run: String::new() }
}

struct Silent;

impl Scribe for Silent {
    fn observed(&self, _: Evidence) {}

    fn progress(&self, _: Progress) {}
}
