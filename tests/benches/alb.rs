//! One shift with its read-back, beside what people do today: `aws elbv2 modify-rule` and `describe-rules`. Same endpoint,
//! each in processes of its own, in turns.
//!
//! `cargo bench --bench alb`; needs the peers of `tests/all peers`.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench measures real time and prints what it saw"
)]

#[path = "../common/mod.rs"]
mod common;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bgctl::plan::Split;
use bgctl::routers::{Access, alb};
use common::at;
use common::moto::{Balancer, Moto};
use serde_json::json;

/// How often each side is measured.
const ROUNDS: u32 = 15;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match std::env::var("BGCTL_BENCH_SETTINGS") {
        Ok(settings) => runtime.block_on(shift(&settings)),
        Err(_) => runtime.block_on(compare()),
    }
}

/// The process that is measured: opens the route, moves it, reads it back.
async fn shift(settings: &str) {
    let number = |name: &str| std::env::var(name).expect(name).parse().expect("a number");
    let (from, to) = (Split::of_green(number("BGCTL_BENCH_FROM")), Split::of_green(number("BGCTL_BENCH_TO")));
    let settings = serde_json::from_str(settings).expect("JSON");
    let router = (alb::KIND.open)(&settings, &Access::default()).expect("good settings");
    router.set(&at(from), to).await.expect("it sets");
    assert_eq!(router.read().await.expect("it reads").split, to);
}

async fn compare() {
    let Some(moto) = Moto::start(&[]).await else { return };
    let balancer = Balancer::build(&moto, false, None).await;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (from, to) = if round % 2 == 0 { (0, 100) } else { (100, 0) };
        let mut own = Command::new(std::env::current_exe().expect("this binary"));
        own.envs(moto.env()).env("BGCTL_BENCH_SETTINGS", balancer.settings().to_string());
        own.env("BGCTL_BENCH_FROM", from.to_string()).env("BGCTL_BENCH_TO", to.to_string());
        ours.push(measure(&mut own));

        let actions = json!([{ "Type": "forward", "ForwardConfig": { "TargetGroups": [
            { "TargetGroupArn": balancer.blue, "Weight": (1000 - to) / 10 },
            { "TargetGroupArn": balancer.green, "Weight": to / 10 },
        ] } }]);
        let mut modify = moto.cli_command();
        modify.args(["elbv2", "modify-rule", "--rule-arn", &balancer.rule, "--actions", &actions.to_string()]);
        let mut describe = moto.cli_command();
        describe.args(["elbv2", "describe-rules", "--rule-arns", &balancer.rule]);
        let (first, second) = (measure(&mut modify), measure(&mut describe));
        theirs.push((first.0 + second.0, first.1.max(second.1)));
    }
    let (bgctl, aws) = (report("bgctl: shift + read-back", ours), report("aws: modify-rule + describe-rules", theirs));
    println!("bgctl is {:.1} times as fast with {:.0} % of the memory", aws.0 / bgctl.0, 100.0 * bgctl.1 / aws.1);
}

/// Wall time of a process, and the most memory it was seen with, in KiB.
fn measure(command: &mut Command) -> (Duration, u64) {
    let begun = Instant::now();
    let mut child = command.stdout(Stdio::null()).spawn().expect("it starts");
    let mut most = 0;
    loop {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0);
        most = most.max(peak);
        if let Some(end) = child.try_wait().expect("it can be waited for") {
            assert!(end.success(), "{command:?} ended with {end}");
            return (begun.elapsed(), most);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Prints least, median and most; returns the median in milliseconds and the memory in KiB.
fn report(what: &str, mut rounds: Vec<(Duration, u64)>) -> (f64, f64) {
    rounds.sort();
    let ms = |n: usize| rounds[n].0.as_secs_f64() * 1000.0;
    let (middle, last) = (rounds.len() / 2, rounds.len() - 1);
    let memory = rounds.iter().map(|r| r.1).max().unwrap_or(0);
    println!("{what}: {:.0} / {:.0} / {:.0} ms, {:.1} MB", ms(0), ms(middle), ms(last), memory as f64 / 1024.0);
    (ms(middle), memory as f64)
}
