//! Where an Envoy has a route configuration from, told by the dump of all it runs. Nobody is asked here.

use serde_json::Value;

use super::weights::{items, member, name};

/// Where a listener takes its routes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file, and the folder that is watched in place of its own.
    File { path: String, watched: Option<String> },
    /// A management server.
    Server(&'static str),
}

/// The sources of all listeners that take this route configuration.
pub fn sources(dump: &Value, config: &str) -> Vec<Source> {
    let mut found = Vec::new();
    walk(dump, &mut |object| {
        let rds = member(object, "rds");
        if member(rds, "route_config_name").as_str() == Some(config) {
            found.extend(source(member(rds, "config_source")));
        }
    });
    found.dedup();
    found
}

fn source(source: &Value) -> Option<Source> {
    let of_file = member(source, "path_config_source");
    let path = member(of_file, "path").as_str().or_else(|| member(source, "path").as_str());
    if let Some(path) = path {
        let watched = member(member(of_file, "watched_directory"), "path").as_str().map(String::from);
        return Some(Source::File { path: path.into(), watched });
    }
    let servers = [("ads", "its management server (ADS)"), ("api_config_source", "a management server (RDS)")];
    servers.iter().find(|(key, _)| source.get(key).is_some()).map(|(_, said)| Source::Server(said))
}

/// Whether the route configuration is written into a listener.
pub fn is_static(dump: &Value, config: &str) -> bool {
    let of_dump = |dump: &Value| {
        let mut of_name = items(member(dump, "static_route_configs")).iter();
        of_name.any(|entry| name(member(entry, "route_config")) == config)
    };
    items(member(dump, "configs")).iter().any(of_dump)
}

/// The names of all route configurations that come from somewhere.
pub fn known(dump: &Value) -> Vec<&str> {
    let configs = items(member(dump, "configs")).iter();
    let entries = configs.flat_map(|dump| items(member(dump, "dynamic_route_configs")));
    entries.map(|entry| name(member(entry, "route_config"))).collect()
}

/// Why a move in the folder of the file is never noticed, if that is so.
pub fn unwatched(source: &Source) -> Option<String> {
    let Source::File { path, watched: Some(watched) } = source else { return None };
    let folder = path.rsplit_once('/').map_or(".", |(folder, _)| folder);
    let plain = |path: &str| path.trim_end_matches('/').trim_start_matches("./").to_string();
    (plain(folder) != plain(watched)).then(|| format!("watches `{watched}`, and its file is `{path}`"))
}

fn walk<'v>(value: &'v Value, see: &mut impl FnMut(&'v Value)) {
    match value {
        Value::Object(members) => {
            see(value);
            members.values().for_each(|member| walk(member, see));
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, see)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_source_of_routes_is_found_wherever_a_listener_names_it() {
        let file = json!({ "path_config_source": { "path": "/e/rds.yaml", "watched_directory": { "path": "/e" } } });
        let listener = |source: Value| {
            json!({ "configs": [{ "dynamic_listeners": [{ "active_state": { "listener": { "filter_chains": [{
                "filters": [{ "typed_config": { "rds": { "route_config_name": "bot", "config_source": source } } }],
            }] } } }] }] })
        };
        let of_file = Source::File { path: "/e/rds.yaml".into(), watched: Some("/e".into()) };
        assert_eq!(sources(&listener(file), "bot"), std::slice::from_ref(&of_file));
        assert_eq!(unwatched(&of_file), None);
        let old = sources(&listener(json!({ "path": "rds.yaml" })), "bot");
        assert_eq!(old, [Source::File { path: "rds.yaml".into(), watched: None }]);
        assert_eq!(sources(&listener(json!({ "ads": {} })), "bot"), [Source::Server("its management server (ADS)")]);
        let server = json!({ "api_config_source": { "api_type": "GRPC" } });
        assert_eq!(sources(&listener(server), "bot"), [Source::Server("a management server (RDS)")]);
        assert_eq!(sources(&listener(json!({ "ads": {} })), "other"), []);
        let elsewhere = Source::File { path: "./rds/rds.yaml".into(), watched: Some("rds/now/".into()) };
        assert!(unwatched(&elsewhere).is_some_and(|said| said.contains("watches `rds/now/`")));
        assert_eq!(unwatched(&Source::File { path: "./rds/a.yaml".into(), watched: Some("rds/".into()) }), None);
    }

    #[test]
    fn routes_of_a_listener_are_told_from_those_of_a_file() {
        let entry = |name: &str| json!({ "route_config": { "name": name } });
        let dump = json!({ "configs": [{
            "static_route_configs": [entry("fixed")], "dynamic_route_configs": [entry("bot"), entry("web")],
        }] });
        assert!(is_static(&dump, "fixed") && !is_static(&dump, "bot"));
        assert_eq!(known(&dump), ["bot", "web"]);
    }
}
