//! The command line: the only code that reads argv and the environment, exits, or owns stdout and stderr.
//!
//! One file a command: an `Args` struct and a `run` function, and one line each in [`Verb`] and [`Verb::run`].

mod ack;
mod add_group;
mod answer;
mod approve;
pub mod audit;
mod card;
pub mod check;
mod completions;
mod cutover;
pub mod decide;
mod diff;
mod explain;
mod freeze;
mod gameday;
pub mod keys;
mod live;
mod lost;
mod man;
mod markdown;
mod plan;
mod reference;
mod reject;
mod resume;
mod retro;
mod rollback;
mod route;
mod runs;
mod schema;
mod schema_page;
mod show;
mod smoke;
mod status;
mod status_file;
mod unfreeze;
mod version;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::rc::Rc;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches};

use crate::diag::{Code, Refusal};
use crate::rehearsal::Rehearsals;
use crate::secret::{Known, Steers, visible};
use crate::shell::{Context, Exit, Global, leaves_no_core, refusal_json};

const EXAMPLES: &str = "\
Examples:
  bgctl cutover runbooks/quickstart.yaml --lab    a whole cutover, no account
  bgctl status                                    where users are, what runs
  bgctl rollback                                  everyone back to blue";

/// Whether a word is one of our commands.
fn is_command(word: &str) -> bool {
    use clap::CommandFactory;
    Cli::command().find_subcommand(word).is_some()
}

const GROUPS: &str = "\
Groups:
  Look     check  plan  diff  smoke  status  show  runs  retro
  Learn    explain  schema  completions  man
  Design   decide  route
  Move     prepare  cutover  resume  approve  reject
  Go back  rollback  ack  freeze  unfreeze
  Prove    audit  keys  gameday";

/// Moves live users from blue to green one reviewed step at a time, and back in one call.
#[derive(Debug, clap::Parser)]
#[command(
    name = "bgctl",
    version,
    before_help = EXAMPLES,
    after_help = format!("{GROUPS}\n\nExit codes: bgctl explain exit-codes"),
    infer_subcommands = false
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Check(check::Args),
    Plan(plan::Args),
    Diff(diff::Args),
    Prepare(add_group::Args),
    Cutover(cutover::Args),
    Resume(resume::Args),
    Rollback(rollback::Args),
    Ack(ack::Args),
    Approve(approve::Args),
    Reject(reject::Args),
    Freeze(freeze::Args),
    Unfreeze(unfreeze::Args),
    Status(status::Args),
    Smoke(smoke::Args),
    Show(show::Args),
    Retro(retro::Args),
    Runs(runs::Args),
    Route(route::Args),
    Audit(audit::Args),
    Keys(keys::Args),
    Gameday(gameday::Args),
    Decide(decide::Args),
    Schema(schema::Args),
    Completions(completions::Args),
    Man(man::Args),
    /// Explain an error code or a topic.
    Explain(explain::Args),
    /// Print the version.
    Version(version::Args),
}

impl Verb {
    fn run(&self, cx: &Context) -> Result<Exit, Refusal> {
        match self {
            Verb::Audit(args) => audit::run(args, cx),
            Verb::Keys(args) => keys::run(args, cx),
            Verb::Gameday(args) => gameday::run(args, cx),
            Verb::Check(args) => {
                let ink = cx.style.err;
                let checked = {
                    let (out, err) = (&mut cx.stdout(), &mut cx.stderr());
                    piped(check::run(args, out, err, &cx.env, &cx.known, ink.color, cx.machine()))?
                };
                if args.live && checked == Exit::Success { live::run(args, cx) } else { Ok(checked) }
            }
            Verb::Route(args) => route::run(args, cx),
            Verb::Runs(args) => runs::run(args, cx),
            Verb::Smoke(args) => smoke::run(args, cx),
            Verb::Retro(args) => retro::run(args, cx),
            Verb::Show(args) => show::run(args, cx),
            Verb::Status(args) => status::run(args, cx),
            Verb::Decide(args) => decide::run(args, cx),
            Verb::Schema(args) => piped(schema::run(args, &mut cx.stdout())),
            Verb::Completions(args) => piped(completions::run(args, &mut cx.stdout())),
            Verb::Man(args) => man::run(args, cx),
            Verb::Plan(args) => plan::run(args, cx),
            Verb::Diff(args) => diff::run(args, cx),
            Verb::Prepare(args) => add_group::run(args, cx),
            Verb::Cutover(args) => cutover::run(args, cx),
            Verb::Resume(args) => resume::run(args, cx),
            Verb::Rollback(args) => rollback::run(args, cx),
            Verb::Ack(args) => ack::run(args, cx),
            Verb::Approve(args) => approve::run(args, cx),
            Verb::Reject(args) => reject::run(args, cx),
            Verb::Freeze(args) => freeze::run(args, cx),
            Verb::Unfreeze(args) => unfreeze::run(args, cx),
            Verb::Explain(args) => explain::run(args, cx),
            Verb::Version(args) => version::run(args, cx),
        }
    }
}

/// A result whose reader went away is a result all the same.
fn piped(written: std::io::Result<Exit>) -> Result<Exit, Refusal> {
    match written {
        Ok(exit) => Ok(exit),
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(Exit::Success),
        Err(e) => Err(Refusal::new(crate::diag::Kind::Other, Code::Unwritable, "the result cannot be written")
            .cause(e.to_string())
            .next("free space or give another place, then the same command again")),
    }
}

/// The words of other tools, and ours for the same thing.
const WORDS: &[(&str, &str)] = &[
    ("apply", "cutover"),
    ("deploy", "cutover"),
    ("switch", "cutover"),
    ("promote", "cutover"),
    ("start", "cutover"),
    ("run", "cutover"),
    ("continue", "resume"),
    ("abort", "rollback"),
    ("deny", "reject"),
    ("refuse", "reject"),
    ("grant", "approve"),
    ("acknowledge", "ack"),
    ("undo", "rollback"),
    ("revert", "rollback"),
    ("validate", "check"),
    ("lint", "check"),
    ("compare", "diff"),
    ("history", "runs"),
    ("postmortem", "retro"),
    ("log", "runs"),
    ("list", "runs"),
    ("ls", "runs"),
    ("info", "show"),
    ("describe", "show"),
    ("thaw", "unfreeze"),
    ("verify", "audit verify"),
];

/// The whole process: reads argv and environment, runs the command, and turns its end into an exit code.
#[expect(clippy::disallowed_methods, reason = "argv and environment are read here and nowhere else")]
pub fn main(rehearsals: Rc<dyn Rehearsals>) -> ExitCode {
    leaves_no_core();
    let known = Known::default();
    say_panics(&known);
    let env: BTreeMap<String, String> =
        std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect();
    let argv: Vec<OsString> = std::env::args_os().collect();
    // Scripts ask this in passing: the command tree is not built for it.
    if let [_, word] = &argv[..]
        && (word == "--version" || word == "-V")
    {
        let version = concat!("bgctl ", env!("CARGO_PKG_VERSION"), "\n");
        // Nobody to tell when stdout is closed.
        let _ = std::io::Write::write_all(&mut std::io::stdout(), version.as_bytes());
        return ExitCode::SUCCESS;
    }
    if let [_, word] = &argv[..]
        && let Some(served) = word.to_str().and_then(|word| rehearsals.serve(word))
    {
        return if served { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let exit = std::panic::catch_unwind(AssertUnwindSafe(|| run(&argv, env, known, rehearsals))).unwrap_or(Exit::Bug);
    crate::people::tty::restore();
    ExitCode::from(exit.code())
}

/// From here on a crash says what a person needs, and nothing that is secret: a panic's message can hold any value.
pub fn say_panics(known: &Known) {
    let known = known.clone();
    std::panic::set_hook(Box::new(move |panic| {
        // First the terminal, then the words.
        crate::people::tty::restore();
        let message = bug(&visible(&known.mask(&panic.to_string())));
        let _ = std::io::Write::write_all(&mut std::io::stderr(), message.to_string().as_bytes());
    }));
}

fn run(argv: &[OsString], env: BTreeMap<String, String>, known: Known, rehearsals: Rc<dyn Rehearsals>) -> Exit {
    known.of_environment(&env);
    let cli = match parse(argv) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, argv, &env),
    };
    let machine = machine(argv, &env);
    let cx = match Context::of_process(&cli.global, env, known, rehearsals) {
        Ok(cx) => cx,
        Err(refusal) => {
            refuse_early(&refusal, machine);
            return refusal.kind.into();
        }
    };
    match cli.verb.run(&cx) {
        Ok(exit) => exit,
        Err(refusal) => {
            cx.refuse(&refusal);
            refusal.kind.into()
        }
    }
}

fn parse(argv: &[OsString]) -> Result<Cli, clap::Error> {
    let matches = Cli::command().try_get_matches_from(argv)?;
    Cli::from_arg_matches(&matches)
}

/// A command line that cannot be understood, or one that asked for help.
fn usage(error: &clap::Error, argv: &[OsString], env: &BTreeMap<String, String>) -> Exit {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // Nobody to tell when stdout is closed.
        let _ = error.print();
        return Exit::Success;
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        early(std::io::stderr(), &error.render().to_string());
        return Exit::Usage;
    }
    let named = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let word = named(ContextKind::InvalidSubcommand);
    let ours = word.and_then(|word| WORDS.iter().find(|(theirs, _)| *theirs == word));
    let mut refusal = match (word, ours) {
        (Some(word), Some((_, ours))) => {
            Refusal::new(crate::diag::Kind::Usage, Code::CommandLine, format!("`{word}` is called `{ours}` here"))
                .next(format!("bgctl {ours}"))
        }
        _ => {
            let text = error.render().to_string();
            let headline = text.lines().next().unwrap_or("the command line cannot be understood");
            let headline = headline.trim_start_matches("error: ").replace('\'', "`");
            let mut refusal = Refusal::new(crate::diag::Kind::Usage, Code::CommandLine, headline);
            for line in text.lines().skip(1).map(str::trim).filter(|line| !line.is_empty()) {
                let help = line.starts_with("For more information") || line.starts_with("Usage:");
                let tip = line.strip_prefix("tip: a similar subcommand exists: ");
                if let Some(near) = tip {
                    refusal = refusal.next(format!("bgctl {}", near.trim_matches('\'')));
                } else if !help {
                    refusal = refusal.cause(line.replace('\'', "`"));
                }
            }
            refusal
        }
    };
    refusal = refusal.next("bgctl --help");
    refuse_early(&refusal, machine(argv, env));
    Exit::Usage
}

/// A refusal from before there is a [`Context`].
fn refuse_early(refusal: &Refusal, machine: bool) {
    if machine {
        early(std::io::stdout(), &format!("{}\n", refusal_json(refusal)));
    }
    early(std::io::stderr(), &refusal.to_string());
}

/// Writes where no secret is known yet, and nothing is drawn.
fn early(stream: impl std::io::Write, text: &str) {
    // There is nobody else to tell when a stream is closed.
    let _ = std::io::Write::write_all(&mut Known::default().masked(stream, Steers::default()), text.as_bytes());
}

/// Whether JSON was asked for on a command line that could not be parsed.
fn machine(argv: &[OsString], env: &BTreeMap<String, String>) -> bool {
    let words: Vec<String> = argv.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let json = |text: &str| text == "json" || text == "jsonl";
    words.windows(2).any(|pair| (pair[0] == "-o" || pair[0] == "--output") && json(&pair[1]))
        || words.iter().any(|w| w.strip_prefix("--output=").or(w.strip_prefix("-o")).is_some_and(json))
        || env.get("BGCTL_OUTPUT").is_some_and(|text| json(text))
}

fn bug(panic: &str) -> Refusal {
    Refusal::new(crate::diag::Kind::Bug, Code::Bug, "bgctl met an internal error")
        .cause(panic.replace('\n', " "))
        .users("not read again; what was recorded before is on the disk")
        .next("bgctl status                    where users are, read from the live systems")
        .next("bgctl rollback                  everyone back to blue")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_is_in_a_group() {
        let groups: Vec<&str> = GROUPS.split_whitespace().collect();
        for command in Cli::command().get_subcommands().map(clap::Command::get_name).filter(|name| *name != "version") {
            assert!(groups.contains(&command), "{command}");
        }
    }

    #[test]
    fn words_of_other_tools_are_none_of_ours() {
        let ours: Vec<String> = Cli::command().get_subcommands().map(|c| c.get_name().to_string()).collect();
        for (theirs, _) in WORDS {
            assert!(!ours.iter().any(|name| name == theirs), "{theirs}");
        }
    }

    #[test]
    fn json_is_seen_in_a_broken_command_line() {
        let asks = |line: &str| {
            let argv: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            machine(&argv, &BTreeMap::new())
        };
        assert!(asks("bgctl chekc -o json"));
        assert!(asks("bgctl -ojsonl chekc"));
        assert!(asks("bgctl --output=json"));
        assert!(!asks("bgctl chekc x.json"));
        assert!(!asks("bgctl -o human"));
    }
}
