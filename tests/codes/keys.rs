//! Keys and the files that say whose they are.

use bgctl::diag::Code;
use bgctl::sign::Signer;

use crate::made::{OWNER, owner};
use crate::rig::{Desk, Done};
use crate::row::{Row, all_hold, shown};

pub const ROWS: &[Row] = &[
    shown(Code::SignersFile, 65, "cannot be read", |_| linted("alice\n")),
    shown(Code::ManyPeople, 65, "many people", |_| linted(&line("*@example.com namespaces=\"bgctl-*\""))),
    shown(Code::EveryPurpose, 0, "every purpose", |_| linted(&line(OWNER))),
    shown(Code::TwoNames, 0, "one key", |_| {
        let named = |name: &str| line(&format!("{name} namespaces=\"bgctl-*\""));
        linted(&(named("alice@x") + &named("bob@x")))
    }),
    shown(Code::LineOver, 0, "line is over", |_| {
        linted(&line(&format!("{OWNER} namespaces=\"bgctl-*\",valid-before=\"20200101Z\"")))
    }),
    shown(Code::TimeWithoutZ, 0, "machine", |_| {
        linted(&line(&format!("{OWNER} namespaces=\"bgctl-*\",valid-before=\"20991231\"")))
    }),
    shown(Code::LineUnusable, 0, "line", |_| {
        linted(&format!("{}{OWNER} ssh-rsa AAAAB3NzaC1yc2EAAAABAw==\n", line("rm@x namespaces=\"bgctl-*\"")))
    }),
    shown(Code::NotThisKey, 77, "sign", |_| {
        // The attestation of somebody else's log.
        let desk = crate::logs::kept(&crate::made::complete());
        desk.run(&["audit", "export", "--format", "in-toto", "--key", "key"])
    }),
    shown(Code::KeyUnusable, 77, "key", |_| Desk::new().run(&["keys", "--key", "none"])),
];

#[test]
fn keys_and_their_files_have_their_codes() {
    all_hold(ROWS);
}

/// A line of an allowed-signers file: this, and a key.
fn line(text: &str) -> String {
    format!("{text} {}\n", owner().public())
}

fn linted(text: &str) -> Done {
    let desk = Desk::new();
    desk.write("signers", text);
    desk.run(&["keys", "lint", "signers"])
}
