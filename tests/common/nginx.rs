//! A real nginx as the load balancer's data plane: it shares requests out by the weights that the provider's endpoint
//! holds, and follows them by reloading, as an ingress controller does. It ends with the value.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::bots::Started;
use super::moto::{self, Api};
use super::{free_port, peer};

/// The rule to follow, and who stands behind its two target groups.
pub struct Behind {
    pub api: Api,
    pub rule: String,
    /// The target groups of blue and green, and the bot in each.
    pub blue: (String, SocketAddr),
    pub green: (String, SocketAddr),
}

pub struct Nginx {
    pub url: String,
    stop: Arc<AtomicBool>,
    follower: Option<JoinHandle<()>>,
    _process: Started,
    _dir: tempfile::TempDir,
}

impl Nginx {
    /// None where the program is missing.
    pub fn start(behind: Behind) -> Option<Nginx> {
        let (program, dir, port) = (peer("nginx")?, tempfile::tempdir().expect("a folder"), free_port());
        configure(dir.path(), port, &behind, 0);
        let mut command = nginx(&program, dir.path());
        command.args(["-g", "daemon off;"]);
        let process = Started::new(command, port, &dir.path().join("nginx.log"));
        let (stop, folder) = (Arc::new(AtomicBool::new(false)), dir.path().to_path_buf());
        let stopped = Arc::clone(&stop);
        let follower = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(follow(&program, &folder, port, &behind, &stopped));
        });
        let url = format!("http://127.0.0.1:{port}");
        Some(Nginx { url, stop, follower: Some(follower), _process: process, _dir: dir })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(follower) = self.follower.take() {
            // A follower that panicked has made its test fail already.
            let _ = follower.join();
        }
    }
}

async fn follow(program: &Path, folder: &Path, port: u16, behind: &Behind, stop: &AtomicBool) {
    let mut now = 0;
    while !stop.load(Ordering::Relaxed) {
        let wanted = green(behind).await;
        if wanted != now {
            configure(folder, port, behind, wanted);
            let reloaded = nginx(program, folder).args(["-s", "reload"]).output().expect("nginx runs");
            assert!(reloaded.status.success(), "nginx takes its configuration: {reloaded:?}");
            now = wanted;
        }
        moto::pause().await;
    }
}

/// Green's share in per cent, as the endpoint holds it.
async fn green(behind: &Behind) -> u32 {
    let form = [("Action", "DescribeRules"), ("Version", "2015-12-01"), ("RuleArns.member.1", behind.rule.as_str())];
    let rules = behind.api.query("elasticloadbalancing", &form).await;
    let weight = |group: &str| -> u32 {
        let parts = rules.split("<TargetGroupArn>").filter(|part| part.starts_with(group));
        let weights = parts.filter_map(|part| part.split_once("<Weight>")?.1.split('<').next()?.parse().ok());
        weights.max().unwrap_or(0)
    };
    let (blue, green) = (weight(&behind.blue.0), weight(&behind.green.0));
    assert!(blue + green > 0, "a rule that leads nowhere: {rules}");
    green * 100 / (blue + green)
}

fn nginx(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("-p").arg(folder).args(["-c", "nginx.conf"]);
    command
}

fn configure(folder: &Path, port: u16, behind: &Behind, green: u32) {
    // The workers of a root's nginx are nobody, who may not write into a folder of root's.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let share = if (1..100).contains(&green) { format!("{green}% green; ") } else { String::new() };
    let rest = if green == 100 { "green" } else { "blue" };
    let temporary: String =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|name| format!("{name}_temp_path {name};")).concat();
    // A worker that is replaced closes idle connections of clients, also under a request on its way: a load balancer of the
    // provider does not. So no connection stays idle.
    let text = format!(
        "{user} worker_processes 1; pid nginx.pid; error_log stderr warn; events {{ worker_connections 512; }}
http {{
  access_log off; keepalive_timeout 0; {temporary}
  upstream blue {{ server {blue}; }}
  upstream green {{ server {green}; }}
  split_clients $request_id $stack {{ {share}* {rest}; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://$stack; proxy_set_header Host $host; proxy_connect_timeout 2s; }}
  }}
}}
",
        blue = behind.blue.1,
        green = behind.green.1,
    );
    fs::write(folder.join("nginx.conf"), text).expect("a file");
}
