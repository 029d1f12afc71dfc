//! Asking for approvals, waiting for them, and looking once more before one is used.

use std::time::Duration;

use super::Driver;
use crate::people::request::Until;
use crate::people::{Answer, Approve, Choice, Command, Decision, Page};
use crate::plan::{Lane, StepRef};
use crate::run::{Event, Evidence};
use crate::scalar::spoken;
use crate::world::Scribe;

/// How long an agreement to go back may come after the run has given up waiting for it: whoever signs late still sends
/// users home, with `resume`. The policy's own limit is on how long is waited.
const LATER_S: u64 = 12 * 3600;

impl Driver<'_> {
    pub(super) fn request(&self, at: StepRef) -> Event {
        let step = self.run.plan.step(at);
        let within = step.approval.as_ref().map_or(0, |rule| rule.within_s);
        let within = if at.lane == Lane::Rollback { within + LATER_S } else { within };
        let seconds = |span: u64| i64::try_from(span).unwrap_or(i64::MAX / 4);
        let expires = self.run.deadlines.now().as_second().saturating_add(seconds(within));
        // Agreed to ahead, it waits for the steps before it.
        let ahead = self.state.approvals_ahead && at.lane == Lane::Forward && at.index > 0;
        let before = || self.run.plan.forward[..at.index].iter().map(|step| step.timeout_s).sum();
        let use_by = ahead.then(|| expires.saturating_add(seconds(before())));
        let request = (self.run.request)(at, Until { expires, use_by }, &self.measured());
        let request_sha256 = crate::plan::sha256(request.as_bytes());
        Event::ApprovalRequested { step: at, id: step.id.clone(), request, request_sha256, expires, use_by }
    }

    /// Waits for one answer. `None`: nobody is there, and the run rests: all users are on one stack, or it is the rollback that
    /// nobody has agreed to yet.
    pub(super) async fn approval(&mut self, at: StepRef) -> Option<Event> {
        let id = self.id_of(at);
        let users = self.users().await;
        let Some(ask) = self.asking(at, users) else { panic!("BUG: waiting for an approval nobody asked for") };
        let left = ask.expires - self.run.deadlines.now().as_second();
        let expired = |within: &str| {
            let lost = self.state.approvals.get(&at).and_then(|approval| approval.lost.as_ref());
            let why = match lost {
                None => format!("nobody approved `{id}` {within}"),
                Some(lost) => format!("{lost}; nobody else approved `{id}` {within}"),
            };
            Event::ApprovalExpired { step: at, id: id.clone(), why: self.desk.clean(&why) }
        };
        let forward = at.lane == Lane::Forward;
        let open = |other: &&StepRef| other.lane == at.lane && !self.state.approved(self.run.plan, **other);
        for other in self.state.approvals.keys().filter(open) {
            if let Some(ask) = self.asking(*other, ask.users.clone()) {
                self.run.people.asked(&ask).await;
            }
        }
        if left <= 0 {
            // Users are still where they may not stay: asked anew, and never a dead end.
            return Some(if forward { expired("in time") } else { self.request(at) });
        }
        let left = if forward { left.unsigned_abs() } else { left.unsigned_abs().min(ask.rule.within_s) };
        let command = async {
            loop {
                match self.run.control.next().await {
                    // Going back is on its way; who asks for it now waits for nobody's agreement.
                    Command::Interrupt | Command::Leave if !forward => {}
                    command => return command,
                }
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
        let called = async {
            self.called(&ask).await;
            std::future::pending::<()>().await
        };
        // Where nobody can be asked now somebody may still sign in time.
        let answered = async {
            match self.run.people.approve(&ask).await {
                Answer::NobodyThere if ask.waits => std::future::pending().await,
                answer => answer,
            }
        };
        let answer = tokio::select! { biased;
            command = command => return Some(self.interrupted(command)),
            trip = trips => return Some(trip.at(self.state.at())),
            breach = watch => return Some(breach.at(self.state.at())),
            () = self.run.world.clock.sleep(Duration::from_secs(left)) => {
                let waited = spoken(Duration::from_secs(left));
                if forward {
                    return Some(expired(&format!("within {waited}")));
                }
                // The run stays open: whoever signs later still sends everybody home.
                let line = format!("nobody approved `{id}` within {waited}; once it is signed, `bgctl resume {}` goes on", self.run.id);
                self.desk.observed(Evidence::Note { line });
                return None;
            },
            answer = answered => answer,
            () = called => unreachable!("BUG: a call that ends the wait"),
        };
        Some(match answer {
            Answer::Given(decision) => decided(at, id, ask.request_sha256, decision),
            Answer::NobodyThere => return None,
        })
    }

    /// An automatic rollback waits with users on a side that failed: whoever may agree to it is called at once.
    async fn called(&self, ask: &Approve<'_>) {
        if ask.step.lane == Lane::Forward || !ask.waits || !ask.grants.is_empty() {
            return;
        }
        let rule = ask.rule;
        let within = spoken(Duration::from_secs(rule.within_s));
        let who = format!("{} of {} ({})", rule.quorum, rule.role, rule.members.join(", "));
        let run = super::short(self.run.id);
        let mut choices = vec![Choice::new(format!("bgctl approve {run}"), "approve, and everyone goes back to BLUE")];
        if !rule.even_by_hand {
            choices.push(Choice::new(format!("bgctl rollback {run}"), "roll back yourself: no approval is needed"));
        }
        let page = Page {
            users: ask.users.clone(),
            happened: self.desk.clean(&format!("{}; the rollback waits for {who}", self.because)),
            bgctl: format!("users stay as they are for {within}, unless somebody approves or rolls back by hand"),
            choices,
        };
        let (delivered, how) = self.run.people.page(&page).await;
        let told = if delivered { "called for it" } else { "NOBODY WAS REACHED for it" };
        self.desk.observed(Evidence::Note { line: format!("{} waits for {who}; {told}: {how}", ask.id) });
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
            measured.push(self.desk.clean(&format!("to be overridden because: {reason}")));
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
        let waits = self.state.moved;
        Some(Approve { users, evidence: self.measured(), way_back: self.way_back(), waits, ..asked })
    }

    /// Why the approval of a step cannot be used now, although it was complete: its time is over, or somebody took it back.
    pub(super) async fn unusable(&self, at: StepRef) -> Option<Event> {
        let approval = self.state.approvals.get(&at).filter(|approval| !approval.used)?;
        let id = self.id_of(at);
        if self.run.deadlines.now().as_second() > approval.use_by {
            let why = format!("the approval of `{id}` was complete, and its time was over before it could be used");
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
