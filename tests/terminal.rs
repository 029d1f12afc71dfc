//! Prompts on a real terminal: what is typed, what counts, and that the terminal is left as it was found.
//!
//! Each test runs a part of this very binary under `script`, which gives it a pseudo-terminal, between two `stty -g`.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bgctl::clock::{Clock, SystemClock};
use bgctl::people::{
    Answer, Approve, Board, Control, Decision, Inbox, Operator, PagedThrough, Pager, People, Subject, Terminal,
    confirm, tty::Keyboard,
};
use bgctl::plan::{ApprovalRule, AtExpiry, Lane, StepRef};
use bgctl::probes::{Request, Response, Web, WebError};
use bgctl::processes::LiveProcesses;
use bgctl::run::{Actor, Evidence};
use bgctl::secret::Secrets;

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
        processes: Rc::new(LiveProcesses::new(clock.clone())),
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
            "operator" => {
                let actor = Actor { name: "engineer".into(), via: "prompt".into() };
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().to_path_buf();
                let status = || say("STATUS");
                let operator =
                    Operator::new(Some(keyboard), clock, path.clone(), actor.clone(), board, status).unwrap();
                say("READY");
                for n in 0..4 {
                    say(&format!("COMMAND {n} {:?}", operator.next().await));
                }
                bgctl::people::wish_rollback(&path, &actor, "from elsewhere", false).unwrap();
                say(&format!("COMMAND 4 {:?}", operator.next().await));
                assert!(!bgctl::people::wish_is_open(&path));
            }
            "panic" => {
                say("READY");
                panic!("on purpose");
            }
            other => panic!("no part {other}"),
        }
    });
}

async fn approve(keyboard: Rc<Keyboard>, board: Board, clock: Rc<dyn Clock>, seconds: i64, own_run: bool) -> String {
    let folder = tempfile::tempdir().unwrap();
    let me = "engineer@example.com";
    let verify = |_: &bgctl::people::Signed<'_>| Err("no signatures in this test".to_string());
    let terminal = Terminal {
        inbox: Inbox::new(folder.path().to_path_buf(), Rc::new(verify), Vec::new()),
        pager: nobody_to_page(&clock),
        actor: Actor { name: me.into(), via: "prompt".into() },
        keyboard: keyboard.clone(),
        board,
        clock: clock.clone(),
    };
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
        key = keyboard.command() => format!("command {key}"),
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
            "trap : INT; stty cols 100 rows 40; stty -g > {dir}/before; {exe} --exact the_part_on_the_terminal --nocapture; \
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
    fn wait_for(&self, wanted: &str) {
        let until = Instant::now() + Duration::from_secs(30);
        while !self.text().contains(wanted) {
            assert!(Instant::now() < until, "`{wanted}` never came:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn type_in(&mut self, text: &str) {
        self.stdin.write_all(text.as_bytes()).unwrap();
        self.stdin.flush().unwrap();
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
        self.child.wait().unwrap();
        text
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
    assert!(text.contains("RESULT command 5"), "{text}");
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
    session.wait_for("not stopped");
    session.type_in("r");
    session.wait_for("COMMAND 0 RollBack");
    session.type_in("\u{3}");
    session.wait_for("COMMAND 1 Interrupt");
    session.type_in("\u{3}");
    session.wait_for("COMMAND 2 Leave");
    session.type_in("r");
    session.wait_for("COMMAND 4 RollBack");
    let text = session.end();
    assert!(text.contains("from elsewhere"), "{text}");
}
