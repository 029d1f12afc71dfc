//! Random worlds, and an oracle that knows nothing of the machine: it reads what reached the provider, what had been seen
//! by then, and the words in the log.
//!
//! Every world follows from its seed: `BGCTL_WORLD=123 cargo test --test worlds` plays one and prints its log.

mod common;
#[path = "audit/forge.rs"]
#[allow(dead_code, reason = "each test binary uses its part of this")]
mod forge;
#[path = "audit/rig.rs"]
#[allow(dead_code, reason = "each test binary uses its part of this")]
mod rig;

use std::time::Duration;

use bgctl::audit::Verdict;
use bgctl::clock::Clock;
use bgctl::people::Command;
use bgctl::plan::{Color, Plan, Split};
use bgctl::run::{Actor, RunOutcome};
use bgctl::sim::{Disk, Saw, Scenario, Write};
use common::canary::Dice;
use common::play::{self, Play, s, shift, step};
use serde_json::{Value, json};

const WORLDS: u64 = 2_000;
/// What a decision rests on is at most so old.
const AGE: Duration = Duration::from_secs(1);

fn one_in(dice: &mut Dice, n: u64) -> bool {
    dice.below(n) == 0
}

/// A moment of the night, most of them early: that is where the moves are. Some are before anything began.
fn moment(dice: &mut Dice) -> Duration {
    if one_in(dice, 10) {
        return Duration::ZERO;
    }
    Duration::from_millis((dice.roll() * dice.roll() * 1_500_000.0) as u64)
}

fn maybe(dice: &mut Dice, n: u64) -> Option<Duration> {
    one_in(dice, n).then(|| moment(dice))
}

fn span(dice: &mut Dice, n: u64) -> Option<(Duration, Duration)> {
    maybe(dice, n).map(|from| (from, from + moment(dice) * 2))
}

/// One to three routes, moved in turn or one after the other, and back in reverse.
fn plan(dice: &mut Dice) -> Plan {
    let routes = &["api", "bot", "web"][..1 + dice.below(3) as usize];
    let stops: &[u32] = [&[1000][..], &[100, 1000], &[100, 500, 1000]][dice.below(3) as usize];
    let mut order: Vec<(usize, usize)> =
        (0..routes.len()).flat_map(|route| (0..stops.len()).map(move |stop| (route, stop))).collect();
    if one_in(dice, 2) {
        order.sort_by_key(|(route, stop)| (*stop, *route));
    }
    let mut forward = vec![];
    if one_in(dice, 3) {
        forward.push(step("tell", "tell", Value::Null));
    }
    for (route, stop) in order {
        let from = if stop == 0 { 0 } else { stops[stop - 1] };
        let mut shift = shift(&format!("{}-{}", routes[route], stops[stop]), routes[route], from, stops[stop]);
        if one_in(dice, 4) {
            shift = play::approved(shift, ["roll-back", "hold", "halt"][dice.below(3) as usize]);
        }
        if one_in(dice, 6) {
            shift["on_failure"] = json!("halt");
        }
        forward.push(shift);
        forward.push(step(&format!("watch-{}-{}", routes[route], stops[stop]), "watch", Value::Null));
    }
    let mut rollback: Vec<Value> =
        routes.iter().rev().map(|route| shift(&format!("back-{route}"), route, 1000, 0)).collect();
    if one_in(dice, 5) {
        rollback[0] = play::approved(rollback[0].clone(), "halt");
    }
    if one_in(dice, 2) {
        rollback.push(step("drain", "wait", Value::Null));
    }
    let safe = !one_in(dice, 6);
    let policy = json!({
        "automatic_at_most": dice.below(3), "schema_safe": safe,
        "schema_reason": if safe { Value::Null } else { json!("a column is gone") }, "pause_at_most_s": 60 + dice.below(600),
    });
    play::plan(routes, forward, rollback, policy)
}

fn scenario(dice: &mut Dice) -> Scenario {
    let fates = |dice: &mut Dice| match dice.below(16) {
        0 => Write::ReplyLost,
        1 => Write::Lost,
        // Late and stale together stay within what the route says it needs to settle.
        2 => Write::Late(s(1 + dice.below(9))),
        3 => Write::Throttled,
        4 => Write::Denied,
        _ => Write::Applied,
    };
    let wish = |dice: &mut Dice| {
        let by = Actor { name: "operator".into(), via: "key".into() };
        let commands = [
            Command::Interrupt,
            Command::Terminate,
            Command::Leave,
            Command::RollBack { by, reason: "the r key".into() },
        ];
        (moment(dice), commands[dice.below(4) as usize].clone())
    };
    let answer = |dice: &mut Dice| [Some(true), Some(true), Some(false), None][dice.below(4) as usize];
    let health = |dice: &mut Dice| {
        let stack = if one_in(dice, 2) { Color::Blue } else { Color::Green };
        (moment(dice), stack, [Some(0), Some(1), Some(2), Some(3), None][dice.below(5) as usize])
    };
    let mut flips: Vec<_> = (0..dice.below(4)).map(|_| health(dice)).collect();
    flips.sort_by_key(|flip| flip.0);
    let mut wishes: Vec<_> = if one_in(dice, 4) { vec![wish(dice)] } else { vec![] };
    if one_in(dice, 20) {
        wishes.push(wish(dice));
        wishes.sort_by_key(|wish| wish.0);
    }
    Scenario {
        writes: (0..dice.below(6)).map(|_| fates(dice)).collect(),
        propagation: Duration::from_millis(dice.below(20_000)),
        lands_within: s(15),
        staleness: Duration::from_millis(if one_in(dice, 4) { dice.below(5_000) } else { 0 }),
        blind: span(dice, 10),
        busy: maybe(dice, 12),
        mute: None,
        green_errors: maybe(dice, 3),
        green_down: maybe(dice, 8),
        green_unseen: maybe(dice, 8).map(|at| (at, 503)),
        blue_down: maybe(dice, 8),
        health: if one_in(dice, 3) { flips } else { vec![] },
        foreign: maybe(dice, 8).map(|at| (at, Split::of_green([0, 55, 200, 1000][dice.below(4) as usize]))),
        approval: answer(dice),
        person: answer(dice),
        ahead: one_in(dice, 8),
        wishes,
        breach: maybe(dice, 5),
        question: maybe(dice, 20).map(|at| (at, at + Duration::from_secs(5))),
        other_rules: maybe(dice, 20),
        frozen: span(dice, 5),
        unfit: span(dice, 10),
        lease_lost: maybe(dice, 15),
        disk_full_at: one_in(dice, 25).then(|| 1 + dice.below(40) as u32),
        disk: Disk::Drops(dice.below(1 << 40)),
        pager_down: one_in(dice, 10),
        automatic_used: dice.below(3) as u32,
        mended: maybe(dice, 3),
        ready_fails: false,
    }
}

/// How a world ended.
struct Ended {
    play: Play,
    /// None: the journal could not be written.
    outcome: Option<RunOutcome>,
}

fn world(seed: u64) -> Ended {
    let mut dice = Dice::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let plan = plan(&mut dice);
    let mut play = Play::new(plan, scenario(&mut dice));
    // Up to two deaths on the way, and a hold is taken up once or not.
    let mut deaths: Vec<u32> = (0..dice.below(3)).map(|_| 1 + dice.below(250) as u32).collect();
    let mut again = dice.below(2);
    loop {
        play.sim.clock.crash_at(deaths.pop());
        let Ok(end) = play.process() else { continue };
        play.sim.clock.crash_at(None);
        let outcome = end.ok().map(|end| end.outcome);
        if matches!(outcome, Some(RunOutcome::Holding | RunOutcome::Waiting)) && again > 0 {
            again -= 1;
            continue;
        }
        // Whatever was still on its way has landed a minute later.
        let clock = play.sim.clock.clone();
        clock.run(clock.sleep(s(60))).unwrap();
        return Ended { play, outcome };
    }
}

/// What must hold in every world, said by what was sent, seen and written down.
fn broken(ended: &Ended) -> Vec<String> {
    let Ended { play, outcome } = ended;
    let (sim, scenario) = (&play.sim, &play.sim.scenario);
    let mut broken = Vec::new();
    let mut must = |holds: bool, what: String| {
        if !holds {
            broken.push(what);
        }
    };
    let saw = sim.saw.borrow();
    let log = play.log();
    let (mut health, mut guards) = (std::collections::BTreeMap::new(), None);
    let (mut written, mut sent, mut went_back) = (std::collections::BTreeMap::new(), 0, false);
    for (at, what) in saw.iter() {
        match what {
            Saw::Health { route, stack, healthy } => {
                health.insert((route.clone(), stack.name()), (*at, *healthy));
            }
            Saw::Guards { forward_blocked } => guards = Some((*at, *forward_blocked)),
            Saw::Sent { route, from, to } => {
                sent += 1;
                let when = format!("at {at:?} {route} from {from} to {to}");
                for stack in Color::BOTH.into_iter().filter(|stack| to.share(*stack) > from.share(*stack)) {
                    match health.get(&(route.clone(), stack.name())) {
                        Some((seen, Some(healthy))) => {
                            must(*healthy >= 2, format!("{when}: {stack} was seen with {healthy} healthy targets"));
                            must(*at - *seen <= AGE, format!("{when}: {stack} was last looked at {seen:?}"));
                        }
                        _ => must(false, format!("{when}: nobody knows how {stack} is")),
                    }
                }
                let forward = to.share(Color::Green) > from.share(Color::Green);
                let known = |known: &Vec<Split>| known.contains(from);
                let ours = written.entry(route.clone()).or_insert_with(|| vec![play.plan.routes[route].before]);
                if forward {
                    must(!went_back, format!("{when}: forward again after it went back"));
                    must(known(ours), format!("{when}: over somebody else's split"));
                    must(
                        guards.is_some_and(|(seen, blocked)| !blocked && *at - seen <= AGE),
                        format!("{when}: the guards said {guards:?}"),
                    );
                    let frozen = scenario.frozen.is_some_and(|(since, to)| since + AGE <= *at && *at < to);
                    must(!frozen, format!("{when}: moved while frozen"));
                } else {
                    went_back = true;
                }
                let lost = scenario.lease_lost.is_some_and(|lost| lost + AGE <= *at);
                must(!lost, format!("{when}: moved without the lease"));
                ours.push(*to);
            }
        }
    }
    let count = |kind: &str| log.iter().filter(|(of, _)| *of == kind).count();
    let intents = log
        .iter()
        .filter(|(kind, data)| *kind == "step.intent" && (data["line"].as_str().unwrap_or("").starts_with("shift")));
    must(sent <= intents.count(), format!("{sent} writes, and not an intent for each"));

    // From the word that it goes back, green's share never rises: not by us, not by what was on its way.
    let begun = play.journal.entries.iter().find(|entry| entry.kind == "rollback.begun");
    if let Some(begun) = begun {
        let since: jiff::Timestamp = begun.ts.parse().unwrap();
        let since = Duration::try_from(since.duration_since("2026-01-01T00:00:00Z".parse().unwrap())).unwrap();
        for route in play.plan.routes.keys() {
            let mut history = sim.history(route);
            history.retain(|entry| scenario.foreign != Some(*entry));
            // What was on its way may land still; then it is set right, and where users end is looked at below.
            let late = |at: Duration| !saw.iter().any(|(sent, what)| *sent == at && matches!(what, Saw::Sent { .. }));
            history.retain(|(at, _)| *at <= since || !late(*at));
            let before = history.iter().rev().find(|(at, _)| *at <= since).map_or(0.0, |h| h.1.share(Color::Green));
            let mut last = before;
            for (at, split) in history.iter().filter(|(at, _)| *at > since) {
                must(
                    split.share(Color::Green) <= last,
                    format!("{route} at {at:?}: the way back raised green to {split}"),
                );
                last = split.share(Color::Green);
            }
        }
        if begun.data["automatic"] == true {
            let policy = &play.plan.policy;
            must(policy.schema_safe, "by rule across an unsafe schema".into());
            must(scenario.automatic_used < policy.automatic_at_most, "by rule, over the cap".into());
        }
    }
    must(count("rollback.begun") <= 1, "it went back twice".into());

    let called = !sim.pages.borrow().is_empty();
    must(*outcome != Some(RunOutcome::Halted) || called, "halted, and nobody was called".into());
    must(
        count("run.paused") == 0 || called || outcome.is_none() || count("run.paged") == 0,
        "paused in silence".into(),
    );
    let is = |split: Split| play.plan.routes.keys().all(|route| sim.split_of(route) == split);
    if scenario.foreign.is_none() {
        match outcome {
            Some(RunOutcome::Completed) => must(is(Split::ALL_GREEN), "completed, and users are elsewhere".into()),
            Some(RunOutcome::RolledBack | RunOutcome::Stopped | RunOutcome::Refused) => {
                must(is(Split::ALL_BLUE), format!("{outcome:?}, and users are elsewhere"));
            }
            _ => {}
        }
    }
    must(*outcome != Some(RunOutcome::Refused) || sent == 0, "refused, and something was sent".into());
    must(sim.effects.borrow().len() <= 1, "what leaves no trace was done twice".into());
    must(outcome.is_some() || scenario.disk_full_at.is_some(), "the journal broke by itself".into());
    broken
}

#[test]
#[expect(clippy::disallowed_methods, reason = "`BGCTL_WORLD` is a wish of whoever runs the test")]
fn nothing_that_must_hold_breaks_in_any_world() {
    let wanted: Option<u64> = std::env::var("BGCTL_WORLD").ok().map(|seed| seed.parse().unwrap());
    let seeds: Vec<u64> = wanted.map_or_else(|| (0..WORLDS).collect(), |seed| vec![seed]);
    let halves: Vec<Vec<u64>> = (0..2).map(|half| seeds.iter().copied().skip(half).step_by(2).collect()).collect();
    let found: Vec<(u64, Option<RunOutcome>, bool, Vec<String>)> = std::thread::scope(|scope| {
        let play = |seed: u64| {
            let ended = world(seed);
            if wanted.is_some() {
                eprintln!("{:#?}\n{:#?}", ended.play.sim.scenario, ended.play.sim.saw.borrow());
                ended.play.journal.entries.iter().for_each(|e| eprintln!("{} {} {}", e.ts, e.kind, e.data));
            }
            let moved = ended.play.sim.saw.borrow().iter().any(|(_, what)| matches!(what, Saw::Sent { .. }));
            (seed, ended.outcome, moved, broken(&ended))
        };
        let threads: Vec<_> = halves
            .into_iter()
            .map(|half| scope.spawn(move || half.into_iter().map(play).collect::<Vec<_>>()))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let wrong: Vec<_> = found.iter().filter(|world| !world.3.is_empty()).collect();
    assert!(wrong.is_empty(), "{} worlds, the first: {:#?}", wrong.len(), &wrong[..wrong.len().min(5)]);
    if wanted.is_some() {
        return;
    }
    // The worlds are worth something only when every kind of end is among them.
    for outcome in [
        RunOutcome::Completed,
        RunOutcome::RolledBack,
        RunOutcome::Stopped,
        RunOutcome::Holding,
        RunOutcome::Halted,
        RunOutcome::Refused,
        RunOutcome::Waiting,
    ] {
        let ends = found.iter().filter(|world| world.1 == Some(outcome)).count() as u64;
        assert!(ends * 200 >= WORLDS, "only {ends} of {WORLDS} worlds ended {outcome:?}");
    }
    let moved = found.iter().filter(|world| world.2).count() as u64;
    assert!(moved * 2 >= WORLDS, "in only {moved} of {WORLDS} worlds anybody was moved");
}

/// What the engine writes never contradicts itself, whatever the world did: its log is whole by every rule of the verifier but
/// those about keys, which a simulated person has none of.
#[test]
fn a18_the_log_of_no_world_contradicts_itself() {
    let of_people = ["approv", "request", "refused", "the role", "none of the plan's owners"];
    let (mut wrong, mut judged) = (Vec::new(), 0);
    for seed in 0..WORLDS / 20 {
        let ended = world(seed);
        let mut forge = forge::Forge::new();
        forge.plan = ended.play.plan.canonical();
        forge.open();
        for entry in &ended.play.journal.entries {
            forge.pass(jiff::SignedDuration::from_millis(1)).line(&entry.kind, &entry.data);
        }
        forge.seal();
        let report = rig::report(&forge.bytes());
        assert!(matches!(report.verdict, Verdict::Interrupted | Verdict::Policy), "{seed}: {:?}", report.verdict);
        let found = report.breaches.into_iter().filter(|b| !of_people.iter().any(|word| b.what.contains(word)));
        wrong.extend(found.map(|breach| format!("BGCTL_WORLD={seed}, record {}: {}", breach.record, breach.what)));
        judged += report.events;
    }
    assert!(wrong.is_empty(), "{} of {judged} facts:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
    assert!(judged > 1_000, "{judged}");
}

/// The same seed is the same world, to the byte of its log.
#[test]
fn a_seed_repeats_its_world() {
    for seed in 0..20 {
        let log = || world(seed).play.log().iter().map(|(kind, data)| format!("{kind} {data}\n")).collect::<String>();
        assert_eq!(log(), log(), "{seed}");
    }
}

/// What was done in a night of deaths, and what was wrong with it.
struct Night {
    kills: u32,
    inside_rollback: u32,
    wrong: Vec<String>,
}

/// A cutover on a world whose provider loses, delays and throttles writes, killed at random moments again and again, each time
/// taken up by `resume` or by `rollback`, up to five times, also inside the rollback.
fn night(seed: u64, disk: fn(u64) -> Disk) -> Night {
    let mut dice = Dice::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let routes = &["api", "web"][..1 + dice.below(2) as usize];
    let mut forward = vec![step("tell", "tell", Value::Null)];
    for (from, to) in [(0, 100), (100, 1000)] {
        for route in routes {
            forward.push(shift(&format!("{route}-{to}"), route, from, to));
            forward.push(step(&format!("watch-{route}-{to}"), "watch", Value::Null));
        }
    }
    let back = routes.iter().rev().map(|route| shift(&format!("back-{route}"), route, 1000, 0)).collect();
    let fate = |dice: &mut Dice| match dice.below(10) {
        0 => Write::ReplyLost,
        1 => Write::Lost,
        2 => Write::Late(s(1 + dice.below(9))),
        3 => Write::Throttled,
        _ => Write::Applied,
    };
    let scenario = Scenario {
        writes: (0..dice.below(8)).map(|_| fate(&mut dice)).collect(),
        propagation: Duration::from_millis(dice.below(4_000)),
        staleness: Duration::from_millis(if one_in(&mut dice, 4) { dice.below(5_000) } else { 0 }),
        disk: disk(dice.below(1 << 40)),
        ..Scenario::default()
    };
    let mut play = Play { waits: 3, ..Play::new(play::plan(routes, forward, back, json!({})), scenario) };
    let (mut night, mut back) = (Night { kills: 0, inside_rollback: 0, wrong: vec![] }, false);
    let deaths = 1 + dice.below(5);
    let mut outcome = None;
    for n in 0..=deaths {
        play.sim.clock.crash_at((n < deaths).then(|| 1 + dice.below(if back { 25 } else { 90 }) as u32));
        let ended = if back && n > 0 { play.roll_back() } else { play.process() };
        match ended {
            Ok(Ok(end)) => outcome = Some(end.outcome),
            Ok(Err(error)) => night.wrong.push(format!("{error}")),
            Err(_) => {
                night.kills += 1;
                night.inside_rollback += u32::from(back);
                outcome = None;
            }
        }
        if n == deaths || outcome == Some(RunOutcome::Completed) && one_in(&mut dice, 2) {
            break;
        }
        // Once somebody has gone back, going on is only ever going on with that.
        back = back || one_in(&mut dice, 2);
    }
    play.sim.clock.crash_at(None);
    let clock = play.sim.clock.clone();
    let went_on = outcome == Some(RunOutcome::Completed);
    clock.run(clock.sleep(s(60))).unwrap();
    let want = if went_on { Split::ALL_GREEN } else { Split::ALL_BLUE };
    for route in routes {
        let found = play.sim.split_of(route);
        if found != want {
            night.wrong.push(format!("{route} is at {found} and was sent to {want} ({outcome:?})"));
        }
        let history = play.sim.history(route);
        let green = |at: usize| history[at].1.share(Color::Green);
        let sent = play.sim.saw.borrow().iter().filter(|(_, saw)| matches!(saw, Saw::Sent { .. })).count();
        if history.len() > sent + 1 {
            night.wrong.push(format!("{route}: {sent} writes, and more changes: {history:?}"));
        }
        let sent: Vec<bool> = play
            .sim
            .saw
            .borrow()
            .iter()
            .filter_map(|(_, saw)| match saw {
                Saw::Sent { route: of, from, to } if of == route => {
                    Some(to.share(Color::Green) > from.share(Color::Green))
                }
                _ => None,
            })
            .collect();
        let turns = sent.windows(2).filter(|pair| pair[0] != pair[1]).count();
        if turns > 1 || sent.first() == Some(&false) && history.len() > 1 && green(1) > 0.0 && sent.contains(&true) {
            night.wrong.push(format!("{route}: {turns} changes of direction: {sent:?}"));
        }
    }
    if play.sim.effects.borrow().len() > 1 {
        night.wrong.push("what leaves no trace was done twice".into());
    }
    night
}

/// Users end where the last command sent them, with one change of direction at most, and no log is one that cannot follow.
#[test]
fn r01_a_thousand_kills_on_a_dropping_disk() {
    let nights: Vec<(u64, Night)> = (0..500).map(|seed| (seed, night(seed, Disk::Drops))).collect();
    let wrong: Vec<_> = nights.iter().filter(|(_, night)| !night.wrong.is_empty()).collect();
    let wrong: Vec<_> = wrong.iter().map(|(seed, night)| (seed, &night.wrong)).collect();
    assert!(wrong.is_empty(), "{} nights, the first: {:#?}", wrong.len(), &wrong[..wrong.len().min(5)]);
    let kills: u32 = nights.iter().map(|(_, night)| night.kills).sum();
    let inside: u32 = nights.iter().map(|(_, night)| night.inside_rollback).sum();
    println!("{kills} kills, {inside} of them inside a rollback");
    assert!(kills >= 1000 && inside >= 300, "only {kills} kills, {inside} inside a rollback");
}

/// The same nights under a journal that leaves its syncs out are found out.
#[test]
fn r30_a_journal_that_does_not_sync_is_found_out() {
    let wrong = (0..500).filter(|seed| !night(*seed, Disk::Unsynced).wrong.is_empty()).count();
    assert!(wrong > 0, "no night noticed that nothing was synced");
}
