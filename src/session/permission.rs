//! What the policy asks of a run before it is opened or gone on with: its key, who started it, and the policy itself.

use super::launch::Launch;
use super::policy::{self, PolicyArgs};
use super::policy_pin::Accepted;
use super::run_rules::RunRules;
use super::trust;
use crate::diag::{Code, Kind, Refusal};
use crate::journal::Archive;
use crate::sign::trust::Demands;
use crate::sign::{Assurance, Signer, TrustFiles};

impl Launch<'_> {
    /// The files a run begun or resumed now is bound to.
    pub(super) fn run_rules(&self) -> Result<RunRules, Refusal> {
        let none = PolicyArgs::default();
        Ok(RunRules::new(self.cx, self.approvers()?, self.policy.unwrap_or(&none)))
    }

    /// Whose approvals count, as the files say now.
    pub(super) fn approvers(&self) -> Result<TrustFiles, Refusal> {
        match trust::approvers(self.cx, &self.args.trust) {
            // Whoever only goes back waits for no list: without one nobody's approval counts, and none is asked for by default.
            Err(_) if self.policy.is_none() => Ok(TrustFiles::default()),
            files => files,
        }
    }

    /// What the policy asks of approvers' keys beside their role's level of evidence.
    pub(super) fn demands(&self) -> Demands {
        Demands { security_key: false, verified: self.plan.team.verify_required }
    }

    /// Whether this key may sign the run, and whether it is known who started it.
    pub(super) fn permitted(&self, signer: &dyn Signer) -> Result<(), Refusal> {
        // Going back is never refused for the way it is signed: the record shows it.
        if self.policy.is_none() {
            return Ok(());
        }
        let team = &self.plan.team;
        let refuse = |headline: &str| {
            let refusal =
                Refusal::new(Kind::Denied, Code::MayNotSign, headline).cause(format!("it is {}", signer.name()));
            refusal.users(self.users_as_planned())
        };
        if team.shared_key_refused && signer.assurance() == Assurance::SharedKey {
            return Err(refuse("the policy refuses runs that are sealed with a shared key")
                .cause("a person who can check such a seal could also have written it")
                .next("unset BGCTL_HMAC_KEY_FILE        then: bgctl keys        which key would sign"));
        }
        if team.security_key_required && !signer.public().starts_with("sk-") {
            return Err(refuse("the policy wants runs signed with a security key")
                .next("ssh-keygen -t ed25519-sk -O verify-required        then: --key PATH"));
        }
        let asks = self.plan.forward.iter().filter_map(|step| step.approval.as_ref()).any(|rule| !rule.own_run);
        match self.cx.trigger() {
            // Whoever approves could be the very person who started the job.
            Some(login) if asks && team.starter(login).is_none() => {
                Err(Refusal::new(Kind::Denied, Code::Trigger, format!("the policy does not know who `{login}` is"))
                    .cause("they started this job, and nobody may approve what they started themselves")
                    .users(self.users_as_planned())
                    .next(format!("add `{login}` to that person's `ci`, in {}", policy::TEAM)))
            }
            _ => Ok(()),
        }
    }

    /// The policy is the one the plan was made under, and was put in its place by those who may. What has to be remembered
    /// of it once the run is open.
    pub(super) fn policy_as_planned(&self, archive: &Archive) -> Result<Accepted, Refusal> {
        let Some(args) = self.policy else { return Ok(Accepted::default()) };
        let file = match policy::read(self.cx, args)? {
            Ok(file) => file,
            Err((source, found)) => {
                let first = found.first().map(|d| d.headline.clone()).unwrap_or_default();
                return Err(Refusal::new(Kind::Invalid, Code::Policy, "the policy cannot be used")
                    .place(source.path.clone())
                    .cause(first)
                    .users(self.users_as_planned())
                    .next(format!("bgctl check {}", source.path)));
            }
        };
        policy::same(&self.plan, file.as_ref())?;
        let signers = self.approvers()?.signers();
        let place = args.place(self.cx).0;
        let accepted = Accepted::judge(archive, &self.plan, file.as_ref(), &place, &signers, self.cx.clock.now())?;
        for folder in &accepted.unplaced {
            let (shown, why) = (folder.display(), "no run kept here says what it moved");
            self.cx
                .err(&format!("! {shown}: this policy of an earlier bgctl holds for its service's name alone: {why}"));
        }
        Ok(accepted)
    }
}
