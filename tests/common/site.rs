//! A site behind a real nginx: two upstreams of bots that say who they are, the include that the router `nginx` writes, and
//! whatever a test puts into the configuration. It is a daemon of its own, as on a host, and ends with the value.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::bots::pause;
use super::{free_port, peer};

/// Who answers at an upstream: its name in a header, also to a POST, also after a while (`/slow`).
pub struct Bot {
    pub address: SocketAddr,
    well: Arc<AtomicBool>,
    pub served: Arc<AtomicU64>,
    runtime: Option<Runtime>,
}

impl Bot {
    pub fn start(version: &'static str) -> Bot {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        listener.set_nonblocking(true).expect("a socket");
        let (well, served) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let (is_well, count) = (well.clone(), served.clone());
        let answer = move |slow: bool| {
            let count = count.clone();
            async move {
                count.fetch_add(1, Ordering::Relaxed);
                if slow {
                    tokio::task::spawn_blocking(|| pause(1500)).await.expect("a moment");
                }
                let mut headers = HeaderMap::new();
                headers.insert("x-version", version.parse().expect("a header"));
                (headers, version)
            }
        };
        let slow = answer.clone();
        let health = move || {
            let well = is_well.load(Ordering::Relaxed);
            async move { if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE } }
        };
        let app = axum::Router::new()
            .route("/healthz/ready", axum::routing::get(health))
            .route("/signals", axum::routing::get(|| async { axum::Json(json!({ "queue": 0 })) }))
            .route("/slow", axum::routing::any(move || slow(true)))
            .fallback(move || answer(false));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, app).await.expect("it serves");
        });
        Bot { address, well, served, runtime: Some(runtime) }
    }

    pub fn set_well(&self, well: bool) {
        self.well.store(well, Ordering::Relaxed);
    }

    /// Nobody listens there from now on.
    pub fn end(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Bot {
    fn drop(&mut self) {
        self.end();
    }
}

/// A host with nginx.
pub struct Site {
    pub program: PathBuf,
    pub dir: tempfile::TempDir,
    /// Where users come in.
    pub port: u16,
    pub proof: u16,
    /// What stands in `http`, such as `keepalive_timeout 0;`.
    pub http: String,
    /// What stands beside the way users take, in their server.
    pub server: String,
    pub upstreams: String,
}

impl Site {
    /// None where nginx or curl is missing.
    pub fn start(blue: SocketAddr, green: SocketAddr, http: &str) -> Option<Site> {
        let (program, _) = (peer("nginx")?, peer("curl")?);
        Some(Site::of(program, blue, green, http))
    }

    pub fn of(program: PathBuf, blue: SocketAddr, green: SocketAddr, http: &str) -> Site {
        let site = Site {
            program,
            dir: tempfile::tempdir().expect("a folder"),
            port: free_port(),
            proof: free_port(),
            http: http.into(),
            server: "proxy_next_upstream off;".into(),
            upstreams: format!("upstream bot_blue {{ server {blue}; }}\nupstream bot_green {{ server {green}; }}\n"),
        };
        fs::create_dir(site.path("bgctl")).expect("a folder");
        site.write(&site.include(), "map \"\" $bgctl_web { default bot_blue; }\n");
        site.configure();
        let started = site.nginx(&[]);
        assert!(started.status.success(), "{started:?}");
        for _ in 0..200 {
            if std::net::TcpStream::connect(("127.0.0.1", site.port)).is_ok() {
                break;
            }
            pause(10);
        }
        site
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn include(&self) -> PathBuf {
        self.path("bgctl/web.conf")
    }

    pub fn read(&self, path: &Path) -> String {
        fs::read_to_string(path).expect("a file")
    }

    pub fn write(&self, path: &Path, text: &str) {
        fs::write(path, text).expect("a file");
    }

    /// Writes the configuration as the fields have it.
    pub fn configure(&self) {
        // The workers of a root's nginx are nobody, who may not write into a folder of root's.
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {}/{name};", self.dir.path().display()))
            .concat();
        let text = format!(
            "{user} worker_processes 2; pid {dir}/nginx.pid; error_log {dir}/error.log info;
events {{ worker_connections 2048; }}
http {{
  access_log off; {temporary}
  {http}
  {upstreams}
  include {dir}/bgctl/*.conf;
  server {{
    listen 127.0.0.1:{port};
    {server}
    location / {{
      proxy_pass http://$bgctl_web; proxy_connect_timeout 2s; proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_connection;
    }}
  }}
}}
",
            dir = self.dir.path().display(),
            http = self.http,
            upstreams = self.upstreams,
            port = self.port,
            server = self.server,
        );
        self.write(&self.path("nginx.conf"), &text);
    }

    /// How nginx is called here.
    pub fn words(&self) -> Vec<String> {
        let (program, dir) = (self.program.display().to_string(), self.dir.path().display().to_string());
        vec![
            program,
            "-p".into(),
            dir.clone(),
            "-e".into(),
            format!("{dir}/error.log"),
            "-c".into(),
            format!("{dir}/nginx.conf"),
        ]
    }

    pub fn nginx(&self, more: &[&str]) -> Output {
        let words = self.words();
        Command::new(&words[0]).args(&words[1..]).args(more).output().expect("nginx runs")
    }

    /// A reload as somebody makes it by hand, and its end.
    pub fn reload(&self) {
        let count = |words: &str| self.error_log().matches(words).count();
        let [started, left] = ["start worker process ", "gracefully shutting down"].map(count);
        assert!(self.nginx(&["-s", "reload"]).status.success());
        for _ in 0..500 {
            if count("start worker process ") >= started + 2 && count("gracefully shutting down") >= left + 2 {
                return;
            }
            pause(10);
        }
        panic!("no new worker:\n{}", self.error_log());
    }

    pub fn error_log(&self) -> String {
        fs::read_to_string(self.path("error.log")).unwrap_or_default()
    }

    pub fn pid(&self) -> Option<u32> {
        fs::read_to_string(self.path("nginx.pid")).ok()?.trim().parse().ok()
    }

    /// The settings of a route that leads here.
    pub fn settings(&self) -> Value {
        json!({
            "include": self.include(), "key": "$http_x_team_id", "blue": "bot_blue", "green": "bot_green",
            "nginx": self.words(), "proof": format!("http://127.0.0.1:{}/bgctl", self.proof),
        })
    }

    /// The version that answers a user of this team, over a connection of its own.
    pub fn version(&self, team: &str) -> String {
        let asked = format!("GET /version HTTP/1.1\r\nhost: web\r\nx-team-id: {team}\r\nconnection: close\r\n\r\n");
        let mut answer = String::new();
        if let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", self.port)) {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(3)));
            // A connection that breaks has said what it had to say.
            let _ = std::io::Write::write_all(&mut stream, asked.as_bytes());
            let _ = std::io::Read::read_to_string(&mut stream, &mut answer);
        }
        let header = answer.lines().find_map(|line| line.strip_prefix("x-version: "));
        header.unwrap_or("none").into()
    }

    /// Of how many of these teams green answers.
    pub fn green(&self, teams: u32) -> u32 {
        (0..teams).filter(|n| self.version(&format!("T{n}")) == "green").count() as u32
    }
}

/// Several sites as the hosts of one fleet: each has its own folder and its own ports, and the prefix of each makes of that the
/// folder and the port that all hosts of a fleet have in common, on the way in and on the way out.
pub struct Fleet {
    pub sites: Vec<Site>,
    dir: tempfile::TempDir,
}

impl Fleet {
    pub fn start(hosts: usize, blue: SocketAddr, green: SocketAddr, http: &str) -> Option<Fleet> {
        let sites = (0..hosts).map(|_| Site::start(blue, green, http)).collect::<Option<Vec<Site>>>()?;
        let dir = tempfile::tempdir().expect("a folder");
        // Like a connection that is refused: `down` stands for a host that is not reached. One that has `cut` is reached, and
        // does what it is told, and its answer is lost.
        let enter = r#"folder=$1 port=$2
shift 3
[ ! -e "$folder/down" ] || { echo 'connect to host: Connection timed out' >&2; exit 255; }
sed -e "s#/fleet/host#$folder#g" -e "s#127.0.0.1:9180#127.0.0.1:$port#g" | "$@" >"$folder/out.$$"
[ ! -e "$folder/cut" ] || { rm "$folder/cut"; echo 'connection closed by remote host' >&2; exit 255; }
sed -e "s#$folder#/fleet/host#g" -e "s#127.0.0.1:$port#127.0.0.1:9180#g" "$folder/out.$$"
rm "$folder/out.$$"
"#;
        fs::write(dir.path().join("enter"), enter).expect("a file");
        Some(Fleet { sites, dir })
    }

    pub fn settings(&self) -> Value {
        let enter = self.dir.path().join("enter").display().to_string();
        let prefix = |(n, site): (usize, &Site)| {
            json!(["sh", enter, site.dir.path(), site.proof.to_string(), format!("web-{}", n + 1)])
        };
        let words = self.sites[0].words().into_iter();
        let words: Vec<String> =
            words.map(|word| word.replace(&self.sites[0].dir.path().display().to_string(), "/fleet/host")).collect();
        json!({
            "include": "/fleet/host/bgctl/web.conf", "key": "$http_x_team_id", "blue": "bot_blue", "green": "bot_green",
            "nginx": words, "hosts": self.sites.iter().enumerate().map(prefix).collect::<Vec<_>>(),
        })
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let signal = rustix::process::Signal::TERM;
        if let Some(pid) = self.pid().and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed())) {
            // One that has ended already has nothing to end.
            let _ = rustix::process::kill_process(pid, signal);
            for _ in 0..200 {
                if rustix::process::test_kill_process(pid).is_err() {
                    break;
                }
                pause(10);
            }
        }
    }
}
