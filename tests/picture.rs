//! The picture of README: what a terminal shows during the quickstart and at its end, drawn from the records of a real run.
//!
//! `BLESS=1` draws `examples/quickstart.svg` anew. The records and the plan beside them were taken with
//! `bgctl -o jsonl cutover runbooks/quickstart.yaml --lab --confirm lab | jq -c 'select(.type | IN("seal", "run.opened", "closing") | not)'`.

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bgctl::clock::Clock;
use bgctl::journal::Entry;
use bgctl::plan::{Plan, Split};
use bgctl::report::{About, Chorus, Findings, Ink, Live, Place, Rest};
use bgctl::run::RunOutcome;
use bgctl::users::Side;
use bgctl::world::Progress;
use common::paper::{Paper, Still};
use jiff::Timestamp;

const COLUMNS: u16 = 96;
const COMMAND: &str = "$ bgctl cutover runbooks/quickstart.yaml --lab --confirm lab";
/// The last record before the first picture, and how long after the beginning of its bake that is.
const MIDDLE: (u64, u64) = (97, 8);
/// What the lab says when its rehearsal is over; it is no record.
const TAIL: &str =
    "lab: events sent 1727 = handled once 1727 · lost 0 · twice 0 (by BLUE 823, by GREEN 904, 0 retries by Slack)";

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn plan() -> Plan {
    serde_json::from_str(&std::fs::read_to_string(root("tests/fixtures/quickstart/plan.json")).unwrap()).unwrap()
}

fn records() -> Vec<Entry> {
    let text = std::fs::read_to_string(root("tests/fixtures/quickstart/events.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn screen(paper: &Paper) -> Vec<Vec<Run>> {
    let size = |n: u16| NonZeroU16::new(n).unwrap();
    let mut terminal = vt100::Parser::new(size(80), size(COLUMNS), 0);
    terminal.process(&paper.bytes());
    let mut rows: Vec<Vec<Run>> = (0..80).map(|row| runs(terminal.screen(), row)).collect();
    while rows.last().is_some_and(Vec::is_empty) {
        rows.pop();
    }
    rows
}

/// Characters side by side in one ink.
#[derive(Clone, Debug, PartialEq)]
struct Run {
    column: u16,
    text: String,
    color: vt100::Color,
    bold: bool,
}

fn runs(screen: &vt100::Screen, row: u16) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for column in 0..COLUMNS {
        let cell = screen.cell(row, column).unwrap();
        let text = if cell.has_contents() { cell.contents() } else { " " };
        let (color, bold) = (cell.fgcolor(), cell.bold());
        match runs.last_mut() {
            // A blank has no ink.
            Some(last) if text == " " || (last.color, last.bold) == (color, bold) => last.text.push_str(text),
            _ => runs.push(Run { column, text: text.into(), color, bold }),
        }
    }
    runs.iter_mut().for_each(|run| run.text.truncate(run.text.trim_end().len()));
    runs.retain(|run| !run.text.is_empty());
    runs
}

fn plain(row: &[Run]) -> String {
    let mut line = String::new();
    for run in row {
        let used = line.chars().count();
        line += &" ".repeat(usize::from(run.column).saturating_sub(used));
        line += &run.text;
    }
    line
}

/// The screen in the middle of a bake, what came below it until the end, and how many seconds lie between.
fn screens() -> ([Vec<Vec<Run>>; 2], i64) {
    let (records, paper) = (records(), Paper::default());
    let at = |entry: &Entry| entry.ts.parse::<Timestamp>().unwrap();
    let clock = Rc::new(Still::at(at(&records[0])));
    let about = About { run: "20261128-2110-bbm".into(), plan: Rc::new(plan()), by: "you@example.com".into() };
    let ink = Ink { color: true, ascii: false };
    let live = Live::new(Box::new(paper.clone()), about.clone(), ink, Arc::new(|| COLUMNS), clock.clone(), true);
    let mut chorus = Chorus::new(about, vec![Box::new(live.clone())]);
    let reporter: &mut dyn bgctl::report::Reporter = &mut chorus;
    let (mut middle, mut stays, mut taken) = (Vec::new(), 0, 0);
    for entry in &records {
        clock.put(at(entry));
        reporter.record(entry);
        if entry.seq == MIDDLE.0 {
            // How far a bake is leaves no record, so it is said here as the bake says it.
            let line = "errors pass, p99 pass".into();
            clock.put(clock.now() + Duration::from_secs(2));
            reporter.progress(&Progress { done: MIDDLE.1, of: 10, line });
            middle = screen(&paper);
            taken = clock.now().as_second();
            stays = middle.len() - live.region().len();
        }
    }
    let well = || Side::Well("2 of 2".into());
    let web = Place { split: Ok(Split::ALL_GREEN), blue: well(), green: well() };
    chorus.close(&Rest {
        outcome: RunOutcome::Completed,
        exit: 0,
        found: Some(Findings {
            routes: BTreeMap::from([("web".to_string(), web)]),
            to_green: vec![],
            ..Findings::default()
        }),
        now: clock.now(),
        native: vec![],
        folder: Some("/home/you/.local/share/bgctl/runs/20261128-2110-bbm".into()),
        tail: vec![String::new(), TAIL.into()],
    });
    ([middle, screen(&paper).split_off(stays)], clock.now().as_second() - taken)
}

/// Pixels of a character and a line.
const CELL: f64 = 8.0;
const LINE: f64 = 19.0;
const MARGIN: f64 = 18.0;

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Runs without gaps: what stands behind two blanks begins at a column of its own.
fn parted(row: &[Run]) -> Vec<Run> {
    let mut parts = Vec::new();
    for run in row {
        let mut column = run.column;
        for piece in run.text.split("  ") {
            let text = piece.trim_start();
            let from = column + (piece.chars().count() - text.chars().count()) as u16;
            if !text.is_empty() {
                parts.push(Run { column: from, text: text.into(), ..run.clone() });
            }
            column += piece.chars().count() as u16 + 2;
        }
    }
    parts
}

/// A line of text, each run held to its columns whatever font there is.
fn line(svg: &mut String, y: f64, row: &[Run]) {
    for run in parted(row) {
        let width = run.text.trim_end().chars().count() as f64 * CELL;
        let x = MARGIN + f64::from(run.column) * CELL;
        let class = match run.color {
            vt100::Color::Idx(1) => " class=\"red\"",
            vt100::Color::Idx(2) => " class=\"green\"",
            vt100::Color::Idx(3) => " class=\"yellow\"",
            vt100::Color::Idx(4) => " class=\"blue\"",
            _ if run.bold => " class=\"bold\"",
            _ => "",
        };
        let text = escaped(run.text.trim_end());
        writeln!(svg, "<text x=\"{x}\" y=\"{y}\" textLength=\"{width}\"{class}>{text}</text>").unwrap();
    }
}

fn picture() -> String {
    let ([middle, end], seconds) = screens();
    let word = |text: &str| vec![Run { column: 0, text: text.into(), color: vt100::Color::Default, bold: true }];
    let later = format!("{seconds} seconds later");
    let rows: Vec<Vec<Run>> =
        [vec![word(COMMAND)], middle, vec![vec![], word(&later), vec![]], end].into_iter().flatten().collect();
    let width = 2.0 * MARGIN + f64::from(COLUMNS) * CELL;
    let height = 2.0 * MARGIN + rows.len() as f64 * LINE;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\">\n\
         <title>bgctl cutover in the lab</title>\n\
         <desc>A terminal during the quickstart: users are at BLUE 50 GREEN 50 while two gates are watched, and later all on GREEN.</desc>\n\
         <style>\n\
         text {{ font-size: 13.3px; font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: #d6dbe2 }}\n\
         .bold {{ font-weight: 700 }} .blue {{ fill: #6cb2ff }} .green {{ fill: #4cc76a }} .red {{ fill: #ff7b72 }} .yellow {{ fill: #e3b341 }}\n\
         </style>\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"#12161c\"/>\n"
    );
    for (n, row) in rows.iter().enumerate() {
        line(&mut svg, MARGIN + (n as f64 + 0.75) * LINE, row);
    }
    svg + "</svg>\n"
}

#[test]
#[expect(clippy::disallowed_methods, reason = "`BLESS` is a wish of whoever runs the test")]
fn the_picture_of_readme_is_what_bgctl_shows() {
    let file = root("examples/quickstart.svg");
    let drawn = picture();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&file, &drawn).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == drawn,
        "examples/quickstart.svg shows something else than bgctl does; BLESS=1 draws it anew\n{drawn}"
    );
}

/// What the picture is for, whatever its lines are.
#[test]
fn the_picture_shows_users_gates_and_the_end() {
    let [middle, end] = screens().0.map(|rows| rows.iter().map(|row| plain(row)).collect::<Vec<_>>().join("\n"));
    for said in ["users: BLUE 50 GREEN 50", "errors", "[r] roll back now", "read back"] {
        assert!(middle.contains(said), "{said}\n{middle}");
    }
    for said in ["shift-100", "COMPLETED", "BLUE 0 GREEN 100", "bgctl rollback bbm", "lost 0 · twice 0"] {
        assert!(end.contains(said), "{said}\n{end}");
    }
    assert!(!end.contains("[r] roll back now"), "{end}");
}

/// The records are those of the runbook that README names.
#[test]
fn the_recorded_run_is_of_the_quickstart_as_it_is_now() {
    let runbook = std::fs::read_to_string(root("runbooks/quickstart.yaml")).unwrap();
    let written: Vec<&str> = runbook.lines().filter_map(|line| line.trim().strip_prefix("- id: ")).collect();
    let plan = plan();
    let planned: Vec<&str> = plan.forward.iter().chain(&plan.rollback).map(|step| step.id.as_str()).collect();
    assert_eq!(planned, written);
    let lab = std::fs::read_to_string(root("README.md")).unwrap();
    assert!(lab.contains(COMMAND.strip_prefix("$ bgctl ").unwrap()), "README names another command");
}
