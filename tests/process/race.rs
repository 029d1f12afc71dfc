//! The program beside a strict endpoint with a real proxy under load: killed several times a run, and raced through every
//! fault. What is right is judged by `tests/race`, which knows nothing of how bgctl works.

use std::path::Path;
use std::process::Command;

use crate::common::peer;
use crate::rig::BGCTL;

/// Plays a script of `tests/race`, which bounds its own time; its table is shown where it fails.
#[track_caller]
fn play(script: &str, args: &[&str]) {
    let Some(python) = peer("python3") else { return };
    if ["haproxy", "prometheus"].iter().any(|name| peer(name).is_none()) {
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/race").join(script);
    let done = Command::new(python).arg(script).args(args).env("BGCTL", BGCTL).output().expect("python starts");
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{out}\n{err}");
}

#[test]
fn killed_several_times_a_run_users_are_where_the_last_command_sent_them() {
    play("kills.py", &["--kills", "20", "--seed", "7", "--lanes", "2", "--verbose"]);
}

#[test]
fn in_every_row_of_the_race_users_are_right_and_it_is_known() {
    play("race.py", &["--tools", "bgctl", "--lanes", "4", "--verbose"]);
}
