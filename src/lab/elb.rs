//! The load balancer's API: takes calls in the AWS query protocol, keeps the provider's rules, and hands new weights to
//! the proxy only after a while, as the real one does.
//!
//! It may not shortcut anything for bgctl: whoever has the endpoint and the key sees the same.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::request::Parts;
use axum::response::Response;

use super::dice::Dice;
use super::elb_answers;
use super::elb_model::{Model, Rule};
use super::elb_rules::{self, Action, Forward, Place, Refusal};
use super::fault::{Fault, Faults};
use super::memory::Memory;
use super::query::{Node, Xml};
use super::{locked, server, sigv4, time};

/// The only key the lab knows.
pub const ACCESS_KEY: &str = "AKIALABLABLABLABLAB0";
/// How long reads may still show what was there before a write.
pub const STALE: Duration = Duration::from_millis(100);

const ELB: &str = "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/";
const STS: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
const USER: &str = "arn:aws:sts::000000000000:assumed-role/bgctl-lab/rehearsal";

/// What the proxy follows, and what it will follow in a moment.
struct InForce {
    /// The number of the write it came from.
    number: u64,
    forward: Forward,
    /// Writes on their way, each with the moment it arrives.
    coming: Vec<(Instant, u64, Forward)>,
}

impl InForce {
    /// Takes in what has arrived. A later write that arrives first is not undone by an earlier one.
    fn catch_up(&mut self, now: Instant) {
        for (_, number, forward) in self.coming.extract_if(.., |write| write.0 <= now) {
            if number > self.number {
                (self.number, self.forward) = (number, forward);
            }
        }
    }
}

/// The load balancer.
pub struct Elb {
    model: Mutex<Model>,
    /// The secret that calls are signed with.
    secret: String,
    /// The rule whose weights the proxy follows.
    served: String,
    in_force: Mutex<InForce>,
    writes: AtomicU64,
    reads: AtomicU64,
    faults: Arc<Faults>,
    dice: Arc<Dice>,
    memory: Arc<Memory>,
}

impl Elb {
    /// A load balancer whose first rule is the one the proxy follows.
    pub fn new(model: Model, secret: &str, faults: Arc<Faults>, dice: Arc<Dice>, memory: Arc<Memory>) -> Arc<Elb> {
        let rule = &model.rules[0];
        let forward = rule.forward().cloned().expect("BUG: the served rule forwards");
        Arc::new(Elb {
            secret: secret.to_string(),
            served: rule.arn.clone(),
            in_force: Mutex::new(InForce { number: 0, forward, coming: Vec::new() }),
            model: Mutex::new(model),
            writes: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            faults,
            dice,
            memory,
        })
    }

    /// Runs `look` over the model. It must not take long: the proxy waits for the same lock.
    pub fn with<T>(&self, look: impl FnOnce(&mut Model) -> T) -> T {
        look(&mut locked(&self.model))
    }

    /// What the proxy follows, with a number that changes when it does.
    pub fn in_force(&self) -> (u64, Forward) {
        let mut in_force = locked(&self.in_force);
        in_force.catch_up(time::now());
        (in_force.number, in_force.forward.clone())
    }

    /// Answers one call.
    pub async fn answer(self: Arc<Self>, parts: Parts, body: Bytes) -> Response {
        if self.faults.bites(Fault::ApiSlow) {
            time::sleep(time::ms(100)).await;
        }
        let call = Node::parse(&body);
        let action = call.get("Action").unwrap_or_default().to_string();
        let namespace = if action == "GetCallerIdentity" { STS } else { ELB };
        let request_id = self.dice.uuid();
        let (status, xml) = match self.carry_out(&parts, &body, &action, &call) {
            Ok(_) if is_write(&action) && self.faults.bites(Fault::ApiLostReply) => return server::cut(),
            Ok(result) => (200, Xml::answer(&action, namespace, &request_id, result)),
            Err(refusal) => {
                let fault = if refusal.status < 500 { "Sender" } else { "Receiver" };
                (refusal.status, Xml::refusal(namespace, &request_id, fault, refusal.code, &refusal.message))
            }
        };
        let mut response = server::answer(status, "text/xml", xml);
        let id = request_id.parse().expect("BUG: a request id is plain text");
        response.headers_mut().insert("x-amzn-requestid", id);
        response
    }

    fn carry_out(&self, parts: &Parts, body: &[u8], action: &str, call: &Node) -> Result<Xml, Refusal> {
        sigv4::check(parts, body, ACCESS_KEY, &self.secret)?;
        let count = if is_write(action) { &self.writes } else { &self.reads };
        let count = count.fetch_add(1, Ordering::Relaxed);
        let throttled = if is_write(action) { count % 3 < 2 } else { count % 4 == 3 };
        if throttled && action != "GetCallerIdentity" && self.faults.bites(Fault::ApiThrottles) {
            return Err(Refusal::new("Throttling", "Rate exceeded"));
        }
        if is_write(action) && self.faults.bites(Fault::ApiDenied) {
            let on = call.get("RuleArn").or(call.get("ListenerArn")).or(call.get("TargetGroupArn")).unwrap_or("*");
            let message = format!(
                "User: {USER} is not authorized to perform: elasticloadbalancing:{action} on resource: {on} \
                 because no identity-based policy allows the elasticloadbalancing:{action} action"
            );
            return Err(Refusal { status: 403, code: "AccessDenied", message });
        }
        match action {
            "GetCallerIdentity" => Ok(caller()),
            "ModifyRule" => self.modify_rule(call),
            "ModifyListener" => self.modify_listener(call),
            _ => self.with(|model| elb_answers::carry_out(model, action, call, count)),
        }
    }

    fn modify_rule(&self, call: &Node) -> Result<Xml, Refusal> {
        let arn = call.get("RuleArn").ok_or_else(|| Refusal::invalid("A rule ARN must be specified"))?;
        self.with(|model| {
            let index = model
                .rules
                .iter()
                .position(|rule| rule.arn == arn)
                .ok_or_else(|| Refusal::new("RuleNotFound", format!("Rules '{arn}' not found")))?;
            if model.rules[index].priority.is_none() {
                let message = format!("Default rule '{arn}' cannot be modified");
                return Err(Refusal::new("OperationNotPermitted", message));
            }
            if call.find("Conditions").is_some() {
                return Err(Refusal::new("OperationNotPermitted", "The lab does not change conditions"));
            }
            self.write(model, index, &call.members("Actions"))?;
            let mut xml = Xml::default();
            xml.list("Rules", [&model.rules[index]], |xml, rule| elb_answers::rule(xml, rule, &rule.actions));
            Ok(xml)
        })
    }

    fn modify_listener(&self, call: &Node) -> Result<Xml, Refusal> {
        let arn = call.get("ListenerArn").ok_or_else(|| Refusal::invalid("A listener ARN must be specified"))?;
        self.with(|model| {
            let missing = || Refusal::new("ListenerNotFound", format!("Listeners '{arn}' not found"));
            let listener = model.listeners.iter().position(|listener| listener.arn == arn).ok_or_else(missing)?;
            let default = |rule: &Rule| rule.listener == arn && rule.priority.is_none();
            let index = model.rules.iter().position(default).expect("BUG: each listener has a default rule");
            self.write(model, index, &call.members("DefaultActions"))?;
            let mut xml = Xml::default();
            let listener = &model.listeners[listener];
            xml.list("Listeners", [listener], |xml, listener| elb_answers::listener(xml, listener, model));
            Ok(xml)
        })
    }

    /// Puts new actions into a rule, and sends them on their way to the proxy.
    fn write(&self, model: &mut Model, index: usize, members: &[&Node]) -> Result<(), Refusal> {
        let rule = &model.rules[index];
        let groups: Vec<&str> = model.groups.iter().map(|group| group.arn.as_str()).collect();
        let https = model.listeners.iter().any(|listener| listener.arn == rule.listener && listener.https);
        let secret = rule.actions.iter().any(|action| action.secret);
        let actions: Vec<Action> = elb_rules::read(members, &Place { https, groups: &groups, secret })?;
        let rule = &mut model.rules[index];
        let before = std::mem::replace(&mut rule.actions, actions);
        rule.before = Some((time::now(), before));
        if rule.arn == self.served {
            let forward = rule.forward().cloned().unwrap_or_default();
            self.memory.keep(&forward);
            self.propagate(forward);
        }
        Ok(())
    }

    /// Lets the proxy follow after 100 to 300 ms. The proxy looks at the time when it is asked, so no timer can be late.
    fn propagate(&self, forward: Forward) {
        let number = self.writes.load(Ordering::Relaxed);
        let lag = time::ms(self.dice.between(100, 300));
        locked(&self.in_force).coming.push((time::now() + lag, number, forward));
    }
}

fn is_write(action: &str) -> bool {
    ["Modify", "Register", "Deregister"].iter().any(|verb| action.starts_with(verb))
}

fn caller() -> Xml {
    let mut xml = Xml::default();
    xml.leaf("Arn", USER);
    xml.leaf("UserId", "AROALABLABLABLABLAB0:rehearsal");
    xml.leaf("Account", "000000000000");
    xml
}
