//! The runbook that people copy, played to its end by the real program on two hosts; and what a run that is killed leaves behind.

use std::sync::atomic::Ordering;

use bgctl::plan::Split;
use bgctl::routers::{Access, nginx};

use crate::common::bots::pause;
use crate::common::peer;
use crate::common::site::{Bot, Fleet};
use crate::rig::Desk;

const RUNBOOK: &str = include_str!("../../runbooks/site-nginx.yaml");

struct Night {
    desk: Desk,
    fleet: Fleet,
    bots: [Bot; 2],
}

impl Night {
    /// The runbook with the hosts and addresses of this machine, and without its long waits.
    async fn begin() -> Option<Night> {
        let bots = [Bot::start("v1.4.1"), Bot::start("v1.4.2")];
        let fleet = Fleet::start(2, bots[0].address, bots[1].address, "keepalive_timeout 0;")?;
        let (desk, settings, port) = (Desk::new(), fleet.settings(), fleet.sites[0].port);
        let mut text = RUNBOOK.to_string();
        for (written, here) in [
            ("environment: production", "environment: staging".to_string()),
            ("you@example.com", "owner@example.com".into()),
            ("http://blue.internal:8080", format!("http://{}", bots[0].address)),
            ("http://green.internal:8080", format!("http://{}", bots[1].address)),
            ("/etc/nginx/bgctl/web.conf", "/fleet/host/bgctl/web.conf".into()),
            ("[[ssh, web-1, --, sudo, -n], [ssh, web-2, --, sudo, -n]]", settings["hosts"].to_string()),
            ("      green: bot_green\n", format!("      green: bot_green\n      nginx: {}\n", settings["nginx"])),
            ("https://site.example.com", format!("http://127.0.0.1:{port}")),
            ("for: 5m, windows: 5, fail: 2", "for: 2s, windows: 1".into()),
            ("for: 15m", "for: 2s".into()),
            ("longest_job: 30s", "longest_job: 1s".into()),
        ] {
            assert!(text.contains(written), "the runbook has no `{written}`");
            text = text.replace(written, &here);
        }
        desk.write("runbook.yaml", &text);
        Some(Night { desk, fleet, bots })
    }

    /// On each host, how many of 20 teams green answers.
    fn green(&self) -> Vec<u32> {
        let of = |site: &crate::common::site::Site| {
            (0..20).filter(|n| site.version(&format!("T{n}")) == "v1.4.2").count() as u32
        };
        self.fleet.sites.iter().map(of).collect()
    }

    async fn split(&self) -> Split {
        let router = (nginx::KIND.open)(&self.fleet.settings(), &Access::default()).expect("good settings");
        router.read().await.expect("it reads").split
    }
}

#[tokio::test]
async fn the_runbook_is_played_to_its_end_and_back() {
    let Some(night) = Night::begin().await else { return };
    let desk = &night.desk;
    // A site that bgctl has not been to lacks the place where its workers say what they run.
    desk.cutover().end(60).ends(11).says(&[
        "BG0311",
        "does not let the workers of web-1, web-2 say what they run",
        "bgctl prepare",
    ]);
    desk.run(&["prepare", "runbook.yaml", "--confirm", "staging"]).ends(0);
    desk.run(&["plan", "runbook.yaml"]).ends(0).says(&["keepalive_timeout 0", "next:  bgctl cutover"]);
    desk.cutover().end(120).ends(0).says(&["COMPLETED"]);
    assert_eq!(night.green(), [20, 20]);
    let files: Vec<String> = night.fleet.sites.iter().map(|site| site.read(&site.include())).collect();
    desk.complete();
    let log = String::from_utf8(desk.log()).expect("a log is text");
    assert!(log.contains("reload web-1") && log.contains("keepalive_timeout 0"), "{log}");
    desk.run(&["status"]).ends(0).says(&["GREEN 100"]);
    desk.run(&["rollback", "--yes"]).ends(0).says(&["BLUE 100 GREEN 0"]);
    assert_eq!(night.green(), [0, 0]);
    desk.complete();
    // What a power cut between file and reload leaves: users are home, and the next reload by anybody would move them.
    for (site, file) in night.fleet.sites.iter().zip(&files) {
        std::fs::write(site.include(), file).expect("a file");
    }
    desk.run(&["rollback", "--yes"]).ends(0).says(&["All users are on BLUE, and a change that was cut off lies there"]);
    night.fleet.sites.iter().for_each(crate::common::site::Site::reload);
    assert_eq!(night.green(), [0, 0]);
    desk.run(&["rollback", "--yes"]).ends(0).says(&["NO CHANGES"]);
    assert!(night.bots.iter().all(|bot| bot.served.load(Ordering::Relaxed) > 0));
    // Without bgctl: what it prints is pasted into a shell.
    let printed = desk.run(&["rollback", "--print", "runbook.yaml"]).ends(0).out;
    let router = (nginx::KIND.open)(&night.fleet.settings(), &Access::default()).expect("good settings");
    router.set(&router.read().await.expect("it reads"), Split::ALL_GREEN).await.expect("all on green");
    let pasted = desk.shell(&printed).end(30);
    assert_eq!(pasted.code, 0, "{printed}\n{}", pasted.err);
    for _ in 0..100 {
        if night.green() == [0, 0] && night.split().await == Split::ALL_BLUE {
            return;
        }
        pause(50);
    }
    panic!("{printed}\nleads to {:?}", night.green());
}

/// Killed at moments of its own choosing, forward and back: the world is read, and users end where they should.
#[tokio::test]
async fn whoever_is_killed_goes_on_from_the_world() {
    let Some(night) = Night::begin().await else { return };
    let desk = &night.desk;
    desk.run(&["prepare", "runbook.yaml", "--confirm", "staging"]).ends(0);
    // The second host hears of no reload, and bgctl dies while it waits for a proof: the fleet is mixed.
    let site = &night.fleet.sites[1];
    let master = rustix::process::Pid::from_raw(site.pid().expect("it runs").cast_signed()).expect("a pid");
    let signal = |signal| rustix::process::kill_process(master, signal).expect("it runs");
    let mut run = desk.cutover();
    desk.wait_for("step.intent", "bake-50");
    signal(rustix::process::Signal::STOP);
    for _ in 0..1000 {
        if night.fleet.sites[0].green(20) == 0 && night.green()[0] == 20 {
            break;
        }
        pause(10);
    }
    assert!(run.alive(), "it waits for the second host");
    run.signal(rustix::process::Signal::KILL);
    run.end(10);
    // What runs on the host goes on without bgctl, and puts the file of before back when no proof comes.
    let restored = |night: &Night, all: &str| {
        for _ in 0..2000 {
            if !night.fleet.sites[1].read(&night.fleet.sites[1].include()).contains(all) {
                return;
            }
            pause(10);
        }
        panic!("the file of before was never put back");
    };
    restored(&night, "default bot_green");
    signal(rustix::process::Signal::CONT);
    assert!(night.split().await.only().is_none(), "a mixed fleet");
    desk.run(&["resume", "--no-input"]).ends(0).says(&["COMPLETED"]);
    assert_eq!(night.green(), [20, 20]);

    // The same on the way back.
    signal(rustix::process::Signal::STOP);
    let mut back = desk.start(&["rollback", "--yes"]);
    for _ in 0..1000 {
        if night.green()[0] == 0 {
            break;
        }
        pause(10);
    }
    assert!(back.alive(), "it waits for the second host");
    back.signal(rustix::process::Signal::KILL);
    back.end(10);
    restored(&night, "default bot_blue");
    signal(rustix::process::Signal::CONT);
    assert!(night.split().await.only().is_none(), "a mixed fleet");
    desk.run(&["rollback", "--yes"]).ends(0).says(&["BLUE 100 GREEN 0"]);
    assert_eq!((night.green(), night.split().await), (vec![0, 0], Split::ALL_BLUE));
}

/// What starts the real thing for people, played as they play it.
#[test]
fn the_rig_to_try_it_with_works() {
    let (Some(_), Some(_), Some(_)) = (peer("nginx"), peer("curl"), peer("python3")) else { return };
    let mut desk = Desk::new();
    // Four free ports in a row, below those that other tests take.
    let free = |port: &u32| (0..4).all(|n| std::net::TcpListener::bind(("127.0.0.1", (port + n) as u16)).is_ok());
    let first = (0..2500).map(|n| 9_000 + (std::process::id() + n) % 2500 * 4).find(free).expect("four ports");
    desk.env.insert("PORT".into(), first.to_string());
    let folder = desk.path("site").display().to_string();
    let started = desk.shell(&format!("{} {folder}", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/nginx/try"))).end(30);
    assert_eq!(started.code, 0, "{}", started.err);
    let text = std::fs::read_to_string(format!("{folder}/runbook.yaml")).expect("a runbook");
    std::fs::write(format!("{folder}/runbook.yaml"), text.replace("you@example.com", "owner@example.com"))
        .expect("a file");
    let commands: Vec<Vec<&str>> = started.out.lines().map(|line| line.split(' ').collect()).collect();
    let bgctl = |words: &[&str]| desk.run(words).code;
    let ended = [bgctl(&commands[0][1..]), bgctl(&commands[1][1..]), bgctl(&["rollback", "--yes"])];
    let stopped = desk.shell(commands[3][0]).end(30);
    assert_eq!((ended, stopped.code), ([0, 0, 0], 0), "{}", started.out);
}
