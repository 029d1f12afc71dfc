//! The ledger over a real Redis that is closed on it, goes away, comes back without what it held, or answers errors. The bots are
//! functions: they note what they handle in that Redis, and refuse what they cannot note.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use bgctl::clock::{Clock, SystemClock};
use bgctl::live::redis::LiveStore;
use bgctl::run::Verdict;
use bgctl::slack::ledger::{Ledger, Sending};
use bgctl::world::{Request, Response, Store, Web, WebError};
use serde_json::{Value, json};

use super::common::bots::{Redis, pause};
use super::common::scripted::{Stage, plan, response};

/// So many times faster than the clock on the wall: Slack's retries need no patience.
const HASTE: u32 = 5;

struct Hasty;

#[async_trait(?Send)]
impl Clock for Hasty {
    fn now(&self) -> jiff::Timestamp {
        SystemClock.now()
    }

    fn elapsed(&self) -> Duration {
        SystemClock.elapsed() * HASTE
    }

    async fn sleep(&self, time: Duration) {
        SystemClock.sleep(time / HASTE).await;
    }
}

/// Two bots behind one address.
struct Bots {
    port: u16,
    /// What becomes of the nth event: the command that notes it, where it is noted at all.
    note: fn(usize, &str) -> Option<String>,
    known: RefCell<Vec<String>>,
}

#[async_trait(?Send)]
impl Web for Bots {
    async fn exchange(&self, request: Request) -> Result<Response, WebError> {
        let event: Value = serde_json::from_slice(&request.body).expect("an event");
        let id = event["event_id"].as_str().expect("its id").to_string();
        let n = {
            let mut known = self.known.borrow_mut();
            known.iter().position(|k| *k == id).unwrap_or_else(|| {
                known.push(id.clone());
                known.len() - 1
            })
        };
        let Some(command) = (self.note)(n, &format!("bgctl:handled:{id}")) else { return response(200, "") };
        match Redis::tell(self.port, &command) {
            Ok(line) if !line.starts_with('-') => response(200, ""),
            _ => response(503, "the store is away"),
        }
    }
}

/// Once, whatever becomes of the answer: a delivery is sent again when its connection was closed.
const ONCE: &str = "if redis.call('LLEN', KEYS[1]) == 0 then redis.call('RPUSH', KEYS[1], ARGV[1]) end return 1";

fn noted(n: usize, key: &str) -> Option<String> {
    Some(format!("EVAL \"{ONCE}\" 1 {key} {}", if n.is_multiple_of(2) { "blue" } else { "green" }))
}

/// Sends for so long, while something is done to the store, and counts: verdict and line.
async fn counted(
    redis: Redis,
    seconds: u64,
    note: fn(usize, &str) -> Option<String>,
    meanwhile: impl FnOnce(&mut Redis) + Send + 'static,
) -> (Verdict, String) {
    let mut redis = redis;
    let mut plan = plan();
    plan.slack.as_mut().unwrap()["dedup"] = json!({ "redis": redis.url(0), "key": "dedup:evt:{team_id}:{event_id}" });
    let ledger: Ledger = serde_json::from_value(json!({ "url": "https://bot.test", "per_second": 5 })).unwrap();
    let suite = ledger.suite(&plan);
    let mut stage = Stage::new(|request, _| panic!("{request:?}"));
    stage.world.clock = Rc::new(Hasty);
    stage.world.store = Rc::new(LiveStore::new(Rc::new(SystemClock)));
    stage.world.web = Rc::new(Bots { port: redis.port, note, known: RefCell::default() });
    let (sending, stop) = (Sending::new(&ledger, &suite, &stage.world), Cell::new(false));
    let doing = tokio::task::spawn_blocking(move || {
        pause(1_000);
        meanwhile(&mut redis);
        redis
    });
    let end = async {
        SystemClock.sleep(Duration::from_secs(seconds)).await;
        stop.set(true);
    };
    tokio::join!(sending.send(&stop), end);
    let _redis = doing.await.expect("it was done");
    let tally = sending.tally().await;
    let bgctl::run::Evidence::CheckDone { verdict, line, .. } = sending.evidence("bake", &tally, 0) else {
        panic!("a count is a check")
    };
    (verdict, line)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s05_connections_that_are_closed_again_and_again_change_no_count() {
    let Some(redis) = Redis::start(&[]) else { return };
    let port = redis.port;
    let close = move || Redis::tell(port, "CLIENT KILL TYPE normal SKIPME yes").map(drop);
    // Before, while and after a read: each fifth of a look, and until it is counted.
    let (verdict, line) = counted(redis, 3, noted, move |_| {
        for _ in 0..60 {
            close().expect("the store answers");
            pause(40);
        }
    })
    .await;
    assert_eq!(verdict, Verdict::Pass, "{line}");
    assert!(line.contains("lost 0 · twice 0 ("), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s05_a_restart_that_keeps_its_data_is_counted_to_the_last_event() {
    let Some(redis) = Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]) else { return };
    let (verdict, line) = counted(redis, 4, noted, |redis| redis.restart(1_500)).await;
    assert_eq!(verdict, Verdict::Pass, "{line}");
    assert!(line.contains("lost 0 · twice 0 (") && line.contains("the store gave no answer for"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s05_a_restart_without_its_data_is_unknown_by_name() {
    let Some(redis) = Redis::start(&[]) else { return };
    let (verdict, line) = counted(redis, 4, noted, |redis| redis.restart(1_500)).await;
    assert_eq!(verdict, Verdict::Unknown, "{line}");
    assert!(line.contains("lost 0 · twice 0") && line.contains("the store has lost its notes of"), "{line}");
    // The same without a restart.
    let Some(redis) = Redis::start(&[]) else { return };
    let (verdict, line) = counted(redis, 3, noted, |redis| drop(Redis::tell(redis.port, "FLUSHALL").unwrap())).await;
    assert_eq!(verdict, Verdict::Unknown, "{line}");
    assert!(line.contains("lost 0 · twice 0") && line.contains("the store has lost its notes of"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s05_a_store_that_stays_away_or_answers_errors_is_given_up_in_time() {
    let Some(redis) = Redis::start(&[]) else { return };
    let begun = SystemClock.elapsed();
    let (verdict, line) = counted(redis, 2, noted, |redis| redis.process.kill()).await;
    assert_eq!(verdict, Verdict::Unknown, "{line}");
    assert!(line.contains("not counted: Redis gives no answer: no connection: connection refused"), "{line}");
    // Sending, the last deliveries and the recount.
    assert!(SystemClock.elapsed() - begun < Duration::from_secs(40));
    let Some(redis) = Redis::start(&[]) else { return };
    let wrong = |n, key: &str| if n == 3 { Some(format!("SET {key} blue")) } else { noted(n, key) };
    let (verdict, line) = counted(redis, 2, wrong, |_| {}).await;
    assert_eq!(verdict, Verdict::Unknown, "{line}");
    assert!(line.contains("not counted: Redis gives no answer: WRONGTYPE"), "{line}");
}

/// A store that blinks is no excuse for what is lost at another time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s05_what_is_lost_is_found_beside_a_store_that_blinks() {
    let Some(redis) = Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]) else { return };
    let lossy = |n, key: &str| if n == 90 { None } else { noted(n, key) };
    let (verdict, line) = counted(redis, 6, lossy, |redis| redis.restart(200)).await;
    assert_eq!(verdict, Verdict::Fail, "{line}");
    assert!(line.contains("lost 1 · twice 0 ("), "{line}");
}

/// An idle timeout or a failover closes what was kept. The question is put again, on a connection that is open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s05_a_kept_connection_that_was_closed_is_no_answer_that_failed() {
    let Some(redis) = Redis::start(&[]) else { return };
    let store = LiveStore::new(Rc::new(SystemClock));
    let url = redis.url(0);
    Redis::tell(redis.port, "RPUSH bgctl:handled:a blue").unwrap();
    for _ in 0..5 {
        assert_eq!(store.lists(&url, &["bgctl:handled:a".into()]).await.unwrap(), [["blue"]]);
        Redis::tell(redis.port, "CLIENT KILL TYPE normal SKIPME yes").unwrap();
        assert_eq!(store.server(&url).await.unwrap().role, "master");
        Redis::tell(redis.port, "CLIENT KILL TYPE normal SKIPME yes").unwrap();
        assert_eq!(store.held(&url, "nothing").await.unwrap(), None);
        Redis::tell(redis.port, "CLIENT KILL TYPE normal SKIPME yes").unwrap();
    }
}
