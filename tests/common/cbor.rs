//! Moto keeps CloudWatch's metrics and speaks only the older of AWS's protocols; the SDK speaks only the newest. This stands
//! between the two and changes the spelling: CBOR to JSON on the way there, JSON to CBOR on the way back.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bgctl::routers::AwsAccess;
use serde_json::{Map, Value, json};

use super::moto::Moto;

pub struct Bridge {
    url: String,
}

impl Bridge {
    pub async fn to(moto: &str) -> Bridge {
        let app =
            Router::new().route("/service/{service}/operation/{operation}", post(pass)).with_state(moto.to_string());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Bridge { url }
    }

    pub fn access(&self, moto: &Moto) -> AwsAccess {
        AwsAccess { endpoint: Some(self.url.clone()), ..moto.access().aws }
    }
}

async fn pass(
    State(moto): State<String>,
    Path((service, operation)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut at = 0;
    let question = decode(&body, &mut at);
    let answer = super::moto::client()
        .post(moto)
        .header("authorization", headers["authorization"].to_str().expect("a signature"))
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", format!("{service}.{operation}"))
        .body(question.to_string())
        .send()
        .await
        .expect("moto answers");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("moto's answer is text");
    let value: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let mut out = Vec::new();
    encode(&value, "", &mut out);
    let head = [("content-type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")];
    (axum::http::StatusCode::from_u16(status).expect("a status"), head, out).into_response()
}

/// One item. A moment is its seconds, as JSON spells it.
fn decode(bytes: &[u8], at: &mut usize) -> Value {
    let first = bytes[*at];
    *at += 1;
    let (major, small) = (first >> 5, first & 31);
    let take = |at: &mut usize, n: usize| {
        let part = bytes[*at..*at + n].to_vec();
        *at += n;
        part
    };
    if major == 7 {
        return match small {
            20 | 21 => json!(small == 21),
            26 => json!(f32::from_be_bytes(take(at, 4).try_into().expect("4 bytes"))),
            27 => json!(f64::from_be_bytes(take(at, 8).try_into().expect("8 bytes"))),
            _ => Value::Null,
        };
    }
    let count = match small {
        0..=23 => Some(u64::from(small)),
        24..=27 => Some(take(at, 1 << (small - 24)).iter().fold(0, |n, byte| n << 8 | u64::from(*byte))),
        _ => None,
    };
    // Without a count, items follow up to a break.
    let more = |at: &mut usize, done: u64| match count {
        Some(count) => done < count,
        None if bytes[*at] == 0xff => {
            *at += 1;
            false
        }
        None => true,
    };
    match major {
        0 => json!(count),
        1 => json!(-1 - count.map_or(0, |n| n as i64)),
        2 | 3 => json!(String::from_utf8(take(at, count.map_or(0, |n| n as usize))).expect("text")),
        4 => {
            let mut items = Vec::new();
            while more(at, items.len() as u64) {
                items.push(decode(bytes, at));
            }
            Value::Array(items)
        }
        5 => {
            let mut members = Map::new();
            while more(at, members.len() as u64) {
                let name = decode(bytes, at);
                members.insert(name.as_str().expect("a name").into(), decode(bytes, at));
            }
            Value::Object(members)
        }
        _ => decode(bytes, at),
    }
}

fn encode(value: &Value, member: &str, out: &mut Vec<u8>) {
    let head = |major: u8, n: usize, out: &mut Vec<u8>| {
        out.push(major << 5 | 26);
        out.extend(u32::try_from(n).expect("short").to_be_bytes());
    };
    match value {
        Value::Null => out.push(0xf6),
        Value::Bool(yes) => out.push(if *yes { 0xf5 } else { 0xf4 }),
        Value::Number(number) => {
            if member == "Timestamps" {
                out.push(0xc1);
            }
            out.push(0xfb);
            out.extend(number.as_f64().expect("a number").to_be_bytes());
        }
        Value::String(text) => {
            head(3, text.len(), out);
            out.extend(text.as_bytes());
        }
        Value::Array(items) => {
            head(4, items.len(), out);
            items.iter().for_each(|item| encode(item, member, out));
        }
        Value::Object(members) => {
            head(5, members.len(), out);
            for (name, value) in members {
                encode(&json!(name), "", out);
                encode(value, name, out);
            }
        }
    }
}
