//! A run in numbers: computed from records alone, and what they do not hold is not made up.

use bgctl::journal::{Entry, Record};
use bgctl::plan::{Lane, Move, Plan, PlannedStep, Split, StepRef};
use bgctl::report::{Failed, Stay, retro};
use bgctl::run::{Actor, Cause, Event, Evidence, Grant, Outcome, RunOutcome, Verdict};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

mod common;

fn step(id: &str, kind: &str, after: Option<u32>, expected_s: u64) -> PlannedStep {
    let moves = after.map(|green| Move { route: "web".into(), before: Split::ALL_BLUE, after: Split::of_green(green) });
    serde_json::from_value(json!({
        "id": id, "kind": kind, "line": id, "config": {}, "resume": "observe", "attempts": 3, "timeout_s": 60,
        "expected_s": expected_s, "moves": moves, "approval": null, "on_failure": "roll-back", "place": "x:1",
    }))
    .unwrap()
}

fn plan() -> Plan {
    Plan {
        forward: vec![
            step("shift-50", "shift", Some(500), 3),
            step("bake-50", "bake", None, 300),
            step("shift-100", "shift", Some(1000), 3),
        ],
        rollback: vec![step("back", "shift", Some(0), 3), step("drain-green", "drain", None, 10)],
        ..common::scripted::plan()
    }
}

/// Records at seconds since the beginning.
#[derive(Default)]
struct Log(Vec<Entry>);

impl Log {
    fn put(&mut self, after: f64, record: Record) -> &mut Self {
        let start: Timestamp = "2026-11-20T03:00:00Z".parse().unwrap();
        let at = start.checked_add(SignedDuration::from_millis((after * 1000.0) as i64)).unwrap();
        let Record { kind, data } = record;
        self.0.push(Entry { seq: self.0.len() as u64, ts: format!("{at:.6}"), kind, data });
        self
    }

    fn event(&mut self, after: f64, event: Event) -> &mut Self {
        self.put(after, Record::from(&event))
    }

    fn evidence(&mut self, after: f64, evidence: Evidence) -> &mut Self {
        self.put(after, Record::from(&evidence))
    }

    fn begins(&mut self, after: f64, lane: Lane, index: usize, attempt: u32) -> &mut Self {
        let id = plan().lane(lane)[index].id.clone();
        let (line, step_sha256) = (id.clone(), String::new());
        self.event(
            after,
            Event::StepIntent { step: StepRef { lane, index }, id, attempt, line, step_sha256, approvals: vec![] },
        )
    }

    fn ends(&mut self, after: f64, lane: Lane, index: usize, outcome: Outcome) -> &mut Self {
        let id = plan().lane(lane)[index].id.clone();
        self.event(after, Event::StepOutcome { step: StepRef { lane, index }, id, outcome })
    }

    fn reads(&mut self, after: f64, green: u32) -> &mut Self {
        self.evidence(after, Evidence::TrafficRead { route: "web".into(), split: Split::of_green(green), ms: 5 })
    }

    fn called(&mut self, after: f64, code: &str, ms: u64) -> &mut Self {
        let (route, action, code) = ("web".into(), "ModifyRule".into(), code.into());
        self.evidence(after, Evidence::ProviderCalled { route, action, attempt: 1, request_id: None, code, ms })
    }

    fn judged(
        &mut self,
        after: f64,
        gate: &str,
        verdict: Verdict,
        green: &str,
        blue: &str,
        requests: &str,
    ) -> &mut Self {
        let evidence = json!({ "type": "gate.evaluated", "data": {
            "step": "bake-50", "gate": gate, "verdict": verdict, "green": green, "blue": blue,
            "limit": if gate == "success" { "min 99%" } else { "max 0.5%" }, "requests": requests, "line": "l", "window": 1, "windows": 5,
        } });
        self.evidence(after, serde_json::from_value(evidence).unwrap())
    }
}

/// Bad from the 40th second, found in the 100th, back in the 102nd.
fn bad_green() -> Log {
    let mut log = Log::default();
    log.event(0.0, Event::Armed { approvals_ahead: false, automatic_used: 0, checks: vec![] });
    log.begins(1.0, Lane::Forward, 0, 1).reads(1.1, 0).called(1.2, "ok", 80).reads(1.4, 500).ends(
        2.0,
        Lane::Forward,
        0,
        Outcome::done("there"),
    );
    log.begins(2.0, Lane::Forward, 1, 1);
    log.judged(20.0, "errors", Verdict::Pass, "0%", "0%", "1000").judged(
        20.0,
        "success",
        Verdict::Pass,
        "100%",
        "100%",
        "100",
    );
    log.judged(40.0, "errors", Verdict::Unknown, "1%", "0%", "2000").judged(
        60.0,
        "errors",
        Verdict::Unknown,
        "2%",
        "0.5%",
        "3000",
    );
    log.judged(102.0, "errors", Verdict::Fail, "4%", "0.5%", "5000").judged(
        102.0,
        "success",
        Verdict::Pass,
        "99%",
        "100%",
        "300",
    );
    let failed = Outcome::Failed {
        line: "4% of 5000".into(),
        cause: Cause::Gate,
        moved: false,
        retry: false,
        then: None,
        facts: json!(null),
    };
    log.ends(102.0, Lane::Forward, 1, failed);
    log.event(102.0, Event::RollbackBegun { automatic: true, by: Actor::rule(), cause: "gate".into() });
    log.begins(102.0, Lane::Rollback, 0, 1)
        .reads(102.1, 500)
        .called(102.2, "Throttling", 900)
        .called(103.2, "ok", 110)
        .reads(103.5, 0);
    log.ends(104.0, Lane::Rollback, 0, Outcome::done("back"));
    log.begins(104.0, Lane::Rollback, 1, 1);
    let drained = Evidence::DrainMeasured {
        step: "drain-green".into(),
        stack: "green".into(),
        in_flight: Some("3".into()),
        after_ms: 10_000,
        connections: Some(bgctl::run::Connections { most: 5, asked: Some(4), cut: 1, left: 3 }),
    };
    log.evidence(114.0, drained).ends(114.0, Lane::Rollback, 1, Outcome::done("drained"));
    log.event(114.0, Event::Ended { outcome: RunOutcome::RolledBack, line: "back".into() });
    log
}

#[test]
fn a_bad_release_in_numbers() {
    let found = retro(&plan(), &bad_green().0);
    assert_eq!((found.outcome, found.took_ms), (Some(RunOutcome::RolledBack), 114_000));
    // 4 % of 5000, and blue would have failed 25 of as many; 200 in 100 s is 2 a second, for 2 s more.
    let failed = Failed { gate: "errors".into(), requests: 5000, failed: 200, beyond_blue: 175, until_safe: Some(4) };
    assert_eq!(found.failed, Some(failed));
    let trouble = found.trouble.unwrap();
    assert_eq!(trouble.line, "bake-50: 4% of 5000");
    assert_eq!((trouble.sign_to_verdict_ms, trouble.verdict_to_call_ms), (Some(62_000), Some(200)));
    assert_eq!((trouble.verdict_to_safe_ms, trouble.bad_ms), (Some(2_000), Some(64_000)));
    let stay = |green: u32, ms: u64| Stay { split: Split::of_green(green), ms };
    assert_eq!(found.splits["web"], [stay(0, 300), stay(500, 102_100), stay(0, 10_500)]);
    assert_eq!((found.drains[0].ms, found.drains[0].left), (10_000, Some(3)));
    let steps: Vec<(&str, u64, u64)> = found.steps.iter().map(|s| (s.step.as_str(), s.ms, s.planned_s)).collect();
    assert_eq!(
        steps,
        [("shift-50", 1000, 3), ("bake-50", 100_000, 300), ("back", 2000, 3), ("drain-green", 10_000, 10)]
    );
    assert_eq!((found.provider.calls, found.provider.refused, found.provider.slowest_ms), (3, 1, 900));
}

#[test]
fn a_gate_that_passes_again_was_no_sign() {
    let mut log = Log::default();
    log.begins(0.0, Lane::Forward, 1, 1);
    log.judged(10.0, "errors", Verdict::Unknown, "1%", "0%", "100").judged(
        20.0,
        "errors",
        Verdict::Pass,
        "0.1%",
        "0%",
        "900",
    );
    log.judged(50.0, "errors", Verdict::Fail, "3%", "0%", "2000");
    log.event(50.0, Event::RollbackBegun { automatic: true, by: Actor::rule(), cause: "gate".into() });
    let trouble = retro(&plan(), &log.0).trouble.unwrap();
    assert_eq!(trouble.sign_to_verdict_ms, Some(0));
    assert_eq!((trouble.verdict_to_safe_ms, trouble.bad_ms), (None, None), "it did not end in this run");
}

#[test]
fn a_freeze_is_no_fault_of_the_release() {
    let mut log = Log::default();
    log.begins(0.0, Lane::Forward, 1, 1).ends(
        5.0,
        Lane::Forward,
        1,
        Outcome::failed(Cause::Frozen, "production is frozen"),
    );
    log.event(
        6.0,
        Event::WaitBreached {
            step: StepRef { lane: Lane::Forward, index: 1 },
            cause: Cause::Drift,
            line: "moved".into(),
            then: None,
        },
    );
    assert_eq!(retro(&plan(), &log.0).trouble, None);
}

#[test]
fn people_and_pages_in_numbers() {
    let mut log = Log::default();
    let at = StepRef { lane: Lane::Forward, index: 2 };
    log.reads(0.0, 500);
    let (request, request_sha256) = (String::new(), String::new());
    log.event(
        1.0,
        Event::ApprovalRequested {
            step: at,
            id: "shift-100".into(),
            request,
            request_sha256: request_sha256.clone(),
            expires: 0,
            use_by: None,
        },
    );
    let grant = Grant { principal: "rosa".into(), evidence: "signed".into(), key: None, sig: None, prompt: None };
    log.event(29.0, Event::ApprovalGranted { step: at, id: "shift-100".into(), request_sha256, grant });
    log.event(40.0, Event::Paged { delivered: true, line: "slack took the page".into() });
    log.evidence(340.0, Evidence::PageEscalated { delivered: true, line: "nobody".into() });
    log.evidence(
        400.0,
        Evidence::PageAcknowledged {
            by: Actor { name: "rosa".into(), via: "command".into() },
            seconds: 360,
            line: "rosa".into(),
        },
    );
    let found = retro(&plan(), &log.0);
    let [waiting] = &found.approvals[..] else { panic!("{found:?}") };
    assert_eq!((waiting.ms, waiting.answer.as_str(), waiting.split), (28_000, "rosa", true));
    let [page] = &found.pages[..] else { panic!("{found:?}") };
    assert_eq!((page.acknowledged_ms, page.by.as_deref(), page.escalated), (Some(360_000), Some("rosa"), 1));
    assert_eq!((found.failed, found.trouble), (None, None), "nothing was counted, so nothing is said");
}

#[test]
fn an_empty_log_is_no_panic() {
    let found = retro(&plan(), &[]);
    assert_eq!((found.took_ms, found.began, found.failed), (0, None, None));
}
