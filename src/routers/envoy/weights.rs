//! The weights of one route, found in a route configuration: in the file and in what Envoy says that it runs, which are of one
//! form. Arithmetic and names only: nobody is asked here.

use serde_json::Value;

use super::settings::Settings;
use crate::plan::{Color, Split};
use crate::routers::Trouble;

/// All users, in hundredths of a per cent. It is always the same, so that a user who is told apart by a hash meets the other side
/// once only as its share grows.
pub const ALL: u32 = 10_000;

/// Where the weights of both sides stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub host: usize,
    pub route: usize,
    /// The entries of blue and of green among the weighted clusters.
    pub entries: [usize; 2],
    pub weights: [u32; 2],
}

/// Why there is no split to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub kind: Trouble,
    pub what: String,
    pub cure: String,
}

impl Found {
    pub fn split(&self) -> Split {
        let [blue, green] = self.weights;
        Split { blue, green }
    }
}

/// A member, under its name in the documentation or the one that JSON of protobuf gives it.
pub fn member<'v>(value: &'v Value, name: &str) -> &'v Value {
    const NONE: &Value = &Value::Null;
    value.get(name).or_else(|| value.get(camel(name))).unwrap_or(NONE)
}

pub fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_string();
    words.fold(first, |all, word| {
        let mut letters = word.chars();
        let first = letters.next().map(|c| c.to_ascii_uppercase());
        all + &first.into_iter().chain(letters).collect::<String>()
    })
}

pub fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Whole numbers may be written as text.
fn number(value: &Value) -> Option<u32> {
    let read = value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    read.and_then(|number| u32::try_from(number).ok())
}

pub fn name(value: &Value) -> &str {
    member(value, "name").as_str().unwrap_or_default()
}

/// What a route does with requests that it takes.
pub fn action(route: &Value) -> &Value {
    member(route, "route")
}

fn weighted(route: &Value) -> &Value {
    member(action(route), "weighted_clusters")
}

fn clusters(route: &Value) -> &[Value] {
    items(member(weighted(route), "clusters"))
}

/// A route as people find it in the file.
pub fn title(route: &Value, n: usize) -> String {
    match name(route) {
        "" => format!("route {}", n + 1),
        name => format!("route `{name}`"),
    }
}

fn lost(kind: Trouble, what: impl Into<String>, cure: impl Into<String>) -> Lost {
    Lost { kind, what: what.into(), cure: cure.into() }
}

/// The known name that is most like the one that is not there, or all of them.
pub fn nearest(wanted: &str, known: &[&str]) -> String {
    let likeness = |name: &&&str| strsim::jaro_winkler(wanted, name);
    match known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|name| likeness(name) > 0.75) {
        Some(name) => format!("did you mean `{name}`?"),
        None if known.is_empty() => "there is none".into(),
        None => format!("there are: {}", known.join(", ")),
    }
}

/// Finds the route that the settings name, or says why nobody can say whom it sends where.
pub fn find(config: &Value, settings: &Settings) -> Result<Found, Lost> {
    let hosts = items(member(config, "virtual_hosts"));
    let named: Vec<usize> = (0..hosts.len()).filter(|n| name(&hosts[*n]) == settings.virtual_host).collect();
    let host = match named.as_slice() {
        [one] => *one,
        [] => {
            let known: Vec<&str> = hosts.iter().map(name).collect();
            let what = format!("has no virtual host `{}`", settings.virtual_host);
            return Err(lost(Trouble::NotFound, what, nearest(&settings.virtual_host, &known)));
        }
        _ => {
            let what = format!("has the virtual host `{}` twice", settings.virtual_host);
            return Err(lost(Trouble::Invalid, what, "give each its own name"));
        }
    };
    let routes = items(member(&hosts[host], "routes"));
    let route = the_route(routes, settings)?;
    let (entries, weights) = both(&routes[route], route, settings)?;
    Ok(Found { host, route, entries, weights })
}

fn the_route(routes: &[Value], settings: &Settings) -> Result<usize, Lost> {
    let host = &settings.virtual_host;
    let of_ours = |route: &Value| {
        clusters(route).iter().any(|entry| [&settings.blue, &settings.green].iter().any(|side| *side == name(entry)))
    };
    let wanted = |route: &Value| settings.route.as_ref().map_or_else(|| of_ours(route), |wanted| wanted == name(route));
    let matching: Vec<usize> = (0..routes.len()).filter(|n| wanted(&routes[*n])).collect();
    let titles = |of: &[usize]| of.iter().map(|n| title(&routes[*n], *n)).collect::<Vec<_>>().join(", ");
    match (matching.as_slice(), &settings.route) {
        ([one], _) => Ok(*one),
        ([], Some(wanted)) => {
            let known: Vec<&str> = routes.iter().map(name).filter(|name| !name.is_empty()).collect();
            let what = format!("has no route `{wanted}` in the virtual host `{host}`");
            Err(lost(Trouble::NotFound, what, nearest(wanted, &known)))
        }
        ([], None) => {
            let what = format!("has no route with `weighted_clusters` of `{}` in `{host}`", settings.blue);
            Err(lost(Trouble::Invalid, what, weights_of_both(settings)))
        }
        (more, Some(wanted)) => {
            let what = format!("has {} routes `{wanted}` in the virtual host `{host}`", more.len());
            Err(lost(Trouble::Invalid, what, "give each its own `name`"))
        }
        (more, None) => {
            let what = format!("has weights of these clusters in several routes of `{host}`: {}", titles(more));
            Err(lost(Trouble::Invalid, what, "name the one that users take with `route`"))
        }
    }
}

fn weights_of_both(settings: &Settings) -> String {
    format!(
        "write `weighted_clusters: {{clusters: [{{name: {}, weight: 100}}, {{name: {}, weight: 0}}]}}` in place of `cluster`",
        settings.blue, settings.green
    )
}

/// The entries of both sides and their weights.
fn both(route: &Value, n: usize, settings: &Settings) -> Result<([usize; 2], [u32; 2]), Lost> {
    let (clusters, title) = (clusters(route), title(route, n));
    if clusters.is_empty() {
        return Err(lost(Trouble::Invalid, format!("has no weights in {title}"), weights_of_both(settings)));
    }
    let (mut entries, mut weights) = ([0; 2], [0; 2]);
    for (side, stack) in Color::BOTH.into_iter().enumerate() {
        let wanted = settings.cluster(stack);
        let of_side: Vec<usize> = (0..clusters.len()).filter(|n| name(&clusters[*n]) == wanted).collect();
        let [entry] = of_side[..] else {
            return Err(match of_side.len() {
                0 => {
                    let what = format!("has no weight of {stack}'s cluster `{wanted}` in {title}");
                    lost(Trouble::NotFound, what, format!("add `{{name: {wanted}, weight: 0}}` to its `clusters`"))
                }
                _ => lost(
                    Trouble::Invalid,
                    format!("has `{wanted}` twice among the weights of {title}"),
                    "leave one of them out",
                ),
            });
        };
        let Some(weight) = number(member(&clusters[entry], "weight")) else {
            let what = format!("gives `{wanted}` no weight in {title}");
            return Err(lost(Trouble::Invalid, what, "write its `weight`, which may be 0"));
        };
        (entries[side], weights[side]) = (entry, weight);
    }
    let others = clusters.iter().enumerate().filter(|(n, _)| !entries.contains(n));
    if let Some((_, other)) = others.into_iter().find(|(_, other)| number(member(other, "weight")).unwrap_or(0) > 0) {
        let who = if name(other).is_empty() { "a cluster of a header" } else { name(other) };
        let what = format!("sends users to `{who}` too in {title}, which is neither stack");
        return Err(lost(Trouble::Invalid, what, "take it out of the weights, or give it the weight 0"));
    }
    Ok((entries, weights))
}

/// What makes a share of weights a lie, and its cure, if anything does.
pub fn lies(config: &Value, found: &Found) -> Option<(String, &'static str)> {
    let route = &items(member(&items(member(config, "virtual_hosts"))[found.host], "routes"))[found.route];
    let (weighted, title) = (weighted(route), title(route, found.route));
    let set = |value: &Value, name: &str| match member(value, name) {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Number(number) => number.as_u64() != Some(0),
        _ => true,
    };
    if set(weighted, "runtime_key_prefix") {
        let what = format!("lets the runtime overrule the weights of {title} (`runtime_key_prefix`)");
        return Some((what, "take `runtime_key_prefix` out, so that the weights alone decide"));
    }
    if set(weighted, "header_name") {
        let what = format!("lets a header decide in place of chance in {title} (`header_name`)");
        return Some((what, "take `header_name` out, so that the weights alone decide"));
    }
    if set(weighted, "total_weight") {
        let what = format!("names a `total_weight` in {title}, which Envoy no longer looks at");
        return Some((what, "take `total_weight` out: the weights are shares of their sum"));
    }
    if set(member(route, "match"), "runtime_fraction") {
        let what = format!("lets {title} take only a part of the requests (`runtime_fraction`)");
        return Some((what, "take `runtime_fraction` out: who is split is decided by the weights alone"));
    }
    None
}

/// The share of green in hundredths of a per cent, where that can be had.
pub fn hundredths(to: Split) -> Option<u32> {
    let all = u64::from(to.blue) + u64::from(to.green);
    let green = u64::from(to.green) * u64::from(ALL);
    (all > 0 && green.is_multiple_of(all)).then(|| (green / all) as u32)
}

/// One split of several Envoys, each with as many users. Where they differ it is never everybody on one side.
pub fn together(splits: &[Split]) -> Split {
    match splits {
        [] => Split { blue: 0, green: 0 },
        [first, rest @ ..] if rest.iter().all(|split| split == first) => *first,
        all => {
            let sum: f64 = all.iter().map(|split| split.share(Color::Green)).sum();
            let green = (sum / all.len() as f64 * f64::from(ALL)).round() as u32;
            let green = green.clamp(1, ALL - 1);
            Split { blue: ALL - green, green }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(route: Option<&str>) -> Settings {
        let all = json!({
            "file": "/e/rds.yaml", "admin": "http://127.0.0.1:9901", "route_config": "bot", "virtual_host": "all",
            "blue": "b", "green": "g", "route": route,
        });
        Settings::read(&all).expect("good settings")
    }

    fn route(name: &str, clusters: &Value) -> Value {
        json!({ "name": name, "match": { "prefix": "/" }, "route": { "weighted_clusters": { "clusters": clusters } } })
    }

    fn config(routes: &[Value]) -> Value {
        json!({ "name": "bot", "virtual_hosts": [{ "name": "other" }, { "name": "all", "routes": routes }] })
    }

    fn both(blue: u32, green: u32) -> Value {
        json!([{ "name": "b", "weight": blue }, { "name": "g", "weight": green }])
    }

    #[test]
    fn the_route_is_found_under_either_form_of_its_names() {
        let found = Found { host: 1, route: 1, entries: [1, 2], weights: [90, 10] };
        let clusters = json!([{ "name": "old" }, { "name": "b", "weight": "90" }, { "name": "g", "weight": 10 }]);
        let health = json!({ "match": { "path": "/healthz" }, "direct_response": { "status": 200 } });
        assert_eq!(find(&config(&[health.clone(), route("", &clusters)]), &settings(None)), Ok(found.clone()));
        let text =
            json!([health, route("web", &clusters)]).to_string().replace("weighted_clusters", "weightedClusters");
        let routes: Vec<Value> = serde_json::from_str(&text).expect("JSON");
        let camels = json!({ "virtualHosts": [{}, { "name": "all", "routes": routes }] });
        assert_eq!(find(&camels, &settings(Some("web"))), Ok(found.clone()));
        assert_eq!(found.split(), Split::of_green(100));
    }

    #[test]
    fn what_is_not_a_split_is_said() {
        let one = |clusters: Value| config(&[route("web", &clusters)]);
        let plain = json!({ "match": { "prefix": "/" }, "route": { "cluster": "b" } });
        let table = [
            (json!({}), None, "has no virtual host `all`", "there is none"),
            (json!({ "virtual_hosts": [{ "name": "al" }] }), None, "no virtual host", "did you mean `al`?"),
            (json!({ "virtual_hosts": [{ "name": "all" }, { "name": "all" }] }), None, "`all` twice", "its own name"),
            (
                config(std::slice::from_ref(&plain)),
                None,
                "has no route with `weighted_clusters` of `b`",
                "{name: g, weight: 0}",
            ),
            (config(std::slice::from_ref(&plain)), Some("web"), "has no route `web`", "there is none"),
            (one(both(1, 0)), Some("wep"), "has no route `wep`", "did you mean `web`?"),
            (config(&[route("x", &both(1, 0)), route("", &both(1, 0))]), None, "route `x`, route 2", "`route`"),
            (config(&[route("x", &both(1, 0)), route("x", &both(1, 0))]), Some("x"), "2 routes `x`", "`name`"),
            (
                one(json!([{ "name": "b", "weight": 1 }])),
                None,
                "no weight of GREEN's cluster `g`",
                "{name: g, weight: 0}",
            ),
            (one(json!([{ "name": "b", "weight": 1 }, { "name": "g" }])), None, "gives `g` no weight", "may be 0"),
            (one(json!([{ "name": "b" }, { "name": "b" }, { "name": "g", "weight": 1 }])), None, "`b` twice", "leave"),
            (
                one(json!([{ "name": "b", "weight": 1 }, { "name": "g", "weight": 0 }, { "name": "c", "weight": 2 }])),
                None,
                "sends users to `c` too",
                "weight 0",
            ),
            (
                one(
                    json!([{ "name": "b", "weight": 1 }, { "name": "g", "weight": 0 }, { "cluster_header": "x", "weight": 2 }]),
                ),
                None,
                "a cluster of a header",
                "weight 0",
            ),
        ];
        for (config, route, what, cure) in table {
            let lost = find(&config, &settings(route)).expect_err(what);
            assert!(lost.what.contains(what) && lost.cure.contains(cure), "{what}: {lost:?}");
        }
        // A route that has weights only of others, by its name.
        let lost = find(&config(&[json!({ "name": "web", "route": { "cluster": "b" } })]), &settings(Some("web")));
        assert!(lost.expect_err("no weights").what.contains("has no weights in route `web`"));
    }

    #[test]
    fn what_makes_a_share_a_lie_is_named() {
        let with = |pointer: &str, value: Value| {
            let mut route = route("web", &both(90, 10));
            route["route"]["weighted_clusters"]["runtime_key_prefix"] = json!("");
            route["route"]["weighted_clusters"]["total_weight"] = json!(0);
            let (place, name) = pointer.rsplit_once('/').expect("a pointer");
            route.pointer_mut(place).expect("a place")[name] = value;
            let config = config(&[route]);
            let found = find(&config, &settings(None)).expect("it is found");
            lies(&config, &found).map(|(what, _)| what)
        };
        let weighted = "/route/weighted_clusters";
        assert_eq!(with("/route/timeout", json!("5s")), None);
        assert_eq!(with(&format!("{weighted}/use_hash_policy"), json!(true)), None, "who is who is decided by a hash");
        for (pointer, value, words) in [
            (format!("{weighted}/runtime_key_prefix"), json!("a"), "`runtime_key_prefix`"),
            (format!("{weighted}/runtimeKeyPrefix"), json!("a"), "`runtime_key_prefix`"),
            (format!("{weighted}/header_name"), json!("x-n"), "`header_name`"),
            (format!("{weighted}/total_weight"), json!(100), "`total_weight`"),
            ("/match/runtime_fraction".into(), json!({ "default_value": { "numerator": 5 } }), "`runtime_fraction`"),
        ] {
            // An empty text under the other name hides nothing.
            let said = match pointer.ends_with("runtimeKeyPrefix") {
                true => {
                    let mut route = route("web", &both(90, 10));
                    route["route"]["weighted_clusters"]["runtimeKeyPrefix"] = value;
                    let config = config(&[route]);
                    lies(&config, &find(&config, &settings(None)).expect("it is found")).map(|(what, _)| what)
                }
                false => with(&pointer, value),
            };
            assert!(said.as_ref().is_some_and(|said| said.contains(words)), "{pointer}: {said:?}");
        }
    }

    #[test]
    fn shares_are_hundredths_of_a_per_cent() {
        for (to, wanted) in [
            (Split::ALL_BLUE, Some(0)),
            (Split::of_green(5), Some(50)),
            (Split { blue: 9_999, green: 1 }, Some(1)),
            (Split { blue: 2, green: 1 }, None),
            (Split { blue: 0, green: 0 }, None),
        ] {
            assert_eq!(hundredths(to), wanted, "{to}");
        }
        assert_eq!(together(&[Split::ALL_BLUE, Split { blue: 9, green: 0 }]), Split::ALL_BLUE);
        assert_eq!(together(&[Split::ALL_BLUE, Split::ALL_GREEN]), Split::of_green(500));
        assert_eq!(together(&[Split::ALL_BLUE, Split { blue: 99_999, green: 1 }]).only(), None);
        assert_eq!(together(&[]), Split { blue: 0, green: 0 });
    }
}
