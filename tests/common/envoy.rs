//! A real Envoy in front of a blue and a green server, with its routes in a file that it watches. It ends with the value.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::bots::{Started, pause};
use super::{free_port, peer};

/// The routes that a test begins with: all users on blue, as a team wrote them.
pub const ROUTES: &str = r#"# of the team: who is asked about these routes
version_info: "1"
resources:
- "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
  name: bot
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - match: {path: /of-envoy}
      direct_response: {status: 200, body: {inline_string: "envoy"}}
    - name: users
      match: {prefix: "/"}   # everybody
      route:
        weighted_clusters:
          clusters:
          - name: blue
            weight: 100
          - {name: green, weight: 0}
        timeout: 15s
"#;

pub struct Envoy {
    /// Where its users come in.
    pub port: u16,
    pub admin: u16,
    dir: Rc<TempDir>,
    log: PathBuf,
    process: Started,
    program: PathBuf,
}

impl Envoy {
    /// None where the program or curl is missing.
    pub fn start(blue: SocketAddr, green: SocketAddr) -> Option<Envoy> {
        Envoy::with(blue, green, "n1", ROUTES, |config| config)
    }

    /// With other routes, and a configuration that a test changes.
    pub fn with(
        blue: SocketAddr,
        green: SocketAddr,
        node: &str,
        routes: &str,
        change: impl Fn(String) -> String,
    ) -> Option<Envoy> {
        let dir = Rc::new(tempfile::tempdir().expect("a folder"));
        std::fs::create_dir(dir.path().join("rds")).expect("a folder");
        std::fs::write(dir.path().join("rds/bot.yaml"), routes).expect("a file");
        Envoy::of(dir, blue, green, node, change)
    }

    /// Another one that watches the same file.
    pub fn beside(&self, blue: SocketAddr, green: SocketAddr, node: &str) -> Option<Envoy> {
        Envoy::of(Rc::clone(&self.dir), blue, green, node, |config| config)
    }

    fn of(
        dir: Rc<TempDir>,
        blue: SocketAddr,
        green: SocketAddr,
        node: &str,
        change: impl Fn(String) -> String,
    ) -> Option<Envoy> {
        let (program, _) = (peer("envoy")?, peer("curl")?);
        let (port, admin, here) = (free_port(), free_port(), dir.path().display().to_string());
        let cluster = |name: &str, at: SocketAddr| {
            format!(
                "  - name: {name}
    type: STATIC
    connect_timeout: 1s
    health_checks:
    - {{timeout: 1s, interval: 0.1s, no_traffic_interval: 0.1s, unhealthy_threshold: 1, healthy_threshold: 1, http_health_check: {{path: /healthz/ready}}}}
    load_assignment: {{cluster_name: {name}, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: {}, port_value: {}}}}}}}}}]}}]}}
",
                at.ip(),
                at.port()
            )
        };
        let config = format!(
            "node: {{id: {node}, cluster: bots}}
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}
static_resources:
  listeners:
  - name: users
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: users
          upgrade_configs: [{{upgrade_type: websocket}}]
          rds: {{route_config_name: bot, config_source: {{resource_api_version: V3, path_config_source: {{path: {here}/rds/bot.yaml, watched_directory: {{path: {here}/rds}}}}}}}}
          http_filters: [{{name: envoy.filters.http.router, typed_config: {{'@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}]
  clusters:
{}{}",
            cluster("blue", blue),
            cluster("green", green)
        );
        let path = dir.path().join(format!("{node}.yaml"));
        std::fs::write(&path, change(config)).expect("a file");
        let log = dir.path().join(format!("{node}.log"));
        let mut command = Command::new(&program);
        command.arg("-c").arg(&path).arg("--log-path").arg(&log);
        command.args([
            "--concurrency",
            "2",
            "--disable-hot-restart",
            "--log-level",
            "warning",
            "--file-flush-interval-msec",
            "50",
        ]);
        let process = Started::new(command, port, &dir.path().join(format!("{node}.out")));
        let envoy = Envoy { port, admin, dir, log, process, program };
        envoy.until("both sides are checked", |envoy| {
            let clusters = envoy.ask("/clusters?format=json");
            clusters["cluster_statuses"].as_array().is_some_and(|all| {
                all.iter()
                    .all(|cluster| cluster["host_statuses"][0]["health_status"]["failed_active_health_check"].is_null())
            })
        });
        Some(envoy)
    }

    pub fn program(&self) -> &Path {
        &self.program
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The file of its routes.
    pub fn routes(&self) -> PathBuf {
        self.path("rds/bot.yaml")
    }

    pub fn text(&self) -> String {
        std::fs::read_to_string(self.routes()).expect("the routes")
    }

    /// Somebody puts other routes there, as Envoy wants it.
    pub fn put(&self, text: &str) {
        let new = self.path("rds/.by-hand");
        std::fs::write(&new, text).expect("a file");
        std::fs::rename(new, self.routes()).expect("it is moved");
    }

    /// Somebody writes over the routes, which Envoy does not notice.
    pub fn write_over(&self, text: &str) {
        std::fs::write(self.routes(), text).expect("a file");
    }

    pub fn at(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin)
    }

    /// The settings of a route that leads here.
    pub fn settings(&self) -> Value {
        json!({
            "file": self.routes(), "admin": self.at(), "route_config": "bot", "virtual_host": "all", "blue": "blue",
            "green": "green",
        })
    }

    /// What its admin interface answers to somebody else; nothing where it does not.
    pub fn ask(&self, path: &str) -> Value {
        let mut curl = Command::new("curl");
        let output = curl.args(["-gsS", "-m", "3", &format!("{}{path}", self.at())]).output().expect("curl runs");
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// The sum of what it counts under names of this form.
    pub fn stat(&self, form: &str) -> u64 {
        let stats = self.ask(&format!("/stats?format=json&filter=%5E{form}$"));
        let values = stats["stats"].as_array().into_iter().flatten().filter_map(|stat| stat["value"].as_u64());
        values.sum()
    }

    /// The version it runs, and the weights of blue and of green.
    pub fn runs(&self) -> (String, u32, u32) {
        let dump = self.ask("/config_dump?resource=dynamic_route_configs");
        let entry = &dump["configs"][0];
        let hosts = entry["route_config"]["virtual_hosts"].as_array().cloned().unwrap_or_default();
        let routes = hosts.iter().flat_map(|host| host["routes"].as_array().cloned().unwrap_or_default());
        let all: Vec<Value> = routes.map(|route| route["route"]["weighted_clusters"]["clusters"].clone()).collect();
        let weight = |side: &str| {
            let clusters = all.iter().flat_map(|clusters| clusters.as_array().cloned().unwrap_or_default());
            let of_side: Vec<Value> = clusters.filter(|cluster| cluster["name"] == side).collect();
            of_side.first().and_then(|cluster| cluster["weight"].as_u64()).unwrap_or_default() as u32
        };
        (entry["version_info"].as_str().unwrap_or_default().into(), weight("blue"), weight("green"))
    }

    #[track_caller]
    pub fn until(&self, what: &str, so: impl Fn(&Envoy) -> bool) {
        for _ in 0..500 {
            if so(self) {
                return;
            }
            pause(20);
        }
        panic!("not within 10 s: {what}: {:?}\n{}", self.runs(), self.log());
    }

    /// Of so many requests, how many green answers.
    pub fn green(&self, requests: u32) -> u32 {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let one = |_: &u32| super::bots::get(address, "/version").contains("x-version: green");
        (0..requests).filter(one).count() as u32
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// It is stopped where it stands, and goes on later.
    pub fn freeze(&self, frozen: bool) {
        self.process.signal(if frozen { Signal::STOP } else { Signal::CONT });
    }
}
