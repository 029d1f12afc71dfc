//! The way back without bgctl: as files of the run's folder, and as lines a person can paste anywhere.

use std::path::Path;

use crate::child::quoted;
use crate::file;
use crate::journal::{LocalDisk, WHOLE, keep_way_back};
use crate::plan::{Color, Plan};
use crate::routers::NativeWayBack;
use crate::steps;
use crate::users::Users;
use crate::world::World;

/// Stores the way back of a route beside the log.
pub fn keep(folder: &Path, plan: &Plan, route: &str, way: &NativeWayBack) -> std::io::Result<()> {
    let mut lines: Vec<String> = readying(plan).iter().map(Readying::in_a_script).collect();
    lines.push(way.command.clone());
    keep_way_back(&LocalDisk, folder, route, &way.files, &lines.join("\n"))
}

/// A program that makes blue take users again before anybody goes back to it.
pub struct Readying {
    /// As a person types it, wherever that is.
    pub typed: String,
    /// The status that means success.
    status: i32,
    /// How many seconds it may take behind it until blue is healthy.
    within: u64,
}

impl Readying {
    /// Whoever runs the script waits for what bgctl would have looked at.
    fn in_a_script(&self) -> String {
        let Readying { typed, status, within } = self;
        let ended = match status {
            0 => format!("{typed} || exit 1"),
            status => format!("{typed}; [ $? -eq {status} ] || exit 1"),
        };
        format!("{ended}\necho 'BLUE is made ready; {within} s for its health checks' >&2\nsleep {within}")
    }
}

/// What is done before users go back, as it is run from here.
pub fn readying(plan: &Plan) -> Vec<Readying> {
    let here = std::env::current_dir().map(|here| here.display().to_string()).unwrap_or_else(|_| ".".into());
    let programs = plan.readied().into_iter().filter_map(|step| {
        let (_, program) = steps::makes_ready(&step.kind, &step.config)?;
        let (typed, status) = (typed(&program, &here), program.expect_status);
        Some(Readying { typed, status, within: steps::ready_within(&step.config) })
    });
    programs.collect()
}

/// A program as a person types it, wherever that is.
fn typed(program: &steps::Command, here: &str) -> String {
    let folder = |folder: &String| format!("cd {} && ", quoted(folder));
    let inside = program.directory.as_ref().map_or_else(String::new, folder);
    let words = program.env.iter().map(|(name, value)| format!("{name}={}", quoted(value)));
    let words: Vec<String> = words.chain(program.argv().iter().map(|word| quoted(word))).collect();
    // What stands in quotes as a reference is a variable of whoever types it.
    let mut parts = words.join(" ");
    while let Some((before, rest)) = parts.split_once("${env:") {
        let Some((name, after)) = rest.split_once('}') else { break };
        parts = format!("{before}'\"${name}\"'{after}");
    }
    format!("(cd {} && {inside}{parts})", quoted(here))
}

/// The commands that send everybody back without bgctl.
pub fn native(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder.join("undo")) else { return Vec::new() };
    let mut scripts: Vec<String> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "sh"))
        // A script that another one calls does a part of it.
        .filter(|path| file::text(path, file::LONG).is_ok_and(|text| text.starts_with(WHOLE)))
        .map(|path| format!("sh {}", path.display()))
        .collect();
    scripts.sort();
    scripts
}

/// What was stored of a route, as one that can be pasted.
pub fn kept(folder: &Path, route: &str) -> Option<Vec<String>> {
    let undo = folder.join("undo");
    let script = file::text(&undo.join(format!("{route}.sh")), file::LONG).ok()?;
    let command = script.lines().skip(3).collect::<Vec<_>>().join("\n");
    let files = std::fs::read_dir(&undo).ok()?.filter_map(Result::ok).filter_map(|entry| {
        let name = entry.file_name().into_string().ok().filter(|name| command.contains(name.as_str()))?;
        Some((name, file::text(&entry.path(), file::LONG).ok()?))
    });
    Some(NativeWayBack { files: files.collect(), command: command.clone() }.pasted())
}

/// The provider's own commands that send everybody to blue from where they were just read; for a route of which nothing is
/// known, a remark. The second is whether any command is among them.
pub fn from_readings(plan: &Plan, world: &World, users: &Users) -> (Vec<String>, bool) {
    let mut any = false;
    let first = |program: Readying| {
        [format!("# first, and on only when BLUE is healthy again, after {} s at most:", program.within), program.typed]
    };
    let mut lines: Vec<String> = readying(plan).into_iter().flat_map(first).collect();
    for seen in users.seen.iter().filter(|seen| plan.routes.contains_key(&seen.name)) {
        let route = world.route(&seen.name);
        let way = route
            .all_on(Color::Blue, seen.reading.as_ref().ok())
            .map(|blue| (route.native_way_back(&seen.name, &blue), blue));
        match way {
            Some((way, blue)) if !way.command.is_empty() => {
                if let Err(unread) = &seen.reading {
                    lines.push(format!("# {}: {}", seen.name, unread.why));
                    lines.extend(blue.remarks.iter().map(|remark| format!("# {}: {remark}", seen.name)));
                }
                any = true;
                lines.extend(way.pasted());
            }
            _ => {
                let unread = seen.reading.as_ref().err();
                let why = unread.map_or("no command is known for this place", |unread| &unread.why);
                lines.push(format!("# {}: {why}", seen.name));
            }
        }
    }
    (lines, any)
}

/// Stores the way back of every route that was read, in the folder of a run that goes back from there.
pub fn keep_all(folder: &Path, plan: &Plan, world: &World, users: &Users) {
    for seen in users.seen.iter().filter(|seen| seen.reading.is_ok()) {
        let route = world.route(&seen.name);
        if let Some(blue) = route.all_on(Color::Blue, seen.reading.as_ref().ok()) {
            // It is a convenience: the same lines are on the screen, and going back needs neither.
            let _ = keep(folder, plan, &seen.name, &route.native_way_back(&seen.name, &blue));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_goes_no_further_behind_a_program_that_fails() {
        let script = |status| Readying { typed: "ready".into(), status, within: 7 }.in_a_script();
        assert!(script(0).starts_with("ready || exit 1\n") && script(0).ends_with("\nsleep 7"));
        assert!(script(3).starts_with("ready; [ $? -eq 3 ] || exit 1\n"));
    }

    #[test]
    fn a_program_is_typed_from_where_it_was_run() {
        let program = |value: serde_json::Value| serde_json::from_value::<steps::Command>(value).expect("a program");
        let of = |value| typed(&program(value), "/srv/run book");
        assert_eq!(
            of(serde_json::json!({ "run": ["./ready", "it's on"] })),
            r"(cd '/srv/run book' && ./ready 'it'\''s on')"
        );
        let all = serde_json::json!({ "shell": "on ${env:HOST}", "env": { "A": "b c" }, "directory": "ops" });
        assert_eq!(of(all), r#"(cd '/srv/run book' && cd ops && A='b c' /bin/sh -c 'on '"$HOST"'')"#);
    }

    #[test]
    fn r11_a_way_back_can_be_pasted_in_any_folder() {
        let way = NativeWayBack {
            files: vec![("web-actions.json".into(), "[{\n  \"Type\": \"it's\"\n}]\n".into())],
            command: "aws elbv2 modify-rule --rule-arn arn --actions file://web-actions.json --region r".into(),
        };
        let wanted = r#"aws elbv2 modify-rule --rule-arn arn --actions '[{"Type":"it'\''s"}]' --region r"#;
        assert_eq!(way.pasted(), [wanted]);
        let dir = tempfile::tempdir().unwrap();
        keep_way_back(&LocalDisk, dir.path(), "web", &way.files, &way.command).unwrap();
        assert_eq!(kept(dir.path(), "web").unwrap(), [wanted]);
        let other = NativeWayBack { files: vec![("m.json".into(), "{}\n".into())], command: "curl @m.json".into() };
        assert_eq!(other.pasted(), ["cat > m.json <<'END'", "{}", "END", "curl @m.json"]);
    }
}
