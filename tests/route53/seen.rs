//! What name servers and resolvers answer, with counts. The name server is one of ours: moto answers no DNS.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use bgctl::plan::Split;
use bgctl::routers::{RouteView, TrafficRouter, Trouble};
use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record};
use serde_json::json;

use crate::common::at;
use crate::common::route53::Zone;
use crate::opened;

/// What a name server answers: the last number of an address of 127.0.0.0/24, in turns, and the TTL.
struct Answers {
    turns: Vec<u8>,
    ttl: u32,
    authoritative: bool,
    asked: usize,
}

/// A server of DNS over TCP that answers as it is told.
fn serving(turns: &[u8], ttl: u32, authoritative: bool) -> (String, Arc<Mutex<Answers>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let answers = Arc::new(Mutex::new(Answers { turns: turns.into(), ttl, authoritative, asked: 0 }));
    let told = answers.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), told) = (stream, told.clone()) else { continue };
            std::thread::spawn(move || {
                let mut length = [0; 2];
                while stream.read_exact(&mut length).is_ok() {
                    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
                    stream.read_exact(&mut bytes).expect("a whole message");
                    let mut message = Message::from_vec(&bytes).expect("a question");
                    let mut told = told.lock().expect("nobody panics");
                    message.metadata.message_type = MessageType::Response;
                    message.metadata.authoritative = told.authoritative;
                    let last = told.turns[told.asked % told.turns.len()];
                    told.asked += 1;
                    let data = RData::A(A::new(127, 0, 0, last));
                    message.answers.push(Record::from_rdata(message.queries[0].name().clone(), told.ttl, data));
                    let bytes = message.to_vec().expect("an answer");
                    let length = u16::try_from(bytes.len()).expect("a short one").to_be_bytes();
                    let _ = stream.write_all(&[&length[..], &bytes].concat());
                }
            });
        }
    });
    (address, answers)
}

#[tokio::test]
async fn what_is_answered_is_counted_at_every_server() {
    let Some(zone) = Zone::start(60).await else { return };
    let (first, answers) = serving(&[1], 60, true);
    let (second, other) = serving(&[1], 60, true);
    let (resolver, kept) = serving(&[1], 40, false);
    let mut settings = zone.settings();
    (settings["servers"], settings["resolvers"]) = (json!([first, second]), json!([resolver]));
    let mut router = opened(&settings, &zone.access());
    router.seen_within = std::time::Duration::from_secs(2);

    let said = router.preflight(&[Split::ALL_GREEN]).await.expect("all are asked");
    for server in [&first, &second] {
        let line = format!("name server {server}: 16 answers BLUE, 0 GREEN of 16");
        assert!(said.contains(&line), "{said:?}");
    }
    assert!(said.contains(&format!("resolver {resolver}: 1 answers BLUE, 0 GREEN of 1")), "{said:?}");

    // A share is counted, and not waited for.
    answers.lock().expect("answers").turns = vec![1, 1, 1, 2];
    router.set(&at(Split::ALL_BLUE), Split::of_green(250)).await.expect("it moves");
    let reading = router.read().await.expect("it reads");
    let line = format!("name server {first}: 12 answers BLUE, 4 GREEN of 16, kept for up to 60 s");
    assert!(reading.remarks.contains(&line), "{reading:?}");

    // All on one side is waited for at every server, and one that stays behind is named.
    answers.lock().expect("answers").turns = vec![2];
    let error = router.set(&reading, Split::ALL_GREEN).await.unwrap_err();
    assert!(error.moved && error.kind == Trouble::Unreachable && error.calls.len() == 1, "{error:?}");
    assert!(
        error.what.contains(&format!("name server {second}: 16 answers BLUE")) && !error.what.contains(&first),
        "{error:?}"
    );
    other.lock().expect("answers").turns = vec![2];
    assert_eq!(router.set(&at(Split::ALL_GREEN), Split::ALL_GREEN).await.expect("it is there"), []);
    let watched = router.watch().await;
    assert_eq!(watched.notes, [format!("resolver {resolver}: 1 answers BLUE, 0 GREEN of 1")]);
    router.set(&at(Split::ALL_GREEN), Split::ALL_BLUE).await.expect_err("they answer green");
    for told in [&answers, &other] {
        told.lock().expect("answers").turns = vec![1];
    }

    // A longer TTL that a resolver still holds is waited out, also where somebody lowered it by hand.
    kept.lock().expect("answers").ttl = 1000;
    let error = router.preflight(&[Split::ALL_GREEN]).await.unwrap_err();
    assert!(error.kind == Trouble::NotNow && error.what.contains("for 1000 s more"), "{error:?}");
    assert_eq!(error.after, Some(std::time::Duration::from_secs(940)));
    kept.lock().expect("answers").ttl = 40;

    // A server that only knows it from others is no name server of the zone.
    answers.lock().expect("answers").authoritative = false;
    let error = router.preflight(&[Split::ALL_GREEN]).await.unwrap_err();
    assert!(error.kind == Trouble::Unreachable && error.what.contains("by its own knowledge"), "{error:?}");
}
