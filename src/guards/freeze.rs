//! Freezes: switches against forward moves of a service, of an environment, or of everything. Anybody sets one; a person lifts
//! it. A rollback is never frozen.
//!
//! They lie as files below bgctl's state, in the team's repository, and in a variable, and are read anew each time they are
//! asked for. What cannot be read or understood counts as frozen: whoever wrote it meant something.
#![doc = include_str!("freeze.md")]

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use super::scope::Scope;
use crate::file;
use crate::plan;

/// The variable that freezes whatever is run under it; its value is the reason.
pub const VARIABLE: &str = "BGCTL_FREEZE";
/// The team's freezes, in the repository.
pub const TEAM: &str = ".bgctl/freeze.yaml";

/// Who set a freeze: a person, or bgctl after a rollback by rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    #[default]
    Person,
    Rule,
}

/// A switch against forward moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    pub scope: Scope,
    pub reason: String,
    /// Who set it.
    pub by: String,
    #[serde(default)]
    pub via: By,
    /// It begins then, where it is planned; at once without a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// It ends by itself then; without a time somebody has to lift it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The role of the team's policy that may lift it; anybody otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lift: Option<String>,
    /// The run that went back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

impl Freeze {
    fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now >= until)
    }

    /// One that was planned and has not begun.
    fn is_ahead(&self, now: Timestamp) -> bool {
        self.since.is_some_and(|since| now < since)
    }

    /// What it says, in one line.
    pub fn line(&self) -> String {
        let until = match self.until {
            Some(until) => format!("until {}", until.strftime("%Y-%m-%d %H:%M UTC")),
            None => "until somebody lifts it".into(),
        };
        format!("{} is frozen {until}, by {}: {}", self.scope, self.by, self.reason)
    }
}

/// A freeze, or something in its place that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Freeze(Freeze, Place),
    /// Counts as frozen, for everything.
    Unreadable {
        place: String,
        why: String,
    },
}

/// Where a freeze was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Below bgctl's state: `bgctl unfreeze` takes it away.
    State(PathBuf),
    /// In the team's repository.
    Team,
    Variable,
}

impl Found {
    pub fn line(&self) -> String {
        match self {
            Found::Freeze(freeze, Place::State(_)) => freeze.line(),
            Found::Freeze(freeze, Place::Team) => {
                let from =
                    freeze.since.map_or(String::new(), |at| format!("from {}, ", at.strftime("%Y-%m-%d %H:%M UTC")));
                format!("{} ({from}{TEAM})", freeze.line())
            }
            Found::Freeze(freeze, Place::Variable) => format!("{} ({VARIABLE})", freeze.line()),
            Found::Unreadable { place, why } => {
                format!("cannot tell whether anything is frozen, which counts as frozen: {place}: {why}")
            }
        }
    }
}

/// The team's file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Team {
    #[expect(dead_code, reason = "only its presence is asked for")]
    bgctl_freeze: u32,
    freezes: Vec<Freeze>,
}

/// Everywhere a freeze can stand.
#[derive(Clone, Debug)]
pub struct Freezes {
    folder: PathBuf,
    team: PathBuf,
    variable: Option<String>,
}

impl Freezes {
    /// `state` is bgctl's folder, `team` the repository's, `variable` the value of [`VARIABLE`].
    pub fn new(state: &Path, team: &Path, variable: Option<&str>) -> Self {
        let variable = variable.filter(|value| !["", "0", "no", "off", "false"].contains(value)).map(String::from);
        Freezes { folder: state.join("freezes"), team: team.join(TEAM), variable }
    }

    /// Everything that is there, ended or not.
    pub fn all(&self) -> Vec<Found> {
        let unreadable = |place: &Path, why: String| Found::Unreadable { place: place.display().to_string(), why };
        let mut found: Vec<Found> = self.variable.iter().map(|reason| variable(reason)).collect();
        match file::text(&self.team, file::LONG) {
            Ok(text) => match serde_yaml::from_str::<Team>(&text) {
                Ok(team) => found.extend(team.freezes.into_iter().map(|freeze| Found::Freeze(freeze, Place::Team))),
                Err(error) => found.push(unreadable(&self.team, error.to_string())),
            },
            Err(error) if absent(&error) => {}
            Err(error) => found.push(unreadable(&self.team, error.to_string())),
        }
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return found,
            // Where there is no state folder there is no freeze, and no journal either: that is what has to be said.
            Err(error)
                if error.kind() == ErrorKind::NotADirectory && !self.folder.parent().is_some_and(Path::is_dir) =>
            {
                return found;
            }
            Err(error) => {
                found.push(unreadable(&self.folder, error.to_string()));
                return found;
            }
        };
        for entry in entries {
            let path = match entry {
                Ok(entry) => entry.path(),
                Err(error) => {
                    found.push(unreadable(&self.folder, error.to_string()));
                    continue;
                }
            };
            if path.extension().is_none_or(|end| end != "json") {
                continue;
            }
            match file::read(&path, file::SHORT) {
                Ok(bytes) => found.push(match serde_json::from_slice(&bytes) {
                    Ok(freeze) => Found::Freeze(freeze, Place::State(path)),
                    Err(error) => unreadable(&path, error.to_string()),
                }),
                // Lifted a moment ago.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => found.push(unreadable(&path, error.to_string())),
            }
        }
        found
    }

    /// What freezes a service now, the longest first.
    pub fn holding(&self, environment: &str, service: &str, now: Timestamp) -> Vec<Found> {
        let holds = |found: &Found| match found {
            Found::Freeze(freeze, place) => {
                // What a command has set was set then, by whichever clock.
                let planned = *place == Place::Team && freeze.is_ahead(now);
                freeze.scope.covers(environment, service) && !freeze.is_over(now) && !planned
            }
            Found::Unreadable { .. } => true,
        };
        let mut found: Vec<Found> = self.all().into_iter().filter(holds).collect();
        found.sort_by_key(|found| match found {
            Found::Unreadable { .. } => (0, None),
            Found::Freeze(freeze, _) => (1, freeze.until.map(std::cmp::Reverse)),
        });
        found
    }

    /// The freezes below bgctl's state that stand for exactly this scope.
    pub fn of(&self, scope: &Scope) -> Vec<(Freeze, PathBuf)> {
        let of = |found: Found| match found {
            Found::Freeze(freeze, Place::State(path)) if freeze.scope == *scope => Some((freeze, path)),
            _ => None,
        };
        self.all().into_iter().filter_map(of).collect()
    }

    /// Sets a freeze. One of the same scope and origin is replaced.
    pub fn set(&self, freeze: &Freeze) -> io::Result<PathBuf> {
        let scope = freeze.scope.to_string();
        let readable: String = scope.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let origin = if freeze.via == By::Rule { "rule" } else { "person" };
        let name = format!("{readable}.{}.{origin}.json", &plan::sha256(scope.as_bytes())[..8]);
        write(&self.folder, &name, freeze)
    }

    /// Takes a freeze away; what it was, and who lifted it, stays in `lifted/`.
    pub fn lift(&self, freeze: &Freeze, path: &Path, lifted: &Lifted) -> io::Result<()> {
        let stamp = lifted.at.strftime("%Y%m%dT%H%M%S%.6fZ").to_string();
        let record = serde_json::json!({ "freeze": freeze, "lifted": lifted });
        write(&self.folder.join("lifted"), &format!("{stamp}.json"), &record)?;
        fs::remove_file(path)
    }
}

/// Who lifted a freeze.
#[derive(Clone, Debug, Serialize)]
pub struct Lifted {
    pub by: String,
    pub reason: String,
    pub at: Timestamp,
    /// The armored signature over the freeze, where a role had to sign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
}

fn variable(reason: &str) -> Found {
    let freeze = Freeze {
        scope: Scope::All,
        reason: reason.into(),
        by: "this environment".into(),
        via: By::Person,
        since: None,
        until: None,
        lift: None,
        run: None,
    };
    Found::Freeze(freeze, Place::Variable)
}

/// Whole or not at all, and on the disk before it counts.
fn write(folder: &Path, name: &str, value: &impl Serialize) -> io::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let (path, new) = (folder.join(name), folder.join(format!("{name}.new")));
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all((serde_json::to_string_pretty(value).expect("BUG: a freeze is plain data") + "\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, &path)?;
    File::open(folder)?.sync_all()?;
    Ok(path)
}

fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn freeze(scope: &str, until: Option<&str>) -> Freeze {
        Freeze {
            scope: Scope::parse(scope).unwrap(),
            reason: "payroll".into(),
            by: "rm-two".into(),
            via: By::Person,
            since: Some(at("2026-11-20T18:00:00Z")),
            until: until.map(at),
            lift: None,
            run: None,
        }
    }

    #[test]
    fn a_scope_holds_where_it_says() {
        for (scope, holds) in
            [("all", [true; 3]), ("production", [true, true, false]), ("production/bot", [true, false, false])]
        {
            let scope = Scope::parse(scope).unwrap();
            let places = [("production", "bot"), ("production", "billing"), ("staging", "bot")];
            assert_eq!(places.map(|(e, s)| scope.covers(e, s)), holds, "{scope}");
            assert_eq!(Scope::parse(&scope.to_string()), Ok(scope));
        }
        for wrong in ["", " ", "/bot", "production/"] {
            assert!(Scope::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn set_met_over_and_lifted() {
        let dir = tempfile::tempdir().unwrap();
        let freezes = Freezes::new(dir.path(), dir.path(), None);
        let now = at("2026-11-21T03:00:00Z");
        let lines = |now| freezes.holding("production", "bot", now).iter().map(Found::line).collect::<Vec<_>>();
        assert!(lines(now).is_empty());
        freezes.set(&freeze("production", Some("2026-11-21T06:00:00Z"))).unwrap();
        freezes.set(&freeze("staging", None)).unwrap();
        assert_eq!(lines(now), ["production is frozen until 2026-11-21 06:00 UTC, by rm-two: payroll"]);
        assert!(lines(at("2026-11-21T06:00:00Z")).is_empty(), "it ends at its time");
        let rule = Freeze { via: By::Rule, ..freeze("production", None) };
        freezes.set(&rule).unwrap();
        assert_eq!(freezes.of(&rule.scope).len(), 2, "what bgctl set does not take the place of what a person set");
        assert!(lines(now)[0].contains("until somebody lifts it"), "the longest first");
        for (freeze, path) in freezes.of(&rule.scope) {
            let lifted = Lifted { by: "rm-one".into(), reason: "paid".into(), at: now, sig: None };
            freezes.lift(&freeze, &path, &lifted).unwrap();
        }
        assert!(lines(now).is_empty());
        assert!(fs::read_dir(dir.path().join("freezes/lifted")).unwrap().count() >= 1);
    }

    #[test]
    fn p04_a_planned_freeze_begins_when_it_says() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(TEAM);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let planned = "since: 2026-12-20T00:00:00Z, until: 2027-01-02T00:00:00Z";
        let text =
            format!("bgctl_freeze: 1\nfreezes:\n  - {{ scope: production, reason: holidays, by: rm, {planned} }}\n");
        fs::write(&file, text).unwrap();
        let freezes = Freezes::new(&dir.path().join("state"), dir.path(), None);
        let lines = |now| freezes.holding("production", "bot", at(now)).iter().map(Found::line).collect::<Vec<_>>();
        assert_eq!(lines("2026-12-19T23:59:59Z"), [""; 0]);
        assert!(lines("2026-12-20T00:00:00Z")[0].contains("from 2026-12-20 00:00 UTC"));
        assert_eq!(lines("2027-01-02T00:00:00Z"), [""; 0]);
    }

    #[test]
    fn what_cannot_be_read_counts_as_frozen() {
        let dir = tempfile::tempdir().unwrap();
        let freezes = Freezes::new(dir.path(), dir.path(), None);
        let now = at("2026-11-21T03:00:00Z");
        let path = freezes.set(&freeze("staging", None)).unwrap();
        assert!(freezes.holding("production", "bot", now).is_empty());
        fs::write(&path, "{\"scope\":\"stag").unwrap();
        assert!(freezes.holding("production", "bot", now)[0].line().contains("counts as frozen"));
        fs::write(&path, serde_json::json!({ "scope": "staging", "reason": "x", "by": "y", "more": 1 }).to_string())
            .unwrap();
        assert_eq!(freezes.holding("production", "bot", now).len(), 1, "a word nobody knows is not passed over");
        fs::remove_file(&path).unwrap();
        fs::create_dir(path).unwrap();
        assert_eq!(freezes.holding("production", "bot", now).len(), 1, "a folder in the place of a file");

        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("freezes"), "").unwrap();
        let freezes = Freezes::new(other.path(), other.path(), None);
        assert_eq!(freezes.holding("production", "bot", now).len(), 1, "a file in the place of the folder");
    }

    #[test]
    fn the_team_and_the_environment_freeze_as_well() {
        let dir = tempfile::tempdir().unwrap();
        let now = at("2026-11-21T03:00:00Z");
        let holding = |variable| Freezes::new(dir.path(), dir.path(), variable).holding("production", "bot", now);
        for (value, frozen) in [("", 0), ("0", 0), ("off", 0), ("year end", 1), ("1", 1)] {
            assert_eq!(holding(Some(value)).len(), frozen, "{value}");
        }
        fs::create_dir(dir.path().join(".bgctl")).unwrap();
        let text = "bgctl_freeze: 1\nfreezes:\n  - { scope: production, reason: year end, by: rm-two, until: \"2027-01-02T00:00:00Z\" }\n";
        fs::write(dir.path().join(TEAM), text).unwrap();
        let lines: Vec<String> = holding(None).iter().map(Found::line).collect();
        assert_eq!(
            lines,
            ["production is frozen until 2027-01-02 00:00 UTC, by rm-two: year end (.bgctl/freeze.yaml)"]
        );
        fs::write(dir.path().join(TEAM), "bgctl_freeze: 1\nfreezes: [ { scope: production } ]\n").unwrap();
        assert!(holding(None)[0].line().contains("counts as frozen"));
    }
}
