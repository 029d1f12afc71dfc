//! Continuity: what a runbook may declare, when it has to be checked, and what each check says about bots of every kind.
//! Real Bolt apps are tried in tests/slack/continuity.rs.

mod common;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bgctl::clock::{Clock, SystemClock};
use bgctl::compile::Draft;
use bgctl::lab::Lab;
use bgctl::live::http::LiveWeb;
use bgctl::plan::Plan;
use bgctl::run::{Outcome, Verdict};
use bgctl::runbook::{Inputs, Source};
use bgctl::secret::{Secret, Secrets};
use bgctl::world::{Request, Response, WebError};
use common::scripted::{Notebook, Stage, built, plan, response};
use serde_json::{Value, json};

const ALL: [&str; 5] = ["modal-from-blue", "modal-from-green", "stale-button", "private-metadata", "hash-conflict"];

const RUNBOOK: &str = r#"bgctl: 1
service: bot
environment: staging
owners: [you@example.com]
stacks:
  blue:  { version: v1, url: "http://blue.internal" }
  green: { version: v2, url: "http://green.internal" }
routes:
  web:
    slack_manifest:
      app: A0123456789
      blue: https://blue.example.com
      green: https://green.example.com
      tokens: /secure/tokens.json
slack:
  signing_secret: ${env:SLACK_SIGNING_SECRET}
  continuity:
    modals:
      - callback_id: deploy_modal
        private_metadata: { blue: '{"schema":1}', green: '{"schema":2}' }
        values: { reason: { txt: x } }
        refused_at: reason
        unreadable: newer version
    buttons:
      - action_id: approve
        value: { blue: "v1:none", green: "v2:none" }
        harmless_because: it approves nothing
schema:
  change: none
steps:
  - id: smoke-green
    smoke: { stack: green, checks: [modal-from-blue, modal-from-green] }
  - id: shift
    shift: { route: web, green: 100% }
rollback:
  owner: you@example.com
  steps:
    - id: back-to-blue
      shift: { route: web, blue: 100% }
"#;

/// The plan of a runbook, or code, headline and label of every error.
fn compiled(text: &str, swap: bool) -> Result<Plan, Vec<String>> {
    let source = Source::new("runbook.yaml", text);
    let words = |found: Vec<bgctl::diag::Diagnostic>| {
        let errors = found.into_iter().filter(|d| d.severity == bgctl::diag::Severity::Error);
        errors.map(|d| format!("{} {} · {}", d.code, d.headline, d.label)).collect::<Vec<_>>()
    };
    Draft::new(&source, &Inputs { swap, ..Inputs::default() }, None).map(|draft| draft.plan).map_err(words)
}

#[test]
fn the_rollback_rule_is_checked_before_anybody_moves() {
    let plan = compiled(RUNBOOK, false).expect("a good runbook");
    assert!(plan.warnings.iter().any(|w| w.contains("`approve` is really pressed")), "{:?}", plan.warnings);
    let first = "smoke: { stack: green, checks: [modal-from-blue, modal-from-green] }";
    let late =
        "  - id: smoke-again\n    smoke: { stack: green, checks: [modal-from-blue, modal-from-green] }\nrollback:";
    for (change, wanted) in [
        // One direction only, and it is not the way back's.
        (RUNBOOK.replace(", modal-from-green]", "]"), "add `modal-from-green` to a `smoke` step before it"),
        // A failure that stops nobody.
        (
            RUNBOOK.replace(first, &format!("on_failure: continue\n    {first}")),
            "add `modal-from-blue` and `modal-from-green`",
        ),
        // Too late.
        (
            RUNBOOK.replace(first, "smoke: { stack: green, checks: [version] }").replace("rollback:", late),
            "add `modal-from-blue` and `modal-from-green`",
        ),
    ] {
        let found = compiled(&change, false).expect_err("refused");
        assert!(found.iter().any(|line| line.starts_with("BG0127") && line.contains(wanted)), "{wanted}: {found:#?}");
    }
    // In two steps, and one of them for the other stack: both count.
    let two = RUNBOOK.replace(
        first,
        "smoke: { stack: green, checks: [modal-from-blue] }\n  - id: smoke-blue\n    smoke: { stack: blue, checks: [modal-from-green] }",
    );
    compiled(&two, false).expect("both directions are checked");
    // Over sockets nothing can be sent from outside: said, not demanded.
    let sockets = RUNBOOK
        .replace("  signing_secret:", "  mode: socket\n  signing_secret:")
        .replace(first, "smoke: { stack: green, checks: [version] }");
    let plan = compiled(&sockets, false).expect("taken on their word");
    assert!(
        plan.warnings.iter().any(|w| w.contains("Socket Mode cannot be asked from outside")),
        "{:?}",
        plan.warnings
    );
    // Nothing declared, nothing demanded.
    let start = RUNBOOK.find("  continuity:").unwrap();
    let end = RUNBOOK.find("schema:\n").unwrap();
    let silent = format!("{}{}", &RUNBOOK[..start], &RUNBOOK[end..]).replace(", modal-from-green]", "]");
    compiled(&silent, false).expect("no continuity, no rule");
}

#[test]
fn what_cannot_be_tried_is_named_at_its_place() {
    for (from, to, wanted) in [
        ("refused_at: reason", "refused_at: raeson", "BG0118 no block `raeson` is sent in: `reason`"),
        ("'{\"schema\":1}'", &format!("'{}'", "x".repeat(3001)), "BG0118 Slack keeps at most 3000 characters"),
        ("harmless_because: it approves nothing", "block_id: approve", "lacks `harmless_because`"),
        ("unreadable:", "unreadible:", "unknown field `unreadible`"),
        ("{ blue: \"v1:none\", green", "{ green", "`value` lacks `blue`"),
    ] {
        assert!(RUNBOOK.contains(from), "{from}");
        let found = compiled(&RUNBOOK.replace(from, to), false).expect_err("refused");
        assert!(found.iter().any(|line| line.contains(wanted)), "{wanted}: {found:#?}");
    }
}

#[test]
fn exchanged_stacks_exchange_what_each_version_writes() {
    let written = |swap| {
        let plan = compiled(RUNBOOK, swap).expect("a good runbook");
        let continuity = plan.slack.unwrap()["continuity"].clone();
        (continuity["modals"][0]["private_metadata"].clone(), continuity["buttons"][0]["value"]["blue"].clone())
    };
    assert_eq!(written(false), (json!({ "blue": "{\"schema\":1}", "green": "{\"schema\":2}" }), json!("v1:none")));
    assert_eq!(written(true), (json!({ "blue": "{\"schema\":2}", "green": "{\"schema\":1}" }), json!("v2:none")));
}

/// A plan that declares the modal and the button of the lab's bots.
fn declared(unreadable: Option<&str>) -> Plan {
    let mut plan = plan();
    let mut modal = json!({
        "callback_id": "deploy_modal", "private_metadata": { "blue": "{\"schema\":1}", "green": "{\"schema\":2}" },
        "values": { "reason": { "txt": "x" } }, "refused_at": "reason",
    });
    if let Some(words) = unreadable {
        modal["unreadable"] = words.into();
    }
    let button = json!({ "action_id": "approve", "value": { "blue": "a", "green": "b" }, "harmless_because": "a lab" });
    plan.slack.as_mut().unwrap()["continuity"] = json!({ "modals": [modal], "buttons": [button] });
    plan
}

fn smoke() -> Value {
    json!({ "stack": "green", "checks": ALL })
}

fn bad(notes: &Notebook) -> Vec<(String, String)> {
    notes.checks().into_iter().filter(|c| c.1 != Verdict::Pass).map(|c| (c.0, c.2)).collect()
}

#[tokio::test]
async fn the_bots_of_the_lab_answer_each_others_modals_and_buttons() {
    let lab = Lab::start(Default::default()).unwrap();
    let (variables, environment) = (lab.variables(), lab.environment());
    let secret = &environment.iter().find(|(name, _)| name == "SLACK_SIGNING_SECRET").expect("the lab's secret").1;
    let live = |mut plan: Plan| {
        plan.blue.url = variables["blue_url"].clone();
        plan.green.url = variables["green_url"].clone();
        (plan.blue.version, plan.green.version) = ("v1.4.1".into(), "v1.4.2".into());
        plan
    };
    let run = async |plan: Plan| {
        let plan = live(plan);
        let clock: Rc<dyn Clock> = Rc::new(SystemClock);
        let mut world = Stage::new(|_, _| response(500, "")).world;
        world.web = Rc::new(LiveWeb::new(clock.clone()));
        world.clock = clock;
        let name = "${env:SLACK_SIGNING_SECRET}".to_string();
        world.secrets = Secrets::new(BTreeMap::from([(name, Secret::new(secret))]));
        let notes = Notebook::default();
        let outcome = built("smoke", smoke(), &plan).execute(&world, &notes).await;
        (outcome, notes)
    };
    // The reserved names alone.
    let (outcome, notes) = run(plan()).await;
    assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?} {:#?}", notes.checks());
    let names: Vec<String> = notes.checks().into_iter().map(|c| c.0).collect();
    assert_eq!(names, ["C1", "C2", "C3", "C3", "C4", "C4", "C5"]);
    // Any refusal will do: the older version asks to open the modal again, and nothing crashes.
    let (outcome, notes) = run(declared(None)).await;
    assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?} {:#?}", notes.checks());
    assert_eq!(notes.checks().len(), 14, "{:#?}", notes.checks());
    // Blue has to read what green wrote, and cannot.
    let (outcome, notes) = run(declared(Some("newer version"))).await;
    let found = bad(&notes);
    assert!(matches!(outcome, Outcome::Failed { moved: false, .. }), "{outcome:?}");
    assert_eq!(found.iter().map(|f| f.0.as_str()).collect::<Vec<_>>(), ["C2"], "{found:#?}");
    assert!(
        found[0].1.contains("opened on green, sent to blue") && found[0].1.contains("blue must read what green wrote")
    );
    assert!(found[0].1.contains("opened by a newer version"), "{found:?}");
}

/// The fields of a form body, and its payload.
fn payload(request: &Request) -> Value {
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let url = reqwest::Url::parse(&format!("http://x/?{body}")).unwrap();
    let text = url.query_pairs().find(|(name, _)| name == "payload").map(|(_, value)| value.into_owned());
    serde_json::from_str(text.unwrap_or_default().trim_end_matches('+')).unwrap_or_default()
}

/// A healthy bot: knows its signature by the last byte of a body, refuses what it should, acknowledges presses.
fn healthy(request: &Request) -> Result<Response, WebError> {
    if request.body.ends_with(b"+") {
        return response(401, "");
    }
    let payload = payload(request);
    match payload["type"].as_str() {
        Some("view_submission") => {
            let block = payload["view"]["state"]["values"].as_object().unwrap().keys().next().unwrap().clone();
            response(200, json!({ "response_action": "errors", "errors": { block: "too short" } }).to_string())
        }
        Some("block_actions") => response(200, ""),
        _ => response(404, ""),
    }
}

fn found(script: impl Fn(&Request, Duration) -> Result<Response, WebError> + 'static) -> Vec<(String, String)> {
    let stage = Stage::new(script);
    stage.run_in("smoke", smoke(), &declared(Some("newer version")));
    bad(&stage.notes)
}

fn names(found: &[(String, String)]) -> Vec<&str> {
    let mut names: Vec<&str> = found.iter().map(|f| f.0.as_str()).collect();
    names.dedup();
    names
}

#[test]
fn each_kind_of_broken_bot_is_said_in_its_own_words() {
    assert_eq!(found(|r, _| healthy(r)), []);
    let green = |r: &Request| r.url.contains("green");
    let of = |r: &Request, kind: &str| payload(r)["type"] == kind;

    // A page that says yes to everything passes none of them.
    let page = found(|_, _| response(200, ""));
    assert_eq!(names(&page), ["C1", "C2", "C3", "C4", "C5"]);
    assert!(page[0].1.contains("something may have been done"), "{page:#?}");
    assert!(page.iter().any(|f| f.0 == "C3" && f.1.contains("so is one that was changed after signing")), "{page:#?}");

    // Green lacks the listener.
    let lacking = found(move |r, _| match green(r) && payload(r)["view"]["callback_id"] == "deploy_modal" {
        true => response(404, "{\"error\":\"unhandled request\"}"),
        false => healthy(r),
    });
    assert_eq!(names(&lacking), ["C1", "C4", "C5"]);
    assert!(
        lacking[0].1.contains("`deploy_modal` opened on blue, sent to green: the listener is missing"),
        "{lacking:#?}"
    );

    // Blue crashes on what green wrote, and on members it does not know.
    let crash = found(move |r, _| {
        let metadata = payload(r)["view"]["private_metadata"].as_str().unwrap_or_default().to_string();
        match !green(r) && (metadata.contains("\"schema\":2") || metadata.contains("bgctl_unknown")) {
            true => response(500, ""),
            false => healthy(r),
        }
    });
    assert_eq!(names(&crash), ["C2", "C4"]);
    assert!(crash[0].1.contains("it crashes on it") && crash[0].1.contains("after a rollback"), "{crash:#?}");

    // Told apart by view and hash: the second submission of a view is dropped with its input.
    let seen = RefCell::new(Vec::new());
    let dropped = found(move |r, _| {
        let payload = payload(r);
        let key = format!("{}{}", payload["view"]["id"], payload["view"]["hash"]);
        if of(r, "view_submission") && seen.borrow().contains(&key) {
            return response(200, "");
        }
        seen.borrow_mut().push(key);
        healthy(r)
    });
    assert_eq!(names(&dropped), ["C5"]);
    assert!(dropped[0].1.contains("the user's input with it") && dropped[0].1.contains("`trigger_id`"), "{dropped:#?}");

    // An old hash is refused with a crash of its own.
    let stale =
        found(move |r, _| match payload(r)["view"]["hash"] == "1.aaaaaaaa" && green(r) && of(r, "view_submission") {
            true => response(409, ""),
            false => healthy(r),
        });
    assert!(names(&stale).contains(&"C5"), "{stale:#?}");

    // A stale button nobody answers, and one that is answered too late.
    let button = found(move |r, _| match green(r) && of(r, "block_actions") {
        true => response(404, ""),
        false => healthy(r),
    });
    assert_eq!(names(&button), ["C3"]);
    assert!(button[0].1.contains("of a message from blue, pressed on green: the listener is missing"), "{button:#?}");
    let slow = found(move |r, _| match of(r, "block_actions") {
        true => healthy(r).map(|answer| Response { time: Duration::from_millis(2400), ..answer }),
        false => healthy(r),
    });
    assert_eq!(names(&slow), ["C3"]);
    assert!(slow[0].1.contains("after 2400 ms"), "{slow:#?}");
}

/// The whole program in the lab, whose blue cannot read what green wrote: nobody moves.
#[cfg(feature = "aws")]
#[test]
fn a_cutover_whose_users_could_not_come_back_stops_before_anybody_moves() {
    let folder = tempfile::tempdir().unwrap();
    let quickstart = concat!(env!("CARGO_MANIFEST_DIR"), "/runbooks/quickstart.yaml");
    let declared = r#"  paths: { events: /slack/events }
  continuity:
    modals:
      - callback_id: deploy_modal
        private_metadata: { blue: '{"schema":1}', green: '{"schema":2}' }
        values: { reason: { txt: x } }
        refused_at: reason
        unreadable: newer version
"#;
    let text = std::fs::read_to_string(quickstart).unwrap();
    let text = text.replace("  paths: { events: /slack/events }\n", declared);
    let runbook = folder.path().join("runbook.yaml");
    let bgctl = |words: &[&str]| {
        let answer = std::process::Command::new(env!("CARGO_BIN_EXE_bgctl"))
            .args(words)
            .current_dir(folder.path())
            .env_clear()
            .envs([("HOME", folder.path().as_os_str()), ("BGCTL_STATE_DIR", folder.path().join("state").as_os_str())])
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&answer.stdout).into_owned() + &String::from_utf8_lossy(&answer.stderr);
        (answer.status.code().unwrap_or(-1), text)
    };
    assert_eq!(bgctl(&["keys", "create"]).0, 0);
    std::fs::write(&runbook, &text).unwrap();
    let (code, shown) = bgctl(&["check", "runbook.yaml"]);
    assert!(code == 65 && shown.contains("BG0127") && shown.contains("`shift-10`"), "{shown}");
    std::fs::write(&runbook, text.replace("slash-command]", "slash-command, modal-from-blue, modal-from-green]"))
        .unwrap();
    let (code, shown) = bgctl(&["cutover", "runbook.yaml", "--lab", "--confirm", "lab"]);
    assert_eq!(code, 11, "{shown}");
    assert!(shown.contains("blue must read what green wrote"), "{shown}");
    let (_, shown) = bgctl(&["status", "--offline"]);
    assert!(shown.contains("BLUE 100 GREEN 0"), "{shown}");
}
