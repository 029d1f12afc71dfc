//! What others write or say, changed by chance for as long as one likes: nothing panics, nothing hangs, nothing takes memory.
//!
//! Each target plays in a process of its own, whose memory is nobody else's. `BGCTL_FUZZ` says for how many seconds; without
//! it a target plays some hundred cases. `BGCTL_FUZZ_CASE` begins with the case of that number: what failed once fails again.

mod mutator;
mod spoken;
mod words;
mod written;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use mutator::{Dice, case};

use crate::peak::{self, MOST};
use crate::rig::{clock, pause};

const SECONDS: &str = "BGCTL_FUZZ";
const FIRST: &str = "BGCTL_FUZZ_CASE";
const TARGET: &str = "BGCTL_TEST_TARGET";
/// The file with the number of the case that is played: whoever is killed says nothing any more.
const NUMBER: &str = ".case";

type Play = Box<dyn Fn(&[u8]) -> bool>;

/// A way in for what somebody else has written.
pub struct Door {
    pub name: &'static str,
    /// What is sound; the first of them is understood.
    pub seeds: Vec<Vec<u8>>,
    /// Of the language: one of [`words`].
    pub words: &'static str,
    /// What is longer is not read at all.
    pub longest: usize,
    /// Whether it was understood.
    pub play: Play,
}

/// Something that is attacked.
struct Target {
    name: &'static str,
    doors: fn() -> Vec<Door>,
    /// Cases when nobody says how long.
    cases: u64,
    /// The longest a case may take, in seconds: many times what it takes, or the deadlines of whoever asks a server.
    within: u64,
}

const TARGETS: &[Target] = &[
    Target { name: "verify", doors: written::verify, cases: 400, within: 20 },
    Target { name: "approve", doors: written::approve, cases: 1500, within: 20 },
    Target { name: "check", doors: written::check, cases: 60, within: 20 },
    Target { name: "policy", doors: written::policy, cases: 100, within: 20 },
    Target { name: "postgres", doors: spoken::postgres, cases: 200, within: 30 },
    Target { name: "redis", doors: spoken::redis, cases: 200, within: 40 },
];

#[test]
fn nothing_breaks_verify() {
    eprintln!("{}", holds("verify"));
}

#[test]
fn nothing_breaks_approve() {
    eprintln!("{}", holds("approve"));
}

#[test]
fn nothing_breaks_check() {
    eprintln!("{}", holds("check"));
}

#[test]
fn nothing_breaks_policy() {
    eprintln!("{}", holds("policy"));
}

#[test]
fn nothing_breaks_the_client_of_postgresql() {
    eprintln!("{}", holds("postgres"));
}

#[test]
fn nothing_breaks_the_client_of_redis() {
    eprintln!("{}", holds("redis"));
}

/// Plays a target in a process of its own; what it has to say.
fn holds(name: &str) -> String {
    let own = std::env::current_exe().unwrap();
    // What is named in a case lies nowhere.
    let nowhere = tempfile::tempdir().unwrap();
    let played = Command::new(own)
        .args(["fuzz::plays_a_target", "--exact", "--nocapture", "--test-threads=1"])
        // Authorities are not what is tried, and reading the system's takes longer than a case.
        .envs([(TARGET, name), ("SSL_CERT_FILE", "/dev/null")])
        .current_dir(nowhere.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&played.stdout).into_owned() + &String::from_utf8_lossy(&played.stderr);
    let said = &said[said.char_indices().rev().nth(8000).map_or(0, |(at, _)| at)..];
    let summary = said.lines().find(|line| line.contains(" cases in "));
    let number = std::fs::read_to_string(nowhere.path().join(NUMBER)).unwrap_or_default();
    let ended = format!("{name}: {} in case {}", played.status, number.trim());
    assert!(played.status.success() && summary.is_some(), "{ended}\n{said}");
    summary.unwrap_or_default().to_string()
}

#[expect(clippy::disallowed_methods, reason = "how long is a wish of whoever runs the test")]
fn wish(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The case that is played, and since when, in milliseconds; 0 between two cases.
static CASE: AtomicU64 = AtomicU64::new(0);
static SINCE: AtomicU64 = AtomicU64::new(0);
/// Somebody has panicked, in whatever thread or task.
static PANICKED: AtomicBool = AtomicBool::new(false);

/// What the tests above start.
#[test]
#[expect(clippy::disallowed_methods, reason = "which target is said by whoever starts this")]
fn plays_a_target() {
    let Ok(name) = std::env::var(TARGET) else { return };
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let doors = (target.doors)();
    for door in &doors {
        // A server goes away soon, and a machine may be busy.
        let understood = (0..50).any(|_| (door.play)(&door.seeds[0]));
        assert!(understood, "{name}, {}: the first seed is not understood", door.name);
    }
    std::panic::set_hook(Box::new(|panic| {
        PANICKED.store(true, SeqCst);
        eprintln!("case {}: {panic}", CASE.load(SeqCst));
    }));
    let begun = clock();
    let now = move || u64::try_from(begun.elapsed().as_millis()).unwrap() + 1;
    let within = target.within * 1000;
    std::thread::spawn(move || {
        loop {
            pause(500);
            let since = SINCE.load(SeqCst);
            if since != 0 && now().saturating_sub(since) > within {
                eprintln!("case {} hangs", CASE.load(SeqCst));
                std::process::exit(1);
            }
        }
    });
    let number = std::fs::File::create(NUMBER).unwrap();
    let held = || peak::held(rustix::process::getpid());
    let (before, first) = (held(), wish(FIRST).unwrap_or(1));
    let budget = wish(SECONDS).map(Duration::from_secs);
    let (mut n, mut understood, mut slowest, mut most) = (0, 0, (0, 0), before);
    while budget.map_or(n < target.cases, |budget| begun.elapsed() < budget) {
        let mut dice = Dice::new(first + n);
        let door = &doors[dice.below(doors.len())];
        let bytes = case(&mut dice, &door.seeds, &words::of(door.words), door.longest);
        CASE.store(first + n, SeqCst);
        std::os::unix::fs::FileExt::write_all_at(&number, format!("{:<20}", first + n).as_bytes(), 0).unwrap();
        SINCE.store(now(), SeqCst);
        let played = catch_unwind(AssertUnwindSafe(|| (door.play)(&bytes)));
        let took = now() - SINCE.swap(0, SeqCst);
        understood += u64::from(matches!(played, Ok(true)));
        slowest = slowest.max((took, first + n));
        let panicked = PANICKED.load(SeqCst);
        // Asking the system takes longer than most cases.
        if n % 32 == 0 || took > 20 || panicked {
            most = held();
        }
        let grown = most.zip(before).map_or(0, |(most, before)| most.saturating_sub(before));
        if panicked || grown > MOST {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]).escape_debug().to_string();
            eprintln!("{name}, {}: case {} after {grown} KiB more\n{shown}", door.name, first + n);
            std::process::exit(1);
        }
        n += 1;
    }
    let memory = match held().zip(before) {
        Some((most, before)) => format!("at most {} KiB more than the {before} KiB at the start", most - before),
        None => "memory not measured: this system does not say".into(),
    };
    let (longest, which) = slowest;
    let seconds = begun.elapsed().as_secs();
    println!(
        "{name}: {n} cases in {seconds} s, {understood} understood; slowest {longest} ms (case {which}); {memory}"
    );
}
