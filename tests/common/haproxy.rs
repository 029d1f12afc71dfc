//! A real HAProxy in front of a blue and a green server, and somebody who sends requests through it without pause. All of it
//! ends with the value.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{self, Read, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use bgctl::plan::Color;
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::bots::{Started, pause};
use super::{free_port, peer};

/// What `backend app` says unless a test says otherwise: both sides are checked, all users are on blue.
pub const BACKEND: &str = "balance roundrobin
  server blue {blue} check inter 100ms weight 100
  server green {green} check inter 100ms weight 0";

/// A server of one colour that answers everything and counts it.
pub struct Origin {
    pub address: SocketAddr,
    pub served: Arc<AtomicU64>,
    /// The marks of POSTs it has got, and how many it got again.
    pub twice: Arc<AtomicU64>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Origin {
    pub fn start(color: Color) -> Origin {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        listener.set_nonblocking(true).expect("a socket");
        let (served, twice) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (counts, again) = (Arc::clone(&served), Arc::clone(&twice));
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).expect("a listener");
            let marks = Arc::new(Mutex::new(HashSet::new()));
            while let Ok((stream, _)) = listener.accept().await {
                let (counts, again, marks) = (Arc::clone(&counts), Arc::clone(&again), Arc::clone(&marks));
                tokio::spawn(async move {
                    // A client that goes away has had what it wanted.
                    let _ = serve(stream, color, &counts, &again, &marks).await;
                });
            }
        });
        Origin { address, served, twice, runtime: Some(runtime) }
    }

    /// Ends it at once: nobody listens there any more.
    pub fn end(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.end();
    }
}

/// The head of a message, and the length of its body.
async fn head(stream: &mut BufReader<TcpStream>) -> io::Result<Option<(String, usize)>> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let begun = head.len();
        if stream.read_line(&mut head).await? == 0 {
            return if head.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        match head[begun..].trim_end() {
            "" => return Ok(Some((head, length))),
            line => {
                if let Some((name, value)) = line.split_once(':')
                    && name.eq_ignore_ascii_case("content-length")
                {
                    length = value.trim().parse().map_err(io::Error::other)?;
                }
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a server that takes its time")]
async fn serve(
    stream: TcpStream,
    color: Color,
    served: &AtomicU64,
    twice: &AtomicU64,
    marks: &Mutex<HashSet<Vec<u8>>>,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let body = format!("{}\n", color.name());
    let answer =
        format!("HTTP/1.1 200 OK\r\nx-version: {}\r\ncontent-length: {}\r\n\r\n{body}", color.name(), body.len());
    while let Some((head, length)) = head(&mut stream).await? {
        let mut mark = vec![0; length];
        stream.read_exact(&mut mark).await?;
        // Checks, probes and whoever asks for a path of its own are not the users that are counted.
        if head.contains(" /load") {
            served.fetch_add(1, Relaxed);
        }
        if length > 0 && !marks.lock().expect("no panic").insert(mark) {
            twice.fetch_add(1, Relaxed);
        }
        if let Some(ms) = head.split(" /load?ms=").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok()) {
            tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
        }
        let own = ["/signals", "/bgctl/inflight", "/bgctl/reconnect"].iter().zip(["queue", "inflight", "asked"]);
        let json = own.clone().find(|(path, _)| head.contains(&format!(" {path} "))).map(|(path, member)| {
            let body = format!("{{\"{member}\": {}}}", u8::from(*path == "/bgctl/reconnect"));
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        });
        stream.write_all(json.as_ref().unwrap_or(&answer).as_bytes()).await?;
    }
    Ok(())
}

/// What becomes of a line of commands on its way to HAProxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It never arrives, and nobody is told.
    Lost,
    /// HAProxy follows it, and its answer never arrives.
    Unanswered,
    /// It arrives so many milliseconds after whoever sent it was told that it is lost.
    Late(u64),
    /// It waits until whoever sent it is gone, and never arrives.
    Held,
    /// HAProxy is reloaded before it arrives.
    Reloaded,
    /// Its first commands are answered as if they were followed, and are not.
    Ignored,
}

/// A wire to the socket of an HAProxy on which lines can be lost.
pub struct Wire {
    pub socket: PathBuf,
    fates: Arc<Mutex<Vec<(String, Fate)>>>,
    held: Arc<AtomicBool>,
    away: Arc<AtomicBool>,
}

impl Wire {
    pub fn to(haproxy: &Arc<Haproxy>) -> Wire {
        let socket = haproxy.path("wire.sock");
        let listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
        let (fates, held) = (Arc::new(Mutex::new(Vec::<(String, Fate)>::new())), Arc::new(AtomicBool::new(false)));
        let (rules, holds, haproxy) = (Arc::clone(&fates), Arc::clone(&held), Arc::downgrade(haproxy));
        let away = Arc::new(AtomicBool::new(false));
        let gone = Arc::clone(&away);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), Some(haproxy)) = (stream, haproxy.upgrade()) else { return };
                if gone.load(SeqCst) {
                    continue;
                }
                let (rules, holds) = (Arc::clone(&rules), Arc::clone(&holds));
                // One that sends goes away whenever it wants.
                std::thread::spawn(move || carried(stream, &haproxy, &rules, &holds).ok());
            }
        });
        Wire { socket, fates, held, away }
    }

    /// Whoever asks is cut off at once, or no longer.
    pub fn away(&self, away: bool) {
        self.away.store(away, SeqCst);
    }

    /// The next line with these words in it has this fate.
    pub fn next(&self, words: &str, fate: Fate) {
        self.held.store(false, SeqCst);
        self.fates.lock().expect("no panic").push((words.into(), fate));
    }

    /// Waits until a line is held.
    pub fn held(&self) {
        for _ in 0..2000 {
            if self.held.load(SeqCst) {
                return;
            }
            pause(10);
        }
        panic!("no line was held within 20 s");
    }
}

fn carried(
    mut stream: UnixStream,
    haproxy: &Haproxy,
    fates: &Mutex<Vec<(String, Fate)>>,
    held: &AtomicBool,
) -> io::Result<()> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\n") {
        stream.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    let line = String::from_utf8_lossy(&line).trim_end().to_string();
    let fate = {
        let mut fates = fates.lock().expect("no panic");
        let found = fates.iter().position(|(words, _)| line.contains(words));
        found.map(|at| fates.remove(at).1)
    };
    match fate {
        Some(Fate::Lost) => return Ok(()),
        Some(Fate::Unanswered) => {
            haproxy.say(&line);
            return Ok(());
        }
        Some(Fate::Late(ms)) => {
            drop(stream);
            pause(ms);
            haproxy.say(&line);
            return Ok(());
        }
        Some(Fate::Held) => {
            held.store(true, SeqCst);
            // The other end closes when it is gone.
            stream.read_exact(&mut byte)?;
            return Ok(());
        }
        Some(Fate::Reloaded) => haproxy.reload(),
        Some(Fate::Ignored) => {
            let (ignored, rest) = line.split_at(line.find("show info").expect("it is read back"));
            stream.write_all("\n".repeat(ignored.matches("set server").count()).as_bytes())?;
            return stream.write_all(haproxy.say(rest).as_bytes());
        }
        None => {}
    }
    stream.write_all(haproxy.say(&line).as_bytes())
}

pub struct Haproxy {
    /// Where its users come in.
    pub port: u16,
    folder: tempfile::TempDir,
    process: Started,
}

impl Haproxy {
    /// None where the program is missing. `{blue}` and `{green}` in the lines of the backend are the origins' addresses.
    pub fn start(origins: &[Origin; 2], backend: &str) -> Option<Haproxy> {
        let (program, folder, port) = (peer("haproxy")?, tempfile::tempdir().expect("a folder"), free_port());
        let [blue, green] = origins.each_ref().map(|origin| origin.address.to_string());
        let here = folder.path().display();
        let backend = backend.replace("{blue}", &blue).replace("{green}", &green);
        let text = format!(
            "global
  stats socket {here}/admin.sock mode 600 level admin expose-fd listeners
  stats socket {here}/operator.sock mode 600 level operator
  hard-stop-after 10s
  nbthread 1
defaults
  mode http
  timeout connect 2s
  timeout client 30s
  timeout server 30s
frontend users
  bind 127.0.0.1:{port}
  http-request use-service prometheus-exporter if {{ path /metrics }}
  default_backend app
backend app
  {backend}
backend other
  server only {blue} weight 7
"
        );
        std::fs::write(folder.path().join("haproxy.cfg"), text).expect("a file");
        let mut command = Command::new(program);
        command
            .args(["-W", "-S"])
            .arg(folder.path().join("master.sock"))
            .arg("-f")
            .arg(folder.path().join("haproxy.cfg"));
        let process = Started::new(command, port, &folder.path().join("haproxy.log"));
        let haproxy = Haproxy { port, folder, process };
        haproxy.until("both sides are checked", |said| !said.contains(",INI,") && !said.contains("* INI"));
        Some(haproxy)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn socket(&self) -> PathBuf {
        self.path("admin.sock")
    }

    /// What it answers to a command, asked by nobody of ours.
    pub fn say(&self, command: &str) -> String {
        let mut answer = String::new();
        let mut stream = UnixStream::connect(self.socket()).expect("its socket");
        stream.write_all(format!("{command}\n").as_bytes()).expect("a command");
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// A command that has to succeed, which it says by saying nothing.
    #[track_caller]
    pub fn tell(&self, command: &str) {
        assert_eq!(self.say(command).trim(), "", "{command}");
    }

    /// The weights of blue and green as they are now.
    pub fn weights(&self) -> (u32, u32) {
        let weight = |name: &str| -> u32 {
            let said = self.say(&format!("get weight app/{name}"));
            said.split_whitespace()
                .next()
                .and_then(|word| word.parse().ok())
                .unwrap_or_else(|| panic!("{name}: {said}"))
        };
        (weight("blue"), weight("green"))
    }

    /// A column of `show stat` of one server.
    pub fn stat(&self, server: &str, column: &str) -> u64 {
        self.said(server, column).parse().unwrap_or_default()
    }

    /// `UP`, `DRAIN`, and so on.
    pub fn status(&self, server: &str) -> String {
        self.said(server, "status")
    }

    fn said(&self, server: &str, column: &str) -> String {
        let said = self.say("show stat app 6 -1");
        let mut lines = said.lines();
        let columns =
            lines.next().expect("columns").trim_start_matches("# ").split(',').position(|name| name == column);
        let row = lines.find(|line| line.starts_with(&format!("app,{server},"))).expect("the server");
        row.split(',').nth(columns.expect("the column")).unwrap_or_default().into()
    }

    /// Polls `show stat` until it is so.
    #[track_caller]
    pub fn until(&self, what: &str, so: impl Fn(&str) -> bool) {
        for _ in 0..500 {
            // While one process takes the place of another there is no answer.
            let said = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.say("show stat app 6 -1")));
            if said.is_ok_and(|said| so(&said)) {
                return;
            }
            pause(20);
        }
        panic!("not within 10 s: {what}: {}", self.say("show stat app 6 -1"));
    }

    /// Somebody reloads it: another process takes over, with the weights of the configuration.
    pub fn reload(&self) {
        let pid = |said: String| said.lines().find_map(|line| line.strip_prefix("Pid: ").map(String::from));
        let before = pid(self.say("show info"));
        self.process.signal_first(Signal::USR2);
        self.until("a new process", |_| pid(self.say("show info")) != before);
    }

    /// It is stopped where it stands, as a machine that hangs, and goes on later.
    pub fn freeze(&self, frozen: bool) {
        self.process.signal(if frozen { Signal::STOP } else { Signal::CONT });
    }
}

/// What somebody who sends has found.
#[derive(Debug, Default)]
pub struct Counts {
    pub sent: AtomicU64,
    pub blue: AtomicU64,
    pub green: AtomicU64,
    pub posts: AtomicU64,
    pub failed: AtomicU64,
    /// Answered by the side that had none of the users left when the request was sent.
    pub wrong: AtomicU64,
    /// The first failures, in words.
    pub words: Mutex<String>,
}

/// Clients that send one request after the other, each over a connection it keeps; every third is a POST.
pub struct Load {
    pub counts: Arc<Counts>,
    /// 0 while both may answer; then 1 for blue and 2 for green.
    only: Arc<AtomicU8>,
    stop: Arc<AtomicBool>,
    runtime: Option<tokio::runtime::Runtime>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    pub fn start(port: u16, clients: usize) -> Load {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let (counts, stop) = (Arc::new(Counts::default()), Arc::new(AtomicBool::new(false)));
        let only = Arc::new(AtomicU8::new(1));
        let client = |n: usize| {
            let (counts, stop, only) = (Arc::clone(&counts), Arc::clone(&stop), Arc::clone(&only));
            runtime.spawn(async move {
                while !stop.load(Relaxed) {
                    if let Err(error) = send(port, n, &counts, &stop, &only).await {
                        counts.failed.fetch_add(1, Relaxed);
                        let mut words = counts.words.lock().expect("no panic");
                        if words.len() < 2000 {
                            let _ = writeln!(words, "{error}");
                        }
                    }
                }
            })
        };
        let clients = (0..clients).map(client).collect();
        Load { counts, only, stop, runtime: Some(runtime), clients }
    }

    /// From now on this side alone may answer what is sent, or both.
    pub fn only(&self, side: Option<Color>) {
        self.only.store(side.map_or(0, |side| 1 + u8::from(side == Color::Green)), SeqCst);
    }

    /// Waits until so many requests have been answered.
    pub fn until(&self, answered: u64) {
        while self.answered() < answered && self.counts.failed.load(Relaxed) < 100 {
            pause(5);
        }
    }

    pub fn answered(&self) -> u64 {
        self.counts.blue.load(Relaxed) + self.counts.green.load(Relaxed)
    }

    /// Lets every request end that was begun.
    pub fn end(mut self) -> Arc<Counts> {
        self.stop.store(true, Relaxed);
        let runtime = self.runtime.take().expect("it runs");
        runtime.block_on(async {
            for client in &mut self.clients {
                client.await.expect("a client that did not panic");
            }
        });
        runtime.shutdown_background();
        Arc::clone(&self.counts)
    }
}

async fn send(port: u16, client: usize, counts: &Counts, stop: &AtomicBool, only: &AtomicU8) -> io::Result<()> {
    let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await?);
    while !stop.load(Relaxed) {
        let n = counts.sent.fetch_add(1, Relaxed);
        let mark = format!("{client}-{n}");
        let request = match n % 3 {
            0 => {
                counts.posts.fetch_add(1, Relaxed);
                format!("POST /load HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{mark}", mark.len())
            }
            _ => "GET /load HTTP/1.1\r\nhost: a\r\n\r\n".to_string(),
        };
        let wanted = only.load(SeqCst);
        stream.write_all(request.as_bytes()).await?;
        let answer = head(&mut stream).await?;
        let (head, length) = answer.ok_or_else(|| io::Error::other("the connection was closed under a request"))?;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let from = match body.as_slice() {
            b"blue\n" => 1,
            b"green\n" => 2,
            _ => return Err(io::Error::other(head.lines().next().unwrap_or_default().to_string())),
        };
        let count = if from == 1 { &counts.blue } else { &counts.green };
        count.fetch_add(1, Relaxed);
        if wanted != 0 && wanted != from {
            counts.wrong.fetch_add(1, Relaxed);
        }
    }
    Ok(())
}
