//! in-toto: what a cutover did, as a Statement about the runbook and the log, for tools that collect attestations.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Kind, Source, digest};
use crate::run::{Event, Evidence, Outcome, RunOutcome};

pub const KIND: Kind = Kind {
    name: "in-toto",
    about: "An in-toto Statement in a DSSE envelope, signed with the owner's Ed25519 key where it can be",
    page: super::PAGE,
    write: |source| statement(source).to_string(),
    signed_as: Some("application/vnd.in-toto+json"),
};

/// The Statement. Its subjects are the runbook, the log, and the image of each stack that is named by its digest.
fn statement(source: &Source<'_>) -> Value {
    let Source { bytes, sound, report, verdict } = source;
    let plan = &sound.plan;
    let mut subjects = vec![
        json!({ "name": plan.runbook, "digest": { "sha256": plan.runbook_sha256 } }),
        json!({ "name": format!("runs/{}/log.jsonl", sound.run), "digest": { "sha256": digest(bytes) } }),
    ];
    for stack in [&plan.blue, &plan.green] {
        if let Some((_, sha256)) = stack.version.split_once("sha256:") {
            subjects.push(json!({ "name": stack.version, "digest": { "sha256": sha256 } }));
        }
    }
    let (mut steps, mut splits, mut last) = (Vec::new(), BTreeMap::new(), None);
    for entry in &sound.entries {
        if let Some(Event::StepOutcome { step, id, outcome }) = entry.event() {
            let word = match &outcome {
                Outcome::Done { .. } => "done",
                Outcome::Failed { .. } => "failed",
                Outcome::Unknown { .. } => "unknown",
            };
            steps.push(json!({ "id": id, "lane": step.lane, "outcome": word, "line": outcome.line(), "at": entry.ts }));
        }
        if let Some(Evidence::TrafficRead { route, split, .. }) = entry.evidence() {
            splits.insert(route, json!({ "blue": split.blue, "green": split.green, "at": entry.ts }));
        }
        last = Some(entry.ts.clone());
    }
    let owner = |o: &crate::audit::Owner| json!({ "principal": o.signed.principal, "key": o.signed.fingerprint, "assurance": o.assurance });
    let approval = |a: &crate::audit::Approved| {
        let (key, evidence) = match &a.signed {
            Some(signed) => (Some(signed.fingerprint.clone()), signed.evidence()),
            None => (None, "prompt"),
        };
        json!({ "step": a.step, "principal": a.principal, "key": key, "evidence": evidence })
    };
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects,
        "predicateType": "https://bgctl.dev/attestation/cutover/v1",
        "predicate": {
            "run": sound.run, "service": sound.service, "environment": sound.environment, "plan_sha256": plan.id(),
            "opened": sound.entries.first().map(|e| e.ts.clone()), "last": last,
            "outcome": report.outcome.map(RunOutcome::name), "verdict": verdict,
            "owners": report.owners.iter().map(owner).collect::<Vec<_>>(),
            "approvals": report.approved.iter().map(approval).collect::<Vec<_>>(),
            "steps": steps, "splits": splits,
            "log": { "sha256": digest(bytes), "bytes": bytes.len(), "lines": report.lines },
            "bgctl": env!("CARGO_PKG_VERSION"),
        },
    })
}

/// The DSSE envelope around a payload of a type.
pub fn envelope(kind: &str, payload: &str, key: &str, signature: &[u8]) -> Value {
    json!({
        "payloadType": kind,
        "payload": STANDARD.encode(payload),
        "signatures": [{ "keyid": key, "sig": STANDARD.encode(signature) }],
    })
}
