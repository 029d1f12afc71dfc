//! Blue and green held against each other: the table of differences, what may never be shown, preflight, and the snippets of
//! `bgctl explain compare`, which are run as they stand there.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;

use bgctl::arm::arm;
use bgctl::child::Children;
use bgctl::clock::{Clock, SystemClock};
use bgctl::compare::{Comparison, Inventory, Level, Nonce, compare, differences, settings};
use bgctl::live::http::LiveWeb;
use bgctl::plan::Plan;
use bgctl::world::{Exit, Request, Response, WebError, World};
use serde_json::{Value, json};

mod common;
use common::peer;
use common::scripted::{Stage, plan, response};

const PROOF: &str = "bgctl inventory v1";

fn with(compare: Value) -> Plan {
    Plan { compare: Some(compare), ..plan() }
}

/// An inventory as a stack would answer it: values in, digests out.
fn answered(nonce: &str, mut inventory: Value) -> Value {
    let digest = |text: &str| hmac(nonce, text);
    for part in ["configuration", "secrets"] {
        for value in inventory[part].as_object_mut().into_iter().flat_map(|part| part.values_mut()) {
            *value = json!(digest(value.as_str().unwrap()));
        }
    }
    inventory["proof"] = json!(digest(PROOF));
    inventory
}

/// HMAC-SHA256 by hand, so that a mistake of ours and one of the library do not agree.
fn hmac(key: &str, text: &str) -> String {
    use sha2::{Digest, Sha256};
    let mut block = [0u8; 64];
    let key = key.as_bytes();
    assert!(key.len() <= 64);
    block[..key.len()].copy_from_slice(key);
    let padded = |with: u8| block.iter().map(|b| b ^ with).collect::<Vec<u8>>();
    let inner = Sha256::digest([padded(0x36), text.as_bytes().to_vec()].concat());
    Sha256::digest([padded(0x5c), inner.to_vec()].concat()).iter().map(|b| format!("{b:02x}")).collect()
}

/// A world whose stacks answer these inventories.
fn stacks(blue: Value, green: Value) -> Stage {
    Stage::new(move |request: &Request, _| {
        let nonce = request.headers.iter().find(|(name, _)| name == "x-bgctl-nonce").expect("a nonce").1.clone();
        let own = if request.url.contains("blue") { &blue } else { &green };
        response(200, answered(&nonce, own.clone()).to_string())
    })
}

fn compared(blue: Value, green: Value, more: Value) -> Comparison {
    let mut config = json!({ "inventory": { "path": "/bgctl/inventory" } });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let plan = with(config);
    let stage = stacks(blue, green);
    let settings = settings(&plan).unwrap().unwrap();
    stage.clock.run(compare(&plan, &settings, &stage.world)).unwrap().unwrap()
}

fn lines(found: &Comparison) -> Vec<(String, Level, &str)> {
    found.differences.iter().map(|d| (d.name(), d.level, d.line.as_str())).collect()
}

#[test]
fn what_is_the_same_is_no_difference() {
    let all = |version: &str| {
        json!({
            "version": version, "images": { "bot": "bot@sha256:1" }, "configuration": { "POOL": "20" }, "secrets": { "KEY": "s3cret" },
            "handlers": { "commands": ["/deploy"] }, "queues": { "orders": { "reads": ["1"], "writes": "1" } },
            "caches": { "sessions": { "key": "s:", "version": "1" } }, "health": { "database": "ok" },
        })
    };
    let found = compared(all("v1"), all("v2"), json!({}));
    assert_eq!(lines(&found), []);
    assert_eq!(
        found.compared,
        "1 image, 1 configuration key, 1 secret, 1 kind of listener, 1 queue, 1 cache, 1 sign of health"
    );
}

#[test]
fn every_part_has_its_difference_and_its_weight() {
    use Level::{Block, Ignore, Warn};
    type Row = (Value, Value, &'static str, Level, &'static str);
    let rows: Vec<Row> = vec![
        (
            json!({ "version": "v1" }),
            json!({ "version": "v9" }),
            "version green",
            Block,
            "GREEN runs v9, the runbook says v2",
        ),
        (
            json!({ "images": { "bot": "bot:1" } }),
            json!({ "images": { "bot": "bot:2" } }),
            "image bot",
            Ignore,
            "image `bot` is bot:1 on BLUE and bot:2 on GREEN",
        ),
        (
            json!({ "configuration": { "POOL": "20" } }),
            json!({ "configuration": { "POOL": "4" } }),
            "configuration POOL",
            Warn,
            "configuration `POOL` has another value on GREEN",
        ),
        (
            json!({ "configuration": { "POOL": "20" } }),
            json!({ "configuration": { "OTHER": "1", "POOL": "20" } }),
            "configuration OTHER",
            Warn,
            "only GREEN has the configuration `OTHER`",
        ),
        (
            json!({ "secrets": { "KEY": "a" } }),
            json!({ "secrets": {}, "version": "v2" }),
            "secret KEY",
            Block,
            "GREEN lacks the secret `KEY`",
        ),
        (
            json!({ "secrets": { "KEY": "a" } }),
            json!({ "secrets": { "KEY": "b" } }),
            "secret KEY",
            Block,
            "secret `KEY` has another value on GREEN",
        ),
        (
            json!({ "handlers": { "commands": ["/deploy", "/old"] } }),
            json!({ "handlers": { "commands": ["/deploy", "/new"] } }),
            "handler commands /old",
            Block,
            "GREEN does not handle commands /old, BLUE does",
        ),
        (
            json!({ "queues": { "orders": { "reads": ["1"], "writes": "1" } } }),
            json!({ "queues": { "orders": { "reads": ["1", "2"], "writes": "2" } } }),
            "queue orders",
            Block,
            "GREEN writes version 2 to queue `orders`, which BLUE cannot read: going back would strand them",
        ),
        (
            json!({ "queues": { "orders": { "reads": ["1"], "writes": "1" } } }),
            json!({ "queues": { "orders": { "reads": ["2"] } } }),
            "queue orders",
            Block,
            "BLUE writes version 1 to queue `orders`, which GREEN cannot read: what waits in the queue would be stranded",
        ),
        (
            json!({ "caches": { "sessions": { "key": "s:", "version": "1" } } }),
            json!({ "caches": { "sessions": { "key": "s:", "version": "2" } } }),
            "cache sessions",
            Block,
            "under `s:` of cache `sessions` BLUE keeps version 1 and GREEN version 2: each reads what the other wrote",
        ),
        (
            json!({ "caches": { "sessions": { "key": "s1:", "version": "1" } } }),
            json!({ "caches": { "sessions": { "key": "s2:", "version": "2" } } }),
            "cache sessions",
            Warn,
            "GREEN keeps cache `sessions` under another key, and begins with it empty",
        ),
        (
            json!({ "health": { "database": "ok" } }),
            json!({ "health": { "database": "no connection" } }),
            "health database",
            Block,
            "GREEN's `database` says no connection",
        ),
    ];
    for (blue, green, name, level, line) in rows {
        let found = compared(blue, green, json!({}));
        assert_eq!(lines(&found), [(name.to_string(), level, line)]);
    }
}

#[test]
fn what_is_declared_is_only_listed_and_what_is_gone_is_said() {
    let blue = json!({ "configuration": { "POOL": "20" }, "secrets": { "KEY": "a" } });
    let green = json!({ "configuration": { "POOL": "4" }, "secrets": { "KEY": "b" } });
    let more = json!({ "configuration": "block", "expected": ["secret KEY", "configuration GONE"] });
    let found = compared(blue, green, more);
    let levels: Vec<Level> = found.differences.iter().map(|d| d.level).collect();
    assert_eq!(levels, [Level::Block, Level::Ignore]);
    assert_eq!(found.stale, ["configuration GONE"]);
}

#[test]
fn nothing_of_a_value_is_ever_said() {
    let blue = json!({ "configuration": { "POOL": "hunter2-blue" }, "secrets": { "KEY": "swordfish-blue" } });
    let green = json!({ "configuration": { "POOL": "hunter2-green" }, "secrets": { "KEY": "swordfish-green" } });
    let found = compared(blue, green, json!({}));
    let said = format!("{found:?}{}", serde_json::to_string(&found.differences).unwrap());
    assert!(!said.contains("hunter2") && !said.contains("swordfish"), "{said}");
    let hex = |word: &str| word.len() >= 32 && word.bytes().all(|b| b.is_ascii_hexdigit());
    assert!(!said.split(|c: char| !c.is_ascii_alphanumeric()).any(hex), "not even a digest: {said}");
}

#[test]
fn a_value_in_clear_is_refused_without_being_shown() {
    let nonce = Nonce::new().unwrap();
    let proof = nonce.digest(PROOF);
    for (inventory, why) in [
        (json!({ "proof": proof, "secrets": { "KEY": "swordfish" } }), "`secrets.KEY` is not a digest"),
        (
            json!({ "proof": proof, "configuration": { "POOL": 20 } }),
            "`configuration` of the inventory does not have the shape",
        ),
        (json!({ "proof": "00", "secrets": { "KEY": nonce.digest("x") } }), "not made under our nonce"),
        (json!({ "secrets": { "KEY": Nonce::new().unwrap().digest("x") } }), "not made under our nonce"),
        (json!({ "queues": { "orders": { "read": ["1"] } } }), "`queues` of the inventory does not have the shape"),
        (json!({}), "names nothing"),
        (json!(["swordfish"]), "no JSON object"),
    ] {
        let error = Inventory::parse(inventory.to_string().as_bytes(), &nonce).unwrap_err();
        assert!(error.contains(why) && !error.contains("swordfish"), "{inventory}: {error}");
    }
}

/// Preflight of a plan that compares and has no route: its record, or its refusal.
fn armed(stage: &Stage, compare: Value) -> Result<Vec<Value>, String> {
    // No gate is asked here: the stage is two stacks and nothing else.
    let plan = Plan { gates: BTreeMap::new(), ..with(compare) };
    let armed = stage.clock.run(arm(&plan, &stage.world, &|_, _| Ok(()))).unwrap();
    armed.map_err(|refusal| refusal.to_string())
}

#[test]
fn a_cutover_does_not_begin_when_green_is_not_as_blue_is() {
    let same = json!({ "secrets": { "KEY": "a" } });
    let config = json!({ "inventory": { "path": "/bgctl/inventory" } });
    let checks = armed(&stacks(same.clone(), same.clone()), config.clone()).unwrap();
    assert!(checks.iter().any(|check| check["line"] == "GREEN matches BLUE: 1 secret"), "{checks:?}");

    let other = json!({ "secrets": { "KEY": "b" }, "configuration": { "POOL": "4" } });
    let refusal = armed(&stacks(same.clone(), other), config.clone()).unwrap_err();
    assert!(refusal.contains("BG0187") && refusal.contains("secret `KEY` has another value on GREEN"), "{refusal}");
    assert!(
        refusal.contains("compare.expected: [\"secret KEY\"]") && refusal.contains("Nothing was changed"),
        "{refusal}"
    );

    let warned = json!({ "secrets": { "KEY": "a" }, "configuration": { "POOL": "4" } });
    let checks = armed(&stacks(same, warned), config).unwrap();
    assert!(
        checks.iter().any(|c| c["line"] == "GREEN differs from BLUE: only GREEN has the configuration `POOL`"),
        "{checks:?}"
    );
}

#[test]
fn a_stack_that_cannot_be_read_is_never_the_same() {
    let answers: [fn() -> Result<Response, WebError>; 3] =
        [common::scripted::no_answer, || response(404, "{}"), || response(200, "<html>")];
    for answer in answers {
        let stage = Stage::new(move |_, _| answer());
        let refusal = armed(&stage, json!({ "inventory": { "path": "/bgctl/inventory" } })).unwrap_err();
        assert!(refusal.contains("BG0186") && refusal.contains("BLUE"), "{refusal}");
    }
    let stage = Stage::with(|_, _| response(404, ""), Vec::new(), Exit::Status(3));
    let refusal = armed(&stage, json!({ "inventory": { "command": ["inventory", "${env:PASSWORD}"] } })).unwrap_err();
    assert!(
        refusal.contains("BG0186") && refusal.contains("status 3") && !refusal.contains("correct-horse"),
        "{refusal}"
    );
}

#[test]
fn numbers_are_held_against_their_limits_of_each_side_or_of_the_service() {
    let check = |limits: Value| {
        let mut check = json!({ "number": { "http": { "url": "{url}/queues", "value": "/lag" }, "url": "" } });
        check.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
        check
    };
    let config = json!({
        "inventory": { "path": "/bgctl/inventory" },
        "checks": {
            "lag": check(json!({ "max": 10 })), "few": check(json!({ "min": 5, "level": "warn" })), "fine": check(json!({ "max": 99 })),
            "dead": { "number": { "http": { "url": "http://queues.test/dead", "value": "/depth" }, "url": "" }, "max": 0 },
        },
    });
    let plan = with(config);
    let stage = Stage::new(|request: &Request, _| match request.url.as_str() {
        url if url.contains("inventory") => response(200, json!({ "health": { "bot": "ok" } }).to_string()),
        url if url.contains("queues.test") => response(200, "{}"),
        url if url.contains("blue") => response(200, json!({ "lag": 3 }).to_string()),
        _ => response(200, json!({ "lag": 40 }).to_string()),
    });
    let settings = settings(&plan).unwrap().unwrap();
    assert_eq!(settings.check(), []);
    let found = stage.clock.run(compare(&plan, &settings, &stage.world)).unwrap().unwrap();
    let said = lines(&found);
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said[0].0 == "check dead" && said[0].1 == Level::Block && said[0].2.contains("is not known"), "{said:?}");
    assert_eq!(said[1], ("check few".into(), Level::Warn, "`few` on BLUE is 3, at least 5"));
    assert_eq!(said[2], ("check lag".into(), Level::Block, "`lag` on GREEN is 40, at most 10"));
}

#[test]
fn differences_do_not_depend_on_the_order_of_names() {
    let nonce = Nonce::new().unwrap();
    let read = |text: &str| Inventory::parse(text.as_bytes(), &nonce).unwrap();
    let one = read(r#"{"images": {"a": "1", "b": "2"}, "health": {"x": "ok"}}"#);
    let two = read(r#"{"health": {"x": "ok"}, "images": {"b": "2", "a": "1"}}"#);
    let plan = with(json!({ "inventory": { "path": "/i" } }));
    assert_eq!(differences(&plan, &settings(&plan).unwrap().unwrap(), &one, &two), []);
}

/// A fence of `bgctl explain compare`.
fn snippet(language: &str) -> String {
    let page = include_str!("../src/compare/compare.md");
    let start = page.find(&format!("```{language}\n")).expect("the snippet") + language.len() + 4;
    page[start..start + page[start..].find("```").unwrap()].to_string()
}

/// A server from the page; ended when dropped.
struct Served(Child, u16);

impl Served {
    fn new(program: &str, language: &str, version: &str, pool: &str) -> Served {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(program);
        command.arg("-").env("PORT", port.to_string()).env("VERSION", version);
        command.env("POOL_SIZE", pool).env("LOG_LEVEL", "info").env("SLACK_SIGNING_SECRET", "s3cret");
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(snippet(language).as_bytes()).unwrap();
        Served(child, port)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn live() -> (tokio::runtime::Runtime, World) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let clock: Rc<dyn Clock> = Rc::new(SystemClock);
    let stage = Stage::new(|_, _| response(404, ""));
    let web = Rc::new(LiveWeb::new(clock.clone()));
    let world = World { web, processes: Rc::new(Children::new(clock.clone(), None)), clock, ..stage.world };
    (runtime, world)
}

#[test]
fn the_snippets_of_the_page_answer_what_the_contract_says() {
    let (runtime, world) = live();
    for (program, language) in [("python3", "python"), ("node", "javascript")] {
        let Some(_) = peer(program) else { continue };
        let (blue, green) = (Served::new(program, language, "v1", "20"), Served::new(program, language, "v2", "4"));
        let mut plan = with(json!({ "inventory": { "path": "/bgctl/inventory" }, "within": "5s" }));
        plan.blue.url = format!("http://127.0.0.1:{}", blue.1);
        plan.green.url = format!("http://127.0.0.1:{}", green.1);
        let settings = settings(&plan).unwrap().unwrap();
        let found = runtime.block_on(async {
            let mut last = compare(&plan, &settings, &world).await;
            for _ in 0..100 {
                if last.is_ok() {
                    break;
                }
                world.clock.sleep(std::time::Duration::from_millis(100)).await;
                last = compare(&plan, &settings, &world).await;
            }
            last
        });
        let found = found.unwrap_or_else(|(stack, why)| panic!("{program}: {stack}: {why}"));
        let said = lines(&found);
        assert_eq!(
            said,
            [("configuration POOL_SIZE".into(), Level::Warn, "configuration `POOL_SIZE` has another value on GREEN")]
        );
        assert!(found.compared.starts_with("2 configuration keys, 1 secret,"), "{}", found.compared);
    }
}

#[test]
fn the_shell_script_of_the_page_does_too() {
    let Some(_) = peer("openssl") else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("inventory.sh");
    // The secret differs by stack, as it would when each is asked over ssh.
    std::fs::write(&file, format!("SLACK_SIGNING_SECRET=secret-of-$BGCTL_STACK\n{}", snippet("sh"))).unwrap();
    let (runtime, world) = live();
    let plan = with(json!({ "inventory": { "command": ["sh", file.display().to_string()] }, "within": "5s" }));
    let settings = settings(&plan).unwrap().unwrap();
    let found =
        runtime.block_on(compare(&plan, &settings, &world)).unwrap_or_else(|(stack, why)| panic!("{stack}: {why}"));
    assert_eq!(
        lines(&found),
        [(
            "secret SLACK_SIGNING_SECRET".into(),
            Level::Block,
            "secret `SLACK_SIGNING_SECRET` has another value on GREEN"
        )]
    );
}
