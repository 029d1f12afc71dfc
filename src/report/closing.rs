//! The last block of a run: where the users are, why, what was kept, what to do next, for each way a run can come to rest.

use jiff::Timestamp;

use super::Story;
use super::ink::spoken_seconds;
use super::words::shout;
use crate::run::RunOutcome;

/// What only the command line knows when a run comes to rest.
#[derive(Clone, Debug)]
pub struct Rest {
    pub outcome: RunOutcome,
    /// The process's exit code, for readers of CI logs.
    pub exit: u8,
    /// Where the users are, if it was read again after the last record.
    pub users: Option<String>,
    pub now: Timestamp,
    /// The commands that send everybody back without bgctl.
    pub native: Vec<String>,
    /// Folder of the run's files.
    pub folder: Option<String>,
    /// Lines that stand last of all: what the lab counted.
    pub tail: Vec<String>,
}

/// The closing of a run, as it is handed to every reporter.
#[derive(Clone, Debug)]
pub struct Closing {
    pub outcome: RunOutcome,
    pub exit: u8,
    pub users: String,
    pub lines: Vec<String>,
}

/// Puts the last block together.
pub fn close(story: &Story, rest: &Rest) -> Closing {
    let mut block = Block(vec![String::new(), headline(story, rest)]);
    block.row("users", &users(story, rest));
    if let Some(why) = story.why.as_ref().filter(|_| rest.outcome != RunOutcome::Completed) {
        block.row("why", why);
        if let Some((RunOutcome::Halted, line)) = &story.outcome
            && !why.contains(line.as_str())
        {
            block.row("halted by", line);
        }
    }
    if let Some((delivered, line)) = &story.paged {
        block.row("paged", &if *delivered { line.clone() } else { format!("NOBODY WAS REACHED: {line}") });
        story.acknowledged.iter().for_each(|line| block.row("", line));
    }
    if let Some(kept) = kept(story, rest.outcome) {
        block.row("kept", &kept);
    }
    let commands = next(story, rest.outcome);
    let widest = commands.iter().map(|(command, _)| command.chars().count()).max().unwrap_or(0);
    for (n, (command, what)) in commands.iter().enumerate() {
        block.row(if n == 0 { "next" } else { "" }, &format!("{command:<widest$}  {what}"));
    }
    if matches!(rest.outcome, RunOutcome::Halted | RunOutcome::Holding) && !rest.native.is_empty() {
        block.0.push("  or, without bgctl:".into());
        block.0.extend(rest.native.iter().map(|line| format!("     {line}")));
    }
    if let Some(folder) = &rest.folder {
        block.row("record", folder);
    }
    block.0.extend(rest.tail.iter().cloned());
    Closing { outcome: rest.outcome, exit: rest.exit, users: users(story, rest), lines: block.0 }
}

struct Block(Vec<String>);

impl Block {
    fn row(&mut self, name: &str, text: &str) {
        self.0.push(format!("  {name:<10} {text}"));
    }
}

/// `COMPLETED. All users are on GREEN v1.4.2.`
fn headline(story: &Story, rest: &Rest) -> String {
    let side = match story.only() {
        Some(stack) => format!("All users are on {}.", story.version(stack)),
        None => format!("Users are split: {}.", story.users_line()),
    };
    let word = shout(rest.outcome);
    match rest.outcome {
        RunOutcome::Completed => {
            let took = match (story.began, story.last) {
                (Some(began), Some(last)) => {
                    format!(" in {}", spoken_seconds((last.as_second() - began.as_second()).unsigned_abs()))
                }
                _ => String::new(),
            };
            format!("{word}{took}. {side}")
        }
        RunOutcome::NoChanges => format!("NO CHANGES. {side} There was nothing to do."),
        RunOutcome::RolledBack => format!("{word}. {side} Nobody needs to act now."),
        RunOutcome::Stopped => format!("{word}. {side}"),
        RunOutcome::Refused => format!("{word} before anything was touched. {side}"),
        RunOutcome::Holding => format!("{word}. {side} Nobody is shifting and nobody is watching."),
        RunOutcome::Halted => format!("{word}. A person must act. bgctl will not move traffic again by itself."),
        RunOutcome::Waiting => format!("{word} for an approval. {side} Nothing runs while waiting."),
    }
}

fn users(story: &Story, rest: &Rest) -> String {
    if let Some(users) = &rest.users {
        return format!("{users}, read just now");
    }
    let age = match story.read_at() {
        Some(at) => format!("last read {} ago", spoken_seconds((rest.now.as_second() - at.as_second()).unsigned_abs())),
        None => "as the plan saw it, not read since".into(),
    };
    format!("{}, {age}", story.users_line())
}

fn kept(story: &Story, outcome: RunOutcome) -> Option<String> {
    let p = &story.about.plan;
    match outcome {
        RunOutcome::Completed => Some(format!("BLUE {} runs without users, ready to take them back", p.blue.version)),
        RunOutcome::RolledBack => {
            Some(format!("GREEN {} runs without users, for whoever looks for the cause", p.green.version))
        }
        RunOutcome::Halted | RunOutcome::Holding if story.closed => Some(
            "both stacks run as they are; the schema stands against going back, so mend GREEN where it stands".into(),
        ),
        RunOutcome::Halted | RunOutcome::Holding => {
            Some("both stacks run as they are; `bgctl rollback` goes back from here".into())
        }
        _ => None,
    }
}

/// Commands, best first, and what each is good for.
fn next(story: &Story, outcome: RunOutcome) -> Vec<(String, &'static str)> {
    let run = story.about.short();
    let runbook = &story.about.plan.runbook;
    match outcome {
        RunOutcome::Completed => vec![
            (format!("bgctl audit verify {run}"), "check the signed log"),
            (format!("bgctl rollback {run}"), "everyone back to BLUE"),
        ],
        RunOutcome::NoChanges => vec![("bgctl status".into(), "what is live")],
        RunOutcome::RolledBack | RunOutcome::Stopped => vec![
            (format!("bgctl show {run}"), "what happened, step by step"),
            (format!("bgctl plan {runbook}"), "a new plan, once it is mended"),
        ],
        RunOutcome::Refused => vec![(format!("bgctl plan {runbook}"), "once the cause is mended")],
        RunOutcome::Holding => vec![
            (format!("bgctl rollback {run}"), "everyone back to BLUE, one call a route"),
            (format!("bgctl resume {run}"), "go on; reads everything again first"),
        ],
        RunOutcome::Halted if story.closed => vec![
            (format!("bgctl show {run}"), "what happened, step by step"),
            (
                format!("bgctl rollback {run} --override schema --reason \"…\""),
                "back all the same; a second person has to agree",
            ),
        ],
        RunOutcome::Halted => vec![
            (format!("bgctl rollback {run}"), "everyone back to BLUE, if BLUE is well"),
            (format!("bgctl show {run}"), "what happened, step by step"),
        ],
        RunOutcome::Waiting => vec![(format!("bgctl resume {run}"), "once the approval is signed")],
    }
}
