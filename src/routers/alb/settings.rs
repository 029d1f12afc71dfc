//! The settings of an `alb` route, checked field by field so that every mistake has its place. Nothing is asked of the provider:
//! what is written in ARNs is ready, and what is written in names is still to be looked up.

use serde_json::Value;

use super::actions::Groups;
use super::fields::Fields;
use super::names::{Known, Names, Spot};
use super::place::Place;
use crate::diag::Mistake;

/// Settings in ARNs alone.
#[derive(Clone, Debug)]
pub struct Settings {
    pub place: Place,
    pub groups: Groups,
    /// What is looked at before users: it leads to green alone.
    pub test: Option<Place>,
    pub min_healthy: u32,
}

/// Settings as a runbook writes them.
#[derive(Clone, Debug)]
pub enum Written {
    Arns(Box<Settings>),
    Names(Box<Names>),
}

impl Settings {
    fn of(place: Place, groups: Groups, test: Option<Place>, min_healthy: Option<u32>) -> Settings {
        Settings { place, groups, test, min_healthy: min_healthy.unwrap_or(1) }
    }
}

impl Written {
    /// Reads the settings, or names all mistakes in them.
    pub fn read(value: &Value) -> Result<Written, Vec<Mistake>> {
        let Some(fields) = value.as_object() else {
            let message = "`alb` takes a mapping with `rule`, `blue` and `green`".into();
            return Err(vec![Mistake { at: String::new(), message, help: None }]);
        };
        let mut fields = Fields::new(fields);
        let spot = fields.spot();
        let (blue, green) = (fields.group("blue", "serves now"), fields.group("green", "is to serve next"));
        let test = fields.test(spot.as_ref());
        let min_healthy = fields.min_healthy();
        let region = fields.region();
        if let (Some(spot), Some(blue), Some(green)) = (spot, blue, green)
            && let Some(region) = fields.home(region, [Some(&spot), test.as_ref()], [&blue, &green])
            && fields.review.0.is_empty()
        {
            return Ok(match (spot, blue, green, test) {
                (Spot::Arn(place), Known::Arn(blue), Known::Arn(green), None) => {
                    Written::Arns(Box::new(Settings::of(place, Groups { blue, green }, None, min_healthy)))
                }
                (Spot::Arn(place), Known::Arn(blue), Known::Arn(green), Some(Spot::Arn(test))) => {
                    Written::Arns(Box::new(Settings::of(place, Groups { blue, green }, Some(test), min_healthy)))
                }
                (spot, blue, green, test) => {
                    Written::Names(Box::new(Names { region, spot, blue, green, test, min_healthy }))
                }
            });
        }
        Err(fields.review.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
        let Written::Arns(settings) = Written::read(&good()).unwrap() else { panic!("by ARNs alone") };
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
            let mistakes = Written::read(&value).unwrap_err();
            for (at, words) in *wanted {
                assert!(
                    mistakes.iter().any(|m| m.at == *at && m.message.contains(words)),
                    "{at} {words}: {mistakes:?}"
                );
            }
        }
    }

    fn by_names() -> Value {
        json!({
            "region": "us-east-1", "load_balancer": "bot", "listener": 443, "rule": { "priority": 10 },
            "blue": { "name": "bot-blue" }, "green": { "tags": { "app": "bot", "color": "green" } },
        })
    }

    #[test]
    fn names_are_read_alone_and_beside_arns() {
        type Change = fn(&mut Value);
        let listener =
            "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/bot/50dc6c495c0c9188/0467ef3c8400ae65";
        let table: &[(Change, &str)] = &[
            (|_| {}, "alb rule (priority 10) of listener 443 of `bot` in us-east-1"),
            (
                |v| {
                    *v = json!({ "region": "us-east-1", "load_balancer": { "tags": { "app": "bot" } }, "listener": "443",
                                 "blue": v["blue"], "green": v["green"] })
                },
                "alb default rule of listener 443 of the load balancer with app=bot in us-east-1",
            ),
            (
                |v| v["rule"] = json!({ "host": "bot.example.com", "path": "/slack/*", "tags": { "app": "bot" } }),
                "alb rule (host bot.example.com, path /slack/*, tags app=bot) of listener 443 of `bot` in us-east-1",
            ),
            // An ARN says the region, wherever it stands.
            (
                |v| {
                    v["blue"] = good()["blue"].clone();
                    v.as_object_mut().unwrap().remove("region");
                },
                "alb rule (priority 10) of listener 443 of `bot` in us-east-1",
            ),
            (
                |v| *v = json!({ "rule": good()["rule"], "blue": v["blue"], "green": v["green"] }),
                "alb rule 8c1f3f0a1e2d3c4b of `bot` in us-east-1",
            ),
        ];
        for (change, line) in table {
            let mut value = by_names();
            change(&mut value);
            match Written::read(&value) {
                Ok(Written::Names(names)) => {
                    assert_eq!((names.line().as_str(), names.region.as_str()), (*line, "us-east-1"))
                }
                other => panic!("{line}: {other:?}"),
            }
        }
        // What is looked at before users is of the users' own load balancer, and of their listener where it names none.
        for (value, test, line) in [
            (by_names(), json!({ "listener": 8443 }), "alb default rule of listener 8443 of `bot` in us-east-1"),
            (good(), json!({ "listener": "8443" }), "alb default rule of listener 8443 of `bot` in us-east-1"),
            (
                good(),
                json!({ "rule": { "header": { "name": "x-stack", "value": "green" } } }),
                "alb rule (header x-stack: green) of listener 0467ef3c8400ae65 of `bot` in us-east-1",
            ),
            (
                by_names(),
                json!({ "rule": { "priority": 5 } }),
                "alb rule (priority 5) of listener 443 of `bot` in us-east-1",
            ),
        ] {
            let mut value = value;
            value["test"] = test;
            let Ok(Written::Names(names)) = Written::read(&value) else { panic!("{value}") };
            assert_eq!(names.test.expect("it is written").line(&names.region), line);
        }
        let mut value = good();
        value["test"] = json!({ "listener": listener });
        let Ok(Written::Arns(settings)) = Written::read(&value) else { panic!("nothing to look up") };
        assert!(settings.test.is_some());
        let value = json!({ "listener": listener, "rule": { "priority": 10 }, "blue": good()["blue"], "green": good()["green"] });
        assert!(matches!(Written::read(&value), Ok(Written::Names(_))), "a priority is looked up");
    }

    #[test]
    fn every_mistake_in_names_has_its_place() {
        type Change = fn(&mut Value);
        let table: &[(Change, &[(&str, &str)])] = &[
            (|v| v["region"] = json!("US East"), &[("/region", "\"US East\" is not a region")]),
            (|v| drop(v.as_object_mut().unwrap().remove("region")), &[("", "does not say in which region")]),
            (|v| drop(v.as_object_mut().unwrap().remove("listener")), &[("/load_balancer", "alone is no listener")]),
            (
                |v| drop(v.as_object_mut().unwrap().remove("load_balancer")),
                &[("/listener", "a port alone is no listener")],
            ),
            (|v| v["listener"] = json!(0), &[("/listener", "`0` is no port")]),
            (|v| v["listener"] = json!("70000"), &[("/listener", "`70000` is no port")]),
            (|v| v["listener"] = json!([443]), &[("/listener", "`listener` is no text")]),
            (|v| v["load_balancer"] = json!("bot_1"), &[("/load_balancer", "`bot_1` is not a name")]),
            (
                |v| v["load_balancer"] = good()["rule"].clone(),
                &[("/load_balancer", "is not the ARN of an Application")],
            ),
            (|v| v["rule"] = json!({}), &[("/rule", "says nothing about the rule")]),
            (|v| v["rule"] = json!({ "priority": 0 }), &[("/rule/priority", "is not between 1 and 50000")]),
            (|v| v["rule"] = json!({ "prio": 10 }), &[("/rule", "unknown field `prio`")]),
            (|v| v["rule"] = json!({ "host": "" }), &[("/rule/host", "an empty text")]),
            (|v| v["rule"] = json!({ "tags": { "": "x" } }), &[("/rule/tags", "is not a tag")]),
            (
                |v| v["rule"] = good()["rule"].clone(),
                &[("/listener", "exclude each other"), ("/load_balancer", "says its load balancer already")],
            ),
            (
                |v| {
                    v["listener"] = json!(
                        "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/bot/50dc6c495c0c9188/0467ef3c8400ae65"
                    )
                },
                &[("/load_balancer", "the ARN of `listener` says")],
            ),
            (
                |v| {
                    *v = json!({ "rule": { "priority": 1 }, "region": "us-east-1", "blue": v["blue"], "green": v["green"] })
                },
                &[("/rule", "does not say of which listener")],
            ),
            (|v| v["blue"] = json!({ "name": "bot.blue" }), &[("/blue/name", "`bot.blue` is not a name")]),
            (|v| v["blue"] = json!("bot-blue"), &[("/blue", "six parts")]),
            (|v| v["blue"] = json!({ "tags": {} }), &[("/blue/tags", "no tag is named")]),
            (|v| v["blue"] = json!({ "tags": { "version": 2 } }), &[("/blue", "invalid type: integer `2`")]),
            (|v| v["blue"] = json!({ "name": "a", "tags": {} }), &[("/blue", "map with a single key")]),
            (|v| v["blue"] = json!({ "nam": "a" }), &[("/blue", "unknown variant `nam`, expected `name` or `tags`")]),
            (|v| v["blue"] = v["green"].clone(), &[("/green", "same target group")]),
            (
                |v| v["blue"] = json!(good()["blue"].as_str().unwrap().replace("us-east-1", "eu-west-1")),
                &[("/region", "`blue` is in `eu-west-1`, and `region` says `us-east-1`")],
            ),
        ];
        for (change, wanted) in table {
            let mut value = by_names();
            change(&mut value);
            let mistakes = Written::read(&value).expect_err(&format!("{wanted:?}"));
            for (at, words) in *wanted {
                assert!(
                    mistakes.iter().any(|m| m.at == *at && m.message.contains(words)),
                    "{at} {words}: {mistakes:?}"
                );
            }
            assert_eq!(mistakes.len(), wanted.len(), "{mistakes:?}");
        }
        let table: &[(Value, &str, &str)] = &[
            (json!(8443), "/test", "`test` is no mapping"),
            (json!({}), "/test", "names no place"),
            (json!({ "listener": 0 }), "/test/listener", "is no port"),
            (json!({ "port": 8443 }), "/test/port", "unknown field `port`"),
            (json!({ "rule": { "header": { "name": "x" } } }), "/test/rule", "missing field `value`"),
            (json!({ "rule": { "header": { "name": "", "value": "g" } } }), "/test/rule/header/name", "an empty text"),
            (
                json!({ "rule": { "header": { "name": "x y", "value": "g" } } }),
                "/test/rule/header/name",
                "no name of a header",
            ),
            (json!({ "rule": good()["rule"], "listener": 8443 }), "/test/listener", "says its listener already"),
            (json!({ "rule": good()["blue"] }), "/test/rule", "has not the parts"),
        ];
        for (test, at, words) in table {
            let mut value = by_names();
            value["test"] = test.clone();
            let found = Written::read(&value).unwrap_err();
            assert!(found.len() == 1 && found[0].at == *at && found[0].message.contains(words), "{test}: {found:?}");
        }
        let mut value = good();
        value["test"] = json!({ "rule": good()["rule"] });
        assert!(Written::read(&value).unwrap_err()[0].message.contains("is where users are"));
        value["test"] = json!({ "rule": good()["rule"].as_str().unwrap().replace("us-east-1", "eu-west-1") });
        assert!(Written::read(&value).unwrap_err()[0].message.contains("`test` is not where its load balancer is"));
        let mut bare = by_names();
        bare["blue"] = json!("bot-blue");
        assert_eq!(Written::read(&bare).unwrap_err()[0].help.as_deref(), Some("did you mean `{ name: bot-blue }`?"));
    }
}
