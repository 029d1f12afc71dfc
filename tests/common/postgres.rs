//! A real PostgreSQL with an empty database; it ends with the value.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::bots::Started;
use super::{free_port, peer};

/// `nobody`, where the tests run as root: PostgreSQL refuses to.
const NOBODY: u32 = 65_534;

pub struct Postgres {
    /// The database `postgres`, as its owner.
    pub url: String,
    psql: PathBuf,
    _process: Started,
    _data: tempfile::TempDir,
}

impl Postgres {
    /// None where the programs are missing.
    pub fn start() -> Option<Postgres> {
        let programs = ["initdb", "postgres", "psql"].map(peer);
        let [Some(initdb), Some(postgres), Some(psql)] = programs else { return None };
        let (dir, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let root = rustix::process::geteuid().is_root();
        if root {
            chown(dir.path(), Some(NOBODY), Some(NOBODY)).expect("a folder that is nobody's");
        }
        let data = dir.path().join("data");
        let mut made = as_nobody(root, &initdb, dir.path());
        made.arg("-D").arg(&data).args(["-U", "bgctl", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]);
        let made = made.output().expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut command = as_nobody(root, &postgres, dir.path());
        command.arg("-D").arg(&data).arg("-p").arg(port.to_string()).arg("-k").arg(dir.path());
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=30"]);
        let process = Started::new(command, port, &dir.path().join("postgres.log"));
        let url = format!("postgres://bgctl@127.0.0.1:{port}/postgres");
        let server = Postgres { url, psql, _process: process, _data: dir };
        // The port is open before the server takes questions.
        while !server.ask("select 1").status.success() {
            std::thread::yield_now();
        }
        Some(server)
    }

    /// What `psql` says to a script, which has to succeed.
    pub fn run(&self, sql: &str) -> String {
        let output = self.ask(sql);
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_string()
    }

    /// What `psql` says to a script, or what it says against it.
    pub fn tries(&self, sql: &str) -> Result<String, String> {
        let output = self.ask(sql);
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_string();
        if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
    }

    fn ask(&self, sql: &str) -> std::process::Output {
        let mut command = Command::new(&self.psql);
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &self.url, "-c", sql]);
        command.output().expect("psql runs")
    }
}

/// The very file: a link to it may lie where nobody can look.
fn as_nobody(root: bool, program: &Path, folder: &Path) -> Command {
    let program = program.canonicalize().expect("a program");
    let mut command = if root { Command::new("setpriv") } else { Command::new(&program) };
    if root {
        command.args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")]).arg("--clear-groups").arg(&program);
    }
    command.current_dir(folder);
    command
}
