//! The runs of a game day, one after the other, and the team's own programs between them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::child::{Ending, Running};
use super::proofs::{self, Bad, Proof};
use super::{AROUND, Args};
use crate::diag::Refusal;
use crate::guards::way_back_s;
use crate::journal::read_log;
use crate::plan::{LAB, Plan, sha256};
use crate::run::{Evidence, Outcome};
use crate::runbook::GameDay;
use crate::session::routes;
use crate::session::run_record::RunRecord;
use crate::session::surroundings::Surroundings;
use crate::shell::{Context, Exit};
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
    pub across: PathBuf,
    pub world: World,
    pub folder: PathBuf,
    pub ending: Ending,
}

impl Day<'_> {
    /// A run from which everybody comes back.
    pub async fn back(&self) -> Result<(Vec<Proof>, Result<(), String>), Refusal> {
        let runbook = self.args.from.file.to_string_lossy().into_owned();
        let Course { record, bad, good } = self.course("1", &runbook).await?;
        let proofs = match record {
            None => ["trigger", "rollback"].map(not_begun),
            Some(record) => {
                let proofs = proofs::way_back(&record.id, &record.plan, &record.entries, &bad, self.within());
                proofs.map(|proof| bound(proof, &record))
            }
        };
        Ok((proofs.to_vec(), good))
    }

    /// A run across a contract.
    pub async fn blocked(&self) -> Result<(Proof, Result<(), String>), Refusal> {
        let Course { record, bad, good } = self.course("2", &self.across.to_string_lossy()).await?;
        let Some(record) = record else { return Ok((not_begun("migration"), good)) };
        let green = match self.plan.environment == LAB {
            // Its lab ended with the run.
            true => Some(proofs::on_green(&record.plan, &record.entries)),
            false => self.on_green().await,
        };
        let proof = proofs::blocked(&record.id, &record.plan, &record.entries, &bad, green);
        Ok((bound(proof, &record), good))
    }

    fn within(&self) -> Duration {
        self.hooks.as_ref().map_or(AROUND, |hooks| hooks.within.time)
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
    async fn course(&self, state: &str, runbook: &str) -> Result<Course, Refusal> {
        let mut words = vec!["cutover".to_string(), runbook.into(), "--confirm".into(), self.plan.environment.clone()];
        words.extend(self.passed_on());
        let mut running = Running::start(self.cx, &self.folder.join(state), &words)?;
        let there = |record: &RunRecord| proofs::on_green(&record.plan, &record.entries);
        let on_green = running.until(self.cx, there).await;
        let from = self.cx.clock.now();
        let bad = match &self.hooks {
            None => Bad::FromTheStart,
            Some(_) if !on_green => Bad::Never("no users came to GREEN".into()),
            Some(hooks) => match self.hook("bad", &hooks.bad).await {
                Ok(()) => Bad::Made { from, until: self.cx.clock.now() },
                Err(why) => Bad::Never(format!("`bad` did not end well: {why}")),
            },
        };
        // A green that the gates do not see as bad in time gets no more users.
        let settled = |record: &RunRecord| proofs::settled(&record.entries);
        running.end(self.cx, self.within(), settled, Some(&self.ending)).await;
        let good = match &self.hooks {
            Some(hooks) => self.hook("good", &hooks.good).await,
            None => Ok(()),
        };
        Ok(Course { record: running.record(), bad, good })
    }

    /// Everybody on blue, whatever a run has left: decided from the live routes alone.
    pub async fn home(&self, n: u32) -> Result<(String, bool), Refusal> {
        if self.plan.environment == LAB {
            return Ok(("the lab ended with its run".into(), true));
        }
        let mut words = vec!["rollback".to_string(), self.args.from.file.to_string_lossy().into(), "--yes".into()];
        words.extend(self.variables());
        // Whoever ends the day does not end the way home.
        let mut end = self.sent_home(&format!("home-{n}"), &words).await?;
        if end == Some(i32::from(Exit::Environment.code())) {
            // A disk that takes no record keeps nobody on a bad green: that was confirmed when the day began.
            words.extend(["--unrecorded".into(), "--confirm".into(), self.plan.environment.clone()]);
            end = self.sent_home(&format!("home-{n}"), &words).await?;
        }
        Ok(match end {
            Some(0) => ("everybody is on BLUE, read back".into(), true),
            _ => {
                let file = self.args.from.file.display();
                let next =
                    format!("`bgctl status {file}` shows where users are, `bgctl rollback {file}` sends them back");
                (format!("NOT CONFIRMED to be on BLUE: {next}"), false)
            }
        })
    }

    async fn sent_home(&self, state: &str, words: &[String]) -> Result<Option<i32>, Refusal> {
        let mut running = Running::start(self.cx, &self.folder.join(state), words)?;
        let back = Duration::from_secs(way_back_s(&self.plan, 0)) + AROUND;
        Ok(running.end(self.cx, back, |_| false, None).await)
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
                let step = kind.alone(&format!("gameday.{name}"), "bgctl gameday", config, facts);
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

/// What became of one run.
struct Course {
    record: Option<RunRecord>,
    bad: Bad,
    /// Whether green was made good again, or why not.
    good: Result<(), String>,
}

fn not_begun(name: &str) -> Proof {
    let line = "bgctl refused the cutover before a run began; it says why".to_string();
    Proof { name: name.into(), shown: false, line, ms: None, run: String::new(), log_sha256: None }
}

/// With the digest of the log that shows it, as it was read.
fn bound(proof: Proof, record: &RunRecord) -> Proof {
    let log = read_log(&record.folder).ok();
    Proof { log_sha256: log.map(|bytes| sha256(&bytes)), ..proof }
}

struct Silent;

impl Scribe for Silent {
    fn observed(&self, _: Evidence) {}

    fn progress(&self, _: Progress) {}
}
