//! Prompts on a real terminal: what is typed, what counts, and that the terminal is left as it was found.
//!
//! Each test runs a part of this very binary under `script`, which gives it a pseudo-terminal, between two `stty -g`.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bgctl::child::Children;
use bgctl::clock::{Clock, SystemClock};
use bgctl::people::{
    Answer, Approve, Board, Control, Decision, Inbox, Operator, PagedThrough, Pager, People, Seat, Subject, Terminal,
    View, confirm, tty::Keyboard,
};
use bgctl::plan::{ApprovalRule, AtExpiry, Lane, StepRef};
use bgctl::run::{Actor, Evidence};
use bgctl::secret::Secrets;
use bgctl::world::{Request, Response, Web, WebError};

mod common;

/// The part of this binary that runs on the pseudo-terminal.
const PART: &str = "BGCTL_TEST_PART";

#[expect(clippy::disallowed_methods, reason = "a test that starts itself tells itself how")]
fn part() -> Option<String> {
    std::env::var(PART).ok()
}

struct NoWeb;

#[async_trait::async_trait(?Send)]
impl Web for NoWeb {
    async fn exchange(&self, _: Request) -> Result<Response, WebError> {
        Err(WebError { what: "no web in this test".into(), timed_out: false })
    }
}

fn nobody_to_page(clock: &Rc<dyn Clock>) -> Rc<Pager> {
    let outside = PagedThrough {
        web: Rc::new(NoWeb),
        processes: Rc::new(Children::new(clock.clone(), None)),
        secrets: Secrets::default(),
        clock: clock.clone(),
    };
    let word = || String::from("test");
    let subject = Subject { service: word(), run: word(), incident: word(), owner: word(), native: Box::new(Vec::new) };
    Rc::new(Pager::new(&[], outside, subject).unwrap())
}

fn say(line: &str) {
    let _ = std::io::stderr().write_all(format!("\r\n{line}\r\n").as_bytes());
}

/// The answer, and that what is written down of it is what was shown and typed.
fn told(answer: &Answer<confirm::Answered>) -> String {
    let Answer::Given(given) = answer else { return "nobody there".into() };
    let Evidence::PromptAnswered { text, choices, answer, by, .. } = &given.evidence else { panic!("no prompt") };
    assert!(text.starts_with("This moves live users.") && text.ends_with("environment:"), "{text}");
    assert_eq!((choices.as_slice(), by.name.as_str()), (&["production".to_string()][..], "engineer"));
    assert_eq!(answer == "production", given.yes, "{answer}");
    format!("Given({})", given.yes)
}

/// Not a test of its own: what the others run on a pseudo-terminal.
#[test]
fn the_part_on_the_terminal() {
    let Some(part) = part() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let keyboard = Keyboard::open(rustix::io::dup(rustix::stdio::stdin()).unwrap()).unwrap();
        let board = Board::on(Box::new(std::io::stderr()));
        let clock: Rc<dyn Clock> = Rc::new(SystemClock);
        match part.as_str() {
            "confirm" => {
                say("READY");
                let by = Actor { name: "engineer".into(), via: "prompt".into() };
                let answer = confirm::environment(&keyboard, &board, &*clock, "production", &by).await;
                say(&format!("RESULT {}", told(&answer)));
            }
            "late" => {
                // Typed before there is a prompt.
                say("READY");
                clock.sleep(Duration::from_millis(700)).await;
                say("PROMPT");
                let answer = approve(keyboard, board, clock, 3, true).await;
                say(&format!("RESULT {answer}"));
            }
            "approve" => {
                say("READY");
                let answer = approve(keyboard, board, clock, 60, true).await;
                say(&format!("RESULT {answer}"));
            }
            "not-mine" => {
                say("READY");
                let answer = approve(keyboard, board, clock, 60, false).await;
                say(&format!("RESULT {answer}"));
            }
            "operator" | "going-back" | "job" => {
                let actor = Actor { name: "engineer".into(), via: "prompt".into() };
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().to_path_buf();
                let ci = part == "job";
                let seat =
                    Seat { keyboard: Some(keyboard.clone()), clock, folder: path.clone(), actor: actor.clone(), board, ci };
                let operator = Operator::new(seat, Seen { going_back: part == "going-back" }).unwrap();
                say("READY");
                let wishes = if part == "operator" { 5 } else { 2 };
                for n in 0..wishes {
                    say(&format!("COMMAND {n} {:?}", operator.next().await));
                }
                bgctl::people::wish_rollback(&path, &actor, "from elsewhere", false).unwrap();
                say(&format!("COMMAND {wishes} {:?}", operator.next().await));
                assert!(!bgctl::people::wish_is_open(&path));
            }
            "hung-up" => {
                say("READY");
                let hung = async {
                    clock.sleep(Duration::from_millis(300)).await;
                    keyboard.hang_up();
                    clock.sleep(Duration::from_secs(1)).await;
                };
                tokio::select! { biased;
                    answer = approve(keyboard.clone(), board, clock.clone(), 60, true) => say(&format!("RESULT {answer}")),
                    () = hung => say("RESULT still waits for a signature"),
                }
            }
            "interrupted" => {
                say("READY");
                let answer = at_terminal(keyboard, board, clock).0.interrupted("BLUE 90 GREEN 10").await;
                say(&format!("RESULT {answer:?}"));
            }
            "panic" => {
                say("READY");
                panic!("on purpose");
            }
            other => panic!("no part {other}"),
        }
    });
}

/// What an operator sees of the run.
struct Seen {
    going_back: bool,
}

impl View for Seen {
    fn status(&self) {
        say("STATUS");
    }

    fn going_back(&self) -> Option<String> {
        self.going_back.then(|| "back-to-blue: shift web to BLUE 100 GREEN 0, throttled".into())
    }
}

const ME: &str = "engineer@example.com";

fn at_terminal(keyboard: Rc<Keyboard>, board: Board, clock: Rc<dyn Clock>) -> (Terminal, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let verify = |_: &bgctl::people::Signed<'_>| Err("no signatures in this test".to_string());
    let terminal = Terminal {
        inbox: Inbox::new(folder.path().to_path_buf(), Rc::new(verify), Vec::new()),
        pager: nobody_to_page(&clock),
        actor: Actor { name: ME.into(), via: "prompt".into() },
        keyboard,
        board,
        clock,
    };
    (terminal, folder)
}

async fn approve(keyboard: Rc<Keyboard>, board: Board, clock: Rc<dyn Clock>, seconds: i64, own_run: bool) -> String {
    let me = ME;
    let (terminal, _folder) = at_terminal(keyboard.clone(), board, clock.clone());
    let rule = ApprovalRule {
        role: "release-managers".into(),
        members: vec![me.into(), "rm-one@example.com".into()],
        quorum: 1,
        own_run,
        within_s: 60,
        at_expiry: AtExpiry::RollBack,
        evidence: Default::default(),
        covers_rollback: false,
        even_by_hand: false,
    };
    let team = Default::default();
    let ask = Approve {
        step: StepRef { lane: Lane::Forward, index: 3 },
        id: "shift-50",
        line: "shift web to BLUE 50 GREEN 50",
        rule: &rule,
        request: "{}",
        request_sha256: "44136fa3",
        expires: clock.now().as_second() + seconds,
        word: "50".into(),
        users: "BLUE 90 GREEN 10".into(),
        evidence: vec!["errors 0.14% (limit 0.50%)".into()],
        way_back: "armed: one call a route, r at any time".into(),
        grants: &[],
        void: &[],
        waits: false,
        team: &team,
    };
    // The prompt first: who listens for commands would otherwise take what was typed before it opened.
    tokio::select! { biased;
        answer = terminal.approve(&ask) => match answer {
            Answer::Given(Decision::Withdrawn { principal, .. }) => format!("taken back by {principal}"),
            Answer::Given(Decision::Granted(grant)) => format!("granted by {} {}", grant.principal, grant.evidence),
            Answer::Given(Decision::Denied(grant)) => format!("denied by {}", grant.principal),
            Answer::NobodyThere => "nobody there".into(),
        },
        key = keyboard.command() => format!("command {key:?}"),
    }
}

/// A pseudo-terminal with a shell that notes its settings before and after the part.
struct Session {
    child: Child,
    stdin: ChildStdin,
    shown: Arc<Mutex<Vec<u8>>>,
    folder: tempfile::TempDir,
}

impl Session {
    /// `None` where the machine has no `script`.
    fn start(part: &str) -> Option<Self> {
        let script = common::peer("script")?;
        let folder = tempfile::tempdir().unwrap();
        let exe = std::env::current_exe().unwrap();
        // The shell outlives a Ctrl-C that is meant for the part.
        let command = format!(
            "trap : INT QUIT HUP; stty cols 100 rows 40; stty -g > {dir}/before; sh -c 'echo $$ > {dir}/pid; exec {exe} --exact the_part_on_the_terminal --nocapture'; \
             echo RC=$?; stty -g > {dir}/after; echo ALL-DONE",
            dir = folder.path().display(),
            exe = exe.display(),
        );
        let mut child = Command::new(script)
            .args(["-qefc", &command, "/dev/null"])
            .env(PART, part)
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let paper = shown.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = stdout.read(&mut buffer) {
                paper.lock().unwrap().extend_from_slice(&buffer[..n]);
            }
        });
        Some(Session { child, stdin, shown, folder })
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    #[expect(clippy::disallowed_methods, reason = "a real process is waited for, with a deadline")]
    fn wait_times(&self, wanted: &str, times: usize) {
        let until = Instant::now() + Duration::from_secs(30);
        while self.text().matches(wanted).count() < times {
            assert!(Instant::now() < until, "`{wanted}` never came {times} times:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn wait_for(&self, wanted: &str) {
        self.wait_times(wanted, 1);
    }

    /// The signal of a terminal that goes away, to the part alone.
    fn hang_up(&self) {
        rustix::process::kill_process(self.pid().unwrap(), rustix::process::Signal::HUP).unwrap();
    }

    /// A hand needs longer between two keys than a paste.
    #[expect(clippy::disallowed_methods, reason = "a hand is played")]
    fn rest(&self) {
        std::thread::sleep(Duration::from_millis(300));
    }

    fn type_in(&mut self, text: &str) {
        self.stdin.write_all(text.as_bytes()).unwrap();
        self.stdin.flush().unwrap();
    }

    /// The part itself; nothing before it has begun.
    fn pid(&self) -> Option<rustix::process::Pid> {
        let text = std::fs::read_to_string(self.folder.path().join("pid")).ok()?;
        rustix::process::Pid::from_raw(text.trim().parse().ok()?)
    }

    /// Waits for the end and checks that the terminal is as it was: settings and cursor.
    fn end(mut self) -> String {
        self.wait_for("ALL-DONE");
        let text = self.text();
        let read = |name: &str| std::fs::read_to_string(self.folder.path().join(name)).unwrap();
        assert_eq!(read("before"), read("after"), "the terminal's settings were left changed:\n{text}");
        let size = |n: u16| std::num::NonZeroU16::new(n).unwrap();
        let mut terminal = vt100::Parser::new(size(40), size(100), 0);
        terminal.process(text.as_bytes());
        assert!(!terminal.screen().hide_cursor(), "the cursor stayed hidden:\n{text}");
        assert!(!terminal.screen().bracketed_paste(), "pastes stayed between marks:\n{text}");
        self.child.wait().unwrap();
        text
    }
}

/// A test that is through with a part does not leave it behind.
impl Drop for Session {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.pid().map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[test]
fn the_right_word_starts_and_three_wrong_ones_leave() {
    let Some(mut session) = Session::start("confirm") else { return };
    session.wait_for("environment:");
    session.type_in("producton\n");
    session.wait_for("`producton` is not the environment");
    session.type_in("prodx\u{7f}uction\n");
    session.wait_for("RESULT");
    assert!(session.end().contains("RESULT Given(true)"));

    let Some(mut session) = Session::start("confirm") else { return };
    session.wait_for("environment:");
    for word in ["staging", "y", "yes"] {
        session.type_in(&format!("{word}\n"));
    }
    session.wait_for("RESULT");
    assert!(session.end().contains("RESULT Given(false)"));
}

#[test]
fn enter_alone_is_no_answer() {
    let Some(mut session) = Session::start("confirm") else { return };
    session.wait_for("environment:");
    session.type_in("\n\n\n\n\n\n\n\n\n\n");
    session.type_in("production\n");
    session.wait_for("RESULT");
    assert!(session.end().contains("RESULT Given(true)"));
}

#[test]
fn ctrl_c_at_a_prompt_leaves_the_terminal_as_it_was() {
    let Some(mut session) = Session::start("confirm") else { return };
    session.wait_for("environment:");
    session.type_in("prod\u{3}");
    session.wait_for("RESULT");
    assert!(session.end().contains("RESULT Given(false)"));
}

#[test]
fn a_panic_leaves_the_terminal_as_it_was() {
    let Some(session) = Session::start("panic") else { return };
    session.wait_for("RC=");
    assert!(session.end().contains("RC=101"));
}

/// What was pasted before there was a question approves nothing, and at the deadline nobody was there.
#[test]
fn typed_before_the_prompt_counts_for_nothing_and_the_deadline_ends_it() {
    let Some(mut session) = Session::start("late") else { return };
    session.wait_for("READY");
    session.type_in(&"50\n".repeat(20));
    session.wait_for("Type 50 to approve");
    session.wait_for("RESULT");
    assert!(session.end().contains("RESULT nobody there"));
}

#[test]
fn the_percentage_approves_and_x_refuses() {
    for (typed, result) in [("40\n50\n", "granted by engineer@example.com prompt"), ("x\n", "denied by engineer")] {
        let Some(mut session) = Session::start("approve") else { return };
        session.wait_for("Type 50 to approve");
        session.type_in(typed);
        session.wait_for("RESULT");
        let text = session.end();
        assert!(text.contains(&format!("RESULT {result}")), "{text}");
        assert!(text.contains("ssh-keygen -Y sign -n bgctl-approve-v1 -f KEY"), "{text}");
        assert!(text.contains("at expiry  roll back"), "{text}");
    }
}

#[test]
fn whoever_runs_it_cannot_approve_it_and_is_told_who_can() {
    let Some(mut session) = Session::start("not-mine") else { return };
    session.wait_for("you cannot approve it");
    session.type_in("50\n");
    session.wait_for("[r] roll back now");
    session.wait_for("RESULT");
    let text = session.end();
    // The keys went to the commands of the run, not into an answer.
    assert!(text.contains("RESULT command Streamed('5')"), "{text}");
    assert!(text.contains("rm-one@example.com"), "{text}");
}

#[test]
fn keys_signals_and_the_folder_are_the_operators_wishes() {
    let Some(mut session) = Session::start("operator") else { return };
    session.wait_for("READY");
    session.type_in("s");
    session.wait_for("STATUS");
    session.type_in("?");
    session.wait_for("keys: s where users are");
    session.type_in("\u{1a}");
    session.wait_for("not suspended");
    session.type_in("r");
    session.wait_for("Roll back now? y / Enter goes back, any other key goes on (5 s)");
    session.type_in("y");
    session.wait_for("COMMAND 0 RollBack");
    session.type_in("r");
    session.wait_times("(5 s)", 2);
    session.type_in("\n");
    session.wait_for("COMMAND 1 RollBack");
    session.type_in("\u{3}");
    session.wait_for("COMMAND 2 Interrupt");
    session.type_in("\u{3}");
    session.wait_for("COMMAND 3 Leave");
    session.type_in("\u{1c}");
    session.wait_for("COMMAND 4 Leave");
    session.wait_for("COMMAND 5 RollBack");
    let text = session.end();
    assert!(text.contains("from elsewhere"), "{text}");
    // A person's key is a person's word.
    let by = r#"by: Actor { name: "engineer", via: "key" }, reason: "the r key, then "#;
    assert!(text.contains(&format!("{by}y\"")) && text.contains(&format!("{by}Enter\"")), "{text}");
}

#[test]
fn r16_the_r_key_alone_does_nothing_and_nor_does_another_key_after_it() {
    let Some(mut session) = Session::start("operator") else { return };
    session.wait_for("READY");
    session.type_in("r");
    session.wait_for("(5 s)");
    // It counts down, and says at its end that nothing was done.
    session.wait_for("(1 s)");
    session.wait_for("not rolled back: no answer in 5 s");
    session.type_in("y");
    session.rest();
    session.type_in("r");
    session.wait_times("(5 s)", 2);
    session.type_in("n");
    session.wait_for("not rolled back: another key");
    assert!(!session.text().contains("COMMAND"), "{}", session.text());
}

#[test]
fn r16_a_terminal_that_goes_away_answers_no() {
    let Some(mut session) = Session::start("operator") else { return };
    session.wait_for("READY");
    session.type_in("r");
    session.wait_for("(5 s)");
    session.hang_up();
    session.wait_for("not rolled back: the terminal is gone");
    assert!(!session.text().contains("COMMAND"), "{}", session.text());
}

#[test]
fn r16_a_burst_does_not_answer_the_question_after_ctrl_c() {
    let Some(mut session) = Session::start("interrupted") else { return };
    session.wait_for("[r] roll back (in 60s)");
    session.type_in("rrrr");
    session.wait_for("rrrr_");
    session.type_in("\u{15}");
    session.rest();
    session.type_in("h");
    session.wait_for("RESULT");
    assert!(session.end().contains("RESULT Given((Hold"));
}

#[test]
fn r16_a_paste_never_goes_back() {
    let Some(mut session) = Session::start("operator") else { return };
    session.wait_for("READY");
    let marks = |text: &str| format!("\u{1b}[200~{text}\u{1b}[201~");
    session.type_in(&marks("r"));
    session.wait_for("what was pasted is no key here");
    // Of a terminal that does not mark what is pasted.
    session.type_in("for r in y; do\n");
    session.rest();
    session.type_in("r");
    session.wait_for("(5 s)");
    session.type_in(&marks("y\n"));
    session.wait_for("not rolled back: pasted text does not count");
    session.type_in("r");
    session.wait_times("(5 s)", 2);
    session.type_in("yes, all of them\n");
    session.wait_for("not rolled back: many keys at once do not count");
    assert!(!session.text().contains("COMMAND"), "{}", session.text());
}

#[test]
fn r16_what_is_pasted_into_a_question_is_no_answer() {
    let Some(mut session) = Session::start("confirm") else { return };
    session.wait_for("environment:");
    session.type_in("\u{1b}[200~production\n\u{1b}[201~");
    session.wait_for("pasted text does not count");
    session.type_in("\n");
    assert!(!session.text().contains("RESULT"), "{}", session.text());
    session.type_in("production\n");
    session.wait_for("RESULT");
    assert!(session.end().contains("RESULT Given(true)"));
}

#[test]
fn r17_keys_while_going_back_say_what_it_does_and_change_nothing() {
    let Some(mut session) = Session::start("going-back") else { return };
    session.wait_for("READY");
    for (key, name) in [("\u{3}", "Ctrl-C"), ("\u{3}", "Ctrl-C"), ("\u{1c}", "Ctrl-\\"), ("r", "r")] {
        let line = format!(
            "{name}: going back already, and it goes on. back-to-blue: shift web to BLUE 100 GREEN 0, throttled"
        );
        let before = session.text().matches(&line).count();
        session.type_in(key);
        session.wait_times(&line, before + 1);
    }
    assert!(!session.text().contains("COMMAND"), "{}", session.text());
}

#[test]
fn r20_a_question_with_a_deadline_counts_down() {
    let Some(mut session) = Session::start("interrupted") else { return };
    session.wait_for("[r] roll back (in 60s)");
    session.wait_for("[r] roll back (in 58s)");
    session.type_in("h");
    session.wait_for("RESULT");
    let text = session.end();
    // What is asked is written once; only the line with the time is drawn anew.
    assert_eq!(text.matches("interrupted; users:").count(), 2, "once on the screen, once in the evidence:\n{text}");
}

#[test]
fn r21_ctrl_backslash_at_a_question_leaves_the_terminal_as_it_was() {
    let Some(mut session) = Session::start("confirm") else { return };
    session.wait_for("environment:");
    session.type_in("prod\u{1c}");
    session.wait_for("RESULT");
    assert!(session.end().contains("RESULT Given(false)"));
}

#[test]
fn r22_in_a_job_every_signal_that_ends_it_sends_users_back() {
    let Some(mut session) = Session::start("job") else { return };
    session.wait_for("READY");
    session.type_in("\u{1c}");
    session.wait_for(r#"COMMAND 0 RollBack { by: Actor { name: "the system", via: "signal" }, reason: "SIGQUIT" }"#);
    session.hang_up();
    session.wait_for(r#"COMMAND 1 RollBack { by: Actor { name: "the system", via: "signal" }, reason: "SIGHUP" }"#);
    session.end();
}

/// A closed terminal is no answer: whoever may sign still can, until the time is over.
#[test]
fn r22_a_terminal_that_is_gone_does_not_end_an_approval() {
    let Some(session) = Session::start("hung-up") else { return };
    session.wait_for("RESULT");
    assert!(session.end().contains("RESULT still waits for a signature"));
}

/// A line that is longer than the terminal is wide is still one line.
#[test]
fn t03_typing_past_the_width_prints_the_line_once() {
    let Some(mut session) = Session::start("confirm") else { return };
    session.wait_for("environment:");
    session.type_in(&"x".repeat(150));
    session.wait_for(&format!("{}_", "x".repeat(90)));
    let size = |n: u16| std::num::NonZeroU16::new(n).unwrap();
    let mut terminal = vt100::Parser::new(size(40), size(100), 0);
    terminal.process(session.text().as_bytes());
    let lines = terminal.screen().contents().lines().filter(|line| line.contains("xxx")).count();
    assert_eq!(lines, 1, "{}", terminal.screen().contents());
}
