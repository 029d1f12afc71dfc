//! Who may import whom. Reads `crate::…` paths out of `src` and holds them against the table; a new module needs a row. Among
//! files no circle is wider than a few of one folder, and what is pure stays pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Module, and the modules of ours it may use.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("https", &[]),
    ("clock", &[]),
    ("child", &["clock"]),
    ("document", &[]),
    ("diag", &[]),
    ("file", &[]),
    ("plan", &[]),
    ("rehearsal", &["diag"]),
    ("scalar", &[]),
    ("secret", &["file"]),
    ("lab", &["https", "plan", "rehearsal"]),
    ("routers", &["child", "clock", "diag", "document", "file", "https", "plan", "rehearsal", "scalar", "secret"]),
    ("run", &["plan"]),
    ("sign", &["diag", "file", "secret"]),
    ("journal", &["clock", "diag", "file", "plan", "run", "sign"]),
    ("world", &["child", "clock", "plan", "routers", "run", "secret"]),
    ("gates", &["clock", "diag", "document", "plan", "rehearsal", "routers", "run", "scalar", "secret", "world"]),
    ("guards", &["clock", "file", "plan", "routers", "run", "scalar", "world"]),
    ("live", &["child", "clock", "document", "file", "https", "scalar", "world"]),
    ("migrations", &["file", "plan", "run", "scalar", "world"]),
    ("people", &["child", "clock", "file", "plan", "rehearsal", "run", "scalar", "secret", "sign", "world"]),
    ("slack", &["diag", "plan", "run", "scalar", "secret", "world"]),
    ("users", &["clock", "plan", "routers", "run", "secret", "world"]),
    ("versions", &["plan", "world"]),
    ("compare", &["diag", "gates", "plan", "rehearsal", "scalar", "world"]),
    ("report", &["clock", "journal", "plan", "run", "secret", "users", "world"]),
    (
        "steps",
        &[
            "diag",
            "gates",
            "migrations",
            "plan",
            "rehearsal",
            "routers",
            "run",
            "scalar",
            "slack",
            "users",
            "versions",
            "world",
        ],
    ),
    (
        "arm",
        &[
            "compare",
            "diag",
            "gates",
            "guards",
            "migrations",
            "plan",
            "routers",
            "run",
            "scalar",
            "slack",
            "versions",
            "world",
        ],
    ),
    (
        "audit",
        &["clock", "document", "file", "journal", "plan", "rehearsal", "report", "run", "secret", "sign", "world"],
    ),
    (
        "runbook",
        &["compare", "diag", "file", "gates", "people", "plan", "routers", "scalar", "secret", "slack", "steps"],
    ),
    ("shell", &["clock", "diag", "rehearsal", "report", "run", "secret"]),
    (
        "drive",
        &[
            "arm",
            "clock",
            "diag",
            "journal",
            "migrations",
            "people",
            "plan",
            "report",
            "run",
            "scalar",
            "secret",
            "steps",
            "users",
            "world",
        ],
    ),
    ("policy", &["audit", "diag", "plan", "runbook", "scalar", "sign"]),
    (
        "compile",
        &[
            "diag",
            "gates",
            "migrations",
            "people",
            "plan",
            "policy",
            "rehearsal",
            "routers",
            "runbook",
            "scalar",
            "slack",
            "steps",
        ],
    ),
    ("sim", &["clock", "drive", "journal", "people", "plan", "routers", "run", "secret", "world"]),
    (
        "session",
        &[
            "arm",
            "audit",
            "child",
            "clock",
            "compile",
            "diag",
            "drive",
            "file",
            "gates",
            "guards",
            "journal",
            "live",
            "migrations",
            "people",
            "plan",
            "policy",
            "rehearsal",
            "report",
            "routers",
            "run",
            "runbook",
            "scalar",
            "secret",
            "shell",
            "sign",
            "steps",
            "users",
            "versions",
            "world",
        ],
    ),
    (
        "cli",
        &[
            "arm",
            "audit",
            "compare",
            "compile",
            "diag",
            "drive",
            "file",
            "gates",
            "guards",
            "journal",
            "migrations",
            "people",
            "plan",
            "policy",
            "rehearsal",
            "report",
            "routers",
            "run",
            "runbook",
            "scalar",
            "secret",
            "session",
            "shell",
            "sign",
            "slack",
            "steps",
            "users",
            "world",
        ],
    ),
];

/// Files and folders that only compute, and the rooms whose types they may compute with.
const PURE: &[(&str, &[&str])] = &[
    ("plan", &[]),
    ("run", &["plan"]),
    ("gates/judge", &["run", "scalar"]),
    ("gates/promql", &["scalar"]),
    ("gates/expression.rs", &[]),
    ("migrations/statement.rs", &[]),
    ("migrations/class.rs", &[]),
    ("slack/views.rs", &[]),
    ("slack/check.rs", &["plan", "run"]),
    ("slack/deliveries.rs", &[]),
    ("audit/rules.rs", &["journal", "plan", "run", "sign"]),
    ("audit/approval.rs", &["plan", "run", "sign"]),
    ("audit/request.rs", &["plan"]),
    ("journal/scan", &["plan", "run", "sign"]),
];

/// What only computes has none of these.
const OUTSIDE: &[&str] =
    &["async ", "std::env", "std::fs", "std::net", "std::process", "tokio::", "getrandom", "Instant", "::now()"];

/// The paths below `crate::` that a line names: `crate::{a::B, c}` gives `a` and `c`.
fn named(line: &str) -> Vec<String> {
    let first =
        |path: &str| path.trim().split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("").to_string();
    line.match_indices("crate::")
        .flat_map(|(at, _)| {
            let rest = &line[at + "crate::".len()..];
            match rest.strip_prefix('{') {
                Some(group) => group.split(',').map(first).collect(),
                None => vec![first(rest)],
            }
        })
        .filter(|name| name.chars().next().is_some_and(char::is_lowercase))
        .collect()
}

#[test]
fn every_import_is_in_the_table() {
    let table: BTreeMap<_, _> = MAY_IMPORT.iter().copied().collect();
    let mut wrong = Vec::new();
    let mut stack = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let root = stack[0].clone();
    while let Some(path) = stack.pop() {
        if path.is_dir() {
            stack.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        if path.extension().is_none_or(|e| e != "rs") {
            continue;
        }
        let inside = path.strip_prefix(&root).unwrap();
        let module = inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        if ["lib", "main"].contains(&module) {
            continue;
        }
        let Some(allowed) = table.get(module) else {
            wrong.push(format!("{} is in no row of the table", inside.display()));
            continue;
        };
        let text = fs::read_to_string(&path).unwrap();
        // Tests below a file may reach for anything: they stand outside the layers.
        let text = text.split("#[cfg(test)]").next().unwrap();
        for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for name in named(line) {
                if name != module && !allowed.contains(&name.as_str()) {
                    wrong.push(format!("{}:{} imports {name}", inside.display(), n + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_pure_reaches_for_nothing_outside() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for (place, allowed) in PURE {
        let room = place.split('/').next().unwrap();
        let (mut stack, mut files) = (vec![root.join(place)], 0);
        while let Some(path) = stack.pop() {
            if path.is_dir() {
                stack.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                continue;
            }
            files += 1;
            let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let text = text.split("#[cfg(test)]").next().unwrap();
            for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
                let place = format!("{}:{}", path.strip_prefix(&root).unwrap().display(), n + 1);
                wrong.extend(OUTSIDE.iter().filter(|w| line.contains(**w)).map(|w| format!("{place} has {w}")));
                let strangers =
                    named(line).into_iter().filter(|name| name != room && !allowed.contains(&name.as_str()));
                wrong.extend(strangers.map(|name| format!("{place} imports {name}")));
            }
        }
        assert!(files > 0, "{place} is not there");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_planted_import_is_found() {
    assert_eq!(named("use crate::{cli::Exit, plan};"), ["cli", "plan"]);
    assert_eq!(named("    let x = crate::cli::main();"), ["cli"]);
}

/// The table has an order: nobody is imported by whom they import.
#[test]
fn no_arrow_runs_up() {
    let table: BTreeMap<_, _> =
        MAY_IMPORT.iter().map(|(module, may)| (*module, may.iter().copied().collect())).collect();
    assert_eq!(circles(&table), [[""; 0]; 0]);
}

/// Files that a circle may have: two or three that belong together, side by side.
const WIDEST: usize = 3;

#[test]
fn no_circle_is_wide_or_leaves_its_folder() {
    let house = House::read();
    let arrows = house.arrows();
    let borrowed = arrows.iter().map(|(from, to)| (from, to.iter().collect())).collect();
    let wrong: Vec<Vec<String>> = circles(&borrowed)
        .into_iter()
        .map(|circle| circle.into_iter().map(|module| house.files[module].path.clone()).collect::<Vec<_>>())
        .filter(|files| {
            let folder = files[0].parent();
            files.len() > WIDEST || files.iter().any(|file| file.parent() != folder)
        })
        .map(|files| files.iter().map(|file| file.display().to_string()).collect())
        .collect();
    assert!(wrong.is_empty(), "each of these imports every other one, straight or through the rest: {wrong:#?}");
}

/// The paths that a `use` names, each with the name it has then: `a::{b::C, d as e}` gives `a::b::C` as `C` and `a::d` as `e`.
fn leaves(tree: &str) -> Vec<(Vec<String>, String)> {
    let segments =
        |path: &str| path.split("::").map(|part| part.trim().to_string()).filter(|part| !part.is_empty()).collect();
    let Some((before, rest)) = tree.split_once('{') else {
        let (path, name) = tree.split_once(" as ").map_or((tree, None), |(path, name)| (path, Some(name)));
        let path: Vec<String> = segments(path);
        let name = name.map(|name| name.trim().to_string()).or(path.last().cloned());
        return name.map(|name| (path, name)).into_iter().collect();
    };
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for c in rest.rsplit_once('}').map_or(rest, |(inside, _)| inside).chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        match c {
            ',' if depth == 0 => parts.push(String::new()),
            c => parts.last_mut().unwrap().push(c),
        }
    }
    let before: Vec<String> = segments(before);
    let below = parts.iter().flat_map(|part| leaves(part));
    below
        .map(|(path, name)| match path.as_slice() {
            [own] if own == "self" => {
                (before.clone(), if name == "self" { before.last().unwrap().clone() } else { name })
            }
            path => ([&before[..], path].concat(), name),
        })
        .collect()
}

/// The paths of two names and more in a text: `a::b::C`.
fn paths(text: &str) -> Vec<Vec<String>> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let pieces = text.split(|c: char| !word(c) && c != ':');
    let whole = pieces.filter(|piece| piece.contains("::") && !piece.starts_with(':'));
    whole.map(|piece| piece.split("::").map(String::from).take_while(|name| !name.is_empty()).collect()).collect()
}

type Module = Vec<String>;

/// One file as a module.
struct File {
    path: PathBuf,
    /// What it uses, from the root of the crate.
    uses: Vec<Module>,
    /// Names it hands on, and what they stand for.
    face: BTreeMap<String, Module>,
}

/// Every file of `src`.
struct House {
    files: BTreeMap<Module, File>,
}

impl House {
    fn read() -> House {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let (mut stack, mut texts) = (vec![root.clone()], BTreeMap::new());
        while let Some(path) = stack.pop() {
            if path.is_dir() {
                stack.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                continue;
            }
            let inside = path.strip_prefix(&root).unwrap().to_path_buf();
            if path.extension().is_none_or(|e| e != "rs")
                || ["lib.rs", "main.rs"].iter().any(|file| inside == Path::new(file))
            {
                continue;
            }
            let names = inside.with_extension("");
            let mut module: Module = names.iter().map(|name| name.to_str().unwrap().to_string()).collect();
            module.pop_if(|name| name == "mod");
            let text = fs::read_to_string(&path).unwrap();
            // Tests below a file may reach for anything.
            let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap().lines();
            let code: Vec<&str> = code.filter(|line| !line.trim_start().starts_with("//")).collect();
            texts.insert(module, (inside, code.join("\n")));
        }
        House::of(texts)
    }

    fn of(texts: BTreeMap<Module, (PathBuf, String)>) -> House {
        let known: BTreeSet<Module> = texts.keys().cloned().collect();
        let file = |(module, (path, text)): (&Module, &(PathBuf, String))| {
            let mut file = File { path: path.clone(), uses: Vec::new(), face: BTreeMap::new() };
            let (mut code, mut modules) = (String::new(), BTreeMap::new());
            for statement in text.split_inclusive(';') {
                let line_start =
                    statement.rfind("\nuse ").or(statement.rfind("\npub use ")).or(statement.rfind("\n    use "));
                let at = line_start.or(statement.starts_with("use ").then_some(0));
                let Some((before, tree)) =
                    at.and_then(|at| statement.split_at(at).into()).filter(|(_, s)| s.ends_with(';'))
                else {
                    code.push_str(statement);
                    continue;
                };
                code.push_str(before);
                let shown = tree.trim_start().starts_with("pub");
                let tree = tree.trim_end_matches(';').split_once("use ").unwrap().1;
                for (path, name) in leaves(tree) {
                    let Some(path) = absolute(module, &path, &known, &modules) else { continue };
                    if known.contains(&path) {
                        modules.insert(name.clone(), path.clone());
                    }
                    match shown {
                        true => drop(file.face.insert(name, path)),
                        false => file.uses.push(path),
                    }
                }
            }
            file.uses.extend(paths(&code).iter().filter_map(|path| absolute(module, path, &known, &modules)));
            (module.clone(), file)
        };
        House { files: texts.iter().map(file).collect() }
    }

    /// The file that a path leads to, through names that are handed on; a module alone leads nowhere.
    fn file(&self, path: &[String]) -> Option<Module> {
        let at = (1..path.len()).rev().find(|n| self.files.contains_key(&path[..*n]))?;
        let (module, rest) = path.split_at(at);
        match self.files[module].face.get(&rest[0]) {
            Some(onward) => self.file(&[&onward[..], &rest[1..]].concat()),
            None => Some(module.to_vec()),
        }
    }

    /// Who imports whom. A folder is one with its `mod.rs`: what that declares for its files is no arrow of theirs.
    fn arrows(&self) -> BTreeMap<Module, BTreeSet<Module>> {
        let arrows = |module: &Module, file: &File| {
            let found = file.uses.iter().filter_map(|path| self.file(path));
            found.filter(|other| !module.starts_with(other)).collect()
        };
        self.files.iter().map(|(module, file)| (module.clone(), arrows(module, file))).collect()
    }
}

/// A path from the root of the crate, if it is one of ours.
fn absolute(
    module: &Module,
    path: &[String],
    known: &BTreeSet<Module>,
    modules: &BTreeMap<String, Module>,
) -> Option<Module> {
    let up = path.iter().take_while(|name| *name == "super").count();
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some([&module[..], rest].concat()),
        "super" => Some([&module[..module.len().checked_sub(up)?], &path[up..]].concat()),
        name if known.contains(&[&module[..], &[name.to_string()]].concat()) => Some([&module[..], path].concat()),
        name => modules.get(name).map(|module| [&module[..], rest].concat()),
    }
}

/// Those that reach each other.
fn circles<'a, T: Ord + ?Sized>(arrows: &BTreeMap<&'a T, BTreeSet<&'a T>>) -> Vec<Vec<&'a T>> {
    let reach = |from: &'a T| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(at) = open.pop() {
            open.extend(arrows.get(at).into_iter().flatten().copied().filter(|to| seen.insert(*to)));
        }
        seen
    };
    let reached: BTreeMap<&T, BTreeSet<&T>> = arrows.keys().map(|from| (*from, reach(from))).collect();
    let mut told = BTreeSet::new();
    let mut found = Vec::new();
    for (from, to) in &reached {
        let circle: Vec<&T> =
            to.iter().copied().filter(|other| reached.get(other).is_some_and(|back| back.contains(from))).collect();
        if circle.len() > 1 && told.insert(circle[0]) {
            found.push(circle);
        }
    }
    found
}

#[test]
fn a_planted_circle_is_found() {
    let house = |texts: &[(&str, &str)]| {
        let module = |name: &str| name.split('/').map(String::from).collect::<Module>();
        House::of(texts.iter().map(|(name, text)| (module(name), (PathBuf::from(name), (*text).to_string()))).collect())
    };
    let found = |house: &House| -> Vec<String> {
        let arrows = house.arrows();
        let borrowed = arrows.iter().map(|(from, to)| (from, to.iter().collect())).collect();
        circles(&borrowed)
            .into_iter()
            .map(|circle| circle.iter().map(|module| module.join("/")).collect::<Vec<_>>().join(" "))
            .collect()
    };
    // Straight, through a name that is handed on, through a module by its name, and by a path in the code.
    let planted = [
        ("a", "mod b;\npub use b::B;\n"),
        ("a/b", "use crate::c::{self, d};\nfn f() { d::g() }\n"),
        ("c", "pub mod d;\n"),
        ("c/d", "use super::e::E;\n"),
        ("c/e", "fn f(b: crate::a::B) {}\n"),
    ];
    assert_eq!(found(&house(&planted)), ["a/b c/d c/e"]);
    assert!(found(&house(&planted[..4])).is_empty());
    // What a folder's `mod.rs` declares for its files, and takes from them, is no circle.
    let table =
        [("k", "mod one;\npub struct Kind;\nconst KINDS: [Kind; 1] = [one::KIND];\n"), ("k/one", "use super::Kind;\n")];
    assert!(found(&house(&table)).is_empty());
    assert_eq!(
        leaves("a::{b::{C, self}, d as e}").iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>(),
        ["C", "b", "e"]
    );
}
