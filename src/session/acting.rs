//! Who acts with a command: the person whose key it is, the job as its CI system says it, or somebody who did not sign. What
//! the system calls whoever sits there proves nothing, and stands in no record.

use super::trust::{self, ApproversArgs};
use crate::plan::Plan;
use crate::run::Actor;
use crate::shell::Context;
use crate::sign::{Assurance, PublicKey, Signer, choice, namespace};

/// Who acts here, by the key that would sign. Nobody is asked for anything, and nothing waits for a touch.
pub fn here(cx: &Context, key: Option<&str>, plan: Option<&Plan>) -> Actor {
    if let Some(job) = job(cx) {
        return job;
    }
    let owners = plan.into_iter().flat_map(|plan| &plan.owners).map(|owner| owner.as_str());
    let chosen = trust::looks(cx, key, owners).ok().and_then(|looks| choice::choose(&looks).ok()?.public().ok()?);
    chosen.map_or_else(|| Actor::nobody("command"), |key| Actor { name: whose(cx, &key, plan), via: "command".into() })
}

/// Who acts here, by a key that signs this text now: it is theirs, and not only named.
pub fn proven(cx: &Context, key: Option<&str>, text: &str) -> Actor {
    if let Some(job) = job(cx) {
        return job;
    }
    let signed = trust::signer(cx, key, None).ok().filter(|signer| {
        signer.assurance() != Assurance::SharedKey && signer.sign(namespace::FREEZE, text.as_bytes()).is_ok()
    });
    signed.map_or_else(|| Actor::nobody("command"), |signer| by(cx, signer.as_ref(), None))
}

/// Whoever signs with this key.
pub fn by(cx: &Context, signer: &dyn Signer, plan: Option<&Plan>) -> Actor {
    let name = match PublicKey::from_line(&signer.public()) {
        Ok(key) => whose(cx, &key, plan),
        Err(_) => return job(cx).unwrap_or_else(|| Actor::nobody("command")),
    };
    Actor { name, via: "command".into() }
}

/// The job, where this is one whose CI system says who started it.
fn job(cx: &Context) -> Option<Actor> {
    let job = |login: &str| Actor { name: format!("the CI job of {login}"), via: "ci".into() };
    cx.trigger().map(job)
}

/// The name of a key in the lists here; without a list that of the plan's owner, as when it signs a run; else the key itself.
fn whose(cx: &Context, key: &PublicKey, plan: Option<&Plan>) -> String {
    let files = trust::approvers(cx, &ApproversArgs::default()).unwrap_or_default();
    let owners = || plan.into_iter().flat_map(|plan| &plan.owners).map(|owner| owner.as_str());
    match files.signers().among(owners(), namespace::OPEN, key, cx.clock.now()) {
        Ok(signed) => signed.principal,
        Err(_) if files.names().is_empty() && owners().next().is_some() => owners().next().unwrap_or_default().into(),
        Err(_) => format!("the key {}", key.fingerprint()),
    }
}
