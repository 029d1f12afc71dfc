//! The timeline of a run for a person at 3 am or in a review: who did what, when, and on what evidence.
//!
//! It adds to the sentences of [`words`] what a review asks for: the person, how strong the evidence is, the exact text of each
//! question, and what programs printed. It shows only what the records hold; whom to believe is the verifier's business.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{Mark, words};
use crate::journal::Entry;
use crate::run::{Event, Evidence, Verdict};

/// One moment of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Moment {
    pub seq: u64,
    pub ts: String,
    /// Whole seconds since the run was opened.
    pub after_s: i64,
    #[serde(rename = "type")]
    pub kind: String,
    /// The step, or the part of a run it is about.
    pub subject: String,
    pub text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<Who>,
    /// What was shown or printed, line by line, exactly.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quoted: Vec<String>,
    #[serde(skip)]
    pub mark: Mark,
    /// Left out unless all is asked for.
    #[serde(skip)]
    pub detail: bool,
    /// What the record holds, for machines.
    pub data: Value,
}

/// Who did it, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Who {
    pub name: String,
    /// `signed-hw`, `signed`, `prompt`, `key`, `command`, `signal`, `rule`; for an owner how the key is kept.
    pub evidence: String,
    /// `SHA256:…`, for a signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl Who {
    fn new(name: &str, evidence: &str) -> Self {
        Who { name: name.into(), evidence: evidence.into(), key: None }
    }
}

/// The moments of a run, in order.
pub fn timeline(entries: &[Entry]) -> Vec<Moment> {
    let opened = entries.first().and_then(|entry| entry.ts.parse::<Timestamp>().ok());
    entries.iter().map(|entry| moment(entry, opened)).collect()
}

fn moment(entry: &Entry, opened: Option<Timestamp>) -> Moment {
    let now = entry.ts.parse::<Timestamp>().ok();
    let after_s = opened.zip(now).map_or(0, |(from, to)| to.duration_since(from).as_secs());
    let (mark, subject, text, detail) = match words::sentence(entry) {
        Some(said) => (said.mark, said.subject, said.text, said.detail),
        None => own(entry),
    };
    let mut moment = Moment {
        seq: entry.seq,
        ts: entry.ts.clone(),
        after_s,
        kind: entry.kind.clone(),
        subject,
        text,
        who: who(entry),
        quoted: Vec::new(),
        mark,
        detail,
        data: entry.data.clone(),
    };
    quote(entry, &mut moment);
    moment
}

/// The records only the journal itself writes, and those of kinds that have no sentence of their own.
fn own(entry: &Entry) -> (Mark, String, String, bool) {
    let data = &entry.data;
    let statement = said(data);
    let by = |verb: &str| format!("{verb} by {}", statement["owner"].as_str().unwrap_or("nobody named"));
    match entry.kind.as_str() {
        "run.opened" => (Mark::Done, "open".into(), by("opened"), false),
        "run.resumed" => (Mark::Back, "open".into(), by("taken up"), false),
        "plan.loaded" => {
            let digest = data["sha256"].as_str().unwrap_or_default();
            let plan: Value = data["text"].as_str().and_then(|t| serde_json::from_str(t).ok()).unwrap_or_default();
            let steps = |lane: &str| plan[lane].as_array().map_or(0, Vec::len);
            let (file, forward, back) = (plan["runbook"].as_str().unwrap_or("?"), steps("forward"), steps("rollback"));
            let text =
                format!("plan {} of {file}: {forward} steps forward, {back} back", digest.get(..12).unwrap_or("?"));
            (Mark::Plain, "plan".into(), text, false)
        }
        "recovered" => {
            let text = format!("{} unsealed bytes of a crash are kept in {}", data["bytes"], plain(&data["kept_as"]));
            (Mark::Warning, "open".into(), text, false)
        }
        kind => {
            let text = match data["line"].as_str() {
                Some(line) => line.to_string(),
                None => members(data),
            };
            let subject = data["id"].as_str().or(data["step"].as_str()).unwrap_or(kind);
            (Mark::Plain, subject.into(), text, false)
        }
    }
}

/// What the owner's statement in a record says.
fn said(data: &Value) -> Value {
    data["statement"].as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), String::from)
}

/// `name value · name value`, without what is only for machines.
fn members(data: &Value) -> String {
    let shown = |(name, value): (&String, &Value)| match value {
        Value::Null => None,
        _ if ["sig", "request", "statement"].contains(&name.as_str()) => None,
        value => Some(format!("{name} {}", plain(value))),
    };
    data.as_object().into_iter().flatten().filter_map(shown).collect::<Vec<_>>().join(" · ")
}

fn who(entry: &Entry) -> Option<Who> {
    let data = &entry.data;
    if entry.kind == "run.opened" || entry.kind == "run.resumed" {
        let statement = said(data);
        let assurance = statement["assurance"].as_str().unwrap_or("unknown");
        return Some(Who::new(statement["owner"].as_str()?, assurance));
    }
    let grant = &data["grant"];
    if let Some(name) = grant["principal"].as_str() {
        let key = grant["key"].as_str().map(String::from);
        return Some(Who { key, ..Who::new(name, grant["evidence"].as_str().unwrap_or("unknown")) });
    }
    if let Some(name) = data["principal"].as_str() {
        return Some(Who::new(name, data["evidence"].as_str().unwrap_or("signed")));
    }
    let by = &data["by"];
    Some(Who::new(by["name"].as_str()?, by["via"].as_str().unwrap_or("unknown")))
}

/// Questions as they were shown, and output as it was printed: each line for itself, so that none can pass for another record.
fn quote(entry: &Entry, moment: &mut Moment) {
    let lines = |text: &str| text.lines().map(String::from).collect::<Vec<_>>();
    match (entry.event(), entry.evidence()) {
        (Some(Event::ApprovalGranted { grant, .. } | Event::ApprovalDenied { grant, .. }), _) => {
            let Some(prompt) = grant.prompt else { return };
            moment.quoted = lines(prompt["text"].as_str().unwrap_or_default());
            let (typed, seconds) = (prompt["typed"].as_str().unwrap_or_default(), prompt["seconds"].as_u64());
            let after = seconds.map_or(String::new(), |s| format!(" after {s}s"));
            moment.quoted.push(format!("typed `{typed}`{after}"));
        }
        (_, Some(Evidence::PromptAnswered { text, choices, answer, seconds, by })) => {
            moment.detail = false;
            moment.text = match by.via.as_str() {
                // A flag answers before anybody is asked.
                "command" => format!("{} answered `{answer}` on the command line", by.name),
                _ => format!("{} answered `{answer}` after {seconds}s", by.name),
            };
            moment.quoted = lines(&text);
            if !choices.is_empty() {
                moment.quoted.push(format!("choices: {}", choices.join(", ")));
            }
        }
        (_, Some(Evidence::CommandOutput { stream, text, .. })) => {
            moment.quoted = lines(&text);
            let count = moment.quoted.len();
            moment.text = format!("{stream}, {count} line{}", if count == 1 { "" } else { "s" });
        }
        // The windows before the last say nothing new where they passed.
        (
            _,
            Some(Evidence::GateEvaluated {
                gate, verdict, green, blue, limit, requests, line, window, windows, ..
            }),
        ) => {
            moment.detail = verdict == Verdict::Pass && window < windows;
            let numbers = [("GREEN", green), ("BLUE", blue), ("requests", requests)];
            let numbers: Vec<String> =
                numbers.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?))).collect();
            let word = match verdict {
                Verdict::Pass => "pass",
                Verdict::Fail => "fail",
                Verdict::Unknown => "unknown",
            };
            moment.text =
                format!("gate {gate} {word}, window {window} of {windows}: {}, limit {limit}", numbers.join(", "));
            if verdict != Verdict::Pass || numbers.is_empty() {
                moment.text = format!("gate {gate} {word}, window {window} of {windows}: {line}");
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Record;
    use crate::run::{Actor, Grant};
    use serde_json::json;

    fn entry(seq: u64, ts: &str, record: Record) -> Entry {
        Entry { seq, ts: ts.into(), kind: record.kind, data: record.data }
    }

    #[test]
    fn a_prompt_is_quoted_with_its_choices_and_its_answer() {
        let by = Actor { name: "engineer".into(), via: "prompt".into() };
        let evidence = Evidence::PromptAnswered {
            text: "users: BLUE 50 GREEN 50\n[r] roll back  [h] hold".into(),
            choices: vec!["roll back".into(), "hold".into()],
            answer: "hold".into(),
            seconds: 12,
            by,
        };
        let found = timeline(&[
            entry(0, "2026-11-21T03:02:41.000000Z", Record { kind: "note".into(), data: json!({ "line": "x" }) }),
            entry(3, "2026-11-21T03:04:41.500000Z", Record::from(&evidence)),
        ]);
        let moment = &found[1];
        assert_eq!((moment.after_s, moment.text.as_str()), (120, "engineer answered `hold` after 12s"));
        assert_eq!(moment.quoted, ["users: BLUE 50 GREEN 50", "[r] roll back  [h] hold", "choices: roll back, hold"]);
        assert_eq!(moment.who, Some(Who::new("engineer", "prompt")));
        assert!(!moment.detail);
    }

    #[test]
    fn an_approval_names_person_evidence_and_key() {
        let grant = Grant {
            principal: "rm@example.com".into(),
            evidence: "signed-hw".into(),
            key: Some("SHA256:abc".into()),
            sig: Some("…".into()),
            prompt: None,
        };
        let step = crate::plan::StepRef { lane: crate::plan::Lane::Forward, index: 0 };
        let event = Event::ApprovalGranted { step, id: "shift-100".into(), request_sha256: "ab".into(), grant };
        let found = timeline(&[entry(4, "2026-11-21T03:02:41.000000Z", Record::from(&event))]);
        let who = found[0].who.clone().unwrap();
        assert_eq!(
            (who.name.as_str(), who.evidence.as_str(), who.key.as_deref()),
            ("rm@example.com", "signed-hw", Some("SHA256:abc"))
        );
    }

    #[test]
    fn a_kind_without_a_sentence_is_shown_all_the_same() {
        let record =
            Record { kind: "anchor.receipt".into(), data: json!({ "kind": "git", "ref": "refs/notes/bgctl" }) };
        let found = timeline(&[entry(4, "2026-11-21T03:02:41.000000Z", record)]);
        assert_eq!(
            (found[0].subject.as_str(), found[0].text.as_str()),
            ("anchor.receipt", "kind git · ref refs/notes/bgctl")
        );
    }
}
