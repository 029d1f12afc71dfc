//! Answers that are lost, batches that land late, and changes that never get everywhere.

use bgctl::plan::Split;
use bgctl::routers::{RouteView, TrafficRouter, Trouble};
use serde_json::json;

use crate::common::at;
use crate::common::route53::Zone;
use crate::{CHANGE, refused, router};

#[tokio::test]
async fn a_lost_answer_is_in_doubt_and_read() {
    let Some(zone) = Zone::start(60).await else { return };
    let router = router(&zone);
    for (fate, landed) in [("lose-before", false), ("lose-after", true)] {
        zone.faults(json!([{ "on": CHANGE, "do": fate }])).await;
        let error = refused(&router, Split::ALL_BLUE, Split::ALL_GREEN).await;
        assert!(error.moved && error.kind == Trouble::Unreachable, "{fate}: {error:?}");
        assert_eq!((error.calls.len(), error.calls[0].code.as_str()), (1, "no-answer"));
        let reading = router.read().await.expect("it reads");
        assert_eq!(reading.split, if landed { Split::ALL_GREEN } else { Split::ALL_BLUE }, "{fate}");
        // Going on from there ends right, also where there is nothing left to do.
        let calls = router.set(&reading, Split::ALL_GREEN).await.expect("it goes on");
        assert_eq!(calls.len(), usize::from(!landed), "{fate}");
        router.set(&at(Split::ALL_GREEN), Split::ALL_BLUE).await.expect("and back");
        assert_eq!(zone.weights().await, (100, 0));
    }
}

#[tokio::test]
async fn a_batch_that_comes_late_lands_on_nothing_else() {
    let Some(zone) = Zone::start(60).await else { return };
    let router = router(&zone);
    // There is a TXT already, and there is none yet.
    for _ in 0..2 {
        zone.faults(json!([{ "on": CHANGE, "do": "late" }])).await;
        let error = refused(&router, Split::ALL_BLUE, Split::ALL_GREEN).await;
        assert!(error.moved, "{error:?}");
        // There and back: the records are the same again, and the TXT is not.
        router.set(&at(Split::ALL_BLUE), Split::of_green(500)).await.expect("it moves");
        router.set(&at(Split::of_green(500)), Split::ALL_BLUE).await.expect("and back");
        let refused = zone.land().await;
        let word = refused[0].as_str().expect("a word");
        assert!(word.contains("_bgctl.bot.example.test."), "the TXT holds it off, and nothing else does: {word}");
        assert_eq!(zone.weights().await, (100, 0));
    }
    // Without anybody between, it lands: for as long it is reckoned with.
    zone.faults(json!([{ "on": CHANGE, "do": "late" }])).await;
    refused(&router, Split::ALL_BLUE, Split::ALL_GREEN).await;
    assert_eq!(zone.land().await, json!(["ok"]));
    assert_eq!(zone.weights().await, (0, 100));
    assert_eq!(router.lands_within().as_secs(), 60);

    // The way back without bgctl holds one off as well.
    let blue =
        router.all_on(bgctl::plan::Color::Blue, Some(&router.read().await.expect("it reads"))).expect("a reading");
    let way = router.native_way_back("web", &blue);
    router.set(&at(Split::ALL_GREEN), Split::ALL_BLUE).await.expect("back");
    zone.faults(json!([{ "on": CHANGE, "do": "late" }])).await;
    refused(&router, Split::ALL_BLUE, Split::ALL_GREEN).await;
    let folder = tempfile::tempdir().expect("a folder");
    let shell = zone.api.cli_command();
    let path = std::path::Path::new(shell.get_program()).parent().expect("a folder").display().to_string();
    let text = format!("PATH={path}:$PATH; cd {}; {}", folder.path().display(), way.pasted().join("\n"));
    let output = std::process::Command::new("sh")
        .envs(shell.get_envs().filter_map(|(key, value)| Some((key, value?))))
        .args(["-c", &text])
        .output()
        .expect("a shell");
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(zone.beside().await.expect("a TXT").starts_with("gen=0 by=hand-1"), "{:?}", zone.beside().await);
    assert!(zone.land().await[0].as_str().expect("a word").contains("_bgctl."));
    assert_eq!(zone.weights().await, (100, 0));
}

#[tokio::test]
async fn a_move_counts_once_every_server_has_it() {
    let Some(zone) = Zone::start(60).await else { return };
    let router = router(&zone);
    zone.set(json!({ "pending": 2 })).await;
    router.set(&at(Split::ALL_BLUE), Split::of_green(100)).await.expect("it gets there");
    assert_eq!(zone.calls("GetChange").await.len(), 3, "PENDING, PENDING, INSYNC");

    // Never INSYNC: written, read back, and not known to be everywhere.
    zone.set(json!({ "pending": 1000 })).await;
    let error = refused(&router, Split::of_green(100), Split::ALL_GREEN).await;
    assert!(error.moved && error.kind == Trouble::Unreachable && error.what.contains("still PENDING"), "{error:?}");
    assert!(error.cure.expect("a command").contains("aws route53 get-change --id"));
    assert_eq!(error.calls[0].code, "ok");
    assert_eq!(router.read().await.expect("it reads").split, Split::ALL_GREEN, "a listing shows what is PENDING");
    // Where it is to be already, a change of this process is still waited for.
    let error = refused(&router, Split::ALL_GREEN, Split::ALL_GREEN).await;
    assert!(error.moved && error.what.contains("still PENDING"), "{error:?}");
    zone.set(json!({ "changes": {} })).await;
    let error = refused(&router, Split::ALL_GREEN, Split::ALL_GREEN).await;
    assert!(error.kind == Trouble::NotFound && error.what.contains("NoSuchChange"), "{error:?}");

    // An answer about it that is lost is asked for again.
    zone.set(
        json!({ "pending": 0, "faults": [{ "on": "GetChange", "do": "refuse", "code": "Throttling", "times": 5 }] }),
    )
    .await;
    router.set(&at(Split::ALL_GREEN), Split::ALL_BLUE).await.expect("it gets there");
    zone.faults(json!([{ "on": "GetChange", "do": "refuse", "code": "AccessDenied", "status": 403 }])).await;
    let error = refused(&router, Split::ALL_BLUE, Split::ALL_GREEN).await;
    assert!(
        error.kind == Trouble::Denied && error.moved && error.cure.unwrap_or_default().contains("route53:GetChange")
    );
}
