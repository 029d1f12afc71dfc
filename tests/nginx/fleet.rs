//! Several hosts: all are prepared before one is reloaded, and a mixed fleet knows itself.

use std::rc::Rc;

use bgctl::plan::{Color, Split};
use bgctl::routers::{Access, Reading, TrafficRouter, Trouble, nginx};

use crate::common::bots::pause;
use crate::common::site::{Bot, Fleet};

struct Rig {
    fleet: Fleet,
    _bots: [Bot; 2],
}

impl Rig {
    /// Three hosts, prepared.
    async fn start() -> Option<Rig> {
        let bots = [Bot::start("blue"), Bot::start("green")];
        let fleet = Fleet::start(3, bots[0].address, bots[1].address, "keepalive_timeout 0;")?;
        let rig = Rig { fleet, _bots: bots };
        let router = rig.router();
        let reading = router.read().await.expect("it reads");
        router.complete(&reading).await.expect("it is prepared");
        Some(rig)
    }

    fn router(&self) -> Rc<dyn TrafficRouter> {
        (nginx::KIND.open)(&self.fleet.settings(), &Access::default()).expect("good settings")
    }

    async fn read(&self) -> Reading {
        self.router().read().await.expect("it reads")
    }

    /// On which of the hosts green answers.
    fn green(&self) -> Vec<bool> {
        let sites = self.fleet.sites.iter();
        sites
            .map(|site| match site.green(10) {
                0 => false,
                10 => true,
                some => panic!("{some} of 10 teams on green"),
            })
            .collect()
    }

    fn texts(&self) -> Vec<String> {
        self.fleet.sites.iter().map(|site| site.read(&site.include())).collect()
    }

    fn mark(&self, host: usize, name: &str) {
        self.fleet.sites[host].write(&self.fleet.sites[host].path(name), "");
    }
}

#[tokio::test]
async fn no_host_is_reloaded_before_nginx_takes_the_file_on_all() {
    let Some(mut rig) = Rig::start().await else { return };
    let (before, reading) = (rig.texts(), rig.read().await);
    let http = rig.fleet.sites[1].http.clone();
    rig.fleet.sites[1].http = "lisen 80;".into();
    rig.fleet.sites[1].configure();
    let error = rig.router().set(&reading, Split::ALL_GREEN).await.expect_err("one does not take it");
    assert!(error.what.contains("nginx of web-2") && error.what.contains("lisen"), "{error}");
    assert!(!error.moved && error.calls.is_empty(), "{error:?}");
    assert_eq!((rig.texts(), rig.green()), (before, vec![false; 3]), "all hosts have what they had");
    rig.fleet.sites[1].http = http;
    rig.fleet.sites[1].configure();
    let calls = rig.router().set(&reading, Split::ALL_GREEN).await.expect("all take it");
    let hosts: Vec<&str> = calls.iter().map(|call| call.action.as_str()).collect();
    assert_eq!(hosts, ["reload web-1", "reload web-2", "reload web-3"]);
    assert!(calls.iter().all(|call| call.request_id == calls[0].request_id), "one generation: {calls:?}");
    assert_eq!(rig.green(), [true; 3]);
}

#[tokio::test]
async fn a_mixed_fleet_is_our_own_half_state_and_is_set_right() {
    let Some(rig) = Rig::start().await else { return };
    let reading = rig.read().await;
    let error = rig.half_way(&reading).await;
    assert!(error.moved && error.what.contains("web-2"), "{error:?}");
    assert_eq!(rig.green(), [true, false, true]);
    let router = rig.router();
    let mixed = router.read().await.expect("it reads");
    assert_eq!(mixed.split.only(), None, "neither all on blue nor all on green: {mixed:?}");
    assert!(router.cut_off(&mixed, None), "{mixed:?}");
    assert!(
        mixed.remarks[0].starts_with("the hosts differ: web-1 BLUE 0 GREEN 100, web-2 BLUE 100 GREEN 0"),
        "{mixed:?}"
    );
    // Forward or back from there, each by one change.
    router.set(&mixed, Split::ALL_BLUE).await.expect("back");
    assert_eq!((rig.green(), rig.read().await.remarks), (vec![false; 3], Vec::new()));

    let error = rig.half_way(&rig.read().await).await;
    assert!(error.moved, "{error:?}");
    let mixed = rig.read().await;
    router.set(&mixed, Split::ALL_GREEN).await.expect("forward");
    assert_eq!(rig.green(), [true; 3]);

    // The same mixture from somebody else's hand is none of ours.
    let site = &rig.fleet.sites[1];
    let by_hand = site.read(&site.include()).replace("default bot_green;", "default bot_blue;");
    site.write(&site.include(), &by_hand);
    site.reload();
    let foreign = rig.read().await;
    assert!(!router.cut_off(&foreign, None) && foreign.split.only().is_none(), "{foreign:?}");
    let error = router.set(&crate::common::at(Split::ALL_GREEN), Split::of_green(500)).await.expect_err("it is drift");
    assert_eq!(error.kind, Trouble::Drift { found: foreign.split });
}

impl Rig {
    /// A change to green that reaches the first and the third host only.
    async fn half_way(&self, from: &Reading) -> bgctl::routers::RouterError {
        // Its master stands still: the signal is sent, and nothing comes of it.
        let site = &self.fleet.sites[1];
        let master = rustix::process::Pid::from_raw(site.pid().expect("it runs").cast_signed()).expect("a pid");
        rustix::process::kill_process(master, rustix::process::Signal::STOP).expect("it stands still");
        let error = self.router().set(from, Split::ALL_GREEN).await.expect_err("one host keeps silent");
        // The signal lands late, and finds the file of before.
        let log = site.error_log().len();
        rustix::process::kill_process(master, rustix::process::Signal::CONT).expect("it goes on");
        for _ in 0..200 {
            if site.error_log()[log..].contains("gracefully shutting down") {
                break;
            }
            pause(10);
        }
        error
    }
}

#[tokio::test]
async fn a_host_that_does_not_answer_stops_the_way_forward_and_not_the_way_back() {
    let Some(rig) = Rig::start().await else { return };
    let router = rig.router();
    router.set(&rig.read().await, Split::ALL_GREEN).await.expect("all on green");
    rig.mark(2, "down");
    let error = router.read().await.expect_err("one is silent");
    assert_eq!(error.kind, Trouble::Unreachable);
    assert!(error.what.contains("nginx of web-3") && error.what.contains("timed out"), "{error}");
    assert_eq!(error.read.as_deref(), Some("web-1 BLUE 0 GREEN 100, web-2 BLUE 0 GREEN 100"));
    let partly = error.partly.expect("a way back starts from it");
    let error = router.set(&partly, Split::ALL_BLUE).await.expect_err("it says who is missing");
    assert!(
        error.moved && error.what.contains("web-1, web-2 is at BLUE 100 GREEN 0 now, but web-3 does not answer"),
        "{error}"
    );
    assert_eq!(rig.green(), [false, false, true]);
    // Then it answers again, and the next attempt brings it home.
    std::fs::remove_file(rig.fleet.sites[2].path("down")).expect("a file");
    let mixed = rig.read().await;
    assert!(router.cut_off(&mixed, None), "{mixed:?}");
    router.set(&mixed, Split::ALL_BLUE).await.expect("back");
    assert_eq!(rig.green(), [false; 3]);
    assert_eq!(router.health(Color::Blue).await.expect("its health").total, 3, "on each host a server of its own");
}

#[tokio::test]
async fn a_reply_that_is_lost_behind_the_change_is_no_second_change() {
    let Some(rig) = Rig::start().await else { return };
    let (router, reading) = (rig.router(), rig.read().await);
    rig.mark(0, "cut");
    let error = router.set(&reading, Split::ALL_GREEN).await.expect_err("its answer is lost");
    assert!(error.what.contains("web-1") && error.what.contains("closed by remote host"), "{error}");
    // The first round was cut: no host was told, and those that had the file gave it back.
    assert!(!error.moved, "{error:?}");
    assert_eq!((rig.green(), rig.read().await.split), (vec![false; 3], Split::ALL_BLUE));
}

#[tokio::test]
async fn a_reply_of_a_single_host_that_is_lost_is_read_back() {
    let bots = [Bot::start("blue"), Bot::start("green")];
    let Some(fleet) = Fleet::start(1, bots[0].address, bots[1].address, "keepalive_timeout 0;") else { return };
    let rig = Rig { fleet, _bots: bots };
    let (router, reading) = (rig.router(), rig.read().await);
    rig.mark(0, "cut");
    let error = router.set(&reading, Split::ALL_GREEN).await.expect_err("its answer is lost");
    assert!(error.moved && error.calls[0].code == "no-answer", "{error:?}");
    assert_eq!((rig.read().await.split, rig.green()), (Split::ALL_GREEN, vec![true]), "it has landed");
    // The same script once more, late, finds another generation and does nothing.
    let text = rig.texts();
    let error = router.set(&reading, Split::ALL_GREEN).await.expect_err("it is not as it was read");
    assert!(!error.moved && error.calls.is_empty(), "{error:?}");
    assert_eq!(rig.texts(), text);
}

/// A script that began and was then held up gives up by itself: whoever sent it may have gone another way.
#[tokio::test]
async fn a_script_that_is_late_lands_nothing() {
    let bots = [Bot::start("blue"), Bot::start("green")];
    let Some(fleet) = Fleet::start(1, bots[0].address, bots[1].address, "keepalive_timeout 0;") else { return };
    let rig = Rig { fleet, _bots: bots };
    rig.router().complete(&rig.read().await).await.expect("it is prepared");
    let (reading, text) = (rig.read().await, rig.texts());
    let slow = |program: &str, seconds: u32| {
        let folder = tempfile::tempdir().expect("a folder");
        let real = crate::common::peer(program).expect("it is there");
        let path = folder.path().join(program);
        let when = if program == "curl" { "*" } else { "*-T*" };
        let script =
            format!("#!/bin/sh\ncase \"$*\" in {when}) sleep {seconds} ;; esac\nexec {} \"$@\"\n", real.display());
        std::fs::write(&path, script).expect("a file");
        let runs = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, runs).expect("it may be run");
        (folder, path)
    };
    let (curl, nginx) = (slow("curl", 11), slow("nginx", 21));
    let mut held_before = rig.fleet.settings();
    let path = format!("PATH={}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", curl.0.path().display());
    held_before["hosts"][0].as_array_mut().expect("words").splice(0..0, ["env".into(), path.into()]);
    let mut held_later = rig.fleet.settings();
    held_later["nginx"][0] = nginx.1.display().to_string().into();
    let from = &reading;
    let tried = |settings: serde_json::Value, words: &'static str| async move {
        let router = (nginx::KIND.open)(&settings, &Access::default()).expect("good settings");
        let error = router.set(from, Split::ALL_GREEN).await.expect_err("it is late");
        assert!(error.what.contains(words) && error.passing() && !error.moved, "{error:?}");
    };
    tried(held_before, "nothing was written").await;
    assert_eq!((rig.texts(), rig.green()), (text.clone(), vec![false]));
    tried(held_later, "it was not reloaded").await;
    assert_eq!((rig.texts(), rig.green()), (text, vec![false]));
}
