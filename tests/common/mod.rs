//! What test binaries share: where the peers are.
//!
//! A peer is a real program that bgctl is tried against. `tests/all` installs them. Where one is missing its tests say so
//! and pass on a laptop, and fail in CI, so that a green run there means that everything ran.
#![allow(dead_code, reason = "each test binary uses its part of this")]

pub mod bots;
pub mod canary;
#[cfg(feature = "aws")]
pub mod cbor;
pub mod certificates;
#[cfg(feature = "aws")]
pub mod elbv2;
pub mod envoy;
pub mod haproxy;
pub mod kinds;
#[cfg(feature = "aws")]
pub mod moto;
#[cfg(feature = "dns")]
pub mod named;
#[cfg(feature = "aws")]
pub mod nginx;
pub mod paper;
pub mod play;
pub mod postgres;
pub mod prometheus;
#[cfg(feature = "route53")]
pub mod route53;
pub mod scripted;
pub mod site;
pub mod slack_app;
pub mod traffic;

use std::path::{Path, PathBuf};

/// The program of that name: from the folder `tests/all` fills, or from `PATH`.
#[expect(clippy::disallowed_methods, reason = "tests have no command line of their own")]
pub fn peer(name: &str) -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/bin").join(name);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::iter::once(own).chain(std::env::split_paths(&path).map(|dir| dir.join(name))).find(|p| p.is_file());
    if found.is_none() {
        skipped(name);
    }
    found
}

/// A script that a page prints, by the word it begins with.
pub fn printed<'p>(page: &'p str, name: &str) -> &'p str {
    let scripts = page.split("```sh\n").skip(1).filter_map(|rest| rest.split_once("```"));
    let mut named = scripts.map(|(script, _)| script).filter(|script| script.starts_with(&format!("# {name}:")));
    named.next().unwrap_or_else(|| panic!("the page has no script `{name}`"))
}

/// A Python that verifies signatures.
pub fn python() -> Option<PathBuf> {
    let python = peer("python3")?;
    let import = std::process::Command::new(&python).args(["-c", "import cryptography"]).output();
    if import.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    skipped("cryptography");
    None
}

/// Says that a test cannot be made here, for want of that; in CI it fails.
#[expect(clippy::disallowed_methods, reason = "tests have no command line of their own")]
fn skipped(name: &str) {
    assert!(std::env::var_os("CI").is_none_or(|v| v != "true"), "CI has no `{name}`: `tests/all` installs it");
    let said = format!("skipped: no `{name}`; `tests/all` installs it\n");
    let _ = std::io::Write::write_all(&mut std::io::stderr(), said.as_bytes());
}

/// A server that gives everybody who asks this one answer, whatever they ask.
pub fn answering(content_type: &'static str, body: &'static str) -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    listener.set_nonblocking(true).expect("a socket");
    std::thread::spawn(move || {
        let app = axum::Router::new().fallback(move || async move { ([("content-type", content_type)], body) });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, app).await.expect("it serves");
        });
    });
    address
}

/// A reading that nobody made: a router reads again before it writes.
pub fn at(split: bgctl::plan::Split) -> bgctl::routers::Reading {
    bgctl::routers::Reading { split, exact: serde_json::Value::Null, remarks: Vec::new() }
}

/// A port nobody listens on just now.
pub fn free_port() -> u16 {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    // Below what the system gives to connections and to servers that take any port: a port that is free now stays so.
    let (low, count) = (20_000, 12_000);
    loop {
        let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let port = low + (std::process::id().wrapping_mul(97).wrapping_add(n)) % count;
        let port = u16::try_from(port).expect("a port");
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
