//! Game day: the bgctl that is shipped, a lab with users on it, a real Prometheus and a real PostgreSQL. Green is bad, the way
//! back is timed by the journal, and what must not move does not.

#![cfg(feature = "aws")]

mod common;

#[path = "process/rig.rs"]
#[allow(dead_code, reason = "its other parts are for the tests it was made for")]
mod rig;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, RwLock};

use bgctl::lab::Fault;
use common::postgres::Postgres;
use common::prometheus::Prometheus;
use rig::{Desk, World};
use serde_json::Value;

/// Whoever measures time has the machine alone; the others share it.
static MACHINE: RwLock<()> = RwLock::new(());

/// One server of one page: takes requests until the test ends, and keeps their bodies.
struct Page {
    at: SocketAddr,
    taken: Arc<Mutex<Vec<String>>>,
}

impl Page {
    fn serving(body: impl Fn() -> String + Send + 'static) -> Page {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (at, taken) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let book = taken.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                book.lock().unwrap().push(request(&mut stream));
                let body = body();
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\nconnection: close\r\n";
                let _ = write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len());
            }
        });
        Page { at, taken }
    }

    fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }
}

/// A request as text, up to the end its head announces.
fn request(stream: &mut TcpStream) -> String {
    let (mut text, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(n) = stream.read(&mut piece) {
        text.extend_from_slice(&piece[..n]);
        let so_far = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = so_far.split_once("\r\n\r\n") else {
            if n == 0 {
                break;
            }
            continue;
        };
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if n == 0 || body.len() >= length.unwrap_or(0) {
            break;
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// What the lab's proxy counted, as a page that Prometheus scrapes.
fn counted(lab: &str) -> String {
    let address = lab.trim_start_matches("http://");
    let Ok(mut stream) = TcpStream::connect(address) else { return String::new() };
    let body = "query=http_requests_total";
    let head = "POST /api/v1/query HTTP/1.1\r\nconnection: close\r\ncontent-type: application/x-www-form-urlencoded";
    let _ = write!(stream, "{head}\r\nhost: {address}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    let json = answer.split_once("\r\n\r\n").map_or("", |parts| parts.1);
    let answer: Value = serde_json::from_str(json).unwrap_or_default();
    let mut page = String::new();
    for sample in answer["data"]["result"].as_array().into_iter().flatten() {
        let labels = sample["metric"].as_object().unwrap().iter().filter(|(name, _)| *name != "__name__");
        let labels: Vec<String> = labels.map(|(name, value)| format!("{name}={value}")).collect();
        page += &format!("http_requests_total{{{}}} {}\n", labels.join(","), sample["value"][1].as_str().unwrap());
    }
    page
}

/// A lab with these faults under a real Prometheus, somebody who runs bgctl, and a channel for pages.
struct Game {
    world: World,
    desk: Desk,
    pager: Page,
    _prometheus: Prometheus,
}

impl Game {
    /// None where a program is missing. Every call to the provider takes 100 ms longer.
    fn new(faults: &[Fault], runbook: impl Fn(String) -> String) -> Option<Game> {
        let faults: Vec<Fault> = faults.iter().copied().chain([Fault::ApiSlow]).collect();
        let world = World::new(&faults);
        let mut desk = Desk::beside(&world);
        let lab = desk.env["BGCTL_VAR_prometheus_url"].clone();
        let exporter = Page::serving(move || counted(&lab));
        let prometheus = Prometheus::scraping(&[exporter.at])?;
        desk.env.insert("BGCTL_VAR_prometheus_url".into(), prometheus.url.clone());
        let pager = Page::serving(String::new);
        desk.env.insert("PAGE_URL".into(), format!("http://{}/", pager.at));
        let page =
            "policy:\n  automatic_rollback: { at_most: 1, within: 24h }\n  page: [{ webhook: \"${env:PAGE_URL}\" }]\n";
        let text = rig::RUNBOOK.replace("steps:\n  - id: warm", &format!("{page}steps:\n  - id: warm")).replacen(
            "bake: { for: 3s, windows: 1,",
            "bake: { for: 12s, windows: 4,",
            1,
        );
        desk.write("runbook.yaml", &runbook(text));
        Some(Game { world, desk, pager, _prometheus: prometheus })
    }

    /// The moment of the first record that is so.
    fn at(&self, so: impl Fn(&Value) -> bool) -> jiff::Timestamp {
        let records = self.desk.records();
        let found = records.iter().find(|record| so(record));
        found.unwrap_or_else(|| panic!("{records:#?}"))["ts"].as_str().unwrap().parse().unwrap()
    }

    /// The run halted, users are where they were, and a person was called through the channel.
    fn halted_and_paged(&self, words: &[&str]) {
        assert_eq!(self.world.seen(), [0, 50], "users were moved once, and not by what came after the verdict");
        let pages = self.pager.taken();
        let text = pages.join("\n");
        assert!(!pages.is_empty(), "nobody was called");
        words.iter().for_each(|word| assert!(text.contains(word), "`{word}` in {text}"));
        let records = self.desk.records();
        assert!(records.iter().any(|r| r["type"] == "run.paged" && r["data"]["delivered"] == true), "{records:#?}");
        assert!(records.iter().any(|r| r["type"] == "run.ended" && r["data"]["outcome"] == "halted"), "{records:#?}");
        assert!(records.iter().all(|r| r["type"] != "rollback.begun"), "{records:#?}");
    }
}

/// Bad green: back on blue within two seconds of the verdict, all three witnesses included. Then the service is frozen. Once a
/// person has lifted that, the same bad green a second time is over the cap, and a person is called instead.
#[test]
fn a_bad_green_is_back_within_two_seconds_and_the_second_time_is_for_a_person() {
    let _alone = MACHINE.write();
    let Some(mut game) = Game::new(&[Fault::GreenErrors], |text| text) else { return };
    let done = game.desk.cutover().end(90);
    assert!(done.err.contains("gate `errors` failed"), "{}", done.err);
    let verdict = game.at(|r| r["type"] == "gate.evaluated" && r["data"]["verdict"] == "fail");
    let back = game.at(|r| r["type"] == "step.outcome" && r["data"]["id"] == "back-to-blue");
    let took = back.duration_since(verdict);
    eprintln!("from verdict to everybody back on blue, with witnesses, at 100 ms a call: {} ms", took.as_millis());
    assert!(took.as_millis() < 2_000, "{took:?}");
    assert_eq!((game.world.green(), game.world.turns()), (0, 1));
    let outcome =
        game.desk.records().into_iter().find(|r| r["type"] == "step.outcome" && r["data"]["id"] == "back-to-blue");
    assert!(outcome.unwrap()["data"]["outcome"]["line"].as_str().unwrap().contains("seen 0.0% GREEN"));
    game.desk.complete();

    // The service is frozen by the rollback; a job cannot lift that, a person can.
    let refused = game.desk.cutover().end(60);
    assert!(refused.err.contains("frozen"), "{}", refused.err);
    let lift = ["unfreeze", "staging/bot", "--reason", "green is mended", "--confirm", "staging/bot"];
    game.desk.run(&lift).says(&["a job cannot lift a freeze"]);
    game.desk.without(&["CI"]);
    game.desk.at_terminal(&lift).ends(0);
    game.desk.env.insert("CI".into(), "true".into());

    game.world.look_anew();
    let done = game.desk.cutover().end(90);
    assert!(done.err.contains("automatic rollbacks are used up (1 of 1)"), "{}", done.err);
    game.halted_and_paged(&["used up"]);
}

/// The same with a contract step seen live: nobody is moved back, and a person is called.
#[test]
fn a_bad_green_across_a_contract_migration_does_not_move_and_pages() {
    let _alone = MACHINE.read();
    let Some(postgres) = Postgres::start() else { return };
    postgres.run("create table users (id bigint primary key, phone text)");
    postgres.run("alter table users drop column phone");
    let schema = "schema:\n  change: contract\n  green_writes: compatible\n  migrations: ./migrations\n  postgres: ${env:DATABASE_URL}\n";
    let game = Game::new(&[Fault::GreenErrors], |text| text.replace("schema:\n  change: none\n", schema));
    let Some(mut game) = game else { return };
    std::fs::create_dir(game.desk.path("migrations")).unwrap();
    game.desk.write("migrations/001_drop.sql", "alter table users drop column phone;\n");
    game.desk.env.insert("DATABASE_URL".into(), postgres.url.clone());
    let done = game.desk.cutover().end(90);
    assert!(done.err.contains("gate `errors` failed"), "{}", done.err);
    game.halted_and_paged(&["forward or page"]);
}

/// The same with blue dead as well: nobody is sent to a side that is not well, and a person is called.
#[test]
fn a_bad_green_beside_a_dead_blue_does_not_move_and_pages() {
    let _alone = MACHINE.read();
    let Some(game) = Game::new(&[Fault::GreenErrors, Fault::BlueDown], |text| text) else { return };
    game.desk.cutover().end(90);
    assert_eq!(game.world.seen(), [0, 50], "nobody was moved toward a dead blue");
    let pages = game.pager.taken().join("\n");
    assert!(
        pages.contains("although BLUE has 0 of 2 healthy") && pages.contains("GREEN is the healthy side"),
        "{pages}"
    );
    let records = game.desk.records();
    assert!(records.iter().any(|r| r["type"] == "run.ended" && r["data"]["outcome"] == "halted"), "{records:#?}");
}

/// `bgctl gameday` as its page says, against haproxy under load, bots of its own and a Prometheus, all of them real processes.
#[test]
fn a_game_day_of_a_teams_own_stack() {
    let _alone = MACHINE.write();
    let (Some(python), Some(_), Some(_), Some(_)) =
        (common::peer("python3"), common::peer("haproxy"), common::peer("prometheus"), common::peer("curl"))
    else {
        return;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/race/gameday.py");
    let done =
        std::process::Command::new(python).arg(script).env("BGCTL", rig::BGCTL).output().expect("the script runs");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(
        done.status.success() && said.contains("GAME DAY PASSED"),
        "{said}{}",
        String::from_utf8_lossy(&done.stderr)
    );
}
