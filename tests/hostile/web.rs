//! Servers of HTTP that are none, or that mean harm: each is asked by a real process through the world's own client, which ends
//! in time and in little memory, and believes nothing that was not said.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use bgctl::clock::SystemClock;
use bgctl::live::http::LiveWeb;
use bgctl::world::{Request, Web};

use crate::peak::{self, MOST};
use crate::peers::{Does, drip, for_ever, garbage, impostor, some};
use crate::rig::{Running, clock};

/// The deadline of the request, in seconds.
const WITHIN: u64 = 3;

/// What may come on top of it, in seconds. The client library looks at the time once in some megabytes of what it reads without
/// waiting; built for tests, on a busy machine, that takes seconds, and as it is shipped a part of one.
const LATE: u64 = 40;

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

/// Hears the request, says this, and then does that.
fn says(stream: &mut TcpStream, words: &[u8]) -> std::io::Result<()> {
    some(stream)?;
    stream.write_all(words)
}

/// Says this and stays until the client goes, or for as long as anybody waits.
fn stays(stream: &mut TcpStream, words: &[u8]) -> std::io::Result<()> {
    says(stream, words)?;
    while stream.read(&mut [0; 512])? > 0 {}
    Ok(())
}

/// What a server does, and what the client says of it.
const SERVERS: &[(&str, Does, &str)] = &[
    (
        "a body without end",
        |stream| {
            says(stream, &[HEAD, b"\r\n"].concat())?;
            for_ever(stream, b"x")
        },
        "status 200, 4194304 bytes",
    ),
    (
        "chunks without end",
        |stream| {
            says(stream, CHUNKED)?;
            for_ever(stream, b"5\r\nhello\r\n")
        },
        // As much of it as is read at all, or as comes until the deadline.
        "",
    ),
    (
        "a header without end",
        |stream| {
            says(stream, &[HEAD, b"x: "].concat())?;
            for_ever(stream, b"x")
        },
        "broke off",
    ),
    (
        "headers without end",
        |stream| {
            says(stream, HEAD)?;
            for_ever(stream, b"x: y\r\n")
        },
        "broke off",
    ),
    (
        "a status line without end",
        |stream| {
            says(stream, b"HTTP/1.1 200 ")?;
            for_ever(stream, b"O")
        },
        "broke off",
    ),
    (
        "news before the answer, without end",
        |stream| {
            some(stream)?;
            for_ever(stream, b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n")
        },
        "no answer from",
    ),
    (
        "the size of a chunk without end",
        |stream| {
            says(stream, CHUNKED)?;
            for_ever(stream, b"0")
        },
        "",
    ),
    (
        "words beside the size of a chunk, without end",
        |stream| {
            says(stream, &[CHUNKED, b"5;"].concat())?;
            for_ever(stream, b"a=b;")
        },
        "broke off",
    ),
    (
        "trailers without end",
        |stream| {
            says(stream, &[CHUNKED, b"0\r\n"].concat())?;
            for_ever(stream, b"x: y\r\n")
        },
        "broke off",
    ),
    ("a chunk longer than any", |stream| stays(stream, &[CHUNKED, b"fffffffffffffffff\r\nx"].concat()), "broke off"),
    (
        "a chunk of all there is",
        |stream| stays(stream, &[CHUNKED, b"7fffffffffffffff\r\nx"].concat()),
        "no answer from",
    ),
    (
        "a head by drops",
        |stream| {
            some(stream)?;
            drip(stream, b"HTTP/1.1 200 OK\r\nx: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n")
        },
        "no answer from",
    ),
    (
        "a body by drops",
        |stream| {
            says(stream, &[HEAD, b"content-length: 1000\r\n\r\n"].concat())?;
            drip(stream, b"x")
        },
        "no answer from",
    ),
    ("less than it says", |stream| says(stream, &[HEAD, b"content-length: 1000\r\n\r\nhi"].concat()), "broke off"),
    (
        "more than it says",
        |stream| says(stream, &[HEAD, b"content-length: 2\r\n\r\nhi there"].concat()),
        "status 200, 2 bytes",
    ),
    (
        "a length of everything",
        |stream| stays(stream, &[HEAD, b"content-length: 18446744073709551615\r\n\r\nhi"].concat()),
        "",
    ),
    ("a length below nothing", |stream| stays(stream, &[HEAD, b"content-length: -1\r\n\r\nhi"].concat()), "broke off"),
    (
        "two lengths",
        |stream| stays(stream, &[HEAD, b"content-length: 2\r\ncontent-length: 5\r\n\r\nhi"].concat()),
        "broke off",
    ),
    (
        "what says that it is packed",
        |stream| says(stream, &[HEAD, b"content-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x8b\x08\0"].concat()),
        // It is never unpacked, so a little cannot become much.
        "status 200, 4 bytes",
    ),
    (
        "a way that leads to itself",
        |stream| says(stream, b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n"),
        "status 302, 0 bytes",
    ),
    ("another protocol", |stream| says(stream, b"SSH-2.0-OpenSSH_9.6\r\n"), "broke off"),
    (
        "HTTP/2 to whoever speaks HTTP/1",
        |stream| stays(stream, b"\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0"),
        "broke off",
    ),
    ("an upgrade nobody asked for", |stream| stays(stream, b"HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n"), ""),
    ("garbage", garbage, "broke off"),
    ("silence", |stream| stays(stream, b""), "no answer from"),
    ("the end", |_| Ok(()), ""),
];

/// What the test below starts: a process that sends one request, as a probe does.
#[test]
#[expect(clippy::disallowed_methods, reason = "which server is said by whoever starts this")]
fn asks_a_server() {
    let Ok(url) = std::env::var("ASKED_SERVER") else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let web = LiveWeb::new(Rc::new(SystemClock));
    let answer = runtime.block_on(web.exchange(Request::get(url, Duration::from_secs(WITHIN))));
    match answer {
        Ok(answer) => println!("said: status {}, {} bytes", answer.status, answer.body.len()),
        Err(error) => println!("said: {error}"),
    }
}

fn ask(url: &str) -> Running {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "web::asks_a_server", "--nocapture"]).env("ASKED_SERVER", url);
    Running::of(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

#[test]
fn a9_a_server_of_http_that_is_none_costs_little_memory_and_little_time() {
    let asked = |(name, does, words): &(&'static str, Does, &'static str)| {
        let (name, words, url) = (*name, *words, format!("http://{}/version?token=hunter2hunter2", impostor(*does)));
        std::thread::spawn(move || {
            let begun = clock();
            let (done, most) = peak::end(ask(&url), 60);
            (name, words, done, most, begun.elapsed().as_secs())
        })
    };
    // Those without end take all of a processor each: not all of them at once.
    let runs = SERVERS.chunks(9).flat_map(|some| some.iter().map(asked).collect::<Vec<_>>());
    let mut wrong = Vec::new();
    for run in runs {
        let (name, words, done, most, seconds) = run.join().unwrap();
        let line = done.out.lines().find(|line| line.contains("said: ")).unwrap_or_default();
        eprintln!("{name}: {most} KiB, {seconds} s: {line}");
        let answered = line.contains("said: ") && line.contains(words) && !line.contains("hunter2");
        if done.code != 0 || !answered || line.len() > 500 || most > MOST || seconds > WITHIN + LATE {
            wrong.push(format!("{name}: {most} KiB, {seconds} s, {}\n{}{}", done.code, done.out, done.err));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
