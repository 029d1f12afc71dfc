//! Every file is read through `bgctl::file`: a reader that opens one by itself would wait for a pipe, or swallow a device.

use std::path::Path;

/// Ways to a file's content that are none of `file`'s.
const WAYS: &[&str] =
    &["fs::read(", "fs::read_to_string(", "File::open(", "tokio::fs", "read_openssh_file", ".read(true)", "read_file("];

/// Who may, in how many lines, and why.
const MAY: &[(&str, usize, &str)] = &[
    ("file.rs", 1, "it is the way"),
    ("journal/disk.rs", 1, "a folder, to sync the names in it"),
    ("audit/anchors/file.rs", 1, "a folder, to sync the names in it"),
    ("guards/freeze.rs", 1, "a folder, to sync the names in it"),
    ("routers/envoy/place.rs", 1, "a folder, to sync the names in it"),
    ("routers/slack_manifest/tokens.rs", 1, "a folder, to sync the names in it"),
    ("journal/lock.rs", 1, "the lock is taken on what is opened, so it is opened to be written too, as ours"),
    ("journal/ledger/write.rs", 1, "one line is added behind the last, as ours"),
    ("session/display.rs", 1, "the terminal, which is a device"),
];

fn found(text: &str) -> Vec<usize> {
    // Tests below a file may read as they like.
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default().lines().enumerate();
    let code = code.filter(|(_, line)| !line.trim_start().starts_with("//"));
    code.filter(|(_, line)| WAYS.iter().any(|way| line.contains(way))).map(|(n, _)| n + 1).collect()
}

#[test]
fn a7_nobody_reads_a_file_but_through_the_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut stack, mut wrong) = (vec![root.clone()], Vec::new());
    while let Some(path) = stack.pop() {
        if path.is_dir() {
            stack.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        // The lab is a world of its own, which nothing that ships imports.
        let inside = path.strip_prefix(&root).unwrap().display().to_string();
        if path.extension().is_none_or(|end| end != "rs") || inside.starts_with("lab/") {
            continue;
        }
        let lines = found(&std::fs::read_to_string(&path).unwrap());
        let may = MAY.iter().find(|(file, _, _)| *file == inside).map_or(0, |(_, lines, _)| *lines);
        if lines.len() != may {
            wrong.push(format!("{inside}: lines {lines:?}, and {may} may"));
        }
    }
    assert!(wrong.is_empty(), "use `file::read`, `file::text` or `file::open`: {wrong:#?}");
    assert!(MAY.iter().all(|(_, _, why)| why.len() > 8));
}

#[test]
fn a_planted_reader_is_found() {
    let planted = "// fs::read(a)\nlet a = std::fs::read(path)?;\nlet b = File::open(path)?;\n#[cfg(test)]\nmod tests {\nfs::read(x)";
    assert_eq!(found(planted), [2, 3]);
}
