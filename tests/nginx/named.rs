//! What goes wrong, by name: what is said of it, and where users and the file are afterwards.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::rc::Rc;
use std::time::Duration;

use bgctl::plan::{Color, Split};
use bgctl::routers::{Access, Reading, RouterError, TrafficRouter, Trouble, nginx};
use serde_json::{Value, json};

use crate::common::bots::pause;
use crate::common::site::{Bot, Site};

/// A site that has been prepared, and its router.
pub struct Rig {
    pub site: Site,
    _blue: Bot,
    pub green: Bot,
    pub settings: Value,
}

impl Rig {
    pub async fn start() -> Option<Rig> {
        Rig::with("keepalive_timeout 0;").await
    }

    pub async fn with(http: &str) -> Option<Rig> {
        let (blue, green) = (Bot::start("blue"), Bot::start("green"));
        let site = Site::start(blue.address, green.address, http)?;
        let rig = Rig { settings: site.settings(), site, _blue: blue, green };
        let router = rig.router();
        let reading = router.read().await.expect("it reads");
        router.complete(&reading).await.expect("it is prepared");
        Some(rig)
    }

    pub fn router(&self) -> Rc<dyn TrafficRouter> {
        (nginx::KIND.open)(&self.settings, &Access::default()).expect("good settings")
    }

    pub async fn read(&self) -> Reading {
        self.router().read().await.expect("it reads")
    }

    pub async fn set(&self, green: u32) -> Result<(), RouterError> {
        let from = self.read().await;
        self.router().set(&from, Split::of_green(green)).await.map(|calls| assert_eq!(calls.len(), 1))
    }

    fn text(&self) -> String {
        self.site.read(&self.site.include())
    }

    /// In place of nginx this script is called.
    fn instead(&mut self, script: &str) {
        let (path, words) = (self.site.path("wrapper"), self.site.words().join(" "));
        self.site.write(&path, &format!("#!/bin/sh\nreal() {{ {words} \"$@\"; }}\n{script}\n"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it may be run");
        self.settings["nginx"] = json!([path]);
    }

    /// Nobody moved, the file is what it was, and the next change works.
    async fn stays_and_goes_on(&mut self, before: &str, error: &RouterError) {
        assert_eq!(self.text(), before, "the file is as it was: {error:?}");
        assert_eq!(self.site.green(20), 0, "users are where they were");
        let left: Vec<_> = std::fs::read_dir(self.site.path("bgctl")).expect("a folder").flatten().collect();
        let named: Vec<_> = left.iter().map(std::fs::DirEntry::file_name).filter(|n| *n != "web.conf").collect();
        assert!(named.is_empty(), "{named:?}");
        self.settings["nginx"] = json!(self.site.words());
        self.set(1000).await.expect("the next change works");
        assert_eq!(self.site.green(20), 20);
    }
}

#[tokio::test]
async fn a_reload_that_returns_0_and_does_nothing_is_no_reload() {
    let Some(mut rig) = Rig::start().await else { return };
    let before = rig.text();
    rig.instead("case \"$*\" in *reload*) exit 0 ;; esac\nreal \"$@\"");
    let error = rig.set(1000).await.expect_err("nothing was reloaded");
    assert_eq!((error.kind, error.moved), (Trouble::NotNow, true), "{error:?}");
    assert!(error.what.contains("the reload returned 0, and no new workers took over"), "{error}");
    assert_eq!(error.calls[0].code, "unproven");
    assert_eq!(rig.read().await.split, Split::ALL_BLUE);
    rig.stays_and_goes_on(&before, &error).await;
}

#[tokio::test]
async fn an_old_worker_that_still_takes_connections_is_no_switch() {
    let Some(rig) = Rig::start().await else { return };
    let children = format!("/proc/{0}/task/{0}/children", rig.site.pid().expect("it runs"));
    let children = std::fs::read_to_string(children).expect("its workers");
    let worker = children.split_whitespace().next().and_then(|pid| pid.parse().ok());
    let worker = worker.and_then(rustix::process::Pid::from_raw).expect("a worker");
    rustix::process::kill_process(worker, rustix::process::Signal::STOP).expect("it hangs");
    let error = rig.set(1000).await.expect_err("it has closed nothing");
    assert!(error.moved && error.what.contains("no new workers took over"), "{error:?}");
    rustix::process::kill_process(worker, rustix::process::Signal::CONT).expect("it goes on");
    // The new workers are there, and the file of before is on the disk: half a change, which the next one sets right.
    let half = rig.read().await;
    assert!(rig.router().cut_off(&half, None), "{half:?}");
    assert_eq!(rig.router().set(&half, Split::ALL_GREEN).await.expect("it sets").len(), 1);
    assert!(rig.site.green(20) == 20 && !rig.router().cut_off(&rig.read().await, None));
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_in_nginx_s_own_words() {
    let Some(mut rig) = Rig::start().await else { return };
    // Somebody has added a site on a port that somebody else holds; `nginx -t` has nothing against it.
    let held = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = held.local_addr().expect("its address").port();
    let (http, before) = (rig.site.http.clone(), rig.text());
    rig.site.http = format!("{http} server {{ listen 127.0.0.1:{port}; }}");
    rig.site.configure();
    let error = rig.set(1000).await.expect_err("nginx cannot bind");
    assert_eq!((error.kind, error.moved), (Trouble::NotNow, false), "{error:?}");
    assert!(error.what.contains("the reload returned 0, and nginx did not take it"), "{error}");
    assert!(error.what.contains("Address already in use") && error.what.contains("still could not bind()"), "{error}");
    assert!(error.cure.as_deref().is_some_and(|cure| cure.contains("error log")), "{error:?}");
    rig.site.http = http;
    rig.site.configure();
    rig.stays_and_goes_on(&before, &error).await;
}

#[tokio::test]
async fn an_upstream_that_cannot_be_resolved_on_the_way_back_is_waited_for() {
    let Some(mut rig) = Rig::start().await else { return };
    rig.set(1000).await.expect("all on green");
    let (before, upstreams) = (rig.text(), rig.site.upstreams.clone());
    rig.site.upstreams = format!("{upstreams}upstream other {{ server other.invalid:80; }}\n");
    rig.site.configure();
    let reading = rig.read().await;
    let error = rig.router().set(&reading, Split::ALL_BLUE).await.expect_err("nginx looks names up");
    assert!(error.what.contains("host not found in upstream \"other.invalid:80\""), "{error}");
    assert!(error.passing() && !error.moved && error.cure.as_deref().is_some_and(|c| c.contains("DNS")), "{error:?}");
    let health = rig.router().health(Color::Blue).await.expect_err("nor is blue's health known");
    assert!(health.passing() && health.what.contains("other.invalid"), "{health:?}");
    assert_eq!((rig.text(), rig.site.green(20)), (before, 20));
    // No reload was tried, so a reload by somebody else does not move users either.
    assert_eq!(rig.read().await, reading);
    rig.site.upstreams = upstreams;
    rig.site.configure();
    rig.router().set(&reading, Split::ALL_BLUE).await.expect("the name is known again");
    assert_eq!(rig.site.green(20), 0);
}

#[tokio::test]
async fn a_configuration_that_nginx_does_not_take_is_never_loaded() {
    let Some(mut rig) = Rig::start().await else { return };
    let (before, http, log) = (rig.text(), rig.site.http.clone(), rig.site.error_log());
    rig.site.http = format!("{http} server {{ lisen 80; }}");
    rig.site.configure();
    let error = rig.set(1000).await.expect_err("a mistake");
    assert_eq!((error.kind, error.moved), (Trouble::Invalid, false), "{error:?}");
    assert!(error.what.contains("unknown directive \"lisen\""), "{error}");
    assert!(!rig.site.error_log()[log.len()..].contains("signal process started"), "nginx was not told");
    rig.site.http = http;
    rig.site.configure();
    rig.stays_and_goes_on(&before, &error).await;
}

#[tokio::test]
async fn a_crash_between_the_file_and_the_reload_is_our_own_half_state() {
    let Some(mut rig) = Rig::start().await else { return };
    let before = rig.read().await;
    // The whole process group dies where nginx would be told: as when bgctl is killed.
    rig.instead("case \"$*\" in *reload*) kill -9 0 ;; esac\nreal \"$@\"");
    let error = rig.router().set(&before, Split::ALL_GREEN).await.expect_err("it was killed");
    assert!(error.moved && error.kind == Trouble::Unreachable, "{error:?}");
    rig.settings["nginx"] = json!(rig.site.words());
    let router = rig.router();
    let half = router.read().await.expect("it reads");
    assert_eq!(half.split, Split::ALL_BLUE, "users are where the workers send them");
    assert!(router.cut_off(&half, None) && !router.cut_off(&before, None));
    assert!(half.remarks.iter().any(|line| line.contains("whoever reloads nginx moves users")), "{half:?}");
    assert!(router.watch().await.notes.iter().any(|line| line.contains("whoever reloads nginx moves users")));
    // Back is a real write although users are on blue: the file would move them at the next reload.
    assert_eq!(router.set(&half, Split::ALL_BLUE).await.expect("it sets").len(), 1);
    rig.site.reload();
    assert_eq!((rig.site.green(20), rig.read().await.remarks), (0, Vec::new()));
    // And forward again it goes on.
    rig.instead("case \"$*\" in *reload*) kill -9 0 ;; esac\nreal \"$@\"");
    rig.set(1000).await.expect_err("it was killed again");
    rig.settings["nginx"] = json!(rig.site.words());
    rig.set(1000).await.expect("it goes on");
    assert_eq!(rig.site.green(20), 20);
    // Once more on the way back, and then somebody reloads: what workers run is no longer what was read.
    rig.instead("case \"$*\" in *reload*) kill -9 0 ;; esac\nreal \"$@\"");
    rig.set(0).await.expect_err("it was killed on the way back");
    rig.settings["nginx"] = json!(rig.site.words());
    let (half, text) = (rig.read().await, rig.text());
    assert_eq!(half.split, Split::ALL_GREEN);
    rig.site.reload();
    let error = rig.router().set(&half, Split::of_green(500)).await.expect_err("users were moved meanwhile");
    assert_eq!(error.kind, Trouble::Drift { found: Split::ALL_BLUE });
    assert!(!error.moved && rig.text() == text && rig.site.green(20) == 0, "{error:?}");
}

#[tokio::test]
async fn a_change_by_hand_that_nobody_loaded_is_seen_and_not_written_over() {
    let Some(rig) = Rig::start().await else { return };
    rig.set(100).await.expect("a tenth");
    let reading = rig.read().await;
    let by_hand = rig.text().replace("    10% bot_green;", "    60% bot_green;");
    rig.site.write(&rig.site.include(), &by_hand);
    let router = rig.router();
    let error = router.set(&reading, Split::of_green(500)).await.expect_err("somebody was here");
    assert!(!error.moved && error.calls.is_empty(), "{error:?}");
    assert_eq!(rig.text(), by_hand);
    // What workers do tells which file they run, before and after somebody loads it.
    let found = rig.read().await;
    assert_eq!(found.split, Split::of_green(100), "{found:?}");
    assert!(found.remarks[0].contains("was changed by hand"), "{found:?}");
    rig.site.reload();
    assert_eq!(rig.read().await.split, Split::of_green(600));
    assert!(router.writer().await.is_some_and(|line| line.contains("web.conf")));
    // By a key of their own all of bgctl's samples may be one user, who proves nothing; the way back goes on all the same.
    rig.set(1000).await.expect("all on green");
    let own = rig.text().replace(
        "map \"\" $bgctl_web {\n    default bot_green;\n",
        "split_clients $http_none $bgctl_web {\n    99% bot_green;\n    * bot_blue;\n",
    );
    rig.site.write(&rig.site.include(), &own);
    let error = router.read().await.expect_err("nobody can say");
    assert!(error.what.contains("do not show whether they run it"), "{error}");
    let partly = error.partly.expect("a way back starts from it");
    router.set(&partly, Split::ALL_BLUE).await.expect("back");
    assert_eq!(rig.site.green(20), 0);
}

#[tokio::test]
async fn the_share_grows_by_key_and_nobody_on_green_goes_back() {
    let Some(rig) = Rig::start().await else { return };
    let mut on_green: Vec<u32> = Vec::new();
    for share in [5, 100, 300, 1000] {
        rig.set(share).await.expect("it sets");
        let now: Vec<u32> = (0..400).filter(|n| rig.site.version(&format!("T{n}")) == "green").collect();
        assert!(on_green.iter().all(|team| now.contains(team)), "at {share} somebody went back");
        let wanted = share as f64 * 0.4;
        assert!(
            (now.len() as f64 - wanted).abs() <= 4.0 * (wanted * (1.0 - wanted / 400.0)).sqrt() + 1.0,
            "{share}: {}",
            now.len()
        );
        on_green = now;
    }
    // Whoever has no key is shared out by chance.
    rig.set(500).await.expect("it sets");
    let met = (0..60).filter(|_| rig.site.version("") == "green").count();
    assert!((10..=50).contains(&met), "{met}");
}

#[tokio::test]
async fn a_dead_green_cannot_hide_and_preflight_says_what_is_missing() {
    let Some(mut rig) = Rig::start().await else { return };
    let moves = [Split::of_green(500)];
    let lines = rig.router().preflight(&moves).await.expect("a good site");
    assert!(lines.iter().any(|line| line.contains("keepalive_timeout 0")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("no worker_shutdown_timeout")), "{lines:?}");
    rig.site.server = String::new();
    rig.site.configure();
    let error = rig.router().preflight(&moves).await.expect_err("nginx asks the next server");
    assert!(error.what.contains("hides a dead green") && error.cure.is_some(), "{error:?}");
    // With separate upstreams a dead green is green's own.
    rig.site.server = "proxy_next_upstream off;".into();
    rig.site.configure();
    rig.set(1000).await.expect("all on green");
    rig.green.end();
    let health = rig.router().health(Color::Green).await.expect("its health");
    assert_eq!((health.healthy, health.total), (0, 1), "{health:?}");
    assert!(health.ailing[0].contains("answers curl: (7)"), "{health:?}");
    assert_eq!(rig.site.version("T1"), "none");
}

#[tokio::test]
async fn what_cannot_be_done_is_said_with_its_cure() {
    let Some(rig) = Rig::start().await else { return };
    let settings = rig.settings.clone();
    let with = |key: &str, value: Value| {
        let mut changed = settings.clone();
        changed[key] = value;
        (nginx::KIND.open)(&changed, &Access::default()).expect("good settings")
    };
    let error = with("include", json!("/nonexistent/web.conf")).read().await.expect_err("no file");
    assert_eq!(error.kind, Trouble::NotFound);
    assert!(error.cure.is_some_and(|cure| cure.contains("map \"\" $bgctl_web { default bot_blue; }")));
    let error = with("hosts", json!([["false"]])).read().await.expect_err("no shell there");
    assert!(error.kind == Trouble::Unreachable && error.what.contains("the command ended with 1"), "{error:?}");
    let error = with("hosts", json!([["no-such-program-here"]])).read().await.expect_err("no program");
    assert!(error.kind == Trouble::Invalid && error.what.contains("cannot be started"), "{error:?}");
    let error = with("hosts", json!([["sh", "-c", "echo Permission denied >&2; exit 255", "web-9"]])).identity().await;
    let error = error.expect_err("no way in");
    assert!(error.what.contains("nginx of web-9") && error.what.contains("255: Permission denied"), "{error}");
    let error = with("blue", json!("other")).read().await.expect_err("a third upstream");
    assert!(error.what.contains("which is neither stack"), "{error}");
    assert!(
        with("key", json!("$http_x_team_id"))
            .takes(Split { blue: 2, green: 1 })
            .is_err_and(|why| why.contains("hundredths"))
    );

    // A controller of its own writes there.
    let text = rig.text();
    rig.site.write(&rig.site.include(), &format!("{text}# This file is managed by Puppet\n"));
    rig.site.reload();
    assert!(rig.router().controller().await.expect("it looks").is_some_and(|who| who.contains("managed by Puppet")));

    // nginx is gone.
    rig.site.nginx(&["-s", "stop"]);
    for _ in 0..200 {
        if TcpStream::connect(("127.0.0.1", rig.site.port)).is_err() {
            break;
        }
        pause(10);
    }
    pause(100);
    let error = rig.router().read().await.expect_err("nobody there");
    assert!(
        error.kind == Trouble::Unreachable
            && ["no worker says that it runs", "nothing of it runs"].iter().any(|words| error.what.contains(words)),
        "{error:?}"
    );
}

#[tokio::test]
async fn old_workers_and_their_websockets_are_counted() {
    let Some(mut rig) = Rig::start().await else { return };
    // A WebSocket as nginx sees one: an answer 101, and then whatever comes.
    let bot = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = bot.local_addr().expect("its address");
    std::thread::spawn(move || {
        for stream in bot.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut stream, mut piece) = (stream, [0; 1024]);
                let _ = stream.read(&mut piece);
                let _ = stream.write_all(
                    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
                );
                while stream.read(&mut piece).is_ok_and(|n| n > 0 && stream.write_all(&piece[..n]).is_ok()) {}
            });
        }
    });
    rig.site.upstreams =
        format!("upstream bot_blue {{ server {address}; }}\nupstream bot_green {{ server {}; }}\n", rig.green.address);
    rig.site.configure();
    rig.site.reload();
    let socket = || {
        let mut stream = TcpStream::connect(("127.0.0.1", rig.site.port)).expect("a connection");
        let words = "GET /ws HTTP/1.1\r\nhost: web\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
        stream.set_read_timeout(Some(Duration::from_secs(3))).expect("a socket");
        stream.write_all(words.as_bytes()).expect("it asks");
        let mut head = [0; 512];
        let read = stream.read(&mut head).expect("an answer");
        assert!(head[..read].starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head[..read]));
        stream
    };
    let mut sockets = [socket(), socket(), socket()];
    rig.set(1000).await.expect("a shift waits for no WebSocket");
    let old = |reading: &Reading| reading.remarks.iter().find(|line| line.contains("still hold connections")).cloned();
    let said = old(&rig.read().await).expect("they are counted");
    assert!(said.contains(", 3 in all"), "{said}");
    let lines = rig.router().preflight(&[]).await.expect("a good site");
    assert!(lines.iter().any(|line| line.contains("3 in all")), "{lines:?}");
    // A drain waits for those of its own side.
    let lingering = async |stack| rig.router().lingering(stack).await.expect("they are counted");
    assert_eq!((lingering(Color::Blue).await, lingering(Color::Green).await), (3, 0));
    // They live on at the split of then.
    sockets[0].write_all(b"hello").expect("it lives");
    let mut echo = [0; 5];
    sockets[0].read_exact(&mut echo).expect("an echo");
    drop(sockets);
    for _ in 0..200 {
        if old(&rig.read().await).is_none() {
            return;
        }
        pause(20);
    }
    panic!("the old workers never ended");
}
