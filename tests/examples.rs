//! Each example is played again, and its transcript holds up to numbers, times and names that differ from run to run.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

mod common;

/// Numbers, run names, digests and temporary folders taken out; lines that depend on chance as well.
fn same(text: &str) -> String {
    let took = |word: &str| {
        let number = word.trim_end_matches(['m', 's', '.']);
        number != word && !number.is_empty() && number.chars().all(|c| c.is_ascii_digit() || c == '.')
    };
    let digits = |line: &str| {
        // Exit codes are what a transcript promises.
        if line.starts_with("exit ") {
            return line.to_string();
        }
        // Whether blue still answers what had begun before the shift is chance.
        let line = line.replace("blue serves nobody", "blue 0% (0 of 1)");
        let mut out = String::new();
        for word in line.split_whitespace() {
            let run = word.len() > 3 && word.contains('-') && word.starts_with("20");
            let volatile =
                run || word.contains("/state/") || word.contains("SHA256:") || word.contains("tmp") || took(word);
            let plain: String = word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
            let short = word.len() == 3 && word.chars().all(|c| c.is_ascii_lowercase());
            out += if volatile || short { "…" } else { &plain };
            out.push(' ');
        }
        while out.contains("00") {
            out = out.replace("00", "0");
        }
        out.trim_end().to_string()
    };
    let chance = |line: &&str| !line.contains(" warn ") && !line.trim().is_empty();
    text.lines().filter(chance).map(digits).collect::<Vec<_>>().join("\n")
}

#[test]
#[expect(clippy::disallowed_methods, reason = "`BLESS` is a wish of whoever runs the test")]
fn every_example_is_what_its_transcript_says() {
    if common::peer("ssh-keygen").is_none() {
        return;
    }
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut played = 0;
    for entry in fs::read_dir(examples).unwrap() {
        let folder = entry.unwrap().path();
        // The picture of README and the container file are held by tests/picture.rs and tests/docs.rs.
        if folder.is_file() {
            continue;
        }
        let story = folder.join("story.sh");
        let asks_python = fs::read_to_string(&story).unwrap().contains("$PYTHON");
        let python = asks_python.then(common::python);
        if let Some(None) = python {
            continue;
        }
        let needs = fs::read_to_string(&story).unwrap();
        if ["redis-server", "redis-cli"].iter().any(|name| needs.contains(name) && common::peer(name).is_none()) {
            continue;
        }
        let transcript = folder.join("transcript.txt");
        let answer = Command::new("sh")
            .arg(&story)
            .env("BGCTL", env!("CARGO_BIN_EXE_bgctl"))
            .env("PYTHON", python.flatten().unwrap_or_default())
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let found = String::from_utf8_lossy(&answer.stdout).into_owned();
        assert!(
            !found.contains(env!("CARGO_MANIFEST_DIR")),
            "{} shows a path of this machine:\n{found}",
            story.display()
        );
        if std::env::var_os("BLESS").is_some() {
            fs::write(&transcript, &found).unwrap();
        }
        let wanted = fs::read_to_string(&transcript).unwrap();
        assert_eq!(same(&found), same(&wanted), "{}", story.display());
        played += 1;
    }
    assert!(played > 0);
}
