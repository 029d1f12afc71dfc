//! The settings of an `alb` route, checked field by field so that every mistake has its place.

use serde_json::{Value, json};

use super::actions::Groups;
use super::arn::{Arn, Sort};
use crate::diag::Mistake;

/// Which actions are changed.
#[derive(Clone, Debug)]
pub enum Place {
    Rule(Arn),
    /// The default rule of this listener.
    Listener(Arn),
}

impl Place {
    pub fn arn(&self) -> &Arn {
        match self {
            Place::Rule(arn) | Place::Listener(arn) => arn,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub place: Place,
    pub groups: Groups,
    pub min_healthy: u32,
}

const KEYS: [&str; 5] = ["rule", "listener", "blue", "green", "min_healthy"];

impl Settings {
    /// Reads the settings, or names all mistakes in them.
    pub fn read(value: &Value) -> Result<Settings, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let Some(fields) = value.as_object() else {
            return Err(vec![mistake("", "`alb` takes a mapping with `rule`, `blue` and `green`", None)]);
        };
        for key in fields.keys().filter(|k| !KEYS.contains(&k.as_str())) {
            let near = KEYS.iter().max_by(|a, b| strsim::jaro(a, key).total_cmp(&strsim::jaro(b, key)));
            let help = near.map(|n| format!("did you mean `{n}`? `alb` takes {}", KEYS.join(", ")));
            mistakes.push(mistake(
                &format!("/{}", key.replace('~', "~0").replace('/', "~1")),
                &format!("unknown field `{key}`"),
                help,
            ));
        }
        let mut arn = |key: &str, sort: Sort| {
            let read = match fields.get(key)? {
                Value::String(text) => Arn::read(text, sort),
                other => Err(format!("an ARN is a string, not {other}")),
            };
            let wrong = |why: String| {
                mistakes.push(mistake(&format!("/{key}"), &format!("`{key}` is {why}"), Some(sort.shape())))
            };
            read.map_err(wrong).ok()
        };
        let (rule, listener) = (arn("rule", Sort::Rule), arn("listener", Sort::Listener));
        let (blue, green) = (arn("blue", Sort::TargetGroup), arn("green", Sort::TargetGroup));
        match (fields.contains_key("rule"), fields.contains_key("listener")) {
            (false, false) => mistakes.push(mistake(
                "",
                "`alb` names no place",
                Some(
                    "write `rule:` with the ARN of a listener rule, or `listener:` for the default rule of a listener"
                        .into(),
                ),
            )),
            (true, true) => mistakes.push(mistake("/listener", "`rule` and `listener` exclude each other", None)),
            _ => {}
        }
        for (key, words) in [("blue", "serves now"), ("green", "is to serve next")] {
            if !fields.contains_key(key) {
                let help = format!("the ARN of the target group that {words}");
                mistakes.push(mistake("", &format!("`alb` lacks `{key}`"), Some(help)));
            }
        }
        let min_healthy = match fields.get("min_healthy").map(Value::as_u64) {
            None => 1,
            Some(Some(count @ 1..=1000)) => u32::try_from(count).unwrap_or(1000),
            Some(_) => {
                mistakes.push(mistake("/min_healthy", "`min_healthy` is a number of targets, 1 to 1000", None));
                1
            }
        };
        let place = rule.map(Place::Rule).or(listener.map(Place::Listener));
        if let (Some(place), Some(blue), Some(green)) = (place, blue, green) {
            if blue == green {
                mistakes.push(mistake("/green", "`green` is the same target group as `blue`", None));
            }
            for (key, group) in [("blue", &blue), ("green", &green)] {
                if (&group.region, &group.account) != (&place.arn().region, &place.arn().account) {
                    let home = format!("region `{}`, account `{}`", place.arn().region, place.arn().account);
                    let words = format!("`{key}` is not where its load balancer is ({home})");
                    mistakes.push(mistake(&format!("/{key}"), &words, None));
                }
            }
            if mistakes.is_empty() {
                return Ok(Settings { place, groups: Groups { blue, green }, min_healthy });
            }
        }
        Err(mistakes)
    }
}

fn mistake(at: &str, message: &str, help: Option<String>) -> Mistake {
    Mistake { at: at.into(), message: message.into(), help }
}

/// JSON Schema of the settings.
pub fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let arn = |sort: Sort, words: &str| json!({ "type": "string", "pattern": sort.pattern(), "description": words });
    schemars::json_schema!({
        "type": "object",
        "description": "a rule of an AWS Application Load Balancer that forwards to two target groups",
        "properties": {
            "rule": arn(Sort::Rule, "ARN of the listener rule whose weights are moved"),
            "listener": arn(Sort::Listener, "ARN of the listener whose default rule is moved"),
            "blue": arn(Sort::TargetGroup, "ARN of the target group that serves now"),
            "green": arn(Sort::TargetGroup, "ARN of the target group that is to serve next"),
            "min_healthy": {
                "type": "integer", "minimum": 1, "maximum": 1000, "default": 1,
                "description": "fewest healthy targets a side must have before users may be sent to it"
            }
        },
        "required": ["blue", "green"],
        "oneOf": [{ "required": ["rule"] }, { "required": ["listener"] }],
        "additionalProperties": false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Value {
        let of = |resource: &str| format!("arn:aws:elasticloadbalancing:us-east-1:123456789012:{resource}");
        json!({
            "rule": of("listener-rule/app/bot/50dc6c495c0c9188/0467ef3c8400ae65/8c1f3f0a1e2d3c4b"),
            "blue": of("targetgroup/bot-blue/6d0ecf831eec9f09"),
            "green": of("targetgroup/bot-green/73e2d6bc24d8a067"),
        })
    }

    #[test]
    fn good_settings_are_read() {
        let settings = Settings::read(&good()).unwrap();
        assert_eq!((settings.groups.green.name(), settings.min_healthy), ("bot-green", 1));
    }

    #[test]
    fn every_mistake_has_its_place() {
        type Change = fn(&mut Value);
        let table: &[(Change, &[(&str, &str)])] = &[
            (|v| v["rulle"] = v["rule"].take(), &[("/rule", "a string"), ("/rulle", "unknown field `rulle`")]),
            (|v| v["green"] = v["blue"].clone(), &[("/green", "same target group")]),
            (
                |v| v["listener"] = v["rule"].clone(),
                &[("/listener", "it names a rule"), ("/listener", "exclude each other")],
            ),
            (|v| v["min_healthy"] = json!(0), &[("/min_healthy", "1 to 1000")]),
            (|v| v["min_healthy"] = json!("two"), &[("/min_healthy", "1 to 1000")]),
            (
                |v| v["green"] = json!(v["green"].as_str().unwrap().replace("us-east-1", "eu-west-1")),
                &[("/green", "not where its load balancer is")],
            ),
            (|v| *v = json!({}), &[("", "names no place"), ("", "lacks `blue`"), ("", "lacks `green`")]),
            (|v| *v = json!("arn:aws:…"), &[("", "takes a mapping")]),
            (
                |v| {
                    v["rule"] = json!("x");
                    v["blue"] = json!(7);
                },
                &[("/rule", "`rule` is not the ARN of a listener rule"), ("/blue", "not 7")],
            ),
        ];
        for (change, wanted) in table {
            let mut value = good();
            change(&mut value);
            let mistakes = Settings::read(&value).unwrap_err();
            for (at, words) in *wanted {
                assert!(
                    mistakes.iter().any(|m| m.at == *at && m.message.contains(words)),
                    "{at} {words}: {mistakes:?}"
                );
            }
        }
    }
}
