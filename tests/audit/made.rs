//! Logs and lists that `maker/main.py` writes from a seed, with code of its own: of each of them bgctl and the script of standard tools
//! say the same, with the same exit code, or the script says what it does not check.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bgctl::audit::SCRIPT;

use crate::common::peer;

/// How many cases are judged. `BGCTL_MADE` sets another number, `BGCTL_MADE_FROM` another first seed.
const CASES: usize = 60;

/// What both say of a case: exit codes, and the words of the script.
pub fn judged(case: &Path, options: &[String], script: &Path) -> (i32, i32, String) {
    let (log, signers) = (case.join("log.jsonl"), case.join("allowed_signers"));
    let ours = Command::new(env!("CARGO_BIN_EXE_bgctl"))
        .args(["audit".as_ref(), "verify".as_ref(), log.as_os_str()])
        .args(["--allowed-signers".as_ref(), signers.as_os_str()])
        .args(options)
        .current_dir(case)
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| name == "PATH"))
        .env("BGCTL_STATE_DIR", case.join("state"))
        .output()
        .expect("bgctl runs");
    let theirs = Command::new("sh").arg(script).args(options).arg(&log).arg(&signers).output().expect("a shell runs");
    let said = [ours.stdout, ours.stderr, theirs.stdout, theirs.stderr].concat();
    let code = |status: std::process::ExitStatus| status.code().unwrap_or(-1);
    (code(ours.status), code(theirs.status), String::from_utf8_lossy(&said).into_owned())
}

#[expect(clippy::disallowed_methods, reason = "how many cases is a wish of whoever runs the test")]
fn wished(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn a15_bgctl_and_the_script_agree_on_what_another_hand_has_made() {
    let programs: Option<Vec<PathBuf>> =
        ["jq", "ssh-keygen", "sha256sum", "cmp", "sh", "python3"].into_iter().map(peer).collect();
    let Some(python) = programs.and_then(|mut programs| programs.pop()) else { return };
    let (first, count) = (wished("BGCTL_MADE_FROM", 0), wished("BGCTL_MADE", CASES));
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let script = dir.path().join("verify.sh");
    fs::write(&script, SCRIPT).unwrap();
    let maker = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audit/maker/main.py");
    let made = Command::new(python)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(maker)
        .arg(dir.path())
        .args([first.to_string(), count.to_string()])
        .status();
    assert!(made.unwrap().success());
    let (next, met, differing) = (AtomicUsize::new(first), Mutex::new(BTreeMap::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        break;
                    }
                    let case = dir.path().join(seed.to_string());
                    let options = fs::read_to_string(case.join("options")).unwrap();
                    let options: Vec<String> = options.lines().map(String::from).collect();
                    let (ours, theirs, said) = judged(&case, &options, &script);
                    *met.lock().unwrap().entry((ours, theirs)).or_insert(0) += 1;
                    if theirs != ours && theirs != 47 {
                        let about = fs::read_to_string(case.join("case")).unwrap();
                        differing.lock().unwrap().push(format!("bgctl {ours}, script {theirs}: {about}{said}"));
                    }
                }
            });
        }
    });
    let (differing, met) = (differing.into_inner().unwrap(), met.into_inner().unwrap());
    assert!(differing.is_empty(), "{} of {count} differ:\n{}", differing.len(), differing.join("\n"));
    for code in [0, 40, 46] {
        assert!(met.contains_key(&(code, code)), "every verdict was met: {met:?}");
    }
    let unsaid: usize = met.iter().filter(|((_, theirs), _)| *theirs == 47).map(|(_, n)| n).sum();
    assert!(unsaid * 6 <= count, "the script is to say more than that it does not know: {met:?}");
}
