//! Steps: what each does with a world that answers by script, with real programs, and with the bots of the lab.

mod common;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bgctl::child::Children;
use bgctl::clock::{Clock, SystemClock};
use bgctl::live::http::LiveWeb;
use bgctl::live::redis::LiveStore;
use bgctl::plan::Resume;
use bgctl::run::{Cause, Evidence, Outcome, Reaction, Verdict};
use bgctl::secret::{Secret, Secrets};
use bgctl::world::{Command, Exit, Request, Response, Stream, Web, WebError, World};
use common::scripted::{Notebook, SIGNING_SECRET, Stage, built, kind, no_answer, plan, response};
use serde_json::{Value, json};

fn is_done(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Done { .. })
}

fn cause(outcome: &Outcome) -> Option<Cause> {
    match outcome {
        Outcome::Failed { cause, moved: false, .. } => Some(*cause),
        _ => None,
    }
}

#[test]
fn mistakes_in_settings_are_named_with_their_place() {
    let table: [(&str, Value, &str, &str); 23] = [
        ("warm", json!({ "stack": "red", "path": "/", "requests": 1 }), "", "unknown variant `red`"),
        ("warm", json!({ "stack": "green", "path": "x", "requests": 1 }), "/path", "is not a path"),
        ("warm", json!({ "stack": "green", "path": "/", "requests": 0 }), "/requests", "not between"),
        (
            "warm",
            json!({ "stack": "green", "path": "/", "requests": 1, "within": "0s" }),
            "/within",
            "deadline of zero",
        ),
        ("warm", json!({ "stack": "green", "path": "/", "requests": 1, "speed": 3 }), "", "unknown field `speed`"),
        ("smoke", json!({ "stack": "green" }), "", "checks nothing"),
        ("smoke", json!({ "stack": "green", "checks": ["signatur"] }), "", "expected one of `version`, `signature`"),
        (
            "smoke",
            json!({ "stack": "green", "expect": [{ "path": "/", "status": 99 }] }),
            "/expect/0/status",
            "not an HTTP status",
        ),
        (
            "smoke",
            json!({ "stack": "green", "expect": [{ "path": "/", "header": "x" }] }),
            "/expect/0/header",
            "name: value",
        ),
        (
            "smoke",
            json!({ "stack": "green", "expect": [{ "path": "/", "header": "x y: z" }] }),
            "/expect/0/header",
            "no name of a header",
        ),
        (
            "smoke",
            json!({ "stack": "green", "checks": ["public"], "public": { "url": "http://a", "headers": { "x": "a\nb" } } }),
            "/public/headers/x",
            "none of a header",
        ),
        ("drain", json!({ "stack": "blue" }), "", "needs `within` or `longest_job`"),
        ("drain", json!({ "stack": "blue", "within": "1m", "until": "tired" }), "/until", "not a condition"),
        ("drain", json!({ "stack": "blue", "within": "5" }), "", "is not a duration"),
        ("bake", json!({ "for": "5m", "gates": [] }), "/gates", "watches nothing"),
        ("bake", json!({ "for": "5m", "gates": ["eror"] }), "/gates/0", "no gate `eror`"),
        ("bake", json!({ "for": "5m", "windows": 2, "fail": 3, "gates": ["errors"] }), "/fail", "not between"),
        ("command", json!({}), "", "exactly one of `run` and `shell`"),
        ("command", json!({ "run": ["a"], "shell": "b" }), "", "exactly one of `run` and `shell`"),
        ("command", json!({ "run": [] }), "/run", "no program"),
        ("command", json!({ "run": ["a"], "env": { "A=B": "c" } }), "/env", "not a name"),
        ("announce", json!({ "slack": "https://hooks.slack.com/x", "text": "hi" }), "/slack", "is a secret"),
        ("announce", json!({ "slack": "${env:X}", "text": " " }), "/text", "nothing to say"),
    ];
    for (name, settings, at, word) in table {
        let mistakes = (kind(name).facts)(&settings, &plan()).err().unwrap_or_default();
        let found = mistakes.iter().any(|m| m.at == at && m.message.contains(word));
        assert!(found, "{name} {settings}: {mistakes:?}");
    }
}

#[test]
fn what_may_be_done_after_a_crash_follows_from_the_settings() {
    let drain = |then: &str| json!({ "stack": "blue", "within": "1m", "at_timeout": then });
    let table = [
        ("warm", json!({ "stack": "green", "path": "/", "requests": 1 }), Resume::Repeat),
        ("smoke", json!({ "stack": "green", "checks": ["version"] }), Resume::Repeat),
        ("bake", json!({ "for": "5m", "gates": ["errors"] }), Resume::Repeat),
        ("drain", drain("continue"), Resume::Repeat),
        ("drain", drain("ask"), Resume::AskHuman),
        ("command", json!({ "run": ["true"] }), Resume::AskHuman),
        ("announce", json!({ "slack": "${env:X}", "text": "hi" }), Resume::AskHuman),
    ];
    for (name, settings, resume) in table {
        assert_eq!((kind(name).facts)(&settings, &plan()).unwrap().resume, resume, "{name}");
    }
}

#[test]
fn a_smoke_test_says_what_it_looks_at() {
    let line = |more: Value| {
        let mut settings = json!({ "stack": "green" });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        (kind("smoke").facts)(&settings, &plan()).unwrap().line
    };
    let page = json!({ "path": "/" });
    assert_eq!(line(json!({ "checks": ["version", "replay"] })), "smoke test GREEN: version, replay");
    assert_eq!(line(json!({ "expect": [page] })), "smoke test GREEN: 1 page");
    assert_eq!(line(json!({ "checks": ["version"], "expect": [page, page] })), "smoke test GREEN: version and 2 pages");
}

#[test]
fn warm_counts_every_request_and_judges_the_share_of_bad_ones() {
    let count = RefCell::new(0);
    let stage = Stage::new(move |r, _| {
        assert_eq!(r.url, "http://green.test/ready");
        *count.borrow_mut() += 1;
        if *count.borrow() % 10 == 0 { response(500, "") } else { response(200, "ok") }
    });
    let warm = |allowed: &str| json!({ "stack": "green", "path": "/ready", "requests": 50, "max_errors": allowed });
    let outcome = stage.run("warm", warm("9.9%"));
    assert_eq!(cause(&outcome), Some(Cause::Gate));
    assert!(outcome.line().contains("50 of 50 requests to GREEN") && outcome.line().contains("5 bad"), "{outcome:?}");
    assert!(outcome.line().contains("first: `/ready` answers 500"), "{outcome:?}");
    assert!(is_done(&stage.run("warm", warm("10%"))));
    assert_eq!(stage.web.sent.borrow().len(), 100);
    let slow = Stage::new(|_, _| Ok(Response { status: 200, time: Duration::from_secs(5), ..Response::default() }));
    let outcome = slow.run("warm", json!({ "stack": "green", "path": "/", "requests": 50, "within": "10s" }));
    assert_eq!(cause(&outcome), Some(Cause::Timeout));
    assert_eq!(slow.clock.time(), Duration::from_secs(10));
}

#[test]
fn drained_is_zero_seen_twice() {
    let gauge = |numbers: &'static [i64]| {
        let at = RefCell::new(0);
        Stage::new(move |r, _| {
            assert_eq!(r.url, "http://blue.test/bgctl/inflight");
            let n = numbers[(*at.borrow()).min(numbers.len() - 1)];
            *at.borrow_mut() += 1;
            match n {
                -1 => no_answer(),
                -2 => response(404, "not here"),
                n => response(200, json!({ "inflight": n }).to_string()),
            }
        })
    };
    let drain = |then: &str| json!({ "stack": "blue", "until": "in_flight == 0", "within": "10s", "at_timeout": then });
    let stage = gauge(&[3, 0, 1, 0, 0]);
    let outcome = stage.run("drain", drain("ask"));
    assert!(is_done(&outcome), "{outcome:?}");
    assert_eq!(stage.web.sent.borrow().len(), 5);
    match &stage.notes.evidence.borrow()[..] {
        [Evidence::DrainMeasured { stack, in_flight, after_ms, .. }] => {
            assert_eq!((stack.as_str(), in_flight.as_deref()), ("blue", Some("0")));
            assert!((4000..4100).contains(after_ms), "{after_ms}");
        }
        other => panic!("{other:?}"),
    }
    // A gauge that cannot be read is not zero.
    for (numbers, residue) in [
        (&[2][..], "2 requests were still in flight on BLUE after 10s"),
        (&[1], "1 request was still in flight on BLUE after 10s"),
        (&[-2], "unknown after 10s: `/bgctl/inflight` answers 404"),
        (&[-1], "unknown"),
    ] {
        let numbers: &'static [i64] = numbers.to_vec().leak();
        let outcome = gauge(numbers).run("drain", drain("ask"));
        assert!(matches!(outcome, Outcome::Unknown { .. }) && outcome.line().contains(residue), "{outcome:?}");
        assert!(is_done(&gauge(numbers).run("drain", drain("continue"))));
        assert_eq!(cause(&gauge(numbers).run("drain", drain("roll-back"))), Some(Cause::Timeout));
        let held = gauge(numbers).run("drain", drain("hold"));
        assert!(matches!(held, Outcome::Failed { then: Some(Reaction::Hold), .. }), "{held:?}");
    }
}

/// Several processes share the work, and a bot without a gauge gets the time its longest work takes.
#[test]
fn a_drain_adds_up_instances_and_waits_for_the_longest_job() {
    let stage = Stage::new(|r, at| {
        let busy = r.url.starts_with("http://two.test") && at < Duration::from_secs(3);
        response(200, json!({ "inflight": if busy { 2 } else { 0 } }).to_string())
    });
    let instances = ["http://one.test", "http://two.test/"];
    let outcome = stage.run("drain", json!({ "stack": "blue", "instances": instances, "within": "30s" }));
    assert!(is_done(&outcome), "{outcome:?}");
    assert!(stage.clock.time() >= Duration::from_secs(4), "{:?}", stage.clock.time());
    let stage = Stage::new(|r, _| panic!("{} was asked", r.url));
    let outcome = stage.run("drain", json!({ "stack": "blue", "longest_job": "90s" }));
    assert!(is_done(&outcome) && outcome.line().contains("had 1m 30s"), "{outcome:?}");
    assert_eq!(stage.clock.time(), Duration::from_secs(90));
    match &stage.notes.evidence.borrow()[..] {
        [Evidence::DrainMeasured { in_flight: None, after_ms: 90_000, .. }] => {}
        other => panic!("{other:?}"),
    }
    let both = json!({ "stack": "blue", "longest_job": "90s", "within": "1m" });
    assert!((kind("drain").facts)(&both, &plan()).is_err());
}

#[test]
fn a_command_is_judged_by_its_status_and_its_output_is_masked_and_bounded() {
    let lines =
        vec![(Stream::Stdout, "the password is correct-horse".to_string()), (Stream::Stderr, "a warning".to_string())];
    let stage = Stage::with(|_, _| no_answer(), lines, Exit::Status(3));
    let settings = json!({ "run": ["migrate", "${env:PASSWORD}"], "env": { "PGPASSWORD": "${env:PASSWORD}" }, "expect_status": 3 });
    assert!(is_done(&stage.run("command", settings)));
    let ran = stage.processes.ran.borrow();
    assert_eq!((ran[0].argv[1].as_str(), ran[0].env["PGPASSWORD"].as_str()), ("correct-horse", "correct-horse"));
    let text = stage.notes.text();
    assert!(
        text.contains("the password is [secret]") && text.contains("a warning") && !text.contains("horse"),
        "{text}"
    );
    for (exit, wanted) in
        [(Exit::Status(1), Cause::Action), (Exit::Signal(9), Cause::Action), (Exit::TimedOut, Cause::Timeout)]
    {
        let outcome = Stage::with(|_, _| no_answer(), vec![], exit).run("command", json!({ "shell": "true" }));
        assert_eq!(cause(&outcome), Some(wanted), "{outcome:?}");
    }
    let flood = vec![(Stream::Stdout, "x".repeat(1000)); 3000];
    let stage = Stage::with(|_, _| no_answer(), flood, Exit::Status(0));
    let outcome = stage.run("command", json!({ "run": ["yes"] }));
    let evidence = stage.notes.evidence.borrow();
    let kept: Vec<usize> = evidence
        .iter()
        .map(|e| if let Evidence::CommandOutput { text, .. } = e { text.len() } else { panic!("{e:?}") })
        .collect();
    assert!(kept.iter().all(|n| *n <= 16 * 1024) && kept.iter().sum::<usize>() <= 1024 * 1024, "{kept:?}");
    let lost: usize =
        serde_json::to_value(&outcome).unwrap()["facts"]["output_not_kept_bytes"].as_str().unwrap().parse().unwrap();
    assert_eq!(lost + kept.iter().sum::<usize>(), 3000 * 1001);
}

#[test]
fn p10_an_announcement_is_sent_again_where_slack_was_busy_and_a_no_is_a_no() {
    let times = std::cell::Cell::new(0);
    let stage = Stage::new(move |_, _| {
        times.set(times.get() + 1);
        match times.get() {
            1 | 2 => response(429, "rate_limited"),
            _ => response(200, "ok"),
        }
    });
    let settings = json!({ "slack": "${env:SLACK_WEBHOOK}", "text": "hi", "required": true });
    assert!(is_done(&stage.run("announce", settings.clone())));
    let no = Stage::new(|_, _| response(200, r#"{"ok":false,"error":"channel_not_found"}"#));
    let outcome = no.run("announce", settings);
    assert!(outcome.line().contains("channel_not_found") && !is_done(&outcome), "{outcome:?}");
}

#[test]
fn an_announcement_that_fails_moves_nobody_back_unless_required() {
    let settings = |required: bool| json!({ "slack": "${env:SLACK_WEBHOOK}", "text": "{service}: {green} is live", "required": required });
    let stage = Stage::new(|r, _| {
        assert_eq!(String::from_utf8_lossy(&r.body), r#"{"text":"slackbot: v2 is live"}"#);
        response(200, "ok")
    });
    assert!(is_done(&stage.run("announce", settings(true))));
    for required in [false, true] {
        let stage = Stage::new(|_, _| {
            Err(WebError {
                what: "no connection to https://hooks.slack.test/services/T0/B0/abcdefghij".into(),
                timed_out: false,
            })
        });
        let outcome = stage.run("announce", settings(required));
        assert_eq!(is_done(&outcome), !required, "{outcome:?}");
        assert!(!format!("{outcome:?}{}", stage.notes.text()).contains("abcdefghij"), "the webhook is a secret");
    }
    let lost = Stage::new(|_, _| Err(WebError { what: "no answer".into(), timed_out: true }));
    assert!(matches!(lost.run("announce", settings(true)), Outcome::Unknown { .. }));
    let refused = Stage::new(|_, _| response(200, r#"{"ok":false,"error":"channel_not_found"}"#));
    let token = json!({ "slack": { "token": "${env:PASSWORD}", "channel": "C1" }, "text": "hi", "required": true });
    let outcome = refused.run("announce", token);
    assert!(outcome.line().contains("channel_not_found"), "{outcome:?}");
    let sent = refused.web.sent.borrow();
    assert_eq!(sent[0].url, "https://slack.com/api/chat.postMessage");
    assert!(sent[0].headers.contains(&("authorization".into(), "Bearer correct-horse".into())));
}

#[test]
fn smoke_looks_at_content_not_at_the_status() {
    let expect = json!([{ "path": "/", "header": "x-bot-version: v2", "contains": "hello" }]);
    let page = |version: &'static str, text: &'static str| {
        Stage::new(move |_, _| {
            let mut answer = response(200, text)?;
            answer.headers.push(("x-bot-version".into(), version.into()));
            Ok(answer)
        })
    };
    let run = |stage: Stage| stage.run("smoke", json!({ "stack": "green", "expect": expect }));
    assert!(is_done(&run(page("v2", "hello world"))));
    assert!(run(page("v1", "hello world")).line().contains("`x-bot-version` is `v1`, not `v2`"));
    assert!(run(page("v2", "it works")).line().contains("does not hold `hello`"));
}

/// A server that says 200 to everything passes not one of the checks that look at a handler or at signatures.
#[test]
fn a_static_page_does_not_pass_the_suite() {
    let all = [
        "version",
        "signature",
        "replay",
        "url-verification",
        "slash-command",
        "button",
        "modal",
        "modal-from-blue",
        "exactly-once",
    ];
    let stage = Stage::new(|_, _| response(200, "<h1>it works</h1>"));
    let outcome = stage.run("smoke", json!({ "stack": "green", "checks": all }));
    assert_eq!(cause(&outcome), Some(Cause::Gate));
    let passed: Vec<String> = stage.notes.checks().into_iter().filter(|c| c.1 == Verdict::Pass).map(|c| c.0).collect();
    // K1 without a `Date` is not known, A1 is advice.
    assert_eq!(passed, ["K1", "A1"]);
    assert!(stage.web.sent.borrow().len() <= 100, "{} requests", stage.web.sent.borrow().len());
    let said = format!("{}{outcome:?}", stage.notes.text());
    assert!(!said.contains(SIGNING_SECRET), "{said}");
}

#[test]
fn an_answer_later_than_two_seconds_fails() {
    let stage = Stage::new(|r, _| {
        let body: Value = serde_json::from_slice(&r.body).unwrap();
        let text = body["challenge"].as_str().unwrap().to_string().into_bytes();
        Ok(Response { status: 200, body: text, time: Duration::from_millis(2500), ..Response::default() })
    });
    let outcome = stage.run("smoke", json!({ "stack": "green", "checks": ["url-verification"] }));
    assert!(outcome.line().contains("after 2500 ms; 2000 ms is the bar"), "{outcome:?}");
}

/// The live web and live processes, with scripted parts where a test needs them.
fn live_world(secret: &str) -> World {
    let clock: Rc<dyn Clock> = Rc::new(SystemClock);
    let secrets = [("${env:SLACK_SIGNING_SECRET}".to_string(), Secret::new(secret))];
    World {
        web: Rc::new(LiveWeb::new(clock.clone())),
        processes: Rc::new(Children::new(clock.clone(), None)),
        store: Rc::new(LiveStore::new(Rc::new(SystemClock))),
        database: Rc::new(bgctl::world::NoDatabase),
        metrics: Rc::new(bgctl::world::NoMetrics),
        guards: Rc::new(bgctl::guards::NoGuards),
        overrides: Default::default(),
        beforehand: Default::default(),
        routes: Default::default(),
        secrets: Secrets::new(secrets.into()),
        clock,
    }
}

mod processes {
    use super::*;

    async fn run(argv: &[&str], timeout: Duration) -> (Exit, Vec<(Stream, String)>) {
        let mut printed = [Vec::new(), Vec::new()];
        let command = Command {
            argv: argv.iter().map(|s| s.to_string()).collect(),
            env: [("GREETING".to_string(), "hello".to_string())].into(),
            directory: Some("/".into()),
            input: Vec::new(),
            timeout,
        };
        let processes = Children::new(Rc::new(SystemClock), None);
        let mut keep = |stream, piece: &[u8]| printed[usize::from(stream == Stream::Stderr)].extend_from_slice(piece);
        let exit = processes.run(&command, &mut keep).await.unwrap();
        let [out, err] = printed.map(|bytes| String::from_utf8(bytes).unwrap());
        let of = |stream, text: &str| text.lines().map(|line| (stream, line.to_string())).collect::<Vec<_>>();
        (exit, [of(Stream::Stdout, &out), of(Stream::Stderr, &err)].concat())
    }

    /// Whether a process is still there and no zombie.
    fn alive(pid: &str) -> bool {
        std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|s| !s.contains(") Z "))
    }

    async fn gone(pid: &str) {
        for _ in 0..100 {
            if !alive(pid) {
                return;
            }
            SystemClock.sleep(Duration::from_millis(50)).await;
        }
        panic!("process {pid} outlived its group");
    }

    #[tokio::test]
    async fn output_and_status_come_through() {
        let script = "echo $GREETING; pwd; echo trouble >&2; printf 'no end'; exit 4";
        let (exit, lines) = run(&["/bin/sh", "-c", script], Duration::from_secs(10)).await;
        let text: Vec<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!((exit, text), (Exit::Status(4), vec!["hello", "/", "no end", "trouble"]));
        let missing = Command {
            argv: vec!["/nowhere/program".into()],
            env: Default::default(),
            directory: None,
            input: Vec::new(),
            timeout: Duration::from_secs(1),
        };
        assert!(Children::new(Rc::new(SystemClock), None).run(&missing, &mut |_, _| {}).await.is_err());
    }

    /// A tree of three that ignores SIGTERM is ended at its deadline, all of it.
    #[tokio::test]
    async fn a_whole_tree_is_killed_at_the_deadline() {
        let script = "trap '' TERM; sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' & echo $$; wait; while :; do sleep 1; done";
        let (exit, lines) = run(&["/bin/sh", "-c", script], Duration::from_millis(500)).await;
        assert_eq!((exit, lines.len()), (Exit::TimedOut, 2));
        for (_, pid) in lines {
            gone(&pid).await;
        }
    }

    /// Dropping the future (Ctrl-C) ends the tree too.
    #[tokio::test]
    async fn a_whole_tree_is_killed_when_dropped() {
        let printed = RefCell::new(Vec::new());
        let pids = || String::from_utf8(printed.borrow().clone()).unwrap();
        let command = Command {
            argv: ["/bin/sh", "-c", "sleep 600 & echo $!; echo $$; wait"].map(String::from).into(),
            env: Default::default(),
            directory: None,
            input: Vec::new(),
            timeout: Duration::from_secs(600),
        };
        let processes = Children::new(Rc::new(SystemClock), None);
        let mut keep = |_: Stream, piece: &[u8]| printed.borrow_mut().extend_from_slice(piece);
        tokio::select! {
            _ = processes.run(&command, &mut keep) => panic!("it ended by itself"),
            () = async {
                while pids().matches('\n').count() < 2 {
                    SystemClock.sleep(Duration::from_millis(10)).await
                }
            } => {}
        }
        for pid in pids().lines() {
            gone(pid).await;
        }
    }

    /// What a program leaves in the background neither holds the step up nor outlives it.
    #[tokio::test]
    async fn a_background_process_does_not_hold_the_step() {
        let (exit, lines) = run(&["/bin/sh", "-c", "sleep 600 & echo $!"], Duration::from_secs(60)).await;
        assert_eq!((exit, lines.len()), (Exit::Status(0), 1));
        gone(&lines[0].1).await;
    }
}

mod http {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// Serves each connection with these bytes and hands on what was asked.
    fn server(answer: Vec<u8>) -> (String, std::sync::mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, hear) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut buffer = [0; 4096];
                let n = stream.read(&mut buffer).unwrap_or(0);
                if asked.send(String::from_utf8_lossy(&buffer[..n]).into_owned()).is_err() {
                    return;
                }
                let _ = stream.write_all(&answer);
            }
        });
        (url, hear)
    }

    fn web() -> LiveWeb {
        LiveWeb::new(Rc::new(SystemClock))
    }

    fn request(url: &str) -> Request {
        Request {
            method: "POST",
            url: url.into(),
            headers: vec![("content-type".into(), "application/x-www-form-urlencoded".into())],
            body: b"text=a+b&x=%2F".to_vec(),
            timeout: Duration::from_secs(5),
            fresh: true,
            ..Request::default()
        }
    }

    #[tokio::test]
    async fn bytes_go_out_as_they_are_and_a_redirect_is_an_answer() {
        let (url, asked) = server(
            b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec(),
        );
        let answer = web().exchange(request(&format!("{url}/slack/events"))).await.unwrap();
        assert_eq!((answer.status, answer.header("Location")), (302, Some("/elsewhere")));
        let text = asked.recv().unwrap();
        assert!(text.starts_with("POST /slack/events HTTP/1.1\r\n"), "{text}");
        assert!(text.contains("content-type: application/x-www-form-urlencoded\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\ntext=a+b&x=%2F"), "{text}");
        assert!(asked.try_recv().is_err(), "the redirect was followed");
    }

    #[tokio::test]
    async fn an_endless_answer_is_cut() {
        let mut answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
        answer.resize(6 * 1024 * 1024, b'x');
        let (url, _asked) = server(answer);
        assert_eq!(web().exchange(request(&url)).await.unwrap().body.len(), 4 * 1024 * 1024);
    }

    #[tokio::test]
    async fn errors_name_the_server_and_nothing_behind_it() {
        let port = common::free_port();
        let error = web().exchange(request(&format!("http://127.0.0.1:{port}/secret?token=abc"))).await.unwrap_err();
        assert!(error.what.starts_with(&format!("no connection to http://127.0.0.1:{port}: ")), "{error}");
        assert!(!error.what.contains("secret") && !error.what.contains("abc") && !error.timed_out, "{error}");
        // A listener that never accepts: the connection stands in its queue and no answer comes.
        let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
        let slow = Request {
            timeout: Duration::from_millis(100),
            ..request(&format!("http://{}", deaf.local_addr().unwrap()))
        };
        let error = web().exchange(slow).await.unwrap_err();
        assert!(error.timed_out && error.what.contains("no answer from"), "{error}");
        assert!(web().exchange(request("not a url")).await.is_err());
    }
}

/// The suite against the lab's bots, which verify signatures and share a store: all of it passes, and each broken secret,
/// version or stack is found.
#[tokio::test]
async fn the_suite_against_the_bots_of_the_lab() {
    let lab = bgctl::lab::Lab::start(Default::default()).unwrap();
    let variables = lab.variables();
    let mut plan = plan();
    plan.blue.url = variables["blue_url"].clone();
    plan.green.url = variables["green_url"].clone();
    (plan.blue.version, plan.green.version) = ("v1.4.1".into(), "v1.4.2".into());
    let environment = lab.environment();
    let secret = &environment.iter().find(|(name, _)| name == "SLACK_SIGNING_SECRET").expect("the lab's secret").1;
    let all = [
        "version",
        "signature",
        "replay",
        "url-verification",
        "slash-command",
        "button",
        "modal",
        "modal-from-blue",
        "exactly-once",
    ];
    let smoke = json!({ "stack": "green", "checks": all });
    let run = async |plan: &bgctl::plan::Plan, secret: &str| {
        let (world, notes) = (live_world(secret), Notebook::default());
        let outcome = built("smoke", smoke.clone(), plan).execute(&world, &notes).await;
        let bad: Vec<String> = notes.checks().into_iter().filter(|c| c.1 != Verdict::Pass).map(|c| c.0).collect();
        (outcome, bad, notes)
    };
    let (outcome, _, notes) = run(&plan, secret).await;
    assert!(is_done(&outcome), "{outcome:?} {:#?}", notes.checks());
    assert_eq!(notes.checks().len(), 19, "{:#?}", notes.checks());
    let (_, bad, _) = run(&plan, "another secret").await;
    assert_eq!(bad, ["P1", "P1", "P3", "P4", "P5", "P6", "P7", "C1", "D1", "D2", "D3"]);
    plan.green.version = "v9".into();
    let (_, bad, _) = run(&plan, secret).await;
    assert_eq!(bad, ["V1", "P3", "P4", "D2", "D3"]);
}

/// The store that a smoke test reads is a witness: where it gives no answer nothing is known against green.
#[test]
fn s05_a_dedup_store_that_is_away_is_unknown_and_no_finding() {
    let stage = Stage::new(|_, _| response(200, ""));
    let mut plan = plan();
    let dedup = json!({ "redis": "${env:PASSWORD}", "key": "dedup:evt:{team_id}:{event_id}" });
    plan.slack.as_mut().unwrap()["dedup"] = dedup;
    let outcome = stage.run_in("smoke", json!({ "stack": "green", "checks": ["dedup"] }), &plan);
    let unknown = |(_, verdict, line): &(_, Verdict, String)| *verdict == Verdict::Unknown && line.contains("no Redis");
    assert!(stage.notes.checks().iter().all(unknown), "{:?}", stage.notes.checks());
    let held = Some(Reaction::Hold);
    assert!(
        matches!(&outcome, Outcome::Failed { cause: Cause::NoVerdict, then, retry: true, .. } if *then == held),
        "{outcome:?}"
    );
}
