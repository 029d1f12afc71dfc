//! Places that are refused before anybody moves, each by its name.

use bgctl::plan::{Color, Split};
use bgctl::routers::Trouble;
use serde_json::json;

use crate::common::envoy::ROUTES;
use crate::{Stage, routes, said};

#[tokio::test]
async fn settings_that_lead_nowhere_are_told_from_one_another() {
    let Some(stage) = Stage::start() else { return };
    let users = format!("http://127.0.0.1:{}", stage.envoy.port);
    let link = stage.envoy.path("link.yaml");
    std::os::unix::fs::symlink(stage.envoy.routes(), &link).expect("a link");
    let broken = stage.envoy.path("broken.yaml");
    std::fs::write(&broken, "resources: [").expect("a file");
    let table = [
        (("file", json!("/nowhere/bot.yaml")), Trouble::NotFound, "cannot be read"),
        (("file", json!(link)), Trouble::Invalid, "is a link, and bgctl moves files only"),
        (("file", json!(broken)), Trouble::Invalid, "cannot be understood"),
        (("admin", json!("http://127.0.0.1:1")), Trouble::Unreachable, "is Envoy running here"),
        (("admin", json!(users)), Trouble::Unreachable, "is no JSON"),
        (("node", json!("n7")), Trouble::Invalid, "it is node `n1`, not `n7`: another Envoy answers here"),
        (("route_config", json!("bots")), Trouble::NotFound, "has no route configuration `bots` | did you mean `bot`?"),
        (("virtual_host", json!("none")), Trouble::NotFound, "has no virtual host `none` | there are: all"),
        (
            ("route", json!("user")),
            Trouble::NotFound,
            "has no route `user` in the virtual host `all` | did you mean `users`?",
        ),
        (("green", json!("gren")), Trouble::NotFound, "has no weight of GREEN's cluster `gren` in"),
    ];
    for (change, kind, words) in table {
        let error = stage.router_with(&[change]).read().await.expect_err(words);
        assert!(error.kind == kind && said(&error).contains(words), "{words}: {error:?}");
    }
    let error = stage.router().set(&crate::common::at(Split::ALL_BLUE), Split { blue: 0, green: 0 }).await;
    assert!(error.expect_err("nowhere").what.contains("Envoy refuses weights that are all 0"));
    assert!(stage.router().takes(Split { blue: 2, green: 1 }).is_err());
    assert_eq!(stage.envoy.text(), ROUTES);
}

#[tokio::test]
async fn what_weights_cannot_do_is_refused_before_anybody_moves() {
    let weighted = "        weighted_clusters:\n";
    let table = [
        (
            routes(weighted, &format!("{weighted}          runtime_key_prefix: bot\n")),
            Trouble::Invalid,
            "lets the runtime overrule the weights of route `users`",
        ),
        (
            routes(weighted, &format!("{weighted}          header_name: x-number\n")),
            Trouble::Invalid,
            "lets a header decide",
        ),
        (
            routes(weighted, &format!("{weighted}          total_weight: 100\n")),
            Trouble::Invalid,
            "names a `total_weight`",
        ),
        (
            routes("{prefix: \"/\"}", "{prefix: \"/\", runtime_fraction: {default_value: {numerator: 90}}}"),
            Trouble::Invalid,
            "take only a part of the requests",
        ),
    ];
    for (text, kind, words) in table {
        let Some(stage) = Stage::with(&text, |config| config) else { return };
        let error = stage.router().preflight(&[Split::ALL_GREEN]).await.expect_err(words);
        assert!(error.kind == kind && error.what.contains(words), "{words}: {error:?}");
        let remarks = stage.read().await.remarks.join("\n");
        assert!(remarks.contains(words), "a reading says it too: {remarks}");
        assert_eq!(stage.envoy.text(), text);
    }
}

#[tokio::test]
async fn clusters_that_cannot_take_users_are_refused() {
    // Envoy takes weights of a cluster that it does not have, and answers 503.
    let Some(stage) = Stage::with(&routes("name: green", "name: grey"), |config| config) else { return };
    let router = stage.router_with(&[("green", json!("grey"))]);
    let error = router.preflight(&[Split::ALL_GREEN]).await.expect_err("there is no such cluster");
    assert!(error.kind == Trouble::NotFound && error.what.contains("it has no cluster `grey` for GREEN"), "{error:?}");
    let health = router.health(Color::Green).await.expect("its health");
    assert!(health.healthy == 0 && health.ailing[0].contains("Envoy has no such cluster"), "{health:?}");
    drop(stage);

    let others = routes(
        "          - {name: green, weight: 0}",
        "          - {name: green, weight: 0}\n          - {name: old, weight: 5}",
    );
    let Some(stage) = Stage::with(&others, |config| config) else { return };
    let error = stage.router().read().await.expect_err("a third cluster has users");
    assert!(error.kind == Trouble::Invalid && error.what.contains("sends users to `old` too"), "{error:?}");
    drop(stage);

    // One that hands users on: a dead green would look well.
    let both = |config: String| {
        let kind = "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig";
        format!(
            "{config}  - name: grey\n    connect_timeout: 1s\n    lb_policy: CLUSTER_PROVIDED\n    cluster_type: {{name: envoy.clusters.aggregate, typed_config: {{'@type': {kind}, clusters: [green, blue]}}}}\n"
        )
    };
    let Some(stage) = Stage::with(&routes("name: green", "name: grey"), both) else { return };
    let router = stage.router_with(&[("green", json!("grey"))]);
    let error = router.preflight(&[Split::ALL_GREEN]).await.expect_err("it is an aggregate");
    assert!(error.kind == Trouble::Invalid && error.what.contains("`grey` of GREEN is an aggregate"), "{error:?}");
    drop(stage);

    let unchecked = |config: String| {
        let checks = |line: &&str| !line.contains("unhealthy_threshold") && !line.trim().starts_with("health_checks");
        config.lines().filter(checks).collect::<Vec<_>>().join("\n")
    };
    let Some(stage) = Stage::with(ROUTES, unchecked) else { return };
    let health = stage.router().health(Color::Green).await.expect("its health");
    assert!(health.healthy == 0 && health.ailing[0].contains("Envoy does not check it"), "{health:?}");
}

#[tokio::test]
async fn routes_that_no_file_can_change_are_refused() {
    let fixed = |config: String| {
        let rds = config.lines().find(|line| line.trim().starts_with("rds:")).expect("its source").to_string();
        let cluster = "{weighted_clusters: {clusters: [{name: blue, weight: 100}, {name: green, weight: 0}]}}";
        let routes = format!("[{{match: {{prefix: \"/\"}}, route: {cluster}}}]");
        let host = format!("{{name: all, domains: [\"*\"], routes: {routes}}}");
        config.replace(&rds, &format!("          route_config: {{name: bot, virtual_hosts: [{host}]}}"))
    };
    let Some(stage) = Stage::with(ROUTES, fixed) else { return };
    let error = stage.router().read().await.expect_err("they are its listener's");
    assert!(error.kind == Trouble::Invalid && said(&error).contains("`bot` is written into a listener"), "{error:?}");
    drop(stage);

    // A folder that is watched in place of that of the file.
    let astray = |config: String| {
        let folder = config.split("watched_directory: {path: ").nth(1).expect("it").split('}').next().expect("it");
        config.replace(
            &format!("watched_directory: {{path: {folder}}}"),
            &format!("watched_directory: {{path: {folder}/..}}"),
        )
    };
    let Some(stage) = Stage::with(ROUTES, astray) else { return };
    let error = stage.router().preflight(&[Split::ALL_GREEN]).await.expect_err("no move there is noticed");
    assert!(error.kind == Trouble::Invalid && error.what.contains("a move there is not noticed"), "{error:?}");
    assert_eq!(stage.router().controller().await.expect("it looks"), None);
    stage.envoy.write_over(&format!("# Managed by Ansible\n{ROUTES}"));
    let controller = stage.router().controller().await.expect("it looks").expect("there is one");
    assert!(controller.contains("`Managed by Ansible`"), "{controller}");
}

/// What a person should know, each as a line.
#[tokio::test]
async fn what_a_person_should_know_is_said() {
    let more = "timeout: 15s
        request_mirror_policies: [{cluster: green}]
    - name: reports
      match: {prefix: /reports}
      route: {cluster: blue}";
    let hashed = "        weighted_clusters:\n          use_hash_policy: true\n";
    let text = routes("timeout: 15s", more).replace("        weighted_clusters:\n", hashed);
    let Some(stage) = Stage::with(&text, |config| config) else { return };
    let router = stage.router();
    let lines = router.preflight(&[Split::ALL_GREEN]).await.expect("it may").join("\n");
    for words in [
        "Envoy 1.40.0 at http://127.0.0.1:",
        "node `n1`, runs version `1`",
        "route `users` copies requests (`request_mirror_policies`): each is handled twice",
        "route `reports` of `all` leads there too, and is not moved",
    ] {
        assert!(lines.contains(words), "{words}: {lines}");
    }
    let remarks = router.read().await.expect("it reads").remarks.join("\n");
    assert!(remarks.contains("`use_hash_policy`"), "{remarks}");
    let identity = router.identity().await.expect("we are somebody").line;
    assert!(identity.contains("may write `") && identity.contains("node `n1`"), "{identity}");
}
