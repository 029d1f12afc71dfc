//! Every sentence of a closing block against the reading it stands on: all outcomes, over all readings, with every answer the
//! sides can give. The oracle knows nothing of how the block is made: it looks for claims and asks whether they were read.

use std::collections::BTreeMap;
use std::rc::Rc;

use bgctl::journal::{Entry, Record};
use bgctl::plan::{Color, Plan, Split};
use bgctl::report::{About, Chorus, Findings, Place, Rest, Story, close};
use bgctl::run::{Event, RunOutcome, Sighting};
use bgctl::users::Side;
use serde_json::{Value, json};

const OUTCOMES: [RunOutcome; 8] = [
    RunOutcome::Completed,
    RunOutcome::NoChanges,
    RunOutcome::RolledBack,
    RunOutcome::Stopped,
    RunOutcome::Holding,
    RunOutcome::Halted,
    RunOutcome::Refused,
    RunOutcome::Waiting,
];

fn plan(routes: &[&str]) -> Plan {
    let step = |id: String, route: &str, before: u32, after: u32| {
        let split = |green: u32| json!({ "blue": 100 - green, "green": green });
        json!({
            "id": id, "kind": "shift", "line": "shift", "config": null, "resume": "observe", "attempts": 3,
            "timeout_s": 180, "expected_s": 1, "approval": null, "on_failure": "roll-back", "place": "runbook.yaml:1",
            "moves": { "route": route, "before": split(before), "after": split(after) },
        })
    };
    let route = |name: &&str| {
        let planned = json!({
            "router": "simulated", "config": null, "line": format!("the rule of {name}"), "seen_at": null,
            "before": { "blue": 1, "green": 0 }, "min_healthy": 2,
        });
        (name.to_string(), planned)
    };
    let forward: Vec<Value> = routes.iter().map(|route| step(format!("to-{route}"), route, 0, 100)).collect();
    let rollback: Vec<Value> = routes.iter().map(|route| step(format!("back-{route}"), route, 100, 0)).collect();
    serde_json::from_value(json!({
        "bgctl_plan": 1, "purpose": "cutover", "service": "bot", "environment": "test", "owners": ["owner@example.com"],
        "rollback_owner": "owner@example.com", "runbook": "runbook.yaml", "runbook_sha256": "",
        "blue": { "version": "v1", "url": "http://blue.test" }, "green": { "version": "v2", "url": "http://green.test" },
        "routes": routes.iter().map(route).collect::<BTreeMap<_, _>>(), "gates": {}, "slack": null,
        "policy": { "automatic_at_most": 2, "within_s": 86400, "schema_safe": true, "schema_reason": null, "page": [],
            "pause_at_most_s": 600 },
        "forward": forward, "rollback": rollback, "warnings": [],
    }))
    .unwrap()
}

type Read = Result<Split, String>;

fn green(percent: u32) -> Read {
    Ok(Split { blue: 100 - percent, green: percent })
}

/// What may be read, by route.
fn readings() -> Vec<Vec<(&'static str, Read)>> {
    let lost = || Err("AccessDenied".to_string());
    vec![
        vec![("web", green(0))],
        vec![("web", green(100))],
        vec![("web", green(10))],
        vec![("web", Ok(Split { blue: 0, green: 0 }))],
        vec![("web", lost())],
        vec![("api", green(0)), ("web", green(0))],
        vec![("api", green(100)), ("web", green(100))],
        vec![("api", green(0)), ("web", green(100))],
        vec![("api", green(50)), ("web", green(0))],
        vec![("api", green(0)), ("web", lost())],
        vec![("api", green(100)), ("web", lost())],
    ]
}

fn sides() -> [Side; 4] {
    [Side::Well("2 of 2".into()), Side::Ailing("0 of 2".into()), Side::Unknown("AccessDenied".into()), Side::NotAsked]
}

fn story(plan: &Rc<Plan>, late: bool, recorded: Option<Split>) -> Story {
    let mut story = Story::new(About { run: "20261120-0302-k7f".into(), plan: plan.clone(), by: "engineer".into() });
    let seen = |name: &String| (name.clone(), Sighting { split: recorded, line: "read".into() });
    let event = Event::UsersSeen { routes: plan.routes.keys().map(seen).collect(), settled: !late };
    let Record { kind, data } = Record::from(&event);
    story.take(&Entry { seq: 0, ts: "2026-11-20T03:02:41Z".into(), kind, data });
    story
}

/// Every claim of a block that was not read, in words.
fn false_claims(shown: &str, rest: &Rest, late: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            wrong.push(what.to_string());
        }
    };
    let says = |text: &str| shown.contains(text);
    let found = rest.found.as_ref();
    let splits: Vec<&Read> = found.iter().flat_map(|found| found.routes.values()).map(|place| &place.split).collect();
    let all = |stack: Color| {
        !splits.is_empty() && splits.iter().all(|split| split.as_ref().is_ok_and(|split| split.only() == Some(stack)))
    };
    let empty = |stack: Color| {
        !splits.is_empty() && splits.iter().all(|split| split.as_ref().is_ok_and(|split| split.weight(stack) == 0))
    };
    let every = |stack: Color, is: fn(&Side) -> bool| {
        found.is_some_and(|found| {
            found.routes.values().all(|place| is(if stack == Color::Blue { &place.blue } else { &place.green }))
        })
    };
    let is_well: fn(&Side) -> bool = |side| matches!(side, Side::Well(_));
    let known = !splits.is_empty() && splits.iter().all(|split| split.is_ok());
    for (stack, name) in [(Color::Blue, "BLUE v1"), (Color::Green, "GREEN v2")] {
        must(!says(&format!("All users are on {name}")) || all(stack), "all users are on a side");
        must(!says(&format!("(all on {name})")) || !splits.is_empty(), "all of a route on a side");
        must(
            !says(&format!("{name} runs without users")) || empty(stack) && every(stack, is_well),
            "runs without users",
        );
        must(!says(&format!("{name} has no users")) || empty(stack), "has no users");
        must(!says(&format!("{name} was healthy when asked")) || every(stack, is_well), "was healthy");
        let ails = found.is_some_and(|found| matches!(found.side(stack), Side::Ailing(_)));
        must(!says(&format!("{name} was not healthy")) || ails, "was not healthy");
    }
    must(
        !says("ready to take them back") || every(Color::Blue, is_well) && empty(Color::Blue),
        "ready to take them back",
    );
    must(!says("Users are split") || known && !all(Color::Blue) && !all(Color::Green), "users are split");
    must(!says("both stacks run"), "both stacks run");
    must(!says("Nobody needs to act") || all(Color::Blue) && !late, "nobody needs to act");
    must(!says("read just now") || found.is_some(), "read just now");
    let well = every(Color::Green, is_well);
    must(!says("GREEN is the healthy side") || well && !every(Color::Blue, is_well), "green is the healthy side");
    must(
        !says("bgctl rollback k7f  everyone back to BLUE\n") || every(Color::Blue, is_well),
        "back, without a condition",
    );
    // What must be said.
    if known {
        must(
            splits.iter().all(|split| says(&split.as_ref().unwrap().to_string())),
            "a split that was read is not said",
        );
    }
    if let Some(found) = found {
        for (name, place) in &found.routes {
            must(found.routes.len() == 1 || says(&format!("{name} ")), "a route is not named");
            if let Err(why) = &place.split {
                must(says(why) && says("unknown"), "what could not be read is not said");
            }
        }
    }
    let ends = match rest.outcome {
        RunOutcome::Completed => Some(Color::Green),
        RunOutcome::RolledBack | RunOutcome::Stopped => Some(Color::Blue),
        _ => None,
    };
    if let Some(end) = ends {
        let elsewhere = splits.iter().any(|split| split.as_ref().is_ok_and(|split| split.only() != Some(end)));
        must(says("the reading contradicts it") == elsewhere, "a contradiction is said, and nothing else is");
        must(!elsewhere || says("bgctl status"), "a contradiction names what to do");
    }
    must(says("may still land") == late, "a late write is said");
    let rests = matches!(rest.outcome, RunOutcome::Halted | RunOutcome::Holding);
    must(!rests || rest.native.iter().all(|command| says(command)), "the native command is on the screen");
    wrong
}

#[test]
fn r06_no_closing_claims_what_was_not_read() {
    let mut wrong = BTreeMap::new();
    let mut blocks = 0;
    for reading in readings() {
        let names: Vec<&str> = reading.iter().map(|(name, _)| *name).collect();
        let plan = Rc::new(plan(&names));
        for (blue, green) in sides().iter().flat_map(|blue| sides().map(|green| (blue.clone(), green))) {
            for (outcome, native, late) in
                OUTCOMES.iter().flat_map(|o| [(*o, false, false), (*o, true, false), (*o, true, true)])
            {
                // What was recorded before is another thing than what is read now.
                for recorded in [None, Some(Split::of_green(500))] {
                    let place = |(name, split): &(&str, Read)| {
                        (name.to_string(), Place { split: split.clone(), blue: blue.clone(), green: green.clone() })
                    };
                    let to_green = if native { vec!["aws elbv2 modify-rule to green".to_string()] } else { vec![] };
                    let routes = reading.iter().map(place).collect();
                    let rest = Rest {
                        outcome,
                        exit: 0,
                        found: Some(Findings { routes, to_green, ..Findings::default() }),
                        now: "2026-11-20T03:12:41Z".parse().unwrap(),
                        native: if native { vec!["sh undo/web.sh".into()] } else { vec![] },
                        folder: None,
                        tail: vec![],
                    };
                    let shown = close(&story(&plan, late, recorded), &rest).lines.join("\n") + "\n";
                    blocks += 1;
                    for what in false_claims(&shown, &rest, late) {
                        wrong.entry(what).or_insert(shown.clone());
                    }
                }
            }
        }
    }
    assert!(blocks > 8_000, "{blocks}");
    let told: Vec<String> = wrong.iter().map(|(what, shown)| format!("{what}:\n{shown}")).collect();
    assert!(wrong.is_empty(), "{} kinds of false claims\n{}", wrong.len(), told.join("\n"));
}

/// A run of then, looked at again: nobody has read anything for it.
#[test]
fn r06_what_was_recorded_is_said_with_its_age() {
    let plan = Rc::new(plan(&["web"]));
    for outcome in OUTCOMES {
        let rest = Rest {
            outcome,
            exit: 0,
            found: None,
            now: "2026-11-20T03:12:41Z".parse().unwrap(),
            native: vec![],
            folder: None,
            tail: vec![],
        };
        let shown = close(&story(&plan, false, Some(Split::ALL_GREEN)), &rest).lines.join("\n");
        assert_eq!(false_claims(&format!("{shown}\n"), &rest, false), Vec::<String>::new(), "{shown}");
        assert!(shown.contains("BLUE 0 GREEN 100, last read 10m ago"), "{shown}");
        let never = close(&story(&plan, false, None), &rest).lines.join("\n");
        assert!(never.contains("users      not read"), "{never}");
    }
}

/// A chorus closes with the same words.
#[test]
fn r06_where_green_is_the_healthy_side_that_comes_first() {
    let plan = Rc::new(plan(&["web"]));
    let place = Place { split: green(10), blue: Side::Ailing("0 of 2".into()), green: Side::Well("2 of 2".into()) };
    let mut found =
        Findings { routes: BTreeMap::from([("web".to_string(), place)]), to_green: vec![], ..Findings::default() };
    let about = About { run: "20261120-0302-k7f".into(), plan: plan.clone(), by: "engineer".into() };
    let shown = |found: &Findings| {
        let rest = Rest {
            outcome: RunOutcome::Halted,
            exit: 20,
            found: Some(found.clone()),
            now: "2026-11-20T03:12:41Z".parse().unwrap(),
            native: vec!["sh undo/web.sh".into()],
            folder: None,
            tail: vec![],
        };
        Chorus::new(about.clone(), vec![]).close(&rest).lines.join("\n")
    };
    let without = shown(&found);
    let first = without.lines().find(|line| line.trim_start().starts_with("next")).unwrap();
    assert!(first.contains("GREEN is the healthy side (2 of 2 healthy, BLUE 0 of 2, asked just now)"), "{without}");
    assert!(without.contains("refused while BLUE is not well: 0 of 2 when asked just now"), "{without}");
    assert!(without.contains("which does not ask whether BLUE is well:\n     sh undo/web.sh"), "{without}");
    found.to_green = vec!["aws elbv2 modify-rule to green".into()];
    let with = shown(&found);
    assert!(with.contains("everyone there, without bgctl:\n     aws elbv2 modify-rule to green\n"), "{with}");
}

/// Where resolvers or open flows keep users for a while, nobody says that they are all there.
#[test]
fn users_who_follow_late_are_sent_and_not_yet_there() {
    let plan = Rc::new(plan(&["web"]));
    let place = Place { split: green(100), blue: Side::Well("2 of 2".into()), green: Side::Well("2 of 2".into()) };
    let found = Findings {
        routes: BTreeMap::from([("web".to_string(), place)]),
        to_green: vec![],
        follow: std::time::Duration::from_secs(60),
    };
    let rest = Rest {
        outcome: RunOutcome::Completed,
        exit: 0,
        found: Some(found),
        now: "2026-11-20T03:12:41Z".parse().unwrap(),
        native: vec![],
        folder: None,
        tail: vec![],
    };
    let shown = close(&story(&plan, false, Some(Split::ALL_GREEN)), &rest).lines.join("\n");
    assert!(shown.contains("All users are sent to GREEN") && shown.contains("some follow within 1m"), "{shown}");
    assert!(!shown.contains("All users are on"), "{shown}");
}
