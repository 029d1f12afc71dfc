//! `bgctl keys`: which key would sign here, and a new one for who has none.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::trust::{self, Believed};
use super::{Context, Exit};
use crate::diag::Refusal;
use crate::report::Mark;
use crate::sign::choice::{self, Found};
use crate::sign::{file, trust as signers};

/// Show which key would sign, or make one.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
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
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    match &args.verb {
        None | Some(Verb::List) => list(cx),
        Some(Verb::Create { out }) => create(cx, out.as_ref()),
        Some(Verb::Whoami) => whoami(cx),
    }
}

fn list(cx: &Context) -> Result<Exit, Refusal> {
    let looks = trust::looks(cx, None, None)?;
    let chosen = choice::choose(&looks);
    let mut taken = false;
    let mut rows: Vec<Value> = Vec::new();
    for look in &looks {
        let (mark, text) = match &look.found {
            Found::Key(key) if !taken && chosen.as_ref().is_ok_and(|c| *c == key) => {
                taken = true;
                (Mark::Done, format!("{}    this one signs", key.line()))
            }
            Found::Key(key) => (Mark::Later, key.line()),
            Found::Nothing(why) => (Mark::Plain, why.clone()),
            Found::Unusable(why) => (Mark::Failed, why.clone()),
        };
        if cx.machine() {
            rows.push(json!({ "place": look.place, "signs": mark == Mark::Done, "line": text }));
        } else {
            let ink = cx.style.out;
            cx.raw_out(&format!("  {} {:<21} {}", ink.mark(mark), look.place, ink.text(&text)));
        }
    }
    if cx.machine() {
        cx.json(&json!({ "looked_at": rows }));
    }
    chosen.map(|_| Exit::Success)
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
    cx.err(&format!("  {}", signers::line("you@example.com", &public.line()).trim_end()));
    if out.is_some() {
        cx.err(&format!("to sign with it: export BGCTL_SIGNING_KEY={}", path.display()));
    }
    Ok(Exit::Success)
}

fn whoami(cx: &Context) -> Result<Exit, Refusal> {
    let looks = trust::looks(cx, None, None)?;
    let chosen = choice::choose(&looks)?;
    let believed = Believed::read(cx, &[])?;
    let key = chosen.public().map_err(|error| trust::refusal(&error))?;
    let signers = believed.signers();
    let names = key.as_ref().map_or(Vec::new(), |key| signers.principals(key));
    let place = key.as_ref().and_then(|key| believed.place(&key.fingerprint()));
    if cx.machine() {
        cx.json(&json!({ "key": chosen.line(), "principals": names, "found_in": place }));
        return Ok(Exit::Success);
    }
    cx.out(&chosen.line());
    match (names.is_empty(), place) {
        (false, Some(place)) => cx.out(&format!("stands for {} in {place}", names.join(", "))),
        _ => cx.out("stands for nobody yet: it is in no allowed-signers file"),
    }
    Ok(Exit::Success)
}
