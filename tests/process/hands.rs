//! A person at a real terminal and the real program: what keys do to a run, what stands in the log, and what is left of the
//! terminal.

use std::io::{Read, Write};
use std::process::{ChildStdin, Stdio};
use std::sync::{Arc, Mutex};

use bgctl::lab::Fault;

use crate::common::peer;
use crate::rig::*;

/// A pseudo-terminal with a cutover on it.
struct Chair {
    run: Running,
    keys: ChildStdin,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Chair {
    /// `None` where the machine has no `script`.
    fn cutover(desk: &mut Desk) -> Option<Chair> {
        let script = peer("script")?;
        desk.without(&["CI"]);
        let line = format!(
            "stty cols 100 rows 40; stty -g >before; {BGCTL} cutover runbook.yaml --confirm staging; echo RC=$?; stty -g >after; echo ALL-DONE"
        );
        let mut command = desk.command(&script.display().to_string());
        command.args(["-qefc", &format!("trap : INT QUIT; {line}"), "/dev/null"]);
        command.env("NO_COLOR", "1").env("TERM", "xterm-256color").env("SHELL", "/bin/sh").stdin(Stdio::piped());
        let mut child = command.spawn().expect("script starts");
        let keys = child.stdin.take().expect("a pipe");
        let mut screen = child.stdout.take().expect("a pipe");
        let shown = Arc::new(Mutex::new(Vec::new()));
        let paper = shown.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = screen.read(&mut buffer) {
                paper.lock().unwrap().extend_from_slice(&buffer[..n]);
            }
        });
        Some(Chair { run: Running::of(child), keys, shown })
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    #[track_caller]
    fn sees(&self, words: &str) {
        until(&format!("`{words}` on the screen"), 40, || self.text().contains(words));
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("a terminal");
        self.keys.flush().expect("a terminal");
    }

    /// Waits for the end: the exit code, and the terminal as it was.
    #[track_caller]
    fn ends(self, desk: &Desk, code: i32) -> String {
        self.sees("ALL-DONE");
        let text = self.text();
        assert!(text.contains(&format!("RC={code}")), "{text}");
        let read = |name: &str| std::fs::read_to_string(desk.path(name)).unwrap();
        assert_eq!(read("before"), read("after"), "the terminal's settings were left changed:\n{text}");
        let size = |n: u16| std::num::NonZeroU16::new(n).unwrap();
        let mut terminal = vt100::Parser::new(size(40), size(100), 0);
        terminal.process(text.as_bytes());
        let screen = terminal.screen();
        assert!(!screen.hide_cursor() && !screen.bracketed_paste(), "the terminal was left changed:\n{text}");
        self.run.end(10);
        text
    }
}

#[test]
fn r16_r_and_y_send_everybody_back_and_the_log_names_the_person() {
    let world = World::new(&[]);
    let mut desk = Desk::beside(&world);
    desk.write("runbook.yaml", &with_long_bake());
    let Some(mut chair) = Chair::cutover(&mut desk) else { return };
    desk.wait_for("step.intent", "bake-50");
    // The terminal was told to say what is pasted.
    chair.sees("\u{1b}[?2004h");
    chair.press("\u{1b}[200~roll back? y\n\u{1b}[201~");
    chair.sees("what was pasted is no key here");
    chair.press("r");
    chair.sees("Roll back now? y / Enter goes back, any other key goes on (5 s)");
    chair.press("n");
    chair.sees("not rolled back: another key. The run goes on.");
    assert_eq!(world.green(), 50);
    chair.press("r");
    until("the question again", 10, || chair.text().matches("(5 s)").count() > 1);
    chair.press("y");
    let text = chair.ends(&desk, 10);
    assert!(text.contains("ROLLED BACK"), "{text}");
    assert_eq!((world.green(), world.turns()), (0, 1));
    desk.complete();
    let asked: Vec<_> = desk.records().into_iter().filter(|r| r["type"] == "run.interrupted").collect();
    assert_eq!(asked.len(), 1, "{asked:?}");
    let by = &asked[0]["data"]["by"];
    assert_eq!((by["name"].as_str(), by["via"].as_str()), (Some(OWNER), Some("key")), "{asked:?}");
    assert_eq!(asked[0]["data"]["line"], "the r key, then y");
    // And the rollback is theirs too, not one by rule.
    let begun = desk.records().into_iter().find(|r| r["type"] == "rollback.begun").expect("it was begun");
    assert_eq!((&begun["data"]["by"], &begun["data"]["automatic"]), (by, &false.into()), "{begun}");
}

#[test]
fn r17_ctrl_c_while_going_back_says_what_it_does_and_changes_nothing() {
    let world = World::new(&[Fault::ApiSlow]);
    let mut desk = Desk::beside(&world);
    let ramp = "shift: { route: web, blue: 100%, ramp: [60%, 80%], every: 2s }";
    desk.write("runbook.yaml", &with_long_bake().replace("shift: { route: web, blue: 100% }", ramp));
    let Some(mut chair) = Chair::cutover(&mut desk) else { return };
    desk.wait_for("step.intent", "bake-50");
    chair.press("r");
    chair.sees("(5 s)");
    chair.press("\n");
    desk.wait_for("step.intent", "back-to-blue");
    let said = "going back already, and it goes on. back-to-blue: shift web to BLUE 100 GREEN 0";
    for times in 1..=2 {
        chair.press("\u{3}");
        until("Ctrl-C is answered", 10, || chair.text().matches(said).count() >= times);
    }
    chair.sees("going back; Ctrl-C says what it waits for");
    let text = chair.ends(&desk, 10);
    assert!(!text.contains("left at once"), "{text}");
    // The screen offers no rollback while there is one.
    let since = text.rfind(said).unwrap();
    assert!(!text[since..].contains("[r] roll back now"), "{text}");
    assert_eq!((world.green(), world.turns()), (0, 1));
    desk.complete();
}

#[test]
fn r21_ctrl_backslash_leaves_at_once_with_a_word_and_the_terminal_as_it_was() {
    let world = World::new(&[]);
    let mut desk = Desk::beside(&world);
    desk.write("runbook.yaml", &with_long_bake());
    let Some(mut chair) = Chair::cutover(&mut desk) else { return };
    desk.wait_for("step.intent", "bake-50");
    chair.press("\u{1c}");
    let text = chair.ends(&desk, 12);
    assert!(text.contains("HOLDING") && text.contains("BLUE 50 GREEN 50"), "{text}");
    assert_eq!(world.green(), 50);
    // It is said once.
    let left = |r: &&serde_json::Value| r["data"]["line"].as_str().is_some_and(|line| line.starts_with("left at once"));
    assert_eq!(desk.records().iter().filter(left).count(), 1);
}

#[test]
fn r20_the_question_after_ctrl_c_counts_down() {
    let world = World::new(&[]);
    let mut desk = Desk::beside(&world);
    desk.write("runbook.yaml", &with_long_bake());
    let Some(mut chair) = Chair::cutover(&mut desk) else { return };
    desk.wait_for("step.intent", "bake-50");
    chair.press("\u{3}");
    chair.sees("[r] roll back (in 60s)");
    chair.sees("[r] roll back (in 57s)");
    chair.press("r");
    chair.ends(&desk, 10);
    assert_eq!(world.green(), 0);
}
