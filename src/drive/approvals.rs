//! Asking for approvals, waiting for them, and looking once more before one is used.

use std::time::Duration;

use super::Driver;
use crate::people::{Answer, Approve, Decision};
use crate::plan::{Lane, StepRef};
use crate::run::Event;

impl Driver<'_> {
    pub(super) fn request(&self, at: StepRef) -> Event {
        let step = self.run.plan.step(at);
        let within = step.approval.as_ref().map_or(0, |rule| rule.within_s);
        // Asked for ahead, an approval waits for the steps before it too.
        let ahead =
            if self.state.approvals_ahead { self.run.plan.forward.iter().map(|s| s.timeout_s).sum() } else { 0 };
        let expires = self.run.deadlines.now().as_second() + i64::try_from(within + ahead).unwrap_or(i64::MAX / 2);
        let measured = self.measured();
        let request = (self.run.request)(at, expires, &measured);
        let request_sha256 = crate::plan::sha256(request.as_bytes());
        Event::ApprovalRequested { step: at, id: step.id.clone(), request, request_sha256, expires }
    }

    /// Waits for one answer. `None`: nobody is there, and since all users are on one stack the run may simply wait.
    pub(super) async fn approval(&mut self, at: StepRef) -> Option<Event> {
        let id = self.id_of(at);
        let users = self.users().await;
        let Some(ask) = self.asking(at, users) else { panic!("BUG: waiting for an approval nobody asked for") };
        let left = ask.expires - self.run.deadlines.now().as_second();
        let expired = |why: &str| Event::ApprovalExpired { step: at, id: id.clone(), why: why.into() };
        if left <= 0 {
            return Some(expired("its time is over"));
        }
        let forward = at.lane == Lane::Forward;
        let command = async {
            match self.run.control.next().await {
                _ if !forward => std::future::pending().await,
                command => command,
            }
        };
        let watch = async {
            if self.state.moved && forward {
                self.run.watch.breach(self.run.world, self.desk).await
            } else {
                std::future::pending().await
            }
        };
        let trips = async { if forward { self.trips().await } else { std::future::pending().await } };
        let answer = tokio::select! { biased;
            command = command => return Some(self.interrupted(command)),
            breach = trips => return Some(breach.at(self.state.at())),
            breach = watch => return Some(breach.at(self.state.at())),
            () = self.run.world.clock.sleep(Duration::from_secs(left.unsigned_abs())) => return Some(expired("nobody answered in time")),
            answer = self.run.people.approve(&ask) => answer,
        };
        Some(match answer {
            Answer::Given(decision) => decided(at, id, ask.request_sha256, decision),
            Answer::NobodyThere if self.state.moved => expired("nobody is there to ask"),
            Answer::NobodyThere => return None,
        })
    }

    /// What was measured, and what an approver has to know of the way back.
    fn measured(&self) -> Vec<String> {
        let mut measured: Vec<String> = self.desk.gates.borrow().values().cloned().collect();
        let plan = self.run.plan;
        let against = self.state.schema_against.as_ref().or(plan.policy.schema_reason.as_ref());
        if let Some(why) = against.filter(|_| self.state.schema_against.is_some() || !plan.policy.schema_safe) {
            measured.push(self.desk.clean(&format!("schema: users cannot simply come back: {why}")));
        }
        if let Some(reason) = &self.state.overridden {
            measured.push(self.desk.clean(&format!("to be passed over because: {reason}")));
        }
        measured
    }

    /// The way back, as the card of an approval says it.
    fn way_back(&self) -> String {
        match self.state.closed(self.run.plan) {
            None => "armed: one call a route, r at any time".into(),
            Some(why) => self.desk.clean(&format!("FORWARD OR PAGE, it takes a second person: {why}")),
        }
    }

    /// The approval of a step as people are asked for it.
    fn asking(&self, at: StepRef, users: String) -> Option<Approve<'_>> {
        let asked = Approve::of(self.run.plan, at, self.state.approvals.get(&at)?)?;
        Some(Approve { users, evidence: self.measured(), way_back: self.way_back(), ..asked })
    }

    /// Why the approval of a step cannot be used now, although it was complete: its time is over, or somebody took it back.
    pub(super) async fn unusable(&self, at: StepRef) -> Option<Event> {
        let approval = self.state.approvals.get(&at).filter(|approval| !approval.used)?;
        let id = self.id_of(at);
        if self.run.deadlines.now().as_second() > approval.expires {
            let why = "it was granted, but its time is over before it could be used".into();
            return Some(Event::ApprovalExpired { step: at, id, why });
        }
        let ask = self.asking(at, String::new())?;
        let decision = self.run.people.recheck(&ask).await?;
        Some(decided(at, id, ask.request_sha256, decision))
    }

    /// The approvals an intent uses up: its own, or the one of the shift that agreed to the way back too.
    pub(super) fn used_by(&self, at: StepRef) -> Vec<String> {
        if self.run.plan.step(at).approval.is_none() {
            return Vec::new();
        }
        let own = self.state.approvals.get(&at);
        let used = own.or_else(|| self.state.covering(self.run.plan, at));
        used.map(|approval| approval.request_sha256.clone()).into_iter().collect()
    }
}

fn decided(step: StepRef, id: String, request_sha256: &str, decision: Decision) -> Event {
    let request_sha256 = request_sha256.to_string();
    match decision {
        Decision::Granted(grant) => Event::ApprovalGranted { step, id, request_sha256, grant },
        Decision::Denied(grant) => Event::ApprovalDenied { step, id, request_sha256, grant },
        Decision::Withdrawn { principal, why, grant } => {
            Event::ApprovalWithdrawn { step, id, request_sha256, principal, why, grant }
        }
    }
}
