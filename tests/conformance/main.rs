//! What every kind must do, whichever it is: routers, steps, sources and pagers, each row of each table at each of its places.
//! A row without a place, a place without a row, and a row without a page fail by name.
//!
//! The other tables are run where their other ends are: anchors in `audit/anchors.rs`, forms of export in `process/exports.rs`, CI
//! viewers in `renderers.rs`, signers in `audit/certificates.rs`.

#[cfg(feature = "aws")]
mod alb;
#[path = "../common/mod.rs"]
mod common;
#[cfg(feature = "dns")]
mod dns;
mod envoy;
mod fleets;
mod haproxy;
mod manifest;
mod newcomer;
mod nginx;
mod pager;
mod program;
mod rehearsal;
#[cfg(feature = "route53")]
mod route53;
mod router;
mod source;
mod step;
#[path = "../sockets/stub.rs"]
mod stub;

use std::pin::Pin;

use bgctl::gates::source as sources;
use bgctl::people::pager as pagers;
use bgctl::{routers, steps};
use common::kinds::Table;
use serde_json::{Value, json};

/// A place of a router: where it is, and how the suite is run there.
type At = (&'static str, &'static str, fn(&'static routers::Kind) -> Pin<Box<dyn Future<Output = ()>>>);

const ROUTERS: &[At] = &[
    #[cfg(feature = "aws")]
    ("alb", "a rule of moto", |kind| Box::pin(alb::rule_on_moto(kind))),
    #[cfg(feature = "aws")]
    ("alb", "the default rule of moto", |kind| Box::pin(alb::default_rule_on_moto(kind))),
    #[cfg(feature = "aws")]
    ("alb", "the rule of the lab", |kind| Box::pin(alb::rule_in_the_lab(kind))),
    #[cfg(feature = "dns")]
    ("dns", "BIND and its secondary behind unbound", |kind| Box::pin(dns::record_on_bind(kind))),
    ("envoy", "a real Envoy", |kind| Box::pin(envoy::one(kind))),
    ("envoy", "two that watch one file", |kind| Box::pin(envoy::two(kind))),
    ("nginx", "a host", |kind| Box::pin(nginx::one_host(kind))),
    ("nginx", "two hosts behind a prefix", |kind| Box::pin(nginx::two_hosts(kind))),
    ("haproxy", "a backend of a real HAProxy", |kind| Box::pin(haproxy::a_backend(kind))),
    ("haproxy", "two of them, with several servers a side", |kind| Box::pin(haproxy::two(kind))),
    ("program", "a flag in Redis", |kind| Box::pin(program::flag_in_redis(kind))),
    #[cfg(feature = "aws")]
    ("program", "the alias of a Lambda function", |kind| Box::pin(program::alias_of_lambda(kind))),
    #[cfg(feature = "route53")]
    ("route53", "weighted records of moto behind the real rules", |kind| Box::pin(route53::records_on_moto(kind))),
    ("slack_manifest", "an app", |kind| Box::pin(manifest::app(kind))),
    ("socket_mode", "two fleets", |kind| Box::pin(fleets::two_fleets(kind))),
];

/// An entry of `policy.page` for each pager.
fn of_pagers() -> Vec<(&'static str, Value)> {
    vec![
        ("pagerduty", json!({ "pagerduty": "${env:KEY}" })),
        ("slack", json!({ "slack": "${env:KEY}" })),
        ("webhook", json!({ "webhook": "${env:KEY}" })),
        ("command", json!({ "command": ["page", "${env:KEY}"] })),
    ]
}

/// Settings for each source, of one number about one stack.
fn of_sources() -> Vec<(&'static str, Value)> {
    let query = "select count(*) from orders where version = '{version}'";
    vec![
        ("prometheus", json!(r#"max(queue_depth{color="{stack}"})"#)),
        (
            "cloudwatch",
            json!({ "metric": "TargetResponseTime", "stat": "Average", "dimensions": { "Color": "{stack}" } }),
        ),
        ("http", json!({ "url": "{url}/count", "headers": { "authorization": "${env:PASSWORD}" } })),
        ("sql", json!({ "postgres": "postgres://bgctl:${env:PASSWORD}@db.test/bot", "query": query })),
        ("command", json!({ "run": ["count", "{stack}", "${env:PASSWORD}"] })),
    ]
}

fn names<T>(places: &[(&'static str, T)]) -> Vec<&'static str> {
    places.iter().map(|(name, _)| *name).collect()
}

#[test]
fn every_router_at_each_of_its_places() {
    let table = Table {
        of: "router",
        kinds: routers::KINDS.iter().map(|kind| (kind.name, kind.page)).collect(),
        topic: None,
        places: ROUTERS.iter().map(|(name, ..)| *name).collect(),
    };
    table.is_complete();
    // All at the same time: most of it is waiting.
    std::thread::scope(|scope| {
        let mut running = Vec::new();
        for kind in routers::KINDS {
            for (name, place, run) in ROUTERS.iter().filter(|(name, ..)| *name == kind.name) {
                let run = move || {
                    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
                    runtime.expect("a runtime").block_on(run(kind));
                };
                let named = format!("{name}, {place}");
                running.push((named.clone(), std::thread::Builder::new().name(named).spawn_scoped(scope, run)));
            }
        }
        let ended = running.into_iter().map(|(named, thread)| (named, thread.expect("a thread").join()));
        let failed: Vec<String> = ended.filter(|(_, end)| end.is_err()).map(|(named, _)| named).collect();
        assert!(failed.is_empty(), "what was said stands above; failed: {failed:?}");
    });
}

#[test]
fn every_pager() {
    let places = of_pagers();
    let kinds = pagers::KINDS.iter().map(|kind| (kind.name, kind.page)).collect();
    Table { of: "pager", kinds, topic: Some("paging"), places: names(&places) }.is_complete();
    for kind in pagers::KINDS {
        for (_, entry) in places.iter().filter(|(name, _)| *name == kind.name) {
            pager::suite(kind, entry);
        }
    }
}

#[test]
fn every_source() {
    let places = of_sources();
    let kinds = sources::KINDS.iter().map(|kind| (kind.name, kind.page)).collect();
    Table { of: "source", kinds, topic: Some("sources"), places: names(&places) }.is_complete();
    for kind in sources::KINDS {
        for (_, settings) in places.iter().filter(|(name, _)| *name == kind.name) {
            source::suite(kind, settings);
        }
    }
}

#[test]
fn every_step() {
    let places = step::places();
    let kinds = steps::KINDS.iter().map(|kind| (kind.name, kind.page)).collect();
    Table { of: "step", kinds, topic: None, places: names(&places) }.is_complete();
    for kind in steps::KINDS {
        for (_, settings) in places.iter().filter(|(name, _)| *name == kind.name) {
            step::suite(kind, settings);
        }
    }
}

/// A table with nothing amiss, and what is found when something is taken out of it.
#[test]
fn whatever_is_missing_is_found_by_name() {
    let whole = || Table {
        of: "router",
        kinds: vec![("one", "# The one\n\n`one`"), ("two", "# The two\n\n`two`")],
        topic: None,
        places: vec!["one", "two", "two"],
    };
    let explain = |topic: &str| Some(format!("  The {topic}\n\n  {topic}"));
    let lacks = |change: fn(&mut Table<'static>)| {
        let mut table = whole();
        change(&mut table);
        table.lacks(explain)
    };
    assert_eq!(lacks(|_| {}), [""; 0]);
    assert_eq!(lacks(|table| table.kinds.truncate(1)), ["router `two` has a place and no row"; 2]);
    assert_eq!(
        lacks(|table| table.places.retain(|name| *name != "one")),
        ["router `one` has no place where it is run"]
    );
    assert_eq!(
        lacks(|table| table.kinds[0].1 = "# The 1"),
        ["router `one` has no page that names it", "router `one` has a page that `bgctl explain one` does not show",]
    );
    assert_eq!(lacks(|table| table.kinds[1].1 = "").len(), 2);
    assert_eq!(lacks(|table| table.kinds.push(table.kinds[0])), ["router `one` has two rows"]);
    assert_eq!(
        whole().lacks(|topic| explain(topic).filter(|_| topic == "one")),
        ["router `two` has a page that `bgctl explain two` does not show"]
    );
}
