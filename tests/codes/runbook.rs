//! What is wrong with a file: runbooks and policies, as `bgctl check` shows it.

use bgctl::diag::Code;

use crate::rig::{Desk, Done, RUNBOOK};
use crate::row::{Row, all_hold, shown, test};

/// Mistakes of the file itself.
pub const FILES: &[Row] = &[
    shown(Code::Yaml, 65, "tab in the indentation", |_| broken("tab")),
    shown(Code::UnknownField, 65, "field", |_| broken("fields")),
    shown(Code::MissingField, 65, "lacks", |_| broken("no-way-back")),
    shown(Code::Value, 65, "cannot be", |_| broken("fields")),
    shown(Code::Format, 65, "percentage", |_| broken("times")),
    shown(Code::DuplicateKey, 65, "twice", |_| broken("twice")),
    shown(Code::File, 65, "empty", |_| broken("empty")),
    shown(Code::NotOneThing, 65, "two things", |_| broken("fields")),
    shown(Code::UnknownName, 65, "route", |_| broken("names")),
    shown(Code::SameName, 65, "steps", |_| broken("names")),
    shown(Code::TimeOrCount, 65, "12h", |_| broken("order")),
    shown(Code::Stacks, 65, "address", |_| broken("route")),
    shown(Code::Nobody, 65, "members", |_| broken("people")),
    shown(Code::Variable, 65, "variable", |_| broken("variables")),
    shown(Code::SecretInFile, 65, "secret", |_| broken("secrets")),
    shown(Code::StepSettings, 65, "bake without gates", |_| broken("order")),
    shown(Code::RouteSettings, 65, "ARN", |_| broken("route")),
    shown(Code::NoWayBack, 65, "rollback", |_| broken("no-shift-back")),
    shown(Code::AsksAPerson, 65, "when its time is up", |_| broken("no-shift-back")),
    shown(Code::Unlooked, 65, "looked at", |_| broken("order")),
    shown(Code::Unwatched, 65, "watches users", |_| broken("order")),
    shown(Code::NoMove, 65, "moves no users", |_| broken("order")),
    shown(Code::EndsSplit, 65, "both stacks", |_| broken("order")),
    shown(Code::Environment, 0, "is not set", |_| checked(&[])),
];

/// Rules that a well-formed runbook breaks.
pub const RULES: &[Row] = &[
    shown(Code::Gate, 65, "query", |_| checked(&[("])) / sum", "])) + sum")])),
    shown(Code::TwoWitnesses, 0, "seen_at", |_| {
        let seen =
            "    seen_at: { url: \"${var.public_url}/version\", header: x-bot-version, samples: 30, tolerance: 30% }\n";
        checked(&[(seen, "")])
    }),
    shown(Code::NoAutomaticRollback, 0, "automatic rollback", |_| checked(&[("change: none", "change: incompatible")])),
    shown(Code::NobodyAgrees, 0, "schema stands against", |_| checked(&[("change: none", "change: incompatible")])),
    shown(Code::GatesSwapped, 65, "wrong stack", |_| desk(&[]).run(&["check", "runbook.yaml", "--swap"])),
    test(Code::Split, "split", "tests/slack_manifest.rs", "a_whole_cutover_and_the_way_back_through_the_rate_limit"),
    test(
        Code::Continuity,
        "users",
        "tests/continuity.rs",
        "a_cutover_whose_users_could_not_come_back_stops_before_anybody_moves",
    ),
    shown(Code::Unproven, 0, "your word", |_| {
        checked(&[("change: none", "change: expand\n  green_writes: compatible")])
    }),
    shown(Code::PolicyName, 65, "not one name", |_| policy("principals: [b@x]", "principals: [b@x], ci: ['*']")),
    shown(Code::PolicyImpossible, 65, "agree", |_| policy("quorum: 1", "quorum: 3")),
    shown(Code::PolicyDoubtful, 0, "bot", |_| policy("members: [alice, bob]", "members: [alice, bob, deploy]")),
    shown(Code::PolicyUnguarded, 0, "policy", |_| policy("change: { role: rm }\n", "")),
    shown(Code::BelowPolicy, 65, "policy", |_| {
        let desk = desk(&[]);
        team(&desk, POLICY);
        desk.run(&["check", "runbook.yaml"])
    }),
    shown(Code::RampForward, 65, "forward", |_| {
        checked(&[(TO_GREEN, "shift: { route: web, blue: 100%, ramp: [50%] }")])
    }),
    shown(Code::Unnoticed, 65, "unnoticed", |_| {
        checked(&[(TO_BLUE, &format!("{TO_BLUE}\n      on_failure: continue"))])
    }),
    shown(Code::Order, 0, "goes back", |_| {
        checked(&[
            (
                "routes:\n",
                "routes:\n  api:\n    alb:\n      rule: ${var.rule_arn}\n      blue: ${var.blue_target_group}\n      green: ${var.green_target_group}\n",
            ),
            ("  - id: bake-50\n", "  - id: api-100\n    shift: { route: api, green: 100% }\n  - id: bake-50\n"),
            (TO_BLUE, &format!("{TO_BLUE}\n    - id: api-back\n      shift: {{ route: api, blue: 100% }}")),
            ("rollback:\n", "rollback:\n  in_order: true\n"),
        ])
    }),
    shown(Code::Escalation, 0, "is called", |_| {
        checked(&[("rollback:\n", "policy:\n  page: [slack]\n  acknowledge: { within: 5m }\nrollback:\n")])
    }),
    shown(Code::NobodyCalled, 0, "policy.page is empty", |_| checked(&[])),
    shown(Code::CompareSection, 65, "path", |_| {
        checked(&[("rollback:\n", "compare: { inventory: { path: x } }\nrollback:\n")])
    }),
    test(
        Code::WaitsForSomebody,
        "automatic rollback",
        "tests/process/agreed.rs",
        "r34_an_automatic_rollback_in_ci_is_agreed_to_from_another_laptop",
    ),
    shown(Code::SchemaSection, 65, "migrations cannot be read", |_| {
        checked(&[("change: none", "change: expand\n  migrations: ./nowhere")])
    }),
    shown(Code::NeedlessWord, 65, "no entry can declare compatible", |_| {
        let because = "compatible: [{ at: '1.sql:1', because: 'nobody reads it' }]";
        migrating("drop table users;\n", because)
    }),
    shown(Code::MigrationPlace, 65, "migrate", |_| {
        checked(&[
            ("rollback:\n", "rollback:\n"),
            (TO_BLUE, &format!("{TO_BLUE}\n    - id: migrate\n      migrate: {{ run: [\"true\"] }}")),
        ])
    }),
    shown(Code::GatesUnasked, 65, "changed", |_| read_twice()),
];

const TO_GREEN: &str = "shift: { route: web, green: 50% }";
const TO_BLUE: &str = "shift: { route: web, blue: 100% }";

const POLICY: &str = "bgctl_policy: 1
persons:
  alice: { principals: [a@x] }
  bob: { principals: [b@x] }
  deploy: { kind: bot, principals: [d@x] }
roles:
  rm: { members: [alice, bob], quorum: 1, own_run: true }
change: { role: rm }
";

#[test]
fn mistakes_of_the_file_have_their_codes() {
    all_hold(FILES);
}

#[test]
fn rules_that_are_broken_have_their_codes() {
    all_hold(RULES);
}

/// A file that is pinned as it is shown.
fn broken(name: &str) -> Done {
    let file = format!("{}/tests/fixtures/broken/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    Desk::new().run(&["check", &file])
}

/// A desk with the usual runbook, changed in these places.
fn desk(changes: &[(&str, &str)]) -> Desk {
    let desk = Desk::new();
    let mut text = RUNBOOK.to_string();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    desk.write("runbook.yaml", &text);
    desk
}

fn checked(changes: &[(&str, &str)]) -> Done {
    desk(changes).run(&["check", "runbook.yaml"])
}

fn migrating(sql: &str, more: &str) -> Done {
    let desk = desk(&[("change: none", &format!("change: expand\n  migrations: ./migrations\n  {more}"))]);
    std::fs::create_dir(desk.path("migrations")).expect("a folder");
    desk.write("migrations/1.sql", sql);
    desk.run(&["check", "runbook.yaml"])
}

fn team(desk: &Desk, policy: &str) {
    std::fs::create_dir(desk.path(".bgctl")).expect("a folder");
    desk.write(".bgctl/policy.yaml", policy);
}

fn policy(from: &str, to: &str) -> Done {
    let desk = Desk::new();
    assert!(POLICY.contains(from), "{from}");
    team(&desk, &POLICY.replacen(from, to, 1));
    desk.run(&["check", ".bgctl/policy.yaml"])
}

/// A file that is another one by the time its gates are to be asked: while those of the file before it are.
fn read_twice() -> Done {
    let mut desk = Desk::new();
    desk.write("first.yaml", RUNBOOK);
    desk.write("second.yaml", RUNBOOK);
    let prometheus = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = prometheus.local_addr().expect("its address");
    for (name, value) in [
        ("rule_arn", "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener-rule/app/bot/50dc6c495c0c9188/0467ef3c8400ae65/8c1f3f0a1e2d3c4b".to_string()),
        ("blue_target_group", "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/bot-blue/6d0ecf831eec9f09".into()),
        ("green_target_group", "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/bot-green/73e2d6bc24d8a067".into()),
        ("public_url", "http://127.0.0.1:9".into()),
        ("blue_url", "http://127.0.0.1:9".into()),
        ("green_url", "http://127.0.0.1:19".into()),
        ("prometheus_url", format!("http://{address}")),
    ] {
        desk.env.insert(format!("BGCTL_VAR_{name}"), value);
    }
    desk.env.insert("SLACK_SIGNING_SECRET".into(), "8f742231b10e8888abcd99yyyzzz85a5".into());
    let second = desk.path("second.yaml");
    std::thread::spawn(move || {
        for asked in prometheus.incoming() {
            std::fs::write(&second, "bgctl: [\n").expect("it is written");
            drop(asked);
        }
    });
    desk.start(&["check", "--live", "first.yaml", "second.yaml"]).end(30)
}
