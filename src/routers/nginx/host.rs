//! A host of nginx, and how something is done there: one script over one pipe, here or behind a prefix such as `ssh web-1 --`.
//!
//! The script comes on the standard input of `sh -s`, so no prefix ever has to carry a quoted word. What it prints comes in
//! sections, each behind a line that nobody else knows.

use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use super::settings::Settings;
use crate::child::{Children, Command, Exit, Stream, quoted};
use crate::clock::SystemClock;
use crate::routers::{Access, RouterError, Trouble};

const SCRIPT: &str = include_str!("host.sh");
/// The most that is taken from a host.
const MOST: usize = 16 * 1024 * 1024;

/// How long a look may take: a rollback waits for nobody longer.
pub const LOOK: Duration = Duration::from_secs(10);
/// How long a write may take. The script gives up by itself before that, so nothing of it lands later.
pub const WRITE: Duration = Duration::from_secs(30);

/// One host.
#[derive(Clone, Debug)]
pub struct Host {
    /// What people call it.
    pub name: String,
    prefix: Vec<String>,
}

/// A script: values, and the calls that use them.
pub struct Script {
    lines: String,
    within: Duration,
}

impl Script {
    /// One that calls these functions of `host.sh`.
    pub fn new(settings: &Settings, values: &[(&str, &str)], calls: &str, within: Duration) -> Script {
        let mut lines = String::new();
        let fixed = [("include", settings.include.as_str()), ("proof", settings.proof.as_str())];
        let prefix = settings.nginx.iter().position(|word| word == "-p").and_then(|n| settings.nginx.get(n + 1));
        let prefix = ("prefix", prefix.map_or("", String::as_str));
        for (name, value) in fixed.iter().chain([&prefix]).chain(values) {
            lines += &format!("{name}={}\n", quoted(value));
        }
        let words: Vec<String> = settings.nginx.iter().map(|word| quoted(word)).collect();
        lines += &format!("nginx() {{ command {} \"$@\" </dev/null; }}\n{SCRIPT}\n{calls}\n", words.join(" "));
        Script { lines, within }
    }
}

impl Host {
    pub fn new(prefix: &[String]) -> Host {
        let named = prefix.iter().rev().find(|word| !word.starts_with('-'));
        Host { name: named.map_or_else(|| "this machine".into(), Clone::clone), prefix: prefix.to_vec() }
    }

    /// What a person types before a command for this host; nothing for this machine.
    pub fn typed(&self) -> String {
        self.prefix.iter().map(|word| format!("{} ", quoted(word))).collect()
    }

    pub fn error(&self, kind: Trouble, why: impl std::fmt::Display) -> RouterError {
        RouterError::new(kind, format!("nginx of {}: {why}", self.name))
    }

    /// Runs a script there. An error leaves open how far it came.
    pub async fn run(&self, shell: &Shell, script: &Script) -> Result<Sections, RouterError> {
        let mark = shell.mark().map_err(|e| self.error(Trouble::Unreachable, e))?;
        let input = format!("{{\nmark={mark}\n{}\nsay end\nexit 0\n}}\n", script.lines);
        let argv = self.prefix.iter().cloned().chain(["sh".to_string(), "-s".to_string()]).collect();
        let command = Command { argv, input: input.into_bytes(), timeout: script.within, ..Command::default() };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut keep = |stream, piece: &[u8]| {
            let into = if stream == Stream::Stdout { &mut out } else { &mut err };
            into.extend_from_slice(&piece[..piece.len().min(MOST - into.len())]);
        };
        let exit = shell.0.run(&command, &mut keep).await.map_err(|error| {
            let program = &command.argv[0];
            let kind = if error.kind() == ErrorKind::NotFound { Trouble::Invalid } else { Trouble::Unreachable };
            self.error(kind, format!("`{program}` cannot be started: {error}"))
        })?;
        let sections = Sections::read(&String::from_utf8_lossy(&out), &mark);
        if sections.has("end") {
            return Ok(sections);
        }
        let words = last_words(&String::from_utf8_lossy(&err));
        let how = match exit {
            Exit::Status(code) => format!("the command ended with {code}"),
            Exit::Signal(signal) => format!("the command ended by signal {signal}"),
            Exit::TimedOut => format!("no answer within {} s", script.within.as_secs()),
        };
        let said = if words.is_empty() { how } else { format!("{how}: {words}") };
        let cure = format!("make `{}sh -c true` work from here, without a question", self.typed());
        Err(self.error(Trouble::Unreachable, said).cure(cure))
    }
}

/// Where programs are started.
pub struct Shell(Children);

impl Shell {
    pub fn new(access: &Access) -> Shell {
        Shell(Children::new(Rc::new(SystemClock), access.only.clone()))
    }

    /// The beginning of the lines between sections: no file and no error has it by chance or by intent.
    fn mark(&self) -> Result<String, getrandom::Error> {
        let mut random = [0; 12];
        getrandom::fill(&mut random)?;
        Ok(format!("bgctl-{}", base16ct::lower::encode_string(&random)))
    }
}

/// What a script printed, by section.
#[derive(Clone, Debug, Default)]
pub struct Sections(Vec<(String, String)>);

impl Sections {
    pub(super) fn read(text: &str, mark: &str) -> Sections {
        let line = format!("\n{mark} ");
        let sections = text.split(line.as_str()).skip(1);
        Sections(sections.filter_map(|s| s.split_once('\n')).map(|(head, body)| (head.into(), body.into())).collect())
    }

    pub fn has(&self, head: &str) -> bool {
        self.0.iter().any(|(name, _)| name == head)
    }

    /// The text below a head; nothing where there is no such section.
    pub fn below(&self, head: &str) -> &str {
        self.0.iter().find(|(name, _)| name == head).map_or("", |(_, body)| body)
    }

    /// What stands behind a word in heads, and the text below each.
    pub fn each<'s>(&'s self, word: &'s str) -> impl Iterator<Item = (&'s str, &'s str)> {
        let behind = move |head: &'s str| head.strip_prefix(word)?.strip_prefix(' ');
        self.0.iter().filter_map(move |(head, body)| Some((behind(head)?, body.as_str())))
    }
}

/// The last lines of what a program complained of, as one.
pub fn last_words(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join(" / ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_the_name_people_know_it_by() {
        let name = |words: &[&str]| Host::new(&words.iter().map(|w| w.to_string()).collect::<Vec<_>>());
        assert_eq!(name(&[]).name, "this machine");
        assert_eq!(name(&["ssh", "web-1", "--"]).name, "web-1");
        assert_eq!(name(&["docker", "exec", "-i", "web"]).typed(), "docker exec -i web ");
        assert_eq!(name(&["ssh", "-o", "A B"]).typed(), "ssh -o 'A B' ");
    }

    #[test]
    fn a_file_cannot_end_its_own_section() {
        let text = "hello\n\nm1 file\nmap;\n\nm1x file\n\nbgctl end\n\nm1 answers\na\nb\n\nm1 held 7\nc\n\nm1 end\n";
        let sections = Sections::read(text, "m1");
        assert_eq!(sections.below("file"), "map;\n\nm1x file\n\nbgctl end\n");
        assert_eq!(sections.below("answers"), "a\nb\n");
        assert_eq!(sections.each("held").collect::<Vec<_>>(), [("7", "c\n")]);
        assert!(sections.has("end") && !sections.has("hello"));
    }

    #[test]
    fn hostile_words_stay_words() {
        assert_eq!(quoted("a'; rm -rf / #"), r"'a'\''; rm -rf / #'");
    }
}
