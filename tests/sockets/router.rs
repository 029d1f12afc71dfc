//! The router against instances of our own making: in which order it asks, what it waits for, and what it refuses.

use std::rc::Rc;

use bgctl::lab::Gateway;
use bgctl::plan::{Color, Split};
use bgctl::routers::{Access, RouterError, TrafficRouter, Trouble, socket_mode};
use serde_json::{Value, json};

use crate::common::at;
use crate::stub::{Book, Stub, now};

/// So many instances a side, blue's with a socket.
struct Rig {
    book: Book,
    blue: Vec<Stub>,
    green: Vec<Stub>,
    config: Value,
}

impl Rig {
    async fn start(blue: usize, green: usize) -> Rig {
        let book = Book::default();
        let (mut stubs, mut urls) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        for (side, count) in [blue, green].into_iter().enumerate() {
            for n in 1..=count {
                let name = format!("{}-{n}", ["blue", "green"][side]);
                let stub = Stub::start(&name, side == 0, &book).await;
                urls[side].push(stub.url.clone());
                stubs[side].push(stub);
            }
        }
        let config = json!({ "blue": urls[0], "green": urls[1], "app_token": "xapp-1-lab", "floor": 2 });
        let [blue, green] = stubs;
        Rig { book, blue, green, config }
    }

    fn router(&self) -> Rc<dyn TrafficRouter> {
        (socket_mode::KIND.open)(&self.config, &Access::default()).expect("good settings")
    }

    fn said(&self) -> Vec<String> {
        self.book.lock().unwrap().clone()
    }

    async fn refused(&self, moves: &[u32]) -> RouterError {
        let moves: Vec<Split> = moves.iter().map(|green| Split::of_green(*green)).collect();
        self.router().preflight(&moves).await.expect_err("it is refused")
    }
}

#[tokio::test]
async fn the_gaining_side_has_every_hello_before_the_other_gives_up_one_after_another() {
    let rig = Rig::start(3, 3).await;
    let router = rig.router();
    assert_eq!(router.read().await.unwrap().split, Split::ALL_BLUE);
    let calls = router.set(&at(Split::ALL_BLUE), Split::ALL_GREEN).await.unwrap();
    assert_eq!(calls.len(), 6);
    let said = rig.said();
    let at = |words: &str| said.iter().position(|line| line == words).unwrap_or_else(|| panic!("{words}: {said:?}"));
    let quiesced: Vec<usize> = (1..=3).map(|n| at(&format!("quiesce blue-{n}"))).collect();
    let first = *quiesced.iter().min().unwrap();
    for n in 1..=3 {
        assert!(at(&format!("hello green-{n}")) < first, "{said:?}");
    }
    // Between two of blue's there is always one that has come to rest.
    let mut in_hand = 0;
    for line in said.iter().filter(|line| line.contains("blue")) {
        in_hand += match line.split(' ').next() {
            Some("quiesce") => 1,
            _ => -1,
        };
        assert!((0..=1).contains(&in_hand), "{said:?}");
    }
    assert_eq!(router.read().await.unwrap().split, Split::ALL_GREEN);
    assert_eq!(router.set(&crate::common::at(Split::ALL_GREEN), Split::ALL_GREEN).await.unwrap(), []);
}

#[tokio::test]
async fn the_socket_that_slack_renews_first_is_given_up_first() {
    let rig = Rig::start(3, 3).await;
    rig.blue[1].set("last_hello", json!(now() - 9_000.0));
    rig.router().set(&at(Split::ALL_BLUE), Split::of_green(600)).await.unwrap();
    let said = rig.said();
    assert_eq!(
        said.iter().filter(|line| line.starts_with("quiesce")).collect::<Vec<_>>(),
        ["quiesce blue-2"],
        "{said:?}"
    );
    assert_eq!(rig.router().read().await.unwrap().split, Split::of_green(600));
}

/// Slack has no room for green: what was opened is given back, and nobody has moved.
#[tokio::test]
async fn s17_a_green_that_slack_refuses_a_socket_is_refused_at_once_and_gives_back_its_others() {
    let rig = Rig::start(3, 3).await;
    rig.green[2].set("refused", json!("too_many_websockets"));
    let begun = std::time::Instant::now();
    let error = rig.router().set(&at(Split::ALL_BLUE), Split::ALL_GREEN).await.unwrap_err();
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(!error.moved && !error.passing() && error.what.contains("more than 10 are open"), "{error:?}");
    assert_eq!(error.calls.len(), 6);
    assert!(!rig.said().iter().any(|line| line.starts_with("quiesce blue")), "{:?}", rig.said());
    assert_eq!(rig.router().read().await.unwrap().split, Split::ALL_BLUE);
    // An instance that keeps its socket may have got users.
    let rig = Rig::start(3, 3).await;
    rig.green[2].set("refused", json!("too_many_websockets"));
    rig.green[0].set("stays", json!(true));
    let mut config = rig.config.clone();
    config["work_within"] = json!("1s");
    let router = (socket_mode::KIND.open)(&config, &Access::default()).unwrap();
    assert!(router.set(&at(Split::ALL_BLUE), Split::ALL_GREEN).await.unwrap_err().moved);
}

/// On the way back the sockets of green are the room that blue lacks.
#[tokio::test]
async fn s17_blue_goes_back_with_as_many_sockets_as_slack_gives_it_and_enough_for_the_floor() {
    let rig = Rig::start(3, 3).await;
    rig.router().set(&at(Split::ALL_BLUE), Split::ALL_GREEN).await.unwrap();
    rig.blue[2].set("refused", json!("too_many_websockets"));
    rig.router().set(&at(Split::ALL_GREEN), Split::ALL_BLUE).await.unwrap();
    assert!(rig.blue[0].holds() && rig.blue[1].holds() && !rig.green.iter().any(Stub::holds), "{:?}", rig.said());
    // One is less than the floor: green keeps its own.
    let rig = Rig::start(3, 3).await;
    rig.router().set(&at(Split::ALL_BLUE), Split::ALL_GREEN).await.unwrap();
    rig.blue[1..].iter().for_each(|stub| stub.set("refused", json!("too_many_websockets")));
    let error = rig.router().set(&at(Split::ALL_GREEN), Split::ALL_BLUE).await.unwrap_err();
    assert!(error.what.contains("more than 10 are open") && rig.green.iter().all(Stub::holds), "{error}");
}

/// Slack's end of a socket may be gone while its client believes that it is open.
#[tokio::test]
async fn s13_a_socket_that_nothing_has_come_over_is_not_held() {
    let rig = Rig::start(3, 3).await;
    let router = rig.router();
    // A ping each 5 s, and 5 s more.
    rig.blue[0].set("last_ping", json!(now() - 7.0));
    rig.blue[1].set("last_ping", json!(now() + 1.0));
    assert_eq!(router.read().await.unwrap().split, Split::ALL_BLUE);
    assert_eq!(router.health(Color::Blue).await.unwrap().healthy, 3, "one that does not say it is believed");
    for stub in &rig.blue {
        stub.set("last_ping", json!(now() - 12.0));
    }
    let (reading, health, watched) = tokio::join!(router.read(), router.health(Color::Blue), router.watch());
    let (reading, health) = (reading.unwrap(), health.unwrap());
    assert_eq!(reading.split, Split { blue: 0, green: 0 }, "nobody gets events there");
    let words =
        |lines: &[String]| lines.iter().filter(|l| l.contains("nothing has come from Slack over its socket")).count();
    assert_eq!((words(&reading.remarks), health.healthy, words(&health.ailing)), (3, 0, 3), "{reading:?} {health:?}");
    assert_eq!(watched.trouble.unwrap(), "only 0 sockets are open, 2 needed");
    assert!(watched.notes[0].starts_with("nothing comes from Slack over the socket of "), "{:?}", watched.notes);
    // By the instance's own clock, which its answer tells: one that is wrong by a day changes nothing.
    for wrong_by in [-86_400.0, 86_400.0] {
        for (age, split) in [(3.0, Split::ALL_BLUE), (12.0, Split { blue: 0, green: 0 })] {
            for stub in &rig.blue {
                stub.set("clock", json!(now() + wrong_by));
                stub.set("last_ping", json!(now() + wrong_by - age));
            }
            assert_eq!(router.read().await.unwrap().split, split, "{age} s, wrong by {wrong_by}");
        }
    }
}

#[tokio::test]
async fn s13_a_shift_has_not_arrived_over_half_open_sockets_and_takes_no_working_one_for_them() {
    let rig = Rig::start(2, 2).await;
    // Green's clients believe that they are connected, and nothing comes.
    for stub in &rig.green {
        stub.set("last_ping", json!(now() - 60.0));
    }
    let error = rig.router().set(&at(Split::ALL_BLUE), Split::ALL_GREEN).await.unwrap_err();
    assert!(error.what.contains("nothing has come from Slack over its socket for 1m"), "{error}");
    assert!(rig.blue.iter().all(Stub::holds), "{:?}", rig.said());
}

/// Slack's count beside what the instances say.
#[tokio::test]
async fn s13_a_newest_hello_that_counted_fewer_sockets_than_are_reported_is_told() {
    let rig = Rig::start(3, 3).await;
    let told = async || {
        rig.router().read().await.unwrap().remarks.iter().any(|line| line.contains("some of them may be dead"))
    };
    rig.blue[2].set("last_hello", json!(now() + 1.0));
    rig.blue[2].set("num_connections", json!(1));
    assert!(told().await);
    rig.blue[2].set("num_connections", json!(3));
    assert!(!told().await);
}

#[tokio::test]
async fn a_dead_instance_holds_nothing_and_a_silent_one_is_unknown() {
    let mut rig = Rig::start(3, 3).await;
    rig.config["blue"][2] = json!(format!("http://127.0.0.1:{}", crate::common::free_port()));
    let reading = rig.router().read().await.unwrap();
    assert_eq!(reading.split, Split::ALL_BLUE);
    assert!(reading.remarks.iter().any(|line| line.contains("nobody listens there")), "{:?}", reading.remarks);
    let health = rig.router().health(Color::Blue).await.unwrap();
    assert_eq!((health.healthy, health.total), (2, 3));
    rig.router().set(&at(Split::ALL_BLUE), Split::ALL_GREEN).await.unwrap();
    rig.router().set(&at(Split::ALL_GREEN), Split::ALL_BLUE).await.unwrap();

    rig.blue[0].set("broken", json!(true));
    let error = rig.router().read().await.unwrap_err();
    assert_eq!(error.kind, Trouble::Unreachable);
    assert!(error.what.contains("does not say whether it holds a socket"), "{error}");
    let before = rig.said().len();
    rig.router().set(&at(Split::ALL_BLUE), Split::ALL_GREEN).await.unwrap_err();
    assert_eq!(rig.said().len(), before, "nothing is sent into the unknown");
}

/// An instance has ended once the runtime has dropped its listener.
async fn ended() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn s01_a_silent_instance_of_the_side_being_left_does_not_keep_users_from_blue() {
    let rig = Rig::start(3, 3).await;
    let router = rig.router();
    router.set(&at(Split::ALL_BLUE), Split::ALL_GREEN).await.unwrap();
    rig.book.lock().unwrap().clear();
    rig.green[1].set("broken", json!(true));
    let error = router.read().await.unwrap_err();
    assert_eq!(error.kind, Trouble::Unreachable);
    let partly = error.partly.expect("what is known all the same");
    assert_eq!(partly.split, Split::ALL_GREEN);
    let error = router.set(&partly, Split::ALL_BLUE).await.unwrap_err();
    // Blue holds its sockets, green's others have given up theirs, and what is left is named with what ends it.
    assert!(error.moved && error.what.starts_with("BLUE holds its sockets now, but "), "{error}");
    assert!(
        error.what.contains(&rig.green[1].url) && error.cure.unwrap().contains("end its process"),
        "{}",
        error.what
    );
    assert!(rig.blue.iter().all(Stub::holds) && !rig.green[0].holds() && !rig.green[2].holds());
    let said = rig.said();
    let first = said.iter().position(|line| line.starts_with("quiesce")).unwrap();
    for n in 1..=3 {
        assert!(said.iter().position(|line| *line == format!("hello blue-{n}")).unwrap() < first, "{said:?}");
    }
    // Its process has ended: it holds nothing, and the route is where it should be.
    rig.green[1].end();
    ended().await;
    assert_eq!(router.read().await.unwrap().split, Split::ALL_BLUE);
    // Another one that falls silent later was not in that reading.
    rig.blue[0].set("broken", json!(true));
    rig.book.lock().unwrap().clear();
    router.set(&partly, Split::ALL_GREEN).await.unwrap_err();
    assert_eq!(rig.said(), Vec::<String>::new());
}

#[tokio::test]
async fn s16_where_no_instance_answers_nothing_is_said_about_users() {
    let rig = Rig::start(2, 2).await;
    rig.blue.iter().chain(&rig.green).for_each(Stub::end);
    ended().await;
    let error = rig.router().read().await.unwrap_err();
    assert_eq!(error.kind, Trouble::Unreachable);
    assert!(error.what.contains("no instance of BLUE or GREEN answers") && error.partly.is_none(), "{error}");
}

#[tokio::test]
async fn written_is_only_over_what_was_expected() {
    let rig = Rig::start(3, 3).await;
    let error = rig.router().set(&at(Split::of_green(500)), Split::ALL_GREEN).await.unwrap_err();
    assert_eq!((error.kind, error.moved), (Trouble::Drift { found: Split::ALL_BLUE }, false));
    let error = rig.router().set(&at(Split::ALL_BLUE), Split { blue: 0, green: 0 }).await.unwrap_err();
    assert_eq!(error.kind, Trouble::Invalid);
    let error = rig.router().set(&at(Split::ALL_BLUE), Split::of_green(100)).await.unwrap_err();
    assert_eq!(error.kind, Trouble::Invalid);
    assert!(error.cure.unwrap().contains("25%, 33.3%"));
    assert_eq!(rig.said(), Vec::<String>::new());
}

#[tokio::test]
async fn what_does_not_fit_is_refused_before_anybody_moves() {
    let rig = Rig::start(3, 3).await;
    let lines = rig.router().preflight(&[Split::of_green(250), Split::ALL_GREEN]).await.unwrap();
    assert!(lines[0].contains("3 + 3 instances") && lines[1].contains("renewed in 5h"), "{lines:?}");
    assert_eq!(rig.refused(&[100]).await.kind, Trouble::Invalid);

    rig.blue[1].set("last_hello", json!(now() - 18_060.0 + 120.0));
    let error = rig.refused(&[1000]).await;
    assert_eq!(error.kind, Trouble::NotNow);
    assert!(
        error.what.contains("renews the socket of") && error.cure.as_ref().unwrap().starts_with("wait "),
        "{error:?}"
    );
    rig.blue[1].set("last_hello", json!(now()));

    rig.blue[2].set("last_hello", json!(now() + 1.0));
    rig.blue[2].set("num_connections", json!(8));
    let error = rig.refused(&[1000]).await;
    assert!(error.what.contains("5 sockets held by others are more than 10"), "{error}");
    rig.blue[2].set("num_connections", json!(3));

    rig.blue[0].set("disconnect", json!("link_disabled"));
    assert!(rig.refused(&[1000]).await.what.contains("Socket Mode was switched off"));
    rig.blue[0].set("disconnect", json!("warning"));
    rig.router().preflight(&[Split::ALL_GREEN]).await.unwrap();

    rig.green[0].set("broken", json!(true));
    assert_eq!(rig.refused(&[1000]).await.kind, Trouble::Unreachable);
    assert_eq!(rig.said(), Vec::<String>::new());
}

#[tokio::test]
async fn the_app_token_may_open_sockets_and_nothing_else() {
    let gateway = Gateway::start(9).unwrap();
    let mut rig = Rig::start(1, 1).await;
    rig.config["api"] = json!(gateway.api());
    let line = rig.router().identity().await.unwrap().line;
    assert_eq!(line, "app token of A0LAB, connections:write alone");
    assert!(gateway.seen().is_empty(), "no socket is opened to find out");
    for (token, kind, words) in [
        ("xapp-1-lab-wide", Trouble::Denied, "can do more than open sockets: authorizations:read"),
        ("xapp-1-lab-narrow", Trouble::Denied, "the app token lacks `connections:write`"),
        ("xapp-1-lab-revoked", Trouble::NoCredentials, "token_revoked"),
    ] {
        rig.config["app_token"] = json!(token);
        let error = rig.router().identity().await.unwrap_err();
        assert_eq!(error.kind, kind);
        assert!(error.what.contains(words), "{error}");
    }
}

#[test]
fn settings_that_cannot_work_are_named_at_their_place() {
    let good = json!({ "blue": ["http://a"], "green": ["http://b"], "app_token": "${env:SLACK_APP_TOKEN}" });
    type Change = fn(&mut Value);
    let table: &[(Change, &str, &str)] = &[
        (|v| v["floor"] = json!(10), "/floor", "cannot be the floor"),
        (|v| v["green"] = json!([]), "/green", "at least one instance"),
        (|v| v["green"] = json!(["http://a/"]), "/green", "listed twice"),
        (|v| v["green"] = json!(["bot:8080"]), "/green", "not an address"),
        (|v| v["green"] = json!(["http://me:pass@bot"]), "/green", "holds no credentials"),
        (|v| v["green"] = json!({ "lookup": "https://bot" }), "/green", "takes an `http://`"),
        (|v| v["app_token"] = json!("a-token"), "/app_token", "not an app-level token"),
        (
            |v| v["green"] = json!((0..10).map(|n| format!("http://g{n}")).collect::<Vec<_>>()),
            "/green",
            "11 instances are more than 10",
        ),
        (|v| v["flor"] = json!(1), "", "unknown field `flor`"),
    ];
    let open = |value: &Value| (socket_mode::KIND.view)(value, &Access::default()).map(|_| ());
    open(&good).unwrap();
    for (change, at, words) in table {
        let mut value = good.clone();
        change(&mut value);
        let mistakes = open(&value).unwrap_err();
        assert!(mistakes.iter().any(|m| m.at == *at && m.message.contains(words)), "{words}: {mistakes:?}");
    }
}

/// `check` knows what listed fleets can have, and nothing of fleets that are looked up.
#[tokio::test]
async fn s17_a_share_that_the_fleets_cannot_have_is_refused_without_asking_them() {
    let mut rig = Rig::start(2, 2).await;
    let why = rig.router().takes(Split::of_green(250)).unwrap_err();
    assert!(why.contains("2 BLUE and 2 GREEN instances cannot split") && why.contains("0%, 33.3%, 50%"), "{why}");
    assert!(rig.router().takes(Split::of_green(333)).is_ok() && rig.router().takes(Split::ALL_GREEN).is_ok());
    rig.config["green"] = json!({ "lookup": "http://bot-green.internal" });
    assert!(rig.router().takes(Split::of_green(250)).is_ok());
    assert_eq!(rig.said(), Vec::<String>::new());
}

/// The way back of the run's folder, walked by a shell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_back_without_bgctl_opens_blue_before_it_closes_green() {
    let Some(_) = crate::common::peer("curl") else { return };
    let rig = Rig::start(2, 2).await;
    let armed = rig.router().read().await.unwrap();
    let way = rig.router().native_way_back("sockets", &armed);
    rig.router().set(&at(Split::ALL_BLUE), Split::ALL_GREEN).await.unwrap();
    rig.book.lock().unwrap().clear();
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in &way.files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let (command, at) = (way.command.clone(), folder.path().to_path_buf());
    let walk = move || std::process::Command::new("sh").args(["-c", &command]).current_dir(at).output().unwrap();
    let output = tokio::task::spawn_blocking(walk).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = rig.said();
    let last = said.iter().rposition(|line| line.starts_with("hello blue")).unwrap();
    assert!(said.iter().position(|line| line.starts_with("quiesce green")).unwrap() > last, "{said:?}");
    assert_eq!(rig.router().read().await.unwrap().split, Split::ALL_BLUE);
}

/// A green that does not give up its socket, and one that has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s01_the_way_back_without_bgctl_fails_while_green_may_hold_a_socket() {
    let Some(_) = crate::common::peer("curl") else { return };
    let mut rig = Rig::start(2, 3).await;
    rig.config["work_within"] = json!("1s");
    let armed = rig.router().read().await.unwrap();
    let way = rig.router().native_way_back("sockets", &armed);
    rig.router().set(&at(Split::ALL_BLUE), Split::ALL_GREEN).await.unwrap();
    rig.green[0].set("broken", json!(true));
    rig.green[1].end();
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in &way.files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let (command, place) = (way.command.clone(), folder.path().to_path_buf());
    let walk = move || std::process::Command::new("sh").args(["-c", &command]).current_dir(place).output().unwrap();
    let again = walk.clone();
    let output = tokio::task::spawn_blocking(walk).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("may still hold theirs") && said.contains(&rig.green[0].url), "{said}");
    assert!(!said.contains(&format!("processes: {}", rig.green[1].url)), "one that has ended holds none: {said}");
    assert!(rig.blue.iter().all(Stub::holds));
    rig.green[0].end();
    assert!(tokio::task::spawn_blocking(again).await.unwrap().status.success());
}

/// The script tells the truth of the router about half-open sockets: blue's are none, and green's may be held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s13_the_way_back_without_bgctl_counts_no_half_open_socket() {
    let Some(_) = crate::common::peer("curl") else { return };
    let mut rig = Rig::start(3, 1).await;
    rig.config["work_within"] = json!("1s");
    let way = rig.router().native_way_back("sockets", &rig.router().read().await.unwrap());
    rig.blue[0].set("last_ping", json!(now() - 30.0));
    rig.green[0].set("connected", json!(1));
    rig.green[0].set("last_ping", json!(now() - 30.0));
    rig.green[0].set("stays", json!(true));
    // By its own clock, as the router.
    rig.blue[1].set("clock", json!(now() - 7_200.0));
    rig.blue[1].set("last_ping", json!(now() - 7_203.0));
    let folder = tempfile::tempdir().unwrap();
    // Its waits are for real instances.
    let script = way.files[0].1.replace("-gt 60", "-gt 1");
    let walk = |script: String| {
        let file = folder.path().join("way-back.sh");
        std::fs::write(&file, script).unwrap();
        let walk = move || std::process::Command::new("sh").arg(file).output().unwrap();
        async { tokio::task::spawn_blocking(walk).await.unwrap() }
    };
    let output = walk(script.clone()).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("may still hold theirs") && said.contains(&rig.green[0].url), "{said}");
    rig.blue[2].set("last_ping", json!(now() - 30.0));
    let output = walk(script).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("BLUE holds 1 sockets, 2 needed"), "{said}");
}

#[tokio::test]
async fn a_wait_sees_what_no_gate_sees() {
    let rig = Rig::start(3, 1).await;
    assert_eq!(rig.router().watch().await.trouble, None);
    rig.blue[0].set("disconnects", json!({ "warning": 2 }));
    let watched = rig.router().watch().await;
    assert_eq!(watched.trouble, None);
    assert!(watched.notes[0].ends_with("`warning` 2 times"), "{:?}", watched.notes);
    rig.blue[0].set("connected", json!(0));
    rig.blue[0].set("disconnect", json!("link_disabled"));
    assert!(rig.router().watch().await.trouble.unwrap().contains("Socket Mode was switched off"));
    rig.blue[0].set("disconnect", json!(null));
    for stub in &rig.blue[..2] {
        stub.set("open", json!(false));
        stub.set("connected", json!(0));
    }
    assert_eq!(rig.router().watch().await.trouble.unwrap(), "only 1 sockets are open, 2 needed");
    rig.blue[1].set("broken", json!(true));
    assert_eq!(rig.router().watch().await.trouble, None, "not known is not too few");
}
