//! README and the pages say what the code says: tables are produced here, pages and links exist, commands parse, figures can
//! be taken again, and no key of a runbook is without its explanation.

use std::fs;
use std::path::Path;
use std::process::Command;

use bgctl::shell::Exit;
use serde_json::Value;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");

/// The text between `<!-- name -->` and `<!-- /name -->`.
fn section<'a>(readme: &'a str, name: &str) -> &'a str {
    let start = readme.find(&format!("<!-- {name} -->\n")).unwrap_or_else(|| panic!("no section `{name}`"));
    let rest = &readme[start..];
    let body = rest.find('\n').unwrap() + 1;
    &rest[body..rest.find(&format!("<!-- /{name} -->")).unwrap()]
}

fn bgctl(words: &[&str]) -> String {
    let answer = Command::new(env!("CARGO_BIN_EXE_bgctl")).args(words).env("COLUMNS", "100").output().unwrap();
    assert!(answer.status.success(), "{words:?}: {}", String::from_utf8_lossy(&answer.stderr));
    String::from_utf8(answer.stdout).unwrap()
}

/// The names of all topics, as `bgctl explain` lists them.
fn topics() -> Vec<String> {
    let names = bgctl(&["explain"]);
    let names = names.lines().filter_map(|line| line.split_whitespace().next());
    names.filter(|name| !name.starts_with("BG")).map(String::from).collect()
}

/// The Markdown of a page, found beside the code it is about.
fn page(name: &str) -> String {
    fn find(folder: &Path, file: &str) -> Option<String> {
        let mut folders = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name == file) {
                return Some(fs::read_to_string(path).unwrap());
            }
        }
        folders.iter().find_map(|folder| find(folder, file))
    }
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    find(&src, &format!("{name}.md")).unwrap_or_else(|| panic!("no page {name}.md below src"))
}

fn table(codes: &[(Exit, u8, &str, &str)]) -> String {
    let mut table = String::from("| code | means | CI should |\n|---|---|---|\n");
    for (_, code, means, ci) in codes {
        table += &format!("| {code} | {means} | {ci} |\n");
    }
    table
}

/// Those a CI job meets on an ordinary night.
fn usual_exit_codes() -> String {
    let usual = |exit: &Exit| {
        use Exit::{Halted, Holding, RolledBack, Stopped, Success, Waiting};
        matches!(exit, Success | RolledBack | Stopped | Holding | Halted | Waiting)
    };
    table(&Exit::TABLE.iter().copied().filter(|row| usual(&row.0)).collect::<Vec<_>>())
}

#[test]
#[expect(clippy::disallowed_methods, reason = "`BLESS` is a wish of whoever runs the test")]
fn the_table_of_exit_codes_is_that_of_the_code() {
    let mut readme = fs::read_to_string(README).unwrap();
    let (name, wanted) = ("exit codes", usual_exit_codes());
    let found = section(&readme, name).to_string();
    if std::env::var_os("BLESS").is_some() {
        readme = readme.replacen(&format!("<!-- {name} -->\n{found}"), &format!("<!-- {name} -->\n{wanted}"), 1);
        fs::write(README, readme).unwrap();
        return;
    }
    assert_eq!(found, wanted, "section `{name}` of README; BLESS=1 writes it anew");
}

/// What README held in full and now only points to is printed in full.
#[test]
fn what_readme_points_to_is_there_in_full() {
    let letters = |text: &str| text.split_whitespace().collect::<String>().replace('`', "");
    let shown = bgctl(&["explain", "exit-codes"]);
    for (_, code, means, ci) in Exit::TABLE {
        let row = shown.lines().find(|line| line.split_whitespace().next() == Some(&code.to_string()));
        let row = row.unwrap_or_else(|| panic!("exit code {code} is not on its page\n{shown}"));
        assert!(row.contains(means.split_whitespace().next().unwrap().trim_matches('`')), "{row}");
        assert!(row.contains(ci.split_whitespace().next().unwrap()), "{row}");
        for word in means.split_whitespace().chain(ci.split_whitespace()) {
            assert!(letters(&shown).contains(&letters(word)), "{code}: {word}");
        }
    }
    // The transitions stand below the map, from the very file that the machine's test pins.
    let map = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let wanted = "//! ```text\n#![doc = include_str!(\"../tests/fixtures/transitions.txt\")]\n//! ```\n";
    assert!(map.contains(wanted), "src/lib.rs does not print the transitions");
}

#[test]
fn readme_is_read_in_one_sitting_and_begins_with_the_two_commands() {
    let readme = fs::read_to_string(README).unwrap();
    assert!(readme.lines().count() <= 150, "{} lines", readme.lines().count());
    let first: Vec<&str> = readme.lines().filter_map(|line| line.strip_prefix("$ ")).take(2).collect();
    assert_eq!(first, ["cargo run -- cutover runbooks/quickstart.yaml --lab --confirm lab", "tests/all"]);
}

/// Each figure can be taken again: the bench or test that takes it exists.
#[test]
fn every_figure_names_a_command_that_takes_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let page = page("benchmarks");
    let mut named = 0;
    for command in page.split('`').skip(1).step_by(2).filter(|code| code.starts_with("cargo ")) {
        let words: Vec<&str> = command.split_whitespace().collect();
        let name = |flag: &str| words.iter().position(|word| *word == flag).map(|at| words[at + 1]);
        match (name("--bench"), name("--test")) {
            (Some(bench), None) => assert!(manifest.contains(&format!("[[bench]]\nname = \"{bench}\"")), "{command}"),
            (None, Some(test)) => {
                let [file, folder] = [format!("tests/{test}.rs"), format!("tests/{test}/main.rs")];
                assert!(root.join(file).is_file() || root.join(folder).is_file(), "{command}");
            }
            _ => panic!("{command} takes nothing"),
        }
        named += 1;
    }
    assert!(named >= 10, "{named}");
    let (_, race) = page.split_once("## Beside bash, boto3 and Ansible\n").expect("the race has a section");
    assert!(race.contains("`tests/race/race`") && root.join("tests/race/race").is_file());
    // In the tables of figures each row has its command.
    for table in page.split("taken with |\n").skip(1) {
        for row in table.lines().skip(1).take_while(|line| line.starts_with('|')) {
            assert!(row.contains("`cargo "), "{row}");
        }
    }
}

#[test]
fn every_link_leads_somewhere() {
    let readme = fs::read_to_string(README).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let links: Vec<&str> = readme
        .match_indices("](")
        .map(|(at, _)| readme[at + 2..].split(')').next().unwrap())
        .filter(|link| !link.starts_with("http"))
        .collect();
    assert!(links.len() > 10, "{links:?}");
    for link in links {
        assert!(root.join(link).exists(), "README links to `{link}`");
    }
}

#[test]
fn every_page_is_linked() {
    let readme = fs::read_to_string(README).unwrap();
    let topics = topics();
    assert!(topics.len() > 30, "{topics:?}");
    // Exit codes are made from a table, and the error codes are one page under another name.
    for name in topics.iter().filter(|name| *name != "exit-codes") {
        let link = format!("[{name}](src/");
        let (_, rest) = readme.split_once(&link).unwrap_or_else(|| panic!("README does not link the page `{name}`"));
        assert!(rest.split(')').next().unwrap().ends_with(&format!("{name}.md")), "{name}");
    }
    assert!(readme.contains("`bgctl explain exit-codes`") && readme.contains("(src/cli/codes.md)"));
}

#[test]
fn help_of_a_command_is_asked_for_either_way() {
    assert_eq!(bgctl(&["help"]), bgctl(&["--help"]));
    let listed = bgctl(&["help"]);
    let (_, listed) = listed.split_once("Commands:\n").unwrap();
    let lines = listed.lines().take_while(|line| !line.is_empty());
    let verbs: Vec<&str> =
        lines.filter(|line| !line.starts_with("   ")).filter_map(|l| l.split_whitespace().next()).collect();
    assert!(verbs.len() > 20 && verbs.contains(&"help"), "{verbs:?}");
    for verb in verbs.iter().filter(|verb| **verb != "help") {
        assert_eq!(bgctl(&["help", verb]), bgctl(&[verb, "--help"]), "{verb}");
    }
    assert_eq!(bgctl(&["help", "audit", "verify"]), bgctl(&["audit", "verify", "--help"]));
    let wrong = Command::new(env!("CARGO_BIN_EXE_bgctl")).args(["help", "deploy"]).output().unwrap();
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert!(wrong.status.code() == Some(64) && said.contains("`deploy` is called `cutover` here"), "{said}");
}

/// A pipe gets plain text; only where colour is asked for is there any.
#[test]
fn completions_and_man_pages_know_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    bgctl(&["man", pages.to_str().unwrap()]);
    let help = bgctl(&["--help"]);
    let listed = help.split("Commands:").nth(1).unwrap().split("Global:").next().unwrap();
    let commands: Vec<&str> = listed
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help" && !command.starts_with('-'))
        .collect();
    assert!(commands.len() > 20, "{commands:?}");
    for command in &commands {
        let page = fs::read_to_string(pages.join(format!("bgctl-{command}.1"))).expect(command);
        assert!(page.contains("SYNOPSIS"), "{command}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = bgctl(&["completions", shell]);
        let missing: Vec<&&str> = commands.iter().filter(|command| !text.contains(**command)).collect();
        assert!(missing.is_empty(), "{shell}: {missing:?}");
    }
}

#[test]
fn pages_are_plain_in_a_pipe() {
    let plain = bgctl(&["explain", "gates"]);
    assert!(plain.starts_with("Gates\n=====\n") && !plain.contains('\u{1b}') && !plain.contains("**"), "{plain}");
    let inked = bgctl(&["--color", "always", "explain", "gates"]);
    assert!(inked.starts_with("\u{1b}[1mGates"), "{inked}");
    let file = bgctl(&["explain", "bgctl_dedup.py"]);
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bots/bolt_py/bgctl_dedup.py");
    assert_eq!(file, fs::read_to_string(kept).unwrap());
}

/// The keys of a runbook, each with where it stands: `steps.shift.green`.
fn keys() -> Vec<String> {
    fn walk(schema: &Value, at: &Value, path: &str, above: &[&str], keys: &mut Vec<String>) {
        if let Some(name) = at["$ref"].as_str().and_then(|target| target.rsplit('/').next())
            && !above.contains(&name)
        {
            walk(schema, &schema["$defs"][name], path, &[above, &[name]].concat(), keys);
        }
        for (key, below) in at["properties"].as_object().into_iter().flatten() {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            walk(schema, below, &path, above, keys);
            keys.push(path);
        }
        for inside in ["items", "additionalProperties"] {
            if at[inside].is_object() {
                walk(schema, &at[inside], path, above, keys);
            }
        }
        for one in ["anyOf", "oneOf", "allOf"].iter().flat_map(|choice| at[choice].as_array().into_iter().flatten()) {
            walk(schema, one, path, above, keys);
        }
    }
    let schema: Value = serde_json::from_str(&bgctl(&["schema"])).unwrap();
    let mut keys = Vec::new();
    walk(&schema, &schema, "", &[], &mut keys);
    keys.sort();
    keys.dedup();
    keys
}

/// Whether a page writes the key as code: between backticks or in a block.
fn names(page: &str, key: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let mut block = false;
    page.lines().any(|line| {
        let fence = line.trim_start().starts_with("```");
        block ^= fence;
        let code: Vec<&str> = if block { vec![line] } else { line.split('`').skip(1).step_by(2).collect() };
        code.iter().any(|code| code.split(|c| !word(c)).any(|w| w == key))
    })
}

/// Where the keys below a key are explained beside the page of its own name. All others are on the page `runbook`.
const ELSEWHERE: &[(&str, &[&str])] = &[
    ("gates", &["sources"]),
    ("checks", &["sources"]),
    ("prometheus", &["sources"]),
    ("slack", &["runbook", "bot-contract"]),
    ("unready", &["command"]),
    ("by", &["command"]),
    ("policy", &["runbook"]),
    ("page", &["paging"]),
    ("notify", &["paging"]),
    ("approval", &["approvals"]),
    ("roles", &["approvals"]),
];

/// A key of a runbook is written on a page of one of the keys above it.
#[test]
fn every_key_of_a_runbook_is_on_its_page() {
    let (topics, keys) = (topics(), keys());
    assert!(keys.len() > 200, "{}", keys.len());
    let reference = bgctl(&["explain", "runbook"]);
    let mut missing = Vec::new();
    for path in &keys {
        let (above, key) = path.rsplit_once('.').unwrap_or(("", path));
        let own = above.split('.').filter(|name| topics.iter().any(|topic| topic == name));
        let more =
            above.split('.').flat_map(|name| ELSEWHERE.iter().filter(move |row| row.0 == name).flat_map(|row| row.1));
        let mut pages: Vec<&str> = own.chain(more.copied()).collect();
        // `a` and `b` stand for `blue` and `green` everywhere alike, and that is said once.
        if pages.is_empty() || ["a", "b"].contains(&key) {
            pages = vec!["runbook"];
        }
        if !pages.iter().any(|name| names(&page(name), key)) {
            missing.push(format!("{path} is on none of {pages:?}"));
        }
        let mut listed = reference.lines().map(|line| line.trim_start().trim_start_matches("• "));
        assert!(listed.any(|line| line.split([':', ' ']).next() == Some(key)), "`bgctl explain runbook` lacks {path}");
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Every `bgctl …` of README is a command line that bgctl understands: it may fail, but not as a usage error of its words.
#[test]
fn every_command_line_parses() {
    let readme = fs::read_to_string(README).unwrap();
    let mut tried = 0;
    for line in readme.lines() {
        let Some(words) = line.trim().strip_prefix("$ bgctl ").or(line.trim().strip_prefix("$ cargo run -- ")) else {
            continue;
        };
        let words: Vec<&str> = words.split('#').next().unwrap().split_whitespace().collect();
        let answer = Command::new(env!("CARGO_BIN_EXE_bgctl")).args(&words).arg("--help").output().unwrap();
        assert!(answer.status.success(), "{line}\n{}", String::from_utf8_lossy(&answer.stderr));
        tried += 1;
    }
    assert!(tried >= 6, "only {tried} command lines were found");
}

/// The package that people install holds every file that the binary is built from, and the licences.
#[test]
fn what_is_built_is_packaged() {
    fn includes(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                includes(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let shipped = text.split("#[cfg(test)]").next().unwrap();
                for (at, start) in shipped.match_indices("include_str!(\"") {
                    let file = shipped[at + start.len()..].split('"').next().unwrap();
                    found.push(path.parent().unwrap().join(file).canonicalize().unwrap());
                }
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize().unwrap();
    let words = ["package", "--list", "--allow-dirty", "--offline"];
    let listed = Command::new(env!("CARGO")).args(words).current_dir(&root).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let packaged: Vec<&str> = listed.lines().collect();
    let mut built = Vec::new();
    includes(&root.join("src"), &mut built);
    assert!(built.len() > 30, "{built:?}");
    for file in built {
        let file = file.strip_prefix(&root).unwrap().to_str().unwrap();
        assert!(packaged.contains(&file), "{file} is built in and not packaged");
    }
    for file in [".licenses/MIT", ".licenses/Apache-2.0", "README.md", "CHANGELOG.md", "src/main.rs"] {
        assert!(packaged.contains(&file), "{file} is not packaged");
    }
    assert!(!packaged.iter().any(|file| file.ends_with("docs.rs")), "tests are for a checkout");
}

/// What README says of Rust is what Cargo holds everybody to.
/// The map in `src/lib.rs` has a word for every room, and no room lies beside it.
#[test]
fn the_map_names_every_room() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let text = std::fs::read_to_string(root.join("lib.rs")).unwrap();
    let map = text.split("# Every transition").next().unwrap();
    let mut rooms: Vec<String> = std::fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap().trim_end_matches(".rs").to_string())
        .filter(|room| !["lib", "main"].contains(&room.as_str()))
        .collect();
    rooms.sort();
    let modules: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert_eq!(modules, rooms, "the modules and the folders");
    let unnamed: Vec<&String> = rooms.iter().filter(|room| !map.contains(&format!("[`{room}`]"))).collect();
    assert!(unnamed.is_empty(), "not on the map: {unnamed:?}");
}

#[test]
fn the_oldest_rust_is_named_once() {
    let readme = fs::read_to_string(README).unwrap();
    assert!(readme.contains(&format!("Rust {} or newer", env!("CARGO_PKG_RUST_VERSION"))));
    let container = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/Containerfile")).unwrap();
    assert!(container.contains(&format!("library/rust:{}-", env!("CARGO_PKG_RUST_VERSION"))), "{container}");
}

/// The container installs what README tells people to install.
#[test]
fn the_container_is_built_as_readme_installs() {
    let readme = fs::read_to_string(README).unwrap();
    let install = readme.lines().find_map(|line| line.strip_prefix("$ cargo install ")).expect("how to install");
    let container = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/Containerfile")).unwrap();
    assert!(container.contains(&format!("RUN cargo install {install} --root")), "{install}");
    assert!(container.contains(" -f examples/Containerfile "), "the command to build it names it as it is called");
}
