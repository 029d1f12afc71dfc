//! What somebody else has written: logs, requests and their signatures, lists of keys, runbooks, policies, migrations. Each goes
//! the way it goes in a command, up to what is shown of it.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use bgctl::audit::exports::{KINDS, Source as Exported};
use bgctl::audit::{Redaction, Verdict, verify_copy};
use bgctl::cli::check;
use bgctl::journal::Seals;
use bgctl::migrations::{Class, Known, statements, strictest};
use bgctl::people::shown::{LONGEST, Shown};
use bgctl::people::{Approve, Decision, Inbox, trusting};
use bgctl::plan::{ApprovalRule, Plan, Team};
use bgctl::policy::{self, PolicyFile};
use bgctl::run::Event;
use bgctl::runbook::Source;
use bgctl::secret;
use bgctl::shell::Exit;
use bgctl::sign::{AllowedSigners, PublicKey, Revoked, Trust, namespace};
use jiff::Timestamp;

use super::{Door, words};
use crate::files::VARIABLES;
use crate::rig::{RUNBOOK, with_approval};

/// While the runs of the vectors went on.
const NOW: &str = "2026-11-21T03:03:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a folder, in order of their names.
fn inside(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn read(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(path.as_ref()).unwrap()
}

/// The sound logs of the test vectors; the first of them is closed.
fn vectors() -> Vec<PathBuf> {
    let all = inside(&root().join("tests/vectors"));
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let (mut first, rest): (Vec<_>, Vec<_>) =
        all.into_iter().filter(|path| name(path).starts_with("sound-")).partition(|path| name(path) == "sound-closed");
    first.extend(rest);
    first
}

/// Whoever any of the vectors trusts.
fn trust() -> Trust {
    let text = |path: PathBuf| std::fs::read_to_string(path.join("allowed_signers")).unwrap_or_default();
    let lists = vectors().into_iter().filter_map(|path| AllowedSigners::parse(&text(path)).ok());
    Trust { signers: lists.reduce(AllowedSigners::join).unwrap(), shared: None }
}

pub fn verify() -> Vec<Door> {
    let trust = std::rc::Rc::new(trust());
    let believed = trust.clone();
    let logs = vectors().into_iter().map(|path| read(path.join("log.jsonl")));
    let log = move |bytes: &[u8]| {
        let [last, all] = [Seals::Last, Seals::All]
            .map(|seals| bgctl::audit::verify(&mut Cursor::new(bytes), &trust, seals).unwrap());
        if let Ok(sound) = &bgctl::journal::read(bytes) {
            let from = Exported { bytes, sound, report: &all, verdict: "COMPLETE" };
            KINDS.iter().for_each(|kind| drop((kind.write)(&from)));
        }
        last.verdict == Verdict::Complete
    };
    let copy = root().join("tests/vectors/sound-copy");
    let (copied, statement) = (read(copy.join("log.jsonl")), read(copy.join("log.jsonl.redaction")));
    let redaction = move |bytes: &[u8]| {
        let Ok(redaction) = Redaction::parse(&String::from_utf8_lossy(bytes)) else { return false };
        verify_copy(&mut Cursor::new(&copied[..]), &believed, Seals::All, &redaction).is_ok()
    };
    vec![
        Door { name: "log", seeds: logs.collect(), words: words::LOG, longest: 256 * 1024, play: Box::new(log) },
        Door {
            name: "statement of a copy",
            seeds: vec![statement],
            words: words::LOG,
            longest: 64 * 1024,
            play: Box::new(redaction),
        },
    ]
}

/// A request of a run, what it was answered with, and the rule of its step.
fn asked() -> (Plan, ApprovalRule, Vec<u8>, Vec<u8>) {
    let sound = bgctl::journal::read(&read(vectors()[0].join("log.jsonl"))).unwrap();
    let events = || sound.entries.iter().filter_map(|entry| entry.event());
    let request = events().find_map(|event| match event {
        Event::ApprovalRequested { step, request, .. } => Some((step, request)),
        _ => None,
    });
    let answer = events().find_map(|event| match event {
        Event::ApprovalGranted { grant, .. } => grant.sig,
        _ => None,
    });
    let (step, request) = request.unwrap();
    let rule = sound.plan.step(step).approval.clone().unwrap();
    (sound.plan, rule, request.into_bytes(), answer.unwrap().into_bytes())
}

pub fn approve() -> Vec<Door> {
    let (_, rule, request, answer) = asked();
    let shown = |bytes: &[u8]| {
        let Ok(shown) = Shown::read(&String::from_utf8_lossy(bytes)) else { return false };
        shown.details().len() + shown.decides(now()).len() + shown.sha256().len() > 0
    };
    let text = String::from_utf8(request.clone()).unwrap();
    let (request_sha256, team) = ("5e".repeat(32), Team::default());
    let inbox = Inbox::new("approvals".into(), trusting(trust().signers), Vec::new());
    let signature = move |bytes: &[u8]| {
        let ask = Approve {
            step: bgctl::plan::StepRef { lane: bgctl::plan::Lane::Forward, index: 0 },
            id: "shift-10",
            line: "",
            rule: &rule,
            request: &text,
            request_sha256: &request_sha256,
            expires: i64::MAX,
            word: "10".into(),
            users: String::new(),
            evidence: Vec::new(),
            way_back: String::new(),
            grants: &[],
            void: &[],
            waits: false,
            team: &team,
        };
        matches!(inbox.judge(&ask, &String::from_utf8_lossy(bytes), now()), Ok(Some(Decision::Granted(_))))
    };
    let (message, sig) = (request.clone(), String::from_utf8(answer.clone()).unwrap());
    let signers = move |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        bgctl::sign::lint::lint(&text, now());
        let revoked = Revoked::parse(bytes, Path::new("revoked_keys"), "revoked_keys");
        let _ = PublicKey::from_line(&text).map(|key| key.fingerprint());
        let Ok(signers) = AllowedSigners::parse(&text) else { return false };
        // A list of revoked keys in its binary form is ssh-keygen's to read.
        let signers = match revoked {
            Ok(revoked) if text.starts_with("SHA256:") => signers.without(revoked),
            _ => signers,
        };
        signers.check(None, namespace::APPROVE, &message, &sig, now()).is_ok()
    };
    let lists = vectors().into_iter().map(|path| read(path.join("allowed_signers")));
    vec![
        Door { name: "request", seeds: vec![request], words: words::REQUEST, longest: LONGEST, play: Box::new(shown) },
        Door {
            name: "signature",
            seeds: vec![answer],
            words: words::KEYS,
            longest: 64 * 1024,
            play: Box::new(signature),
        },
        Door {
            name: "signers",
            seeds: lists.collect(),
            words: words::KEYS,
            longest: 64 * 1024,
            play: Box::new(signers),
        },
    ]
}

/// `bgctl check FILE`, for people and for machines.
fn checked(bytes: &[u8]) -> bool {
    std::fs::write("case.yaml", bytes).unwrap();
    let env: BTreeMap<String, String> =
        VARIABLES.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let files = vec!["case.yaml".to_string()];
    let args = check::Args { files, strict: false, live: false, vars: vec![], swap: false, ci: false, policy: None };
    let known = secret::Known::default();
    let [_, exit] = [true, false].map(|json| {
        let [mut out, mut err] = [0, 1].map(|_| known.masked(Vec::new(), secret::Steers::default()));
        check::run(&args, &mut out, &mut err, &env, &known, !json, json).unwrap()
    });
    exit == Exit::Success
}

pub fn check() -> Vec<Door> {
    let mut runbooks: Vec<Vec<u8>> = vec![RUNBOOK.into(), with_approval().into()];
    for folder in ["runbooks", "tests/fixtures/broken"] {
        let files = inside(&root().join(folder)).into_iter();
        runbooks.extend(files.filter(|path| path.extension().is_some_and(|end| end == "yaml")).map(read));
    }
    let (before, rest) = RUNBOOK.split_once(">-\n").unwrap();
    let (expression, after) = rest.split_once('\n').unwrap();
    let (before, after) = (before.to_string(), after.to_string());
    let gate = move |bytes: &[u8]| {
        // In quotes, so that what is tried is the expression and not the file.
        let text = serde_json::to_string(&String::from_utf8_lossy(bytes)).unwrap();
        checked(format!("{before}{text}\n{after}").as_bytes())
    };
    let sql = |bytes: &[u8]| {
        let Ok(text) = std::str::from_utf8(bytes) else { return false };
        strictest(&statements(text, &mut Known::default(), true)) != Class::Unknown
    };
    let migrations = [
        "create table users (id bigint primary key, name varchar(10) not null default 'x', b int references a (id));\n",
        "alter table users add column phone text; alter table users alter column name type text using name::text;\n",
        "create unique index concurrently if not exists i on users (lower(name)) where id > 3;\n",
        "-- +goose Up\nupdate users set a = (select max(b) from c) where id in (1, 2);\n-- +goose Down\ndrop table users;\n",
        "do $$ begin execute 'drop table x'; end $$; create view v as select * from users join a using (id);\n",
        "create function f(a int) returns int language sql as 'select a'; create trigger t before insert on users execute function f();\n",
    ];
    let expressions =
        [expression.trim(), "histogram_quantile(0.99, sum by (le) (rate(a_bucket{job!=\"x\"}[5m] offset 1m)))"];
    vec![
        Door { name: "runbook", seeds: runbooks, words: words::RUNBOOK, longest: 64 * 1024, play: Box::new(checked) },
        Door {
            name: "expression",
            seeds: expressions.map(Vec::from).into(),
            words: words::EXPRESSION,
            longest: 16 * 1024,
            play: Box::new(gate),
        },
        Door {
            name: "migration",
            seeds: migrations.map(Vec::from).into(),
            words: words::SQL,
            longest: 64 * 1024,
            play: Box::new(sql),
        },
    ]
}

pub fn policy() -> Vec<Door> {
    let page = std::fs::read_to_string(root().join("src/policy/policy.md")).unwrap();
    let written = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap().to_string();
    let named =
        written.replace("alice@laptop", "engineer@example.com").replace("bob@example.com", "rm-one@example.com");
    let (plan, _, _, answer) = asked();
    let (signers, answer) = (trust().signers, String::from_utf8(answer).unwrap());
    let play = move |bytes: &[u8]| {
        let understood = checked(bytes);
        if let Ok(file) = PolicyFile::parse(Source::new("policy.yaml", String::from_utf8_lossy(bytes))) {
            file.beside(&signers);
            policy::compare(&plan, &file.policy);
            let signatures = [("policy.yaml.sig".to_string(), answer.clone())];
            policy::judge(&file.policy, &file.source.text, &signatures, &signers, now());
        }
        understood
    };
    let seeds = [written, named, "bgctl_policy: 1\npersons: { a: { principals: [a@b] } }\nroles: {}\n".into()];
    let seeds = seeds.map(String::into_bytes).into();
    vec![Door { name: "policy", seeds, words: words::POLICY, longest: 64 * 1024, play: Box::new(play) }]
}
