//! From the runbook to the run: which answer wins, and what becomes of the way back.

use bgctl::compile::{Draft, Facts};
use bgctl::diag::Severity;
use bgctl::plan::{EvidenceLevel, Lane, Plan, Purpose, Split, StepRef};
use bgctl::run::{
    Actor, Cause, Doing, Event, Grant, Next, Outcome, RunOutcome, Sighting, State, Verdict, Wish, decide, evolve,
};
use bgctl::runbook::{Inputs, Source};

const RUNBOOK: &str = r#"bgctl: 1
service: bot
environment: production
owners: [olga@example.com, otto@example.com]
stacks:
  blue:  { version: v1, url: "http://blue.internal:8080" }
  green: { version: v2, url: "http://green.internal:8080" }
routes:
  web:
    alb:
      rule: arn:aws:elasticloadbalancing:us-east-1:123456789012:listener-rule/app/bot/50dc6c495c0c9188/0467ef3c8400ae65/8c1f3f0a1e2d3c4b
      blue: arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/bot-blue/6d0ecf831eec9f09
      green: arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/bot-green/73e2d6bc24d8a067
policy: { page: [slack] }
schema:
  SCHEMA
steps:
  - id: smoke
    smoke: { stack: green, checks: [version] }
  - id: shift-50
    shift: { route: web, green: 50% }
  - id: shift-100
    shift: { route: web, green: 100% }
rollback:
  owner: olga@example.com
  steps:
    - id: back
      shift: { route: web, blue: 100% }
"#;

fn compiled(schema: &str, edit: impl Fn(String) -> String, live: Option<&str>) -> Result<Plan, Vec<String>> {
    let text = edit(RUNBOOK.replace("SCHEMA", schema));
    let source = Source::new("runbook.yaml", &text);
    let facts = Facts {
        schema: live.map(|line| format!("the live database: {line}")).into_iter().collect(),
        ..Facts::default()
    };
    match Draft::new(&source, &Inputs::default(), None).and_then(|draft| draft.against(&facts)) {
        Ok(plan) => Ok(plan),
        Err(found) => {
            let errors = found.into_iter().filter(|d| d.severity == Severity::Error);
            Err(errors.map(|d| format!("{} {}", d.code, d.headline)).collect())
        }
    }
}

/// A runbook whose migrations are these files.
fn with(files: &[(&str, &str)], more: &str) -> Result<Plan, Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let schema = format!("migrations: {}\n  {more}", dir.path().display());
    compiled(&schema, |text| text, None)
}

const EXPAND: (&str, &str) = ("2_b.sql", "alter table users add column phone text;\n");
const CONTRACT: (&str, &str) = ("3_c.sql", "begin;\nalter table users drop column old;\n");
const MOOD: (&str, &str) = ("4_d.sql", "alter type mood add value 'zz';\n");

#[test]
fn the_stricter_of_declared_and_read_wins() {
    for (files, more, reason) in [
        (vec![EXPAND], "change: expand\n  green_writes: compatible", None),
        (vec![EXPAND], "change: expand", Some("`schema.green_writes` is not known to be compatible")),
        (vec![EXPAND], "change: none", Some("`schema.green_writes` is not known to be compatible")),
        (vec![EXPAND], "change: contract\n  green_writes: compatible", Some("`schema.change` is `contract`")),
        (vec![EXPAND, CONTRACT], "change: expand\n  green_writes: compatible", Some("`3_c.sql:2` is `contract`")),
        (vec![EXPAND, CONTRACT], "change: none\n  green_writes: compatible", Some("`3_c.sql:2` is `contract`")),
        (vec![EXPAND, CONTRACT], "since: 3\n  change: none", None),
        (vec![MOOD], "change: expand\n  green_writes: compatible", Some("`4_d.sql:1` is `semantic`")),
        (
            vec![MOOD],
            "change: expand\n  green_writes: compatible\n  compatible: [{ at: '4_d.sql:1', because: 'green writes it only once blue is gone' }]",
            None,
        ),
    ] {
        let plan = with(&files, more).unwrap_or_else(|e| panic!("{more}: {e:?}"));
        let policy = &plan.policy;
        assert_eq!(policy.schema_safe, reason.is_none(), "{more}: {policy:?}");
        if let Some(reason) = reason {
            assert!(policy.schema_reason.as_ref().unwrap().contains(reason), "{more}: {policy:?}");
        }
        assert_eq!(plan.waits_by_hand(), reason.is_some(), "{more}");
    }
}

/// The live database has its say when the plan is made, and the strictest answer wins there too.
#[test]
fn what_the_database_says_stands_in_the_plan() {
    let schema = "change: none\n  postgres: ${env:DATABASE_URL}\n  blue_needs: { users: [phone] }";
    assert!(compiled(schema, |t| t, None).unwrap().policy.schema_safe);
    let plan = compiled(schema, |t| t, Some("BLUE needs `users.phone`, which is not there (any more)")).unwrap();
    assert!(!plan.policy.schema_safe && plan.waits_by_hand());
    assert!(plan.policy.schema_reason.unwrap().starts_with("the live database: BLUE needs"));
}

#[test]
fn who_may_pass_over_it_signs_and_is_somebody_else() {
    let rule = |plan: &Plan| plan.rollback[0].approval.clone().unwrap();
    let owners = rule(&compiled("change: contract", |t| t, None).unwrap());
    assert_eq!((owners.role.as_str(), owners.members.len(), owners.quorum), ("owners", 2, 1));
    assert!(owners.even_by_hand && !owners.own_run && owners.evidence == EvidenceLevel::Signed);
    let roles =
        "roles:\n  schema.override: { members: [dba@example.com, dbb@example.com], quorum: 2, own_run: true }\nstacks:";
    let role = rule(&compiled("change: contract", |t| t.replace("stacks:", roles), None).unwrap());
    assert_eq!((role.role.as_str(), role.quorum, role.own_run), ("schema.override", 2, false));
    // Nobody else there: said before anything begins.
    let alone = compiled("change: contract", |t| t.replace(", otto@example.com", ""), None).unwrap();
    assert!(alone.warnings.iter().any(|w| w.contains("nobody but the runner could agree")), "{:?}", alone.warnings);
}

#[test]
fn what_makes_no_sense_is_named() {
    let refused = |found: Result<Plan, Vec<String>>| found.unwrap_err().join("; ");
    assert!(refused(compiled("change: none\n  migrations: ./nowhere", |t| t, None)).contains("BG0170"));
    assert!(refused(compiled("change: none\n  since: 3", |t| t, None)).contains("`schema.since` is about migrations"));
    assert!(refused(with(&[EXPAND], "change: expand\n  since: 9")).contains("none of them is `9`"));
    assert!(
        refused(compiled("change: none\n  checks: [{ sql: select 1, equals: 1 }]", |t| t, None))
            .contains("no database is named")
    );
    let word =
        |at: &str| format!("change: expand\n  compatible: [{{ at: '{at}', because: 'we have thought about it' }}]");
    assert!(refused(with(&[CONTRACT], &word("3_c.sql:2"))).contains("which no entry can declare compatible"));
    assert!(refused(with(&[MOOD], &word("4_d.sql:7"))).contains("no statement at `4_d.sql:7`"));
    let migrate = |at: &str| {
        let indent = at.split('-').next().unwrap();
        let step = format!("{indent}- id: migrate\n{indent}  migrate: {{ run: [./migrate] }}\n{at}");
        compiled("change: none", |t| t.replace(at, &step), None)
    };
    assert!(migrate("  - id: shift-50").is_ok());
    assert!(refused(migrate("  - id: shift-100")).contains("BG0174 `migrate` would migrate with users on green"));
    assert!(refused(migrate("    - id: back")).contains("BG0174 a rollback migrates nothing"));
}

/// A run of the machine alone.
struct Run {
    plan: Plan,
    state: State,
    log: Vec<Event>,
}

impl Run {
    fn new(plan: Plan) -> Run {
        let mut run = Run { plan, state: State::default(), log: Vec::new() };
        run.take(Event::Armed { approvals_ahead: false, automatic_used: 0, checks: vec![] });
        run
    }

    fn take(&mut self, event: Event) {
        self.state = evolve(&self.plan, &self.state, &event).unwrap();
        self.log.push(event);
    }

    fn refuses(&self, event: &Event) -> bool {
        evolve(&self.plan, &self.state, event).is_err()
    }

    /// Writes down whatever needs nothing but that.
    fn notes(&mut self) -> Next {
        loop {
            match decide(&self.plan, &self.state) {
                Next::Note(event) => self.take(event),
                Next::Look { .. } => {
                    // Wherever this run has left them.
                    let back = self.state.lane == Lane::Rollback;
                    let left = |route: &String| match back {
                        true => Split::ALL_BLUE,
                        false => self.state.written(&self.plan, route).pop().unwrap(),
                    };
                    let seen =
                        |route: &String| (route.clone(), Sighting { split: Some(left(route)), line: "looked".into() });
                    let routes = self.plan.routes.keys().map(seen).collect();
                    self.take(Event::UsersSeen { routes, settled: true });
                }
                Next::Page { .. } => self.take(Event::Paged { delivered: true, line: "slack".into() }),
                next => return next,
            }
        }
    }

    /// The step at hand begins and ends.
    fn step(&mut self, outcome: Outcome) {
        let at = self.state.at();
        let step = self.plan.step(at);
        let (id, line, step_sha256) = (step.id.clone(), step.line.clone(), step.sha256());
        self.take(Event::StepIntent { step: at, id: id.clone(), attempt: 1, line, step_sha256, approvals: vec![] });
        self.take(Event::StepOutcome { step: at, id, outcome });
    }

    fn with_half_on_green(plan: Plan) -> Run {
        let mut run = Run::new(plan);
        run.step(Outcome::done("smoke"));
        run.step(Outcome::done("half"));
        run
    }

    fn seen(&mut self, forward: Verdict, back: Verdict) {
        let step = self.state.at();
        self.take(Event::SchemaSeen { step, forward, back, line: "BLUE needs `users.phone`".into() });
    }
}

fn olga() -> Actor {
    Actor { name: "olga@example.com".into(), via: "command".into() }
}

fn bad() -> Outcome {
    Outcome::Failed {
        line: "errors 4 %".into(),
        cause: Cause::Gate,
        moved: false,
        retry: false,
        then: None,
        facts: Default::default(),
    }
}

#[test]
fn by_rule_nobody_goes_back_across_a_contract() {
    let mut run = Run::with_half_on_green(compiled("change: contract", |t| t, None).unwrap());
    run.step(bad());
    assert!(matches!(run.notes(), Next::Stop(RunOutcome::Halted)));
    let why = run.log.iter().find_map(|e| match e {
        Event::RollbackDeclined { why, .. } => Some(why.clone()),
        _ => None,
    });
    assert!(why.unwrap().contains("forward or page"));
    assert!(run.log.iter().any(|e| matches!(e, Event::Paged { .. })));
    assert!(!run.log.iter().any(|e| matches!(e, Event::RollbackBegun { .. })));
}

/// The `r` key, SIGTERM, a plain `bgctl rollback`: none of them is a reason and a second person.
#[test]
fn by_hand_without_a_word_nobody_goes_back_either() {
    let mut run = Run::with_half_on_green(compiled("change: contract", |t| t, None).unwrap());
    let begun = Event::RollbackBegun { automatic: false, by: olga(), cause: "the r key".into() };
    assert!(run.refuses(&begun), "no log that says so is sound");
    run.take(Event::Interrupted { wish: Wish::RollBack, by: olga(), line: "the r key".into() });
    assert!(run.refuses(&begun));
    assert!(matches!(run.notes(), Next::Stop(RunOutcome::Halted)));
}

#[test]
fn with_a_reason_it_waits_for_a_second_person_and_then_goes_back() {
    let plan = compiled("change: contract", |t| t, None).unwrap();
    let mut run = Run::with_half_on_green(plan.clone());
    run.take(Event::OverrideUsed { guard: "schema".into(), by: olga(), reason: "green loses money".into() });
    let back = StepRef { lane: Lane::Rollback, index: 0 };
    assert!(matches!(run.notes(), Next::Request(at) if at == back));
    walked(&mut run, back);

    // The same after the run has ended: a run of its own.
    let mut run = Run {
        plan: Plan { purpose: Purpose::RollbackOf("x".into()), ..plan.clone() },
        state: State::default(),
        log: vec![],
    };
    run.take(Event::OverrideUsed { guard: "schema".into(), by: olga(), reason: "green loses money".into() });
    assert!(matches!(run.notes(), Next::Arm));
    run.take(Event::Armed { approvals_ahead: false, automatic_used: 0, checks: vec![] });
    assert!(matches!(run.notes(), Next::Request(at) if at == back));
    walked(&mut run, back);

    // And without the word such a run does nothing.
    let mut run =
        Run { plan: Plan { purpose: Purpose::RollbackOf("x".into()), ..plan }, state: State::default(), log: vec![] };
    assert!(matches!(run.notes(), Next::Stop(RunOutcome::Stopped)));
}

fn walked(run: &mut Run, back: StepRef) {
    let step = run.plan.step(back).clone();
    let intent = |approvals| Event::StepIntent {
        step: back,
        id: step.id.clone(),
        attempt: 1,
        line: step.line.clone(),
        step_sha256: step.sha256(),
        approvals,
    };
    assert!(run.refuses(&intent(vec![])), "nobody has agreed yet");
    run.take(Event::ApprovalRequested {
        step: back,
        id: step.id.clone(),
        request: "{}".into(),
        request_sha256: "r".into(),
        expires: 9,
        use_by: None,
    });
    assert!(matches!(run.notes(), Next::Await(at) if at == back) && run.refuses(&intent(vec![])));
    let grant =
        Grant { principal: "otto@example.com".into(), evidence: "signed".into(), key: None, sig: None, prompt: None };
    run.take(Event::ApprovalGranted { step: back, id: step.id.clone(), request_sha256: "r".into(), grant });
    assert!(matches!(run.notes(), Next::Attempt(at, 1) if at == back));
    run.take(intent(vec!["r".into()]));
    run.take(Event::StepOutcome { step: back, id: step.id.clone(), outcome: Outcome::done("back") });
    assert!(matches!(run.notes(), Next::Stop(RunOutcome::RolledBack)));
}

/// Nobody agrees: the run halts, and pages.
#[test]
fn unanswered_it_halts() {
    let mut run = Run::with_half_on_green(compiled("change: contract", |t| t, None).unwrap());
    run.take(Event::OverrideUsed { guard: "schema".into(), by: olga(), reason: "green loses money".into() });
    run.notes();
    let back = run.state.at();
    run.take(Event::ApprovalRequested {
        step: back,
        id: "back".into(),
        request: "{}".into(),
        request_sha256: "r".into(),
        expires: 9,
        use_by: None,
    });
    run.take(Event::ApprovalExpired { step: back, id: "back".into(), why: "nobody answered".into() });
    assert!(matches!(run.notes(), Next::Stop(RunOutcome::Halted)));
}

const LIVE: &str = "change: none\n  postgres: ${env:DATABASE_URL}\n  blue_needs: { users: [phone] }";

#[test]
fn a_contract_seen_live_closes_the_way_back() {
    let plan = compiled(LIVE, |t| t, None).unwrap();
    // Seen before the next shift: the run goes neither on nor back.
    let mut run = Run::with_half_on_green(plan.clone());
    run.seen(Verdict::Fail, Verdict::Fail);
    assert!(matches!(run.notes(), Next::Stop(RunOutcome::Halted)));
    // Seen when users were to come back.
    let mut run = Run::with_half_on_green(plan.clone());
    run.step(bad());
    run.seen(Verdict::Pass, Verdict::Fail);
    assert!(matches!(run.notes(), Next::Stop(RunOutcome::Halted)));
    // Once gone it stays gone, whatever is seen later.
    let mut run = Run::with_half_on_green(plan.clone());
    run.seen(Verdict::Pass, Verdict::Fail);
    run.seen(Verdict::Pass, Verdict::Pass);
    run.step(bad());
    assert!(matches!(run.notes(), Next::Stop(RunOutcome::Halted)));
    // All well: back by rule, as ever.
    let mut run = Run::with_half_on_green(plan.clone());
    run.seen(Verdict::Pass, Verdict::Pass);
    run.step(bad());
    run.seen(Verdict::Pass, Verdict::Pass);
    assert!(matches!(run.notes(), Next::Attempt(at, 1) if at.lane == Lane::Rollback));
    // A check that fails before anybody moved only stops; with users split it sends them back.
    let mut run = Run::new(plan.clone());
    run.step(Outcome::done("smoke"));
    run.seen(Verdict::Fail, Verdict::Pass);
    assert!(matches!(run.notes(), Next::Stop(RunOutcome::Stopped)));
    let mut run = Run::with_half_on_green(plan.clone());
    run.seen(Verdict::Fail, Verdict::Pass);
    assert!(matches!(run.notes(), Next::Attempt(at, 1) if at.lane == Lane::Rollback));
    // Not known: users stay where they are.
    let mut run = Run::with_half_on_green(plan.clone());
    run.seen(Verdict::Unknown, Verdict::Unknown);
    assert!(matches!(run.notes(), Next::Stop(RunOutcome::Holding)) && run.state.doing == Doing::Held);
    // Not known when users have to come back by rule: a person.
    let mut run = Run::with_half_on_green(plan);
    run.step(bad());
    run.seen(Verdict::Pass, Verdict::Unknown);
    assert!(matches!(run.notes(), Next::Stop(RunOutcome::Halted)));
}
