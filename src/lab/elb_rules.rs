//! The load balancer's own rules for a list of actions. A call that breaks one is refused and changes nothing.
//!
//! Where the provider documents a refusal, the lab refuses with the same code. Two weights of zero are not documented;
//! the lab refuses them, because no driver may ever send them.

use super::query::Node;

/// One action of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    pub kind: String,
    pub order: Option<u32>,
    /// For `forward`.
    pub forward: Option<Forward>,
    /// The settings of any other kind, under their own name, given back as they came.
    pub settings: Option<(String, Node)>,
    /// Kept with an OIDC action and never given back.
    pub secret: bool,
}

/// Where a forward sends to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forward {
    /// Target group and weight.
    pub groups: Vec<(String, u32)>,
    /// Seconds a client stays with its group, when it does.
    pub sticky_s: Option<u32>,
}

/// A call that is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub code: &'static str,
    pub message: String,
}

impl Refusal {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Refusal { status: 400, code, message: message.into() }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Refusal::new("ValidationError", message)
    }
}

/// What the rules need to know of the place the actions are for.
pub struct Place<'a> {
    pub https: bool,
    pub groups: &'a [&'a str],
    /// Whether the actions that are there now hold an OIDC secret.
    pub secret: bool,
}

/// Kind, and the name of its settings.
const KINDS: [(&str, &str); 6] = [
    ("forward", "ForwardConfig"),
    ("redirect", "RedirectConfig"),
    ("fixed-response", "FixedResponseConfig"),
    ("authenticate-oidc", "AuthenticateOidcConfig"),
    ("authenticate-cognito", "AuthenticateCognitoConfig"),
    ("jwt-validation", "JwtValidationConfig"),
];

/// Reads a list of actions, in the order they are carried out, or says which rule it breaks.
pub fn read(members: &[&Node], place: &Place) -> Result<Vec<Action>, Refusal> {
    let mut actions = members.iter().map(|node| action(node, place)).collect::<Result<Vec<_>, _>>()?;
    if actions.is_empty() {
        return Err(Refusal::invalid("A rule must have at least one action"));
    }
    if actions.len() > 1 {
        let mut orders = actions.iter().map(|action| action.order).collect::<Vec<_>>();
        orders.sort_unstable();
        orders.dedup();
        if orders.contains(&None) {
            return Err(Refusal::invalid(
                "You must specify an order for each action when there is more than one action",
            ));
        }
        if orders.len() < actions.len() {
            return Err(Refusal::invalid("The order of each action must be unique"));
        }
        actions.sort_by_key(|action| action.order);
    }
    let routing = |action: &Action| KINDS[..3].iter().any(|(kind, _)| *kind == action.kind);
    if actions.iter().filter(|action| routing(action)).count() != 1 {
        return Err(Refusal::new(
            "InvalidLoadBalancerAction",
            "A rule must have exactly one action of type forward, redirect or fixed-response",
        ));
    }
    if !actions.last().is_some_and(routing) {
        return Err(Refusal::new(
            "InvalidLoadBalancerAction",
            "The last action must be of type forward, redirect or fixed-response",
        ));
    }
    Ok(actions)
}

fn action(node: &Node, place: &Place) -> Result<Action, Refusal> {
    let kind = node.get("Type").ok_or_else(|| Refusal::invalid("Each action must have a type"))?;
    let Some((_, name)) = KINDS.iter().find(|(known, _)| *known == kind) else {
        let known = KINDS.map(|(kind, _)| kind).join(", ");
        return Err(Refusal::invalid(format!(
            "Value '{kind}' at 'actions.type' failed to satisfy constraint: Member must satisfy enum value set: [{known}]"
        )));
    };
    let order = node.get("Order").map(|text| number(text, "order", 1, 50_000)).transpose()?;
    let mut action = Action { kind: kind.to_string(), order, forward: None, settings: None, secret: false };
    if kind == "forward" {
        action.forward = Some(forward(node, place.groups)?);
        return Ok(action);
    }
    let needs_https = KINDS[3..].iter().any(|(auth, _)| *auth == kind);
    if needs_https && !place.https {
        return Err(Refusal::new(
            "InvalidLoadBalancerAction",
            format!("Actions of type '{kind}' are supported only on HTTPS listeners"),
        ));
    }
    let mut settings =
        node.find(name).cloned().ok_or_else(|| Refusal::invalid(format!("{name} must be specified for '{kind}'")))?;
    if kind == "authenticate-oidc" {
        action.secret = oidc_secret(&mut settings, place.secret)?;
    }
    action.settings = Some((name.to_string(), settings));
    Ok(action)
}

/// The secret goes in and never comes out again: who writes back what was described has to say that the old one stays.
fn oidc_secret(settings: &mut Node, kept: bool) -> Result<bool, Refusal> {
    let given = settings.take("ClientSecret");
    let reuse = settings.get("UseExistingClientSecret") == Some("true");
    settings.take("UseExistingClientSecret");
    match (given, reuse) {
        (true, true) => Err(Refusal::invalid("You cannot specify both ClientSecret and UseExistingClientSecret")),
        (true, false) => Ok(true),
        (false, true) if kept => Ok(true),
        (false, true) => Err(Refusal::invalid("There is no existing client secret to use")),
        (false, false) => Err(Refusal::invalid("A client secret must be specified for 'authenticate-oidc'")),
    }
}

fn forward(node: &Node, known: &[&str]) -> Result<Forward, Refusal> {
    let mut groups = Vec::new();
    let listed = node.members("ForwardConfig.TargetGroups");
    for tuple in &listed {
        let arn = tuple
            .get("TargetGroupArn")
            .ok_or_else(|| Refusal::invalid("Each target group of a forward action must have an ARN"))?;
        let weight = tuple.get("Weight").map_or(Ok(1), |text| number(text, "weight", 0, 999))?;
        groups.push((arn.to_string(), weight));
    }
    if let Some(arn) = node.get("TargetGroupArn") {
        match groups.as_slice() {
            [] => groups.push((arn.to_string(), 1)),
            [(only, _)] if only == arn => {}
            _ => {
                return Err(Refusal::invalid(
                    "If you specify both ForwardConfig and TargetGroupArn, you can specify only one target group, \
                     and it must be the same one",
                ));
            }
        }
    }
    if groups.is_empty() {
        return Err(Refusal::invalid("A forward action must have at least one target group"));
    }
    if groups.len() > 5 {
        return Err(Refusal::invalid("A forward action can have at most 5 target groups"));
    }
    for (index, (arn, _)) in groups.iter().enumerate() {
        if groups[..index].iter().any(|(other, _)| other == arn) {
            return Err(Refusal::invalid(format!("Target group '{arn}' is specified more than once")));
        }
        if !known.contains(&arn.as_str()) {
            return Err(Refusal::new("TargetGroupNotFound", format!("Target groups '{arn}' not found")));
        }
    }
    if groups.iter().all(|(_, weight)| *weight == 0) {
        return Err(Refusal::invalid("At least one target group must have a weight greater than 0"));
    }
    Ok(Forward { groups, sticky_s: stickiness(node)? })
}

fn stickiness(node: &Node) -> Result<Option<u32>, Refusal> {
    let Some(settings) = node.find("ForwardConfig.TargetGroupStickinessConfig") else { return Ok(None) };
    let duration = settings.get("DurationSeconds").map(|text| number(text, "duration", 1, 604_800)).transpose()?;
    match (settings.get("Enabled"), duration) {
        (Some("true"), None) => {
            Err(Refusal::invalid("You must specify a duration when target group stickiness is enabled"))
        }
        (Some("true"), duration) => Ok(duration),
        _ => Ok(None),
    }
}

fn number(text: &str, what: &str, low: u32, high: u32) -> Result<u32, Refusal> {
    match text.parse::<u32>() {
        Ok(number) if (low..=high).contains(&number) => Ok(number),
        _ => Err(Refusal::invalid(format!("The {what} '{text}' must be between {low} and {high} inclusive"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(https: bool, secret: bool, form: &str) -> Result<Vec<Action>, Refusal> {
        let node = Node::parse(form.replace(' ', "&").as_bytes());
        read(&node.members("A"), &Place { https, groups: &["b", "g", "c", "d", "e", "f"], secret })
    }

    /// A forward as member `n`, to target groups `name:weight`.
    fn to(n: u32, groups: &str) -> String {
        let mut form = format!("A.member.{n}.Type=forward");
        for (index, group) in groups.split(',').enumerate() {
            let (name, weight) = group.split_once(':').unwrap();
            let at = format!("A.member.{n}.ForwardConfig.TargetGroups.member.{}", index + 1);
            form += &format!(" {at}.TargetGroupArn={name} {at}.Weight={weight}");
        }
        form
    }

    #[test]
    fn what_the_provider_refuses_is_refused() {
        let sticky = "A.member.1.ForwardConfig.TargetGroupStickinessConfig";
        let oidc = "A.member.1.Type=authenticate-oidc A.member.1.Order=1 A.member.1.AuthenticateOidcConfig.Issuer=i";
        let last = format!("{} A.member.2.Order=2", to(2, "b:1,g:0"));
        let cases: Vec<(bool, String, &str, &str)> = vec![
            (false, String::new(), "ValidationError", "at least one action"),
            (false, "A.member.1.Order=1".into(), "ValidationError", "type"),
            (false, "A.member.1.Type=warp".into(), "ValidationError", "enum value set"),
            (false, to(1, "b:1000"), "ValidationError", "between 0 and 999"),
            (false, to(1, "b:-1"), "ValidationError", "between 0 and 999"),
            (false, to(1, "b:1.5"), "ValidationError", "between 0 and 999"),
            (false, to(1, "b:0,g:0"), "ValidationError", "greater than 0"),
            (false, to(1, "b:1,b:2"), "ValidationError", "more than once"),
            (false, to(1, "b:1,g:1,c:1,d:1,e:1,f:1"), "ValidationError", "at most 5"),
            (false, to(1, "b:1,z:1"), "TargetGroupNotFound", "not found"),
            (false, "A.member.1.Type=forward".into(), "ValidationError", "at least one target group"),
            (false, to(1, "b:1,g:1") + " A.member.1.TargetGroupArn=b", "ValidationError", "only one target group"),
            (false, to(1, "b:1") + " A.member.1.TargetGroupArn=g", "ValidationError", "only one target group"),
            (false, to(1, "b:1,g:1") + &format!(" {sticky}.Enabled=true"), "ValidationError", "duration"),
            (
                false,
                to(1, "b:1,g:1") + &format!(" {sticky}.Enabled=true {sticky}.DurationSeconds=604801"),
                "ValidationError",
                "between 1 and 604800",
            ),
            (false, format!("{} {}", to(1, "b:1"), to(2, "g:1")), "ValidationError", "order"),
            (
                false,
                format!("{} A.member.1.Order=1 {} A.member.2.Order=1", to(1, "b:1"), to(2, "g:1")),
                "ValidationError",
                "unique",
            ),
            (
                false,
                format!("{} A.member.1.Order=1 {} A.member.2.Order=2", to(1, "b:1"), to(2, "g:1")),
                "InvalidLoadBalancerAction",
                "exactly one",
            ),
            (false, format!("{oidc} {last}"), "InvalidLoadBalancerAction", "HTTPS"),
            (true, format!("{oidc} {last}"), "ValidationError", "client secret"),
            (
                true,
                format!("{oidc} A.member.1.AuthenticateOidcConfig.UseExistingClientSecret=true {last}"),
                "ValidationError",
                "no existing",
            ),
            (
                true,
                format!(
                    "{oidc} A.member.1.AuthenticateOidcConfig.ClientSecret=s {}",
                    last.replace("Order=2", "Order=0")
                ),
                "ValidationError",
                "between 1",
            ),
            (
                true,
                format!(
                    "{} {last}",
                    oidc.replace("Order=1", "Order=3 A.member.1.AuthenticateOidcConfig.ClientSecret=s")
                ),
                "InvalidLoadBalancerAction",
                "last action",
            ),
            (true, "A.member.1.Type=redirect".into(), "ValidationError", "RedirectConfig"),
        ];
        for (https, form, code, words) in cases {
            let refusal = judge(https, false, &form).expect_err(&form);
            assert_eq!(refusal.code, code, "{form}: {}", refusal.message);
            assert!(refusal.message.contains(words), "{form}: {}", refusal.message);
        }
    }

    #[test]
    fn what_the_provider_takes_is_taken() {
        let single = judge(false, false, "A.member.1.Type=forward A.member.1.TargetGroupArn=b").unwrap();
        assert_eq!(single[0].forward.as_ref().unwrap().groups, [("b".to_string(), 1)]);
        judge(false, false, &(to(1, "b:7") + " A.member.1.TargetGroupArn=b")).unwrap();
        judge(false, false, &to(1, "b:999,g:0")).unwrap();
        let form = format!(
            "A.member.1.Type=authenticate-oidc A.member.1.Order=1 A.member.1.AuthenticateOidcConfig.Issuer=i \
             A.member.1.AuthenticateOidcConfig.UseExistingClientSecret=true {} A.member.2.Order=2",
            to(2, "b:90,g:10")
        );
        let actions = judge(true, true, &form).unwrap();
        assert!(actions[0].secret && actions[0].settings.as_ref().unwrap().1.get("ClientSecret").is_none());
    }
}
