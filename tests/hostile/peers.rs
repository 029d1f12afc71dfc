//! Servers that are not what they should be: each is asked by a real process, which ends in time, in little memory, and says
//! what it met.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::rc::Rc;

use bgctl::clock::SystemClock;
use bgctl::live::redis::LiveStore;
use bgctl::world::Store;

use crate::files::VARIABLES;
use crate::peak::{self, MOST};
use crate::rig::{Desk, RUNBOOK, Running, clock, pause};

/// What a server does with whoever comes.
pub type Does = fn(&mut TcpStream) -> std::io::Result<()>;

pub fn impostor(does: Does) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // Whoever was sent enough goes away.
            std::thread::spawn(move || does(&mut stream));
        }
    });
    address
}

pub fn some(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4096];
    let n = stream.read(&mut bytes)?;
    bytes.truncate(n);
    if n == 0 { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) }
}

pub fn for_ever(stream: &mut TcpStream, piece: &[u8]) -> std::io::Result<()> {
    let block = piece.repeat(65_536 / piece.len() + 1);
    loop {
        stream.write_all(&block)?;
    }
}

pub fn drip(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    for byte in bytes.iter().cycle() {
        stream.write_all(&[*byte])?;
        pause(100);
    }
    Ok(())
}

pub fn garbage(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut state = 7_u64;
    let mut block = [0; 4096];
    loop {
        for byte in &mut block {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 56) as u8;
        }
        stream.write_all(&block)?;
    }
}

/// A message of PostgreSQL.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

/// Says no to encryption, and lets whoever comes in.
fn greet(stream: &mut TcpStream) -> std::io::Result<()> {
    some(stream)?;
    stream.write_all(b"N")?;
    some(stream)?;
    stream.write_all(&message(b'R', &[0; 4]))
}

/// Answers up to the first row, which is given for ever.
fn rows(stream: &mut TcpStream, row: &str) -> std::io::Result<()> {
    greet(stream)?;
    stream.write_all(&message(b'Z', b"I"))?;
    loop {
        if some(stream)?[0] == b'Q' {
            stream.write_all(&[message(b'C', b"BEGIN\0"), message(b'Z', b"T")].concat())?;
            continue;
        }
        let column = [&b"\0\x01q\0"[..], &[0; 6], &25_u32.to_be_bytes(), &[0xff; 6], &[0; 2]].concat();
        let head = [message(b'1', b""), message(b'2', b""), message(b'T', &column)].concat();
        stream.write_all(&head)?;
        let data = [&b"\0\x01"[..], &u32::try_from(row.len()).unwrap().to_be_bytes(), row.as_bytes()].concat();
        return for_ever(stream, &message(b'D', &data));
    }
}

const POSTGRES: &[(&str, Does)] = &[
    ("endless notices before it is ready", |stream| {
        greet(stream)?;
        for_ever(stream, &message(b'N', b"SNOTICE\0C00000\0Mhello\0\0"))
    }),
    ("a message of 2 GB", |stream| {
        greet(stream)?;
        stream.write_all(&[&b"N"[..], &2_000_000_000_u32.to_be_bytes()].concat())?;
        for_ever(stream, b"x")
    }),
    ("a message of a length below nothing", |stream| {
        greet(stream)?;
        stream.write_all(&[&b"N"[..], &[0xff; 4]].concat())?;
        for_ever(stream, b"x")
    }),
    ("endless small rows", |stream| rows(stream, "{}")),
    ("endless wide rows", |stream| rows(stream, &format!("{{\"n\":[{}0]}}", "0,".repeat(50_000)))),
    ("a drip", |stream| {
        some(stream)?;
        drip(stream, &message(b'N', b"SNOTICE\0Mhello\0\0"))
    }),
    ("garbage", garbage),
    ("garbage within", |stream| {
        greet(stream)?;
        garbage(stream)
    }),
    ("silence", |stream| {
        while some(stream).is_ok() {}
        Ok(())
    }),
    ("the end", |_| Ok(())),
    ("an error with endless words", |stream| {
        some(stream)?;
        stream.write_all(b"N")?;
        let words = "no ".repeat(2_000_000);
        stream.write_all(&message(b'E', format!("SFATAL\0C28000\0M{words}\0\0").as_bytes()))
    }),
];

#[test]
fn a9_a_postgresql_that_is_none_costs_little_memory_and_little_time() {
    let gates = "gates:\n  orders: { sql: { postgres: \"${env:DATABASE_URL}\", query: \"select 1 as n\" }, max: 5 }\n";
    let runbook = RUNBOOK.replace("gates:\n  errors:", &format!("{gates}  errors:"));
    let runs = POSTGRES.iter().map(|(name, does)| {
        let mut desk = Desk::new();
        desk.write("runbook.yaml", &runbook.replace("gates: [errors]", "gates: [errors, orders]"));
        desk.env.extend(VARIABLES.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        desk.env.insert("DATABASE_URL".into(), format!("postgres://app:hunter2hunter2@{}/bot", impostor(*does)));
        std::thread::spawn(move || {
            let begun = clock();
            let (done, most) = peak::end(desk.start(&["check", "--live", "runbook.yaml"]), 60);
            (*name, done, most, begun.elapsed().as_secs())
        })
    });
    let mut wrong = Vec::new();
    for run in runs.collect::<Vec<_>>() {
        let (name, done, most, seconds) = run.join().unwrap();
        let all = format!("{}{}", done.out, done.err);
        let line = all.lines().find(|line| line.contains("orders") && line.contains("PostgreSQL")).unwrap_or_default();
        eprintln!("{name}: {most} KiB, {seconds} s: {line}");
        let secret = all.contains("hunter2") || line.len() > 1000;
        if !line.contains("PostgreSQL") || most > MOST || seconds > 30 || secret {
            wrong.push(format!("{name}: {most} KiB, {seconds} s, {}\n{}", done.code, &all[..all.len().min(3000)]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const REDIS: &[(&str, Does, &str)] = &[
    ("a word without end", |stream| for_ever(stream, b"+aaaaaaaa"), "it sends more than 2 MiB"),
    (
        "a text of 2 GB",
        |stream| {
            stream.write_all(b"$2000000000\r\n")?;
            for_ever(stream, b"x")
        },
        "",
    ),
    (
        "a list of a billion",
        |stream| {
            stream.write_all(b"*1000000000\r\n")?;
            for_ever(stream, b":1\r\n")
        },
        "",
    ),
    ("lists in lists", |stream| for_ever(stream, b"*1\r\n"), ""),
    ("answers to nothing", |stream| for_ever(stream, b":1\r\n"), ""),
    ("maps of maps", |stream| for_ever(stream, b"%1000000\r\n"), ""),
    ("pushes", |stream| for_ever(stream, b">2\r\n+a\r\n+b\r\n"), ""),
    ("a drip", |stream| drip(stream, b"+OK\r\n"), ""),
    ("garbage", garbage, ""),
    (
        "silence",
        |stream| {
            while some(stream).is_ok() {}
            Ok(())
        },
        "nothing after 3s",
    ),
    ("the end", |_| Ok(()), ""),
];

/// What the test below starts: a process that asks one Redis, as a step does.
#[test]
#[expect(clippy::disallowed_methods, reason = "which Redis is said by whoever starts this")]
fn asks_a_redis() {
    let Ok(url) = std::env::var("ASKED_REDIS") else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = LiveStore::new(Rc::new(SystemClock));
    let said = [
        runtime.block_on(store.server(&url)).map(|_| ()),
        runtime.block_on(store.held(&url, "key")).map(|_| ()),
        runtime.block_on(store.lists(&url, &["key".to_string()])).map(|_| ()),
    ];
    println!("said {said:?}");
}

fn ask_redis(url: &str) -> Running {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "peers::asks_a_redis", "--nocapture"]).env("ASKED_REDIS", url);
    Running::of(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

#[test]
fn a9_a_redis_that_is_none_costs_little_memory_and_little_time() {
    let runs = REDIS.iter().map(|(name, does, words)| {
        let url = format!("redis://app:hunter2hunter2@{}/0", impostor(*does));
        std::thread::spawn(move || {
            let begun = clock();
            let (done, most) = peak::end(ask_redis(&url), 60);
            (*name, *words, done, most, begun.elapsed().as_secs())
        })
    });
    let mut wrong = Vec::new();
    for run in runs.collect::<Vec<_>>() {
        let (name, words, done, most, seconds) = run.join().unwrap();
        let line = done.out.lines().find(|line| line.contains("said [")).unwrap_or_default();
        eprintln!("{name}: {most} KiB, {seconds} s: {line}");
        let answered = line.contains("Redis gives no answer") && line.contains(words) && !line.contains("hunter2");
        if done.code != 0 || !answered || line.len() > 1000 || most > MOST || seconds > 15 {
            wrong.push(format!("{name}: {most} KiB, {seconds} s, {}\n{}{}", done.code, done.out, done.err));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A user of Redis may be let read keys and nothing else: the client library counted below zero then, and panicked.
#[test]
fn a9_a_redis_that_refuses_a_transaction_says_so() {
    let refuses = impostor(|stream| {
        loop {
            let asked = String::from_utf8_lossy(&some(stream)?).into_owned();
            let answers: Vec<&str> = asked.split("\r\n*").map(|command| answer(&command.to_uppercase())).collect();
            stream.write_all(answers.concat().as_bytes())?;
        }
    });
    fn answer(command: &str) -> &'static str {
        match command {
            _ if command.contains("MULTI") => "-NOPERM this user has no permissions to run the 'multi' command\r\n",
            _ if command.contains("EXEC") => "-ERR EXEC without MULTI\r\n",
            _ if command.contains("INFO") && !command.contains("SETINFO") => "$0\r\n\r\n",
            _ if command.contains("LRANGE") => "*0\r\n",
            _ if command.contains("PTTL") => ":-2\r\n",
            _ if command.contains("GET") => "$-1\r\n",
            _ => "+OK\r\n",
        }
    }
    let done = ask_redis(&format!("redis://{refuses}/0")).end(20);
    let said = "said [Ok(()), Err(\"Redis gives no answer: NOPERM\"), Ok(())]";
    assert!(done.out.contains(said) && !done.err.contains("panicked"), "{}{}", done.out, done.err);
}

#[test]
fn t17_a_redis_that_is_not_reached_says_what_it_failed_by() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let plain = impostor(|stream| {
        some(stream)?;
        stream.write_all(b"-ERR no\r\n")
    });
    for (url, words) in [
        (format!("redis://{closed}"), "no connection: connection refused"),
        ("redis://no-such-host.invalid:6379".into(), "(DNS)"),
        (format!("rediss://{plain}"), "TLS: "),
        (format!("rediss://{plain}/#insecure"), "trust anybody"),
        ("redis:/\\nonsense".into(), "its URL cannot be read"),
    ] {
        let done = ask_redis(&url).end(20);
        assert!(done.out.contains(words), "{url}: {}{}", done.out, done.err);
    }
}
