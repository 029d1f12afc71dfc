//! Where the script of standard tools once read otherwise than bgctl: a row each, judged by both as commands.

use std::fs;
use std::path::Path;

use bgctl::audit::SCRIPT;
use bgctl::plan::{Lane, StepRef};
use bgctl::run::{Actor, Cause, Event};
use bgctl::sign::{Signer, namespace, trust};

use crate::common::peer;
use crate::made::judged;
use crate::rig::*;
use crate::ssh::Folder;

/// A log, the signers, files beside them, options, and the exit codes of bgctl and of the script.
struct Row {
    name: &'static str,
    log: Vec<u8>,
    signers: String,
    beside: Vec<(&'static str, String)>,
    codes: (i32, i32),
}

fn row(name: &'static str, signers: String, codes: (i32, i32)) -> Row {
    Row { name, log: complete(), signers, beside: Vec::new(), codes }
}

fn team() -> String {
    trust::line(OWNER, &owner().public()) + &trust::line(APPROVER, &approver().public())
}

/// The list with this in front of the approver's key in place of what stands there.
fn listed(words: &str) -> String {
    trust::line(OWNER, &owner().public()) + &format!("{words} {}\n", approver().public())
}

fn judge(rows: &[Row]) {
    for program in ["jq", "ssh-keygen", "sha256sum", "cmp", "sh"] {
        if peer(program).is_none() {
            return;
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("verify.sh");
    fs::write(&script, SCRIPT).unwrap();
    std::thread::scope(|scope| {
        for (n, row) in rows.iter().enumerate() {
            let (case, script) = (dir.path().join(n.to_string()), &script);
            scope.spawn(move || one(row, &case, script));
        }
    });
}

fn one(row: &Row, case: &Path, script: &Path) {
    fs::create_dir(case).unwrap();
    fs::write(case.join("log.jsonl"), &row.log).unwrap();
    fs::write(case.join("allowed_signers"), &row.signers).unwrap();
    for (name, text) in &row.beside {
        fs::write(case.join(name), text).unwrap();
    }
    let (ours, theirs, said) = judged(case, &[], script);
    assert_eq!((ours, theirs), row.codes, "{}: {said}", row.name);
    assert_eq!(theirs == 47, said.contains("NOT CHECKED: "), "{}: {said}", row.name);
}

#[test]
fn a15_a_list_of_signers_is_read_alike_or_not_at_all() {
    let not_a_point = {
        let bytes = [7u8; 32];
        let blob = [b"\0\0\0\x0bssh-ed25519\0\0\0 ".as_slice(), &bytes].concat();
        use base64::Engine;
        format!("x@example.com ssh-ed25519 {}\n", base64::engine::general_purpose::STANDARD.encode(blob))
    };
    let who = APPROVER;
    judge(&[
        row("as it is", team(), (0, 0)),
        row("purposes without quotes", listed(&format!("{who} namespaces=bgctl-*")), (0, 0)),
        row(
            "two purposes without quotes",
            listed(&format!("{who} namespaces=bgctl-open-v1,bgctl-approve-v1")),
            (65, 65),
        ),
        row("purposes of others", listed(&format!("{who} namespaces=\"git\"")), (46, 46)),
        row("an option that is none", listed(&format!("{who} colour=blue")), (65, 65)),
        row("a line that is none", format!("{}alice\n", team()), (65, 65)),
        row("a quote in the middle of a name", listed(&who.replacen("rm-", "rm\"-\"", 1)), (0, 0)),
        row("blanks and ends of lines of Windows", team().replace(' ', "\t ").replace('\n', "\r\n"), (0, 0)),
        row("over in the very second it is used", listed(&format!("{who} valid-before=20261121030245Z")), (46, 46)),
        row("a time of this machine", listed(&format!("{who} valid-before=20301121")), (0, 47)),
        row("a name beyond English", format!("ä@example.com {}\n{}", owner().public(), team()), (0, 47)),
        row("a key that is no point", format!("{not_a_point}{}", team()), (0, 0)),
    ]);
}

#[test]
fn a15_keys_that_were_given_up_are_given_up_for_the_script_too() {
    let with =
        |name, file: &'static str, list: String, codes| Row { beside: vec![(file, list)], ..row(name, team(), codes) };
    judge(&[
        with("the approver's key", "revoked_keys", approver().public(), (46, 46)),
        with("the approver's fingerprint", "revoked_keys", approver().fingerprint(), (46, 46)),
        with("the owner's", "revoked_keys", format!("# lost\n  {}\r\n", owner().fingerprint()), (40, 40)),
        with("somebody's", "revoked_keys", bgctl::sign::session::SessionKey::from_seed([9; 32]).fingerprint(), (0, 0)),
        with("a line that is none", "revoked_keys", "alice@example.com\n".into(), (65, 65)),
        with("a copy in which something is withheld", "log.jsonl.redaction", "{}".into(), (40, 47)),
    ]);
}

/// A run of which the approver's signature is written like this.
fn granted(change: impl Fn(String) -> String) -> Vec<u8> {
    let mut rig = Rig::new();
    rig.arm();
    let (text, sha256) = rig.ask();
    let sig = approver().sign(namespace::APPROVE, text.as_bytes()).unwrap();
    rig.grant(&sha256, APPROVER, Some(change(sig)));
    rig.step(0, &[sha256]);
    rig.step(1, &[]);
    rig.end();
    rig.close()
}

#[test]
fn a15_an_approvers_signature_may_be_spelled_otherwise() {
    let with = |name, change: fn(String) -> String, codes| Row { log: granted(change), ..row(name, team(), codes) };
    judge(&[
        with("ends of lines of Windows", |sig| sig.replace('\n', "\r\n"), (0, 0)),
        with("in one line, and blanks", |sig| format!(" {}\n\n", sig.replacen('\n', "\n \t", 3)), (0, 0)),
        with("without its last sign", |sig| sig.replace("=\n", "\n").replacen('A', "", 1), (46, 46)),
    ]);
}

#[test]
fn a15_a_certificate_is_kept_to_its_critical_options() {
    let Some(dir) = Folder::new() else { return };
    dir.key("ca", "ed25519", "");
    dir.key("id", "ed25519", "");
    let of = |more: &[&str]| {
        let options = [&["-n", OWNER, "-V", "20261121Z:20261122Z"][..], more].concat();
        let certificate = dir.certify("ca", "id", &options);
        let key = bgctl::sign::file::FileKey::read(&dir.path("id"), &|_| None).unwrap();
        let owner = bgctl::sign::certified::Certified::new(Box::new(key), certificate).unwrap();
        let mut rig = Rig::of(RUN, &owner);
        rig.walk();
        rig.close_by(&owner)
    };
    let signers = format!("*@example.com cert-authority {}\n", dir.public("ca").line())
        + &trust::line(APPROVER, &approver().public());
    let with = |name, more: &[&str], codes| Row { log: of(more), ..row(name, signers.clone(), codes) };
    judge(&[
        with("none", &[], (0, 0)),
        with("one that nobody can keep", &["-O", "critical:colour=blue"], (40, 40)),
        with("a command", &["-O", "force-command=true"], (40, 40)),
        with("a touch that the key cannot give", &["-O", "verify-required"], (40, 40)),
    ]);
}

#[test]
fn a15_what_cannot_follow_is_a_breach_for_both_or_is_said_not_to_be_known() {
    let by = || Actor { name: OWNER.into(), via: "command".into() };
    let run = |event: Option<Event>| {
        let mut rig = Rig::new();
        rig.arm();
        let (text, sha256) = rig.ask();
        rig.grant(&sha256, APPROVER, Some(approver().sign(namespace::APPROVE, text.as_bytes()).unwrap()));
        rig.step(0, &[sha256]);
        event.iter().for_each(|event| rig.write(event));
        rig.step(1, &[]);
        rig.end();
        rig.close()
    };
    let step = StepRef { lane: Lane::Forward, index: 1 };
    let with = |name, event, codes| Row { log: run(event), ..row(name, team(), codes) };
    judge(&[
        with("nothing more", None, (0, 0)),
        with("another process goes on", Some(Event::Resumed { by: by() }), (0, 0)),
        with("an answer that nobody asked for", Some(Event::Continued { by: by() }), (46, 46)),
        with("armed twice", Some(Event::Armed { approvals_ahead: false, automatic_used: 0, checks: vec![] }), (46, 46)),
        with(
            "a pause without a reason",
            Some(Event::Paused { step, cause: Cause::Frozen, line: "frozen".into(), until: 0 }),
            (46, 46),
        ),
        with("no longer paused", Some(Event::Unpaused { step, line: "free".into() }), (46, 46)),
        with("called for nothing", Some(Event::Paged { delivered: true, line: "called".into() }), (46, 46)),
        with("not confirmed", Some(Event::Unconfirmed { why: "why".into() }), (46, 46)),
    ]);
}
