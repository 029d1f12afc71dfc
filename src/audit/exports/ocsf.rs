//! OCSF for a SIEM: starts and ends of runs as Application Lifecycle, calls to providers as API Activity, and what people
//! decided as API Activity of another kind. One way only: measurements stay in the log, and each event names its record.

use serde_json::{Value, json};

use super::{Kind, Source, digest, lines};
use crate::report::{Mark, Moment, timeline};

/// The version of the schema whose members are used; later ones keep them.
const SCHEMA: &str = "1.3.0";
const CATEGORY: u32 = 6;
const LIFECYCLE: u32 = 6002;
const API: u32 = 6003;
const UPDATE: u32 = 3;
const START: u32 = 3;
const STOP: u32 = 4;
const OTHER: u32 = 99;

pub const KIND: Kind = Kind {
    name: "ocsf",
    about: "OCSF events for a SIEM: starts, ends, calls to providers, what people decided",
    page: super::PAGE,
    write: |source| lines(&ocsf(source)),
    signed_as: None,
};

/// The events, in the order of the log.
fn ocsf(source: &Source<'_>) -> Vec<Value> {
    let lines: Vec<&[u8]> = source.bytes.split_inclusive(|b| *b == b'\n').collect();
    let (mut owner, mut host) = (String::from("unknown"), String::from("unknown"));
    let mut events = Vec::new();
    for moment in timeline(&source.sound.entries) {
        if moment.kind == "run.opened" || moment.kind == "run.resumed" {
            owner = moment.who.as_ref().map_or(owner, |who| who.name.clone());
            host = moment.data["claims"]["host"].as_str().map_or(host, String::from);
        }
        let Some((class, activity)) = class(&moment.kind) else { continue };
        let line = usize::try_from(moment.seq).ok().and_then(|n| lines.get(n)).map_or(String::new(), |l| digest(l));
        events.push(event(source, &moment, class, activity, &owner, &host, &line));
    }
    events
}

/// Class and activity of a type of record; `None` for what is no event of these classes.
fn class(kind: &str) -> Option<(u32, u32)> {
    match kind {
        "run.opened" | "run.resumed" => Some((LIFECYCLE, START)),
        "run.ended" | "run.refused" => Some((LIFECYCLE, STOP)),
        "provider.called" => Some((API, UPDATE)),
        "step.outcome" | "step.reconciled" | "prompt.answered" | "override.used" | "freeze.changed" => {
            Some((API, OTHER))
        }
        "run.interrupted" | "run.held" | "run.continued" | "run.paged" | "run.paused" | "run.unpaused"
        | "run.unconfirmed" | "users.seen" | "write.landed" => Some((API, OTHER)),
        kind if ["approval.", "rollback.", "page."].iter().any(|family| kind.starts_with(family)) => Some((API, OTHER)),
        _ => None,
    }
}

fn event(
    source: &Source<'_>,
    moment: &Moment,
    class: u32,
    activity: u32,
    owner: &str,
    host: &str,
    line: &str,
) -> Value {
    let sound = source.sound;
    let (severity, status) = match moment.mark {
        Mark::Failed => (4, 2),
        Mark::Warning => (3, 0),
        _ => (1, 1),
    };
    let time = moment.ts.parse::<jiff::Timestamp>().map_or(0, |ts| ts.as_millisecond());
    let product = json!({ "name": "bgctl", "vendor_name": "bgctl", "version": env!("CARGO_PKG_VERSION") });
    let mut event = json!({
        "category_uid": CATEGORY, "class_uid": class, "activity_id": activity, "type_uid": class * 100 + activity,
        "time": time, "severity_id": severity, "status_id": status,
        "message": format!("{}: {}", moment.subject, moment.text),
        "metadata": {
            "version": SCHEMA, "product": product, "uid": format!("{}:{}", sound.run, moment.seq),
            "sequence": moment.seq, "original_time": moment.ts, "correlation_uid": sound.run, "log_name": "log.jsonl",
        },
        "unmapped": {
            "run": sound.run, "service": sound.service, "environment": sound.environment, "type": moment.kind,
            "line_sha256": line, "log_verdict": source.verdict, "data": unsigned(&moment.data),
        },
    });
    if activity == OTHER {
        event["activity_name"] = moment.kind.clone().into();
    }
    if class == LIFECYCLE {
        event["app"] = json!({ "name": sound.service, "vendor_name": sound.environment });
        // This class has no actor.
        event["unmapped"]["owner"] = owner.into();
        return without_nulls(event);
    }
    let by = moment.who.as_ref().map_or(owner, |who| who.name.as_str());
    let key = moment.who.as_ref().and_then(|who| who.key.as_deref());
    event["actor"] = json!({ "user": { "name": by, "credential_uid": key } });
    event["src_endpoint"] = json!({ "hostname": host });
    let data = &moment.data;
    event["api"] = match moment.kind.as_str() {
        "provider.called" => json!({
            "operation": data["action"], "request": { "uid": data["request_id"] }, "response": { "code_detail": data["code"] },
        }),
        kind => json!({ "operation": kind }),
    };
    event["resources"] =
        json!([{ "name": moment.subject, "type": if class == API { "route or step" } else { "run" } }]);
    without_nulls(event)
}

/// No attribute of the schema may be null: what is not known is left out.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            members.into_iter().filter(|(_, v)| !v.is_null()).map(|(name, v)| (name, without_nulls(v))).collect()
        }
        Value::Array(all) => all.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// The data without signed texts and signatures: those are in the log, where they can be checked.
fn unsigned(data: &Value) -> Value {
    let mut data = data.clone();
    if let Some(map) = data.as_object_mut() {
        ["statement", "sig", "mac", "ns", "request"].iter().for_each(|name| drop(map.shift_remove(*name)));
        if let Some(grant) = map.get_mut("grant").and_then(Value::as_object_mut) {
            grant.shift_remove("sig");
        }
    }
    data
}
