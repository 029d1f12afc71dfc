//! What people see of a run, pinned: the same records through the plain log, the CI providers' marks, the live terminal and
//! JSON. `BLESS=1` writes the pictures anew; read the difference before you commit it.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use bgctl::journal::{Append, DirStore, Entry, Journal, Opening, Record, Who};
use bgctl::plan::{
    ApprovalRule, AtExpiry, Lane, Move, OnFailure, Plan, PlannedRoute, PlannedStep, Policy, Purpose, Resume, Split,
    Stack, StepRef,
};
use bgctl::report::{About, Chorus, Findings, Ink, Jsonl, Live, Place, Plain, Reporter, Rest, ci};
use bgctl::run::{Actor, Breach, Cause, Event, Evidence, Grant, Outcome, RunOutcome, Verdict};
use bgctl::users::Side;
use bgctl::world::Progress;
use common::kinds::Table;
use common::paper::{Paper, Still};
use jiff::Timestamp;
use serde_json::{Value, json};

const BEGAN: i64 = 1_795_143_761; // 2026-11-20T03:02:41Z

/// A clock at the beginning of the run.
fn still() -> Rc<Still> {
    Rc::new(Still::at(Timestamp::from_second(BEGAN).unwrap()))
}

fn step(id: &str, kind: &str, line: &str, green: Option<(u32, u32)>, n: u32) -> PlannedStep {
    PlannedStep {
        id: id.into(),
        kind: kind.into(),
        line: line.into(),
        config: Value::Null,
        resume: Resume::Repeat,
        attempts: 1,
        timeout_s: 600,
        expected_s: 60,
        moves: green.map(|(before, after)| Move {
            route: "web".into(),
            before: Split::of_green(before),
            after: Split::of_green(after),
        }),
        approval: None,
        on_failure: OnFailure::RollBack,
        place: format!("runbooks/slackbot.yaml:{n}"),
    }
}

fn plan() -> Plan {
    let route = PlannedRoute {
        router: "alb".into(),
        config: Value::Null,
        line: "alb rule app/bot/50dc6c495c0c9188".into(),
        seen_at: None,
        before: Split::ALL_BLUE,
        min_healthy: 2,
        capacity: Default::default(),
        resources: Vec::new(),
    };
    let mut forward = vec![
        step("warm-green", "warm", "200 requests to green", None, 40),
        step("shift-10", "shift", "shift web to BLUE 90 GREEN 10", Some((0, 100)), 44),
        step("bake-10", "bake", "3 gates, 5 windows of 1m", None, 46),
        step("shift-100", "shift", "shift web to BLUE 0 GREEN 100", Some((100, 1000)), 50),
    ];
    forward[3].approval = Some(ApprovalRule {
        role: "release-managers".into(),
        members: vec!["rm-one@example.com".into(), "rm-two@example.com".into()],
        quorum: 1,
        own_run: false,
        within_s: 1800,
        at_expiry: AtExpiry::RollBack,
        evidence: Default::default(),
        covers_rollback: false,
        even_by_hand: false,
    });
    Plan {
        bgctl_plan: 1,
        purpose: Purpose::Cutover,
        service: "slackbot".into(),
        environment: "production".into(),
        owners: vec!["platform@example.com".parse().unwrap()],
        rollback_owner: "platform@example.com".parse().unwrap(),
        runbook: "runbooks/slackbot.yaml".into(),
        runbook_sha256: String::new(),
        blue: Stack {
            version: "v1.4.1".into(),
            url: "http://blue.test".into(),
            name: None,
            label: None,
            headers: Default::default(),
        },
        green: Stack {
            version: "v1.4.2".into(),
            url: "http://green.test".into(),
            name: None,
            label: None,
            headers: Default::default(),
        },
        version_at: None,
        routes: BTreeMap::from([("web".to_string(), route)]),
        gates: BTreeMap::new(),
        slack: None,
        compare: None,
        policy: Policy::default(),
        schema: None,
        forward,
        rollback: vec![PlannedStep {
            attempts: 2,
            ..step("back-to-blue", "shift", "shift web to BLUE 100 GREEN 0", Some((1000, 0)), 60)
        }],
        team: Default::default(),
        warnings: vec![],
    }
}

fn at(lane: Lane, index: usize) -> StepRef {
    StepRef { lane, index }
}

/// A tape of records, each with the second it was written at.
#[derive(Default)]
struct Tape(Vec<(i64, Record)>);

impl Tape {
    fn event(&mut self, second: i64, event: Event) -> &mut Self {
        self.0.push((second, Record::from(&event)));
        self
    }

    fn evidence(&mut self, second: i64, evidence: Evidence) -> &mut Self {
        self.0.push((second, Record::from(&evidence)));
        self
    }

    fn intent(&mut self, second: i64, at: StepRef) -> &mut Self {
        let plan = plan();
        let step = plan.step(at);
        let intent = Event::StepIntent {
            step: at,
            id: step.id.clone(),
            attempt: 1,
            line: step.line.clone(),
            step_sha256: String::new(),
            approvals: vec![],
        };
        self.event(second, intent)
    }

    fn outcome(&mut self, second: i64, at: StepRef, outcome: Outcome) -> &mut Self {
        self.event(second, Event::StepOutcome { step: at, id: plan().step(at).id.clone(), outcome })
    }

    fn read(&mut self, second: i64, green: u32) -> &mut Self {
        let read = Evidence::TrafficRead { route: "web".into(), split: Split::of_green(green), ms: 1400 };
        self.evidence(second, read)
    }

    fn gate(&mut self, second: i64, gate: &str, verdict: Verdict, green: &str, limit: &str, window: u32) -> &mut Self {
        self.evidence(
            second,
            Evidence::GateEvaluated {
                step: "bake-10".into(),
                gate: gate.into(),
                verdict,
                green: Some(green.into()),
                blue: Some("0.12%".into()),
                limit: limit.into(),
                requests: Some("1204".into()),
                line: format!("{gate} on GREEN {green}, limit {limit}"),
                window,
                windows: 5,
                asked: Vec::new(),
                silent: 0,
            },
        )
    }

    fn entries(&self) -> Vec<(i64, Entry)> {
        let entry = |n: usize, second: i64, record: &Record| Entry {
            seq: n as u64,
            ts: format!("{:.6}", Timestamp::from_second(BEGAN + second).unwrap()),
            kind: record.kind.clone(),
            data: record.data.clone(),
        };
        self.0.iter().enumerate().map(|(n, (second, record))| (*second, entry(n, *second, record))).collect()
    }
}

/// Up to the bake at 10 %.
fn begun() -> Tape {
    let mut tape = Tape::default();
    let check = json!({ "route": "web", "users": { "blue": 100, "green": 0 }, "line": "web: rollback command stored" });
    tape.event(0, Event::Armed { approvals_ahead: false, automatic_used: 0, checks: vec![check] })
        .intent(1, at(Lane::Forward, 0))
        .evidence(
            20,
            Evidence::CheckDone {
                step: "warm-green".into(),
                check: "/healthz/ready".into(),
                verdict: Verdict::Pass,
                ms: 84,
                line: "200 from v1.4.2".into(),
            },
        )
        .outcome(84, at(Lane::Forward, 0), Outcome::done("200 requests, p99 390ms, 0 errors"))
        .intent(90, at(Lane::Forward, 1))
        .read(91, 100)
        .outcome(92, at(Lane::Forward, 1), Outcome::done("BLUE 90 GREEN 10 · read back 1.4s · seen 9.6% GREEN of 500"))
        .intent(92, at(Lane::Forward, 2));
    tape
}

fn happy() -> Tape {
    let mut tape = begun();
    let request = json!({ "quorum": 1, "role": "release-managers" }).to_string();
    let grant = Grant {
        principal: "rm-one@example.com".into(),
        evidence: "signed".into(),
        key: Some("SHA256:9Qm1kd2fA0".into()),
        sig: Some("-----BEGIN SSH SIGNATURE-----".into()),
        prompt: None,
    };
    tape.gate(152, "errors", Verdict::Pass, "0.14%", "0.50%", 1)
        .gate(212, "errors", Verdict::Pass, "0.13%", "0.50%", 2)
        .outcome(392, at(Lane::Forward, 2), Outcome::done("5 of 5 windows good"))
        .event(
            392,
            Event::ApprovalRequested {
                step: at(Lane::Forward, 3),
                id: "shift-100".into(),
                request,
                request_sha256: "5e09".into(),
                expires: BEGAN + 392 + 1800,
                use_by: None,
            },
        )
        .event(
            420,
            Event::ApprovalGranted {
                step: at(Lane::Forward, 3),
                id: "shift-100".into(),
                request_sha256: "5e09".into(),
                grant,
            },
        )
        .intent(421, at(Lane::Forward, 3))
        .read(422, 1000)
        .outcome(423, at(Lane::Forward, 3), Outcome::done("BLUE 0 GREEN 100 · read back 1.6s · seen 100% of 500"))
        .event(423, Event::Ended { outcome: RunOutcome::Completed, line: "every step is done".into() });
    tape
}

fn failing(tape: &mut Tape) -> &mut Tape {
    let line = "errors on GREEN 4.2% > 0.50% in 2 of 3 windows (BLUE 0.12% at the same time, 1204 requests)";
    tape.gate(152, "errors", Verdict::Fail, "4.2%", "0.50%", 1)
        .gate(212, "errors", Verdict::Fail, "4.4%", "0.50%", 2)
        .outcome(212, at(Lane::Forward, 2), Outcome::failed(Cause::Gate, line))
        .event(
            212,
            Event::RollbackBegun { automatic: true, by: Actor::rule(), cause: "errors on GREEN 4.2% > 0.50%".into() },
        )
        .intent(213, at(Lane::Rollback, 0))
}

fn rolled_back() -> Tape {
    let mut tape = begun();
    failing(&mut tape)
        .read(214, 0)
        .outcome(215, at(Lane::Rollback, 0), Outcome::done("BLUE 100 GREEN 0 · read back 2.1s · seen 0% GREEN of 500"))
        .event(
            215,
            Event::Ended { outcome: RunOutcome::RolledBack, line: "the rollback is done and read back".into() },
        );
    tape
}

fn halted() -> Tape {
    let mut tape = begun();
    let refused =
        "AWS refuses: ExpiredToken, the session bgctl-prod ended 03:05:40 (cure: aws sso login --profile prod)";
    let again = Event::StepIntent {
        step: at(Lane::Rollback, 0),
        id: "back-to-blue".into(),
        attempt: 2,
        line: "shift web to BLUE 100 GREEN 0".into(),
        step_sha256: String::new(),
        approvals: vec![],
    };
    failing(&mut tape)
        .outcome(215, at(Lane::Rollback, 0), Outcome::unknown("no answer from AWS to ModifyRule"))
        .event(216, again)
        .outcome(246, at(Lane::Rollback, 0), Outcome::failed(Cause::Provider, refused))
        .event(248, Event::Paged { delivered: true, line: "pagerduty took the page (bgctl/k7f)".into() })
        .event(248, Event::Ended { outcome: RunOutcome::Halted, line: refused.into() });
    tape
}

fn about() -> About {
    About { run: "20261120-0302-k7f".into(), plan: Rc::new(plan()), by: "engineer@example.com".into() }
}

fn well() -> Side {
    Side::Well("2 of 2".into())
}

fn found(split: Split) -> Findings {
    let web = Place { split: Ok(split), blue: well(), green: well() };
    Findings { routes: BTreeMap::from([("web".to_string(), web)]), to_green: vec![], ..Findings::default() }
}

fn rest(outcome: RunOutcome, exit: u8, second: i64, found: Findings) -> Rest {
    Rest {
        outcome,
        exit,
        found: Some(found),
        now: Timestamp::from_second(BEGAN + second).unwrap(),
        native: vec!["cd undo && aws elbv2 modify-rule --cli-input-json file://web.json".into()],
        folder: Some("/data/bgctl/runs/20261120-0302-k7f".into()),
        tail: vec!["events sent 900 = handled once 900, lost 0, twice 0".into()],
    }
}

type Make<'a> = &'a dyn Fn(Paper, Rc<Still>) -> Box<dyn Reporter>;

/// Plays a tape into a reporter; between two records the step at work says how far it is.
fn play(tape: &Tape, rest: &Rest, make: Make<'_>) -> String {
    let (paper, clock) = (Paper::default(), still());
    let mut chorus = Chorus::new(about(), vec![make(paper.clone(), clock.clone())]);
    for (second, entry) in tape.entries() {
        if second > clock.after() + 40 {
            clock.put_after(second - 5);
            chorus.progress(&Progress { done: 1, of: 5, line: "1 of 5 windows".into() });
        }
        clock.put_after(second);
        chorus.record(&entry);
    }
    chorus.close(rest);
    paper.text()
}

fn pinned(name: &str, shown: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/renderers").join(name);
    if bless() {
        std::fs::write(&file, shown).unwrap();
    }
    let pinned = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(pinned, shown, "{name} is shown otherwise than pinned; BLESS=1 if that is meant");
}

fn bless() -> bool {
    std::env::vars_os().any(|(name, _)| name == "BLESS")
}

fn stories() -> [(&'static str, Tape, Rest); 3] {
    [
        ("completed", happy(), rest(RunOutcome::Completed, 0, 423, found(Split::ALL_GREEN))),
        ("rolled-back", rolled_back(), rest(RunOutcome::RolledBack, 10, 215, found(Split::ALL_BLUE))),
        ("halted", halted(), rest(RunOutcome::Halted, 20, 248, found(Split::of_green(100)))),
    ]
}

/// The screen a terminal shows after these bytes, with everything that scrolled up.
fn screen(bytes: &str, width: u16) -> (String, bool) {
    let size = |n: u16| std::num::NonZeroU16::new(n).unwrap();
    let mut terminal = vt100::Parser::new(size(200), size(width), 0);
    terminal.process(bytes.as_bytes());
    let rows: Vec<String> = terminal.screen().rows(0, width).map(|row| row.trim_end().to_string()).collect();
    let wrapped = (0..200).any(|row| terminal.screen().row_wrapped(row));
    (rows.join("\n").trim_end().to_string() + "\n", wrapped)
}

fn live(ink: Ink, width: u16) -> impl Fn(Paper, Rc<Still>) -> Box<dyn Reporter> {
    move |paper, clock| Box::new(Live::new(Box::new(paper), about(), ink, Arc::new(move || width), clock, true))
}

#[test]
fn the_plain_log_is_as_pinned() {
    for (name, tape, rest) in stories() {
        let plain: Make<'_> =
            &|paper, clock| Box::new(Plain::new(Box::new(paper), about(), Ink::default(), None, clock, "no input"));
        pinned(&format!("{name}.plain"), &play(&tape, &rest, plain));
    }
}

#[test]
fn every_viewer_gets_its_own_marks() {
    let [_, (_, tape, rest), _] = stories();
    let kinds = ci::KINDS.iter().map(|kind| (kind.name, kind.page)).collect();
    Table { of: "CI viewer", kinds, topic: Some("output"), places: vec!["github", "gitlab"] }.is_complete();
    for kind in ci::KINDS {
        let plain: Make<'_> = &|paper, clock| {
            Box::new(Plain::new(Box::new(paper), about(), Ink::default(), Some(kind), clock, "no input"))
        };
        pinned(&format!("rolled-back.{}", kind.name), &play(&tape, &rest, plain));
    }
}

#[test]
fn the_live_terminal_is_as_pinned_and_never_too_wide() {
    for (name, tape, rest) in stories() {
        let (shown, _) = screen(&play(&tape, &rest, &live(Ink::default(), 80)), 80);
        pinned(&format!("{name}.live"), &shown);
        let (shown, _) = screen(&play(&tape, &rest, &live(Ink { color: false, ascii: true }, 80)), 80);
        assert!(shown.is_ascii(), "{shown}");
    }
}

#[test]
fn the_live_lines_are_at_most_eight_at_every_width() {
    for width in [40, 60, 72, 80, 100, 200] {
        for (gates, panel) in [(0, 0), (1, 0), (9, 0), (3, 12)] {
            let clock = still();
            let mut live = Live::new(
                Box::new(Paper::default()),
                about(),
                Ink { color: true, ascii: false },
                Arc::new(move || width),
                clock.clone(),
                true,
            );
            let mut tape = begun();
            for n in 0..gates {
                tape.gate(152, &format!("gate-{n}"), Verdict::Pass, "0.14%", "0.50%", 1);
            }
            for (second, entry) in tape.entries() {
                clock.put_after(second);
                live.record(&entry);
            }
            live.progress(&Progress { done: 2, of: 5, line: "2m of 5m, window 3 of 5".into() });
            live.panel(&(0..panel).map(|n| format!("{} line {n}", "x".repeat(90))).collect::<Vec<_>>());
            let region = live.region();
            assert!(region.len() <= 8, "{region:?}");
            assert!(region[0].contains("users"), "{region:?}");
            for line in &region {
                assert!(console::measure_text_width(line) < usize::from(width), "{width}: {line}");
            }
            let last = region.last().unwrap();
            // What is typed stands at the end of the last line, and its end is what is kept.
            assert!(if panel > 0 { last.contains("line 11") } else { last.contains("[s] status") }, "{region:?}");
        }
    }
}

/// What is on the screen in the middle of a bake.
#[test]
fn the_middle_of_a_bake_is_as_pinned() {
    let (paper, clock) = (Paper::default(), still());
    let mut live = Live::new(Box::new(paper.clone()), about(), Ink::default(), Arc::new(|| 80), clock.clone(), true);
    let mut tape = begun();
    tape.gate(152, "errors", Verdict::Pass, "0.14%", "0.50%", 1)
        .gate(152, "p99", Verdict::Pass, "412ms", "800ms", 1)
        .gate(212, "errors", Verdict::Pass, "0.13%", "0.50%", 2)
        .gate(212, "p99", Verdict::Fail, "911ms", "800ms", 2);
    for (second, entry) in tape.entries() {
        clock.put_after(second);
        live.record(&entry);
    }
    live.progress(&Progress { done: 161, of: 300, line: "2m41s of 5m".into() });
    pinned("bake.live", &screen(&paper.text(), 80).0);
}

#[test]
fn jsonl_is_one_object_a_record_and_says_what_the_journal_says() {
    let [_, (_, tape, rest), _] = stories();
    let shown = play(&tape, &rest, &|paper, _| Box::new(Jsonl::new(Box::new(paper), "20261120-0302-k7f")));
    let lines: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let entries = tape.entries();
    assert_eq!(lines.len(), entries.len() + 1);
    for (line, (_, entry)) in lines.iter().zip(&entries) {
        assert_eq!(line["seq"], entry.seq);
        assert_eq!(line["ts"], entry.ts);
        assert_eq!(line["type"], entry.kind);
        assert_eq!(line["data"], entry.data);
    }
    let last = lines.last().unwrap();
    assert_eq!((&last["type"], &last["data"]["outcome"]), (&json!("closing"), &json!("rolled-back")));
}

/// The screen after `resume`: what a process has not read it does not show, and what it has read it shows with its age.
#[test]
fn r18_the_screen_shows_what_was_read_and_not_what_was_planned() {
    let (paper, clock) = (Paper::default(), still());
    let mut live = Live::new(Box::new(paper), about(), Ink::default(), Arc::new(|| 100), clock.clone(), true);
    let mut tape = Tape::default();
    tape.event(0, Event::Resumed { by: Actor::rule() }).intent(0, at(Lane::Forward, 2));
    tape.entries().iter().for_each(|(_, entry)| live.record(entry));
    let users = |live: &Live| live.region()[0].clone();
    assert!(users(&live).contains("not read yet") && !users(&live).contains("BLUE 100"), "{}", users(&live));
    live.users("web", Split::of_green(100));
    assert!(users(&live).contains("users: BLUE 90 GREEN 10"), "{}", users(&live));
    // A reading of any kind counts, also one that leaves no record.
    clock.put_after(14);
    assert!(users(&live).contains("read 14s ago"), "{}", users(&live));
    live.users("web", Split::of_green(100));
    assert!(users(&live).contains("read 0s ago"), "{}", users(&live));
}

fn why(tape: &Tape) -> Option<String> {
    let mut chorus = Chorus::new(about(), vec![]);
    tape.entries().iter().for_each(|(_, entry)| chorus.record(entry));
    chorus.story.why
}

/// What only held a run up is no reason of what came of it, and neither is a failure that was made good.
#[test]
fn p03_the_reason_shown_is_the_first_cause() {
    let frozen = || "frozen until 05:00 by release-manager".to_string();
    let paused = |tape: &mut Tape| {
        let (step, line) = (at(Lane::Forward, 2), frozen());
        tape.outcome(120, step, Outcome::failed(Cause::Frozen, frozen()));
        tape.event(120, Event::Paused { step, cause: Cause::Frozen, line, until: BEGAN + 600 });
    };
    // Frozen, and then a gate fails: the gate sent users back.
    let mut tape = begun();
    paused(&mut tape);
    assert!(why(&tape).unwrap().contains("frozen until"), "while it waits, that is what it waits for");
    let breach = Breach::new(Cause::Gate, "gate `errors` failed while waiting: green 4.2%");
    tape.event(150, breach.at(at(Lane::Forward, 2)));
    tape.event(150, Event::RollbackBegun { automatic: true, by: Actor::rule(), cause: "gate `errors` failed".into() });
    assert_eq!(why(&tape).unwrap(), "gate `errors` failed while waiting: green 4.2%");
    // And that stays the reason when the run is taken up again after a crash on its way back.
    tape.event(160, Event::Resumed { by: Actor::rule() });
    assert_eq!(why(&tape).unwrap(), "gate `errors` failed while waiting: green 4.2%");
    // Frozen for too long: then that is the reason.
    let mut tape = begun();
    paused(&mut tape);
    tape.event(600, Event::Held { by: Actor::rule(), line: "still frozen after 30 minutes".into() });
    assert!(why(&tape).unwrap().contains("frozen until"), "{:?}", why(&tape));
    // A first attempt that failed and was made good.
    let mut tape = Tape::default();
    let shift = at(Lane::Forward, 1);
    tape.intent(1, shift).outcome(2, shift, Outcome::failed(Cause::Provider, "Throttling: rate exceeded"));
    assert_eq!(why(&tape).unwrap(), "shift-10: Throttling: rate exceeded");
    tape.intent(3, shift).outcome(4, shift, Outcome::done("BLUE 90 GREEN 10")).intent(5, at(Lane::Forward, 2));
    assert_eq!(why(&tape), None);
    failing(&mut tape);
    assert!(why(&tape).unwrap().starts_with("bake-10: errors on GREEN 4.2%"), "{:?}", why(&tape));
}

/// A closed pipe or terminal is no error of the run.
#[test]
fn nobody_listening_stops_nothing() {
    struct Gone;
    impl std::io::Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
    }
    for (_, tape, rest) in stories() {
        play(&tape, &rest, &|_, _| Box::new(Jsonl::new(Box::new(Gone), "r")));
        play(&tape, &rest, &|_, clock| {
            Box::new(Plain::new(Box::new(Gone), about(), Ink::default(), Some(&ci::KINDS[0]), clock, ""))
        });
        play(&tape, &rest, &|_, clock| {
            Box::new(Live::new(Box::new(Gone), about(), Ink::default(), Arc::new(|| 80), clock, true))
        });
    }
}

#[test]
fn words_are_calm_and_without_emoji() {
    for (_, tape, rest) in stories() {
        let plain: Make<'_> =
            &|paper, clock| Box::new(Plain::new(Box::new(paper), about(), Ink::default(), None, clock, "no input"));
        let shown = play(&tape, &rest, plain);
        for word in ["invalid input", "something went wrong", "oops", "!"] {
            assert!(!shown.to_lowercase().contains(word), "{word}: {shown}");
        }
    }
}

/// Writes a tape as the signed log of a run, as a run would have.
fn kept(state_dir: &Path, run: &str, tape: &Tape) {
    let folder = state_dir.join("runs").join(run);
    std::fs::create_dir_all(&folder).unwrap();
    let key = bgctl::sign::file::create_lab_key(&folder).unwrap();
    let clock = still();
    let who = Who { owner: "engineer@example.com".into(), mode: "ci".into(), claims: json!({}) };
    let plan = plan();
    let opening = Opening { run: run.into(), plan: &plan, who, bound: Default::default() };
    let store = Box::new(DirStore::create(&folder).unwrap());
    let mut journal = Journal::create(store, opening, &key, clock.clone()).unwrap();
    for (second, record) in &tape.0 {
        clock.put_after(*second);
        journal.append(std::slice::from_ref(record)).unwrap();
    }
}

/// Runs bgctl on a state folder, with nothing of this machine's environment.
fn bgctl(state_dir: &Path, words: &[&str]) -> (i32, String, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_bgctl"))
        .args(words)
        .env_clear()
        .env("BGCTL_STATE_DIR", state_dir)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn looking_back_says_where_users_are_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    kept(dir.path(), "20261120-0302-abc", &rolled_back());
    kept(dir.path(), "20261120-0402-def", &halted());
    kept(dir.path(), "20261120-0502-ghk", &begun());
    let (code, runs, _) = bgctl(dir.path(), &["runs"]);
    assert_eq!(code, 0);
    for line in ["ghk  holding", "def  halted", "abc  rolled-back"] {
        assert!(runs.contains(line), "{line}: {runs}");
    }

    // The newest: its process is gone and its users are split.
    let (code, status, _) = bgctl(dir.path(), &["status", "--offline", "--exit-status"]);
    assert_eq!(code, 12, "{status}");
    assert!(status.contains("NOBODY IS WATCHING"), "{status}");
    assert!(status.contains("BLUE 90 GREEN 10"), "{status}");
    assert!(status.contains("● bake-10"), "{status}");
    assert!(status.contains("next: bgctl rollback ghk"), "{status}");

    let (code, status, _) = bgctl(dir.path(), &["status", "def", "--offline", "-o", "json"]);
    assert_eq!(code, 0);
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!((&status["outcome"], &status["watched"]), (&json!("halted"), &json!(false)));
    assert_eq!(status["next"][0], "bgctl rollback def");

    let (code, shown, _) = bgctl(dir.path(), &["show", "abc"]);
    assert_eq!(code, 0);
    // Nobody read anything for this: it says what was, and when.
    assert!(shown.contains("ROLLED BACK. All users were on BLUE v1.4.1 when last read."), "{shown}");
    assert!(shown.contains("GREEN v1.4.2 was not asked") && !shown.contains("runs without users"), "{shown}");
    assert!(shown.contains("✗ bake-10"), "{shown}");
    let (_, shown, _) = bgctl(dir.path(), &["show", "abc", "--step", "bake-10"]);
    assert!(shown.contains("gate errors, window 2 of 5") && !shown.contains("shift-10 "), "{shown}");

    let (code, shown, _) = bgctl(dir.path(), &["show", "abc", "-o", "jsonl"]);
    assert_eq!(code, 0);
    assert!(shown.lines().count() > 10);
    shown.lines().for_each(|line| assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}"));
}

#[test]
fn errors_have_their_parts_and_their_codes_for_people_and_machines() {
    let dir = tempfile::tempdir().unwrap();
    kept(dir.path(), "20261120-0302-abc", &rolled_back());
    // words, exit code, what the error names
    let table: [(&[&str], i32, &str); 7] = [
        (&["show", "xyz"], 64, "BG0004"),
        (&["show", "abc", "--step", "bake-99"], 64, "BG0005"),
        (&["status", "--frob"], 64, "BG0001"),
        (&["undo"], 64, "`undo` is called `rollback` here"),
        (&["explain", "BG9999"], 64, "BG0002"),
        (&["-C", "/does/not/exist", "runs"], 64, "BG0202"),
        (&["check", "/does/not/exist.yaml"], 65, "BG01"),
    ];
    for (words, wanted, named) in table {
        let (code, out, err) = bgctl(dir.path(), words);
        assert_eq!(code, wanted, "{words:?}: {err}");
        assert!(err.contains(named), "{words:?}: {err}");
        assert!(out.is_empty(), "{words:?}: {out}");
        let (code, out, _) = bgctl(dir.path(), &[words, &["-o", "json"]].concat());
        assert_eq!(code, wanted, "{words:?}");
        assert!(serde_json::from_str::<Value>(&out).is_ok(), "{words:?}: {out}");
    }
    let (code, out, err) = bgctl(dir.path(), &["--version"]);
    assert_eq!((code, out.starts_with("bgctl "), err.is_empty()), (0, true, true));
    let (code, _, err) = bgctl(dir.path(), &[]);
    assert_eq!((code, err.contains("bgctl rollback")), (64, true), "{err}");
}

/// Keys sorted at every level, no blanks, no fractions: what another program builds from the same facts is the same.
#[test]
fn approval_requests_are_canonical_and_bind_what_they_are_about() {
    fn sorted(value: &Value) -> bool {
        match value {
            Value::Object(map) => {
                let keys: Vec<&String> = map.keys().collect();
                keys.is_sorted() && keys.iter().all(|key| key.is_ascii()) && map.values().all(sorted)
            }
            Value::Array(list) => list.iter().all(sorted),
            Value::Number(n) => n.is_i64() || n.is_u64(),
            _ => true,
        }
    }
    use bgctl::people::request::{Binding, Until, build};
    let plan = plan();
    let measured = ["errors 0.14% (limit 0.50%)".to_string()];
    let binding = Binding {
        run: "k7f",
        requested_by: "me",
        trigger: Some("ci"),
        nonce: "00ff",
        until: Until { expires: 1_795_218_000, use_by: None },
        measured: &measured,
    };
    let text = build(&plan, at(Lane::Forward, 3), &binding);
    let value: Value = serde_json::from_str(&text).unwrap();
    assert!(sorted(&value), "{text}");
    assert_eq!(value.to_string(), text);
    assert_eq!(value["plan_sha256"], json!(plan.id()));
    assert_eq!(value["step_sha256"], json!(plan.forward[3].sha256()));
    assert_eq!(value["params"]["after"], json!({ "blue": 0, "green": 100 }));
    assert_eq!((&value["quorum"], &value["role"]), (&json!(1), &json!("release-managers")));
    let other = build(&plan, at(Lane::Forward, 3), &Binding { nonce: "00fe", ..binding });
    assert_ne!(text, other);
}
