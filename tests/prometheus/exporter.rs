//! A service that exports everything the rows need, a Prometheus that scrapes it each second, and gates that ask it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bgctl::clock::{Clock, SystemClock};
use bgctl::gates::prometheus::{Prometheus as Client, Vector};
use bgctl::gates::server::Server;
use bgctl::gates::watched;
use bgctl::gates::watched::{Look, NamedGate};
use bgctl::live::http::LiveWeb;
use bgctl::run::Verdict;
use bgctl::secret::Secrets;
use bgctl::world::{Gap, Web, World};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::common::prometheus::Prometheus;
use crate::common::scripted::{Stage, no_answer, plan};

/// What a service says after `t` seconds.
fn page(t: f64, now_ms: i64) -> String {
    let mut page = String::new();
    let mut line = |name: &str, labels: &str, value: f64| page.push_str(&format!("{name}{{{labels}}} {value}\n"));
    let count = |per_second: f64| (per_second * t).floor();
    // Blue: 90 requests a second, 0.1 % errors. Green: 10 a second on two processes, 8 % errors of two kinds.
    line("http_requests_total", r#"color="blue",pod="b1",status="200""#, count(89.9));
    line("http_requests_total", r#"color="blue",pod="b1",status="500""#, count(0.1));
    for pod in ["g1", "g2"] {
        line("http_requests_total", &format!(r#"color="green",pod="{pod}",status="200""#), count(4.6));
        line("http_requests_total", &format!(r#"color="green",pod="{pod}",status="500""#), count(0.3));
        line("http_requests_total", &format!(r#"color="green",pod="{pod}",status="503""#), count(0.1));
    }
    for color in ["blue", "green"] {
        // Never an error, and so no series of errors; and one that is there and idle.
        line("ok_requests_total", &format!(r#"color="{color}",status="200""#), count(50.0));
        line("idle_requests_total", &format!(r#"color="{color}",status="200""#), 1000.0);
        line("idle_requests_total", &format!(r#"color="{color}",status="500""#), 7.0);
        line("broken_gauge", &format!(r#"color="{color}""#), f64::NAN);
        line("queue_depth", &format!(r#"color="{color}""#), 3.0);
        line("odd_total", &format!(r#"color="{color}",path="/a?b=1&c=%2B+d[5m]""#), count(2.0));
        // The same service, scraped by two of a pair.
        for replica in ["a", "b"] {
            line("pair_depth", &format!(r#"color="{color}",replica="{replica}""#), 3.0);
        }
        // Processes begin again every four seconds; in truth twenty requests a second, none of them bad.
        line("reset_total", &format!(r#"color="{color}",status="200""#), (20.0 * (t % 4.0)).floor());
        line("reset_total", &format!(r#"color="{color}",status="500""#), 0.0);
        // Behind an edge that makes errors of its own: the service sees none of them.
        line("app_requests_total", &format!(r#"color="{color}",status="200""#), count(40.0));
        line("app_requests_total", &format!(r#"color="{color}",status="500""#), 0.0);
        let lost = if color == "green" { 4.0 } else { 0.0 };
        line("edge_requests_total", &format!(r#"color="{color}",code="200""#), count(40.0 - lost));
        line("edge_requests_total", &format!(r#"color="{color}",code="502""#), count(lost));
    }
    for (color, rate, shares) in [("blue", 90.0, [0.5, 0.98, 0.999]), ("green", 10.0, [0.5, 0.98, 0.9])] {
        for (le, share) in [("0.1", shares[0]), ("1", shares[1]), ("+Inf", 1.0)] {
            line("http_seconds_bucket", &format!(r#"color="{color}",le="{le}""#), count(rate * share));
        }
        // Slack gives up after 3 s, and the service still counts a 200.
        line("slack_seconds_bucket", &format!(r#"color="{color}",le="2.5""#), count(rate * shares[2]));
        line("slack_seconds_bucket", &format!(r#"color="{color}",le="10""#), count(rate));
        line("slack_seconds_bucket", &format!(r#"color="{color}",le="+Inf""#), count(rate));
        line("slack_seconds_count", &format!(r#"color="{color}",status="200""#), count(rate));
        line("slack_seconds_count", &format!(r#"color="{color}",status="500""#), 0.0);
    }
    // One request in all, and it failed.
    line("rare_requests_total", r#"color="green",status="200""#, 0.0);
    line("rare_requests_total", r#"color="green",status="500""#, f64::from(t > 12.0));
    line("rare_requests_total", r#"color="blue",status="200""#, count(50.0));
    line("rare_requests_total", r#"color="blue",status="500""#, 0.0);
    // Appears late and with errors already counted, as a process does that fails from its first request on.
    if t > 12.0 {
        line("late_requests_total", r#"color="green",status="500""#, 40.0);
        line("late_requests_total", r#"color="green",status="200""#, 60.0);
    }
    line("late_requests_total", r#"color="blue",status="200""#, count(50.0));
    line("late_requests_total", r#"color="blue",status="500""#, 0.0);
    // Bad for its first four seconds, well since: before users were shifted it served nobody who matters.
    for color in ["blue", "green"] {
        line("healed_requests_total", &format!(r#"color="{color}",status="500""#), (20.0 * t.min(4.0)).floor());
        line("healed_requests_total", &format!(r#"color="{color}",status="200""#), (20.0 * (t - 4.0).max(0.0)).floor());
    }
    // Long alive, and not scraped for some seconds around the shift.
    if !(10.0..18.0).contains(&t) {
        for color in ["blue", "green"] {
            line("gap_requests_total", &format!(r#"color="{color}",status="200""#), 97_000.0 + count(20.0));
            line("gap_requests_total", &format!(r#"color="{color}",status="500""#), 3_000.0);
        }
    }
    // The same metrics of a service whose green is ill, and of one that is well.
    for (family, ill) in [("ill", true), ("well", false)] {
        for (color, release, bad) in [("blue", "v1", false), ("green", "v2", ill)] {
            let (share, in_time, mean, labels) = match bad {
                true => (0.08, [0.3, 0.5, 0.7], 3.0, format!(r#"color="{color}""#)),
                false => (0.0, [0.5, 0.98, 1.0], 0.2, format!(r#"color="{color}""#)),
            };
            let own = format!(r#"{labels},pod="{color}-1",release="{release}""#);
            line(&format!("{family}_requests_total"), &format!(r#"{own},status="200""#), count(50.0 * (1.0 - share)));
            line(&format!("{family}_requests_total"), &format!(r#"{own},status="500""#), count(50.0 * share));
            line(&format!("{family}_all_total"), &labels, count(50.0));
            line(&format!("{family}_errors_total"), &labels, count(50.0 * share));
            line(&format!("{family}_twice_total"), &labels, count(share * 10.0));
            line(&format!("{family}_seconds_sum"), &labels, 50.0 * t * mean);
            line(&format!("{family}_seconds_count"), &labels, count(50.0));
            for (le, within) in [("0.1", in_time[0]), ("1", in_time[1]), ("2.5", in_time[2]), ("+Inf", 1.0)] {
                line(&format!("{family}_seconds_bucket"), &format!(r#"{labels},le="{le}""#), count(50.0 * within));
            }
            line(&format!("{family}_ratio"), &labels, share);
            line(&format!("{family}:errors:ratio"), &labels, share);
            line(&format!("{family}:errors:rate"), &labels, 50.0 * share);
            line(&format!("{family}:requests:rate"), &labels, 50.0);
            line(&format!("{family}_used_bytes"), &labels, if bad { 9e8 } else { 4e8 });
            line(&format!("{family}_limit_bytes"), &labels, 1e9);
            line(&format!("{family}_depth"), &labels, if bad { 9.0 } else { 3.0 });
        }
    }
    // Samples that carry a time of their own get no mark when they end: what a rule of a slow evaluation, or a target that
    // died behind a gateway, looks like.
    for (name, behind) in [("dead", 150_000), ("gone", 400_000)] {
        for color in ["blue", "green"] {
            let at = now_ms - behind;
            page.push_str(&format!("{name}_requests_total{{color=\"{color}\",status=\"200\"}} {} {at}\n", count(10.0)));
            page.push_str(&format!("{name}_requests_total{{color=\"{color}\",status=\"500\"}} 0 {at}\n"));
            page.push_str(&format!("{name}_depth{{color=\"{color}\"}} 3 {at}\n"));
        }
    }
    page
}

/// The exporter: it ends with the value.
pub struct Exporter {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
}

impl Exporter {
    pub fn start() -> Exporter {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        std::thread::spawn(move || {
            let begun = SystemClock.elapsed();
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let _ = stream.read(&mut [0; 4096]);
                let body = page((SystemClock.elapsed() - begun).as_secs_f64(), SystemClock.now().as_millisecond());
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\nconnection: close\r\n";
                let _ = write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len());
            }
        });
        Exporter { address, stop }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // The thread waits for one more visitor to notice.
        let _ = std::net::TcpStream::connect(self.address);
    }
}

/// Exporter and Prometheus, shared by all rows that run at the same time.
pub struct Rig {
    pub url: String,
    pub begun: Timestamp,
    _prometheus: Prometheus,
    _exporter: Exporter,
}

static RIG: Mutex<Weak<Rig>> = Mutex::new(Weak::new());

impl Rig {
    /// None where no Prometheus is installed.
    pub fn shared() -> Option<Arc<Rig>> {
        let mut shared = RIG.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(rig) = shared.upgrade() {
            return Some(rig);
        }
        let rig = Arc::new(Rig::start("")?);
        *shared = Arc::downgrade(&rig);
        Some(rig)
    }

    pub fn start(more: &str) -> Option<Rig> {
        let exporter = Exporter::start();
        let prometheus = Prometheus::configured(&[exporter.address], more)?;
        Some(Rig {
            url: prometheus.url.clone(),
            begun: SystemClock.now(),
            _prometheus: prometheus,
            _exporter: exporter,
        })
    }

    /// One look at a gate with these settings, counted since then.
    pub async fn look(&self, settings: &Value, since: Timestamp) -> Look {
        look(&world(Rc::new(SystemClock)), &self.url, settings, since).await
    }

    /// One look, at a Prometheus that is reached in this way.
    pub async fn look_at(&self, settings: &Value, server: &Value) -> Look {
        let (world, gate) = (world(Rc::new(SystemClock)), named_at(server, settings));
        let open = gate.open().unwrap();
        open.look(&world, self.begun).await
    }

    /// The same through a web of one's own.
    pub async fn look_through(&self, web: Rc<dyn Web>, settings: &Value, server: &Value) -> Look {
        let (world, gate) = (World { web, ..world(Rc::new(SystemClock)) }, named_at(server, settings));
        let open = gate.open().unwrap();
        open.look(&world, self.begun).await
    }

    /// Looks again until the verdict and a word of its reason are as wanted, or 25 s have passed.
    pub async fn until(&self, settings: Value, since: Timestamp, verdict: Verdict, word: &str) -> Look {
        self.until_seen(settings, since, |l| l.judgement.verdict == verdict && l.judgement.line.contains(word)).await
    }

    /// One gate, looked at again and again as in a bake: a fail is confirmed by later looks.
    pub async fn until_seen(&self, settings: Value, since: Timestamp, wanted: impl Fn(&Look) -> bool) -> Look {
        let (world, named) = (world(Rc::new(SystemClock)), named(&self.url, &settings));
        let gate = named.open().unwrap();
        let mut last = gate.look(&world, since).await;
        for _ in 0..25 {
            if wanted(&last) {
                return last;
            }
            SystemClock.sleep(Duration::from_secs(1)).await;
            last = gate.look(&world, since).await;
        }
        panic!("{settings}: {:?}, asked {:#?}", last.judgement, last.asked);
    }

    /// What Prometheus itself answers to a query.
    pub async fn raw(&self, query: &str) -> Result<Vector, Gap> {
        let web = LiveWeb::new(Rc::new(SystemClock));
        let server: Server = serde_json::from_value(json!(self.url)).unwrap();
        Client::new(&web, server.reached(&Secrets::default()), SystemClock.now()).ask(query).await
    }

    /// Asks again until there is an answer as wanted; its text.
    pub async fn until_raw(&self, query: &str, wanted: impl Fn(&str) -> bool) -> String {
        let mut text = String::new();
        for _ in 0..100 {
            text = self.raw(query).await.map_or_else(|gap| gap.line().to_string(), |vector| vector.told());
            if wanted(&text) {
                return text;
            }
            SystemClock.sleep(Duration::from_millis(250)).await;
        }
        panic!("{query}: {text}");
    }
}

/// A world in which only HTTP and the time are real.
pub fn world(clock: Rc<dyn Clock>) -> World {
    let mut world = Stage::new(|_, _| no_answer()).world;
    world.web = Rc::new(LiveWeb::new(Rc::new(SystemClock)));
    world.clock = clock;
    world
}

pub async fn look(world: &World, url: &str, settings: &Value, since: Timestamp) -> Look {
    named(url, settings).open().unwrap().look(world, since).await
}

pub fn named(url: &str, settings: &Value) -> NamedGate {
    named_at(&json!(url), settings)
}

fn named_at(server: &Value, settings: &Value) -> NamedGate {
    let mut plan = plan();
    let mut settings = settings.clone();
    settings["url"] = server.clone();
    plan.gates.insert("row".into(), settings);
    watched::named(&plan, ["row".to_string()].iter()).unwrap().remove(0)
}

/// Bad of all requests of a metric, over five scrapes.
pub fn share(metric: &str) -> Value {
    let query =
        format!(r#"sum by (color) (rate({metric}{{status=~"5.."}}[5s])) / sum by (color) (rate({metric}[5s]))"#);
    json!({ "prometheus": query, "max": "1%", "min_requests": 50 })
}
