//! Live load through whole cutovers and back, witnessed by whoever sends it, by both servers and by Envoy's own counters: no request
//! fails, none is handled twice, and none that is sent after a shift was seen is answered by the side that nobody should be on.
//!
//! `BGCTL_REQUESTS=1000000` makes it long.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bgctl::plan::{Color, Split};

use crate::common::bots::pause;
use crate::common::haproxy::Load;
use crate::{Stage, websocket};

/// Clients that send one request after the other, each over a connection that it keeps; every third is a POST.
const CLIENTS: usize = 16;

fn requests() -> u64 {
    std::env::var("BGCTL_REQUESTS").ok().and_then(|number| number.parse().ok()).unwrap_or(20_000)
}

fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1000.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_lost_through_whole_cutovers_and_none_is_on_the_wrong_side_after_it() {
    let Some(stage) = Stage::start() else { return };
    let load = Load::start(stage.envoy.port, CLIENTS);
    let router = stage.router();
    let (mut times, mut rounds) = (Vec::new(), 0);
    while load.answered() < requests() {
        // A whole cutover, and the rollback from its end.
        for green in [100, 500, 1000, 0] {
            load.only(None);
            let from = router.read().await.expect("it reads");
            let begun = Instant::now();
            let calls = router.set(&from, Split::of_green(green)).await.unwrap_or_else(|error| panic!("{error:?}"));
            times.push(begun.elapsed());
            assert_eq!(calls.len(), 1);
            assert_eq!(router.read().await.expect("it reads").split, Split::of_green(green), "read back");
            load.only(match green {
                0 => Some(Color::Blue),
                1000 => Some(Color::Green),
                _ => None,
            });
            // Users meet it for a while.
            let until = load.answered() + 300;
            load.until(until);
        }
        rounds += 1;
    }
    let counts = tokio::task::block_in_place(|| load.end());
    let of = |number: &AtomicU64| number.load(Ordering::SeqCst);
    let words = counts.words.lock().expect("no panic").clone();
    let shifts = times.len();
    say(&format!(
        "bgctl: {} requests, {} of them POST, over {shifts} shifts in {rounds} cutovers and rollbacks: {} failed, {} from the side that was left, {:.1} ms a shift\n",
        of(&counts.sent),
        of(&counts.posts),
        of(&counts.failed),
        of(&counts.wrong),
        median(&mut times)
    ));
    assert_eq!((of(&counts.failed), of(&counts.wrong)), (0, 0), "{counts:?}\n{words}");
    // Both servers and Envoy have counted the same; its own health checks are not among them.
    let by_origins = stage.origins.each_ref().map(|origin| (of(&origin.served), of(&origin.twice)));
    assert_eq!(by_origins, [(of(&counts.blue), 0), (of(&counts.green), 0)]);
    let stat = |name: &str| stage.envoy.stat(name);
    assert_eq!(stat("http.users.downstream_rq_2xx"), of(&counts.blue) + of(&counts.green));
    for none in ["http.users.downstream_rq_5xx", "cluster.*.upstream_rq_retry", "http.users.rds.bot.update_rejected"] {
        assert_eq!(stat(none), 0, "{none}");
    }
    assert_eq!(stat("http.users.rds.bot.update_success"), shifts as u64 + 1, "one file a shift");
}

/// One WebSocket is held all the while, and hears itself after each shift.
#[tokio::test]
async fn a_websocket_is_held_through_every_shift() {
    let (blue, green) = (crate::echo(), crate::echo());
    let Some(envoy) = crate::common::envoy::Envoy::start(blue, green) else { return };
    let settings = envoy.settings();
    let router = (bgctl::routers::envoy::KIND.open)(&settings, &bgctl::routers::Access::default()).expect("settings");
    let mut socket = websocket(envoy.port);
    for green in [100, 500, 1000, 0, 1000] {
        let from = router.read().await.expect("it reads");
        router.set(&from, Split::of_green(green)).await.expect("it sets");
        socket.write_all(b"event").expect("it is open");
        let mut echo = [0; 5];
        socket.read_exact(&mut echo).expect("it hears itself");
        assert_eq!(&echo, b"event");
    }
    assert_eq!(router.lingering(Color::Blue).await.expect("they are counted"), 1);
}

/// What a shift costs beside the same commands by hand with the same proof; said, and not judged, since machines differ.
#[tokio::test]
async fn what_a_shift_costs() {
    let Some(stage) = Stage::start() else { return };
    let router = stage.router();
    let (mut set, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    let rounds = if requests() > 20_000 { 60 } else { 10 };
    for round in 0..rounds {
        let from = router.read().await.expect("it reads");
        // Whoever came last has exchanged the sides.
        let green = if from.split == Split::ALL_BLUE { 1000 } else { 0 };
        let begun = Instant::now();
        router.set(&from, Split::of_green(green)).await.expect("it sets");
        set.push(begun.elapsed());
        assert_eq!(router.read().await.expect("it reads").split, Split::of_green(green));
        ours.push(begun.elapsed());

        // The same file with the weights exchanged, by hand: written, synced, moved, and asked for until Envoy runs it.
        let text = stage.envoy.text();
        let version = text.split('"').nth(1).expect("a version").to_string();
        let other = format!("by-hand-{round}");
        let (file, new) =
            (stage.envoy.routes().display().to_string(), stage.envoy.path("rds/.new").display().to_string());
        let folder = stage.envoy.path("rds").display().to_string();
        let ask = format!("curl -gsS -m 3 '{}/stats?filter=version_text'", stage.envoy.at());
        let line = format!(
            "cat >{new} && sync {new} && mv {new} {file} && sync {folder} &&
             until {ask} | grep -q 'version_text: \"{other}\"'; do sleep 0.005; done"
        );
        let begun = Instant::now();
        let mut shell = Command::new("sh").args(["-c", &line]).stdin(Stdio::piped()).spawn().expect("a shell");
        let [zero, all] = ["weight: 0", "weight: 10000"];
        let text =
            text.replace(&version, &other).replace(all, "weight: all").replace(zero, all).replace("weight: all", zero);
        shell.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
        assert!(shell.wait().expect("it ends").success());
        theirs.push(begun.elapsed());
        pause(20);
    }
    let (set, ours, theirs) = (median(&mut set), median(&mut ours), median(&mut theirs));
    say(&format!(
        "a shift with its proof {set:.1} ms, by hand with the same proof {theirs:.1} ms: {:.2} times; with another reading {ours:.1} ms\n",
        set / theirs
    ));
}
