//! What every channel must do with a page, on every place it is tried against.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use async_trait::async_trait;
use bgctl::people::pager::{Choice, Kind, Message, News, Outside, PATIENCE, Page, Says, Subject};
use bgctl::secret::{Secret, Secrets};
use bgctl::sim::VirtualClock;
use bgctl::world::{Command, Exit, Processes, Stream};
use bgctl::world::{Request, Response, Web, WebError};
use serde_json::{Value, json};

/// What the reference `${env:KEY}` of a place's entry stands for.
const KEY: &str = "https://gateway.test/key-of-the-team";

/// How the other end is.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Well,
    Refuses,
    Gone,
}

/// The other end: whatever comes in is kept as text, and answered as its mood is.
struct Gateway {
    mood: Cell<Mood>,
    got: RefCell<Vec<String>>,
}

#[async_trait(?Send)]
impl Web for Gateway {
    async fn exchange(&self, request: Request) -> Result<Response, WebError> {
        assert!(request.timeout <= PATIENCE, "users are waiting: {:?}", request.timeout);
        let body = String::from_utf8(request.body).expect("text");
        self.got.borrow_mut().push(format!("{} {:?} {body}", request.url, request.headers));
        match self.mood.get() {
            Mood::Well => Ok(Response { status: 202, body: b"{}".to_vec(), ..Response::default() }),
            Mood::Refuses => Ok(Response { status: 403, ..Response::default() }),
            Mood::Gone => Err(WebError { what: "connection refused".into(), timed_out: false }),
        }
    }
}

#[async_trait(?Send)]
impl Processes for Gateway {
    async fn run(&self, command: &Command, _: &mut dyn for<'a> FnMut(Stream, &'a [u8])) -> std::io::Result<Exit> {
        assert!(command.timeout <= PATIENCE, "users are waiting: {:?}", command.timeout);
        self.got.borrow_mut().push(format!("{:?} {:?}", command.argv, command.env));
        match self.mood.get() {
            Mood::Well => Ok(Exit::Status(0)),
            Mood::Refuses => Ok(Exit::Status(1)),
            Mood::Gone => Err(std::io::Error::other("no such file")),
        }
    }
}

/// What every channel must do. `entry` is one of `policy.page`, with `${env:KEY}` where its secret is.
pub fn suite(kind: &Kind, entry: &Value) {
    // Its keys begin with its name, and each is explained.
    let keys = (kind.keys)();
    assert_eq!(keys.first().map(|(key, _)| *key), Some(kind.name));
    assert!(keys.iter().all(|(_, schema)| schema["description"].as_str().is_some_and(|text| !text.is_empty())));
    for key in entry.as_object().expect("an entry").keys() {
        assert!(keys.iter().any(|(known, _)| known == key), "`{key}` is a key without a schema");
    }
    assert!(kind.usual.is_none_or(|usual| usual.starts_with("${")), "a secret stands nowhere but in its place");

    // An entry that says nothing is a mistake, and not a channel that takes pages and calls nobody.
    for nothing in [json!({ kind.name: null }), json!({ kind.name: {} })] {
        assert!((kind.open)(&nothing).is_err_and(|why| !why.is_empty()), "{nothing}");
    }

    let gateway = Rc::new(Gateway { mood: Cell::new(Mood::Well), got: RefCell::default() });
    let clock = Rc::new(VirtualClock::default());
    let secrets = Secrets::new([("${env:KEY}".to_string(), Secret::new(KEY))].into());
    let outside =
        Outside { web: gateway.clone(), processes: gateway.clone(), secrets: secrets.clone(), clock: clock.clone() };
    let subject = Subject {
        service: "bot production".into(),
        run: "20261120-0302-k7f".into(),
        incident: "20261120-0302-k7f".into(),
        owner: "rosa@example.com".into(),
        native: Box::new(|| vec!["sh /runs/k7f/undo/web.sh".into()]),
    };
    let page = Page {
        users: "BLUE 50 GREEN 50 at the rule".into(),
        happened: "GREEN has 0 of 2 targets healthy".into(),
        bgctl: "users were left as they are".into(),
        choices: vec![Choice::new("bgctl rollback k7f", "everyone back to BLUE v1.4.1")],
    };
    let message = Message { subject: &subject, says: Says::Page(&page) };
    let channel = (kind.open)(entry).expect("a good entry");
    assert_eq!(channel.name(), kind.name);

    // Nobody is called before somebody is to be.
    assert!(gateway.got.borrow().is_empty());

    // One call, with everything a person needs who is woken, to the address that its reference stands for.
    let call = || clock.run(channel.call(&message, &outside)).expect("it ends");
    assert!(call().is_ok());
    let got = gateway.got.take();
    assert_eq!(got.len(), 1, "one page is one call: {got:?}");
    let facts = [&page.users, &page.happened, &page.bgctl, &page.choices[0].command, &subject.run];
    for fact in facts {
        assert!(got[0].contains(fact.as_str()), "`{fact}` is not on the page: {}", got[0]);
    }
    assert!(got[0].contains(KEY) && !got[0].contains("${env:KEY}"), "the reference is filled in: {}", got[0]);

    // News are delivered the same way, with the outcome and its reason.
    let (users, by) = ("BLUE 100 GREEN 0".to_string(), "rosa@example.com".to_string());
    let news = News { outcome: "rolled-back", why: Some("gate `errors` failed".into()), users, by };
    let told = Message { subject: &subject, says: Says::News(&news) };
    assert!(clock.run(channel.call(&told, &outside)).expect("it ends").is_ok());
    let got = gateway.got.take();
    assert_eq!(got.len(), 1, "one outcome is one call: {got:?}");
    for fact in ["rolled-back", "gate `errors` failed", &news.users, &subject.run] {
        assert!(got[0].contains(fact), "`{fact}` is not told: {}", got[0]);
    }

    // A page that was not taken is not said to be, so that the next channel is called; why, without the secret.
    for mood in [Mood::Refuses, Mood::Gone] {
        gateway.mood.set(mood);
        let why = call().expect_err("it was not taken").why;
        assert!(!why.is_empty() && !secrets.mask(&why).contains(KEY), "{why}");
        assert_eq!(gateway.got.take().len(), 1, "whether to call again is decided elsewhere");
        // Nobody is said to have it where that cannot be seen, and a courtesy that fails is no failure.
        assert_eq!(clock.run(channel.acknowledged(&message, &outside)).expect("it ends"), None);
        clock.run(channel.hand_over(&message, "rosa", &outside)).expect("it ends");
        gateway.got.take();
    }
}
