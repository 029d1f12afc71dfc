//! The route `dns` against a real BIND, its secondary and an unbound: what a move of a record rests on, and what it must not take
//! for true.
#![cfg(feature = "dns")]

mod common;

use std::cell::Cell;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use bgctl::clock::{Clock, SystemClock};
use bgctl::plan::{Color, Split};
use bgctl::routers::{
    Access, Call, Health, Identity, Kind, NativeWayBack, Reading, RouteView, RouterError, TrafficRouter, Trouble,
};
use bgctl::run::Outcome;
use common::named::{BLUE, Between, GREEN, NAME, SECRET, Zone, access, access_with, by_hand, told};
use common::scripted::{Stage, kind, response};
use common::{at, printed};
use rustix::process::Signal;
use serde_json::{Value, json};

fn row() -> &'static Kind {
    bgctl::routers::KINDS.iter().find(|kind| kind.name == "dns").expect("the row")
}

fn opened(settings: &Value, access: &Access) -> Rc<dyn TrafficRouter> {
    (row().open)(settings, access).unwrap_or_else(|found| panic!("{found:?}"))
}

/// The route with its updates going through somebody.
fn through(zone: &Zone, between: &Between) -> Rc<dyn TrafficRouter> {
    let mut settings = zone.settings();
    settings["servers"][0] = json!(format!("127.0.0.1:{}", between.port));
    opened(&settings, &access())
}

fn played(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(test);
}

async fn refused(router: &dyn TrafficRouter, from: Split, to: Split) -> RouterError {
    router.set(&at(from), to).await.expect_err("it is refused")
}

const RECORD: &str = "update delete bot.example.test A";

#[test]
fn a_prerequisite_that_fails_changes_nothing_and_says_what_is_there() {
    let Some(zone) = Zone::start(60) else { return };
    let between = Between::start(zone.primary);
    let router = through(&zone, &between);
    played(async {
        // Somebody is there between the look and the update.
        let primary = zone.primary;
        between.before(move || {
            by_hand(
                primary,
                &[RECORD, "update add bot.example.test 60 A 127.0.0.1", "update add bot.example.test 60 A 127.0.0.2"],
            )
        });
        let error = refused(&*router, Split::ALL_BLUE, Split::ALL_GREEN).await;
        assert_eq!(error.kind, Trouble::Drift { found: Split { blue: 1, green: 1 } });
        assert!(!error.moved && error.what.contains("NXRRSET"), "{error:?}");
        assert_eq!(error.calls[0].code, "NXRRSET");
        assert_eq!(zone.record(), [BLUE, GREEN]);

        // The same record again, and another TXT: not the one that was looked at, however alike.
        zone.by_hand(&[RECORD, "update add bot.example.test 60 A 127.0.0.1"]);
        between.before(move || by_hand(primary, &["update add _bgctl.bot.example.test 60 TXT \"gen=4 by=another\""]));
        let error = refused(&*router, Split::ALL_BLUE, Split::ALL_GREEN).await;
        assert_eq!((error.kind, error.moved), (Trouble::NotNow, false), "{error:?}");
        assert_eq!(zone.record(), [BLUE]);
    });
}

#[test]
fn a_cname_beside_an_a_is_dropped_by_bind_without_an_error_and_refused_by_name() {
    let Some(zone) = Zone::start(60) else { return };
    played(async {
        // The trap: NOERROR, and nothing changed.
        zone.by_hand(&["update add bot.example.test 60 CNAME green.example.test."]);
        assert_eq!(zone.dig(zone.primary, &["+short", NAME, "CNAME"]), "");
        let mut settings = zone.settings();
        (settings["type"], settings["blue"], settings["green"]) =
            (json!("CNAME"), json!(["blue.example.test"]), json!(["green.example.test"]));
        let error = opened(&settings, &access()).read().await.unwrap_err();
        assert_eq!(error.kind, Trouble::Invalid);
        assert!(error.what.contains("has A beside bot.example.test CNAME") && error.cure.is_some(), "{error:?}");

        // The other way round.
        zone.by_hand(&[RECORD, "update add bot.example.test 60 CNAME blue.example.test."]);
        let error = opened(&zone.settings(), &access()).read().await.unwrap_err();
        assert!(error.what.contains("a CNAME in place of bot.example.test A"), "{error:?}");

        // A CNAME is moved as a CNAME.
        let router = opened(&settings, &access());
        router.set(&at(Split::ALL_BLUE), Split::ALL_GREEN).await.unwrap();
        assert_eq!(zone.dig(zone.primary, &["+short", NAME, "CNAME"]), "green.example.test.");
    });
}

#[test]
fn a_noerror_that_changed_nothing_is_no_move() {
    let Some(zone) = Zone::start(60) else { return };
    let between = Between::start(zone.primary);
    let router = through(&zone, &between);
    played(async {
        // The update is done and undone before its answer comes: as if it had been dropped.
        let primary = zone.primary;
        between.answer(move |answer| {
            let undone = ["update add bot.example.test 60 A 127.0.0.1", "update delete _bgctl.bot.example.test TXT"];
            by_hand(primary, &[&[RECORD], &undone[..]].concat());
            Some(answer)
        });
        let error = refused(&*router, Split::ALL_BLUE, Split::ALL_GREEN).await;
        assert_eq!((error.kind, error.moved), (Trouble::Invalid, false), "{error:?}");
        assert!(error.what.contains("NOERROR") && error.what.contains("changed nothing"), "{error:?}");

        // Written over by somebody: not ours any more.
        let primary = zone.primary;
        between.answer(move |answer| {
            by_hand(primary, &["update add bot.example.test 60 A 127.0.0.1"]);
            Some(answer)
        });
        let error = refused(&*router, Split::ALL_BLUE, Split::ALL_GREEN).await;
        assert_eq!(error.kind, Trouble::Drift { found: Split { blue: 1, green: 1 } });
        assert!(error.moved && error.calls[0].code == "ok", "{error:?}");
    });
}

/// What the TXT says.
fn beside(zone: &Zone) -> String {
    zone.dig(zone.primary, &["+short", "_bgctl.bot.example.test", "TXT"])
}

#[test]
fn the_old_ttl_is_lowered_and_waited_out_before_anybody_moves() {
    let Some(zone) = Zone::start(3600) else { return };
    let router = opened(&zone.settings(), &access());
    played(async {
        // Lowered by hand, with no word about it: what a resolver holds shows it.
        assert!(zone.dig(zone.resolver, &[NAME, "A"]).contains(BLUE));
        let reading = router.read().await.unwrap();
        assert!(reading.remarks[0].contains("over up to 3600 s"), "{reading:?}");
        let lack = router.lacks(&reading).expect("the TTL is too long");
        assert!(lack.line.contains("3600 s") && lack.line.contains("60 s"), "{lack:?}");
        zone.by_hand(&[RECORD, "update add bot.example.test 60 A 127.0.0.1"]);
        assert_eq!(router.lacks(&router.read().await.unwrap()), None);
        let error = router.preflight(&[Split::ALL_GREEN]).await.unwrap_err();
        assert!(error.kind == Trouble::NotNow && error.what.contains("resolver"), "{error:?}");
        assert!(error.after.is_some_and(|left| left > Duration::from_secs(3000)), "{error:?}");
        zone.by_hand(&["update add bot.example.test 3600 A 127.0.0.1"]);

        // Lowered by `prepare`: nobody moves, and both servers have it.
        let reading = router.read().await.unwrap();
        let calls = router.complete(&reading).await.unwrap();
        assert_eq!(
            calls.iter().map(|call| call.action.as_str()).collect::<Vec<_>>(),
            ["lower the TTL", "write down since when"]
        );
        let now = router.read().await.unwrap();
        assert_eq!((now.split, router.lacks(&now)), (Split::ALL_BLUE, None));
        assert!(now.remarks.iter().any(|line| line.contains("3600 s before it was lowered")), "{now:?}");
        for port in [zone.primary, zone.secondary] {
            assert!(zone.dig(port, &["+noall", "+answer", NAME, "A"]).contains("\t60\t"));
        }
        assert!(router.complete(&now).await.unwrap().is_empty(), "and once is enough");

        // Not waited out, and then it is: an hour ago by the TXT, with a resolver that has forgotten.
        let mut alone = zone.settings();
        alone["resolvers"] = json!([]);
        let router = opened(&alone, &access());
        let error = router.preflight(&[Split::ALL_GREEN]).await.unwrap_err();
        assert!(error.kind == Trouble::NotNow && error.what.contains("3600 s"), "{error:?}");
        assert!(error.after.is_some_and(|left| left > Duration::from_secs(3000) && left <= Duration::from_secs(3600)));
        let text = beside(&zone);
        let since = text.trim_matches('"').split("since=").nth(1).expect("since when").to_string();
        let earlier = since.parse::<u64>().unwrap() - 3601;
        let ago = format!("update add _bgctl.bot.example.test 60 TXT {}", text.replace(&since, &earlier.to_string()));
        zone.by_hand(&["update delete _bgctl.bot.example.test TXT", &ago]);
        assert!(router.preflight(&[Split::ALL_GREEN]).await.unwrap()[0].contains("2 authoritative servers"));

        // A move keeps what is known of the old TTL, for whoever puts it back.
        router.set(&at(Split::ALL_BLUE), Split::ALL_GREEN).await.unwrap();
        assert!(beside(&zone).contains("ttl=3600"));
    });
}

/// The page's own script, after the run: with what stands there, and not over what somebody else writes meanwhile.
#[test]
fn the_old_ttl_is_put_back_by_the_script_of_the_page() {
    let Some(zone) = Zone::start(3600) else { return };
    let router = opened(&zone.settings(), &access());
    let script = printed(row().page, "restore-ttl")
        .replace("server=192.0.2.53 port=53 zone=example.com name=bot.example.com", &zone.in_shell());
    let ran = |script: &str| {
        let output = Command::new("sh").arg("-c").arg(script).env("DNS_KEY", SECRET).output().expect("a shell");
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let shown = |ttl: &str| zone.dig(zone.primary, &["+noall", "+answer", NAME, "A"]).contains(ttl);
    assert_eq!(ran(&script), (true, "nothing was lowered\n".into()));
    played(async {
        router.complete(&router.read().await.unwrap()).await.unwrap();
        router.set(&at(Split::ALL_BLUE), Split::ALL_GREEN).await.unwrap();
    });
    // Somebody has moved users since the script looked.
    let stale = script.replace(r#"txt=$(at "_bgctl.$name" TXT)"#, r#"txt='"gen=1 by=x ttl=3600"'"#);
    let (done, words) = ran(&stale);
    assert!(stale != script && !done && words.contains("NXRRSET") && shown("\t60\t"), "{words}");
    assert_eq!(ran(&script), (true, String::new()));
    assert!(shown("\t3600\t") && zone.record() == [GREEN] && beside(&zone).is_empty());
    zone.settled();
    played(async {
        let now = router.read().await.unwrap();
        assert_eq!(now.split, Split::ALL_GREEN);
        assert!(router.lacks(&now).expect("the TTL is too long again").line.contains("3600 s"));
    });
}

#[test]
fn a_lowering_that_was_cut_off_is_finished_and_not_waited_out_too_early() {
    let Some(zone) = Zone::start(60) else { return };
    let router = opened(&zone.settings(), &access());
    played(async {
        zone.by_hand(&["update add _bgctl.bot.example.test 60 TXT \"gen=1 by=a ttl=900\""]);
        let reading = router.read().await.unwrap();
        assert!(router.lacks(&reading).expect("nobody knows since when").line.contains("900 s"));
        assert_eq!(router.complete(&reading).await.unwrap().len(), 1);
        assert!(beside(&zone).contains("ttl=900 since="));
        assert_eq!(router.preflight(&[Split::ALL_GREEN]).await.unwrap_err().kind, Trouble::NotNow);
    });
}

#[test]
fn a_server_that_lags_is_named_and_a_way_back_starts_from_the_primary() {
    let Some(zone) = Zone::start(60) else { return };
    let router = opened(&zone.settings(), &access());
    played(async {
        zone.second.signal(Signal::STOP);
        let begun = SystemClock.elapsed();
        let error = refused(&*router, Split::ALL_BLUE, Split::ALL_GREEN).await;
        let took = SystemClock.elapsed() - begun;
        let lagging = format!("127.0.0.1:{}", zone.secondary);
        assert!(error.moved && error.kind == Trouble::Unreachable && error.what.contains(&lagging), "{error:?}");
        assert!(took >= Duration::from_secs(20) && took < Duration::from_secs(30), "{took:?}");
        assert_eq!(zone.record(), [GREEN]);
        let error = router.read().await.unwrap_err();
        assert!(error.kind == Trouble::NotNow && error.read.is_some() && error.what.contains(&lagging), "{error:?}");
        assert_eq!(error.partly.expect("what the primary says").split, Split::ALL_GREEN);

        // A move that is there already counts once everybody has it.
        let error = refused(&*router, Split::ALL_GREEN, Split::ALL_GREEN).await;
        assert!(error.what.contains(&lagging), "{error:?}");
        zone.second.signal(Signal::CONT);
        assert_eq!(router.set(&at(Split::ALL_GREEN), Split::ALL_GREEN).await.unwrap(), []);
        assert_eq!(zone.serial(zone.primary), zone.serial(zone.secondary));
        assert_eq!(router.read().await.unwrap().split, Split::ALL_GREEN);
    });
}

#[test]
fn a_resolver_that_still_has_the_old_answer_is_named_and_not_waited_for() {
    let Some(zone) = Zone::start(60) else { return };
    let router = opened(&zone.settings(), &access());
    played(async {
        assert!(zone.dig(zone.resolver, &[NAME, "A"]).contains(BLUE));
        router.set(&at(Split::ALL_BLUE), Split::ALL_GREEN).await.unwrap();
        assert_eq!(zone.dig(zone.resolver, &["+short", NAME, "A"]), BLUE, "unbound keeps its answer");
        let reading = router.read().await.unwrap();
        assert_eq!(reading.split, Split::ALL_GREEN);
        let resolver = format!("resolver 127.0.0.1:{} still answers {BLUE}", zone.resolver);
        assert!(reading.remarks.iter().any(|line| line.starts_with(&resolver)), "{reading:?}");
        assert!(reading.remarks[0].contains("going back after it over up to 60 s"), "{reading:?}");
        let watched = router.watch().await;
        assert!(watched.trouble.is_none() && watched.notes[0].starts_with(&resolver), "{watched:?}");
        assert_eq!(router.watch().await, watched, "a line that stays the same is noted once");
    });
}

#[test]
fn a_lost_answer_is_in_doubt_and_the_update_lands_on_nothing_else() {
    let Some(zone) = Zone::start(60) else { return };
    let between = Between::start(zone.primary);
    let router = through(&zone, &between);
    played(async {
        between.answer(|_| None);
        let error = refused(&*router, Split::ALL_BLUE, Split::ALL_GREEN).await;
        assert!(error.moved && error.kind == Trouble::Unreachable, "{error:?}");
        assert_eq!(error.calls[0].code, "no answer");
        zone.settled();
        let reading = router.read().await.unwrap();
        assert_eq!(reading.split, Split::ALL_GREEN, "it had landed");

        // Back to where it was, and the lost one comes once more: the record is what it wants, the TXT is not.
        let lost = between.last();
        between.answer(Some);
        router.set(&reading, Split::ALL_BLUE).await.unwrap();
        let serial = zone.serial(zone.primary);
        let answer = told(zone.primary, &lost);
        assert_eq!(answer[3] & 15, 7, "YXRRSET: there was no TXT then");
        assert_eq!((zone.record(), zone.serial(zone.primary)), (vec![BLUE.to_string()], serial));

        // The way back without bgctl holds one off as well.
        between.hold(true);
        let back = router.read().await.unwrap();
        refused(&*router, Split::ALL_BLUE, Split::ALL_GREEN).await;
        let lost = between.last();
        between.hold(false);
        let way = router.native_way_back("web", &back);
        assert!(!way.command.contains(SECRET));
        let output =
            std::process::Command::new("sh").args(["-c", &way.command]).env("DNS_KEY", SECRET).output().unwrap();
        assert!(output.status.success(), "{way:?} {output:?}");
        assert_eq!(told(zone.primary, &lost)[3] & 15, 8, "NXRRSET");
        assert_eq!(zone.record(), [BLUE]);

        // And after its time it is not even looked at.
        assert_eq!(router.lands_within(), Duration::from_secs(30));
        SystemClock.sleep(Duration::from_secs(16)).await;
        assert_eq!(told(zone.primary, &lost)[3] & 15, 9, "NOTAUTH (BADTIME)");
    });
}

/// What is done to an answer on its way.
type Trick = fn(Vec<u8>) -> Option<Vec<u8>>;

#[test]
fn an_answer_that_the_key_did_not_sign_is_none() {
    let Some(zone) = Zone::start(60) else { return };
    let between = Between::start(zone.primary);
    let router = through(&zone, &between);
    played(async {
        // A refusal that is no longer one, an answer that is cut, one of another message and one that is noise.
        let tricks: [Trick; 4] = [
            |mut answer| {
                answer[3] &= 0xf0;
                Some(answer)
            },
            |answer| Some(answer[..answer.len() / 2].into()),
            |mut answer| {
                answer[0] ^= 1;
                Some(answer)
            },
            |_| Some(vec![0xff; 60_000]),
        ];
        for trick in tricks {
            let primary = zone.primary;
            between.before(move || by_hand(primary, &["update add bot.example.test 60 A 127.0.0.2"]));
            between.answer(trick);
            let error = refused(&*router, Split::ALL_BLUE, Split::ALL_GREEN).await;
            assert!(error.moved && error.kind == Trouble::Unreachable, "{error:?}");
            zone.by_hand(&[RECORD, "update add bot.example.test 60 A 127.0.0.1"]);
        }
    });
}

#[test]
fn who_we_are_is_proven_by_the_update_itself_and_changes_nothing() {
    let Some(zone) = Zone::start(60) else { return };
    let before = zone.serial(zone.primary);
    let with = |change: fn(&mut Value), access: &Access| {
        let mut settings = zone.settings();
        change(&mut settings);
        opened(&settings, access)
    };
    played(async {
        let identity = with(|_| (), &access()).identity().await.unwrap();
        assert!(identity.line.contains("TSIG key `bgctl` (hmac-sha256)") && identity.renews, "{identity:?}");
        let other = "bm90IHRoZSBzZWNyZXQgdGhhdCBCSU5EIGhhcw==";
        let table: [(&str, Rc<dyn TrafficRouter>); 4] = [
            ("NOTAUTH (BADSIG)", with(|_| (), &access_with(other))),
            ("NOTAUTH (BADKEY)", with(|settings| settings["key"]["name"] = json!("nobody"), &access())),
            ("NOTAUTH (BADKEY)", with(|settings| settings["key"]["algorithm"] = json!("hmac-sha512"), &access())),
            ("REFUSED", with(|settings| settings["key"]["name"] = json!("poor"), &access())),
        ];
        for (words, router) in table {
            let error = router.identity().await.unwrap_err();
            assert_eq!((error.kind, error.moved), (Trouble::Denied, false), "{error:?}");
            assert!(error.what.contains(words) && error.cure.is_some(), "{words}: {error:?}");
            // Of a move nobody knows, where nobody signed the no.
            let error = refused(&*router, Split::ALL_BLUE, Split::ALL_GREEN).await;
            assert_eq!(error.moved, words != "REFUSED", "{error:?}");
        }
        let secondary = json!([format!("127.0.0.1:{}", zone.secondary)]);
        let mut settings = zone.settings();
        settings["servers"] = secondary;
        let error = opened(&settings, &access()).identity().await.unwrap_err();
        assert!(error.cure.is_some() && !error.moved, "{error:?}");
        settings["servers"] = zone.settings()["resolvers"].clone();
        let error = opened(&settings, &access()).read().await.unwrap_err();
        assert!(error.kind == Trouble::Unreachable && error.what.contains("REFUSED"), "a resolver: {error:?}");
        let mistakes = (row().view)(&zone.settings(), &access_with("no base64!")).err().expect("no key");
        assert_eq!(mistakes[0].at, "/key/secret");
    });
    assert_eq!(zone.serial(zone.primary), before);
}

#[test]
fn what_is_of_neither_side_is_named_and_left_alone() {
    let Some(zone) = Zone::start(60) else { return };
    let router = opened(&zone.settings(), &access());
    played(async {
        zone.by_hand(&["update add bot.example.test 60 A 192.0.2.9"]);
        let error = router.read().await.unwrap_err();
        assert!(
            error.kind == Trouble::Invalid && error.what.contains("192.0.2.9") && error.read.is_some(),
            "{error:?}"
        );
        assert_eq!(refused(&*router, Split::ALL_BLUE, Split::ALL_GREEN).await.kind, Trouble::Invalid);
        assert_eq!(zone.record(), [BLUE, "192.0.2.9"]);
        zone.by_hand(&[RECORD]);
        assert_eq!(router.read().await.unwrap_err().kind, Trouble::NotFound);
        zone.by_hand(&[
            "update add bot.example.test 60 A 127.0.0.1",
            "update add a-bot.example.test 60 TXT \"heritage=external-dns,external-dns/owner=k8s\"",
        ]);
        assert_eq!(router.controller().await.unwrap(), Some("ExternalDNS".into()));
        assert!(router.takes(Split { blue: 9, green: 1 }).is_err());
        assert_eq!(router.health(Color::Green).await.unwrap().healthy, 1);
        *zone.bots[1].well.lock().expect("a word") = false;
        let error = router.preflight(&[Split::ALL_GREEN]).await.unwrap_err();
        assert!(error.kind == Trouble::NotNow && error.what.contains("127.0.0.2: answers 503"), "{error:?}");
    });
}

/// A route whose users follow as slowly as those of a record.
struct Slow {
    split: Cell<Split>,
    follow: Duration,
}

#[async_trait(?Send)]
impl RouteView for Slow {
    fn line(&self) -> String {
        "a record".into()
    }

    fn resources(&self, _: Option<&Reading>) -> Vec<String> {
        vec![self.line()]
    }

    fn followed_within(&self) -> Duration {
        self.follow
    }

    async fn read(&self) -> Result<Reading, RouterError> {
        Ok(at(self.split.get()))
    }

    async fn health(&self, _: Color) -> Result<Health, RouterError> {
        Ok(Health { healthy: 2, total: 2, ..Health::default() })
    }

    async fn controller(&self) -> Result<Option<String>, RouterError> {
        Ok(None)
    }

    async fn identity(&self) -> Result<Identity, RouterError> {
        Ok(Identity { line: "somebody".into(), left: None, renews: true })
    }

    fn native_way_back(&self, _: &str, _: &Reading) -> NativeWayBack {
        NativeWayBack::default()
    }
}

#[async_trait(?Send)]
impl TrafficRouter for Slow {
    async fn set(&self, _: &Reading, to: Split) -> Result<Vec<Call>, RouterError> {
        self.split.set(to);
        Ok(Vec::new())
    }

    fn settle(&self) -> Duration {
        Duration::ZERO
    }
}

/// Responses may come from the old side for as long as a resolver keeps its answer: that is no shift that did not arrive.
#[test]
fn what_is_seen_from_outside_may_follow_as_late_as_the_ttl() {
    use common::play;
    let arrives = |follow: u64| {
        let mut plan = play::plan(
            &["web"],
            vec![play::shift("there", "web", 0, 1000)],
            vec![play::shift("back", "web", 1000, 0)],
            json!({}),
        );
        (plan.blue.version, plan.green.version) = ("v1".into(), "v2".into());
        let mut stage = Stage::new(|_, elapsed| {
            let mut answer = response(200, "")?;
            let version = if elapsed < Duration::from_secs(100) { "v1" } else { "v2" };
            answer.headers.push(("x-version".into(), version.into()));
            Ok(answer)
        });
        let slow = Slow { split: Cell::new(Split::ALL_BLUE), follow: Duration::from_secs(follow) };
        stage.world.routes.insert("web".into(), Rc::new(slow));
        let step = (kind("shift").build)(&plan.forward[0], &plan).expect("a shift");
        let outcome = stage.clock.run(step.execute(&stage.world, &stage.notes)).expect("nothing crashes here");
        matches!(outcome, Outcome::Done { .. })
    };
    assert!(arrives(60));
    assert!(!arrives(0), "a minute is all that others have");
}
