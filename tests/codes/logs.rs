//! What is wrong with a log: one that was made here, and then one thing is changed in it.

use std::os::unix::fs::PermissionsExt;

use bgctl::diag::Code;
use bgctl::journal::{Archive, LOG};
use bgctl::sign::{Signer, trust};

use crate::made::{APPROVER, OWNER, RUN, Rig, Telling, approver, complete, find, lines, owner};
use crate::rig::{Desk, Done};
use crate::row::{Row, all_hold, shown, test};

pub const ROWS: &[Row] = &[
    shown(Code::RecordMissing, 40, "missing", |_| {
        verified(|lines| {
            let _ = lines.remove(3);
        })
    }),
    shown(Code::RecordChanged, 40, "changed", |_| {
        verified(|lines| {
            let at = find(lines, "approval.granted");
            lines[at] = String::from_utf8_lossy(&lines[at]).replace(APPROVER, "rm-two@example.com").into_bytes();
        })
    }),
    shown(Code::LogUnread, 40, "empty", |_| verified(Vec::clear)),
    shown(Code::Unsealed, 40, "seal", |_| {
        // Cut in the middle of a group: its lines are whole, and no seal covers them.
        verified(|lines| lines.truncate(find(lines, "step.intent") + 1))
    }),
    shown(Code::SealBroken, 40, "seal", |_| {
        verified(|lines| {
            let last = lines.len() - 1;
            lines[last] = String::from_utf8_lossy(&lines[last]).replacen("\"sig\":\"", "\"sig\":\"A", 1).into_bytes();
        })
    }),
    shown(Code::Untrusted, 40, "key", |_| {
        let desk = kept(&complete());
        std::fs::remove_file(desk.path(".bgctl/allowed_signers")).expect("the list");
        desk.run(&["audit", "verify"])
    }),
    shown(Code::RulesBroken, 46, "rules", |_| kept(&unfollowed()).run(&["audit", "verify"])),
    shown(Code::Machine, 40, "follow", |_| kept(&unfollowed()).run(&["show"])),
    shown(Code::NotClosed, 43, "closed", |_| {
        verified(|lines| {
            let _ = lines.pop();
        })
    }),
    shown(Code::NothingToSign, 64, "sign", |_| {
        let desk = kept(&complete());
        desk.run(&["audit", "sign"])
    }),
    shown(Code::Ledger, 64, "ledger", |_| {
        let desk = kept(&complete());
        std::fs::create_dir(desk.path("state/ledger.jsonl")).expect("a folder in its place");
        desk.run(&["audit", "ledger"])
    }),
    shown(Code::NotAnchored, 69, "head", |_| kept(&complete()).run(&["audit", "anchor", "--to", "file:nowhere"])),
    shown(Code::Truncated, 44, "log", |_| {
        let desk = anchored();
        let log = complete_of(&desk);
        keep(&desk, &lines(&log)[..lines(&log).len() - 1].concat());
        desk.run(&["audit", "verify", "--anchor", "file:mnt"])
    }),
    shown(Code::Forked, 44, "run", |_| {
        let desk = anchored();
        keep(&desk, &complete());
        desk.run(&["audit", "verify", "--anchor", "file:mnt"])
    }),
    shown(Code::AnchorSilent, 69, "anchor", |_| {
        kept(&complete()).run(&["audit", "verify", "--anchor", "file:nowhere"])
    }),
    shown(Code::NotAdopted, 40, "record", |_| {
        let desk = Desk::new();
        desk.write("no-record", "nothing\n");
        desk.run(&["audit", "adopt", "no-record"])
    }),
    shown(Code::NothingToWithhold, 64, "to be withheld", |_| {
        kept(&complete()).run(&["audit", "redact", "--record", "99999", "--reason", "nobody may read it"])
    }),
    test(
        Code::NotWithheld,
        "withheld",
        "tests/process/redaction.rs",
        "a_text_found_later_is_withheld_and_the_copy_says_what_it_proves",
    ),
    test(Code::Withheld, "owner", "tests/process/redaction.rs", "a_copy_rests_on_exactly_its_owners_statement"),
];

#[test]
fn what_is_wrong_with_a_log_has_its_code() {
    all_hold(ROWS);
}

fn keep(desk: &Desk, log: &[u8]) {
    let archive = Archive::new(desk.path("state"));
    std::fs::create_dir_all(archive.run(RUN)).expect("a folder");
    let log_file = archive.run(RUN).join(LOG);
    std::fs::write(&log_file, log).expect("a log");
    std::fs::set_permissions(&log_file, std::fs::Permissions::from_mode(0o600)).expect("its owner's alone");
}

/// A desk that keeps this log, and believes those who sign it.
pub fn kept(log: &[u8]) -> Desk {
    let desk = Desk::new();
    keep(&desk, log);
    let known = trust::line(OWNER, &owner().public()) + &trust::line(APPROVER, &approver().public());
    std::fs::create_dir_all(desk.path(".bgctl")).expect("a folder");
    desk.write(".bgctl/allowed_signers", &known);
    desk
}

fn verified(change: fn(&mut Vec<Vec<u8>>)) -> Done {
    let mut lines = lines(&complete());
    change(&mut lines);
    kept(&lines.concat()).run(&["audit", "verify", RUN])
}

/// Whole and signed, but the run machine knows no such run: a step has an outcome and was never begun.
fn unfollowed() -> Vec<u8> {
    let mut rig = Rig::new();
    rig.arm();
    rig.done(0);
    rig.close()
}

/// A desk whose log's head is kept in a folder beside it.
fn anchored() -> Desk {
    let desk = kept(&complete());
    std::fs::create_dir(desk.path("mnt")).expect("a folder");
    desk.run(&["audit", "anchor", "--to", "file:mnt"]).ends(0);
    desk
}

fn complete_of(desk: &Desk) -> Vec<u8> {
    std::fs::read(Archive::new(desk.path("state")).run(RUN).join(LOG)).expect("a log")
}
