//! Channels as they are called, what they may say, and who is called when nobody answers.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use bgctl::clock::Clock;
use bgctl::people::{Acknowledgement, Choice, News, Page, PagedThrough, Pager, Subject};
use bgctl::run::{Actor, Evidence};
use bgctl::secret::{Secret, Secrets};
use bgctl::sim::VirtualClock;
use bgctl::world::{Command, Exit, Processes, Request, Response, Stream, Web, WebError};
use serde_json::{Value, json};

/// Answers by host and remembers what was sent.
struct Told {
    sent: RefCell<Vec<(String, Value)>>,
    clock: Rc<VirtualClock>,
    /// So many more calls of a busy host are not taken.
    busy: Cell<u32>,
}

#[async_trait(?Send)]
impl Web for Told {
    async fn exchange(&self, request: Request) -> Result<Response, WebError> {
        let body = serde_json::from_slice(&request.body).unwrap_or_default();
        self.sent.borrow_mut().push((request.url.clone(), body));
        let answer = |status, body: &str| Response { status, body: body.as_bytes().into(), ..Response::default() };
        let acknowledged = if self.clock.elapsed() >= Duration::from_secs(60) { "acknowledged" } else { "triggered" };
        match request.url.as_str() {
            url if url.contains("busy") => Ok(match self.busy.replace(self.busy.get().saturating_sub(1)) {
                0 => answer(200, "ok"),
                _ => Response {
                    headers: vec![("retry-after".into(), url.rsplit('/').next().unwrap_or_default().into())],
                    ..answer(if url.contains("500") { 500 } else { 429 }, "")
                },
            }),
            url if url.contains("slow") => Err(WebError { what: "no answer within 10s".into(), timed_out: true }),
            url if url.contains("liar") => Ok(answer(200, r#"{"ok":false,"error":"channel_not_found"}"#)),
            url if url.contains("down") => Err(WebError { what: format!("refused by {url}"), timed_out: false }),
            url if url.contains("angry") => Ok(answer(403, "no_team")),
            url if url.contains("/incidents?incident_key=bgctl%2Fbot+production%2F20261120-0302-k7f") => Ok(answer(
                200,
                &json!({ "incidents": [{
                    "incident_key": "bgctl/bot production/20261120-0302-k7f", "status": acknowledged,
                    "acknowledgements": [{ "acknowledger": { "summary": "Rosa" } }],
                }] })
                .to_string(),
            )),
            _ => Ok(answer(202, r#"{"dedup_key":"k"}"#)),
        }
    }
}

/// Programs: `true` takes the page, `false` does not.
#[derive(Default)]
struct Programs(RefCell<Vec<Command>>);

#[async_trait(?Send)]
impl Processes for Programs {
    async fn run(&self, command: &Command, output: &mut dyn for<'a> FnMut(Stream, &'a [u8])) -> std::io::Result<Exit> {
        self.0.borrow_mut().push(command.clone());
        output(Stream::Stderr, b"no route to routing-key-1");
        Ok(Exit::Status(i32::from(command.argv[0] != "true")))
    }
}

struct Desk {
    pager: Pager,
    web: Rc<Told>,
    programs: Rc<Programs>,
    clock: Rc<VirtualClock>,
}

fn desk(channels: &[Value]) -> Desk {
    opened(channels).unwrap()
}

fn opened(channels: &[Value]) -> Result<Desk, String> {
    let clock = Rc::new(VirtualClock::default());
    let web = Rc::new(Told { sent: RefCell::default(), clock: clock.clone(), busy: Cell::default() });
    let programs = Rc::new(Programs::default());
    let secret = |name: &str, value: &str| (format!("${{env:{name}}}"), Secret::new(value));
    let secrets = [
        secret("HOOK", "https://down.test/T000/secret-path"),
        secret("KEY", "routing-key-1"),
        secret("TOKEN", "rest-token-1"),
    ];
    let outside = PagedThrough {
        web: web.clone(),
        processes: programs.clone(),
        secrets: Secrets::new(secrets.into()),
        clock: clock.clone(),
    };
    let subject = Subject {
        service: "bot production".into(),
        run: "20261120-0302-k7f".into(),
        incident: "20261120-0302-k7f".into(),
        owner: "rosa@example.com".into(),
        native: Box::new(|| vec!["sh /runs/k7f/undo/web.sh".into()]),
    };
    Ok(Desk { pager: Pager::new(channels, outside, subject)?, web, programs, clock })
}

fn a_page() -> Page {
    Page {
        users: "BLUE 50 GREEN 50 at the rule".into(),
        happened: "shift-100: GREEN has 0 of 2 targets healthy".into(),
        bgctl: "users were left as they are; nothing more moves by itself".into(),
        choices: vec![
            Choice::new("bgctl rollback k7f", "everyone back to BLUE v1.4.1; refused while BLUE is not well"),
            Choice::new("bgctl ack k7f", "users stay as they are: you take the page, and fix what is named above"),
        ],
    }
}

fn page(channels: &[Value]) -> (bool, String, Desk) {
    let desk = desk(channels);
    let (taken, line) = desk.clock.run(desk.pager.page(&a_page())).unwrap();
    (taken, line, desk)
}

/// P7: whoever wants to know hears of each outcome, all of them, at once, and a channel that fails is said to have failed.
#[test]
fn p7_news_go_to_everybody_who_wants_to_know() {
    let desk = desk(&[]);
    let told = [
        json!({ "slack": "${env:HOOK}" }),
        json!({ "pagerduty": "${env:KEY}" }),
        json!({ "pagerduty": "${env:KEY}", "url": "https://events.eu.pagerduty.com/v2/enqueue" }),
        json!({ "webhook": "https://up.test/hook" }),
        json!({ "command": ["true", "x"] }),
    ];
    let pager = desk.pager.telling(&told).unwrap();
    let why = Some("gate `errors` failed".to_string());
    let users = "BLUE 100 GREEN 0 at the rule".to_string();
    let news = News { outcome: "rolled-back", why, users, by: "rosa@example.com".into() };
    let line = desk.clock.run(pager.tell(&news)).unwrap().expect("somebody is told");
    let rest = ["pagerduty was told", "pagerduty was told", "webhook was told", "command was told"];
    assert!(line.starts_with("notify: slack was NOT told: refused by") && line.ends_with(&rest.join("; ")), "{line}");
    assert!(!line.contains("secret-path") && !line.contains("routing-key"), "{line}");
    let sent = desk.web.sent.borrow();
    let changes: Vec<&str> = sent.iter().map(|(url, _)| url.as_str()).filter(|url| url.contains("pagerduty")).collect();
    let [here, there] =
        ["https://events.pagerduty.com", "https://events.eu.pagerduty.com"].map(|at| format!("{at}/v2/change/enqueue"));
    assert_eq!(changes, [here, there], "a change wakes nobody");
    let hook = sent.iter().find(|(url, _)| url.starts_with("https://up.test")).expect("the webhook");
    let text = "bot production run 20261120-0302-k7f is rolled-back\nusers     BLUE 100 GREEN 0 at the rule\nwhy       gate `errors` failed\nbegun by  rosa@example.com\nmore      bgctl show k7f";
    assert_eq!((&hook.1["message"], &hook.1["outcome"]), (&json!(text), &json!("rolled-back")));
    let programs = desk.programs.0.borrow();
    assert_eq!(
        (programs[0].env["BGCTL_OUTCOME"].as_str(), programs[0].env["BGCTL_NEWS"].as_str()),
        ("rolled-back", text)
    );
    assert!(!programs[0].env.contains_key("BGCTL_PAGE"), "a program that wakes people on a page wakes nobody");
    assert!(pager.last().is_none() && !pager.is_out(), "news are no page");
    assert!(opened(&[]).unwrap().pager.telling(&[json!({ "pigeon": "x" })]).is_err());
}

#[test]
fn the_next_channel_is_tried_and_no_secret_is_said() {
    let (taken, line, desk) = page(&[json!({ "slack": "${env:HOOK}" }), json!({ "pagerduty": "${env:KEY}" })]);
    assert!(taken, "{line}");
    assert!(line.starts_with("pagerduty took the page (k), after slack: refused by"), "{line}");
    assert!(!line.contains("secret-path") && !line.contains("routing-key"), "{line}");
    let sent = desk.web.sent.borrow();
    // The one that is away was called once more.
    let event = &sent[2].1;
    assert_eq!(sent[2].0, "https://events.pagerduty.com/v2/enqueue");
    assert_eq!((&event["routing_key"], &event["event_action"]), (&json!("routing-key-1"), &json!("trigger")));
    assert_eq!(event["dedup_key"], "bgctl/bot production/20261120-0302-k7f");
    assert_eq!(event["payload"]["severity"], "critical");
    let summary = event["payload"]["summary"].as_str().unwrap();
    assert!(summary.contains("BLUE 50 GREEN 50") && summary.contains("0 of 2 targets"), "{summary}");
}

/// P8: one that is busy for a moment is called again, and a no under a 200 is a no.
#[test]
fn p08_channels_that_are_busy_are_called_again() {
    let hook = |url: &str| json!({ "webhook": url });
    let called = |channels: &[Value], busy: u32| {
        let desk = desk(channels);
        desk.web.busy.set(busy);
        let (taken, line) = desk.clock.run(desk.pager.page(&a_page())).unwrap();
        (taken, line, desk.web.sent.borrow().len(), desk.clock.time().as_secs())
    };
    let other = hook("https://other.test");
    // Once busy: the same channel takes it a second later, and nobody else is called.
    let (taken, line, calls, seconds) = called(&[hook("https://busy.test/500/1"), other.clone()], 1);
    assert!(taken && line == "webhook took the page" && calls == 2 && seconds == 1, "{line} {calls} {seconds}");
    // Nor is one that took all of its time called once more before the next.
    let (taken, _, calls, _) = called(&[hook("https://slow.test"), other.clone()], 0);
    assert!(taken && calls == 2, "{calls}");
    // It asks for longer than one waits with another channel left.
    let (taken, line, calls, _) = called(&[hook("https://busy.test/30"), other], 9);
    assert!(taken && line.contains("after webhook: answered 429") && calls == 2, "{line} {calls}");
    // With nobody else it is called again, no sooner than it asks.
    let (taken, _, calls, seconds) = called(&[hook("https://busy.test/15")], 2);
    assert!(taken && calls == 3 && seconds == 30, "{calls} {seconds}");
    // In the end nobody was reached, and that is said after about a minute.
    let (taken, line, _, seconds) = called(&[hook("https://busy.test/500/0")], 99);
    assert!(!taken && line.contains("answered 500") && (30..=90).contains(&seconds), "{line} {seconds}");
    // What refuses for good is called once.
    let (taken, line, calls, seconds) = called(&[hook("https://liar.test"), hook("https://angry.test")], 0);
    assert!(!taken && line.contains("channel_not_found") && calls == 2 && seconds == 0, "{line} {calls} {seconds}");
}

#[test]
fn a_page_has_three_facts_two_choices_and_the_way_without_us() {
    let (_, _, desk) = page(&[json!({ "webhook": "https://hook.test/" }), json!({ "slack": "https://slack.test/" })]);
    let sent = desk.web.sent.borrow();
    let body = &sent[0].1;
    for (name, fact) in
        [("users", "BLUE 50"), ("happened", "0 of 2"), ("bgctl", "left as they are"), ("owner", "rosa@")]
    {
        assert!(body[name].as_str().is_some_and(|text| text.contains(fact)), "{name}: {body}");
    }
    let commands: Vec<&str> =
        body["choices"].as_array().unwrap().iter().filter_map(|c| c["command"].as_str()).collect();
    assert_eq!(commands, ["bgctl rollback k7f", "bgctl ack k7f"]);
    assert_eq!(body["native"], json!(["sh /runs/k7f/undo/web.sh"]));
    let text = body["message"].as_str().unwrap();
    assert_eq!(Some(text.to_string()), desk.pager.last());
    for line in
        ["users     BLUE 50", "1         bgctl rollback k7f", "2         bgctl ack k7f", "without bgctl: sh /runs/k7f"]
    {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn slack_gets_no_marks_of_ours_out_of_what_others_said() {
    let desk = desk(&[json!({ "slack": "https://slack.test/" })]);
    let happened = "body was <!channel> & ```fence```".to_string();
    desk.clock.run(desk.pager.page(&Page { happened, ..a_page() })).unwrap();
    let text = desk.web.sent.borrow()[0].1["text"].as_str().unwrap().to_string();
    assert!(text.contains("&lt;!channel&gt; &amp; '''fence'''"), "{text}");
}

#[test]
fn a_program_finds_the_page_in_its_environment() {
    let (taken, line, desk) = page(&[json!({ "command": ["false", "${env:KEY}"] }), json!({ "command": ["true"] })]);
    assert!(
        taken && line == "command took the page, after command: ended with status 1: no route to [secret]",
        "{line}"
    );
    let ran = desk.programs.0.borrow();
    assert_eq!(ran[0].argv, ["false", "routing-key-1"]);
    assert!(ran[1].env["BGCTL_PAGE"].contains("bgctl ack k7f") && ran[1].env["BGCTL_RUN"] == "20261120-0302-k7f");
    assert_eq!(serde_json::from_str::<Value>(&ran[1].env["BGCTL_PAGE_JSON"]).unwrap()["bgctl"], a_page().bgctl);
}

#[test]
fn where_nobody_is_reached_that_is_said() {
    let (taken, line, _) = page(&[json!({ "webhook": "https://angry.test/" })]);
    assert_eq!((taken, line.as_str()), (false, "webhook: answered 403 no_team"));
    let (taken, line, desk) = page(&[]);
    assert!(!taken && line.contains("declares nobody") && desk.web.sent.borrow().is_empty());
}

#[test]
fn an_unknown_channel_is_an_error() {
    for entry in
        [json!("slack"), json!({ "email": "x" }), json!({ "slack": "a", "webhook": "b" }), json!({ "command": [] })]
    {
        assert!(opened(std::slice::from_ref(&entry)).is_err(), "{entry}");
    }
}

/// Pages and waits with five minutes a channel; the evidence, and the seconds it took.
fn waited(channels: &[Value], given: Option<Acknowledgement>) -> (Vec<Evidence>, u64, Desk) {
    let (_, _, desk) = page(channels);
    let mut notes = Vec::new();
    let looked = || given.clone().filter(|given| given.at <= desk.clock.now());
    let mut note = |evidence| notes.push(evidence);
    desk.clock.run(desk.pager.until_acknowledged(Duration::from_secs(300), &looked, &mut note)).unwrap();
    let took = desk.clock.elapsed().as_secs();
    (notes, took, desk)
}

fn by_hand(after: i64) -> Acknowledgement {
    let start = VirtualClock::default().now();
    let at = start.checked_add(jiff::SignedDuration::from_secs(after)).unwrap();
    Acknowledgement { by: Actor { name: "rosa".into(), via: "command".into() }, at, word: None }
}

#[test]
fn nobody_acknowledges_and_the_next_is_called_until_none_is_left() {
    let channels = [
        json!({ "webhook": "https://one.test/" }),
        json!({ "webhook": "https://down.test/" }),
        json!({ "slack": "https://three.test/" }),
    ];
    let (notes, took, desk) = waited(&channels, None);
    let lines: Vec<(bool, &str)> = notes
        .iter()
        .map(|note| match note {
            Evidence::PageEscalated { delivered, line } => (*delivered, line.as_str()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].0 && lines[0].1.starts_with("nobody acknowledged at webhook within 5m; slack took the page"),
        "{lines:?}"
    );
    assert_eq!(lines[1], (false, "nobody acknowledged at slack within 5m, and no channel is left"));
    assert!((600..605).contains(&took), "bounded: {took}s");
    assert_eq!(desk.web.sent.borrow().len(), 4, "the one that is away was called once more");
}

#[test]
fn bgctl_ack_ends_the_wait_and_the_channel_is_told() {
    let (notes, took, desk) = waited(&[json!({ "pagerduty": "${env:KEY}" })], Some(by_hand(42)));
    assert!(
        matches!(&notes[..], [Evidence::PageAcknowledged { by, seconds: 42, .. }] if by.name == "rosa"),
        "{notes:?}"
    );
    assert_eq!(took, 42);
    assert_eq!(desk.web.sent.borrow().last().unwrap().1["event_action"], "acknowledge");
}

#[test]
fn what_was_acknowledged_before_the_page_is_no_answer_to_it() {
    let (notes, took, _) = waited(&[json!({ "webhook": "https://one.test/" })], Some(by_hand(-5)));
    assert!(matches!(&notes[..], [Evidence::PageEscalated { delivered: false, .. }]), "{notes:?}");
    assert!(took >= 300);
}

#[test]
fn an_acknowledgement_at_pagerduty_counts() {
    let entry = json!({ "pagerduty": "${env:KEY}", "token": "${env:TOKEN}", "api": "https://api.test" });
    let (notes, took, _) = waited(&[entry], None);
    let [Evidence::PageAcknowledged { by, .. }] = &notes[..] else { panic!("{notes:?}") };
    assert_eq!((by.name.as_str(), by.via.as_str()), ("Rosa", "pagerduty"));
    assert!((60..80).contains(&took), "{took}s");
}

#[test]
fn r42_whoever_goes_back_is_here_and_nobody_else_is_called() {
    let desk = desk(&[json!({ "webhook": "https://hook.test/" })]);
    let outside = PagedThrough {
        web: desk.web.clone(),
        processes: desk.programs.clone(),
        secrets: Secrets::new(Default::default()),
        clock: desk.clock.clone(),
    };
    let subject = Subject {
        service: "bot production".into(),
        run: "20261120-0315-abc".into(),
        incident: "20261120-0302-k7f".into(),
        owner: "rosa@example.com".into(),
        native: Box::new(Vec::new),
    };
    let pager = Pager::for_whom_it_is("rosa", outside, subject);
    let (taken, line) = desk.clock.run(pager.page(&a_page())).unwrap();
    assert_eq!((taken, line.as_str()), (true, "nobody else was called: rosa asked for this rollback and is here"));
    assert!(desk.web.sent.borrow().is_empty());
    assert!(!pager.is_out(), "so nobody is waited for");
}

#[test]
fn r42_a_rollback_is_of_the_incident_it_goes_back_for() {
    let clock = Rc::new(VirtualClock::default());
    let web = Rc::new(Told { sent: RefCell::default(), clock: clock.clone(), busy: Cell::default() });
    let outside = PagedThrough {
        web: web.clone(),
        processes: Rc::new(Programs::default()),
        secrets: Secrets::new(Default::default()),
        clock: clock.clone(),
    };
    let subject = Subject {
        service: "bot production".into(),
        run: "20261120-0315-abc".into(),
        incident: "20261120-0302-k7f".into(),
        owner: "rosa@example.com".into(),
        native: Box::new(Vec::new),
    };
    let pager = Pager::new(&[json!({ "pagerduty": "key" })], outside, subject).unwrap();
    clock.run(pager.page(&a_page())).unwrap();
    assert_eq!(web.sent.borrow()[0].1["dedup_key"], "bgctl/bot production/20261120-0302-k7f");
}
