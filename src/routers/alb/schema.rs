//! JSON Schema of the settings of an `alb` route.

use schemars::SchemaGenerator;
use serde_json::{Value, json};

use super::arn::Sort;
use super::names::Which;

/// The settings: in ARNs, in names, or some of each.
pub fn schema(generator: &mut SchemaGenerator) -> schemars::Schema {
    // One object with either of two members: a mistake in it is then placed where it stands.
    let by = json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "description": "its name in this region and account" },
            "tags": {
                "type": "object", "additionalProperties": { "type": "string" }, "minProperties": 1,
                "description": "tags that no other thing of the kind has"
            }
        },
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": false
    });
    let which = json!(generator.subschema_for::<Which>());
    let arn = |sort: Sort| json!({ "type": "string", "pattern": sort.pattern() });
    let one_of = |words: &str, forms: Vec<Value>| json!({ "description": words, "anyOf": forms });
    let name = json!({ "type": "string", "pattern": "^[A-Za-z0-9-]{1,32}$" });
    let port = json!({ "type": "integer", "minimum": 1, "maximum": 65535 });
    let digits = json!({ "type": "string", "pattern": "^[0-9]{1,5}$" });
    schemars::json_schema!({
        "type": "object",
        "description": "a rule of an AWS Application Load Balancer that forwards to two target groups",
        "properties": {
            "region": {
                "type": "string", "pattern": "^[a-z0-9-]+$",
                "description": "the region, where no ARN says it: `us-east-1`"
            },
            "load_balancer": one_of(
                "the load balancer whose listener is given by its port: its name, its tags or its ARN",
                vec![name, by.clone(), arn(Sort::LoadBalancer)],
            ),
            "listener": one_of(
                "the listener: its port, or its ARN; without `rule` its default rule is moved",
                vec![port.clone(), digits.clone(), arn(Sort::Listener)],
            ),
            "rule": one_of(
                "the rule whose weights are moved: its ARN, or what a rule of the listener is known by",
                vec![arn(Sort::Rule), which.clone()],
            ),
            "blue": one_of("the target group that serves now", vec![arn(Sort::TargetGroup), by.clone()]),
            "green": one_of("the target group that is to serve next", vec![arn(Sort::TargetGroup), by]),
            "test": {
                "type": "object",
                "description": "a listener or a rule that leads to green alone, to be looked at before users: a port or an ARN",
                "properties": {
                    "listener": { "anyOf": [port, digits, arn(Sort::Listener)] },
                    "rule": { "anyOf": [arn(Sort::Rule), which] }
                },
                "minProperties": 1,
                "additionalProperties": false
            },
            "min_healthy": {
                "type": "integer", "minimum": 1, "maximum": 1000, "default": 1,
                "description": "fewest healthy targets a side must have before users may be sent to it"
            }
        },
        "required": ["blue", "green"],
        "if": { "not": { "required": ["rule"] } },
        "then": { "required": ["listener"] },
        "additionalProperties": false
    })
}
