//! The answers of the load balancer's API that need nothing but the model: every `Describe…`, and targets coming and going.

use std::net::SocketAddr;

use super::elb::STALE;
use super::elb_model::{Group, Health, Listener, Model, NAME, Rule, Tags, Target};
use super::elb_rules::{Action, Refusal};
use super::query::{Node, Xml};
use super::time;

/// Carries out one call. `count` numbers the reads: every second one may be stale for a moment after a write.
pub fn carry_out(model: &mut Model, action: &str, call: &Node, count: u64) -> Result<Xml, Refusal> {
    match action {
        "DescribeLoadBalancers" => balancers(model, call),
        "DescribeListeners" => listeners(model, call),
        "DescribeRules" => rules(model, call, count % 2 == 1),
        "DescribeTargetGroups" => groups(model, call),
        "DescribeTargetGroupAttributes" => attributes(model, call),
        "DescribeTargetHealth" => health(model, call),
        "DescribeTags" => tags(model, call),
        "RegisterTargets" => register(model, call),
        "DeregisterTargets" => deregister(model, call),
        _ => Err(Refusal::new("InvalidAction", format!("Could not find operation {action} for version 2015-12-01"))),
    }
}

/// How much of a list is given where no size is asked for: whoever reads one page only sees too little.
const PAGE: usize = 20;

/// One page of a list, and the marker of the next.
fn page<'a, T>(all: Vec<&'a T>, call: &Node) -> Result<(Vec<&'a T>, Option<String>), Refusal> {
    let number = |name: &str, none: usize| match call.get(name) {
        None => Ok(none),
        Some(text) => text.parse().map_err(|_| Refusal::invalid(format!("{name} '{text}' is not valid"))),
    };
    let (from, size) = (number("Marker", 0)?, number("PageSize", PAGE)?);
    if !(1..=400).contains(&size) {
        return Err(Refusal::invalid(format!("PageSize '{size}' must be between 1 and 400 inclusive")));
    }
    let next = (all.len() > from + size).then(|| (from + size).to_string());
    Ok((all.into_iter().skip(from).take(size).collect(), next))
}

/// Those asked for by name, all known, or everything.
fn asked<'a, T>(
    all: &'a [T],
    names: &[&str],
    name: impl Fn(&T) -> &str,
    missing: &'static str,
) -> Result<Vec<&'a T>, Refusal> {
    if names.is_empty() {
        return Ok(all.iter().collect());
    }
    let one = |wanted: &&str| {
        all.iter()
            .find(|item| name(item) == *wanted)
            .ok_or_else(|| Refusal::new(missing, format!("One or more of the resources not found: '{wanted}'")))
    };
    names.iter().map(one).collect()
}

fn listing<T>(
    name: &str,
    (items, next): (Vec<&T>, Option<String>),
    each: impl Fn(&mut Xml, &T),
) -> Result<Xml, Refusal> {
    let mut xml = Xml::default();
    xml.list(name, items, each);
    if let Some(next) = next {
        xml.leaf("NextMarker", next);
    }
    Ok(xml)
}

/// The name in an ARN of a load balancer or a target group.
fn called(arn: &str) -> &str {
    let skip = if arn.contains(":targetgroup/") { 1 } else { 2 };
    arn.split('/').nth(skip).unwrap_or_default()
}

fn balancers(model: &Model, call: &Node) -> Result<Xml, Refusal> {
    let (arns, names) = (call.texts("LoadBalancerArns"), call.texts("Names"));
    let all: Vec<String> = model.balancers().into_iter().cloned().collect();
    let found = match (arns.is_empty(), names.is_empty()) {
        (false, false) => return Err(Refusal::invalid("Load balancer names and ARNs cannot be specified together")),
        (true, false) => asked(&all, &names, |arn| called(arn), "LoadBalancerNotFound")?,
        _ => asked(&all, &arns, |arn| arn, "LoadBalancerNotFound")?,
    };
    listing("LoadBalancers", page(found, call)?, |xml, arn| {
        xml.leaf("LoadBalancerArn", arn);
        xml.leaf("DNSName", "127.0.0.1");
        xml.leaf("LoadBalancerName", called(arn));
        xml.leaf("Scheme", "internal");
        xml.leaf("Type", "application");
        xml.tag("State", |xml| xml.leaf("Code", "active"));
    })
}

fn listeners(model: &Model, call: &Node) -> Result<Xml, Refusal> {
    let names = call.texts("ListenerArns");
    match call.get("LoadBalancerArn") {
        Some(arn) if arn == model.neighbours.balancer => return listing("Listeners", (Vec::new(), None), |_, ()| ()),
        Some(arn) if arn != model.balancer => {
            return Err(Refusal::new("LoadBalancerNotFound", format!("Load balancer '{arn}' not found")));
        }
        None if names.is_empty() => {
            return Err(Refusal::invalid("You must specify either listener ARNs or a load balancer ARN"));
        }
        _ => {}
    }
    let found = asked(&model.listeners, &names, |listener| &listener.arn, "ListenerNotFound")?;
    listing("Listeners", page(found, call)?, |xml, one| listener(xml, one, model))
}

pub fn listener(xml: &mut Xml, listener: &Listener, model: &Model) {
    xml.leaf("ListenerArn", &listener.arn);
    xml.leaf("LoadBalancerArn", &model.balancer);
    xml.leaf("Port", listener.port);
    xml.leaf("Protocol", if listener.https { "HTTPS" } else { "HTTP" });
    let default = model.rules.iter().find(|rule| rule.listener == listener.arn && rule.priority.is_none());
    xml.list("DefaultActions", default.map(|rule| rule.actions.as_slice()).unwrap_or_default(), action);
}

fn rules(model: &Model, call: &Node, stale: bool) -> Result<Xml, Refusal> {
    let names = call.texts("RuleArns");
    let found = match call.get("ListenerArn") {
        Some(_) if !names.is_empty() => {
            return Err(Refusal::invalid("You can specify either rule ARNs or a listener ARN, not both"));
        }
        None if names.is_empty() => {
            return Err(Refusal::invalid("You must specify either rule ARNs or a listener ARN"));
        }
        None => asked(&model.rules, &names, |rule| &rule.arn, "RuleNotFound")?,
        Some(arn) if model.listeners.iter().all(|listener| listener.arn != arn) => {
            return Err(Refusal::new("ListenerNotFound", format!("Listener '{arn}' not found")));
        }
        Some(arn) => model.rules.iter().filter(|rule| rule.listener == arn).collect(),
    };
    listing("Rules", page(found, call)?, |xml, one| {
        let shown = match &one.before {
            Some((when, before)) if stale && time::now().duration_since(*when) < STALE => before,
            _ => &one.actions,
        };
        rule(xml, one, shown);
    })
}

pub fn rule(xml: &mut Xml, rule: &Rule, actions: &[Action]) {
    xml.leaf("RuleArn", &rule.arn);
    xml.leaf("Priority", rule.priority.map_or("default".to_string(), |priority| priority.to_string()));
    xml.list("Conditions", rule.path, |xml, path| {
        xml.leaf("Field", "path-pattern");
        xml.list("Values", [path], |xml, path| xml.text(path));
        xml.tag("PathPatternConfig", |xml| xml.list("Values", [path], |xml, path| xml.text(path)));
    });
    xml.list("Actions", actions, action);
    xml.leaf("IsDefault", rule.priority.is_none());
}

fn action(xml: &mut Xml, action: &Action) {
    xml.leaf("Type", &action.kind);
    if let Some(order) = action.order {
        xml.leaf("Order", order);
    }
    if let Some((name, settings)) = &action.settings {
        xml.echo(name, settings);
    }
    let Some(forward) = &action.forward else { return };
    // A forward to one group is shown in both forms, and a write that sends both back must have them agree.
    if let [(arn, _)] = forward.groups.as_slice() {
        xml.leaf("TargetGroupArn", arn);
    }
    xml.tag("ForwardConfig", |xml| {
        xml.list("TargetGroups", &forward.groups, |xml, (arn, weight)| {
            xml.leaf("TargetGroupArn", arn);
            xml.leaf("Weight", weight);
        });
        xml.tag("TargetGroupStickinessConfig", |xml| {
            xml.leaf("Enabled", forward.sticky_s.is_some());
            if let Some(duration) = forward.sticky_s {
                xml.leaf("DurationSeconds", duration);
            }
        });
    });
}

fn groups(model: &Model, call: &Node) -> Result<Xml, Refusal> {
    let (arns, names) = (call.texts("TargetGroupArns"), call.texts("Names"));
    let own = model.groups.iter().map(|group: &Group| &group.arn);
    let all: Vec<String> = model.neighbours.groups.iter().chain(own).cloned().collect();
    let found = match (arns.is_empty(), names.is_empty()) {
        (false, false) => return Err(Refusal::invalid("Target group names and ARNs cannot be specified together")),
        (true, false) => asked(&all, &names, |arn| called(arn), "TargetGroupNotFound")?,
        _ => asked(&all, &arns, |arn| arn, "TargetGroupNotFound")?,
    };
    listing("TargetGroups", page(found, call)?, |xml, arn| {
        xml.leaf("TargetGroupArn", arn);
        xml.leaf("TargetGroupName", called(arn));
        xml.leaf("Protocol", "HTTP");
        xml.leaf("Port", 80);
        xml.leaf("HealthCheckProtocol", "HTTP");
        xml.leaf("HealthCheckPort", "traffic-port");
        xml.leaf("HealthCheckEnabled", true);
        xml.leaf("HealthCheckIntervalSeconds", 5);
        xml.leaf("HealthCheckTimeoutSeconds", 2);
        xml.leaf("HealthyThresholdCount", 2);
        xml.leaf("UnhealthyThresholdCount", 2);
        xml.leaf("HealthCheckPath", "/healthz/ready");
        xml.tag("Matcher", |xml| xml.leaf("HttpCode", "200"));
        xml.list("LoadBalancerArns", model.in_use(arn).then_some(&model.balancer), |xml, arn| xml.text(arn));
        xml.leaf("TargetType", "ip");
        xml.leaf("ProtocolVersion", "HTTP1");
        xml.leaf("IpAddressType", "ipv4");
    })
}

fn attributes(model: &mut Model, call: &Node) -> Result<Xml, Refusal> {
    let delay = group(model, call)?.deregistration_delay_s;
    let mut xml = Xml::default();
    let rows = [
        ("deregistration_delay.timeout_seconds", delay.to_string()),
        ("stickiness.enabled", "false".to_string()),
        ("slow_start.duration_seconds", "0".to_string()),
        ("load_balancing.algorithm.type", "round_robin".to_string()),
    ];
    xml.list("Attributes", rows, |xml, (key, value)| {
        xml.leaf("Key", key);
        xml.leaf("Value", value);
    });
    Ok(xml)
}

fn group<'a>(model: &'a mut Model, call: &Node) -> Result<&'a mut Group, Refusal> {
    let arn = call.get("TargetGroupArn").ok_or_else(|| Refusal::invalid("A target group ARN must be specified"))?;
    let found = model.groups.iter_mut().find(|group| group.arn == arn);
    found.ok_or_else(|| Refusal::new("TargetGroupNotFound", "One or more target groups not found"))
}

/// The addresses a call names.
fn addresses(call: &Node) -> Result<Vec<SocketAddr>, Refusal> {
    let one = |node: &Node| {
        let id = node.get("Id").unwrap_or_default();
        let text = format!("{id}:{}", node.get("Port").unwrap_or("80"));
        text.parse().map_err(|_| Refusal::new("InvalidTarget", format!("The IP address '{id}' is not valid")))
    };
    call.members("Targets").into_iter().map(one).collect()
}

fn health(model: &mut Model, call: &Node) -> Result<Xml, Refusal> {
    let wanted = addresses(call)?;
    let targets = group(model, call)?.targets.clone();
    let used = model.in_use(call.get("TargetGroupArn").unwrap_or_default());
    let mut rows: Vec<(SocketAddr, [&str; 3])> = targets
        .iter()
        .filter(|target| wanted.is_empty() || wanted.contains(&target.address))
        .map(|target| (target.address, state(target, used)))
        .collect();
    for address in wanted {
        if targets.iter().all(|target| target.address != address) {
            rows.push((address, ["unused", "Target.NotRegistered", "Target is not registered to the target group"]));
        }
    }
    let mut xml = Xml::default();
    xml.list("TargetHealthDescriptions", rows, |xml, (address, [state, reason, description])| {
        xml.tag("Target", |xml| {
            xml.leaf("Id", address.ip());
            xml.leaf("Port", address.port());
        });
        xml.leaf("HealthCheckPort", address.port());
        xml.tag("TargetHealth", |xml| {
            xml.leaf("State", state);
            if !reason.is_empty() {
                xml.leaf("Reason", reason);
                xml.leaf("Description", description);
            }
        });
    });
    Ok(xml)
}

fn state(target: &Target, used: bool) -> [&'static str; 3] {
    if target.leaving.is_some() {
        return ["draining", "Target.DeregistrationInProgress", "Target deregistration is in progress"];
    }
    if !used {
        let description = "Target group is not configured to receive traffic from the load balancer";
        return ["unused", "Target.NotInUse", description];
    }
    match target.health {
        Health::Initial => ["initial", "Elb.InitialHealthChecking", "Initial health checks in progress"],
        Health::Healthy => ["healthy", "", ""],
        Health::Unhealthy(reason @ "Target.Timeout") => ["unhealthy", reason, "Request timed out"],
        Health::Unhealthy(reason @ "Target.ResponseCodeMismatch") => {
            ["unhealthy", reason, "Health checks failed with another code than 200"]
        }
        Health::Unhealthy(reason) => ["unhealthy", reason, "Health checks failed"],
    }
}

fn tags(model: &Model, call: &Node) -> Result<Xml, Refusal> {
    let arns = call.texts("ResourceArns");
    if arns.is_empty() || arns.len() > 20 {
        return Err(Refusal::invalid("You must specify between 1 and 20 resource ARNs"));
    }
    let of = |arn: &str| -> Result<Tags, Refusal> {
        if let Some(rule) = model.rules.iter().find(|rule| rule.arn == arn) {
            return Ok(rule.tags.clone());
        }
        if let Some(group) = model.groups.iter().find(|group| group.arn == arn) {
            return Ok(group.tags.clone());
        }
        if model.neighbours.groups.iter().any(|group| group == arn) || model.neighbours.balancer == arn {
            return Ok(vec![("app", "shop")]);
        }
        if model.balancer == arn {
            return Ok(vec![("app", "bot"), ("Name", NAME)]);
        }
        let missing = match arn.split(':').nth(5).unwrap_or_default().split('/').next() {
            Some("listener-rule") => "RuleNotFound",
            Some("listener") => "ListenerNotFound",
            Some("targetgroup") => "TargetGroupNotFound",
            _ => "LoadBalancerNotFound",
        };
        let known = model.listeners.iter().any(|listener| listener.arn == arn);
        if known { Ok(Vec::new()) } else { Err(Refusal::new(missing, format!("'{arn}' not found"))) }
    };
    let rows = arns.into_iter().map(|arn| Ok((arn, of(arn)?))).collect::<Result<Vec<_>, Refusal>>()?;
    let mut xml = Xml::default();
    xml.list("TagDescriptions", rows, |xml, (arn, tags)| {
        xml.leaf("ResourceArn", arn);
        xml.list("Tags", tags, |xml, (key, value)| {
            xml.leaf("Key", key);
            xml.leaf("Value", value);
        });
    });
    Ok(xml)
}

fn register(model: &mut Model, call: &Node) -> Result<Xml, Refusal> {
    let wanted = addresses(call)?;
    if let Some(other) = wanted.iter().find(|address| !address.ip().is_loopback()) {
        return Err(Refusal::new("InvalidTarget", format!("The lab only reaches loopback, not '{other}'")));
    }
    let group = group(model, call)?;
    for address in wanted {
        group.targets.retain(|target| target.address != address || target.leaving.is_none());
        if group.targets.iter().all(|target| target.address != address) {
            group.targets.push(Target::new(address));
        }
    }
    Ok(Xml::default())
}

fn deregister(model: &mut Model, call: &Node) -> Result<Xml, Refusal> {
    let wanted = addresses(call)?;
    let group = group(model, call)?;
    for target in group.targets.iter_mut().filter(|target| wanted.contains(&target.address)) {
        target.leaving.get_or_insert_with(time::now);
    }
    Ok(Xml::default())
}
