//! The last block of a run: where the users are, why, how both stacks are, what to do next, for each way a run can come to rest.
//!
//! What it says of users and of stacks is made of what was found at the very end ([`Findings`]), never of the outcome: where
//! the two contradict each other, that is said. Without findings (a run of then, looked at again) it says what was recorded,
//! with its age.

use jiff::Timestamp;

use super::Story;
use super::findings::Findings;
use super::ink::spoken_seconds;
use super::words::shout;
use crate::plan::{Color, Lane, Split};
use crate::run::RunOutcome;
use crate::users::Side;

/// What only the command line knows when a run comes to rest.
#[derive(Clone, Debug)]
pub struct Rest {
    pub outcome: RunOutcome,
    /// The process's exit code, for readers of CI logs.
    pub exit: u8,
    /// What was read and asked after the last record, if anything was.
    pub found: Option<Findings>,
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
    let ending = Ending { story, rest, contradicted: contradicted(story, rest) };
    let users = ending.users();
    let mut block = Block(vec![String::new(), ending.headline()]);
    block.row("users", &users);
    if story.late {
        let line = "a write of this run whose answer was lost may still land; `bgctl status` shows whether users moved";
        block.row("late", line);
    }
    if let Some(why) = story.why.as_deref().filter(|_| rest.outcome != RunOutcome::Completed) {
        block.row("why", why);
        if let Some((RunOutcome::Halted, line)) = &story.outcome
            && !why.contains(line.as_str())
            && !line.contains(why)
        {
            block.row("halted by", line);
        }
    }
    if let Some((delivered, line)) = &story.paged {
        block.row("paged", &if *delivered { line.clone() } else { format!("NOBODY WAS REACHED: {line}") });
        story.acknowledged.iter().for_each(|line| block.row("", line));
    }
    ending.stacks(&mut block);
    ending.next(&mut block);
    if let Some(folder) = &rest.folder {
        block.row("record", folder);
    }
    block.0.extend(rest.tail.iter().cloned());
    Closing { outcome: rest.outcome, exit: rest.exit, users, lines: block.0 }
}

struct Block(Vec<String>);

impl Block {
    fn row(&mut self, name: &str, text: &str) {
        self.0.push(format!("  {name:<10} {text}"));
    }

    fn natives(&mut self, commands: &[String]) {
        self.0.extend(commands.iter().map(|line| format!("     {line}")));
    }
}

/// A route was read where this end of a run does not leave it. Nothing is expected of an end that leaves users anywhere.
fn contradicted(story: &Story, rest: &Rest) -> bool {
    let plan = &story.about.plan;
    let left = |route: &str| -> Option<Split> {
        let lane = match rest.outcome {
            RunOutcome::Completed => Lane::Forward,
            RunOutcome::RolledBack => Lane::Rollback,
            RunOutcome::Stopped => return plan.routes.get(route).map(|planned| planned.before),
            _ => return None,
        };
        let mut moves = plan.lane(lane).iter().rev().filter_map(|step| step.moves.as_ref());
        let last = moves.find(|change| change.route == route).map(|change| change.after);
        last.or_else(|| plan.routes.get(route).map(|planned| planned.before))
    };
    let read = rest.found.iter().flat_map(|found| &found.routes);
    read.filter_map(|(name, place)| Some((left(name)?, place.split.clone().ok()?))).any(|(left, read)| left != read)
}

struct Ending<'a> {
    story: &'a Story,
    rest: &'a Rest,
    contradicted: bool,
}

impl Ending<'_> {
    /// `COMPLETED. All users are on GREEN v1.4.2.`
    fn headline(&self) -> String {
        let (story, outcome, side) = (self.story, self.rest.outcome, self.side());
        let mut word = shout(outcome);
        if let (RunOutcome::Completed, Some(began), Some(last)) = (outcome, story.began, story.last) {
            word += &format!(" in {}", spoken_seconds((last.as_second() - began.as_second()).unsigned_abs()));
        }
        if self.contradicted {
            return format!("{word}, but the reading contradicts it. {side}");
        }
        match outcome {
            RunOutcome::RolledBack if self.rest.found.as_ref().is_some_and(Findings::known) && !story.late => {
                format!("{word}. {side} Nobody needs to act now.")
            }
            RunOutcome::Completed | RunOutcome::RolledBack | RunOutcome::Stopped => format!("{word}. {side}"),
            RunOutcome::NoChanges => format!("{word}. {side} Nothing was moved."),
            RunOutcome::Refused => format!("{word} before anything was touched. {side}"),
            RunOutcome::Holding => format!("{word}. {side} Nobody is shifting and nobody is watching."),
            RunOutcome::Halted => format!("{word}. A person must act. bgctl will not move traffic again by itself."),
            RunOutcome::Waiting => format!("{word} for an approval. {side} Nothing runs while waiting."),
        }
    }

    /// Where users are as a sentence of its own.
    fn side(&self) -> String {
        let story = self.story;
        if story.about.plan.moves_nobody() {
            return "The runbook has no route, so no users were moved.".into();
        }
        let Some(found) = &self.rest.found else {
            return match story.only() {
                Some(stack) => format!("All users were on {} when last read.", story.version(stack)),
                None if story.users.is_empty() => "Where users were was never read.".into(),
                None => format!("Users were split when last read: {}.", story.users_line()),
            };
        };
        match found.only() {
            Some(stack) if !found.follow.is_zero() => {
                let within = spoken_seconds(found.follow.as_secs());
                format!("All users are sent to {}; some follow within {within}.", story.version(stack))
            }
            Some(stack) => format!("All users are on {}.", story.version(stack)),
            None if found.nobody_has_a_share() => {
                format!("Not every route gives its users to a side: {}.", found.line(&story.about.plan))
            }
            None if found.known() => format!("Users are split: {}.", found.line(&story.about.plan)),
            None => "Where all users are is not known.".into(),
        }
    }

    fn users(&self) -> String {
        let (story, rest) = (self.story, self.rest);
        if story.about.plan.moves_nobody() {
            return "not read: the runbook has no route".into();
        }
        if let Some(found) = &rest.found {
            let asked = if found.known() { "read just now" } else { "as far as it could be read just now" };
            return format!("{}, {asked}", found.line(&story.about.plan));
        }
        match story.read_at() {
            Some(at) => {
                let age = (rest.now.as_second() - at.as_second()).unsigned_abs();
                format!("{}, last read {} ago", story.users_line(), spoken_seconds(age))
            }
            None => "not read".into(),
        }
    }

    fn asked(&self, stack: Color) -> Side {
        self.rest.found.as_ref().map_or(Side::NotAsked, |found| found.side(stack))
    }

    /// How the stacks are that this end is about: the one that was left, or both.
    fn stacks(&self, block: &mut Block) {
        if self.story.about.plan.moves_nobody() {
            return;
        }
        let left = match self.rest.outcome {
            RunOutcome::Completed => Color::Blue,
            RunOutcome::RolledBack => Color::Green,
            RunOutcome::Halted | RunOutcome::Holding => {
                let both =
                    Color::BOTH.map(|stack| format!("{} {}", self.story.version(stack), how(&self.asked(stack))));
                block.row("stacks", &both.join("; "));
                if self.story.closed {
                    block.row("", "the schema stands against going back, so mend GREEN where it stands");
                }
                return;
            }
            _ => return,
        };
        block.row("kept", &self.kept(left));
    }

    /// The side that users have left: only one that was just asked and is well is there for anybody.
    fn kept(&self, stack: Color) -> String {
        let (name, asked) = (self.story.version(stack), self.asked(stack));
        let empty = |found: &Findings| found.known() && !found.has_users(stack);
        if !self.rest.found.as_ref().is_some_and(empty) {
            return format!("{name} {}", how(&asked));
        }
        match asked {
            Side::Well(_) if stack == Color::Blue => format!("{name} runs without users, ready to take them back"),
            Side::Well(_) => format!("{name} runs without users, for whoever looks for the cause"),
            asked => format!("{name} has no users; it {}", how(&asked)),
        }
    }

    /// Commands, best first, and what each is good for; then those without bgctl.
    fn next(&self, block: &mut Block) {
        let (story, rest) = (self.story, self.rest);
        let rests = matches!(rest.outcome, RunOutcome::Halted | RunOutcome::Holding);
        let mut name = "next";
        let healthy = rest.found.as_ref().filter(|_| rests).and_then(Findings::green_is_the_healthy_side);
        if let Some((green, blue)) = &healthy {
            let said = format!("GREEN is the healthy side ({green} healthy, BLUE {blue}, asked just now)");
            let found = rest.found.as_ref().filter(|found| !found.to_green.is_empty());
            match found.filter(|found| found.only() != Some(Color::Green)) {
                Some(found) => {
                    block.row(name, &format!("{said}; everyone there, without bgctl:"));
                    block.natives(&found.to_green);
                }
                None => {
                    let mend = match self.story.about.plan.readied() {
                        Some(ready) => format!("a rollback runs `{}` first, and then asks BLUE again", ready.id),
                        None => "mend BLUE before anybody goes back to it".into(),
                    };
                    block.row(name, &format!("{said}; {mend}"));
                }
            }
            name = "";
        }
        let commands = self.commands();
        let widest = commands.iter().map(|(command, _)| command.chars().count()).max().unwrap_or(0);
        for (command, what) in &commands {
            block.row(name, &format!("{command:<widest$}  {what}"));
            name = "";
        }
        if (rests || self.contradicted) && !rest.native.is_empty() {
            block.0.push(match (&healthy, story.closed) {
                (None, false) => "  or, without bgctl:".into(),
                (None, true) => "  or back to BLUE without bgctl, which does not ask the schema:".into(),
                (Some(_), _) => "  or back to BLUE without bgctl, which does not ask whether BLUE is well:".into(),
            });
            block.natives(&rest.native);
        }
    }

    fn commands(&self) -> Vec<(String, String)> {
        let mut commands = self.all_commands();
        if self.story.about.plan.moves_nobody() {
            // There is nobody to bring back.
            commands.retain(|(command, _)| !command.starts_with("bgctl rollback"));
        }
        commands
    }

    fn all_commands(&self) -> Vec<(String, String)> {
        let run = self.story.about.short();
        let plan = |what: &str| (self.story.about.plan.command("plan"), what.to_string());
        let row = |command: String, what: &str| (command, what.to_string());
        let back = || (format!("bgctl rollback {run}"), format!("everyone back to BLUE{}", self.condition()));
        let show = || row(format!("bgctl show {run}"), "what happened, step by step");
        if self.contradicted {
            return vec![row("bgctl status".into(), "where users are now"), back(), show()];
        }
        match self.rest.outcome {
            RunOutcome::Completed => vec![row(format!("bgctl audit verify {run}"), "check the signed log"), back()],
            RunOutcome::NoChanges => vec![row("bgctl status".into(), "what is live")],
            RunOutcome::RolledBack | RunOutcome::Stopped => {
                vec![show(), plan("a new plan, once it is mended")]
            }
            RunOutcome::Refused => vec![plan("once the cause is mended")],
            RunOutcome::Holding => {
                vec![back(), row(format!("bgctl resume {run}"), "go on; reads everything again first")]
            }
            RunOutcome::Halted if self.story.closed => vec![
                show(),
                row(
                    format!("bgctl rollback {run} --override schema --reason \"…\""),
                    "back all the same; a second person has to agree",
                ),
            ],
            RunOutcome::Halted => vec![back(), show()],
            RunOutcome::Waiting => vec![row(format!("bgctl resume {run}"), "once the approval is signed")],
        }
    }

    /// What going back to blue hangs on, as far as blue was asked.
    fn condition(&self) -> String {
        let ready = self.story.about.plan.readied();
        match (self.asked(Color::Blue), ready) {
            (Side::Well(_), _) => String::new(),
            (Side::Ailing(said), Some(ready)) => {
                format!(", `{}` first: BLUE is not well, {said} when asked just now, and is asked again then", ready.id)
            }
            (Side::Ailing(said), None) => {
                format!(", refused while BLUE is not well: {said} when asked just now")
            }
            (Side::Unknown(_) | Side::NotAsked, _) => ", if BLUE is well".into(),
        }
    }
}

/// `was healthy when asked just now: 2 of 2`.
fn how(side: &Side) -> String {
    match side {
        Side::NotAsked => "was not asked".into(),
        Side::Well(said) => format!("was healthy when asked just now: {said}"),
        Side::Ailing(said) => format!("was not healthy when asked just now: {said}"),
        Side::Unknown(why) => format!("could not be asked just now: {why}"),
    }
}
