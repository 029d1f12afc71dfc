//! A small cutover as its records tell it: through the writer of journals, or by somebody who forges a log.

use bgctl::journal::Record;
use bgctl::plan::{Plan, StepRef};
use bgctl::run::{Event, Grant, Outcome, RunOutcome};
use bgctl::sign::{Signer, namespace};
use serde_json::json;

use super::{APPROVER, approver, at, request, sha256, witnesses};

/// Whoever tells a run to a log, fact by fact.
pub trait Telling {
    fn plan(&self) -> &Plan;

    /// Half an hour from now, in seconds since 1970.
    fn expires(&self) -> i64;

    /// Whose run it is by the newest statement, and who started its job.
    fn asks(&self) -> (String, Option<String>);

    fn append(&mut self, records: &[Record]);

    /// Time passes before the next fact.
    fn pass(&mut self);

    fn write(&mut self, event: &Event) {
        self.pass();
        self.append(&[Record::from(event)]);
    }

    fn arm(&mut self) {
        self.write(&Event::Armed { approvals_ahead: false, automatic_used: 0, checks: vec![json!({ "ms": 0.25 })] });
    }

    /// Asks for the approval of the first step; the text and its digest.
    fn ask(&mut self) -> (String, String) {
        let (expires, (owner, trigger)) = (self.expires(), self.asks());
        let request = request(self.plan(), expires, &owner, trigger.as_deref());
        let request_sha256 = sha256(request.as_bytes());
        let (id, asked) = ("shift-10".to_string(), request.clone());
        let event = Event::ApprovalRequested {
            step: at(0),
            id,
            request,
            request_sha256: request_sha256.clone(),
            expires,
            use_by: None,
        };
        self.write(&event);
        (asked, request_sha256)
    }

    fn grant(&mut self, sha256: &str, principal: &str, sig: Option<String>) {
        let evidence = if sig.is_some() { "signed" } else { "prompt" };
        let grant = Grant { principal: principal.into(), evidence: evidence.into(), key: None, sig, prompt: None };
        self.write(&Event::ApprovalGranted {
            step: at(0),
            id: "shift-10".into(),
            request_sha256: sha256.into(),
            grant,
        });
    }

    fn step(&mut self, index: usize, approvals: &[String]) {
        self.intent(index, approvals);
        self.done(index);
    }

    fn intent(&mut self, index: usize, approvals: &[String]) {
        let step = self.plan().step(at(index)).clone();
        let (id, line, step_sha256) = (step.id.clone(), step.line.clone(), step.sha256());
        let approvals = approvals.to_vec();
        self.write(&Event::StepIntent { step: at(index), id, attempt: 1, line, step_sha256, approvals });
    }

    fn done(&mut self, index: usize) {
        self.arrived(at(index));
        let id = self.plan().step(at(index)).id.clone();
        self.write(&Event::StepOutcome { step: at(index), id, outcome: Outcome::done("moved, read back") });
    }

    /// The witnesses of a move.
    fn arrived(&mut self, at: StepRef) {
        let Some(change) = self.plan().step(at).moves.clone() else { return };
        let records: Vec<Record> = witnesses(&change).iter().map(Record::from).collect();
        self.append(&records);
    }

    fn end(&mut self) {
        self.write(&Event::Ended { outcome: RunOutcome::Completed, line: "every step is done".into() });
    }

    /// Everything up to the last fact, by the rules.
    fn walk(&mut self) {
        self.arm();
        let (text, sha256) = self.ask();
        let sig = approver().sign(namespace::APPROVE, text.as_bytes()).unwrap();
        self.grant(&sha256, APPROVER, Some(sig));
        self.step(0, &[sha256]);
        self.step(1, &[]);
        self.end();
    }
}
