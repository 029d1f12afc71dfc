//! A log in the words of other tools, read with those tools: jq, openssl, ssh-agent.

use std::process::Stdio;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bgctl::audit::exports;
use serde_json::Value;

use crate::common::kinds::Table;
use crate::common::peer;
use crate::rig::*;

fn events(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("each line is a document")).collect()
}

/// A form, and by what each of its documents is known.
type Form = (&'static str, fn(&Value) -> bool);

const FORMS: &[Form] = &[
    ("cloudevents", |document| document["specversion"] == "1.0"),
    ("ocsf", |document| document["metadata"]["product"]["name"] == "bgctl"),
    ("in-toto", |document| document["payloadType"] == "application/vnd.in-toto+json"),
];

/// A line of shell at this desk; its output.
#[track_caller]
fn sh(desk: &Desk, line: &str) -> (bool, String) {
    let output = desk.command("sh").args(["-c", line]).output().expect("a shell");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

/// How `bgctl explain audit` says to check an envelope; run as it stands there.
fn recipe() -> String {
    let page = include_str!("../../src/audit/audit.md");
    let start = page.find("attestation=").expect("the recipe");
    page[start..start + page[start..].find("```").expect("its end")].to_string()
}

#[test]
fn every_event_form_is_complete_and_the_log_comes_back_out_of_cloudevents() {
    let world = World::new(&[]);
    let desk = Desk::beside(&world);
    desk.cutover().end(60).ends(0);
    let records = desk.records();

    let kinds = exports::KINDS.iter().map(|kind| (kind.name, kind.page)).collect();
    let places = FORMS.iter().map(|(name, _)| *name).collect();
    Table { of: "form of export", kinds, topic: Some("audit"), places }.is_complete();
    for kind in exports::KINDS {
        let out = desk.run(&["audit", "export", "--format", kind.name]).ends(0).out.clone();
        for (name, known) in FORMS.iter().filter(|(name, _)| *name == kind.name) {
            let documents = events(&out);
            assert!(!documents.is_empty() && documents.iter().all(known), "{name}: {out}");
        }
    }

    desk.run(&["audit", "export", "--format", "cloudevents", "--out", "cloud.jsonl"]).ends(0);
    let found = events(&std::fs::read_to_string(desk.path("cloud.jsonl")).unwrap());
    let log: Vec<u8> =
        found.iter().flat_map(|event| STANDARD.decode(event["data_base64"].as_str().unwrap()).unwrap()).collect();
    assert!(log == desk.log(), "all events together are the log, byte for byte");
    assert!(found.windows(2).all(|pair| pair[0]["sequence"].as_str() < pair[1]["sequence"].as_str()));
    for event in &found {
        let (id, kind) = (event["id"].as_str().unwrap(), event["type"].as_str().unwrap());
        assert!(event["specversion"] == "1.0" && kind.starts_with("dev.bgctl.") && kind.ends_with(".v1"), "{event}");
        assert!(id.contains(':') && event["source"].as_str().unwrap().starts_with("bgctl/log/bot/"), "{event}");
        // Names of attributes are lowercase letters and digits.
        let names = event.as_object().unwrap().keys();
        let plain = |name: &&String| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        assert_eq!(names.filter(|n| !plain(n)).collect::<Vec<_>>(), ["data_base64"]);
    }

    let out = desk.run(&["audit", "export", "--format", "ocsf", "--out", "ocsf.jsonl"]).ends(0);
    assert_eq!(out.out, "");
    let found = events(&std::fs::read_to_string(desk.path("ocsf.jsonl")).unwrap());
    for event in &found {
        let number = |name: &str| event[name].as_u64().unwrap_or_else(|| panic!("`{name}` in {event}"));
        assert_eq!(number("type_uid"), number("class_uid") * 100 + number("activity_id"));
        assert_eq!(number("category_uid"), 6);
        assert!([1, 3, 4].contains(&number("severity_id")) && number("time") > 1_700_000_000_000, "{event}");
        assert!(event["metadata"]["version"].is_string() && event["metadata"]["product"]["name"] == "bgctl", "{event}");
        let required: &[&str] = if event["class_uid"] == 6003 {
            &["/actor/user/name", "/api/operation", "/src_endpoint/hostname"]
        } else {
            &["/app/name"]
        };
        // A26: what a class of the schema does not take, and nulls, which no attribute takes.
        assert!(event["class_uid"] == 6003 || event["actor"].is_null(), "{event}");
        assert!(!has_null(event), "{event}");
        for pointer in required {
            assert!(event.pointer(pointer).is_some_and(Value::is_string), "`{pointer}` in {event}");
        }
    }
    let calls = records.iter().filter(|r| r["type"] == "provider.called").count();
    assert!(calls > 0 && found.iter().filter(|e| e["activity_id"] == 3 && e["class_uid"] == 6003).count() == calls);
    let (first, last) = (&found[0], &found[found.len() - 1]);
    assert_eq!((&first["class_uid"], &first["activity_id"]), (&6002.into(), &3.into()));
    assert_eq!((&last["class_uid"], &last["activity_id"]), (&6002.into(), &4.into()));
    // A file is not overwritten.
    desk.run(&["audit", "export", "--format", "ocsf", "--out", "ocsf.jsonl"]).ends(64).says(&["BG0205"]);
    // What is not sound is not said in other words.
    let mut changed = desk.log();
    let at = changed.len() / 2;
    changed[at] ^= 1;
    std::fs::write(desk.path("changed.jsonl"), changed).unwrap();
    desk.run(&["audit", "export", "changed.jsonl", "--format", "cloudevents"]).ends(40);
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.values().any(|v| v.is_null() || has_null(v)),
        Value::Array(all) => all.iter().any(has_null),
        _ => false,
    }
}

#[test]
fn an_attestation_is_checked_with_openssl_and_comes_from_file_and_agent() {
    let (Some(_), Some(_)) = (peer("openssl"), peer("jq")) else { return };
    let world = World::new(&[]);
    let mut desk = Desk::beside(&world);
    desk.cutover().end(60).ends(0);
    desk.run(&["audit", "export", "--format", "in-toto", "--out", "cutover.dsse.json"]).ends(0);
    let check = recipe().replace("owner.pub", "key.pub");
    let (good, said) = sh(&desk, &check);
    assert!(good && said.contains("Signature Verified Successfully"), "{said}");

    let envelope: Value =
        serde_json::from_slice(&std::fs::read(desk.path("cutover.dsse.json")).unwrap()).expect("an envelope");
    let payload = STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
    let statement: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicate"]["verdict"], "COMPLETE");
    assert_eq!(statement["predicate"]["outcome"], "completed");
    assert_eq!(statement["predicate"]["splits"]["web"]["green"], 100);
    let (_, sums) = sh(&desk, &format!("sha256sum {}/log.jsonl runbook.yaml", desk.runs()[0].display()));
    for subject in [0, 1] {
        let digest = statement["subject"][subject]["digest"]["sha256"].as_str().unwrap();
        assert!(sums.contains(digest), "{digest} in {sums}");
    }

    // One changed byte of the payload.
    let other = STANDARD.encode(String::from_utf8(payload).unwrap().replace("COMPLETE", "COMPLETED"));
    let mut changed = envelope.clone();
    changed["payload"] = other.into();
    desk.write("cutover.dsse.json", &changed.to_string());
    assert!(!sh(&desk, &check).0, "a changed statement must not verify");

    // A key that did not sign the log vouches for nothing.
    desk.run(&["keys", "create", "--out", "other"]).ends(0);
    let stranger = ["audit", "export", "--format", "in-toto", "--key", "other"];
    desk.run(&stranger).ends(77).says(&["did not sign this log"]);
    let bare = desk.run(&["audit", "export", "--format", "in-toto", "--unsigned"]).ends(0);
    assert!(bare.err.contains("not signed") && bare.out.contains("\"predicateType\""), "{bare:?}");

    let (Some(_), Some(_)) = (peer("ssh-agent"), peer("ssh-add")) else { return };
    let socket = desk.path("agent").display().to_string();
    let mut agent =
        desk.command("ssh-agent").args(["-D", "-a", &socket]).stdout(Stdio::null()).spawn().expect("it starts");
    until("the agent", 10, || desk.path("agent").exists());
    desk.env.insert("SSH_AUTH_SOCK".into(), socket);
    let (added, said) = sh(&desk, "ssh-add -q key");
    std::fs::remove_file(desk.path("cutover.dsse.json")).unwrap();
    let key = envelope["signatures"][0]["keyid"].as_str().unwrap();
    let by_agent =
        ["audit", "export", "--format", "in-toto", "--out", "cutover.dsse.json", "--key", &format!("agent:{key}")];
    let done = desk.run(&by_agent);
    let checked = sh(&desk, &check);
    agent.kill().expect("it ran");
    agent.wait().expect("it ended");
    assert!(added, "{said}");
    done.ends(0);
    assert!(checked.0, "{}", checked.1);
}
