//! Health checks of Route 53: what they make of the weights is found before a run, and said.

use bgctl::plan::{Color, Split};
use bgctl::routers::{RouteView, TrafficRouter, Trouble};
use serde_json::{Value, json};

use crate::common::at;
use crate::common::route53::{BLUE, GREEN, NAME, Zone, record};
use crate::{opened, router};

/// A health check of an endpoint; its id.
fn check(zone: &Zone, name: &str, config: &str) -> String {
    let args = ["route53", "create-health-check", "--caller-reference", name, "--health-check-config", config];
    let made = zone.api.cli_json(&args);
    made["HealthCheck"]["Id"].as_str().expect("an id").into()
}

const HTTP: &str = "Type=HTTP,IPAddress=192.0.2.1,Port=80,ResourcePath=/";

fn checked(mut record: Value, id: &str) -> Value {
    record["HealthCheckId"] = json!(id);
    record
}

#[tokio::test]
async fn users_that_a_health_check_sends_elsewhere_are_found_before_a_run() {
    let Some(zone) = Zone::start(60).await else { return };
    let router = router(&zone);
    let [blue, green] = ["blue", "green"].map(|name| check(&zone, name, HTTP));
    zone.put(&[checked(record("bot-blue", 100, 60, BLUE), &blue), checked(record("bot-green", 0, 60, GREEN), &green)])
        .await;
    let statuses = async |of: [(u32, u32); 2]| {
        zone.set(json!({ "health": { blue.as_str(): of[0], green.as_str(): of[1] } })).await
    };
    let well = (16, 0);
    statuses([well, well]).await;
    let said = router.preflight(&[Split::ALL_GREEN]).await.expect("both are well");
    assert!(said.iter().any(|line| line.contains("GREEN's health check is well: 16 of 16 checkers")), "{said:?}");
    let reading = router.read().await.expect("it reads");
    assert!(
        reading.remarks.iter().any(|line| line.contains("leaves out BLUE or GREEN when it is not well")),
        "{reading:?}"
    );

    // Blue's fails: its users are on green by now, whatever the weights say.
    statuses([(2, 14), well]).await;
    let error = router.preflight(&[Split::ALL_GREEN]).await.unwrap_err();
    assert!(error.kind == Trouble::NotNow && error.what.contains("sends its users to GREEN"), "{error:?}");
    assert!(error.what.contains("2 of 16 checkers") && error.cure.is_some(), "{error:?}");
    assert!(router.watch().await.notes.iter().any(|line| line.contains("sends its users to GREEN")));
    assert!(router.watch().await.notes.is_empty(), "and Route 53 is seldom asked");
    let health = router.health(Color::Blue).await.expect("a count");
    assert!(health.healthy == 0 && health.ailing[0].contains("2 of 16 checkers"), "{health:?}");

    // Green's fails: it would get nobody.
    statuses([well, (0, 16)]).await;
    let error = router.preflight(&[Split::ALL_GREEN]).await.unwrap_err();
    assert!(error.what.contains("GREEN's health check fails") && error.read.is_some(), "{error:?}");
    // Both: as if all were well.
    statuses([(0, 16), (0, 16)]).await;
    let error = router.preflight(&[Split::ALL_GREEN]).await.unwrap_err();
    assert!(error.what.contains("as if all were well"), "{error:?}");

    // A move keeps the health checks.
    statuses([well, well]).await;
    router.set(&at(Split::ALL_BLUE), Split::of_green(100)).await.expect("it moves");
    let records = zone.records().await;
    let of = |side: &str| records.iter().find(|record| record["SetIdentifier"] == side).expect("a record");
    assert_eq!((&of("bot-blue")["HealthCheckId"], &of("bot-green")["HealthCheckId"]), (&json!(blue), &json!(green)));
}

#[tokio::test]
async fn health_is_counted_by_whoever_can_count_it() {
    let Some(zone) = Zone::start(60).await else { return };
    // Its addresses, where the runbook says how they are asked.
    let asked = router(&zone);
    assert_eq!(asked.health(Color::Green).await.expect("a count").healthy, 1);
    *zone.bots[1].well.lock().expect("a word") = false;
    let error = asked.preflight(&[Split::ALL_GREEN]).await.unwrap_err();
    assert!(error.kind == Trouble::NotNow && error.what.contains("127.0.0.2: answers 503"), "{error:?}");

    // Nobody, and that is said; then its health check.
    let mut settings = zone.settings();
    settings.as_object_mut().expect("settings").remove("health");
    let alone = opened(&settings, &zone.access());
    let error = alone.health(Color::Blue).await.unwrap_err();
    assert!(error.kind == Trouble::Invalid && error.what.contains("no health check"), "{error:?}");
    assert!(error.cure.unwrap_or_default().contains("health: http"));
    let id = check(&zone, "one", HTTP);
    zone.put(&[checked(record("bot-blue", 100, 60, BLUE), &id)]).await;
    let alone = opened(&settings, &zone.access());
    assert_eq!(alone.health(Color::Blue).await.expect("its check").healthy, 1);
    let parts = check(&zone, "two", &format!("Type=CALCULATED,ChildHealthChecks={id},HealthThreshold=1"));
    zone.put(&[checked(record("bot-blue", 100, 60, BLUE), &parts)]).await;
    let alone = opened(&settings, &zone.access());
    let error = alone.health(Color::Blue).await.unwrap_err();
    assert!(error.what.contains("CALCULATED"), "{error:?}");
}

#[tokio::test]
async fn aliases_keep_everything_but_their_weight() {
    let Some(zone) = Zone::start(60).await else { return };
    let alias = |side: &str, weight: u32, to: &str| {
        json!({
            "Name": format!("{NAME}."), "Type": "A", "SetIdentifier": side, "Weight": weight,
            "AliasTarget": { "HostedZoneId": "Z35SXDOTRQ7X7K", "DNSName": format!("{to}.elb.example.test."), "EvaluateTargetHealth": "true" },
        })
    };
    zone.put(&[alias("bot-blue", 100, "blue"), alias("bot-green", 0, "green")]).await;
    let router = router(&zone);
    let before = router.read().await.expect("it reads");
    assert!(before.remarks.iter().any(|line| line.contains("a record is an alias")), "{before:?}");
    assert!(before.remarks[0].contains("up to 60 s") && router.lacks(&before).is_none());
    let way = router.native_way_back("web", &before);
    assert!(way.files[0].1.contains("\"EvaluateTargetHealth\": true"), "{way:?}");
    router.set(&before, Split::of_green(300)).await.expect("it moves");
    let records = zone.records().await;
    let of = |side: &str| records.iter().find(|record| record["SetIdentifier"] == side).expect("a record");
    assert_eq!((of("bot-blue"), of("bot-green")), (&alias("bot-blue", 70, "blue"), &alias("bot-green", 30, "green")));
    // Both 0 is nothing that AWS says anything of, for aliases.
    zone.put(&[alias("bot-blue", 0, "blue"), alias("bot-green", 0, "green")]).await;
    assert_eq!(router.read().await.expect("it reads").split, Split { blue: 0, green: 0 });
    assert!(router.nowhere().contains("aliases"));
}

#[tokio::test]
async fn others_who_keep_these_records_are_named() {
    let Some(zone) = Zone::start(60).await else { return };
    let router = router(&zone);
    assert_eq!(router.controller().await.expect("it looks"), None);
    let txt = json!({
        "Name": format!("a-{NAME}."), "Type": "TXT", "TTL": 60,
        "ResourceRecords": ["\"heritage=external-dns,external-dns/owner=k8s\""],
    });
    zone.put(&[txt]).await;
    assert!(router.controller().await.expect("it looks").is_some_and(|who| who.contains("ExternalDNS")));
}
