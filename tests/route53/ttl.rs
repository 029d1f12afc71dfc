//! The TTL of before: lowered, waited out, and known to whoever puts it back.

use std::time::Duration;

use bgctl::clock::{Clock, SystemClock};
use bgctl::plan::Split;
use bgctl::routers::{RouteView, TrafficRouter, Trouble, route53};
use serde_json::json;

use crate::common::route53::{GREEN, NAME, Zone, record};
use crate::common::{at, peer, printed};
use crate::{refused, router};

#[tokio::test]
async fn the_old_ttl_is_lowered_and_waited_out_before_anybody_moves() {
    let Some(zone) = Zone::start(3600).await else { return };
    let router = router(&zone);
    zone.put(&[record("spare", 0, 3600, "192.0.2.7")]).await;
    let reading = router.read().await.expect("it reads");
    assert!(
        reading.remarks[0].contains("over up to 3600 s") && reading.remarks[0].contains("as long and 60 s"),
        "{reading:?}"
    );
    let lack = router.lacks(&reading).expect("the TTL is too long");
    assert!(lack.line.contains("3600 s") && lack.line.contains("60 s"), "{lack:?}");

    // Nobody moves, and the whole group has one TTL.
    let calls = router.complete(&reading).await.expect("it is lowered");
    assert_eq!(calls.len(), 2);
    let now = router.read().await.expect("it reads");
    assert_eq!((now.split, router.lacks(&now)), (Split::ALL_BLUE, None));
    let records = zone.records().await;
    let ttls = records.iter().filter(|record| record["Name"] == format!("{NAME}.")).map(|record| &record["TTL"]);
    assert_eq!(ttls.collect::<Vec<_>>(), [60, 60, 60]);
    assert!(now.remarks.iter().any(|line| line.contains("3600 s before it was lowered")), "{now:?}");
    assert!(router.complete(&now).await.expect("once is enough").is_empty());

    // Not waited out, and then it is: an hour ago by the TXT.
    let error = router.preflight(&[Split::ALL_GREEN]).await.unwrap_err();
    assert!(error.kind == Trouble::NotNow && error.what.contains("3600 s"), "{error:?}");
    assert!(error.after.is_some_and(|left| left > Duration::from_secs(3000) && left <= Duration::from_secs(3600)));
    let text = zone.beside().await.expect("a TXT");
    let since: u64 = text.split("since=").nth(1).expect("since when").parse().expect("a number");
    let earlier = text.replace(&since.to_string(), &(since - 3601).to_string());
    let txt = |text: &str| json!({ "Name": format!("_bgctl.{NAME}."), "Type": "TXT", "TTL": 60, "ResourceRecords": [format!("\"{text}\"")] });
    zone.put(&[txt(&earlier)]).await;
    assert!(router.preflight(&[Split::ALL_GREEN]).await.expect("waited out")[0].contains("TTL 60 s"));

    // A move keeps what is known of the old TTL, for whoever puts it back.
    router.set(&at(Split::ALL_BLUE), Split::ALL_GREEN).await.expect("it moves");
    assert!(zone.beside().await.expect("a TXT").contains("ttl=3600 since="));

    // A lowering that was cut off is finished, and not waited out too early.
    zone.put(&[txt("gen=1 by=a ttl=900")]).await;
    let reading = router.read().await.expect("it reads");
    assert!(router.lacks(&reading).expect("nobody knows since when").line.contains("900 s"));
    assert_eq!(router.complete(&reading).await.expect("it is finished").len(), 1);
    assert!(zone.beside().await.expect("a TXT").contains("ttl=900 since="));
    assert_eq!(router.preflight(&[Split::ALL_BLUE]).await.unwrap_err().kind, Trouble::NotNow);
}

#[tokio::test]
async fn records_with_several_ttls_are_no_group() {
    let Some(zone) = Zone::start(60).await else { return };
    let router = router(&zone);
    zone.put(&[record("bot-green", 0, 300, GREEN)]).await;
    let error = router.read().await.unwrap_err();
    assert!(error.kind == Trouble::Invalid && error.what.contains("`bot-blue` 60 s, `bot-green` 300 s"), "{error:?}");
    assert_eq!(refused(&router, Split::ALL_BLUE, Split::ALL_GREEN).await.kind, Trouble::Invalid);
    assert_eq!(zone.weights().await, (100, 0));
}

#[tokio::test]
async fn a_lowering_counts_once_every_server_has_it() {
    let Some(zone) = Zone::start(900).await else { return };
    let router = router(&zone);
    let reading = router.read().await.expect("it reads");
    zone.set(json!({ "pending": 1000 })).await;
    let error = router.complete(&reading).await.unwrap_err();
    assert!(!error.moved && error.what.contains("still PENDING"), "{error:?}");
    assert!(!zone.beside().await.expect("a TXT").contains("since="), "nobody knows since when");
    zone.set(json!({ "changes": {}, "pending": 0 })).await;
    // Another process does not know that change: it makes one of its own, which comes after it.
    let mut router = crate::router(&zone);
    router.in_sync_within = Duration::from_secs(600);
    let reading = router.read().await.expect("it reads");
    assert_eq!(router.complete(&reading).await.expect("it is finished").len(), 1);
    let text = zone.beside().await.expect("a TXT");
    let since: i64 = text.split("ttl=900 since=").nth(1).expect("since when").parse().expect("a number");
    let left = since - SystemClock.now().as_second();
    assert!((1..=600).contains(&left), "it has as long as a change may take to be everywhere: {left}");
}

/// The page's own script, after the run: with the weights of now, and not over what somebody else writes meanwhile.
#[tokio::test]
async fn the_old_ttl_is_put_back_by_the_script_of_the_page() {
    let (Some(zone), Some(_)) = (Zone::start(3600).await, peer("jq")) else { return };
    let router = router(&zone);
    let folder = tempfile::tempdir().expect("a folder");
    let own = format!("zone={} name={NAME}", zone.id);
    let script =
        printed(route53::KIND.page, "restore-ttl").replace("zone=Z0123456789ABCDEFGHIJ name=bot.example.com", &own);
    let ran = |script: &str| zone.api.in_shell(script, folder.path());
    let ttls = async || {
        let records = zone.records().await.into_iter().filter(|record| record["Name"] == format!("{NAME}."));
        records.map(|record| record["TTL"].as_u64().expect("a TTL")).collect::<Vec<_>>()
    };
    assert_eq!(ran(&script), (true, "nothing was lowered\n".into()));
    router.complete(&router.read().await.unwrap()).await.unwrap();
    router.set(&at(Split::ALL_BLUE), Split::ALL_GREEN).await.unwrap();
    assert_eq!(ttls().await, [60, 60]);
    // Somebody has moved users since the script looked.
    let stale = script.replace("aws route53 change", "sed -i s/gen=/gem=/ restore-ttl.json; aws route53 change");
    let (done, words) = ran(&stale);
    assert!(!done && words.contains("InvalidChangeBatch"), "{words}");
    assert_eq!(ttls().await, [60, 60]);
    let (done, words) = ran(&script);
    assert!(done, "{words}");
    assert_eq!((ttls().await, zone.weights().await, zone.beside().await), (vec![3600, 3600], (0, 100), None));
    assert!(router.lacks(&router.read().await.unwrap()).is_some(), "the next run lowers it again");
}
