//! What a provider, an agent or an app answers: each is played here on loopback.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use bgctl::diag::Code;
use bgctl::lab::Gateway;
use bgctl::sign::Signer;
use serde_json::json;

use crate::common::elbv2::{Endpoint, Fault};
use crate::common::free_port;
use crate::made::owner;
use crate::rig::{Desk, Done};
use crate::row::{Place, Row, all_hold, shown, test};
use crate::stub::{Book, Stub, now};
use crate::world::cutover;

pub const ROWS: &[Row] = &[
    shown(Code::NotThere, 65, "does not know", |_| answered(400, "RuleNotFound", "Rules not found")),
    shown(Code::NotTaken, 65, "provider", |_| answered(400, "ValidationError", "the provider does not take it")),
    test(Code::OtherVersion, "version", "tests/program/found.rs", "one_file_serves_release_after_release"),
    shown(Code::NotAllowed, 77, "allow", |_| answered(403, "AccessDenied", "no permission to describe rules")),
    shown(Code::SomebodyElses, 77, "controller", |place| {
        let mut desk = place.beside();
        let rule = desk.env["BGCTL_VAR_rule_arn"].clone();
        let listener = rule.rsplitn(3, '/').last().expect("an ARN has parts");
        desk.env.insert("BGCTL_VAR_rule_arn".into(), format!("{listener}/8b2f3c1d5e6a7f90/c4d5e6f708192a3b"));
        cutover(&desk)
    }),
    shown(Code::CredentialsEnd, 77, "rollback", |place| {
        let mut desk = place.beside();
        let soon = jiff::Timestamp::from_second(now() as i64 + 5).expect("a time");
        desk.env.insert("AWS_SESSION_TOKEN".into(), "a-session-of-seconds".into());
        desk.env.insert("AWS_CREDENTIAL_EXPIRATION".into(), soon.to_string());
        cutover(&desk)
    }),
    shown(Code::NotNow, 75, "socket", |_| renewed_soon()),
    shown(Code::NoNative, 1, "command", |_| {
        let desk = Desk::new();
        let route = format!(
            "    slack_manifest: {{ app: A0LAB, blue: \"https://b.example.com\", green: \"https://g.example.com\", \
             tokens: {}, api: \"http://127.0.0.1:{}/\" }}\n",
            desk.path("tokens.json").display(),
            free_port()
        );
        desk.write("tokens.json", "{\"token\":\"xoxe.xoxp-1-lab\",\"refresh_token\":\"xoxe-1-lab\"}");
        desk.write("runbook.yaml", &of_route(&route));
        desk.run(&["rollback", "--print", "runbook.yaml"])
    }),
    shown(Code::Unsigned, 77, "sign", |place| with_agent(place, None)),
    shown(Code::Forbidden, 77, "guard", |place| {
        with_agent(
            place,
            Some(|desk| {
                std::fs::create_dir_all(desk.join(".bgctl")).expect("a folder");
                std::fs::write(desk.join(".bgctl/revoked_keys"), format!("{}\n", owner().public())).expect("a list");
            }),
        )
    }),
];

#[test]
fn what_is_answered_from_outside_has_its_code() {
    all_hold(ROWS);
}

/// The runtime that plays what answers asynchronously, for as long as it is held.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

/// A plan beside a load balancer's API that answers every read so.
fn answered(status: u16, code: &'static str, words: &'static str) -> Done {
    let runtime = runtime();
    let endpoint = runtime.block_on(Endpoint::start());
    (0..8).for_each(|_| endpoint.fails("DescribeRules", Fault::Error(status, code, words)));
    let mut desk = Desk::new();
    let settings = endpoint.settings();
    let text = |name: &str| settings[name].as_str().expect("an ARN").to_string();
    desk.env.extend(BTreeMap::from([
        ("AWS_ENDPOINT_URL".to_string(), endpoint.url.clone()),
        ("AWS_ACCESS_KEY_ID".into(), "AKIAEXAMPLE".into()),
        ("AWS_SECRET_ACCESS_KEY".into(), "secret-of-the-test".into()),
        ("SLACK_SIGNING_SECRET".into(), "signing-secret-of-the-test".into()),
        ("BGCTL_VAR_rule_arn".into(), text("rule")),
        ("BGCTL_VAR_blue_target_group".into(), text("blue")),
        ("BGCTL_VAR_green_target_group".into(), text("green")),
    ]));
    for name in ["public_url", "blue_url", "green_url", "prometheus_url"] {
        desk.env.insert(format!("BGCTL_VAR_{name}"), format!("http://127.0.0.1:9/{name}"));
    }
    desk.run(&["plan", "runbook.yaml"])
}

/// A runbook of one route of this kind.
fn of_route(route: &str) -> String {
    format!(
        "bgctl: 1\nservice: bot\nenvironment: staging\nowners: [owner@example.com]\nstacks:\n  \
         blue: {{ version: v1, url: \"http://127.0.0.1:9/b\" }}\n  green: {{ version: v2, url: \"http://127.0.0.1:9/g\" }}\n\
         routes:\n  web:\n{route}schema:\n  change: none\nsteps:\n  - id: all\n    shift: {{ route: web, green: 100% }}\n\
         rollback:\n  owner: owner@example.com\n  steps:\n    - id: back\n      shift: {{ route: web, blue: 100% }}\n"
    )
}

/// A cutover of two fleets, whose sockets Slack is about to renew.
fn renewed_soon() -> Done {
    let runtime = runtime();
    let (book, gateway) = (Book::default(), Gateway::start(7).expect("the gateway starts"));
    let fleet = |name: &'static str, open: bool| -> Vec<Stub> {
        (1..=2).map(|n| runtime.block_on(Stub::start(&format!("{name}-{n}"), open, &book))).collect()
    };
    let (blue, green) = (fleet("blue", true), fleet("green", false));
    blue.iter().for_each(|stub| stub.set("last_hello", json!(now() - 18_030.0)));
    let urls = |fleet: &[Stub]| json!(fleet.iter().map(|stub| &stub.url).collect::<Vec<_>>()).to_string();
    let route = format!(
        "    socket_mode: {{ blue: {}, green: {}, app_token: \"${{env:SLACK_APP_TOKEN}}\", api: {}, floor: 1 }}\n",
        urls(&blue),
        urls(&green),
        gateway.api()
    );
    let mut desk = Desk::new();
    desk.env.insert("SLACK_APP_TOKEN".into(), "xapp-1-lab-A0LAB-socket".into());
    desk.write("runbook.yaml", &of_route(&route));
    cutover(&desk)
}

/// A Prometheus that answers every question with this number, or with nothing; gives its address.
pub fn prometheus(number: Option<&str>) -> String {
    let result = number.map(|number| format!("{{\"metric\":{{}},\"value\":[{},\"{number}\"]}}", now()));
    let body = format!(
        "{{\"status\":\"success\",\"data\":{{\"resultType\":\"vector\",\"result\":[{}]}}}}",
        result.unwrap_or_default()
    );
    answering("200 OK", body)
}

/// A server that answers everything with this; gives its address.
pub fn answering(status: &'static str, body: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let mut reader = BufReader::new(stream);
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                let lower = line.to_lowercase();
                length = lower.strip_prefix("content-length:").map_or(length, |n| n.trim().parse().unwrap_or(0));
                line.clear();
            }
            let _ = reader.read_exact(&mut vec![0; length]);
            let head = "content-type: application/json\r\nconnection: close\r\ncontent-length:";
            let _ = write!(reader.get_mut(), "HTTP/1.1 {status}\r\n{head} {}\r\n\r\n{body}", body.len());
        }
    });
    url
}

/// A cutover whose key is in an agent that refuses to sign, or that signs after something has happened at the desk.
fn with_agent(place: &Place, first: Option<fn(&Path)>) -> Done {
    let mut desk = place.beside();
    let (socket, folder) = (desk.path("agent"), desk.path("."));
    let listener = UnixListener::bind(&socket).expect("a socket");
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let _ = agent(stream, &folder, first);
        }
    });
    desk.env.insert("SSH_AUTH_SOCK".into(), socket.display().to_string());
    desk.env.insert("BGCTL_SIGNING_KEY".into(), format!("agent:{}", owner().fingerprint()));
    cutover(&desk)
}

/// The two questions of the agent protocol that bgctl asks: which keys there are, and a signature.
fn agent(mut stream: UnixStream, folder: &Path, first: Option<fn(&Path)>) -> std::io::Result<()> {
    use ed25519_dalek::Signer as _;
    let framed = |body: &[u8]| [&u32::try_from(body.len()).expect("short").to_be_bytes()[..], body].concat();
    let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
    let blob = [framed(b"ssh-ed25519"), framed(key.verifying_key().as_bytes())].concat();
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut request = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut request)?;
        let answer = match (request[0], first) {
            (11, _) => [&[12, 0, 0, 0, 1][..], &framed(&blob), &framed(b"of the test")].concat(),
            (13, Some(happen)) => {
                happen(folder);
                let at = 1 + 4 + blob.len();
                let size = u32::from_be_bytes(request[at..at + 4].try_into().expect("four bytes")) as usize;
                let signature = key.sign(&request[at + 4..at + 4 + size]).to_bytes();
                let signature = [framed(b"ssh-ed25519"), framed(&signature)].concat();
                [&[14][..], &framed(&signature)].concat()
            }
            _ => vec![5],
        };
        stream.write_all(&framed(&answer))?;
    }
}
