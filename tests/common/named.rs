//! A zone on a real BIND, with a secondary and an unbound in front of both, and whoever changes it by hand.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use bgctl::routers::Access;
use bgctl::secret::{Secret, Secrets};
use serde_json::{Value, json};

use super::bots::{Started, pause};
use super::{free_port, peer};

pub const SECRET: &str = "aGVyZSBpcyBhIHNlY3JldCBmb3IgdHNpZyBvZiB0ZXN0";
/// The key of somebody else, who may do anything.
const HAND: &str = "b3RoZXIgaGFuZCwgd2hpY2ggbWF5IGRvIGFueXRoaW5n";
pub const NAME: &str = "bot.example.test";
pub const BLUE: &str = "127.0.0.1";
pub const GREEN: &str = "127.0.0.2";

/// The zone `example.test`.
pub struct Zone {
    pub primary: u16,
    pub secondary: u16,
    pub resolver: u16,
    pub bots: [Bot; 2],
    pub second: Started,
    _first: Started,
    _front: Started,
    folder: tempfile::TempDir,
}

impl Zone {
    /// The record leads to blue with that TTL.
    pub fn start(ttl: u32) -> Option<Zone> {
        let (named, unbound) = (peer("named")?, peer("unbound")?);
        peer("nsupdate")?;
        peer("dig")?;
        let folder = tempfile::tempdir().expect("a folder");
        let [primary, secondary, resolver, web] = std::array::from_fn(|_| free_port());
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path
        };
        write(
            "example.test.zone",
            format!(
                "$ORIGIN example.test.\n$TTL 300\n@ SOA ns root 1 3600 600 86400 30\n@ NS ns\nns A 127.0.0.1\n\
                 other TXT \"stays\"\nbot {ttl} A {BLUE}\n"
            ),
        );
        let server = |name: &str, port: u16, more: String| {
            let own = folder.path().join(name);
            std::fs::create_dir(&own).expect("a folder");
            let at = own.display();
            let text = format!(
                "options {{ directory \"{at}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};\n\
                 pid-file \"{at}/pid\"; session-keyfile \"{at}/session.key\"; recursion no; dnssec-validation no;\n\
                 notify explicit; notify-delay 0; allow-transfer {{ any; }}; {} }};\ncontrols {{ }};\n{more}",
                if name == "first" { format!("also-notify {{ 127.0.0.1 port {secondary}; }};") } else { String::new() }
            );
            (write(&format!("{name}.conf"), text), own)
        };
        let keys = format!(
            "key bgctl {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n\
             key poor {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n\
             key hand {{ algorithm hmac-sha256; secret \"{HAND}\"; }};\n"
        );
        let policy =
            format!("grant bgctl name {NAME} A CNAME; grant bgctl name _bgctl.{NAME} TXT; grant hand zonesub ANY;");
        let zone = folder.path().join("example.test.zone");
        let first = format!(
            "{keys}zone example.test {{ type primary; file \"{}\"; update-policy {{ {policy} }}; }};\n",
            zone.display()
        );
        let second = format!(
            "zone example.test {{ type secondary; primaries {{ 127.0.0.1 port {primary}; }}; file \"second.zone\"; }};\n"
        );
        let run = |(conf, own): (PathBuf, PathBuf), port: u16| {
            let mut command = Command::new(&named);
            command.args(["-g", "-n", "1", "-c"]).arg(&conf);
            Started::new(command, port, &own.join("log"))
        };
        let first = run(server("first", primary, first), primary);
        let second = run(server("second", secondary, second), secondary);
        let front = write(
            "unbound.conf",
            format!(
                "server:\n interface: 127.0.0.1@{resolver}\n do-daemonize: no\n chroot: \"\"\n username: \"\"\n directory: \"{0}\"\n \
                 pidfile: \"\"\n use-syslog: no\n logfile: \"\"\n do-not-query-localhost: no\n do-ip6: no\n module-config: \"iterator\"\n \
                 local-zone: \"test.\" nodefault\nremote-control:\n control-enable: no\nstub-zone:\n name: \"example.test\"\n \
                 stub-addr: 127.0.0.1@{primary}\n",
                folder.path().display()
            ),
        );
        let mut command = Command::new(unbound);
        command.args(["-d", "-c"]).arg(front);
        let front = Started::new(command, resolver, &folder.path().join("unbound.log"));
        let bots = [BLUE, GREEN].map(|address| Bot::start(address, web));
        let zone = Zone { primary, secondary, resolver, bots, second, _first: first, _front: front, folder };
        zone.settled();
        Some(zone)
    }

    pub fn settings(&self) -> Value {
        json!({
            "zone": "example.test", "name": NAME, "blue": [BLUE], "green": [GREEN], "ttl": "60s",
            "servers": [format!("127.0.0.1:{}", self.primary), format!("127.0.0.1:{}", self.secondary)],
            "resolvers": [format!("127.0.0.1:{}", self.resolver)],
            "key": { "name": "bgctl", "secret": "${env:DNS_KEY}" },
            "health": format!("http://{NAME}:{}/healthz", self.bots[0].port),
        })
    }

    /// Where it is, as the scripts of the page have it.
    pub fn in_shell(&self) -> String {
        format!("server=127.0.0.1 port={} zone=example.test name={NAME}", self.primary)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn dig(&self, port: u16, words: &[&str]) -> String {
        let output = Command::new("dig")
            .args(["@127.0.0.1", "-p", &port.to_string(), "+time=2", "+tries=1", "+tcp"])
            .args(words)
            .output()
            .expect("dig");
        String::from_utf8(output.stdout).expect("a text").trim().to_string()
    }

    /// What the primary says of the record.
    pub fn record(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.dig(self.primary, &["+short", NAME, "A"]).lines().map(String::from).collect();
        lines.sort();
        lines
    }

    pub fn serial(&self, port: u16) -> String {
        self.dig(port, &["+short", "example.test", "SOA"]).split(' ').nth(2).unwrap_or_default().into()
    }

    /// Everything in the zone but the record, the TXT beside it and the serial.
    pub fn everything_else(&self) -> Value {
        let zone = self.dig(self.primary, &["+noall", "+answer", "example.test", "AXFR"]);
        json!(zone.lines().filter(|line| !line.contains("bot.") && !line.contains("SOA")).collect::<Vec<_>>())
    }

    /// Changes the zone by hand, and waits until both servers have it.
    pub fn by_hand(&self, lines: &[&str]) {
        by_hand(self.primary, lines);
        self.settled();
    }

    /// Waits until both servers have the same.
    pub fn settled(&self) {
        for _ in 0..200 {
            let serial = self.serial(self.primary);
            if !serial.is_empty() && serial == self.serial(self.secondary) {
                return;
            }
            pause(50);
        }
        panic!("the secondary never had what the primary has");
    }
}

/// Changes the zone by hand at once, as somebody who may.
#[track_caller]
pub fn by_hand(port: u16, lines: &[&str]) {
    let text = format!(
        "server 127.0.0.1 {port}\nkey hmac-sha256:hand {HAND}\nzone example.test\n{}\nsend\n",
        lines.join("\n")
    );
    let mut child = Command::new("nsupdate").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("nsupdate");
    child.stdin.take().expect("its input").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("its end");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

pub fn access() -> Access {
    access_with(SECRET)
}

pub fn access_with(secret: &str) -> Access {
    let secrets = Secrets::new([("${env:DNS_KEY}".to_string(), Secret::new(secret))].into());
    Access { secrets, ..Access::default() }
}

/// A bot on one address: well, until it is told not to be.
pub struct Bot {
    pub port: u16,
    pub well: Arc<Mutex<bool>>,
}

impl Bot {
    pub fn start(address: &str, port: u16) -> Bot {
        let listener = TcpListener::bind((address, port)).expect("a port");
        let well = Arc::new(Mutex::new(true));
        let answers = well.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let _ = stream.read(&mut [0; 4096]);
                let status = if *answers.lock().expect("a word") { "200 OK" } else { "503 Service Unavailable" };
                let _ = stream.write_all(
                    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").as_bytes(),
                );
            }
        });
        Bot { port, well }
    }
}

/// What happens to an answer on its way; none, where it is lost.
type Answer = Box<dyn FnMut(Vec<u8>) -> Option<Vec<u8>> + Send>;

/// What happens to updates on their way.
pub struct Tricks {
    pub before: Box<dyn FnMut() + Send>,
    /// It is kept, and never comes to the primary.
    pub held: bool,
    pub answer: Answer,
    /// Every update that came by.
    pub seen: Vec<Vec<u8>>,
}

/// Stands between bgctl and the primary.
pub struct Between {
    pub port: u16,
    pub tricks: Arc<Mutex<Tricks>>,
}

impl Between {
    pub fn start(to: u16) -> Between {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let tricks = Tricks { before: Box::new(|| ()), held: false, answer: Box::new(Some), seen: Vec::new() };
        let tricks = Arc::new(Mutex::new(tricks));
        let played = tricks.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(mut near), played) = (stream, played.clone()) else { continue };
                std::thread::spawn(move || {
                    while let Some(asked) = framed(&mut near) {
                        // The opcode of an update is 5.
                        let update = asked.get(2).is_some_and(|byte| byte >> 3 & 15 == 5);
                        if update {
                            let mut tricks = played.lock().expect("tricks");
                            tricks.seen.push(asked.clone());
                            (tricks.before)();
                            if tricks.held {
                                return;
                            }
                        }
                        let answer = told(to, &asked);
                        let answer = match update {
                            true => (played.lock().expect("tricks").answer)(answer),
                            false => Some(answer),
                        };
                        let Some(answer) = answer else { return };
                        send(&mut near, &answer);
                    }
                });
            }
        });
        Between { port, tricks }
    }

    pub fn before(&self, before: impl FnMut() + Send + 'static) {
        self.tricks.lock().expect("tricks").before = Box::new(before);
    }

    pub fn answer(&self, answer: impl FnMut(Vec<u8>) -> Option<Vec<u8>> + Send + 'static) {
        self.tricks.lock().expect("tricks").answer = Box::new(answer);
    }

    pub fn hold(&self, held: bool) {
        self.tricks.lock().expect("tricks").held = held;
    }

    /// The update that came by last.
    pub fn last(&self) -> Vec<u8> {
        self.tricks.lock().expect("tricks").seen.last().cloned().expect("an update")
    }
}

/// Sends a message to a server of this machine, and reads its answer.
pub fn told(port: u16, message: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a server");
    send(&mut stream, message);
    framed(&mut stream).expect("an answer")
}

fn send(stream: &mut TcpStream, message: &[u8]) {
    let length = u16::try_from(message.len()).expect("a short message").to_be_bytes();
    let _ = stream.write_all(&[&length[..], message].concat());
}

fn framed(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).ok()?;
    Some(message)
}
