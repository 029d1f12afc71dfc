//! Who may sign what, when, and as whom: the rules of the run and of the verifier, which share no line, held against each
//! other and against OpenSSH over generated cases; and each way in which somebody spoke for somebody else.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use bgctl::audit::Verdict;
use bgctl::journal::{Journal, Who};
use bgctl::people::{Approve, Barred, Decision, Inbox, Part, trusting};
use bgctl::plan::{Plan, Purpose};
use bgctl::run::{Approval, Grant};
use bgctl::session::hand::{Wanted, as_whom};
use bgctl::sign::rights::{self, Act};
use bgctl::sign::session::SessionKey;
use bgctl::sign::{AllowedSigners, Signer, namespace, trust};
use serde_json::json;

use crate::common::peer;
use crate::mutate::Dice;
use crate::rig::*;

/// How many lists are grown for each question.
const CASES: u64 = 200;

const DAVE: &str = "dave@example.com";
const BOB: &str = "bob@example.com";
const CAROL: &str = "carol@example.com";

fn key(seed: u8) -> SessionKey {
    SessionKey::from_seed([seed; 32])
}

fn list() -> String {
    let lines = [(OWNER, owner()), (APPROVER, approver()), (DAVE, key(4)), (BOB, key(5)), (CAROL, key(6))];
    lines.iter().map(|(who, key)| trust::line(who, &key.public())).collect()
}

fn of(who: &str) -> Who {
    Who { owner: who.into(), ..self::who() }
}

/// Somebody goes on with the run whose process has gone.
fn resumed(rig: Rig, who: &str, by: &dyn Signer) -> Rig {
    let Rig { clock, plan, store, journal, trigger, .. } = rig;
    drop(journal);
    let journal =
        Journal::resume_under(Box::new(store.clone()), &of(who), serde_json::Map::new(), None, by, clock.clone());
    Rig { clock, plan, journal: journal.unwrap().0, store, owner: who.into(), trigger }
}

/// Verdict and breaches of bgctl's verifier; and the script says the same, where it can be run.
fn judged(log: &[u8], list: &str) -> (Verdict, Vec<String>) {
    let report = report_by(log, AllowedSigners::parse(list).unwrap());
    let wanted = match &report.verdict {
        Verdict::Complete => 0,
        Verdict::Policy => 46,
        Verdict::Broken(_) | Verdict::Untrusted(_) => 40,
        _ => 43,
    };
    if ["sh", "jq", "ssh-keygen", "sha256sum", "cmp"].iter().all(|program| peer(program).is_some()) {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        for (name, bytes) in
            [("verify.sh", bgctl::audit::SCRIPT.as_bytes()), ("log", log), ("allowed", list.as_bytes())]
        {
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
        let output = Command::new("sh").args(["verify.sh", "log", "allowed"]).current_dir(dir.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(wanted), "the script: {said}\nbgctl: {:?}", report.breaches);
    }
    (report.verdict, report.breaches.into_iter().map(|breach| breach.what).collect())
}

/// A14: whoever the list knows and the plan does not.
#[test]
fn a14_no_stranger_to_the_plan_opens_it_or_goes_on_with_it() {
    let dave = key(4);
    let mut rig = Rig::with(RUN, &dave, plan(), of(DAVE));
    rig.walk();
    let (verdict, found) = judged(&rig.close_by(&dave), &list());
    assert_eq!(verdict, Verdict::Policy);
    assert_eq!(found, ["`dave@example.com` opened the run and is none of the plan's owners"]);

    let mut rig = Rig::new();
    rig.arm();
    let mut rig = resumed(rig, DAVE, &dave);
    let (text, sha256) = rig.ask();
    rig.grant(&sha256, APPROVER, approver().sign(namespace::APPROVE, text.as_bytes()).ok());
    rig.step(0, &[sha256]);
    rig.step(1, &[]);
    rig.end();
    let (verdict, found) = judged(&rig.close_by(&dave), &list());
    assert_eq!(verdict, Verdict::Policy);
    assert_eq!(found, ["`dave@example.com` resumed the run and is none of the plan's owners"]);

    // Back, everybody may go: the record shows who it was.
    let plan = Plan { purpose: Purpose::RollbackOf("a-run".into()), ..plan() };
    let rig = Rig::with(RUN, &dave, plan, of(DAVE));
    let log = rig.close_by(&dave);
    assert!(judged(&log, &list()).1.iter().all(|what| !what.contains("owners")), "{:?}", judged(&log, &list()));
}

/// The plan in which two of bob, carol and the approver have to agree, and bob is an owner too.
fn two_of_three() -> Plan {
    let mut plan = plan();
    plan.owners.push(BOB.parse().unwrap());
    let rule = plan.forward[0].approval.as_mut().unwrap();
    rule.members = vec![APPROVER.into(), BOB.into(), CAROL.into()];
    rule.quorum = 2;
    plan
}

/// A3: bob agrees, then goes on with the run himself; carol agrees.
#[test]
fn a3_an_agreement_of_whoever_resumed_since_does_not_count() {
    let walked = |resumers: &[(&str, u8)]| {
        let mut rig = Rig::with(RUN, &owner(), two_of_three(), who());
        rig.arm();
        let (text, sha256) = rig.ask();
        let sign = |seed: u8| key(seed).sign(namespace::APPROVE, text.as_bytes()).ok();
        rig.grant(&sha256, BOB, sign(5));
        for (name, seed) in resumers {
            rig = resumed(rig, name, &key(*seed));
        }
        rig.grant(&sha256, CAROL, sign(6));
        rig.step(0, &[sha256]);
        rig.step(1, &[]);
        rig.end();
        rig.close_by(&key(resumers.last().map_or(1, |(_, seed)| *seed)))
    };
    assert_eq!(judged(&walked(&[(OWNER, 1)]), &list()), (Verdict::Complete, vec![]));
    for resumers in [&[(BOB, 5)][..], &[(OWNER, 1), (BOB, 5)], &[(BOB, 5), (OWNER, 1)]] {
        let (verdict, found) = judged(&walked(resumers), &list());
        assert_eq!(verdict, Verdict::Policy, "{resumers:?}");
        assert_eq!(found, ["when `shift-10` began: `bob@example.com` approved their own run"], "{resumers:?}");
    }
}

/// The run asks the same before it uses an approval.
#[test]
fn a3_the_run_asks_again_who_is_barred_when_the_step_begins() {
    let mut plan = two_of_three();
    let dir = tempfile::tempdir().unwrap();
    let text = request(&plan, i64::MAX, OWNER, None);
    let sig = key(5).sign(namespace::APPROVE, text.as_bytes()).unwrap();
    let grant = Grant {
        principal: BOB.into(),
        evidence: "signed".into(),
        key: Some(key(5).fingerprint()),
        sig: Some(sig),
        prompt: None,
    };
    let barred = |name: &str, key: Option<String>, part| Barred { name: name.into(), key, part };
    let (run, other) = (barred(OWNER, Some(owner().fingerprint()), Part::Runs), Some(key(5).fingerprint()));
    let asked = |plan: &Plan, barred: Vec<Barred>| {
        let signers = AllowedSigners::parse(&list()).unwrap();
        let inbox = Inbox::new(dir.path().into(), trusting(signers), barred);
        let approval = Approval {
            request: text.clone(),
            request_sha256: sha256(text.as_bytes()),
            expires: i64::MAX,
            use_by: i64::MAX,
            grants: vec![grant.clone()],
            void: vec![],
            lost: None,
            used: false,
        };
        let ask = Approve::of(plan, at(0), &approval).unwrap();
        match inbox.recheck(&ask, "2026-11-21T03:10:00Z".parse().unwrap()) {
            None => String::new(),
            Some(Decision::Withdrawn { principal, why, .. }) => format!("{principal}: {why}"),
            Some(other) => format!("{other:?}"),
        }
    };
    assert_eq!(asked(&plan, vec![run.clone()]), "");
    let resumed = "bob@example.com: bob@example.com has resumed this cutover and cannot approve it";
    assert_eq!(asked(&plan, vec![run.clone(), barred(BOB, None, Part::Resumed)]), resumed);
    assert_eq!(asked(&plan, vec![run.clone(), barred("robert@example.com", other, Part::Resumed)]), resumed);
    let started = asked(&plan, vec![run.clone(), barred(BOB, None, Part::Started)]);
    assert_eq!(started, "bob@example.com: bob@example.com started the job of this cutover and cannot approve it");
    plan.forward[0].approval.as_mut().unwrap().own_run = true;
    assert_eq!(asked(&plan, vec![run, barred(BOB, None, Part::Resumed)]), "");
}

/// A list of a few lines, as it may have grown: names, patterns, purposes and times of every kind, one key under many names.
fn grown(dice: &mut Dice) -> String {
    let names = [
        OWNER,
        APPROVER,
        CAROL,
        DAVE,
        "*@example.com",
        "!carol@example.com,*@example.com",
        "dave@example.com,carol@example.com",
    ];
    let purposes = ["", "bgctl-*", "bgctl-open-v1", "bgctl-open-v1,bgctl-close-v1", "bgctl-approve-v1", "git"];
    // The rig's run is at 03:02 to 03:04 on that day.
    let times = [
        "",
        "",
        "valid-before=\"20200101Z\"",
        "valid-after=\"20270101Z\"",
        "valid-after=\"20260101Z\",valid-before=\"20270101Z\"",
    ];
    let line = |dice: &mut Dice| {
        let (name, purpose, time) = (*dice.pick(&names), *dice.pick(&purposes), *dice.pick(&times));
        let purpose = if purpose.is_empty() { String::new() } else { format!("namespaces=\"{purpose}\"") };
        let options = [purpose, time.to_string()].into_iter().filter(|o| !o.is_empty()).collect::<Vec<_>>().join(",");
        let key = key(*dice.pick(&[1, 2]));
        [name.to_string(), options, key.public()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
            + "\n"
    };
    (0..1 + dice.below(4)).map(|_| line(dice)).collect()
}

/// A run without approvals, opened under this name with this key, or gone on with so, and closed with it.
fn run_of(plan: &Plan, (name, seed): (&str, u8), resumes: bool) -> Vec<u8> {
    let mut plan = plan.clone();
    plan.forward.iter_mut().for_each(|step| step.approval = None);
    let (first, by) = if resumes { (FIRST, 9) } else { (name, seed) };
    let mut rig = Rig::with(RUN, &key(by), plan, of(first));
    rig.arm();
    if resumes {
        rig = resumed(rig, name, &key(seed));
    }
    rig.step(0, &[]);
    rig.step(1, &[]);
    rig.end();
    rig.close_by(&key(seed))
}

/// Owns the run in whatever list.
const FIRST: &str = "first@example.com";

#[test]
fn run_and_verifier_let_the_same_people_open_and_go_on() {
    let mut plan = plan();
    plan.owners = [FIRST, OWNER, CAROL].map(|name| name.parse().unwrap()).into();
    let time = "2026-11-21T03:03:00Z".parse().unwrap();
    let mut logs: BTreeMap<(String, u8, bool), Vec<u8>> = BTreeMap::new();
    let (mut may, mut may_not) = (0, 0);
    for seed in 0..CASES {
        let mut dice = Dice::new(seed);
        let (list, with) = (grown(&mut dice) + &trust::line(FIRST, &key(9).public()), *dice.pick(&[1, 2]));
        let signers = AllowedSigners::parse(&list).unwrap();
        let run = as_whom(&signers, &plan, Wanted::Forward, key(with).public_key(), time);
        for resumes in [false, true] {
            let mut accepts = |name: &str| {
                let made = || run_of(&plan, (name, with), resumes);
                let log = logs.entry((name.to_string(), with, resumes)).or_insert_with(made);
                report_by(log, signers.clone()).verdict == Verdict::Complete
            };
            let names = [OWNER, APPROVER, CAROL, DAVE, BOB];
            match &run {
                Ok(by) => assert!(accepts(&by.principal), "{seed} {resumes}: the run takes {by} by\n{list}"),
                Err(why) => {
                    let found: Vec<_> = names.into_iter().filter(|name| accepts(name)).collect();
                    assert!(found.is_empty(), "{seed} {resumes}: {found:?}, and the run says {why}, by\n{list}");
                }
            }
        }
        *(if run.is_ok() { &mut may } else { &mut may_not }) += 1;
    }
    assert!(may * 10 > CASES && may_not * 10 > CASES, "both happen often: {may} {may_not}");
}

#[test]
fn run_and_verifier_count_the_same_approvals() {
    let (mut counted, mut not) = (0, 0);
    for seed in 0..CASES {
        let mut dice = Dice::new(seed);
        let mut plan = plan();
        let rule = plan.forward[0].approval.as_mut().unwrap();
        rule.members = [OWNER, APPROVER, CAROL].into_iter().filter(|_| dice.below(3) > 0).map(String::from).collect();
        rule.own_run = dice.below(4) == 0;
        let (list, with) = (grown(&mut dice) + &trust::line(FIRST, &key(9).public()), *dice.pick(&[1, 2, 9]));
        let signers = AllowedSigners::parse(&list).unwrap();
        plan.owners = vec![FIRST.parse().unwrap()];
        let starter = *dice.pick(&["", "", CAROL, APPROVER]);
        let claims = if starter.is_empty() { json!({}) } else { json!({ "trigger": starter }) };
        let log = |by: Option<&str>| {
            let mut rig = Rig::with(RUN, &key(9), plan.clone(), Who { claims: claims.clone(), ..of(FIRST) });
            rig.arm();
            let (text, sha256) = rig.ask();
            let sig = key(with).sign(namespace::APPROVE, text.as_bytes()).unwrap();
            if let Some(by) = by {
                rig.grant(&sha256, by, Some(sig.clone()));
            }
            rig.step(0, std::slice::from_ref(&sha256));
            rig.step(1, &[]);
            rig.end();
            (text, sha256, sig, rig.close_by(&key(9)))
        };
        let (request, request_sha256, sig, _) = log(None);
        let mut barred = vec![Barred { name: FIRST.into(), key: Some(key(9).fingerprint()), part: Part::Runs }];
        if !starter.is_empty() {
            barred.push(Barred { name: starter.into(), key: None, part: Part::Started });
        }
        let inbox = Inbox::new("nowhere".into(), trusting(signers.clone()), barred);
        let (expires, use_by, grants, void) = (i64::MAX, i64::MAX, vec![], vec![]);
        let asked = Approval { request, request_sha256, expires, use_by, grants, void, lost: None, used: false };
        let ask = Approve::of(&plan, at(0), &asked).unwrap();
        let run = inbox.judge(&ask, &sig, "2026-11-21T03:03:00Z".parse().unwrap());
        let counts = |name: &str| report_by(&log(Some(name)).3, signers.clone()).verdict == Verdict::Complete;
        match &run {
            Ok(Some(Decision::Granted(grant))) => {
                assert!(counts(&grant.principal), "{seed}: the run counts {}, by\n{list}", grant.principal);
                counted += 1;
            }
            Err(why) => {
                let found: Vec<_> =
                    [FIRST, OWNER, APPROVER, CAROL, DAVE].into_iter().filter(|name| counts(name)).collect();
                assert!(found.is_empty(), "{seed}: {found:?}, and the run says {why}, by\n{list}");
                not += 1;
            }
            other => panic!("{seed}: {other:?}"),
        }
    }
    assert!(counted * 20 > CASES && not * 10 > CASES, "both happen often: {counted} {not}");
}

/// What OpenSSH says of the same name, key, purpose and time.
#[test]
fn verifier_and_openssh_believe_the_same_signatures() {
    let Some(keygen) = peer("ssh-keygen") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (mut yes, mut no) = (0, 0);
    for seed in 0..CASES {
        let mut dice = Dice::new(seed);
        let (list, with) = (grown(&mut dice), *dice.pick(&[1, 2]));
        let (name, space) = (*dice.pick(&[OWNER, CAROL, DAVE]), *dice.pick(&[namespace::OPEN, namespace::APPROVE]));
        let sig = key(with).sign(space, b"text").unwrap();
        std::fs::write(dir.path().join("allowed"), &list).unwrap();
        std::fs::write(dir.path().join("sig"), &sig).unwrap();
        let mut verify = Command::new(&keygen);
        verify.args([
            "-Y",
            "verify",
            "-f",
            "allowed",
            "-I",
            name,
            "-n",
            space,
            "-s",
            "sig",
            "-Overify-time=20261121030300Z",
        ]);
        let mut verify = verify
            .current_dir(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut verify.stdin.take().unwrap(), b"text").unwrap();
        let theirs = verify.wait().unwrap().success();
        let time = "2026-11-21T03:03:00Z".parse().unwrap();
        let signers = AllowedSigners::parse(&list).unwrap();
        let ours = signers.check(Some(name), space, b"text", &sig, time);
        assert_eq!(ours.is_ok(), theirs, "{seed}: {name} {space} {ours:?}\n{list}");
        // From the key to the names it is the same, by another way.
        let among = signers.check_among([name], space, b"text", &sig, time);
        assert_eq!(among.is_ok_and(|signed| signed.principal == name), theirs, "{seed}: {name} {space}\n{list}");
        *(if theirs { &mut yes } else { &mut no }) += 1;
    }
    assert!(yes * 10 > CASES && no * 10 > CASES, "both happen often: {yes} {no}");
}

#[test]
fn the_page_has_the_table() {
    let page = include_str!("../../src/sign/keys.md");
    assert!(page.contains(&rights::table()), "the table in keys.md should be:\n{}", rights::table());
    let acts: Vec<Act> = rights::RIGHTS.iter().map(|right| right.act).collect();
    assert_eq!(acts.len(), 9, "each of the acts has its row: {acts:?}");
}
