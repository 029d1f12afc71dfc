//! What a person writes that cannot be meant: refused where it stands, before anybody moves.

use crate::files::VARIABLES;
use crate::rig::{Desk, RUNBOOK, World};

#[test]
fn a27_names_of_services_and_environments_are_names() {
    let mut desk = Desk::new();
    desk.env.extend(VARIABLES.iter().map(|(name, value)| ((*name).into(), (*value).into())));
    let mut wrong = Vec::new();
    for name in ["my bot", "../../etc", "", "a/b", "-x", ".", "a\\nb", "bö", "*", &"x".repeat(300)] {
        for (key, from) in [("service", "service: bot"), ("environment", "environment: staging")] {
            desk.write("named.yaml", &RUNBOOK.replacen(from, &format!("{key}: \"{name}\""), 1));
            let line = if key == "service" { "named.yaml:2:" } else { "named.yaml:3:" };
            for command in
                [&["check", "named.yaml"][..], &["plan", "named.yaml"], &["cutover", "named.yaml", "--confirm", "x"]]
            {
                let done = desk.run(command);
                let all = format!("{}{}", done.out, done.err);
                if done.code != 65
                    || !all.contains(line)
                    || !all.contains("take letters, digits")
                    || !all.contains("BG0105")
                {
                    wrong.push(format!("{key} {name:?} through {command:?}: {}\n{all}", done.code));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them: {}", wrong.len(), wrong.join("\n"));
}

/// Each of thousands of mistakes had its line counted from the first one on, and all that was written so far was searched for a
/// line end with every word of the document: ten minutes, and no end.
#[test]
fn a_file_of_nothing_but_mistakes_is_told_in_seconds() {
    let desk = Desk::new();
    let head =
        "bgctl_policy: 1\npersons:\n  a: { principals: [a@example.com] }\nroles: {}\nanchors:\n  required: 1\n  to:\n";
    desk.write("policy.yaml", &format!("{head}{}", "    - to:\n".repeat(12_000)));
    for form in ["human", "json"] {
        let done = desk.start(&["check", "-o", form, "policy.yaml"]).end(30).ends(65);
        assert!(form == "human" || done.out.matches("BG0102").count() == 12_000, "{}", done.out.len());
    }
}

#[test]
fn a29_approvals_that_are_a_file_are_refused_before_anybody_moves() {
    let place = World::new(&[]);
    let desk = Desk::beside(&place);
    desk.write("approvals", "");
    let done = desk.run(&["cutover", "runbook.yaml", "--confirm", "staging", "--approvals", "approvals"]);
    done.ends(64).says(&["BG0202", "--approvals does not name a folder", "Nothing was changed"]);
    assert_eq!((place.green(), desk.runs().len()), (0, 0));
}

#[test]
fn a28_a_ref_that_keeps_no_heads_is_refused_by_what_it_would_have_to_be() {
    for reference in ["refs/heads/x", "main", "refs/notes/", "HEAD"] {
        let done = Desk::new().run(&["audit", "anchor", "--to", &format!("git:{reference}")]);
        done.ends(64).says(&["BG0001", reference, "refs/notes/"]);
    }
}

#[test]
fn t17_a_key_whose_passphrase_nobody_can_type_does_not_sign() {
    let desk = Desk::new();
    let made = desk.shell("ssh-keygen -q -t ed25519 -N secretphrase -f locked").end(20);
    if made.code != 0 {
        return eprintln!("skipped: there is no ssh-keygen");
    }
    let done = desk.run(&["keys", "--key", "locked"]);
    assert!(!done.out.contains("this one signs"), "{}", done.out);
    done.ends(77).says(&["has a passphrase, and nobody can type it here", "ssh-add"]);
}
