//! One shift with its read-back, beside what people do today: `echo 'set server …' | socat` and a look with `show servers
//! state`. Same HAProxy, each in processes of its own, in turns.
//!
//! `cargo bench --bench haproxy`; needs the peers of `tests/all peers`.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench measures real time and prints what it saw"
)]

#[path = "../common/mod.rs"]
mod common;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bgctl::plan::{Color, Split};
use bgctl::routers::{Access, haproxy};
use common::haproxy::{BACKEND, Haproxy, Origin};
use common::{at, peer};
use serde_json::json;

/// How often each side is measured.
const ROUNDS: u32 = 200;

fn main() {
    match std::env::var("BGCTL_BENCH_SETTINGS") {
        Ok(settings) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(shift(&settings));
        }
        Err(_) => compare(),
    }
}

/// The process that is measured: opens the route, moves it, reads it back.
async fn shift(settings: &str) {
    let number = |name: &str| std::env::var(name).expect(name).parse().expect("a number");
    let (from, to) = (Split::of_green(number("BGCTL_BENCH_FROM")), Split::of_green(number("BGCTL_BENCH_TO")));
    let router = (haproxy::KIND.open)(&serde_json::from_str(settings).expect("JSON"), &Access::default());
    let router = router.expect("good settings");
    router.set(&at(from), to).await.expect("it sets");
    assert_eq!(router.read().await.expect("it reads").split, to);
}

fn compare() {
    let (Some(_), origins) = (peer("socat"), Color::BOTH.map(Origin::start)) else { return };
    let Some(proxy) = Haproxy::start(&origins, BACKEND) else { return };
    let socket = proxy.socket().display().to_string();
    let settings = json!({ "socket": socket, "backend": "app", "blue": "blue", "green": "green" }).to_string();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (from, to) = if round % 2 == 0 { (0, 1000) } else { (1000, 0) };
        let mut own = Command::new(std::env::current_exe().expect("this binary"));
        own.env("BGCTL_BENCH_SETTINGS", &settings);
        own.env("BGCTL_BENCH_FROM", from.to_string()).env("BGCTL_BENCH_TO", to.to_string());
        ours.push(measure(&mut own));

        // The same again by hand, on its way back and forth.
        let (gains, loses) = if round % 2 == 0 { ("blue", "green") } else { ("green", "blue") };
        let line = format!(
            "echo 'set server app/{gains} weight 100; set server app/{loses} weight 0' | socat - '{socket}'
             echo 'show servers state app' | socat - '{socket}'"
        );
        theirs.push(measure(Command::new("sh").args(["-c", &line])));
        assert_eq!(proxy.weights(), if gains == "blue" { (100, 0) } else { (0, 100) });
        // Both begin at the same place.
        let line = format!("set server app/{loses} weight 100; set server app/{gains} weight 0");
        proxy.tell(&line);
    }
    let (bgctl, socat) = (median(ours), median(theirs));
    println!("bgctl: shift + read-back     median {:.2} ms", bgctl.as_secs_f64() * 1e3);
    println!("socat: set + show, by hand   median {:.2} ms", socat.as_secs_f64() * 1e3);
    println!("bgctl takes {:.2} times as long", bgctl.as_secs_f64() / socat.as_secs_f64());
}

fn measure(command: &mut Command) -> Duration {
    let begun = Instant::now();
    let output = command.stdin(Stdio::null()).output().expect("it starts");
    let took = begun.elapsed();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    took
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
