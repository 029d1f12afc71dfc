//! The command line, the environment, and people who have to say something.

use bgctl::diag::Code;

use crate::rig::Desk;
use crate::row::{Row, all_hold, inside, shown, test};

pub const ROWS: &[Row] = &[
    shown(Code::CommandLine, 64, "command", |_| Desk::new().run(&["frobnicate"])),
    shown(Code::NoPage, 64, "page", |_| Desk::new().run(&["explain", "BG9999"])),
    shown(Code::Unsaid, 64, "reason", |_| Desk::new().run(&["freeze", "staging", "--reason", ""])),
    shown(Code::NoRun, 64, "machine", |_| Desk::new().run(&["show"])),
    test(Code::NoStep, "step", "tests/renderers.rs", "errors_have_their_parts_and_their_codes_for_people_and_machines"),
    test(
        Code::WhichRun,
        "run",
        "tests/process/reading.rs",
        "r13_a_command_without_a_name_is_about_the_users_that_are_under_way",
    ),
    shown(Code::Folder, 64, "folder", |_| Desk::new().run(&["-C", "nowhere", "runs"])),
    shown(Code::NoState, 78, "folder", |_| {
        let mut desk = Desk::new();
        desk.without(&["BGCTL_STATE_DIR", "HOME", "XDG_DATA_HOME"]);
        desk.run(&["runs"])
    }),
    shown(Code::System, 78, "the system", |_| {
        // One file handle beside the three that every process has: enough to load the program, and not to begin.
        let desk = Desk::new();
        desk.shell(&format!("ulimit -n 4; exec {} unfreeze staging --reason x", crate::rig::BGCTL)).end(20)
    }),
    shown(Code::Unwritable, 64, "result", |_| {
        let desk = Desk::new();
        desk.write("log.jsonl", &String::from_utf8(crate::made::complete()).expect("text"));
        desk.write("there", "");
        desk.run(&["audit", "export", "log.jsonl", "--format", "ocsf", "--out", "there"])
    }),
    shown(Code::NobodyHere, 64, "nobody can be asked", |_| Desk::new().run(&["decide"])),
    shown(Code::Freeze, 78, "freeze", |_| {
        let mut desk = Desk::new();
        desk.write("a-file", "");
        desk.env.insert("BGCTL_STATE_DIR".into(), desk.path("a-file").display().to_string());
        desk.run(&["freeze", "staging", "--reason", "incident"])
    }),
    shown(Code::Thaw, 77, "job", |_| Desk::new().run(&["unfreeze", "staging", "--reason", "over"])),
    shown(Code::Request, 65, "request", |_| {
        let desk = Desk::new();
        desk.write("blank.json", "{}");
        desk.run(&["approve", "blank.json", "--key", "key", "--confirm", "100"])
    }),
    test(
        Code::Expired,
        "approval",
        "tests/process/approvals.rs",
        "case_20b_an_approval_that_comes_too_late_is_refused",
    ),
    test(
        Code::NeedsReason,
        "reason",
        "tests/process/paging.rs",
        "r41_a_person_passes_over_a_blue_that_is_not_well_with_a_reason",
    ),
    test(
        Code::ForwardOrPage,
        "forward",
        "tests/process/schema.rs",
        "a_contract_in_the_migrations_halts_and_waits_for_a_second_person",
    ),
    shown(Code::GameDay, 64, "runbook", |_| {
        let desk = Desk::new();
        let quickstart = concat!(env!("CARGO_MANIFEST_DIR"), "/runbooks/quickstart.yaml");
        desk.run(&["gameday", quickstart, "--in", "staging", "--lab"])
    }),
    test(Code::NoPaging, "page", "tests/process/paging.rs", "a_run_that_paged_nobody_is_not_acknowledged"),
    test(
        Code::Trigger,
        "started",
        "tests/process/approvals.rs",
        "case_32c_whoever_started_the_job_is_known_and_cannot_approve",
    ),
    test(
        Code::PolicyUnsigned,
        "policy",
        "tests/process/approvals.rs",
        "case_47c_a_policy_that_changes_during_a_run_halts_it_and_the_way_back_stays_open",
    ),
    shown(Code::Policy, 65, "policy", |_| {
        let desk = crate::logs::kept(&crate::made::complete());
        desk.write("policy.yaml", "bgctl_policy: 2\n");
        desk.run(&["audit", "verify", "--policy", "policy.yaml"])
    }),
    inside(
        Code::HolderSilent,
        "process",
        "it takes a folder that its owner cannot write to, or ten minutes in which nobody signs",
        "src/cli/rollback/waiting.rs",
        "a_holder_that_cannot_be_replaced_is_named_with_what_ends_it",
    ),
    inside(
        Code::Bug,
        "report",
        "a bug that is known is mended: a process of the test itself crashes under the same hook",
        "tests/process/secrets.rs",
        "case_39c_a_crash_message_is_masked_and_cannot_steer_a_terminal",
    ),
];

#[test]
fn words_that_people_have_to_say_have_their_codes() {
    all_hold(ROWS);
}
