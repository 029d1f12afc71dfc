//! The verifier against whatever can be thought up in a given time: it never panics, takes no more memory the longer it goes
//! on, and calls nothing COMPLETE that its owner did not close.
//!
//! `BGCTL_FUZZ_SECONDS` says how long (a few seconds without it), `BGCTL_FUZZ_SEED` where to begin. What makes it fail is
//! kept in a file, so it can be verified again.

use std::fs;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::mutate::{Dice, forged, harm, nonsense, sound};
use crate::rig::*;
use bgctl::audit::{Verdict, verify};
use bgctl::journal::Seals;
use bgctl::sign::Trust;

const SECONDS: &str = "BGCTL_FUZZ_SECONDS";
const SEED: &str = "BGCTL_FUZZ_SEED";
const CHILD: &str = "BGCTL_TEST_FUZZER";
/// What memory may grow by after the first tenth of the time: buffers that reached their size late, and no more.
const GROWTH: u64 = 16 * 1024 * 1024;

#[expect(clippy::disallowed_methods, reason = "how long is a wish of whoever runs the test")]
fn wish(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// In a process of its own, so that its memory is its own too.
#[test]
fn case_49_nothing_makes_the_verifier_panic_grow_or_believe() {
    let own = std::env::current_exe().unwrap();
    let output = Command::new(own)
        .args(["fuzz::the_fuzzer", "--exact", "--nocapture"])
        .env(CHILD, "1")
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("executions"), "{said}");
    let summary: Vec<&str> = said.lines().filter(|line| line.contains("executions")).collect();
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{}\n", summary.join("\n")).as_bytes());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it goes on for a real time")]
fn the_fuzzer() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let budget = Duration::from_secs(wish(SECONDS, 4));
    let first = wish(SEED, 1);
    let (start, pool) = (Instant::now(), sound());
    let complete: Vec<&Vec<u8>> = pool.iter().filter(|log| matches!(verdict(log), Verdict::Complete)).collect();
    assert!(complete.len() >= 3);
    let (mut done, mut early, mut met) = (0u64, None, std::collections::BTreeMap::new());
    while start.elapsed() < budget {
        let seed = first + done;
        let mut dice = Dice::new(seed);
        // With keys anything may come out, so only panics and memory are looked at; without them, also what it is called.
        let keyed = dice.one_in(6);
        let (base, log) = if keyed {
            (None, if dice.one_in(2) { forged(&mut dice) } else { nonsense(&mut dice) })
        } else {
            let base = dice.below(pool.len());
            let mut log = harm(&mut dice, &pool[base], &pool[(base + 1) % pool.len()]);
            while dice.one_in(3) && !log.is_empty() {
                log = harm(&mut dice, &log, &pool[base]);
            }
            (Some(base), log)
        };
        let judged = catch_unwind(AssertUnwindSafe(|| judge(&log)));
        let keep = |why: &str| -> ! {
            let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{seed}.jsonl"));
            fs::write(&kept, &log).unwrap();
            panic!("{why}: seed {seed}, kept as {}", kept.display());
        };
        match judged {
            Err(_) => keep("a panic"),
            Ok((last, all)) if last != all => keep(&format!("{last} with the last seals, {all} with all")),
            Ok(("COMPLETE", _)) if base.is_some() && !complete.contains(&&log) => keep("COMPLETE without its owner"),
            Ok((class, _)) => *met.entry(class).or_insert(0u64) += 1,
        }
        done += 1;
        if early.is_none() && start.elapsed() > budget / 10 {
            early = memory();
        }
    }
    let (early, late) = (early.unwrap_or(0), memory().unwrap_or(0));
    let mb = |bytes: u64| bytes / (1024 * 1024);
    let line = format!(
        "fuzz: {done} executions in {} s from seed {first}, memory {} MB after a tenth and {} MB at the end, {met:?}\n",
        budget.as_secs(),
        mb(early),
        mb(late)
    );
    let _ = std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes());
    assert!(late <= early + GROWTH, "{line}");
}

/// The verdicts with the last seals only and with all. Everything else that reads a log must come through as well.
fn judge(log: &[u8]) -> (&'static str, &'static str) {
    let trust = Trust { signers: signers(), shared: None };
    let class = |seals| match verify(&mut Cursor::new(log), &trust, seals).unwrap().verdict {
        Verdict::Complete => "COMPLETE",
        Verdict::Interrupted | Verdict::Ended | Verdict::Handover => "INTERRUPTED",
        Verdict::Broken(_) | Verdict::Untrusted(_) => "BROKEN",
        Verdict::Policy => "POLICY",
    };
    let _ = bgctl::journal::read(log);
    (class(Seals::Last), class(Seals::All))
}

/// Bytes of memory this process has, where the system says it.
fn memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(resident.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}
