//! Refusals of a cutover beside a lab that is well: nobody is moved, so one lab serves all of them.

use bgctl::diag::Code;

use crate::common::free_port;
use crate::rig::{Desk, Done, RUNBOOK};
use crate::row::{Place, Row, all_hold, shown, test};

const MISTAKES: &str = "mistakes_and_missing_things_have_codes_of_their_own";
const CONTRACT: &str = "tests/process/contract.rs";

pub const ROWS: &[Row] = &[
    shown(Code::OtherBgctl, 65, "plan", |place| {
        let desk = place.beside();
        planned(&desk, "\"purpose\":\"cutover\"", "\"purpose\":\"parade\"");
        desk.run(&["cutover", "plan.json", "--confirm", "staging"])
    }),
    shown(Code::NotBuiltIn, 65, "router", |place| {
        let desk = place.beside();
        planned(&desk, "\"router\":\"alb\"", "\"router\":\"pigeon\"");
        desk.run(&["cutover", "plan.json", "--confirm", "staging"])
    }),
    shown(Code::BudgetBurns, 11, "error budget burns", |place| objective(place, Some("5"))),
    shown(Code::BudgetUnknown, 11, "not known", |place| objective(place, None)),
    shown(Code::GateSilent, 11, "answer", silent_gates),
    shown(Code::LiveSchema, 69, "schema", |place| {
        let mut desk = changed(place, "change: none", "change: none\n  postgres: ${env:DATABASE_URL}");
        desk.env.insert("DATABASE_URL".into(), format!("postgres://bot:secret-word@127.0.0.1:{}/bot", free_port()));
        cutover(&desk)
    }),
    shown(Code::RunsWithUnread, 69, "runs with", |place| {
        let desk = changed(place, "rollback:\n", "compare: { inventory: { command: [\"false\"] } }\nrollback:\n");
        desk.run(&["diff", "--runbook", "runbook.yaml"])
    }),
    test(
        Code::Different,
        "green",
        "tests/process/compare.rs",
        "a_difference_that_blocks_is_shown_and_stops_the_cutover",
    ),
    shown(Code::NothingToCompare, 65, "compare", |place| place.beside().run(&["diff", "--runbook", "runbook.yaml"])),
    shown(Code::NoValue, 78, "value", |place| {
        let mut desk = place.beside();
        desk.without(&["BGCTL_VAR_rule_arn"]);
        cutover(&desk)
    }),
    test(
        Code::ShortSecret,
        "short",
        "tests/process/secrets.rs",
        "case_39b_a_secret_in_the_file_or_too_short_is_refused_before_anything_is_written",
    ),
    test(
        Code::SecretInClear,
        "clear",
        "tests/process/secrets.rs",
        "case_39b_a_secret_in_the_file_or_too_short_is_refused_before_anything_is_written",
    ),
    shown(Code::Lab, 78, "lab", |_| {
        let desk = Desk::new();
        std::fs::create_dir_all(desk.path("state/lab/world.json/below")).expect("a folder in its place");
        desk.run(&["cutover", "runbook.yaml", "--lab", "--confirm", "staging"])
    }),
    test(
        Code::NotTheLabs,
        "lab",
        "tests/process/rehearsal.rs",
        "t15_a_rehearsal_of_a_runbook_with_real_addresses_is_refused_and_asks_nobody",
    ),
    test(Code::NoCredentials, "credentials", CONTRACT, MISTAKES),
    test(Code::NoAnswer, "provider", CONTRACT, MISTAKES),
    test(Code::NoKey, "key", CONTRACT, MISTAKES),
    test(Code::NotBlue, "blue", CONTRACT, "r23_a_cutover_in_ci_needs_one_word_says_the_rest_and_is_done_once"),
    test(Code::Drift, "plan", CONTRACT, "r23_a_cutover_in_ci_needs_one_word_says_the_rest_and_is_done_once"),
    test(Code::CannotTakeUsers, "users", CONTRACT, "nobody_is_sent_to_a_green_that_is_not_well"),
    test(Code::Locked, "route", CONTRACT, "one_run_at_a_time_moves_a_route"),
    test(Code::GreenLacks, "green", "tests/slack/cutover.rs", "a_green_that_lacks_a_listener_is_refused_with_its_name"),
    shown(Code::Handlers, 11, "handles", |place| {
        let slack = "paths: { events: /slack/events }";
        cutover(&changed(place, slack, &format!("{slack}\n  handlers: {{ path: /nothing }}")))
    }),
    test(
        Code::RouteLacks,
        "users",
        "tests/process/prepare.rs",
        "r25_a_rule_with_one_group_is_prepared_by_the_command_that_the_refusal_names",
    ),
    test(
        Code::RunOpen,
        "run",
        "tests/process/reading.rs",
        "r07_r37_a_run_that_nobody_drives_is_named_here_and_its_users_are_seen_from_anywhere",
    ),
    shown(Code::Frozen, 75, "frozen", |place| {
        let desk = place.beside();
        desk.run(&["freeze", "staging", "--reason", "incident"]).ends(0);
        cutover(&desk)
    }),
    shown(Code::NoLock, 78, "lock", |place| {
        let desk = place.beside();
        std::fs::create_dir_all(desk.path("state/locks/staging-bot.lock")).expect("a folder in its place");
        cutover(&desk)
    }),
    test(
        Code::LeaseLost,
        "lease",
        "tests/process/guards.rs",
        "a_holder_that_was_stopped_while_another_took_over_moves_nobody",
    ),
    shown(Code::PolicyChanged, 31, "policy", |place| {
        let desk = place.beside();
        desk.run(&["plan", "runbook.yaml", "--out", "plan.json"]).ends(0);
        team(&desk, "");
        desk.run(&["cutover", "plan.json", "--confirm", "staging"])
    }),
    shown(Code::MayNotSign, 77, "security key", |place| {
        let desk = place.beside();
        team(&desk, "signing: { security_key: required }\n");
        cutover(&desk)
    }),
    shown(Code::PolicyMemory, 78, "policy", |place| {
        let desk = place.beside();
        team(&desk, "");
        std::fs::create_dir_all(desk.path("state")).expect("a folder");
        desk.write("state/policies", "a file in its place");
        cutover(&desk)
    }),
    test(Code::NoRecord, "written", "tests/process/disk.rs", "without_a_place_for_the_journal_nothing_begins"),
];

#[test]
fn what_a_cutover_is_refused_for_has_its_code() {
    all_hold(ROWS);
}

pub fn cutover(desk: &Desk) -> Done {
    desk.cutover().end(60)
}

/// A desk beside the lab, with one thing in the runbook changed.
pub fn changed(place: &Place, from: &str, to: &str) -> Desk {
    let desk = place.beside();
    assert!(RUNBOOK.contains(from), "{from}");
    desk.write("runbook.yaml", &RUNBOOK.replacen(from, to, 1));
    desk
}

/// G12: a Prometheus that wants to know who asks, sends somewhere else, shows a login page or is of another tenant; the last of
/// them is that there is none.
fn silent_gates(place: &Place) -> Done {
    let with = |url: String| {
        let mut desk = place.beside();
        desk.env.insert("BGCTL_VAR_prometheus_url".into(), url);
        cutover(&desk)
    };
    let nobody = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
    for (status, body) in [
        ("401 Unauthorized", "who are you?"),
        ("302 Found", ""),
        ("405 Method Not Allowed", ""),
        ("200 OK", "<html>Sign in</html>"),
        ("200 OK", nobody),
    ] {
        with(crate::provider::answering(status, body.into())).ends(11).says(&["BG0153", "Nothing was changed"]);
    }
    // G21: whoever reads the log later finds the cause there too.
    let mut desk = place.beside();
    desk.env.insert("BGCTL_VAR_prometheus_url".into(), crate::provider::answering("401 Unauthorized", String::new()));
    cutover(&desk).ends(11);
    desk.run(&["show"]).ends(0).says(&["gate `errors` does not answer: Prometheus answered 401"]);
    with(format!("http://127.0.0.1:{}", free_port()))
}

/// A saved plan, with one thing changed in it.
fn planned(desk: &Desk, from: &str, to: &str) {
    desk.run(&["plan", "runbook.yaml", "--out", "plan.json"]).ends(0);
    let text = std::fs::read_to_string(desk.path("plan.json")).expect("a plan");
    assert!(text.contains(from), "{from} in {text}");
    desk.write("plan.json", &text.replacen(from, to, 1));
}

fn team(desk: &Desk, more: &str) {
    std::fs::create_dir(desk.path(".bgctl")).expect("a folder");
    let policy = format!(
        "bgctl_policy: 1\npersons:\n  o: {{ principals: [owner@example.com] }}\n  rm: {{ principals: [rm@example.com] }}\n\
         roles:\n  release-managers: {{ members: [rm], quorum: 1 }}\n{more}"
    );
    desk.write(".bgctl/policy.yaml", &policy);
    let public = std::fs::read_to_string(desk.path("key.pub")).expect("the owner's public key");
    desk.write(".bgctl/allowed_signers", &format!("owner@example.com namespaces=\"bgctl-*\" {public}"));
}

/// A cutover whose gate has an objective, beside a Prometheus that always answers with this number, or with none.
fn objective(place: &Place, number: Option<&str>) -> Done {
    let gate = "gates:\n  budget: { prometheus: 'sum(rate(bad[5m])) / sum(rate(all[5m]))', objective: 99.9% }\n";
    let mut desk = changed(place, "gates:\n", gate);
    desk.env.insert("BGCTL_VAR_prometheus_url".into(), crate::provider::prometheus(number));
    cutover(&desk)
}
