//! `bgctl unfreeze`: a person lifts a freeze. A job cannot: what bgctl froze by itself after a bad night would otherwise be
//! lifted by the next pipeline that fails on it.

use serde_json::json;

use super::answer;
use crate::diag::{Code, Kind, Refusal};
use crate::guards::freeze::{Found, Freeze, Lifted, Place, Scope};
use crate::plan::PersonKind;
use crate::session::policy::{self, PolicyArgs};
use crate::session::{acting, lease_guard, trust};
use crate::shell::{Context, Exit};
use crate::sign::{PublicKey, namespace};

/// Lift a freeze. For people: a job is refused, and so is a command without a terminal unless a role signs.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// `production/slackbot`, `production`, or `all`: exactly what was frozen.
    pub scope: String,
    /// Why it may be lifted; it is kept.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// The scope again: what a person would type. Without a terminal it counts only beside the signature of a role.
    #[arg(long, value_name = "SCOPE")]
    pub confirm: Option<String>,
    /// The key you sign with, where only a role may lift it: a key file, or `agent:SHA256:…`.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    #[command(flatten)]
    pub approvers: trust::ApproversArgs,
    #[command(flatten)]
    pub policy: PolicyArgs,
}

pub const NOTHING: &str = "not checked. Nothing was changed.";

pub fn run(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    cx.block_on(unfreeze(args, cx))?
}

async fn unfreeze(args: &Args, cx: &Context) -> Result<Exit, Refusal> {
    let scope =
        Scope::parse(&args.scope).map_err(|what| Refusal::new(Kind::Usage, Code::CommandLine, what).users(NOTHING))?;
    if cx.style.ci.is_some() || cx.trigger().is_some() {
        return Err(Refusal::new(Kind::Denied, Code::Thaw, "a job cannot lift a freeze")
            .cause("a freeze means that a person has to look first")
            .users(NOTHING)
            .next(format!("bgctl unfreeze {scope} --reason \"…\"        at a terminal of your own")));
    }
    if args.reason.trim().is_empty() {
        return Err(Refusal::new(Kind::Usage, Code::Unsaid, "lifting a freeze needs a reason").users(NOTHING));
    }
    let freezes = lease_guard::freezes(cx)?;
    let found = freezes.of(&scope);
    if found.is_empty() {
        return elsewhere(cx, &scope, freezes.all());
    }
    found.iter().for_each(|(freeze, _)| cx.err(&freeze.line()));
    // A word on a command line is no person; the signature of a role is.
    if !cx.style.interactive && found.iter().any(|(freeze, _)| freeze.lift.is_none()) {
        return Err(Refusal::new(Kind::Denied, Code::Thaw, "a freeze is lifted by a person at a terminal")
            .cause("here nobody can be asked: there is no terminal, or --no-input is set")
            .users(NOTHING)
            .next(format!("bgctl unfreeze {scope} --reason \"…\"        at a terminal (`ssh -t` gives one)"))
            .next(format!(
                "bgctl freeze {scope} --lift ROLE …        next time: a signature of that role lifts it anywhere"
            )));
    }
    let ask = format!("Type {scope} to lift it:");
    if !answer::typed(cx, &args.scope, args.confirm.as_deref(), "--confirm", &ask).await? {
        cx.err("Nothing was changed.");
        return Ok(Exit::Stopped);
    }
    for (freeze, path) in &found {
        let mut lifted =
            Lifted { by: String::new(), reason: cx.known.mask(args.reason.trim()), at: cx.clock.now(), sig: None };
        match &freeze.lift {
            Some(role) => (lifted.by, lifted.sig) = signed(args, cx, freeze, role, &lifted)?,
            None => {
                let text = format!("unfreeze {}: {}", freeze.scope, lifted.reason);
                lifted.by = acting::proven(cx, args.key.as_deref(), &text).name;
            }
        }
        freezes.lift(freeze, path, &lifted).map_err(|error| {
            Refusal::new(Kind::Environment, Code::Freeze, "the freeze cannot be removed")
                .place(path.display().to_string())
                .cause(error.to_string())
                .users(NOTHING)
        })?;
        cx.err(&format!("LIFTED {} by {}: {}", freeze.scope, lifted.by, lifted.reason));
        if cx.machine() {
            cx.json(&json!({ "freeze": freeze, "lifted": lifted }));
        }
    }
    Ok(Exit::Success)
}

/// A freeze of this scope that no command takes away, or none at all.
fn elsewhere(cx: &Context, scope: &Scope, all: Vec<Found>) -> Result<Exit, Refusal> {
    let refuse = |headline: String| Refusal::new(Kind::Invalid, Code::Freeze, headline).users(NOTHING);
    for found in all {
        match &found {
            Found::Freeze(freeze, Place::Team) if freeze.scope == *scope => {
                return Err(refuse(format!("{scope} is frozen in the repository"))
                    .cause(found.line())
                    .next("remove the line by pull request"));
            }
            Found::Freeze(freeze, Place::Variable) if freeze.scope == *scope => {
                return Err(refuse("everything is frozen by a variable".into())
                    .cause(found.line())
                    .next("unset BGCTL_FREEZE"));
            }
            Found::Unreadable { place, .. } => {
                return Err(refuse("a freeze cannot be read".into())
                    .place(place.clone())
                    .cause(found.line())
                    .next("read the file and fix it, or remove it, by hand"));
            }
            Found::Freeze(..) => {}
        }
    }
    cx.err(&format!("NO CHANGES. {scope} is not frozen."));
    Ok(Exit::Success)
}

/// The signature of somebody who holds the role, and who that is.
fn signed(
    args: &Args,
    cx: &Context,
    freeze: &Freeze,
    role: &str,
    lifted: &Lifted,
) -> Result<(String, Option<String>), Refusal> {
    let refuse = |headline: String| Refusal::new(Kind::Denied, Code::Thaw, headline).users(NOTHING);
    let wrong = || refuse("the team's policy cannot be read".into()).next("bgctl check .bgctl/policy.yaml");
    let policy = policy::read(cx, &args.policy)?.map_err(|_| wrong())?;
    let Some(role_of) = policy.as_ref().and_then(|file| file.policy.roles.get(role)) else {
        return Err(refuse(format!("only role `{role}` may lift this, and the team's policy has none")));
    };
    let persons = &policy.as_ref().expect("BUG: a role without a policy").policy.persons;
    let holders = role_of.members.iter().filter_map(|name| Some((name, persons.get(name)?)));
    let people: Vec<_> = holders.filter(|(_, person)| person.kind == PersonKind::Human).collect();
    let principals = people.iter().flat_map(|(_, person)| person.principals.iter().map(|name| name.as_str()));
    let signer = trust::signer(cx, args.key.as_deref(), principals)?;
    let known = trust::approvers(cx, &args.approvers)?.signers();
    let key = PublicKey::from_line(&signer.public())
        .map_err(|error| refuse("this key cannot lift a freeze".into()).cause(error.to_string()))?;
    let whose = known
        .check_key(None, namespace::APPROVE, &key, cx.clock.now())
        .map_err(|error| refuse("this key may not lift a freeze".into()).cause(error.to_string()))?;
    let holder = people.iter().find(|(_, person)| person.is(&whose.principal));
    let Some((name, _)) = holder else {
        let names = role_of.members.join(", ");
        return Err(refuse(format!("{} is not in role `{role}`", whose.principal)).cause(format!("it has: {names}")));
    };
    let text = json!({ "lifts": freeze, "reason": lifted.reason, "at": lifted.at }).to_string();
    let sig = signer.sign(namespace::APPROVE, text.as_bytes()).map_err(|error| trust::refusal(&error))?;
    Ok(((*name).clone(), Some(sig)))
}
