//! A real Prometheus that scrapes what it is told to once a second; it ends with the value.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use super::bots::{Started, pause};
use super::{free_port, peer};

pub struct Prometheus {
    pub url: String,
    _process: Started,
    _data: tempfile::TempDir,
}

impl Prometheus {
    /// None where the program is missing.
    pub fn scraping(targets: &[SocketAddr]) -> Option<Prometheus> {
        Prometheus::configured(targets, "")
    }

    /// The same, with more lines of configuration.
    pub fn configured(targets: &[SocketAddr], more: &str) -> Option<Prometheus> {
        let program = peer("prometheus")?;
        let (data, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let config = data.path().join("prometheus.yml");
        let targets: Vec<String> = targets.iter().map(|target| format!("'{target}'")).collect();
        let jobs = format!("  - {{ job_name: bot, static_configs: [{{ targets: [{}] }}] }}\n", targets.join(", "));
        std::fs::write(&config, format!("global: {{ scrape_interval: 1s }}\n{more}scrape_configs:\n{jobs}"))
            .expect("a file");
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let process = Started::new(command, port, &data.path().join("prometheus.log"));
        // It takes connections before it answers questions, with 503.
        let ready = || {
            let mut answer = String::new();
            TcpStream::connect(("127.0.0.1", port))
                .and_then(|mut stream| {
                    stream.write_all(b"GET /-/ready HTTP/1.0\r\n\r\n")?;
                    stream.read_to_string(&mut answer)
                })
                .is_ok_and(|_| answer.contains(" 200 "))
        };
        assert!(
            (0..400).any(|_| ready() || {
                pause(50);
                false
            }),
            "Prometheus is not ready:\n{}",
            process.log()
        );
        Some(Prometheus { url: format!("http://127.0.0.1:{port}"), _process: process, _data: data })
    }
}
