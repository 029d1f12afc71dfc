//! Looking at the place: the actions as they stand, and which call can change them.

use std::time::Duration;

use aws_sdk_elasticloadbalancingv2::types::Action;

use super::actions::{self, Seen};
use super::arn::Arn;
use super::place::Place;
use super::{Alb, SETTLE};
use crate::clock::{Clock, SystemClock};
use crate::plan::Split;
use crate::routers::aws::Attempts;
use crate::routers::{RouterError, Trouble};

/// How long to wait before a reading that may lag behind our own write is repeated.
const LAG: Duration = Duration::from_millis(100);

/// The actions as they stand now, and the call that can change them.
pub struct Found {
    pub actions: Vec<Action>,
    pub seen: Seen,
    /// The rule or listener that is written to.
    pub writes: Writes,
    /// What is to be said about repeated reads.
    repeats: Vec<Option<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Writes {
    Rule(String),
    Listener(String),
}

impl Alb {
    /// Reads the actions, and does not take what stood there before our own write for the present.
    ///
    /// Reads may lag behind writes. A way back begun right after a shift would otherwise find everybody on blue still and
    /// do nothing. So for as long as a write settles, a reading of the state before it is repeated; a write that was lost
    /// costs that wait, which an unanswered write needs anyhow.
    pub async fn look(&self) -> Result<Found, RouterError> {
        loop {
            let found = self.look_once().await?;
            let now = SystemClock.elapsed();
            match self.wrote.get() {
                Some(wrote) if found.seen.split == wrote.before && now < wrote.at + SETTLE => {
                    SystemClock.sleep(LAG).await;
                }
                _ => return Ok(found),
            }
        }
    }

    async fn look_once(&self) -> Result<Found, RouterError> {
        let (actions, writes, repeats) = self.actions(&self.settings.place).await?;
        self.found(actions, writes, repeats)
    }

    /// Reads the actions of a place: those of a rule from the rule, those of a default rule from its listener, where alone they
    /// can be changed.
    async fn actions(&self, place: &Place) -> Result<(Vec<Action>, Writes, Vec<Option<String>>), RouterError> {
        let client = self.api.reads().await;
        let mut repeats = Vec::new();
        let missing = |action: &str| {
            RouterError::new(Trouble::NotFound, format!("`{}` is not in the answer of {action}", place.arn()))
        };
        let listener = match place {
            Place::Listener(arn) => arn.to_string(),
            Place::Rule(arn) => {
                let attempts = Attempts::default();
                let asked = client.describe_rules().rule_arns(arn.as_str()).customize().interceptor(attempts.clone());
                let answer =
                    asked.send().await.map_err(|e| self.explain("DescribeRules", arn.as_str(), &attempts, e))?;
                repeats.push(attempts.remark("DescribeRules"));
                let rule = answer.rules().iter().find(|r| r.rule_arn() == Some(arn.as_str()));
                let rule = rule.ok_or_else(|| missing("DescribeRules"))?;
                if rule.is_default() != Some(true) {
                    return Ok((rule.actions().to_vec(), Writes::Rule(arn.to_string()), repeats));
                }
                arn.listener()
            }
        };
        let attempts = Attempts::default();
        let asked = client.describe_listeners().listener_arns(&listener).customize().interceptor(attempts.clone());
        let answer = asked.send().await.map_err(|e| self.explain("DescribeListeners", &listener, &attempts, e))?;
        repeats.push(attempts.remark("DescribeListeners"));
        let found = answer.listeners().iter().find(|l| l.listener_arn() == Some(listener.as_str()));
        let found = found.ok_or_else(|| missing("DescribeListeners"))?;
        Ok((found.default_actions().to_vec(), Writes::Listener(listener), repeats))
    }

    /// Where the place that is looked at before users leads: to green alone, or what is seen there says nothing of green.
    pub async fn tested(&self, test: &Place) -> Result<String, RouterError> {
        let (actions, ..) = self.actions(test).await?;
        self.before_users(test).await?;
        let (line, green) = (test.line(), &self.settings.groups.green);
        match actions::leads_to(&actions).as_slice() {
            [only] if *only == green.as_str() => Ok(format!("test: {line} leads to GREEN's `{}` alone", green.name())),
            _ => {
                let what = format!(
                    "the {line} of `test` does not lead to GREEN's `{}` alone, so what is seen there says nothing of GREEN: {}",
                    green.name(),
                    actions::told(&actions)
                );
                let cure = format!("let it forward to `{}` alone, or take `test` out", green.name());
                Err(RouterError::new(Trouble::Invalid, what).cure(cure))
            }
        }
    }

    /// A rule that is tried after the one of the users gets no request that fits both: what is sent to be looked at would be users'.
    async fn before_users(&self, test: &Place) -> Result<(), RouterError> {
        let (Place::Rule(test), Place::Rule(users)) = (test, &self.settings.place) else { return Ok(()) };
        if test.listener() != users.listener() {
            return Ok(());
        }
        let attempts = Attempts::default();
        let asked =
            self.api.reads().await.describe_rules().rule_arns(test.as_str()).rule_arns(users.as_str()).customize();
        let answer = asked.interceptor(attempts.clone()).send().await;
        let answer = answer.map_err(|e| self.explain("DescribeRules", test.as_str(), &attempts, e))?;
        // A default rule has no number, and is tried last.
        let of = |arn: &Arn| {
            let rule = answer.rules().iter().find(|rule| rule.rule_arn() == Some(arn.as_str()));
            rule.and_then(|rule| rule.priority()).and_then(|text| text.parse::<u32>().ok()).unwrap_or(u32::MAX)
        };
        let (own, theirs) = (of(test), of(users));
        if own < theirs {
            return Ok(());
        }
        let what = format!(
            "the rule of `test` is tried after the rule of the users (priority {own}, theirs {theirs}), so requests that fit both are \
             users' requests"
        );
        Err(RouterError::new(Trouble::Invalid, what)
            .cure(format!("give it a priority below {theirs}, or take `test` out")))
    }

    fn found(&self, actions: Vec<Action>, writes: Writes, repeats: Vec<Option<String>>) -> Result<Found, RouterError> {
        let seen = actions::read(&actions, &self.settings.groups).map_err(|why| {
            let cure = format!(
                "the rule must forward to `{}` and `{}` and to nothing else",
                self.settings.groups.blue, self.settings.groups.green
            );
            let read = actions::told(&actions);
            RouterError { read: Some(read), ..self.refuse(Trouble::Invalid, why).cure(cure) }
        })?;
        Ok(Found { actions, seen, writes, repeats })
    }

    pub fn remarks(&self, found: &Found) -> Vec<String> {
        let mut remarks: Vec<String> = found.repeats.iter().flatten().cloned().collect();
        if self.settings.place.arn().is_network() {
            remarks.push(
                "a Network Load Balancer: new flows may follow a move up to 10 minutes late, and a flow stays with its target until it is \
                 closed or idle (350 s unless set otherwise)"
                    .into(),
            );
        }
        if let Some(seconds) = found.seen.sticky.filter(|_| !self.settings.place.arn().is_network()) {
            remarks.push(format!(
                "group stickiness {seconds} s: a user stays on one side until away for that long, whatever the weights; \
                 going back to blue takes green out of the rule"
            ));
        }
        if found.seen.split == (Split { blue: 0, green: 0 }) {
            remarks.push("all weights are 0: AWS does not say where users go then".into());
        }
        for (listed, group) in [
            (found.seen.blue_listed, &self.settings.groups.blue),
            (found.seen.green_listed, &self.settings.groups.green),
        ] {
            if !listed {
                remarks.push(format!(
                    "`{}` is not in the rule, so its health is `unused` until it is there with weight 0: `bgctl prepare \
                     RUNBOOK` adds it",
                    group.name()
                ));
            }
        }
        for action in &found.actions {
            if let Some(kind) = action.r#type().filter(|t| t.as_str() != "forward") {
                remarks.push(format!("the rule's `{}` action is kept", kind.as_str()));
            }
        }
        remarks
    }
}
