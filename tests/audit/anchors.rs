//! Anchors: real folders, a real git, a real openssl with an authority on loopback, and the Slack of the lab; and what a log
//! that was cut or exchanged looks like against them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use crate::command::{bgctl, keep};
use crate::common::kinds::Table;
use crate::common::peer;
use crate::rig::*;
use async_trait::async_trait;
use bgctl::audit::anchors;
use bgctl::audit::anchors::{Anchor, AnchorError, Kept, Named, Reach};
use bgctl::child::Children;
use bgctl::clock::{Clock, SystemClock};
use bgctl::journal::heads::Head;
use bgctl::journal::ledger::Tip;
use bgctl::journal::{Archive, LOG, Note, SealState, origin};
use bgctl::live::http::LiveWeb;
use bgctl::secret::{Secret, Secrets};
use bgctl::world::{Request, Response, Web, WebError};
use serde_json::{Value, json};

fn head_of(bytes: &[u8], state: SealState) -> Head {
    let count = lines(bytes).len() as u64;
    let log = Note {
        origin: origin("slackbot", RUN),
        lines: count,
        bytes: bytes.len() as u64,
        sha256: sha256(bytes),
        time: "2026-11-21T03:02:41.000000Z".into(),
        state,
    };
    Head { log, ledger: Some(Tip { lines: 2, sha256: "cd".repeat(32) }) }
}

/// The log up to and with the seal behind the first record of a type.
fn until(log: &[u8], kind: &str) -> Vec<u8> {
    let all = lines(log);
    all[..find(&all, kind) + 2].concat()
}

fn reach(folder: &Path, secrets: Secrets, web: Option<Rc<dyn Web>>) -> Rc<Reach> {
    let clock: Rc<dyn Clock> = Rc::new(SystemClock);
    let web = web.unwrap_or_else(|| Rc::new(LiveWeb::new(clock.clone())));
    let processes = Rc::new(Children::new(clock.clone(), None));
    let (folder, beside_policy) = (folder.to_path_buf(), folder.to_path_buf());
    Rc::new(Reach { clock, web, processes, secrets, folder, beside_policy })
}

/// An anchor as a policy names it.
fn named(entry: Value) -> Named {
    serde_json::from_value(entry).unwrap()
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn give(anchor: &dyn Anchor, head: &Head, receipts: &Path) -> Result<Kept, AnchorError> {
    wait(anchors::keep(anchor, head, receipts, &SystemClock, anchors::PATIENCE))
}

fn ask(anchor: &dyn Anchor, receipts: Option<&Path>) -> Result<Vec<Head>, AnchorError> {
    wait(anchors::heads(anchor, &origin("slackbot", RUN), receipts, &SystemClock))
}

#[test]
fn a_folder_keeps_heads_read_only_and_only_one_for_each_length() {
    let dir = tempfile::tempdir().unwrap();
    let (kept, receipts) = (dir.path().join("mnt"), dir.path().join("run/anchors"));
    let named = named(json!({ "file": "mnt" }));
    let anchor = anchors::open(&named, &reach(dir.path(), Secrets::default(), None));
    let log = complete();
    let (early, whole) = (head_of(&until(&log, "plan.loaded"), SealState::Open), head_of(&log, SealState::Closed));
    let missing = give(anchor.as_ref(), &early, &receipts).unwrap_err();
    assert!(missing.to_string().contains("No such file"), "a folder that is not there is never made: {missing}");
    fs::create_dir(&kept).unwrap();
    let taken = give(anchor.as_ref(), &early, &receipts).unwrap();
    assert!(taken.warning.unwrap().contains("same file system"));
    assert_eq!(fs::metadata(&taken.receipt).unwrap().permissions().mode() & 0o777, 0o444);
    assert_eq!(fs::read_to_string(&taken.receipt).unwrap(), early.text());
    give(anchor.as_ref(), &whole, &receipts).unwrap();
    give(anchor.as_ref(), &whole, &receipts).unwrap();
    let mut heads = ask(anchor.as_ref(), None).unwrap();
    heads.sort_by_key(|head| head.log.lines);
    assert_eq!(heads, [early.clone(), whole]);
    let mut other = early;
    other.log.sha256 = "ee".repeat(32);
    let refused = give(anchor.as_ref(), &other, &receipts).unwrap_err();
    assert!(refused.to_string().contains("there are two logs of it"), "{refused}");
    assert_eq!(fs::read_dir(&receipts).unwrap().count(), 2);
}

/// `/dev/shm` is a file system of its own on Linux.
#[test]
fn a_folder_on_another_file_system_is_not_warned_of() {
    let Ok(shared) = tempfile::tempdir_in("/dev/shm") else {
        std::io::stderr().write_all(b"skipped: no /dev/shm\n").unwrap();
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let named = named(json!({ "file": shared.path() }));
    let anchor = anchors::open(&named, &reach(dir.path(), Secrets::default(), None));
    let taken = give(anchor.as_ref(), &head_of(&complete(), SealState::Closed), &dir.path().join("anchors")).unwrap();
    assert_eq!(taken.warning, None);
}

#[test]
fn names_in_a_log_lead_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("mnt")).unwrap();
    let anchor = anchors::open(&named(json!({ "file": "mnt" })), &reach(dir.path(), Secrets::default(), None));
    let mut head = head_of(&complete(), SealState::Closed);
    head.log.origin = "bgctl/log/../..".into();
    let taken = give(anchor.as_ref(), &head, &dir.path().join("anchors")).unwrap();
    assert!(Path::new(&taken.receipt).starts_with(dir.path().join("mnt/_../_..")), "{}", taken.receipt);
}

fn git(folder: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn git_keeps_heads_as_notes_and_as_tags_and_remembers_what_was_taken_away() {
    let Some(_) = peer("git") else { return };
    let dir = tempfile::tempdir().unwrap();
    let receipts = dir.path().join("anchors");
    let log = complete();
    let (early, whole) = (head_of(&until(&log, "plan.loaded"), SealState::Open), head_of(&log, SealState::Closed));
    let of = |reference: &str| {
        let named = named(json!({ "git": { "repository": "repository", "ref": reference } }));
        anchors::open(&named, &reach(dir.path(), Secrets::default(), None))
    };
    let notes = of("refs/notes/bgctl");
    assert!(give(notes.as_ref(), &early, &receipts).is_err(), "there is no repository yet");
    git(dir.path(), &["init", "-q", "repository"]);
    let repository = dir.path().join("repository");
    git(&repository, &["commit", "-q", "--allow-empty", "-m", "first"]);
    assert!(ask(notes.as_ref(), None).unwrap_err().to_string().contains("has no refs/notes/bgctl"));

    let taken = give(notes.as_ref(), &early, &receipts).unwrap();
    assert_eq!(taken.receipt, git(&repository, &["rev-parse", "refs/notes/bgctl"]).trim());
    git(&repository, &["commit", "-q", "--allow-empty", "-m", "second"]);
    give(notes.as_ref(), &whole, &receipts).unwrap();
    let sorted = |mut heads: Vec<Head>| {
        heads.sort_by_key(|head| head.log.lines);
        heads
    };
    assert_eq!(sorted(ask(notes.as_ref(), None).unwrap()), [early.clone(), whole.clone()]);
    assert!(git(&repository, &["log", "--notes=bgctl"]).contains(&whole.log.sha256));
    git(&repository, &["notes", "--ref=bgctl", "remove", "HEAD"]);
    assert_eq!(sorted(ask(notes.as_ref(), None).unwrap()).last(), Some(&whole), "the ref's own history has it");

    let tags = of("refs/tags/bgctl");
    assert_eq!(ask(tags.as_ref(), None).unwrap(), []);
    give(tags.as_ref(), &early, &receipts).unwrap();
    give(tags.as_ref(), &whole, &receipts).unwrap();
    assert_eq!(sorted(ask(tags.as_ref(), None).unwrap()), [early.clone(), whole]);
    let every = wait(anchors::heads(tags.as_ref(), "bgctl/log/", None, &SystemClock)).unwrap();
    assert_eq!(every.len(), 2);
    let refused = anchors::parse("git:refs/heads/main", None).err().unwrap();
    assert!(refused.contains("below `refs/notes/` or `refs/tags/`"), "{refused}");
}

/// A Slack that keeps messages and threads, as far as anchors use it.
#[derive(Default)]
struct Slack(RefCell<Vec<Value>>);

#[async_trait(?Send)]
impl Web for Slack {
    async fn exchange(&self, request: Request) -> Result<Response, WebError> {
        let answer = |said: Value| Ok(Response { status: 200, body: said.to_string().into(), ..Response::default() });
        assert!(request.url.starts_with("https://slack.test/api/"), "{}", request.url);
        if !request.headers.contains(&("authorization".into(), "Bearer xoxb-anchor-token".into())) {
            return answer(json!({ "ok": false, "error": "invalid_auth" }));
        }
        let mut messages = self.0.borrow_mut();
        let named = |name: &str| {
            let rest = request.url.split_once(&format!("{name}=")).unwrap().1;
            rest.split('&').next().unwrap().to_string()
        };
        if request.url.ends_with("/chat.postMessage") {
            let mut message: Value = serde_json::from_slice(&request.body).unwrap();
            let ts = format!("17637{:05}.000100", messages.len());
            message["ts"] = ts.clone().into();
            messages.push(message);
            return answer(json!({ "ok": true, "ts": ts }));
        }
        let found: Vec<&Value> = match request.url.contains("/conversations.replies") {
            true => messages.iter().filter(|m| m["ts"] == named("ts") || m["thread_ts"] == named("ts")).collect(),
            false => messages.iter().filter(|m| m["thread_ts"].is_null()).collect(),
        };
        assert_eq!(named("channel"), "C0123");
        answer(json!({ "ok": true, "messages": found, "response_metadata": { "next_cursor": "" } }))
    }
}

#[test]
fn slack_keeps_heads_in_one_thread_and_finds_them_without_the_receipts() {
    let dir = tempfile::tempdir().unwrap();
    let receipts = dir.path().join("anchors");
    let slack = Rc::new(Slack::default());
    let token = ("${env:SLACK_BOT_TOKEN}".to_string(), Secret::new("xoxb-anchor-token"));
    let api = "https://slack.test/api";
    let named = named(json!({ "slack": { "channel": "C0123", "token": token.0, "api": api } }));
    let of = |secrets: Secrets| anchors::open(&named, &reach(dir.path(), secrets, Some(slack.clone())));
    let anchor = of(Secrets::new(BTreeMap::from([token.clone()])));
    let log = complete();
    let (early, whole) = (head_of(&until(&log, "plan.loaded"), SealState::Open), head_of(&log, SealState::Closed));
    let first = give(anchor.as_ref(), &early, &receipts).unwrap();
    let second = give(anchor.as_ref(), &whole, &receipts).unwrap();
    assert_ne!(first.receipt, second.receipt);
    assert_eq!(slack.0.borrow()[1]["thread_ts"], first.receipt.as_str());
    assert_eq!(ask(anchor.as_ref(), Some(&receipts)).unwrap(), [early.clone(), whole.clone()]);
    fs::remove_dir_all(&receipts).unwrap();
    assert_eq!(ask(anchor.as_ref(), Some(&receipts)).unwrap(), [early.clone(), whole]);
    let other = of(Secrets::new(BTreeMap::from([(token.0, Secret::new("xoxb-other"))])));
    let refused = give(other.as_ref(), &early, &receipts).unwrap_err().to_string();
    assert!(refused.contains("invalid_auth") && !refused.contains("xoxb"), "{refused}");
}

/// A time-stamping authority made with openssl, answering on loopback until it is dropped.
struct Authority {
    folder: tempfile::TempDir,
    url: String,
}

fn openssl(folder: &Path, args: &[&str]) {
    let output = Command::new("openssl").args(args).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::write(
            path.join("tsa.cnf"),
            "[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN=bgctl test\n[ca]\nbasicConstraints=critical,CA:TRUE\n\
             [tsa]\nextendedKeyUsage=critical,timeStamping\n[conf]\nserial=serial\nsigner_digest=sha256\n\
             default_policy=1.2.3.4.1\ndigests=sha256\naccuracy=secs:1\nordering=no\ness_cert_id_chain=no\n",
        )
        .unwrap();
        fs::write(path.join("serial"), "01\n").unwrap();
        let new = ["req", "-config", "tsa.cnf", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        openssl(path, &[&new[..], &["-x509", "-extensions", "ca", "-keyout", "ca.key", "-out", "ca.pem"]].concat());
        openssl(
            path,
            &[&new[..], &["-subj", "/CN=bgctl test authority", "-keyout", "tsa.key", "-out", "tsa.csr"]].concat(),
        );
        let sign = ["x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
        openssl(path, &[&sign[..], &["-extfile", "tsa.cnf", "-extensions", "tsa", "-out", "tsa.pem"]].concat());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let own = path.to_path_buf();
        // Ends with the test's process: nothing else listens to it.
        std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| answer(stream, &own)));
        Authority { folder, url }
    }
}

fn answer(mut stream: std::net::TcpStream, folder: &Path) {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    let body = loop {
        let len = stream.read(&mut buffer).unwrap();
        request.extend_from_slice(&buffer[..len]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some(end) = text.find("\r\n\r\n") else { continue };
        assert!(text.to_lowercase().contains("content-type: application/timestamp-query"), "{text}");
        let length = text.to_lowercase().split_once("content-length: ").unwrap().1.to_string();
        let length: usize = length.split_once("\r\n").unwrap().0.parse().unwrap();
        let start = request.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        assert!(end <= start);
        if request.len() >= start + length {
            break request[start..start + length].to_vec();
        }
    };
    fs::write(folder.join("query.tsq"), body).unwrap();
    let reply = ["ts", "-reply", "-config", "tsa.cnf", "-section", "conf", "-queryfile", "query.tsq"];
    let keys = ["-inkey", "tsa.key", "-signer", "tsa.pem", "-out", "reply.tsr"];
    openssl(folder, &[&reply[..], &keys].concat());
    let reply = fs::read(folder.join("reply.tsr")).unwrap();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/timestamp-reply\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        reply.len()
    );
    stream.write_all(&[head.as_bytes(), &reply].concat()).unwrap();
}

#[test]
fn an_authority_stamps_a_head_and_no_other_one() {
    let Some(_) = peer("openssl") else { return };
    let authority = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    let receipts = dir.path().join("anchors");
    let of = |ca: &str| {
        let ca = authority.folder.path().join(ca).display().to_string();
        let named = named(json!({ "rfc3161": { "url": authority.url, "ca": ca } }));
        anchors::open(&named, &reach(dir.path(), Secrets::default(), None))
    };
    let anchor = of("ca.pem");
    let whole = head_of(&complete(), SealState::Closed);
    let taken = give(anchor.as_ref(), &whole, &receipts).unwrap();
    assert!(taken.line.starts_with("stamped ") && taken.line.contains(" GMT"), "{}", taken.line);
    assert_eq!(ask(anchor.as_ref(), Some(&receipts)).unwrap(), std::slice::from_ref(&whole));
    // By another authority, and of another head, it is none.
    let other = Authority::new();
    let ca = other.folder.path().join("ca.pem").display().to_string();
    let stranger = named(json!({ "rfc3161": { "url": other.url, "ca": ca } }));
    let stranger = anchors::open(&stranger, &reach(dir.path(), Secrets::default(), None));
    assert!(ask(stranger.as_ref(), Some(&receipts)).is_err());
    let files: Vec<PathBuf> = fs::read_dir(&receipts).unwrap().map(|e| e.unwrap().path()).collect();
    let data = files.iter().find(|path| path.extension().is_some_and(|e| e == "head")).unwrap();
    fs::write(data, whole.text().replace("state closed", "state ended")).unwrap();
    let refused = ask(anchor.as_ref(), Some(&receipts)).unwrap_err().to_string();
    assert!(refused.contains("message imprint mismatch"), "{refused}");
    assert!(ask(anchor.as_ref(), None).unwrap_err().to_string().contains("this log is in none"));
}

/// What keeps a place while it is used.
type Held = Box<dyn std::any::Any>;

/// A place for each kind of anchor, in a folder: what it is named by, and the web it is reached through.
type Place = (&'static str, fn(&Path) -> (Value, Option<Rc<dyn Web>>, Held));

const PLACES: &[Place] = &[
    ("file", |folder| {
        fs::create_dir(folder.join("mnt")).unwrap();
        (json!("mnt"), None, Box::new(()))
    }),
    ("git", |folder| {
        git(folder, &["init", "-q", "repository"]);
        git(&folder.join("repository"), &["commit", "-q", "--allow-empty", "-m", "first"]);
        (json!({ "repository": "repository", "ref": "refs/notes/bgctl" }), None, Box::new(()))
    }),
    ("slack", |_| {
        let settings =
            json!({ "channel": "C0123", "token": "${env:SLACK_BOT_TOKEN}", "api": "https://slack.test/api" });
        (settings, Some(Rc::new(Slack::default())), Box::new(()))
    }),
    ("rfc3161", |_| {
        let authority = Authority::new();
        let ca = authority.folder.path().join("ca.pem");
        (json!({ "url": authority.url, "ca": ca }), None, Box::new(authority))
    }),
];

/// What every anchor must do, at each of its places.
#[test]
fn every_anchor_keeps_a_head_and_gives_it_back() {
    let (Some(_), Some(_)) = (peer("git"), peer("openssl")) else { return };
    let kinds = anchors::KINDS.iter().map(|kind| (kind.name, kind.page)).collect();
    let places = PLACES.iter().map(|(name, _)| *name).collect();
    Table { of: "anchor", kinds, topic: Some("anchors"), places }.is_complete();
    for kind in anchors::KINDS {
        for (name, place) in PLACES.iter().filter(|(name, _)| *name == kind.name) {
            let dir = tempfile::tempdir().unwrap();
            let receipts = dir.path().join("anchors");
            let (settings, web, _held) = place(dir.path());
            let secret = ("${env:SLACK_BOT_TOKEN}".to_string(), Secret::new("xoxb-anchor-token"));
            let reach = reach(dir.path(), Secrets::new([secret].into()), web);
            let settings_of_nothing = serde_json::from_value::<Named>(json!({ (*name): {} }));
            assert!(settings_of_nothing.is_err(), "{name}: settings without anything are no place");
            let named = named(json!({ (*name): settings }));
            assert!(named.place().starts_with(&format!("{name}:")), "{}", named.place());
            let anchor = anchors::open(&named, &reach);
            assert_eq!(anchor.kind(), *name);
            assert!(anchor.place().starts_with(&format!("{name}:")), "{}", anchor.place());
            // Nothing is there before something is kept; then exactly what was kept, and nothing of another log.
            assert!(ask(anchor.as_ref(), Some(&receipts)).is_ok_and(|heads| heads.is_empty()) || !receipts.exists());
            let log = complete();
            let early = head_of(&until(&log, "plan.loaded"), SealState::Open);
            let whole = head_of(&log, SealState::Closed);
            for (n, head) in [&early, &whole].into_iter().enumerate() {
                let kept = give(anchor.as_ref(), head, &receipts).unwrap_or_else(|why| panic!("{name}: {why}"));
                assert!(!kept.receipt.is_empty() && !kept.line.contains("xoxb"), "{name}: {kept:?}");
                let mut heads = ask(anchor.as_ref(), Some(&receipts)).unwrap_or_else(|why| panic!("{name}: {why}"));
                heads.sort_by_key(|head| head.log.lines);
                assert_eq!(heads.len(), n + 1, "{name}: {heads:?}");
                assert_eq!(heads.last(), Some(head), "{name}");
            }
            let other = wait(anchors::heads(anchor.as_ref(), "bgctl/log/other/run", Some(&receipts), &SystemClock));
            assert!(other.is_ok_and(|heads| heads.is_empty()), "{name} gives heads of another log");
        }
    }
}

/// An anchor that never answers.
struct Silent;

#[async_trait(?Send)]
impl Anchor for Silent {
    fn kind(&self) -> &'static str {
        "file"
    }
    fn place(&self) -> String {
        "file:/hung".into()
    }
    async fn keep(&self, _: &Head, _: &Path) -> Result<Kept, AnchorError> {
        std::future::pending().await
    }
    async fn heads(&self, _: &str, _: Option<&Path>) -> Result<Vec<Head>, AnchorError> {
        std::future::pending().await
    }
}

#[test]
fn an_anchor_that_hangs_is_left_behind() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), HandClock::new());
    let head = head_of(&complete(), SealState::Closed);
    let before = clock.elapsed();
    let late = wait(anchors::keep(&Silent, &head, dir.path(), clock.as_ref(), anchors::PATIENCE)).unwrap_err();
    assert_eq!(
        (late.to_string().as_str(), clock.elapsed() - before),
        ("no answer within 15 s", Duration::from_secs(15))
    );
    assert!(wait(anchors::heads(&Silent, "x", None, clock.as_ref())).is_err());
}

/// A state folder with the log, whose owner is believed, and a folder to anchor in.
fn state(log: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    keep(dir.path(), log);
    crate::command::believe(dir.path());
    fs::create_dir(dir.path().join("mnt")).unwrap();
    dir
}

fn anchored(state: &Path) {
    let (code, out, err) = bgctl(state, &["audit", "anchor", "--to", "file:mnt"]);
    assert!(code == 0 && out.contains("file:") && err.contains("same file system"), "{out}{err}");
}

const VERIFY: [&str; 4] = ["audit", "verify", "--anchor", "file:mnt"];

#[test]
fn case_08_a_tail_cut_exactly_at_a_seal_is_truncated_against_an_anchor() {
    let log = complete();
    let dir = state(&log);
    anchored(dir.path());
    let (code, out, err) = bgctl(dir.path(), &VERIFY);
    assert!(code == 0 && out.contains("COMPLETE. ") && out.contains("and they are here unchanged"), "{out}{err}");
    // At the last open seal, and with only the closing seal gone.
    let all = lines(&log);
    for cut in [until(&log, "step.outcome"), all[..all.len() - 1].concat()] {
        keep(dir.path(), &cut);
        let (code, out, _) = bgctl(dir.path(), &["audit", "verify"]);
        assert!(code == 43 && out.contains("INTERRUPTED. ") && out.contains("none given"), "without an anchor: {out}");
        keep(dir.path(), &cut);
        let (code, out, err) = bgctl(dir.path(), &VERIFY);
        assert!(code == 44 && out.contains("TRUNCATED. ") && err.contains("BG0622"), "{out}{err}");
        assert!(out.contains(&format!("saw {} records, closed", all.len())), "{out}");
        let (_, out, _) = bgctl(dir.path(), &[&VERIFY[..], &["-o", "json"]].concat());
        let said: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((&said["verdict"], &said["exit"]), (&json!("TRUNCATED"), &json!(44)));
    }
}

#[test]
fn case_08b_a_verifier_remembers_what_it_saw_without_any_anchor() {
    let log = complete();
    let dir = state(&log);
    assert_eq!(bgctl(dir.path(), &["audit", "verify"]).0, 0);
    let put = |log: &[u8]| fs::write(Archive::new(dir.path()).run(RUN).join(LOG), log).unwrap();
    put(&until(&log, "step.outcome"));
    let (code, out, _) = bgctl(dir.path(), &["audit", "verify"]);
    assert!(code == 44 && out.contains("TRUNCATED. ") && out.contains("this verifier's own memory"), "{out}");
    let (code, out, _) = bgctl(dir.path(), &["audit", "verify"]);
    assert!(code == 44, "what was seen once is not forgotten for a shorter log: {out}");
    put(&log);
    assert_eq!(bgctl(dir.path(), &["audit", "verify"]).0, 0);
    // A log that grows is no fault: an interrupted one that was seen, and then went on.
    let dir = state(&until(&log, "step.outcome"));
    assert_eq!(bgctl(dir.path(), &["audit", "verify"]).0, 43);
    fs::write(Archive::new(dir.path()).run(RUN).join(LOG), &log).unwrap();
    assert_eq!(bgctl(dir.path(), &["audit", "verify"]).0, 0);
}

#[test]
fn case_46_two_valid_logs_of_one_run_are_forked_against_the_anchor_of_one() {
    let (one, two) = (complete(), complete());
    assert_ne!(one, two, "each opening makes its own session key");
    let dir = state(&one);
    anchored(dir.path());
    keep(dir.path(), &two);
    let (code, out, _) = bgctl(dir.path(), &["audit", "verify"]);
    assert!(code == 0 && out.contains("COMPLETE. "), "by itself the other log is whole: {out}");
    keep(dir.path(), &two);
    let (code, out, err) = bgctl(dir.path(), &VERIFY);
    assert!(code == 44 && out.contains("FORKED. ") && err.contains("there are two logs of run"), "{out}{err}");
    // The second log cannot take the first one's place at the anchor either.
    let (code, _, err) = bgctl(dir.path(), &["audit", "anchor", "--to", "file:mnt"]);
    assert!(code == 69 && err.contains("there are two logs of it"), "{err}");
}

#[test]
fn an_anchor_that_is_gone_is_said_and_is_no_agreement() {
    let dir = state(&complete());
    let (code, out, err) = bgctl(dir.path(), &VERIFY);
    assert!(code == 69 && out.contains("could not check: it keeps nothing of this log"), "{out}{err}");
    assert!(out.contains("COMPLETE. ") && err.contains("BG0624"), "{out}{err}");
    fs::remove_dir(dir.path().join("mnt")).unwrap();
    let (code, out, _) = bgctl(dir.path(), &VERIFY);
    assert!(code == 69 && out.contains("could not check: cannot read"), "{out}");
    let (code, _, err) = bgctl(dir.path(), &["audit", "verify", "--anchor", "s3:bucket"]);
    assert!(code == 64 && err.contains("not a kind of anchor"), "{err}");
    fs::write(dir.path().join("heads.json"), "{").unwrap();
    let (code, out, _) = bgctl(dir.path(), &["audit", "verify"]);
    assert!(code == 0 && out.contains("could not check: this verifier's own memory"), "{out}");
}

#[test]
fn the_policys_anchors_are_asked_by_default() {
    let log = complete();
    let dir = state(&log);
    anchored(dir.path());
    fs::create_dir_all(dir.path().join(".bgctl")).unwrap();
    let policy = "bgctl_policy: 1\npersons:\n  alice: { principals: [engineer@example.com] }\nanchors:\n  required: 1\n  to:\n    \
                  - { file: mnt }\n    - { slack: { channel: C0123, token: \"${env:SLACK_BOT_TOKEN}\" } }\n";
    fs::write(dir.path().join(".bgctl/policy.yaml"), policy).unwrap();
    let (code, out, err) = bgctl(dir.path(), &["audit", "verify"]);
    assert!(code == 0 && out.contains("and they are here unchanged"), "{out}{err}");
    assert!(out.contains("slack:C0123 could not check: not asked without --anchor"), "{out}");
    keep(dir.path(), &until(&log, "step.outcome"));
    assert_eq!(bgctl(dir.path(), &["audit", "verify"]).0, 44);
}
