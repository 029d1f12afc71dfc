//! Runbooks: the files people copy are right, and every mistake of a broken one is pinned as it is shown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bgctl::cli::check;

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    files.sort();
    files
}

/// Runs the command on one file, named as it is from the package's folder.
fn checked(path: &Path, strict: bool) -> (u8, String) {
    let relative = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap();
    let args = check::Args {
        files: vec![relative.to_str().unwrap().into()],
        strict,
        vars: Vec::new(),
        swap: false,
        output: "text".into(),
    };
    let env = BTreeMap::from([("SLACK_SIGNING_SECERT".to_string(), "a-secret-value".to_string())]);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = check::run(&args, &mut out, &mut err, &env, false).unwrap();
    (exit.code(), String::from_utf8(out).unwrap() + &String::from_utf8(err).unwrap())
}

#[test]
fn runbooks_people_copy_are_right() {
    let files = files("runbooks");
    assert!(files.len() >= 3);
    for file in files {
        let (code, shown) = checked(&file, false);
        assert_eq!(code, 0, "{shown}");
    }
}

/// `BLESS=1` writes the outputs anew; read the difference before you commit it.
#[test]
fn every_mistake_is_shown_as_pinned() {
    let files = files("tests/fixtures/broken");
    assert!(files.len() >= 10);
    let mut wrong = Vec::new();
    for file in files {
        let (code, shown) = checked(&file, false);
        assert_eq!(code, 65, "{}: {shown}", file.display());
        assert!(shown.contains("next: "), "{shown}");
        let pinned = file.with_extension("out");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&pinned, &shown).unwrap();
        } else if std::fs::read_to_string(&pinned).unwrap_or_default() != shown {
            wrong.push(format!("{}\n{shown}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "not as pinned:\n{}", wrong.join("\n\n"));
}
