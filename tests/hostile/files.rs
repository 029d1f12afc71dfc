//! Each file we read, with each thing in its place that is no file: a clear word and a code, at once, in little memory.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::peak::{self, MOST};
use crate::rig::{self, BGCTL, Desk, RUNBOOK, World};

/// What stands in a file's place, and the words for it.
const THINGS: &[(&str, &[&str])] = &[
    ("pipe", &["it is a pipe (FIFO), not a file"]),
    ("zero", &["it is a device, not a file"]),
    ("socket", &["it is a socket, not a file"]),
    ("folder", &["folder"]),
    ("huge", &["longer than", "64 MiB"]),
    ("dangling", &["which is not there"]),
    ("closed", &["Permission denied"]),
    ("bytes", &["UTF-8"]),
];

/// Puts it there. False where this user cannot be kept out of a file.
fn put(thing: &str, at: &Path) -> bool {
    let _ = std::fs::remove_file(at);
    match thing {
        "pipe" => rustix::fs::mknodat(rustix::fs::CWD, at, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap(),
        "zero" => symlink("/dev/zero", at).unwrap(),
        // The file stays when nobody listens any more.
        "socket" => drop(UnixListener::bind(at).unwrap()),
        "folder" => std::fs::create_dir(at).unwrap(),
        "huge" => std::fs::File::create(at).unwrap().set_len(2 << 30).unwrap(),
        "dangling" => symlink(at.with_extension("gone"), at).unwrap(),
        "closed" => {
            std::fs::write(at, "").unwrap();
            std::fs::set_permissions(at, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
            return std::fs::File::open(at).is_err();
        }
        "bytes" => std::fs::write(at, b"bgctl: 1\n\xff\xfe\n").unwrap(),
        other => panic!("{other} is nothing"),
    }
    true
}

/// A file that a command reads: what it is called here, the command, the code it ends with, and things that are something else
/// to it: a folder of its kind, bytes that are no text, a list that need not be there.
struct Read {
    file: &'static str,
    command: &'static [&'static str],
    code: i32,
    not: &'static [&'static str],
}

const READS: &[Read] = &[
    Read { file: "hostile.yaml", command: &["check", "hostile.yaml"], code: 65, not: &[] },
    Read { file: "hostile.yaml", command: &["plan", "hostile.yaml"], code: 65, not: &[] },
    Read { file: "policy.yaml", command: &["check", "plain.yaml", "--policy", "policy.yaml"], code: 65, not: &[] },
    Read { file: ".bgctl/policy.yaml", command: &["check", "plain.yaml"], code: 65, not: &[] },
    Read { file: "migrations/1_a.sql", command: &["check", "migrating.yaml"], code: 65, not: &["folder", "bytes"] },
    Read { file: "secret", command: &["check", "--live", "secret.yaml"], code: 78, not: &[] },
    Read { file: "signers", command: &["keys", "lint", "signers"], code: 65, not: &[] },
    Read { file: "other-key", command: &["keys", "whoami", "--key", "other-key"], code: 77, not: &[] },
    Read { file: "log.jsonl", command: &["audit", "verify", "log.jsonl"], code: 64, not: &["huge", "folder", "bytes"] },
    Read { file: "log.jsonl", command: &["audit", "show", "log.jsonl"], code: 64, not: &["folder", "bytes"] },
    Read {
        file: "log.jsonl",
        command: &["audit", "export", "--format", "ocsf", "log.jsonl"],
        code: 64,
        not: &["folder", "bytes"],
    },
    Read { file: "record", command: &["audit", "adopt", "record"], code: 64, not: &["bytes"] },
    Read { file: "req.json", command: &["approve", "req.json"], code: 65, not: &["folder"] },
    Read { file: "state/ledger.jsonl", command: &["audit", "ledger"], code: 64, not: &["bytes"] },
];

fn desk() -> Desk {
    let desk = Desk::new();
    desk.write("plain.yaml", RUNBOOK);
    let migrating = RUNBOOK
        .replace("  change: none\n", "  change: expand\n  green_writes: compatible\n  migrations: ./migrations\n");
    desk.write("migrating.yaml", &migrating);
    desk.write("secret.yaml", &RUNBOOK.replace("${env:SLACK_SIGNING_SECRET}", "${file:secret}"));
    for folder in ["migrations", ".bgctl", "state"] {
        std::fs::create_dir_all(desk.path(folder)).unwrap();
    }
    desk
}

#[test]
fn a7_whatever_stands_in_the_place_of_a_file_is_said_at_once() {
    let mut wrong = Vec::new();
    for Read { file, command, code, not } in READS {
        for (thing, words) in THINGS.iter().filter(|(thing, _)| !not.contains(thing)) {
            let mut desk = desk();
            desk.env.extend(VARIABLES.iter().map(|(name, value)| ((*name).into(), (*value).into())));
            if !put(thing, &desk.path(file)) {
                continue;
            }
            let (done, most) = peak::end(desk.start(command), 10);
            let all = format!("{}{}", done.out, done.err);
            // Words that the width has parted stand together again.
            let flat = all.split_whitespace().collect::<Vec<_>>().join(" ");
            if done.code != *code || !words.iter().any(|word| flat.contains(word)) || most > MOST {
                wrong.push(format!("{} with {thing}: {} and {most} KiB\n{all}", command.join(" "), done.code));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them\n{}", wrong.len(), wrong.join("\n"));
}

/// Approvals come from a folder that many people can write to.
#[test]
fn a7_a_folder_of_approvals_full_of_what_is_no_signature_holds_nobody_up() {
    let world = World::new(&[]);
    let desk = Desk::beside(&world);
    desk.write("runbook.yaml", &rig::with_approval());
    std::fs::create_dir(desk.path("approvals")).unwrap();
    for (thing, _) in THINGS.iter().filter(|(thing, _)| *thing != "closed") {
        assert!(put(thing, &desk.path(&format!("approvals/shift-100.request.json.{thing}.sig"))));
    }
    let args = ["cutover", "runbook.yaml", "--confirm", "staging", "--approvals", "approvals"];
    let (done, most) = peak::end(desk.start(&args), 120);
    assert!(most <= MOST, "{most} KiB");
    done.ends(30);
}

/// Whatever the umask, nobody else can write into what is kept.
#[test]
fn a19_nothing_that_is_kept_is_for_others_and_what_others_can_fill_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new(&[]);
    let desk = Desk::beside(&world);
    std::fs::create_dir_all(desk.path("state/locks")).unwrap();
    let mode = |path: &str, mode| std::fs::set_permissions(desk.path(path), PermissionsExt::from_mode(mode)).unwrap();
    mode("state", 0o700);
    mode("state/locks", 0o777);
    let done = desk.cutover().end(60);
    assert!(done.code != 0 && format!("{}{}", done.out, done.err).contains("chmod 700"), "{done:?}");
    assert_eq!((world.green(), desk.runs().len()), (0, 0));
    mode("state/locks", 0o700);
    let cutover = format!("umask 0; {BGCTL} cutover runbook.yaml --confirm staging");
    desk.shell(&cutover).end(120).ends(0);
    let (mut stack, mut open) = (vec![desk.path("state")], Vec::new());
    while let Some(path) = stack.pop() {
        let mode = std::fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            open.push(format!("{} {mode:o}", path.display()));
        }
        if path.is_dir() {
            stack.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    assert!(open.is_empty(), "{open:#?}");
}

pub const VARIABLES: &[(&str, &str)] = &[
    (
        "BGCTL_VAR_rule_arn",
        "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener-rule/app/bot/50dc6c495c0c9188/0467ef3c8400ae65/8c1f3f0a1e2d3c4b",
    ),
    (
        "BGCTL_VAR_blue_target_group",
        "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/bot-blue/6d0ecf831eec9f09",
    ),
    (
        "BGCTL_VAR_green_target_group",
        "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/bot-green/73e2d6bc24d8a067",
    ),
    ("BGCTL_VAR_public_url", "http://127.0.0.1:9"),
    ("BGCTL_VAR_blue_url", "http://127.0.0.1:9"),
    ("BGCTL_VAR_green_url", "http://127.0.0.1:19"),
    ("BGCTL_VAR_prometheus_url", "http://127.0.0.1:9"),
    ("SLACK_SIGNING_SECRET", "8f742231b10e8888abcd99yyyzzz85a5"),
];
