//! `bgctl keys`: which key would sign here and why, a new one for who has none, and what is unwise in a file of signers.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::diag::{Code, Kind, Refusal, Severity};
use crate::file as files;
use crate::report::Mark;
use crate::runbook::Source;
use crate::scalar::counted;
use crate::secret::visible;
use crate::session::mistakes;
use crate::session::trust::{self, Believed, BelievedArgs};
use crate::shell::{Context, Exit};
use crate::sign::choice::{self, Chosen, Found};
use crate::sign::{file, lint, trust as signers};

/// Show which key would sign and why, make one, or check a file of signers.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// As with `bgctl cutover --key`: a key file, a certificate, or `agent:SHA256:…`.
    #[arg(long, value_name = "KEY", global = true)]
    key: Option<String>,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    /// Every place a key is looked for, in order.
    List,
    /// Make an Ed25519 key for signing runs; never overwrites one.
    Create {
        /// Where to put it.
        #[arg(long, value_name = "PATH")]
        out: Option<PathBuf>,
    },
    /// The key that would sign, and the name it stands for.
    Whoami,
    /// Check an allowed-signers file for risks: a name for many people, no purpose, one key for two people, expired
    /// lines.
    Lint {
        /// Files; without one, `.bgctl/allowed_signers`.
        #[arg(value_name = "FILE")]
        files: Vec<String>,
        /// Treat warnings as mistakes.
        #[arg(long)]
        strict: bool,
    },
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    match &args.verb {
        None | Some(Verb::List) => list(cx, args.key.as_deref()),
        Some(Verb::Create { out }) => create(cx, out.as_ref()),
        Some(Verb::Whoami) => whoami(cx, args.key.as_deref()),
        Some(Verb::Lint { files, strict }) => lint(cx, files, *strict),
    }
}

fn list(cx: &Context, key: Option<&str>) -> Result<Exit, Refusal> {
    let looks = trust::looks(cx, key, None)?;
    let chosen = choice::choose(&looks);
    let (mut taken, mut locked) = (false, None);
    let mut rows: Vec<Value> = Vec::new();
    if !cx.machine() {
        cx.out("searched in this order; the first key found signs");
    }
    for look in &looks {
        let (mark, text) = match &look.found {
            Found::Key(key) if !taken && chosen.as_ref().is_ok_and(|c| *c == key) => {
                taken = true;
                locked = locked_here(cx, key);
                match &locked {
                    None => (Mark::Done, format!("{}    this one signs", key.line())),
                    Some(why) => (Mark::Failed, format!("{}    would sign, but {why}", key.line())),
                }
            }
            Found::Key(key) => (Mark::Later, key.line()),
            Found::Nothing(why) => (Mark::Plain, why.clone()),
            Found::Unusable(why) => (Mark::Failed, visible(why).into_owned()),
        };
        if cx.machine() {
            let signs = mark == Mark::Done;
            rows.push(json!({ "place": look.place, "signs": signs, "line": text, "notes": look.notes }));
            continue;
        }
        let ink = cx.style.out;
        cx.raw_out(&format!("  {} {:<21} {}", ink.mark(mark), look.place, ink.text(&text)));
        for note in &look.notes {
            cx.raw_out(&format!("    {:<21} {}", "", ink.text(note)));
        }
    }
    if cx.machine() {
        cx.json(&json!({ "looked_at": rows }));
    }
    match (chosen, locked) {
        (Err(refusal), _) => Err(refusal),
        (Ok(_), None) => Ok(Exit::Success),
        (Ok(key), Some(why)) => {
            Err(Refusal::new(Kind::Denied, Code::KeyUnusable, format!("the key cannot sign here: {why}"))
                .place(key.line())
                .next("ssh-add KEY        the agent then holds it open")
                .next("bgctl keys        at a terminal, where the passphrase can be typed"))
        }
    }
}

/// Why a key that was found cannot sign now: its passphrase is typed at a terminal, and there is none.
fn locked_here(cx: &Context, key: &Chosen) -> Option<String> {
    let opened = key.signs_with.as_deref().unwrap_or(key);
    let locked = !cx.style.interactive && file::look(&opened.place).is_ok_and(|closed| closed.encrypted);
    locked.then(|| format!("`{}` has a passphrase, and nobody can type it here", opened.place.display()))
}

fn lint(cx: &Context, files: &[String], strict: bool) -> Result<Exit, Refusal> {
    let team = [trust::TEAM.to_string()];
    let files = if files.is_empty() { &team[..] } else { files };
    let (mut exit, mut report) = (Exit::Success, Vec::new());
    for path in files {
        let text = files::text(&cx.cwd.join(path), files::LONG).map_err(|error| {
            Refusal::new(Kind::Invalid, Code::SignersFile, "the allowed-signers file cannot be read")
                .place(path.clone())
                .cause(error.to_string())
                .next("bgctl keys lint FILE")
        })?;
        let found = lint::lint(&text, cx.clock.now());
        let bad = found.iter().any(|d| d.severity == Severity::Error || strict);
        if bad {
            exit = Exit::Invalid;
        }
        let source = Source { path: path.clone(), text };
        if cx.machine() {
            report.push(mistakes::file_json(&source, &found, bad));
            continue;
        }
        for diagnostic in &found {
            cx.raw_err(&diagnostic.render(&source.path, &source.text, cx.style.err.color));
        }
        match (&found[..], bad) {
            ([], _) => cx.out(&format!("{path}: nothing to say")),
            (found, bad) => {
                let word = if bad { "fix it" } else { "it works as it is" };
                cx.err(&format!(
                    "{} in {path}: {word}        more: bgctl explain {}",
                    counted(found.len(), "finding"),
                    found[0].code
                ));
            }
        }
    }
    if cx.machine() {
        cx.json(&json!({ "ok": exit == Exit::Success, "files": report }));
    }
    Ok(exit)
}

fn create(cx: &Context, out: Option<&PathBuf>) -> Result<Exit, Refusal> {
    let path = match out {
        Some(path) => cx.cwd.join(path),
        None => trust::own_key(cx)?,
    };
    let comment = format!("{}@bgctl", cx.var("USER").unwrap_or("bgctl"));
    let public = file::create(&path, &comment).map_err(|error| trust::refusal(&error))?;
    if cx.machine() {
        cx.json(&json!({ "path": path, "public": public.line(), "fingerprint": public.fingerprint() }));
        return Ok(Exit::Success);
    }
    cx.out(&public.line());
    cx.err(&format!("made {} (0600, no passphrase; `ssh-keygen -p -f` sets one)", path.display()));
    cx.err(&format!("fingerprint {}", public.fingerprint()));
    cx.err("for your team, in .bgctl/allowed_signers:");
    let person = trust::email(cx).unwrap_or_else(|| "YOUR-ADDRESS".into());
    cx.err(&format!("  {}", signers::line(&person, &public.line()).trim_end()));
    if out.is_some() {
        cx.err(&format!("to sign with it: export BGCTL_SIGNING_KEY={}", path.display()));
    }
    Ok(Exit::Success)
}

fn whoami(cx: &Context, key: Option<&str>) -> Result<Exit, Refusal> {
    let looks = trust::looks(cx, key, None)?;
    let chosen = choice::choose(&looks)?;
    let believed = Believed::read(cx, &BelievedArgs::default())?;
    let key = chosen.public().map_err(|error| trust::refusal(&error))?;
    let signers = believed.signers();
    let names = key.as_ref().map_or(Vec::new(), |key| signers.principals(key));
    let listed = key.as_ref().map(|key| key.certificate().map_or_else(|| key.fingerprint(), |c| c.authority()));
    let place = listed.as_deref().and_then(|listed| believed.list(listed));
    if cx.machine() {
        cx.json(&json!({ "key": chosen.line(), "principals": names, "found_in": place }));
        return Ok(Exit::Success);
    }
    cx.out(&chosen.line());
    match (names.is_empty(), place) {
        (false, Some(place)) => cx.out(&format!("stands for {} in {place}", names.join(", "))),
        _ => cx.out("has no name yet: it is in no allowed-signers file"),
    }
    Ok(Exit::Success)
}
