//! What servers say: whole conversations of a PostgreSQL and of a Redis, said by somebody on loopback who changes them.
//!
//! A conversation is bytes with [`THEN`] between its parts; the next part is said once the client has spoken, or is silent. A change may lose
//! a [`THEN`] or make one more: then the server speaks too early, or too late.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bgctl::clock::SystemClock;
use bgctl::live::database::LiveDatabase;
use bgctl::live::redis::LiveStore;
use bgctl::world::{Database, Store};
use tokio::runtime::{Builder, Runtime};

use super::{Door, words};
use crate::peers::message;

const THEN: &str = "|THEN|";
/// The client's own nonce, without which a conversation about passwords is over at once.
const NONCE: &str = "|NONCE|";

/// For how long a server waits for the client to say something.
const PATIENCE: Duration = Duration::from_millis(2);

/// A server that says to everybody what stands here now.
struct Mouth {
    at: std::net::SocketAddr,
    says: Arc<Mutex<Vec<u8>>>,
}

impl Mouth {
    fn new() -> Mouth {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (at, says) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let said = Arc::clone(&says);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let said = said.lock().unwrap().clone();
                // Whoever was told enough goes away, and nobody waits for them.
                std::thread::spawn(move || say(stream, &said));
            }
        });
        Mouth { at, says }
    }

    fn say(&self, bytes: &[u8]) {
        *self.says.lock().unwrap() = bytes.to_vec();
    }
}

fn say(mut stream: TcpStream, said: &[u8]) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut heard = [0; 4096];
    for part in split(said, THEN.as_bytes()) {
        // Whoever waits for more is told what there is: it is the bytes that are tried, and not the deadlines.
        let n = match stream.read(&mut heard) {
            Ok(0) => break,
            Ok(n) => n,
            Err(_) => 0,
        };
        let nonce = split(&heard[..n], b",r=").nth(1).unwrap_or_default();
        stream.write_all(&split(part, NONCE.as_bytes()).collect::<Vec<_>>().join(nonce))?;
    }
    // Whoever has understood goes away by themselves.
    stream.read(&mut heard).map(drop)
}

fn split<'a>(bytes: &'a [u8], by: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let all = rest?;
        let at = all.windows(by.len()).position(|there| there == by);
        rest = at.map(|at| &all[at + by.len()..]);
        Some(at.map_or(all, |at| &all[..at]))
    })
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn conversation(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.join(THEN.as_bytes())
}

pub fn postgres() -> Vec<Door> {
    let mouth = Mouth::new();
    let url = format!("postgres://app:hunter2hunter2@{}/bot", mouth.at);
    let status = |name: &str, value: &str| message(b'S', format!("{name}\0{value}\0").as_bytes());
    let ready = |state: &[u8]| message(b'Z', state);
    let hello = [
        message(b'R', &[0; 4]),
        status("server_version", "16.4"),
        status("client_encoding", "UTF8"),
        message(b'K', &[7; 8]),
        ready(b"I"),
    ]
    .concat();
    let begun = [message(b'C', b"BEGIN\0"), message(b'C', b"SET\0"), message(b'C', b"SET\0"), ready(b"T")].concat();
    let column = [&b"\0\x01q\0"[..], &[0; 6], &25_u32.to_be_bytes(), &[0xff; 6], &[0; 2]].concat();
    let head = [message(b'1', b""), message(b'2', b""), message(b'T', &column)].concat();
    let row = |text: &str| {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        message(b'D', &[b"\0\x01", &length[..], text.as_bytes()].concat())
    };
    let rows = |texts: &[&str]| {
        let rows: Vec<u8> = texts.iter().flat_map(|text| row(text)).collect();
        [&head[..], &rows, &message(b'C', b"SELECT 1\0"), &ready(b"T")].concat()
    };
    let error =
        |code: &str| message(b'E', format!("SERROR\0VERROR\0C{code}\0Mno\0Hask\0P7\0Fx.c\0L3\0Rf\0\0").as_bytes());
    let notice = message(b'N', b"SNOTICE\0VNOTICE\0C00000\0Mhello\0\0");
    let sasl = message(b'R', b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0");
    let first = b"\0\0\0\x0br=|NONCE|x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    let last = [message(b'R', b"\0\0\0\x0cv=rmF9pqV8S7suAoZWja4dJRkFsKQ="), hello.clone()].concat();
    let no = b"N".to_vec();
    let seeds = vec![
        conversation(&[no.clone(), hello.clone(), begun.clone(), rows(&["{\"n\":1}", "{\"n\":2.5,\"t\":\"x\"}"])]),
        conversation(&[no.clone(), hello.clone(), [notice.clone(), error("57014"), ready(b"E")].concat()]),
        conversation(&[no.clone(), hello.clone(), begun.clone(), [error("42601"), ready(b"E")].concat()]),
        conversation(&[
            no.clone(),
            hello.clone(),
            begun,
            [notice, rows(&["{\"a\":[null,true,\"\\u00e4\"]}"])].concat(),
        ]),
        // The length of what was said before the client has a part in it is that of the changed text, most of the time.
        conversation(&[no.clone(), sasl, counted(b'R', first), last]),
        conversation(&[no.clone(), message(b'R', b"\0\0\0\x05salt"), hello.clone()]),
        conversation(&[no.clone(), message(b'R', b"\0\0\0\x03"), hello]),
        conversation(&[no, error("28P01")]),
        conversation(&[b"S".to_vec(), b"\x16\x03\x03\0\x02\x02\0".to_vec()]),
    ];
    let (runtime, database) = (runtime(), LiveDatabase::new(Rc::new(SystemClock)));
    let play = move |bytes: &[u8]| {
        mouth.say(bytes);
        runtime.block_on(database.rows(&url, "select 1 as n")).is_ok()
    };
    vec![Door { name: "frames", seeds, words: words::POSTGRES, longest: 64 * 1024, play: Box::new(play) }]
}

/// A message in which the client's nonce of 24 letters will stand.
fn counted(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = message(kind, body);
    let length = u32::try_from(body.len() + 4 + 24 - NONCE.len()).unwrap();
    message[1..5].copy_from_slice(&length.to_be_bytes());
    message
}

pub fn redis() -> Vec<Door> {
    let mouth = Mouth::new();
    let url = format!("redis://app:hunter2hunter2@{}/0", mouth.at);
    let ok = b"+OK\r\n+OK\r\n+OK\r\n".to_vec();
    let info = "# Memory\r\nmaxmemory_policy:noeviction\r\n# Replication\r\nrole:master\r\n";
    let info = format!("${}\r\n{info}\r\n", info.len()).into_bytes();
    let held = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$5\r\nvalue\r\n:1500\r\n".to_vec();
    let lists = b"*2\r\n$1\r\na\r\n$1\r\nb\r\n*0\r\n".to_vec();
    let seeds = vec![
        conversation(&[ok.clone(), info.clone(), held, lists]),
        conversation(&[ok.clone(), info.clone(), b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$-1\r\n:-2\r\n".to_vec()]),
        conversation(&[ok.clone(), b"-NOAUTH Authentication required.\r\n".to_vec()]),
        conversation(&[b"-WRONGPASS invalid username-password pair\r\n+OK\r\n+OK\r\n".to_vec()]),
        conversation(&[
            ok.clone(),
            info,
            b"-EXECABORT no\r\n>2\r\n+a\r\n+b\r\n".to_vec(),
            b"%1\r\n+a\r\n~1\r\n,1.5\r\n".to_vec(),
        ]),
        conversation(&[ok, b"=9\r\ntxt:role:\r\n!5\r\nERR x\r\n(12345678901234567890\r\n#t\r\n_\r\n".to_vec()]),
    ];
    let runtime = runtime();
    let play = move |bytes: &[u8]| {
        mouth.say(bytes);
        runtime.block_on(async {
            let store = LiveStore::new(Rc::new(SystemClock));
            let server = store.server(&url).await;
            let held = store.held(&url, "key").await;
            let lists = store.lists(&url, &["one".to_string(), "two".to_string()]).await;
            server.is_ok() && held.is_ok() && lists.is_ok()
        })
    };
    vec![Door { name: "frames", seeds, words: words::REDIS, longest: 64 * 1024, play: Box::new(play) }]
}
