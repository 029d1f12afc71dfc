//! Real bots on loopback: Bolt for Python behind gunicorn and Bolt for JavaScript, over one Redis. Their knobs stand in
//! `tests/bots/*/common.*`.
//!
//! Each program runs in a process group of its own and is ended by that group: a worker that outlives its master would
//! keep the port, and the next test would talk to the bot of the last one. For the same reason a port that answers before
//! a program was started is refused.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bgctl::plan::Color;
use rustix::process::{Pid, Signal, kill_process_group};

use super::{free_port, peer};

/// What all bots are signed with, unless a knob says otherwise.
pub const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";

/// A program in a process group of its own.
pub struct Started {
    child: Child,
    log: PathBuf,
}

impl Started {
    /// Starts it and waits until `port` takes connections.
    #[track_caller]
    pub fn new(mut command: Command, port: u16, log: &Path) -> Started {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let answers = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok();
        assert!(!answers(), "something answers on port {port} already");
        let file = std::fs::File::create(log).expect("a log file");
        command.stdin(Stdio::null()).stdout(file.try_clone().expect("the same file")).stderr(file).process_group(0);
        let mut started = Started { child: command.spawn().expect("it starts"), log: log.into() };
        for _ in 0..400 {
            if answers() {
                return started;
            }
            if let Ok(Some(status)) = started.child.try_wait() {
                panic!("{command:?} ended with {status}:\n{}", started.log());
            }
            pause(50);
        }
        panic!("{command:?} takes no connection within 20 s:\n{}", started.log());
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends all of it at once, as a lost machine does.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    pub fn signal(&self, signal: Signal) {
        let group = Pid::from_raw(self.child.id().cast_signed()).expect("a process id");
        // An error means that it has ended by itself.
        let _ = kill_process_group(group, signal);
    }

    /// To the program itself, and to nothing that it started.
    pub fn signal_first(&self, signal: Signal) {
        let _ = rustix::process::kill_process(Pid::from_child(&self.child), signal);
    }

    pub fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.kill();
    }
}

#[expect(clippy::disallowed_methods, reason = "polling real processes")]
pub fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// The store blue and green share. Databases 0 to 15 are apart from each other.
pub struct Redis {
    pub process: Started,
    pub port: u16,
    more: Vec<String>,
    dir: tempfile::TempDir,
}

impl Redis {
    /// Keeps nothing on disk and evicts nothing, unless `more` says otherwise.
    pub fn start(more: &[&str]) -> Option<Redis> {
        let (dir, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let more: Vec<String> = more.iter().map(|word| word.to_string()).collect();
        let process = Redis::serve(port, &more, dir.path())?;
        Some(Redis { process, port, more, dir })
    }

    fn serve(port: u16, more: &[String], dir: &Path) -> Option<Started> {
        let mut command = Command::new(peer("redis-server")?);
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"]);
        command.args(["--maxmemory-policy", "noeviction"]).args(more).current_dir(dir);
        Some(Started::new(command, port, &dir.join("redis.log")))
    }

    /// Killed, and started again after so long with what it kept on disk.
    pub fn restart(&mut self, after_ms: u64) {
        self.process.kill();
        pause(after_ms);
        self.process = Redis::serve(self.port, &self.more, self.dir.path()).expect("it was there before");
    }

    pub fn url(&self, database: u32) -> String {
        format!("redis://127.0.0.1:{}/{database}", self.port)
    }

    /// One command, written as on a terminal; its answer's first line.
    pub fn tell(port: u16, command: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        write!(stream, "{command}\r\n")?;
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stream), &mut line)?;
        match line.trim_end() {
            "" => Err(std::io::ErrorKind::UnexpectedEof.into()),
            line => Ok(line.to_string()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bolt {
    Python,
    JavaScript,
}

/// A running bot.
pub struct Bot {
    pub process: Started,
    pub url: String,
    pub address: SocketAddr,
    pub color: Color,
    pub version: String,
    _dir: tempfile::TempDir,
}

impl Bot {
    /// Starts a bot, or none where a program it needs is missing. `knobs` are the variables of `tests/bots/*/common.*`;
    /// `FAKETIME` sets the bot's clock, such as `+6m`, and `BOT` takes another file than `bot_http`.
    #[track_caller]
    pub fn start(bolt: Bolt, color: Color, version: &str, store: &str, knobs: &[(&str, &str)]) -> Option<Bot> {
        let port = free_port();
        Bot::start_at(bolt, color, version, store, knobs, port)
    }

    /// The same on a port where an earlier one has ended.
    #[track_caller]
    pub fn start_at(
        bolt: Bolt,
        color: Color,
        version: &str,
        store: &str,
        knobs: &[(&str, &str)],
        port: u16,
    ) -> Option<Bot> {
        let dir = tempfile::tempdir().expect("a folder");
        let knob = |wanted: &str| knobs.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
        let time = knob("FAKETIME");
        let argv = program(bolt, knob("BOT").unwrap_or("bot_http"), port)?;
        let mut command = match time {
            None => Command::new(&argv[0]),
            Some(time) => {
                let mut command = Command::new(peer("faketime")?);
                command.args(["-f", time]).arg(&argv[0]);
                command
            }
        };
        command.args(&argv[1..]).current_dir(sources(bolt)).env("PORT", port.to_string());
        environment(&mut command, bolt);
        command.envs([("COLOR", color.name()), ("VERSION", version), ("REDIS_URL", store)]);
        command.env("SLACK_SIGNING_SECRET", SECRET);
        command.envs(knobs.iter().filter(|(name, _)| *name != "FAKETIME").copied());
        let process = Started::new(command, port, &dir.path().join("bot.log"));
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let url = format!("http://{address}");
        // A master takes connections before its worker can answer.
        for _ in 0..400 {
            if get(address, "/healthz/ready").starts_with("HTTP/1.1 200") {
                break;
            }
            pause(50);
        }
        Some(Bot { process, url, address, color, version: version.into(), _dir: dir })
    }
}

/// The answer to a GET, with its head; nothing where there is none.
pub fn get(address: SocketAddr, path: &str) -> String {
    let mut answer = String::new();
    if let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(3)));
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        if stream.write_all(request.as_bytes()).is_ok() {
            // A connection that breaks has said what it had to say.
            let _ = stream.read_to_string(&mut answer);
        }
    }
    answer
}

/// The folder of a bot's sources.
pub fn sources(bolt: Bolt) -> PathBuf {
    let folder = if bolt == Bolt::Python { "bolt_py" } else { "bolt_js" };
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bots").join(folder)
}

/// Where the libraries of a bot are.
pub fn environment(command: &mut Command, bolt: Bolt) {
    match bolt {
        Bolt::Python => command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1"),
        Bolt::JavaScript => command.env("NODE_PATH", peers().join("npm/node_modules")),
    };
}

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers")
}

/// The command line of a bot that serves HTTP, where everything it needs is there.
fn program(bolt: Bolt, module: &str, port: u16) -> Option<Vec<String>> {
    let program = interpreter(bolt)?.display().to_string();
    Some(match bolt {
        Bolt::Python if module.ends_with(":asgi") => {
            peer("uvicorn")?;
            let words = ["-m", "uvicorn", module, "--host", "127.0.0.1", "--port", &port.to_string()];
            [program.as_str()].iter().chain(&words).map(|word| word.to_string()).collect()
        }
        Bolt::Python => {
            let bind = format!("127.0.0.1:{port}");
            let app = format!("{module}:api");
            ["-m", "gunicorn", &app, "-b", &bind, "--workers", "1", "--threads", "24", "--graceful-timeout", "5"]
                .iter()
                .fold(vec![program], |mut argv, word| {
                    argv.push(word.to_string());
                    argv
                })
        }
        Bolt::JavaScript => vec![program, format!("{module}.js")],
    })
}

/// The interpreter of a bot, where its libraries are there too.
pub fn interpreter(bolt: Bolt) -> Option<PathBuf> {
    match bolt {
        Bolt::Python => peer("gunicorn").map(|_| peers().join("bin/python")),
        Bolt::JavaScript => {
            peer("../npm/node_modules/@slack/bolt/package.json")?;
            peer("node")
        }
    }
}
