//! Vectors of requests for approvals: their one form, what they bind, and how long they hold.

use std::rc::Rc;

use bgctl::people::request::{Binding, Until, build};
use bgctl::plan::StepRef;
use bgctl::run::Event;
use serde_json::{Value, json};

use super::Vector;
use super::scribe::Scribe;
use crate::rig::*;

/// Asks with this text for the first step.
fn asked(mut run: Scribe, text: &str, until: Until) -> Scribe {
    let request_sha256 = sha256(text.as_bytes());
    let (id, request) = ("shift-10".to_string(), text.to_string());
    let Until { expires, use_by } = until;
    run.write(&Event::ApprovalRequested { step: at(0), id, request, request_sha256, expires, use_by });
    run
}

pub fn vectors() -> Vec<Vector> {
    let armed = || {
        let mut run = Scribe::new();
        run.arm();
        let until = Until { expires: run.expires(), use_by: None };
        let text = request(&run.plan, until.expires, OWNER, None);
        (run, text, until)
    };
    let written = |rule, variant, write: &dyn Fn(&str) -> String| {
        let (run, text, until) = armed();
        let other = write(&text);
        assert_ne!(other, text, "{rule} {variant} changes nothing");
        Vector::new(rule, variant, asked(run, &other, until).sealed()).policy("approval.requested", 0)
    };
    let of = |rule, variant, change: &dyn Fn(&mut Value)| {
        written(rule, variant, &|text| {
            let mut said: Value = serde_json::from_str(text).unwrap();
            change(&mut said);
            said.sort_all_objects();
            said.to_string()
        })
    };
    let set = |variant, name: &'static str, value: Value| {
        of("request-bound", variant, &move |said| said[name] = value.clone())
    };
    let gone = |variant, name: &'static str| {
        of("request-bound", variant, &move |said| drop(said.as_object_mut().unwrap().shift_remove(name)))
    };
    let long = |variant, more: i64, use_by: Option<i64>| {
        let (run, _, until) = armed();
        let until = Until { expires: until.expires + more, use_by: use_by.map(|later| until.expires + later) };
        let nonce = "5e".repeat(32);
        let binding = Binding { run: RUN, requested_by: OWNER, trigger: None, nonce: &nonce, until, measured: &[] };
        let text = build(&run.plan, at(0), &binding);
        Vector::new("request-long", variant, asked(run, &text, until).sealed())
    };
    let (mut digest, text, until) = armed();
    let (id, request_sha256) = ("shift-10".to_string(), "ab".repeat(32));
    digest.write(&Event::ApprovalRequested {
        step: at(0),
        id,
        request: text.clone(),
        request_sha256,
        expires: until.expires,
        use_by: None,
    });
    let (mut beyond, text_, until_) = armed();
    let step = StepRef { index: 9, ..at(0) };
    beyond.write(&Event::ApprovalRequested {
        step,
        id: "shift-10".into(),
        request_sha256: sha256(text_.as_bytes()),
        request: text_,
        expires: until_.expires,
        use_by: None,
    });
    let (mut twice, text_, until_) = armed();
    for _ in 0..2 {
        let (request, request_sha256) = (text_.clone(), sha256(text_.as_bytes()));
        twice.write(&Event::ApprovalRequested {
            step: at(0),
            id: "shift-10".into(),
            request,
            request_sha256,
            expires: until_.expires,
            use_by: None,
        });
    }
    let mut triggered = Scribe::with(plan(), Rc::new(owner()), |forge| forge.claims = json!({ "trigger": "olga-gh" }));
    triggered.arm();
    triggered.trigger = None;
    triggered.ask();
    vec![
        Vector::new("request-digest", "", digest.sealed()).policy("approval.requested", 0),
        Vector::new("request-step", "", beyond.sealed()).policy("approval.requested", 0),
        written("request-form", "blank", &|text| text.replacen(':', ": ", 1)),
        written("request-form", "blank-behind", &|text| format!("{text} ")),
        written("request-form", "twice", &|text| {
            text.replacen('{', "{\"_type\":\"bgctl.dev/approval-request/v1\",", 1)
        }),
        written("request-form", "order", &|text| {
            let (first, rest) = text[1..].split_once(',').unwrap();
            format!("{{{},{first}}}", rest.strip_suffix('}').unwrap())
        }),
        written("request-form", "escape", &|text| text.replacen("slackbot", "\\u0073lackbot", 1)),
        written("request-form", "not-json", &|text| text.replacen('{', "", 1)),
        set("plan", "plan_sha256", json!("cd".repeat(32))),
        set("run", "run", json!("20261121-0302-old")),
        set("step", "step_sha256", json!("cd".repeat(32))),
        set("quorum", "quorum", json!(2)),
        set("role", "role", json!("everybody")),
        set("lane", "lane", json!("rollback")),
        set("at-expiry", "at_expiry", json!("halt")),
        set("evidence", "evidence", json!("signed-hw")),
        set("summary", "summary", json!("shift web to BLUE 99 GREEN 1")),
        set("details", "details", json!(["route: other"])),
        set("covers", "covers", json!({ "rollback": [] })),
        set("note", "note", json!("all is well")),
        of("request-bound", "params", &|said| said["params"]["after"] = json!({ "blue": 50, "green": 50 })),
        of("request-bound", "expires", &|said| said["expires"] = json!(said["expires"].as_i64().unwrap() + 1)),
        gone("no-params", "params"),
        gone("no-role", "role"),
        of("request-nonce", "", &|said| said["nonce"] = json!("5E".repeat(32))),
        of("request-by", "", &|said| said["requested_by"] = json!(APPROVER)),
        of("request-by", "trigger", &|said| said["trigger"] = json!("somebody")),
        Vector::new("request-by", "no-trigger", triggered.sealed()).policy("approval.requested", 0),
        of("request-measured", "", &|said| said["measured"] = json!([])),
        of("request-measured", "numbers", &|said| said["measured"] = json!([1])),
        long("", 60, None).policy("approval.requested", 0),
        long("use-by", 0, Some(1)).policy("approval.requested", 0),
        long("slack", 5, None).is("INTERRUPTED"),
        Vector::new("request-twice", "", twice.sealed()).policy("approval.requested", 1),
    ]
}
