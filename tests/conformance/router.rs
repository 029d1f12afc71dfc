//! What every router must do, on every place it is tried against. To try one on another server: implement [`Place`] for it and
//! add a row to `PLACES` in `main.rs`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use async_trait::async_trait;
use bgctl::clock::{Clock, SystemClock};
use bgctl::plan::{Color, Split};
use bgctl::routers::{Access, Kind, NativeWayBack, Reading, TrafficRouter, Trouble};
use serde_json::{Value, json};

use crate::common::at;

/// A moment for a provider that is slower than the next question.
async fn pause() {
    SystemClock.sleep(Duration::from_millis(50)).await;
}

/// A place where traffic is split, with a view of it that is not the router's own. It starts with everybody on blue and
/// healthy targets on both sides.
#[async_trait(?Send)]
pub trait Place {
    /// The settings that lead the router to it, as a runbook gives them.
    fn settings(&self) -> Value;

    /// How the provider is reached.
    fn access(&self) -> Access {
        Access::default()
    }

    /// Shares of green in thousandths, up to all of it, that this place can have.
    fn shares(&self) -> &'static [u32] {
        &[100, 5, 500, 1000]
    }

    /// A share less than all that somebody may want who does not know how things stand.
    fn other(&self) -> u32 {
        250
    }

    /// A split that somebody else sets.
    fn elsewhere(&self) -> Split {
        split(700)
    }

    /// One change is one call.
    fn one_call(&self) -> bool {
        true
    }

    /// The provider names each call.
    fn names_calls(&self) -> bool {
        self.one_call()
    }

    /// The kind's page says how long a lost write is reckoned with; not where each place says its own.
    fn told(&self) -> bool {
        true
    }

    /// The weights as somebody else reads them, blue first.
    async fn witness(&self) -> (u32, u32);

    /// Everything at the place that is not a weight, as somebody else reads it.
    fn everything_else(&self) -> Value;

    /// Somebody else sets the weights.
    fn meddle(&self, blue: u32, green: u32);

    /// Takes every target out of green, by somebody else's hand.
    fn empty_green(&self);

    /// Runs the way back as a person would: its files in a folder, its command in a shell.
    fn walk_back(&self, way: &NativeWayBack) {
        let folder = tempfile::tempdir().expect("a folder");
        walked(way, folder.path(), &mut Command::new("sh"));
    }
}

pub fn split(green_per_mille: u32) -> Split {
    Split::of_green(green_per_mille)
}

/// Waits until somebody else reads this split; a provider may take a moment.
async fn witnessed(place: &dyn Place, wanted: Split) {
    for _ in 0..100 {
        let (blue, green) = place.witness().await;
        if (Split { blue, green }) == wanted {
            return;
        }
        pause().await;
    }
    panic!("{wanted} was never seen; the last was {:?}", place.witness().await);
}

/// Waits until the router reads this split.
async fn reads(router: &dyn TrafficRouter, wanted: Split) -> Reading {
    for _ in 0..100 {
        let reading = router.read().await.expect("it reads");
        if reading.split == wanted {
            return reading;
        }
        pause().await;
    }
    panic!("{wanted} was never read");
}

/// What every router must do.
pub async fn suite(kind: &Kind, place: &dyn Place) {
    let settings = place.settings();
    let router = (kind.open)(&settings, &place.access()).expect("good settings");
    let router = router.as_ref();
    let view = (kind.view)(&settings, &place.access()).expect("good settings");
    assert_eq!(view.line(), router.line(), "whoever only looks is told of the same place");
    let mistakes = (kind.open)(&json!({}), &place.access()).err().expect("settings without anything are no place");
    assert!(mistakes.iter().all(|mistake| !mistake.message.is_empty()), "{mistakes:?}");
    let untouched = place.everything_else();

    // It reads what is there, and says where that is.
    let armed = router.read().await.expect("it reads");
    assert_eq!(armed.split, Split::ALL_BLUE);
    assert!(!router.line().is_empty());
    let way = router.native_way_back("web", &armed);
    assert!(way.files.iter().all(|(name, _)| name.starts_with("web")), "{way:?}");

    // What it moves has one name, also with the stacks exchanged: leases and the policy are kept under it.
    let names = router.resources(Some(&armed));
    assert!(!names.is_empty() && names.iter().all(|name| name.starts_with(kind.name)), "{names:?}");
    let mut exchanged = settings.clone();
    if settings.get("blue").is_some() {
        (exchanged["blue"], exchanged["green"]) = (settings["green"].clone(), settings["blue"].clone());
    }
    let exchanged = (kind.view)(&exchanged, &place.access()).expect("good settings");
    let reading = exchanged.read().await.expect("it reads");
    assert_eq!(exchanged.resources(Some(&reading)), names);

    // It sets absolute weights, in steps up and down, one right after the other, and everybody sees the same.
    let mut from = 0;
    for &to in place.shares() {
        let calls = router.set(&at(split(from)), split(to)).await.expect("it sets");
        assert!(!calls.is_empty() && calls.iter().all(|call| call.code == "ok"), "{calls:?}");
        if place.one_call() {
            assert_eq!(calls.len(), 1, "one write is one call: {calls:?}");
        }
        if place.names_calls() {
            assert!(calls.iter().all(|call| call.request_id.is_some()), "{calls:?}");
        }
        assert_eq!(router.read().await.expect("it reads").split, split(to), "a router sees its own writes");
        from = to;
    }
    witnessed(place, Split::ALL_GREEN).await;

    // A reading that was just made is as good as the word of somebody who knows, also when it is used twice.
    let reading = router.read().await.expect("it reads");
    for _ in 0..2 {
        assert_eq!(router.set(&reading, split(1000)).await.expect("nothing to do"), []);
    }
    assert_eq!(router.lacks(&reading), None, "a place that was split lacks nothing");
    assert_eq!(router.complete(&reading).await.expect("nothing to add"), []);

    // How long a lost write may still land is no secret: its page says it, with where that is known from.
    assert!(router.lands_within() >= router.settle());
    let wanted = format!("for {} s after the loss", router.lands_within().as_secs());
    assert!(!place.told() || kind.page.replace('\n', " ").contains(&wanted), "`{wanted}` is not in the page");

    // Setting what is there already is no call.
    assert_eq!(router.set(&at(split(1000)), split(1000)).await.expect("nothing to do"), []);

    // Written is only over what was expected.
    let error = router.set(&at(split(0)), split(place.other())).await.expect_err("a stale `from` is drift");
    assert_eq!(error.kind, Trouble::Drift { found: split(1000) });
    assert!(!error.moved && error.calls.is_empty(), "{error:?}");
    witnessed(place, Split::ALL_GREEN).await;

    // A foreign change is seen, and not written over.
    let elsewhere = place.elsewhere();
    place.meddle(elsewhere.blue, elsewhere.green);
    reads(router, elsewhere).await;
    let error = router.set(&at(split(1000)), split(0)).await.expect_err("somebody else moved it");
    assert_eq!(error.kind, Trouble::Drift { found: elsewhere });
    witnessed(place, elsewhere).await;

    // Nobody is sent nowhere.
    let error = router.set(&at(elsewhere), Split { blue: 0, green: 0 }).await.expect_err("0/0 is refused");
    assert_eq!((error.kind, error.moved), (Trouble::Invalid, false));
    witnessed(place, elsewhere).await;

    // Everything else at the place is as before.
    assert_eq!(place.everything_else(), untouched);

    // Health is a count, and nothing is not well.
    let health = router.health(Color::Blue).await.expect("blue's health");
    assert!(health.healthy >= 1 && health.healthy == health.total, "{health:?}");
    place.empty_green();
    let health = router.health(Color::Green).await.expect("green's health");
    assert_eq!(health.healthy, 0, "{health:?}");
    assert!(!health.ailing.is_empty(), "an empty side says so");

    // Nobody else owns it, and we are somebody.
    assert_eq!(router.controller().await.expect("it looks for controllers"), None);
    assert!(!router.identity().await.expect("we are somebody").line.is_empty());

    // The way back computed before the first move leads back without bgctl, to exactly what was there.
    place.walk_back(&way);
    assert_eq!(reads(router, Split::ALL_BLUE).await.exact, armed.exact);
    assert_eq!(place.everything_else(), untouched);
}

/// Runs a way back in a folder, with this shell.
pub fn walked(way: &NativeWayBack, folder: &Path, shell: &mut Command) {
    for (name, content) in &way.files {
        std::fs::write(folder.join(name), content).expect("the file is written");
    }
    let output = shell.args(["-c", &way.command]).current_dir(folder).output().expect("a shell");
    assert!(output.status.success(), "{}: {}", way.command, String::from_utf8_lossy(&output.stderr));
}
