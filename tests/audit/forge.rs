//! Logs made by somebody who holds the keys and keeps to no rule: the owner's key, the session's key and every byte are in
//! the forger's hand. Shares no line with the writer of journals.

use std::rc::Rc;

use bgctl::sign::session::SessionKey;
use bgctl::sign::{Signer, namespace};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::rig::*;

/// A log in the making.
pub struct Forge {
    pub run: String,
    pub owner: Rc<dyn Signer>,
    pub session: SessionKey,
    /// The text of the plan.
    pub plan: String,
    /// The wall clock and the time since the session began, in microseconds.
    pub now: Timestamp,
    pub mono: i64,
    /// What the statement says of the session's end.
    pub not_after: Timestamp,
    /// What stands beside the statement.
    pub claims: Value,
    /// What the statement says otherwise than it should.
    pub says: Vec<(&'static str, String)>,
    bytes: Vec<u8>,
    lines: u64,
}

impl Forge {
    pub fn new() -> Self {
        let now: Timestamp = "2026-11-21T03:02:41.000000Z".parse().unwrap();
        Forge {
            run: RUN.into(),
            owner: Rc::new(owner()),
            session: SessionKey::from_seed([3; 32]),
            plan: plan().canonical(),
            now,
            mono: 0,
            not_after: now + SignedDuration::from_hours(12),
            claims: json!({}),
            says: Vec::new(),
            bytes: Vec::new(),
            lines: 0,
        }
    }

    /// The log so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    pub fn pass(&mut self, time: SignedDuration) -> &mut Self {
        self.now += time;
        self.mono += i64::try_from(time.as_micros()).unwrap();
        self
    }

    /// What the plan says of a name; of one that says nothing, what the rig's plan says.
    fn planned(&self, name: &str) -> String {
        if let Some((_, said)) = self.says.iter().find(|(said, _)| *said == name) {
            return said.clone();
        }
        let said: Value = serde_json::from_str(&self.plan).unwrap_or_default();
        let rig = json!({ "service": plan().service, "environment": plan().environment });
        said[name].as_str().filter(|said| !said.is_empty()).or(rig[name].as_str()).unwrap().to_string()
    }

    fn stamp(time: Timestamp) -> String {
        time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
    }

    /// One line, chained to the one before it.
    pub fn line(&mut self, kind: &str, data: &Value) -> &mut Self {
        let start =
            self.bytes[..self.bytes.len().saturating_sub(1)].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let prev = if self.lines == 0 { "0".repeat(64) } else { sha256(&self.bytes[start..]) };
        let (seq, run, ts, mono) = (self.lines, &self.run, Forge::stamp(self.now), self.mono);
        let text =
            json!({ "v": 1, "seq": seq, "run": run, "ts": ts, "mono": mono, "type": kind, "prev": prev, "data": data });
        self.bytes.extend_from_slice(spelled(&text).as_bytes());
        self.bytes.push(b'\n');
        self.lines += 1;
        self
    }

    /// The opening statement and the plan, under a seal.
    pub fn open(&mut self) -> &mut Self {
        self.statement("run.opened");
        let text = self.plan.clone();
        self.line("plan.loaded", &json!({ "sha256": sha256(text.as_bytes()), "text": text })).seal()
    }

    /// The statement alone, as an opening or a resuming.
    pub fn statement(&mut self, kind: &str) -> &mut Self {
        let (service, environment) = (self.planned("service"), self.planned("environment"));
        let mut said = json!({
            "_type": if kind == "run.opened" { "bgctl/opening/v1" } else { "bgctl/resuming/v1" }, "run": self.run,
            "service": service, "environment": environment,
        });
        if kind == "run.resumed" {
            said["log_lines"] = json!(self.lines);
            said["log_sha256"] = json!(sha256(&self.bytes));
        }
        for (name, value) in [
            ("plan_sha256", sha256(self.plan.as_bytes())),
            ("owner", OWNER.into()),
            ("owner_key", self.owner.public()),
            ("session_key", self.session.public()),
            ("not_before", Forge::stamp(self.now)),
            ("not_after", Forge::stamp(self.not_after)),
            ("mode", "interactive".into()),
            ("assurance", "file".into()),
        ] {
            said[name] = json!(value);
        }
        for (name, value) in &self.says {
            said[*name] = json!(value);
        }
        let text = said.to_string();
        let sig = self.owner.sign(namespace::OPEN, text.as_bytes()).unwrap();
        let member = if sig.starts_with("hmac-sha256:") { "mac" } else { "sig" };
        self.line(
            kind,
            &json!({ "statement": text, "ns": namespace::OPEN, member: sig, "claims": self.claims.clone() }),
        )
    }

    pub fn note(&self, state: &str) -> String {
        let (service, lines, bytes) = (self.planned("service"), self.lines, self.bytes.len());
        let (sha256, time) = (sha256(&self.bytes), Forge::stamp(self.now));
        format!(
            "bgctl/log/{service}/{}\nlines {lines}\nbytes {bytes}\nsha256 {sha256}\ntime {time}\nstate {state}\n",
            self.run
        )
    }

    pub fn seal(&mut self) -> &mut Self {
        let note = self.note("open");
        let sig = self.session.sign(namespace::SEAL, note.as_bytes()).unwrap();
        self.line("seal", &json!({ "note": note, "ns": namespace::SEAL, "sig": sig }))
    }

    /// A record under its own seal.
    pub fn record(&mut self, kind: &str, data: &Value) -> &mut Self {
        self.pass(SignedDuration::from_secs(1)).line(kind, data).seal()
    }

    /// The closing seal, by the owner.
    pub fn close(&mut self) -> Vec<u8> {
        let note = self.note("closed");
        let sig = self.owner.sign(namespace::CLOSE, note.as_bytes()).unwrap();
        self.line("seal", &json!({ "note": note, "ns": namespace::CLOSE, "sig": sig })).bytes()
    }
}

/// The one spelling of a value: hidden characters are escaped.
fn spelled(value: &Value) -> String {
    let hidden = |c: char| {
        matches!(c, '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
    };
    let text = value.to_string();
    text.chars().map(|c| if hidden(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() }).collect()
}
