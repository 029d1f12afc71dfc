//! What each row of each table does in a rehearsal: it says so, and what it says is so. A row that is missing here, or is here and
//! says something else, fails by name.

use std::collections::BTreeMap;

use bgctl::audit::anchors;
use bgctl::gates::source as sources;
use bgctl::people::pager as pagers;
use bgctl::rehearsal::{InLab, Own};
use bgctl::{routers, steps};
use serde_json::{Value, json};

/// The lab of these rows has one address.
const LAB: &str = "http://127.0.0.1:4001";
/// And the world another.
const WORLD: &str = "http://10.0.0.7:4001";

/// What a row says, and settings with the lab's address (or the mark) that it takes, each pointer of which is then led astray.
enum Says {
    Nowhere,
    LeftOut,
    Missing,
    /// Settings that are all the lab's, and pointers to each address in them.
    To(Value, &'static [&'static str]),
    Program,
    /// Settings that hold a program at this pointer.
    ProgramAt(&'static str),
}

fn own() -> Own {
    let variables = BTreeMap::from([
        ("url".to_string(), LAB.to_string()),
        ("rule".into(), "arn:aws:elasticloadbalancing:eu-west-1:1:listener-rule/lab".into()),
    ]);
    Own::new(variables, vec![("SLACK_WEBHOOK_URL".into(), format!("{LAB}/services/T/B/x"))], &BTreeMap::new())
}

fn rows() -> Vec<(String, InLab)> {
    let mut rows = Vec::new();
    rows.extend(routers::KINDS.iter().map(|kind| (format!("router {}", kind.name), kind.lab)));
    rows.extend(steps::KINDS.iter().map(|kind| (format!("step {}", kind.name), kind.lab)));
    rows.extend(sources::KINDS.iter().map(|kind| (format!("source {}", kind.name), kind.lab)));
    rows.extend(pagers::KINDS.iter().map(|kind| (format!("pager {}", kind.name), kind.lab)));
    rows.extend(anchors::KINDS.iter().map(|kind| (format!("anchor {}", kind.name), kind.lab)));
    rows
}

fn said() -> Vec<(&'static str, Says)> {
    let (rule, fleet) = ("arn:aws:elasticloadbalancing:eu-west-1:1:listener-rule/lab", json!([LAB, LAB]));
    let url = || json!({ "url": LAB });
    vec![
        #[cfg(feature = "aws")]
        ("router alb", Says::To(json!({ "rule": rule, "blue": rule, "green": rule }), &["/rule", "/blue", "/green"])),
        #[cfg(feature = "dns")]
        ("router dns", Says::Missing),
        ("router envoy", Says::Missing),
        ("router haproxy", Says::Missing),
        ("router nginx", Says::Missing),
        ("router program", Says::Program),
        #[cfg(feature = "route53")]
        ("router route53", Says::Missing),
        ("router slack_manifest", Says::Missing),
        (
            "router socket_mode",
            Says::To(json!({ "blue": fleet, "green": fleet, "api": LAB }), &["/blue/1", "/green/0", "/api"]),
        ),
        ("step warm", Says::Nowhere),
        (
            "step smoke",
            Says::To(
                json!({ "public": url(), "response_url": { "listen": "127.0.0.1:0", "url": LAB } }),
                &["/public/url", "/response_url/listen", "/response_url/url"],
            ),
        ),
        ("step migrate", Says::Program),
        ("step ready", Says::ProgramAt("/by")),
        ("step shift", Says::Nowhere),
        ("step drain", Says::To(json!({ "instances": [LAB] }), &["/instances/0"])),
        ("step bake", Says::To(json!({ "ledger": url() }), &["/ledger/url"])),
        ("step command", Says::Program),
        ("step announce", Says::To(json!({ "slack": { "api": LAB, "token": "${env:T}" } }), &["/slack/api"])),
        ("source prometheus", Says::Nowhere),
        ("source cloudwatch", Says::Missing),
        ("source http", Says::To(url(), &["/url"])),
        ("source sql", Says::Missing),
        ("source command", Says::Program),
        ("pager pagerduty", Says::Missing),
        ("pager slack", Says::To(json!({ "slack": "${env:SLACK_WEBHOOK_URL}" }), &["/slack"])),
        ("pager webhook", Says::To(json!({ "webhook": LAB }), &["/webhook"])),
        ("pager command", Says::Program),
        ("anchor file", Says::LeftOut),
        ("anchor git", Says::LeftOut),
        ("anchor slack", Says::LeftOut),
        ("anchor rfc3161", Says::LeftOut),
    ]
}

#[test]
fn every_row_says_where_it_goes_in_a_rehearsal_and_goes_nowhere_else() {
    let (rows, said) = (rows(), said());
    let names: Vec<&str> = rows.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, said.iter().map(|(name, _)| *name).collect::<Vec<_>>(), "a row, and what it says");
    let own = own();
    for ((name, row), (_, says)) in rows.into_iter().zip(said) {
        let refused = |settings: &Value| row.review(&name, settings, &own);
        let world = json!({ "url": WORLD, "command": ["x"], "run": ["x"] });
        match says {
            Says::Nowhere => assert!(matches!(row, InLab::Nowhere) && refused(&world).is_empty(), "{name}"),
            Says::LeftOut => assert!(matches!(row, InLab::LeftOut), "{name}"),
            Says::Missing => {
                let found = refused(&world);
                assert!(found.len() == 1 && found[0].message.starts_with("the lab has no "), "{name}: {found:?}");
            }
            Says::Program => {
                let found = refused(&world);
                assert!(found.len() == 1 && found[0].message.contains("not marked as safe"), "{name}: {found:?}");
                assert!(refused(&json!({ "command": ["x"], "lab": "safe" })).is_empty(), "{name}");
            }
            Says::ProgramAt(at) => {
                let key = &at[1..];
                let found = refused(&json!({ key: world }));
                assert!(found.len() == 1 && found[0].at == at, "{name}: {found:?}");
                assert!(refused(&json!({ key: { "run": ["x"], "lab": "safe" } })).is_empty(), "{name}");
            }
            Says::To(settings, addresses) => {
                assert_eq!(refused(&settings).into_iter().map(|m| m.message).collect::<Vec<_>>(), [""; 0], "{name}");
                for at in addresses {
                    let mut astray = settings.clone();
                    *astray.pointer_mut(at).expect("a place") = WORLD.into();
                    let found = refused(&astray);
                    assert!(
                        found.len() == 1 && found[0].at == **at && found[0].help.is_some(),
                        "{name} {at}: {found:?}"
                    );
                    assert!(found[0].message.contains(WORLD), "{name} {at}");
                }
            }
        }
    }
}

/// What a kind does where nothing is written is written nowhere: it counts all the same.
#[test]
fn an_address_that_is_left_out_is_the_default_one_and_not_the_lab_s() {
    let refused = |name: &str, settings: Value| {
        let row = rows().into_iter().find(|(row, _)| row == name).expect("a row").1;
        row.review(name, &settings, &own()).into_iter().map(|mistake| mistake.message).collect::<Vec<_>>()
    };
    let fleets = json!({ "blue": [LAB], "green": [LAB] });
    assert!(refused("router socket_mode", fleets)[0].contains("https://slack.com/api/"));
    let token = json!({ "slack": { "token": "${env:T}", "channel": "C1" } });
    assert!(refused("step announce", token)[0].contains("https://slack.com/api"));
    let lookup = json!({ "blue": { "lookup": "http://bot.internal" }, "green": [LAB], "api": LAB });
    assert!(refused("router socket_mode", lookup)[0].contains("http://bot.internal"));
}
