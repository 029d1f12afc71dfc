//! Colour, ASCII and interactivity: decided once, from flags, environment and terminals, and handed on.

use std::collections::BTreeMap;

use crate::report::Ink;
use crate::report::ci::{KINDS, Kind};

/// `--color`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum When {
    Auto,
    Always,
    Never,
}

/// `--output`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    // For people: live on a terminal, plain lines elsewhere.
    #[default]
    Human,
    // For people, never redrawn.
    Plain,
    // One JSON document on stdout.
    Json,
    // One JSON object an event on stdout.
    Jsonl,
}

/// Which of the standard streams are terminals.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terminals {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
}

/// What the flags said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    pub color: Option<When>,
    pub ascii: bool,
    pub no_input: bool,
    pub output: Output,
}

/// How to talk, for a whole process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    pub out: Ink,
    pub err: Ink,
    /// Somebody can be asked.
    pub interactive: bool,
    /// stderr is redrawn.
    pub live: bool,
    /// The log viewer that reads marks of its own, if this is for one.
    pub viewer: Option<&'static Kind>,
    /// The name of the CI system, if this runs in one.
    pub ci: Option<&'static str>,
}

type Env = BTreeMap<String, String>;

fn set<'a>(env: &'a Env, name: &str) -> Option<&'a str> {
    env.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

fn on(env: &Env, name: &str) -> bool {
    set(env, name).is_some_and(|value| !matches!(value, "0" | "false" | "no"))
}

/// The CI system this runs in.
pub fn ci(env: &Env) -> Option<&'static str> {
    const OTHERS: &[(&str, &str)] = &[
        ("BUILDKITE", "buildkite"),
        ("CIRCLECI", "circleci"),
        ("JENKINS_URL", "jenkins"),
        ("TF_BUILD", "azure"),
        ("CI", "ci"),
        ("BUILD_NUMBER", "ci"),
        ("RUN_ID", "ci"),
    ];
    let mut known = KINDS.iter().map(|kind| (kind.variable, kind.name)).chain(OTHERS.iter().copied());
    known.find(|(variable, _)| on(env, variable)).map(|(_, ci)| ci)
}

impl Style {
    pub fn decide(wanted: Wanted, env: &Env, terminals: Terminals) -> Self {
        let ci = ci(env);
        let viewer = KINDS.iter().find(|kind| Some(kind.name) == ci);
        let ascii = ascii(wanted.ascii, env);
        let ink = |terminal| Ink { color: color(wanted.color, env, terminal, viewer.is_some()), ascii };
        let machine = matches!(wanted.output, Output::Json | Output::Jsonl);
        let accessible = on(env, "BGCTL_ACCESSIBLE") || on(env, "ACCESSIBLE");
        let interactive =
            terminals.stdin && terminals.stderr && ci.is_none() && !wanted.no_input && !on(env, "BGCTL_NO_INPUT");
        let dumb = set(env, "TERM") == Some("dumb");
        Style {
            out: if machine { Ink { color: false, ascii: false } } else { ink(terminals.stdout) },
            err: ink(terminals.stderr),
            interactive,
            live: terminals.stderr && ci.is_none() && !dumb && !accessible && wanted.output != Output::Plain,
            viewer,
            ci,
        }
    }
}

/// One stream's colour: flag, our variable, then the variables of the community, then what the stream is. `viewer`: a log
/// viewer that shows colours although it is no terminal.
fn color(flag: Option<When>, env: &Env, terminal: bool, viewer: bool) -> bool {
    let ours = set(env, "BGCTL_COLOR").and_then(|text| clap::ValueEnum::from_str(text, true).ok());
    match flag.or(ours) {
        Some(When::Always) => return true,
        Some(When::Never) => return false,
        Some(When::Auto) | None => {}
    }
    if set(env, "NO_COLOR").is_some() {
        return false;
    }
    if on(env, "CLICOLOR_FORCE") || on(env, "FORCE_COLOR") {
        return true;
    }
    if set(env, "CLICOLOR") == Some("0") || set(env, "TERM") == Some("dumb") {
        return false;
    }
    terminal || viewer
}

fn ascii(flag: bool, env: &Env) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| set(env, name));
    let other = locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        !locale.contains("utf-8") && !locale.contains("utf8")
    });
    flag || on(env, "BGCTL_ASCII") || matches!(set(env, "TERM"), Some("linux" | "dumb")) || other
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &str) -> Env {
        pairs.split_whitespace().filter_map(|p| p.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect()
    }

    #[test]
    fn colour_follows_the_table() {
        // flag, environment, terminal, colour
        let table = [
            (None, "", true, true),
            (None, "", false, false),
            (None, "NO_COLOR=1", true, false),
            (None, "NO_COLOR=", true, true),
            (None, "NO_COLOR=1 CLICOLOR_FORCE=1", true, false),
            (None, "CLICOLOR=0", true, false),
            (None, "TERM=dumb", true, false),
            (None, "CLICOLOR_FORCE=1", false, true),
            (None, "FORCE_COLOR=1", false, true),
            (None, "CLICOLOR_FORCE=0", false, false),
            (None, "GITHUB_ACTIONS=true", false, true),
            (None, "GITHUB_ACTIONS=true NO_COLOR=1", false, false),
            (None, "CI=1", false, false),
            (None, "BGCTL_COLOR=always NO_COLOR=1", false, true),
            (Some(When::Never), "BGCTL_COLOR=always CLICOLOR_FORCE=1", true, false),
            (Some(When::Always), "NO_COLOR=1", false, true),
            (Some(When::Auto), "BGCTL_COLOR=always", false, false),
        ];
        for (flag, pairs, terminal, wanted) in table {
            let env = env(pairs);
            let terminals = Terminals { stdin: terminal, stdout: terminal, stderr: terminal };
            let style = Style::decide(Wanted { color: flag, ..Wanted::default() }, &env, terminals);
            assert_eq!(style.err.color, wanted, "{flag:?} {pairs} {terminal}");
        }
    }

    #[test]
    fn nobody_is_asked_where_nobody_is() {
        let all = Terminals { stdin: true, stdout: true, stderr: true };
        let ask = |pairs: &str, terminals, no_input| {
            let style = Style::decide(Wanted { no_input, ..Wanted::default() }, &env(pairs), terminals);
            (style.interactive, style.live)
        };
        assert_eq!(ask("", all, false), (true, true));
        assert_eq!(ask("", all, true), (false, true));
        assert_eq!(ask("", Terminals { stdin: false, ..all }, false), (false, true));
        assert_eq!(ask("", Terminals { stderr: false, ..all }, false), (false, false));
        assert_eq!(ask("", Terminals { stdout: false, ..all }, false), (true, true));
        for ci in ["CI=true", "GITHUB_ACTIONS=true", "GITLAB_CI=true", "JENKINS_URL=x", "BUILD_NUMBER=7"] {
            assert_eq!(ask(ci, all, false), (false, false), "{ci}");
        }
        assert_eq!(ask("CI=false", all, false), (true, true));
        assert_eq!(ask("ACCESSIBLE=1", all, false), (true, false));
    }

    #[test]
    fn ascii_where_the_terminal_needs_it() {
        for (pairs, wanted) in [
            ("", false),
            ("LANG=C.UTF-8", false),
            ("LANG=en_US.utf8", false),
            ("LANG=en_US.UTF-8 LC_ALL=C", true),
            ("LANG=de_DE.ISO-8859-1", true),
            ("TERM=linux LANG=C.UTF-8", true),
            ("BGCTL_ASCII=1", true),
        ] {
            assert_eq!(ascii(false, &env(pairs)), wanted, "{pairs}");
        }
        assert!(ascii(true, &Env::new()));
    }

    #[test]
    fn machines_get_no_ink_on_stdout() {
        let all = Terminals { stdin: true, stdout: true, stderr: true };
        let wanted = Wanted { output: Output::Jsonl, color: Some(When::Always), ascii: true, ..Wanted::default() };
        assert_eq!(Style::decide(wanted, &Env::new(), all).out, Ink::default());
    }
}
