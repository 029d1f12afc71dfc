//! The way back without bgctl: the actions as a file the AWS CLI reads, and the one command that puts them back.

use aws_sdk_elasticloadbalancingv2::types::{
    Action, AuthenticateCognitoActionConfig, AuthenticateOidcActionConfig, FixedResponseActionConfig,
    ForwardActionConfig, JwtValidationActionConfig, RedirectActionConfig,
};
use serde_json::{Map, Value, json};

use super::actions::{Groups, sendable};
use crate::child::quoted;
use crate::plan::{Color, Split};
use crate::routers::aws::Aws;
use crate::routers::{NativeWayBack, Reading};

/// The files and the command that put back what was read. `exact` of the reading is what [`super::Alb`] wrote there.
pub fn way_back(route: &str, reading: &Reading, groups: &Groups, aws: &Aws) -> NativeWayBack {
    let exact = &reading.exact;
    let mut actions = exact["actions"].clone();
    let mut files = Vec::new();
    let pretty = |value: &Value| format!("{value:#}\n");
    // On a sticky rule the exact state would leave users with a cookie on green, so they come back first.
    if let (false, Some(only)) = (exact["sticky"].is_null(), reading.split.only()) {
        files.push((format!("{route}-exact.json"), pretty(&actions)));
        let group = groups.of(only).as_str();
        for action in actions.as_array_mut().into_iter().flatten() {
            if let Some(groups) = action.pointer_mut("/ForwardConfig/TargetGroups").and_then(Value::as_array_mut) {
                groups.retain(|g| g["TargetGroupArn"] == group);
            }
        }
    }
    let name = format!("{route}-actions.json");
    let place = quoted(exact["arn"].as_str().unwrap_or_default());
    let what = match exact["through"].as_str() {
        Some("listener") => format!("modify-listener --listener-arn {place} --default-actions"),
        _ => format!("modify-rule --rule-arn {place} --actions"),
    };
    let mut command = format!("aws elbv2 {what} {}", quoted(&format!("file://{name}")));
    command += &format!(" --region {}", quoted(&aws.region));
    for (flag, value) in [("--profile", &aws.access.profile), ("--endpoint-url", &aws.access.endpoint)] {
        if let Some(value) = value {
            command += &format!(" {flag} {}", quoted(value));
        }
    }
    files.push((name, pretty(&actions)));
    NativeWayBack { files, command }
}

/// What has to be known before actions are replaced that nobody could read.
pub const BLIND: &str = "not read, so this leaves out other settings of the rule (sign-in, stickiness): \
    `aws elbv2 describe-rules` shows it";

/// The state that was read, or nothing at all, with everybody on one side.
pub fn all_on(stack: Color, mut exact: Value, groups: &Groups) -> Value {
    let all = Split::all_on(stack);
    let both = json!([
        { "TargetGroupArn": groups.blue.as_str(), "Weight": all.blue },
        { "TargetGroupArn": groups.green.as_str(), "Weight": all.green },
    ]);
    match exact["actions"].as_array_mut() {
        Some(actions) => {
            for action in actions.iter_mut().filter(|action| action["Type"] == "forward") {
                let Some(action) = action.as_object_mut() else { continue };
                action.remove("TargetGroupArn");
                action.entry("ForwardConfig").or_insert_with(|| json!({}))["TargetGroups"] = both.clone();
            }
        }
        None => {
            exact["actions"] = json!([{ "Type": "forward", "Order": 1, "ForwardConfig": { "TargetGroups": both } }]);
        }
    }
    exact
}

/// The actions in the form of `--actions file://…`, each as it may be sent.
pub fn to_json(actions: &[Action]) -> Value {
    Value::Array(actions.iter().map(|a| action(&sendable(a))).collect())
}

/// An object without the members that are not set.
fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    Value::Object(members.into_iter().filter_map(|(k, v)| Some((k.to_string(), v?))).collect::<Map<_, _>>())
}

fn action(a: &Action) -> Value {
    object([
        ("Type", a.r#type().map(|t| json!(t.as_str()))),
        ("Order", a.order().map(Value::from)),
        ("TargetGroupArn", a.target_group_arn().map(Value::from)),
        ("ForwardConfig", a.forward_config().map(forward)),
        ("AuthenticateOidcConfig", a.authenticate_oidc_config().map(oidc)),
        ("AuthenticateCognitoConfig", a.authenticate_cognito_config().map(cognito)),
        ("JwtValidationConfig", a.jwt_validation_config().map(jwt)),
        ("RedirectConfig", a.redirect_config().map(redirect)),
        ("FixedResponseConfig", a.fixed_response_config().map(fixed)),
    ])
}

fn forward(f: &ForwardActionConfig) -> Value {
    let tuples = f.target_groups().iter().map(|t| {
        object([("TargetGroupArn", t.target_group_arn().map(Value::from)), ("Weight", t.weight().map(Value::from))])
    });
    let sticky = f.target_group_stickiness_config().map(|s| {
        object([("Enabled", s.enabled().map(Value::from)), ("DurationSeconds", s.duration_seconds().map(Value::from))])
    });
    object([("TargetGroups", Some(tuples.collect())), ("TargetGroupStickinessConfig", sticky)])
}

fn oidc(o: &AuthenticateOidcActionConfig) -> Value {
    object([
        ("Issuer", o.issuer().map(Value::from)),
        ("AuthorizationEndpoint", o.authorization_endpoint().map(Value::from)),
        ("TokenEndpoint", o.token_endpoint().map(Value::from)),
        ("UserInfoEndpoint", o.user_info_endpoint().map(Value::from)),
        ("ClientId", o.client_id().map(Value::from)),
        ("SessionCookieName", o.session_cookie_name().map(Value::from)),
        ("Scope", o.scope().map(Value::from)),
        ("SessionTimeout", o.session_timeout().map(Value::from)),
        ("AuthenticationRequestExtraParams", o.authentication_request_extra_params().map(|p| sorted(p.iter()))),
        ("OnUnauthenticatedRequest", o.on_unauthenticated_request().map(|b| json!(b.as_str()))),
        ("UseExistingClientSecret", o.use_existing_client_secret().map(Value::from)),
    ])
}

fn cognito(c: &AuthenticateCognitoActionConfig) -> Value {
    object([
        ("UserPoolArn", c.user_pool_arn().map(Value::from)),
        ("UserPoolClientId", c.user_pool_client_id().map(Value::from)),
        ("UserPoolDomain", c.user_pool_domain().map(Value::from)),
        ("SessionCookieName", c.session_cookie_name().map(Value::from)),
        ("Scope", c.scope().map(Value::from)),
        ("SessionTimeout", c.session_timeout().map(Value::from)),
        ("AuthenticationRequestExtraParams", c.authentication_request_extra_params().map(|p| sorted(p.iter()))),
        ("OnUnauthenticatedRequest", c.on_unauthenticated_request().map(|b| json!(b.as_str()))),
    ])
}

fn jwt(j: &JwtValidationActionConfig) -> Value {
    let claims = j.additional_claims().iter().map(|c| {
        object([
            ("Format", c.format().map(|f| json!(f.as_str()))),
            ("Name", c.name().map(Value::from)),
            ("Values", Some(json!(c.values()))),
        ])
    });
    object([
        ("JwksEndpoint", j.jwks_endpoint().map(Value::from)),
        ("Issuer", j.issuer().map(Value::from)),
        ("AdditionalClaims", j.additional_claims.as_ref().map(|_| claims.collect())),
    ])
}

fn redirect(r: &RedirectActionConfig) -> Value {
    object([
        ("Protocol", r.protocol().map(Value::from)),
        ("Port", r.port().map(Value::from)),
        ("Host", r.host().map(Value::from)),
        ("Path", r.path().map(Value::from)),
        ("Query", r.query().map(Value::from)),
        ("StatusCode", r.status_code().map(|s| json!(s.as_str()))),
    ])
}

fn fixed(f: &FixedResponseActionConfig) -> Value {
    object([
        ("MessageBody", f.message_body().map(Value::from)),
        ("StatusCode", f.status_code().map(Value::from)),
        ("ContentType", f.content_type().map(Value::from)),
    ])
}

/// A map in a stable order, so that the same state is always the same bytes.
fn sorted<'a>(pairs: impl Iterator<Item = (&'a String, &'a String)>) -> Value {
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort();
    Value::Object(pairs.into_iter().map(|(k, v)| (k.clone(), json!(v))).collect())
}
