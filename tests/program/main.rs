//! The `program` route against programs that break its contract: what is said of each, and what becomes of users.

#[path = "../common/mod.rs"]
mod common;
mod found;
mod regions;
#[path = "../process/rig.rs"]
#[allow(dead_code, reason = "the rig of tests/process, of which this uses a part")]
mod rig;
mod whole;

use std::path::Path;
use std::time::Duration;

use bgctl::plan::{Color, Split};
use bgctl::routers::program::{KIND, trial};
use bgctl::routers::{Access, RouterError, TrafficRouter, Trouble};
use bgctl::secret::{Secret, Secrets};
use serde_json::{Value, json};

/// A file with everybody on blue.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Place { folder: tempfile::tempdir().expect("a folder") };
        place.hold(json!({ "old": 100, "new": 0 }));
        place
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("weights.json")
    }

    fn hold(&self, weights: Value) {
        std::fs::write(self.file(), weights.to_string()).expect("a file");
    }

    fn held(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.file()).expect("a file")).expect("JSON")
    }

    /// The settings of a program that breaks the contract in this way.
    fn settings(&self, how: &str) -> Option<Value> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/program/route.py");
        let run = json!([common::peer("python3")?, script, how, self.file()]);
        Some(json!({ "run": run, "blue": "old", "green": "new", "within": "5s" }))
    }

    fn router(
        &self,
        how: &str,
        change: impl FnOnce(&mut Value),
        access: &Access,
    ) -> Option<std::rc::Rc<dyn TrafficRouter>> {
        let mut settings = self.settings(how)?;
        change(&mut settings);
        Some((KIND.open)(&settings, access).expect("good settings"))
    }
}

/// What a trial finds broken.
async fn broken(how: &str) -> Option<Vec<(&'static str, String)>> {
    let place = Place::new();
    let mut settings = place.settings(how)?;
    if ["hangs", "endless"].contains(&how) {
        settings["within"] = json!("1s");
    }
    if how == "by-color" {
        place.hold(json!({ "blue": 100, "green": 0 }));
    }
    let mut tried = Vec::new();
    trial::trial(&settings, &Access::default(), &mut |one| tried.push(one)).await.expect("good settings");
    Some(tried.into_iter().filter_map(|tried| Some((tried.promise, tried.verdict.err()?))).collect())
}

#[tokio::test]
async fn a_trial_names_every_broken_promise() {
    let table: &[(&str, &str, &str)] = &[
        ("hangs", "what place it is", "did not end within 1s"),
        ("endless", "what place it is", "did not end within 1s"),
        ("later-version", "what place it is", "speaks version 2"),
        ("nameless", "what place it is", "names two places"),
        ("noisy", "what place it is", "no JSON object"),
        ("escapes", "`read` says the split", "without control characters"),
        ("restless", "two readings", "changes by itself"),
        ("silent-about-health", "counts the targets", "does not say which"),
        ("by-color", "sides exchanged", "belong to the names"),
        ("strict", "does not know is refused", "status 1: no such call"),
        ("blind", "compares before it writes", "wrote BLUE 0 GREEN 100 over"),
        ("denied", "makes the split it is told", "the role may only read"),
        ("liar", "makes the split it is told", "and reads BLUE 100 GREEN 0"),
        ("late", "makes the split it is told", "and answered, and reads BLUE"),
        ("dies-after", "makes the split it is told", "ended by signal 9"),
        ("garbage-after", "makes the split it is told", "no JSON object"),
        ("nowhere", "nobody is sent nowhere", "were written"),
        ("half", "cut off", "neither the split before nor the one after"),
        ("races", "write at the same time", "both were told"),
        ("empty-command", "`manual-rollback`", "ended well, and the place reads"),
    ];
    for (how, promise, words) in table {
        let Some(found) = broken(how).await else { return };
        let named = found.iter().any(|(of, why)| of.contains(promise) && why.contains(words));
        assert!(named, "{how}: {found:#?}");
    }
    for how in ["good", "complains"] {
        assert_eq!(broken(how).await.expect("python"), [], "{how}");
    }
}

/// A `set` without an answer, and where users are then.
#[tokio::test]
async fn a_lost_answer_is_looked_up() {
    for (how, moved, landed) in [
        ("dies-before", true, false),
        ("fails-before", true, false),
        ("dies-after", true, true),
        ("garbage-after", true, true),
        ("late", true, true),
        ("never-settles", true, true),
        ("denied", false, false),
        ("busy", false, false),
    ] {
        let place = Place::new();
        let Some(router) = place.router(how, |settings| settings["within"] = json!("1s"), &Access::default()) else {
            return;
        };
        let reading = router.read().await.expect("it reads");
        let to = Split::of_green(250);
        let answer = router.set(&reading, to).await;
        if how == "late" {
            // It was answered before it was done: what counts is the reading.
            answer.expect("an answer");
            for _ in 0..200 {
                if router.read().await.expect("it reads").split == to {
                    break;
                }
                common::bots::pause(50);
            }
        } else {
            let error = answer.expect_err(how);
            assert_eq!(error.moved, moved, "{how}: {error:?}");
            assert_eq!(error.calls.len(), 1, "{how}: what was sent stands in the log");
        }
        let found = router.read().await.expect("it reads").split;
        assert_eq!(found, if landed { to } else { Split::ALL_BLUE }, "{how}");
        // From what was found it goes on, by a program that works.
        let good = place.router("good", |_| {}, &Access::default()).expect("python");
        good.set(&router.read().await.expect("it reads"), Split::ALL_BLUE).await.expect("back");
        assert_eq!(place.held(), json!({ "old": 100, "new": 0 }));
    }
}

#[tokio::test]
async fn a_refusal_keeps_its_kind_and_its_cure() {
    let place = Place::new();
    let error = |how: &'static str| {
        let place = &place;
        async move {
            let router = place.router(how, |_| {}, &Access::default())?;
            let reading = router.read().await.expect("it reads");
            Some(router.set(&reading, Split::ALL_GREEN).await.expect_err(how))
        }
    };
    let Some(RouterError { kind, cure, what, .. }) = error("denied").await else { return };
    assert_eq!((kind, cure.as_deref()), (Trouble::Denied, Some("ask for the role `mover`")));
    assert!(what.contains("the role may only read"), "{what}");
    let busy = error("busy").await.expect("python");
    assert_eq!((busy.kind, busy.after), (Trouble::Throttled, Some(Duration::from_secs(7))));
}

#[tokio::test]
async fn a_program_sees_its_secrets_and_nobody_else_does() {
    let place = Place::new();
    let secrets = Secrets::new([("${env:TOKEN}".to_string(), Secret::new("hunter2-hunter2"))].into());
    let home = [("HOME".to_string(), "/lab".to_string())];
    for (only, wanted) in [(None, "HOME"), (Some(home.into()), "/lab")] {
        let access = Access { secrets: secrets.clone(), only, ..Access::default() };
        let given = |settings: &mut Value| settings["env"] = json!({ "TOKEN": "${env:TOKEN}" });
        let Some(router) = place.router("tells", given, &access) else { return };
        let remarks = router.read().await.expect("it reads").remarks;
        assert!(!remarks[0].contains("hunter2") && remarks[0] != "no token", "{remarks:?}");
        // In a rehearsal nothing of the real environment is there.
        assert!(wanted == "HOME" || remarks[1] == wanted, "{remarks:?}");
    }
}

#[tokio::test]
async fn a_program_that_is_not_there_has_done_nothing() {
    let settings = json!({ "run": ["/nowhere/route"], "blue": "a", "green": "b" });
    let router = (KIND.open)(&settings, &Access::default()).expect("good settings");
    let error = router.read().await.expect_err("there is no program");
    assert_eq!(error.kind, Trouble::NotFound);
    let error = router.health(Color::Blue).await.expect_err("there is no program");
    assert!(error.what.contains("cannot be run"), "{error}");
}
