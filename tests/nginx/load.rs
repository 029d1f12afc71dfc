//! Live load through whole cutovers and back, witnessed by whoever sends it: no request fails, and none that is sent after a shift was
//! seen is answered by the side that nobody should be on. Beside it, what the same load loses when people reload by hand.
//!
//! `BGCTL_REQUESTS=1000000` makes it long; `BGCTL_NGINX` names another nginx.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bgctl::plan::Split;
use bgctl::routers::{Access, TrafficRouter, nginx};

use crate::common::peer;
use crate::common::site::{Bot, Site};

/// Clients that post, each over a connection that it keeps for as long as the server does.
const CLIENTS: usize = 16;
/// What everybody must meet: that is not known, blue, or green.
const ANY: usize = 0;
const BLUE: usize = 1;
const GREEN: usize = 2;

#[derive(Default)]
struct Ledger {
    sent: AtomicU64,
    failed: AtomicU64,
    wrong: AtomicU64,
    must: AtomicUsize,
    stop: AtomicBool,
}

/// A connection that a client keeps.
struct Line {
    reader: BufReader<TcpStream>,
}

impl Line {
    fn open(port: u16) -> std::io::Result<Line> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.set_nodelay(true)?;
        Ok(Line { reader: BufReader::new(stream) })
    }

    /// Posts once: status, version, and whether the connection is kept.
    fn post(&mut self, team: usize) -> std::io::Result<(String, String, bool)> {
        let body = "payload=%7B%22type%22%3A%22block_actions%22%7D";
        let head = format!(
            "POST /slack/events HTTP/1.1\r\nhost: web\r\nx-team-id: T{team}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.reader.get_mut().write_all(head.as_bytes())?;
        let (mut status, mut version, mut length, mut kept) = (String::new(), String::new(), 0, true);
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end();
            match line.split_once(": ") {
                None if line.is_empty() => break,
                None => status = line.into(),
                Some((name, value)) if name.eq_ignore_ascii_case("x-version") => version = value.into(),
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse().unwrap_or(0)
                }
                Some((name, value)) if name.eq_ignore_ascii_case("connection") => {
                    kept = !value.eq_ignore_ascii_case("close")
                }
                Some(_) => {}
            }
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body)?;
        Ok((status, version, kept))
    }
}

/// Posts until it is told to stop. A client that keeps connections does not send a POST again by itself.
fn client(port: u16, first: usize, ledger: &Ledger) {
    let (mut line, mut team) = (None, first);
    while !ledger.stop.load(Ordering::Relaxed) {
        team += CLIENTS;
        let must = ledger.must.load(Ordering::SeqCst);
        let answer = match line.take() {
            Some(line) => Ok(line),
            None => Line::open(port),
        };
        let answer = answer.and_then(|mut open| open.post(team % 1000).map(|answer| (open, answer)));
        ledger.sent.fetch_add(1, Ordering::Relaxed);
        match answer {
            Ok((open, (status, version, kept))) => {
                line = kept.then_some(open);
                if !status.contains(" 200 ") {
                    ledger.failed.fetch_add(1, Ordering::Relaxed);
                } else if must != ANY && version != ["", "blue", "green"][must] {
                    ledger.wrong.fetch_add(1, Ordering::Relaxed);
                }
            }
            Err(_) => {
                ledger.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// What a load met.
#[derive(Debug)]
struct Met {
    sent: u64,
    failed: u64,
    wrong: u64,
    /// The time of each change, from the call to its proof.
    times: Vec<Duration>,
}

fn requests() -> u64 {
    std::env::var("BGCTL_REQUESTS").ok().and_then(|number| number.parse().ok()).unwrap_or(20_000)
}

fn program() -> Option<PathBuf> {
    peer("curl")?;
    std::env::var("BGCTL_NGINX").ok().map(PathBuf::from).or_else(|| peer("nginx"))
}

/// Cutovers and rollbacks under load, until so many requests were sent. `change` moves users and comes back when that was seen.
async fn load(site: &Site, mut change: impl AsyncFnMut(u32)) -> Met {
    let ledger = Arc::new(Ledger::default());
    ledger.must.store(BLUE, Ordering::SeqCst);
    let started = |first| {
        let (ledger, port) = (ledger.clone(), site.port);
        std::thread::spawn(move || client(port, first, &ledger))
    };
    let clients: Vec<_> = (0..CLIENTS).map(started).collect();
    let (mut times, wanted) = (Vec::new(), requests());
    while ledger.sent.load(Ordering::Relaxed) < wanted {
        // A whole cutover, and the rollback from its end.
        for green in [100, 500, 1000, 0] {
            ledger.must.store(ANY, Ordering::SeqCst);
            let begun = Instant::now();
            change(green).await;
            times.push(begun.elapsed());
            let must = match green {
                0 => BLUE,
                1000 => GREEN,
                _ => ANY,
            };
            ledger.must.store(must, Ordering::SeqCst);
            // Users meet it for a while.
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
    ledger.stop.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().expect("a client"));
    let of = |number: &AtomicU64| number.load(Ordering::Relaxed);
    Met { sent: of(&ledger.sent), failed: of(&ledger.failed), wrong: of(&ledger.wrong), times }
}

impl Met {
    /// One line for whoever runs the test.
    fn say(&mut self, how: &str) {
        self.times.sort();
        let (median, reloads) = (self.times[self.times.len() / 2].as_millis(), self.times.len());
        let Met { sent, failed, wrong, .. } = self;
        let said = format!(
            "{how}: {sent} POSTs over {reloads} reloads, {failed} failed, {wrong} from the wrong side after the change was done, {median} ms a change\n"
        );
        let _ = std::io::stderr().write_all(said.as_bytes());
    }
}

fn router(site: &Site) -> std::rc::Rc<dyn TrafficRouter> {
    (nginx::KIND.open)(&site.settings(), &Access::default()).expect("good settings")
}

/// The directive that a team changes when it has no bgctl.
fn by_hand(green: u32) -> String {
    match green {
        0 => "map \"\" $bgctl_web { default bot_blue; }\n".into(),
        1000 => "map \"\" $bgctl_web { default bot_green; }\n".into(),
        _ => format!("split_clients $http_x_team_id $bgctl_web {{ {}% bot_green; * bot_blue; }}\n", green / 10),
    }
}

/// The file, `nginx -t` and `nginx -s reload`, as a person does it: what returns 0 is taken for done.
fn changed_by_hand(site: &Site, text: &str) {
    let new = site.path("bgctl/web.conf.new");
    site.write(&new, text);
    std::fs::rename(&new, site.include()).expect("a file");
    assert!(site.nginx(&["-t"]).status.success() && site.nginx(&["-s", "reload"]).status.success());
}

#[tokio::test]
async fn nobody_is_lost_through_whole_cutovers_and_none_is_on_the_wrong_side_after_it() {
    let Some(program) = program() else { return };
    let bots = [Bot::start("blue"), Bot::start("green")];
    // What the plan asks for: connections that clients keep outlive a reload, or none is kept.
    let http = std::env::var("BGCTL_NGINX_HTTP").unwrap_or_else(|_| "keepalive_timeout 0;".into());
    let site = Site::of(program.clone(), bots[0].address, bots[1].address, &http);
    let route = router(&site);
    let reading = route.read().await.expect("it reads");
    route.complete(&reading).await.expect("it is prepared");
    let mut ours = load(&site, async |green| {
        let from = route.read().await.expect("it reads");
        let calls = route.set(&from, Split::of_green(green)).await.unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(calls.len(), 1);
        assert_eq!(route.read().await.expect("it reads").split, Split::of_green(green), "read back");
    })
    .await;
    ours.say(&format!("bgctl, `{http}`"));
    drop(site);

    // Beside it: as nginx comes, and as people reload it.
    let site = Site::of(program, bots[0].address, bots[1].address, "");
    let mut theirs = load(&site, async |green| changed_by_hand(&site, &by_hand(green))).await;
    theirs.say("by hand, nginx's own defaults");

    assert!(ours.sent >= requests() && theirs.sent >= requests());
    assert_eq!((ours.failed, ours.wrong), (0, 0), "{ours:?}");
}

/// What a shift costs beside the same commands by hand with the same proof; said, and not judged, since machines differ.
#[tokio::test]
async fn what_a_shift_costs() {
    let Some(program) = program() else { return };
    let bots = [Bot::start("blue"), Bot::start("green")];
    let site = Site::of(program, bots[0].address, bots[1].address, "keepalive_timeout 0;");
    let route = router(&site);
    let reading = route.read().await.expect("it reads");
    route.complete(&reading).await.expect("it is prepared");
    let (mut set, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    let rounds = if requests() > 20_000 { 40 } else { 6 };
    for round in 0..rounds {
        let green = [1000, 0][round % 2];
        let from = route.read().await.expect("it reads");
        let begun = Instant::now();
        route.set(&from, Split::of_green(green)).await.expect("it sets");
        set.push(begun.elapsed());
        assert_eq!(route.read().await.expect("it reads").split, Split::of_green(green));
        ours.push(begun.elapsed());
        // The same file with another name, by hand: written, synced, tried, reloaded, and asked as often.
        let text = site.read(&site.include());
        let name = text.split(' ').nth(2).expect("a generation").to_string();
        let other = format!("{:016x}", round + 1);
        let text = text.replace(&name, &other);
        let dir = site.dir.path().display().to_string();
        let words = site.words().join(" ");
        let proof = format!("http://127.0.0.1:{}/bgctl", site.proof);
        let urls = format!("{proof} ").repeat(8);
        let ask = "curl -gsS -m 3 -H 'connection: close'";
        let line = format!(
            "cat >{dir}/bgctl/web.conf.new && sync {dir}/bgctl/web.conf.new && mv {dir}/bgctl/web.conf.new {dir}/bgctl/web.conf && sync {dir}/bgctl &&
             {words} -t 2>/dev/null && {words} -s reload &&
             until [ \"$({ask} {urls} | grep -c '^bgctl {other} ')\" = 8 ]; do sleep 0.02; done"
        );
        let begun = Instant::now();
        let mut shell = std::process::Command::new("sh");
        let mut shell = shell.args(["-c", &line]).stdin(std::process::Stdio::piped()).spawn().expect("a shell");
        shell.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
        assert!(shell.wait().expect("it ends").success());
        theirs.push(begun.elapsed());
        // It is bgctl's again.
        let from = route.read().await.expect("it reads");
        route.set(&from, Split::of_green(1000 - green)).await.expect("it sets");
        let from = route.read().await.expect("it reads");
        route.set(&from, Split::of_green(green)).await.expect("it sets");
    }
    for times in [&mut set, &mut ours, &mut theirs] {
        times.sort();
    }
    let ms = |times: &[Duration]| times[times.len() / 2].as_secs_f64() * 1000.0;
    let (set, ours, theirs) = (ms(&set), ms(&ours), ms(&theirs));
    let said = format!(
        "a shift {set:.0} ms, with read-back {ours:.0} ms, by hand with the proof {theirs:.0} ms: {:.2} times\n",
        ours / theirs
    );
    let _ = std::io::stderr().write_all(said.as_bytes());
}
