//! A leak found later: the copy that can be shown, what it proves, and that nobody but the owner can make one.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::common::peer;
use crate::rig::*;

/// No pattern knows it and no reference names it: it is in the log, and should not be.
const LEAK: &str = "Mrs Miller, born 1970-01-01";

struct Leaked {
    desk: Desk,
    _world: World,
}

impl Leaked {
    fn new() -> Leaked {
        let world = World::new(&[]);
        let desk = Desk::beside(&world);
        desk.write("leak.sh", &format!("echo 'row 7: {LEAK}'; printf '%s' '{LEAK}' | base64; echo 'row 8'"));
        let step = "steps:\n  - id: migrate\n    command: { run: [\"/bin/sh\", \"leak.sh\"], within: 5s }\n";
        desk.write("runbook.yaml", &RUNBOOK.replacen("steps:\n", step, 1));
        desk.cutover().end(90).ends(0);
        let public = std::fs::read_to_string(desk.path("key.pub")).expect("the public key");
        desk.write("allowed", &format!("{OWNER} {public}"));
        Leaked { desk, _world: world }
    }

    fn redact(&self, args: &[&str], text: &str) -> Done {
        let mut command = self.desk.command(BGCTL);
        command.args(["audit", "redact"]).args(args).stdin(Stdio::piped());
        let mut child = command.spawn().expect("bgctl starts");
        child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("its output");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Done { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    fn verify(&self, file: &str) -> Done {
        self.desk.run(&["audit", "verify", file, "--allowed-signers", "allowed"])
    }

    fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.desk.path(file)).expect("it is there")
    }

    fn number(&self, kind: &str) -> u64 {
        let records = self.desk.records();
        records.iter().find(|r| r["type"] == kind).and_then(|r| r["seq"].as_u64()).unwrap_or_else(|| panic!("{kind}"))
    }
}

#[test]
fn a_text_found_later_is_withheld_and_the_copy_says_what_it_proves() {
    let leaked = Leaked::new();
    let (desk, original) = (&leaked.desk, leaked.desk.log());
    assert!(String::from_utf8_lossy(&original).contains(LEAK), "the test tests");
    let args = ["--text-from-stdin", "--reason", "a person's data", "--out", "copy.jsonl"];
    let done = leaked.redact(&args, &format!("{LEAK}\n")).ends(0);
    done.says(&["COMPLETE, 1 record withheld: copy.jsonl", "hand out both files", "the original still holds it"]);

    let copy = String::from_utf8(leaked.read("copy.jsonl")).expect("UTF-8");
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, LEAK);
    for surface in [&copy, &String::from_utf8(leaked.read("copy.jsonl.redaction")).unwrap()] {
        assert!(!surface.contains(LEAK) && !surface.contains("Miller") && !surface.contains(&base64[4..20]));
    }
    assert!(copy.contains("row 7: [withheld]") && copy.contains("row 8"), "only the text goes");
    assert_eq!(desk.log(), original, "the original is not touched");

    let at = leaked.number("command.output");
    leaked.verify("copy.jsonl").ends(0).says(&[
        "COMPLETE, 1 record withheld. Closed by its owner",
        &format!("{at}   by {OWNER}"),
        "a person's data",
        "the seals over them were computed anew",
        "only the owner's signature",
    ]);
    let machine = desk.run(&["audit", "verify", "copy.jsonl", "--allowed-signers", "allowed", "-o", "json"]).ends(0);
    let page: Value = serde_json::from_str(&machine.out).expect("one document");
    assert_eq!((&page["verdict"], &page["withheld"]["records"][0]), (&"COMPLETE".into(), &at.into()));
    let proven = page["withheld"]["proven_records"].as_u64().expect("a number");
    assert!(proven > 2 && proven <= at, "{proven}");
    desk.run(&["audit", "show", "copy.jsonl", "--all"]).ends(0).says(&["row 7: [withheld]", "1 record withheld"]);
    // Never twice, and never over another file.
    leaked.redact(&[&["copy.jsonl"], &args[..]].concat(), LEAK).ends(40).says(&["BG0611", "withheld already"]);
    leaked.redact(&args, LEAK).ends(64).says(&["BG0205"]);
}

#[test]
fn a_copy_rests_on_exactly_its_owners_statement() {
    let leaked = Leaked::new();
    let desk = &leaked.desk;
    let args = ["--text-from-stdin", "--reason", "a person's data", "--out", "copy.jsonl"];
    leaked.redact(&args, LEAK).ends(0);
    let (copy, beside) = (leaked.read("copy.jsonl"), leaked.read("copy.jsonl.redaction"));
    let put = |copy: &[u8], beside: &[u8]| {
        std::fs::write(desk.path("other.jsonl"), copy).unwrap();
        std::fs::write(desk.path("other.jsonl.redaction"), beside).unwrap();
        leaked.verify("other.jsonl")
    };
    put(&copy, &beside).ends(0);
    // Also where the bytes are withheld, and where no seal can be computed any more, each byte counts.
    for at in (0..copy.len()).step_by(copy.len() / 40 + 1) {
        let mut changed = copy.clone();
        changed[at] ^= 1;
        assert_eq!(put(&changed, &beside).code, 40, "byte {at} of the copy");
    }
    for at in (0..beside.len()).step_by(beside.len() / 40 + 1) {
        let mut changed = beside.clone();
        changed[at] ^= 1;
        assert_eq!(put(&copy, &changed).code, 40, "byte {at} of the statement");
    }
    let lines: Vec<&[u8]> = copy.split_inclusive(|b| *b == b'\n').collect();
    put(&lines[..lines.len() - 1].concat(), &beside).ends(40).says(&["BG0612", "made for another copy"]);
    // The original is not the copy, and the copy without the statement is a broken log.
    put(&desk.log(), &beside).ends(40);
    std::fs::remove_file(desk.path("other.jsonl.redaction")).unwrap();
    std::fs::write(desk.path("other.jsonl"), &copy).unwrap();
    leaked.verify("other.jsonl").ends(40).says(&["BROKEN"]);

    // Another person's key signs no statement, and one that did anyway counts for nothing.
    desk.run(&["keys", "create", "--out", "stranger"]).ends(0);
    let by_other = [&args[..4], &["x.jsonl", "--key", "stranger"]].concat();
    leaked.redact(&by_other, LEAK).ends(77).says(&["did not sign this log"]);
    let Some(keygen) = peer("ssh-keygen") else { return };
    let text: Value = serde_json::from_slice(&beside).unwrap();
    let statement = text["statement"].as_str().unwrap().replace(OWNER, "stranger@example.com");
    desk.write("statement", &statement);
    let mut sign = desk.command(&keygen.display().to_string());
    assert!(
        sign.args(["-Y", "sign", "-n", "bgctl-redact-v1", "-f", "stranger", "statement"]).status().unwrap().success()
    );
    let signature = std::fs::read_to_string(desk.path("statement.sig")).unwrap();
    let forged = serde_json::json!({ "statement": statement, "ns": "bgctl-redact-v1", "sig": signature }).to_string();
    let public = std::fs::read_to_string(desk.path("stranger.pub")).unwrap();
    let known = std::fs::read_to_string(desk.path("allowed")).unwrap();
    desk.write("allowed", &format!("{known}stranger@example.com {public}"));
    put(&copy, forged.as_bytes()).ends(40).says(&["BG0612", "no owner of this run"]);

    // The real one holds for OpenSSH too.
    desk.write("statement", text["statement"].as_str().unwrap());
    desk.write("statement.sig", text["sig"].as_str().unwrap());
    let line = format!("ssh-keygen -Y verify -f allowed -I {OWNER} -n bgctl-redact-v1 -s statement.sig < statement");
    assert!(desk.command("sh").args(["-c", &line]).status().unwrap().success());
}

#[test]
fn whole_records_are_withheld_and_the_run_can_still_be_followed() {
    let leaked = Leaked::new();
    let (fact, evidence) = (leaked.number("step.outcome"), leaked.number("command.output"));
    let numbers = [fact.to_string(), evidence.to_string()];
    let args = ["--record", &numbers[0], "--record", &numbers[1], "--reason", "rows", "--out", "copy.jsonl"];
    leaked.redact(&args, "").ends(0).says(&["COMPLETE, 2 records withheld"]);
    leaked.verify("copy.jsonl").ends(0).says(&["facts replayed to the same end: completed"]);
    let copy = String::from_utf8(leaked.read("copy.jsonl")).expect("UTF-8");
    let line = |n: u64| copy.lines().nth(usize::try_from(n).unwrap()).unwrap().to_string();
    assert!(line(evidence).ends_with("\"data\":{\"line\":\"[withheld]\"}}"), "{}", line(evidence));
    assert!(line(fact).contains("\"is\":\"done\",\"line\":\"[withheld]\""), "{}", line(fact));

    let seal = leaked.number("seal").to_string();
    for (args, text, code, words) in [
        (&["--record", "0", "--reason", "x"][..], "", "BG0611", "carries signed text"),
        (&["--record", &seal, "--reason", "x"], "", "BG0611", "carries signed text"),
        (&["--record", "99999", "--reason", "x"], "", "BG0618", "what is to be withheld is not in this log"),
        (
            &["--text-from-stdin", "--reason", "x"],
            "not in the log at all",
            "BG0618",
            "what is to be withheld is not in this log",
        ),
        (&["--text-from-stdin", "--reason", "x"], "abc", "BG0611", "shorter than 6 bytes"),
        (&["--text-from-stdin", "--reason", LEAK], LEAK, "BG0611", "the reason holds the text"),
        (&["--text-from-stdin", "--reason", "x"], "runbook.yaml", "BG0611", "carries signed text"),
    ] {
        let done = leaked.redact(args, text);
        assert!([40, 64].contains(&done.code) && done.err.contains(code), "{args:?}\n{}", done.err);
        done.says(&[words]);
    }
}
