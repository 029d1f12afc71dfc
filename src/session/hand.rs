//! Who signs a run, and as whom: the rules of [`crate::sign::rights`] as a process keeps them before it opens a run, goes
//! on with one, or closes it.
//!
//! A key that the lists do not know is nobody's: it moves nobody forward. Going back waits for no key and no list: what is
//! not signed by a person is said to be signed by nobody.

use jiff::Timestamp;
use serde_json::json;

use super::launch::Launch;
use super::open::host;
use super::trust;
use crate::diag::{Code, Kind, Refusal};
use crate::journal::{Archive, Who};
use crate::plan::{Plan, Purpose};
use crate::run::Actor;
use crate::sign::{self, AllowedSigners, Assurance, PublicKey, SignError, Signed, Signer, TrustFiles, namespace};

/// Who signs a run.
pub(super) struct Hand {
    pub(super) signer: Box<dyn Signer>,
    pub(super) actor: Actor,
    /// Why a key made for this run alone signs it, where no other does.
    pub(super) one_time: Option<String>,
}

/// What a key is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// To open a run that moves users forward, or to go on with one.
    Forward,
    /// To open a run that only goes back.
    Back,
}

/// As whom a key may open and close a run of this plan, and go on with it: an owner, where it moves users forward; whoever the
/// lists know, where it only goes back. Both signatures are asked about now: who cannot close a run does not begin it.
pub fn as_whom(
    signers: &AllowedSigners,
    plan: &Plan,
    wanted: Wanted,
    key: &PublicKey,
    time: Timestamp,
) -> Result<Signed, String> {
    let owners = || plan.owners.iter().chain([&plan.rollback_owner]).map(|owner| owner.as_str());
    let may = |name: &str, space| signers.among([name], space, key, time).is_ok_and(|signed| signed.principal == name);
    let both = owners().find(|name| may(name, namespace::OPEN) && may(name, namespace::CLOSE));
    // Where no owner may do both, it is said what stands against the one who comes closest.
    let wanted_first = both.into_iter().chain(owners());
    let signed = signers.among(wanted_first, namespace::OPEN, key, time).map_err(|error| error.to_string())?;
    if wanted == Wanted::Forward && !owners().any(|owner| owner == signed.principal) {
        let all = plan.owners.join(", ");
        return Err(format!(
            "the key {} is that of {}, and the owners are {all}",
            signed.fingerprint, signed.principal
        ));
    }
    let closes = signers.among([signed.principal.as_str()], namespace::CLOSE, key, time);
    match closes.map_err(|error| error.to_string())? {
        also if also.principal == signed.principal => Ok(signed),
        also => {
            Err(format!("{} may open runs with this key, and only {} close them", signed.principal, also.principal))
        }
    }
}

impl Launch<'_> {
    /// Whether anything here says who may sign: a policy, or a list of signers.
    fn ruled(&self, files: &TrustFiles) -> bool {
        !self.plan.team.is_empty() || !files.names().is_empty()
    }

    /// The key that signs, and as whom. In the lab nothing is at stake, and without a policy and a list of signers nothing
    /// says whose a key is: then it speaks for the runbook's owner, and `audit verify` says what that rests on.
    pub(super) fn key(&self, archive: &Archive, wanted: Wanted) -> Result<Hand, Refusal> {
        let signer = trust::signer_or_labs(self.cx, archive, self.args.key.as_deref(), &self.plan)?;
        let files = self.approvers()?;
        trust::not_revoked(self.cx, &files.signers(), signer.as_ref())?;
        let of_runbook = || self.plan.owners.first().unwrap_or(&self.plan.rollback_owner).to_string();
        if signer.assurance() == Assurance::Lab || !self.ruled(&files) {
            let actor = Actor { name: of_runbook(), via: "command".into() };
            return Ok(Hand { signer, actor, one_time: None });
        }
        if signer.assurance() == Assurance::SharedKey {
            let actor = self.of_shared_key(wanted, of_runbook())?;
            return Ok(Hand { signer, actor, one_time: None });
        }
        let key =
            PublicKey::from_line(&signer.public()).map_err(|error| self.nobodys(signer.as_ref(), error.to_string()))?;
        let now = self.cx.clock.now();
        let whose = as_whom(&files.signers(), &self.plan, wanted, &key, now);
        let signed = whose.map_err(|why| self.nobodys(signer.as_ref(), why))?;
        let actor = Actor { name: signed.principal, via: "command".into() };
        let listed = Listed { key: signer, public: key, name: actor.name.clone(), files };
        Ok(Hand { signer: Box::new(listed), actor, one_time: None })
    }

    /// A shared key is nobody's. Forward it seals only what a job does whose CI system says who started it.
    fn of_shared_key(&self, wanted: Wanted, owner: String) -> Result<Actor, Refusal> {
        match (self.cx.trigger(), wanted) {
            (None, Wanted::Forward) => {
                let headline = "a shared key is nobody's, and no CI system says who started this";
                Err(Refusal::new(Kind::Denied, Code::MayNotSign, headline)
                    .cause("everybody who can check its seals holds it, so nobody could be kept from approving their own run")
                    .users(self.users_as_planned())
                    .next("unset BGCTL_HMAC_KEY_FILE        then: bgctl keys        which key would sign"))
            }
            _ => Ok(Actor { name: owner, via: "command".into() }),
        }
    }

    /// A key that may not sign this run.
    fn nobodys(&self, signer: &dyn Signer, why: String) -> Refusal {
        let owners = self.plan.owners.join(" or ");
        Refusal::new(Kind::Denied, Code::MayNotSign, "this key may not sign this run")
            .cause(why)
            .cause(format!("it is {}", signer.name()))
            .users(self.users_as_planned())
            .next(format!("--key PATH        a key of {owners}"))
            .next("bgctl keys        which key would sign, and as whom")
    }

    /// The key that signs. Going back waits for no key: where none can sign, one that is made for this run alone seals its
    /// record, which then proves nothing about who made it.
    pub(super) fn hand(&self, archive: &Archive) -> Result<Hand, Refusal> {
        let wanted = if self.plan.purpose == Purpose::Cutover { Wanted::Forward } else { Wanted::Back };
        match self.key(archive, wanted) {
            Err(refusal) if self.policy.is_none() => self.one_time(&refusal),
            hand => hand,
        }
    }

    pub(super) fn one_time(&self, refused: &Refusal) -> Result<Hand, Refusal> {
        let why = refused.cause.first().unwrap_or(&refused.headline).clone();
        let key = sign::session::SessionKey::generate().map_err(|e| trust::refusal(&e))?;
        let actor = Actor::nobody("command");
        self.cx.err(&format!("! not signed by a person: {why}"));
        self.cx.err("           the record is sealed with a key made for this run alone, which proves nothing about who made it");
        Ok(Hand { signer: Box::new(key), actor, one_time: Some(why) })
    }

    pub(super) fn who(&self, actor: &Actor) -> Who {
        let cx = self.cx;
        let mut claims = json!({ "user": cx.var("USER"), "host": host(), "ci": cx.style.ci, "trigger": cx.trigger() });
        cx.known.secrets().mask_value(&mut claims, &[]);
        Who { owner: actor.name.clone(), mode: if cx.style.interactive { "interactive" } else { "ci" }.into(), claims }
    }
}

/// A key that the lists know: it is asked again whether it still counts before it closes a run.
struct Listed {
    key: Box<dyn Signer>,
    public: PublicKey,
    name: String,
    files: TrustFiles,
}

impl Listed {
    fn counts(&self, time: Timestamp) -> Result<(), String> {
        let files = self.files.again().map_err(|error| error.to_string())?;
        let closes = files.signers().among([self.name.as_str()], namespace::CLOSE, &self.public, time);
        match closes {
            Ok(signed) if signed.principal == self.name => Ok(()),
            Ok(signed) => Err(format!("it is {}'s now", signed.principal)),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Signer for Listed {
    fn name(&self) -> String {
        self.key.name()
    }

    fn public(&self) -> String {
        self.key.public()
    }

    fn fingerprint(&self) -> String {
        self.key.fingerprint()
    }

    fn assurance(&self) -> Assurance {
        self.key.assurance()
    }

    fn over(&self, time: Timestamp) -> Option<SignError> {
        let listed = || self.counts(time).err().map(|why| SignError::Over { fingerprint: self.fingerprint(), why });
        self.key.over(time).or_else(listed)
    }

    fn sign(&self, namespace: &str, message: &[u8]) -> Result<String, SignError> {
        self.key.sign(namespace, message)
    }

    fn sign_envelope(&self, kind: &str, payload: &[u8]) -> Result<Vec<u8>, SignError> {
        self.key.sign_envelope(kind, payload)
    }
}
