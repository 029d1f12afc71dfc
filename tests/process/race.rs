//! The program beside a strict endpoint with a real proxy under load: killed several times a run, and raced through every
//! fault. What is right is judged by `tests/race`, which knows nothing of how bgctl works.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::peer;
use crate::rig::*;

/// Plays a script of `tests/race`; its table is shown where it fails.
fn play(script: &str, args: &[&str], seconds: u64) {
    let Some(python) = peer("python3") else { return };
    if ["haproxy", "prometheus"].iter().any(|name| peer(name).is_none()) {
        return;
    }
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/race").join(script)).args(args).env("BGCTL", BGCTL);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    Running::of(child.expect("python starts")).end(seconds).ends(0);
}

#[test]
fn killed_several_times_a_run_users_are_where_the_last_command_sent_them() {
    play("kills.py", &["--kills", "20", "--seed", "7", "--verbose"], 300);
}

#[test]
fn in_every_row_of_the_race_users_are_right_and_it_is_known() {
    play("race.py", &["--tools", "bgctl", "--verbose"], 300);
}
