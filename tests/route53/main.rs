//! The route `route53` against moto behind a proxy that keeps the rules of the real one: what a move of weighted records rests on,
//! what it must not take for true, and the program itself, killed where it hurts.
#![cfg(feature = "route53")]

#[path = "../common/mod.rs"]
mod common;
mod doubt;
mod health;
mod played;
#[path = "../process/rig.rs"]
#[allow(dead_code, reason = "the rig of tests/process, of which this uses a part")]
mod rig;
mod seen;
mod ttl;

use std::time::Duration;

use bgctl::plan::Split;
use bgctl::routers::route53::Route53;
use bgctl::routers::{Access, RouteView, RouterError, TrafficRouter, Trouble};
use common::at;
use common::route53::{BLUE, GREEN, NAME, Zone, record};
use serde_json::{Value, json};

const CHANGE: &str = "ChangeResourceRecordSets";
const LIST: &str = "ListResourceRecordSets";

fn opened(settings: &Value, access: &Access) -> Route53 {
    Route53::new(settings, access).unwrap_or_else(|found| panic!("{found:?}"))
}

/// The route, with little patience.
fn router(zone: &Zone) -> Route53 {
    let mut router = opened(&zone.settings(), &zone.access());
    router.in_sync_within = Duration::from_secs(3);
    router.seen_within = Duration::from_secs(2);
    router
}

async fn refused(router: &Route53, from: Split, to: Split) -> RouterError {
    router.set(&at(from), to).await.expect_err("it is refused")
}

#[tokio::test]
async fn what_somebody_else_changed_is_never_written_over() {
    let Some(zone) = Zone::start(60).await else { return };
    let router = router(&zone);
    let meddle = |records: Value| json!([{ "on": CHANGE, "do": "meddle", "records": records }]);

    // Somebody sets other weights between the look and the batch.
    zone.faults(meddle(json!([record("bot-blue", 7, 60, BLUE), record("bot-green", 3, 60, GREEN)]))).await;
    let error = refused(&router, Split::ALL_BLUE, Split::ALL_GREEN).await;
    assert_eq!(error.kind, Trouble::Drift { found: Split { blue: 7, green: 3 } }, "{error:?}");
    assert!(!error.moved && error.what.contains("do not match the current values"), "{error:?}");
    assert_eq!(error.calls[0].code, "InvalidChangeBatch");
    assert_eq!((zone.weights().await, zone.beside().await), ((7, 3), None));

    // One of both alone; and as it was said without an envelope, which the SDK does not read.
    let from = Split { blue: 7, green: 3 };
    zone.faults(meddle(json!([record("bot-green", 4, 60, GREEN)]))).await;
    zone.set(json!({ "bare": true })).await;
    let error = refused(&router, from, Split::ALL_GREEN).await;
    assert!(matches!(error.kind, Trouble::Drift { .. }) && error.calls[0].code == "InvalidChangeBatch", "{error:?}");
    zone.set(json!({ "bare": false })).await;
    assert_eq!(zone.weights().await, (7, 4));

    // The same weights, but another address, or a health check: looked at anew and tried again, and then kept.
    zone.put(&[record("bot-blue", 100, 60, BLUE), record("bot-green", 0, 60, GREEN)]).await;
    zone.faults(meddle(json!([record("bot-green", 0, 60, "127.0.0.3")]))).await;
    let error = refused(&router, Split::ALL_BLUE, Split::ALL_GREEN).await;
    assert_eq!((error.kind, error.moved), (Trouble::NotNow, false), "{error:?}");
    router.set(&at(Split::ALL_BLUE), Split::ALL_GREEN).await.expect("it was looked at anew");
    let records = zone.records().await;
    let green = records.iter().find(|record| record["SetIdentifier"] == "bot-green").expect("green");
    assert_eq!(green["ResourceRecords"][0], "127.0.0.3", "the rest of a record stays as it is");

    // Another writer's TXT: not what was looked at, however alike the records are.
    let txt = |text: &str| json!({ "Name": format!("_bgctl.{NAME}."), "Type": "TXT", "TTL": 60, "ResourceRecords": [format!("\"{text}\"")] });
    zone.faults(meddle(json!([txt("gen=9 by=another")]))).await;
    let error = refused(&router, Split::ALL_GREEN, Split::ALL_BLUE).await;
    assert_eq!((error.kind, error.moved), (Trouble::NotNow, false), "{error:?}");
    assert_eq!(zone.beside().await.as_deref(), Some("gen=9 by=another"));
    router.set(&at(Split::ALL_GREEN), Split::ALL_BLUE).await.expect("it was looked at anew");
    assert!(zone.beside().await.expect("a TXT").starts_with("gen=10 by="));
}

#[tokio::test]
async fn errors_are_route_53_s_own_words_with_a_cure() {
    let Some(zone) = Zone::start(60).await else { return };
    let router = router(&zone);
    let refuse = |on: &str, code: &str, status: u16| json!([{ "on": on, "do": "refuse", "code": code, "status": status, "message": "as AWS says it", "times": 9 }]);
    let table = [
        ("Throttling", 400, Trouble::Throttled, "five requests a second"),
        ("PriorRequestNotComplete", 400, Trouble::NotNow, "another change of this hosted zone"),
        ("AccessDenied", 403, Trouble::Denied, "allow `route53:ChangeResourceRecordSets` on hosted zone"),
        ("ExpiredToken", 403, Trouble::NoCredentials, "the session is over"),
        ("NoSuchHostedZone", 404, Trouble::NotFound, "list-hosted-zones"),
        ("InvalidInput", 400, Trouble::Invalid, ""),
        ("InvalidChangeBatch", 400, Trouble::Invalid, ""),
        ("ServiceUnavailable", 503, Trouble::Unreachable, ""),
    ];
    for (code, status, kind, cure) in table {
        zone.faults(refuse(CHANGE, code, status)).await;
        let before = zone.calls(CHANGE).await.len();
        let error = refused(&router, Split::ALL_BLUE, Split::ALL_GREEN).await;
        assert_eq!((error.kind, error.moved), (kind, status >= 500), "{code}: {error:?}");
        assert!(error.what.contains(code) && error.cure.unwrap_or_default().contains(cure), "{code}");
        assert_eq!(error.calls[0].code, code);
        assert_eq!(zone.calls(CHANGE).await.len(), before + 1, "{code}: a write is never repeated by itself");
        assert_eq!(zone.weights().await, (100, 0));
    }
    // Reads are tried again, and that is said.
    zone.faults(json!([{ "on": LIST, "do": "refuse", "code": "Throttling", "times": 2 }])).await;
    let reading = router.read().await.expect("it is tried again");
    assert!(reading.remarks.iter().any(|line| line.contains("took 3 attempts")), "{reading:?}");
    zone.faults(refuse(LIST, "AccessDenied", 403)).await;
    let error = router.read().await.unwrap_err();
    assert!(error.kind == Trouble::Denied && error.cure.unwrap_or_default().contains("route53:ListResourceRecordSets"));
    // What is not AWS says nothing of what was done.
    for (status, moved) in [(200, true), (502, true), (403, false)] {
        zone.faults(json!([{ "on": CHANGE, "do": "garbage", "status": status }])).await;
        let error = refused(&router, Split::ALL_BLUE, Split::ALL_GREEN).await;
        assert_eq!((error.kind, error.moved), (Trouble::Unreachable, moved), "{status}: {error:?}");
    }
    zone.faults(json!([])).await;
    let mut settings = zone.settings();
    settings["zone"] = json!("ZNOTHERE");
    let error = opened(&settings, &zone.access()).read().await.unwrap_err();
    assert!(error.kind == Trouble::NotFound && error.what.contains("NoSuchHostedZone"), "{error:?}");
    // The limit of a whole account, as it is.
    zone.set(json!({ "rate": 5 })).await;
    for _ in 0..3 {
        router.read().await.expect("slower, but it reads");
    }
    zone.set(json!({ "rate": null })).await;
    assert_eq!(zone.weights().await, (100, 0));
}

#[tokio::test]
async fn a_group_that_weights_do_not_tell_is_refused_by_name() {
    let Some(zone) = Zone::start(60).await else { return };
    let router = router(&zone);
    // Never all zero, whoever asks for it; and what all zero is, where somebody else left it.
    let error = refused(&router, Split::ALL_BLUE, Split { blue: 0, green: 0 }).await;
    assert!(error.kind == Trouble::Invalid && error.what.contains("every record alike"), "{error:?}");
    zone.put(&[record("bot-blue", 0, 60, BLUE)]).await;
    let reading = router.read().await.expect("it reads");
    assert_eq!(reading.split, Split { blue: 1, green: 1 });
    assert!(reading.remarks.iter().any(|line| line.contains("both weights are 0")), "{reading:?}");
    router
        .set(&at(Split { blue: 1, green: 1 }), Split { blue: 1, green: 1 })
        .await
        .expect("half and half, said by weights");
    assert_eq!(zone.weights().await, (1, 1));
    router.set(&at(Split { blue: 1, green: 1 }), Split::ALL_BLUE).await.expect("back");

    // Shares that weights of 255 cannot have are refused before anything is asked.
    let why = router.takes(Split::of_green(1)).unwrap_err();
    assert!(why.contains("up to 255") && why.contains("BLUE 99.6 GREEN 0.4"), "{why}");
    let error = refused(&router, Split::ALL_BLUE, Split::of_green(1)).await;
    assert_eq!((error.kind, error.moved), (Trouble::Invalid, false));

    // Users of a third record.
    zone.put(&[record("canary", 5, 60, "192.0.2.7")]).await;
    let error = router.read().await.unwrap_err();
    assert!(error.kind == Trouble::Invalid && error.what.contains("`canary` (weight 5)"), "{error:?}");
    assert_eq!(refused(&router, Split::ALL_BLUE, Split::ALL_GREEN).await.kind, Trouble::Invalid);
    zone.put(&[record("canary", 0, 60, "192.0.2.7")]).await;
    router.set(&at(Split::ALL_BLUE), Split::of_green(100)).await.expect("nobody is there");
    assert_eq!(zone.weights().await, (90, 10));

    // Through pages of one record each, in the order of the real one.
    zone.set(json!({ "page": 1 })).await;
    assert_eq!(router.read().await.expect("page by page").split, Split::of_green(100));
    let before = zone.beside().await;
    router.set(&at(Split::of_green(100)), Split::ALL_BLUE).await.expect("page by page");
    assert_ne!(zone.beside().await, before);
    zone.set(json!({ "page": 300 })).await;

    zone.drop(json!([[format!("{NAME}."), "A", "bot-green"]])).await;
    let error = router.read().await.unwrap_err();
    assert!(
        error.kind == Trouble::NotFound && error.what.contains("no record `bot-green`: there is `bot-blue`, `canary`")
    );
}

#[tokio::test]
async fn who_we_are_is_proven_by_a_batch_that_cannot_be_done() {
    let Some(zone) = Zone::start(60).await else { return };
    let router = router(&zone);
    let before = zone.records().await;
    for _ in 0..2 {
        let identity = router.identity().await.expect("we may");
        assert!(identity.line.contains("which may change bot.example.test A"), "{identity:?}");
        assert_eq!(zone.calls(CHANGE).await.last().map(String::as_str), Some("InvalidChangeBatch"));
        assert_eq!(zone.records().await, before, "nothing was written");
        router.set(&at(Split::ALL_BLUE), Split::ALL_GREEN).await.expect("it moves");
        router.set(&at(Split::ALL_GREEN), Split::ALL_BLUE).await.expect("and back");
        // The next time with a TXT that is there.
        zone.drop(json!([[format!("_bgctl.{NAME}."), "TXT", null]])).await;
    }
    zone.faults(json!([{ "on": CHANGE, "do": "refuse", "code": "AccessDenied", "status": 403 }])).await;
    let error = router.identity().await.unwrap_err();
    assert!(error.kind == Trouble::Denied && !error.moved && error.cure.is_some(), "{error:?}");
    assert!(router.writer().await.is_some_and(|how| how.contains("AttributeValue=ChangeResourceRecordSets")));
}
