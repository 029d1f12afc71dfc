//! A hosted zone on moto's Route 53 behind a proxy that keeps the rules of the real one, and whoever changes it by hand.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use bgctl::routers::Access;
use serde_json::{Value, json};

use super::moto::{Api, Moto, between, client, pause};
use super::named::Bot;
use super::{free_port, peer};

pub const NAME: &str = "bot.example.test";
pub const BLUE: &str = "127.0.0.1";
pub const GREEN: &str = "127.0.0.2";

/// The zone `example.test`; ended with the value.
pub struct Zone {
    pub id: String,
    pub api: Api,
    pub bots: [Bot; 2],
    child: Child,
    _moto: Moto,
}

impl Drop for Zone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A weighted record of the route.
pub fn record(identifier: &str, weight: u32, ttl: u32, address: &str) -> Value {
    json!({
        "Name": format!("{NAME}."), "Type": "A", "SetIdentifier": identifier, "Weight": weight, "TTL": ttl,
        "ResourceRecords": [address],
    })
}

impl Zone {
    /// Everybody on blue, with that TTL; none where moto, the AWS CLI or Python is missing.
    pub async fn start(ttl: u32) -> Option<Zone> {
        let python = peer("python3")?;
        let moto = Moto::start(&[]).await?;
        let port = free_port();
        let child = Command::new(python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/route53/strict.py"))
            .args([port.to_string(), moto.url.clone()])
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the proxy starts");
        let url = format!("http://127.0.0.1:{port}");
        let api = Api { url, id: moto.id.clone(), secret: moto.secret.clone(), aws: moto.aws.clone() };
        let web = free_port();
        let bots = [BLUE, GREEN].map(|address| Bot::start(address, web));
        let mut zone = Zone { id: String::new(), api, bots, child, _moto: moto };
        for _ in 0..600 {
            if client().get(format!("{}/_strict/calls", zone.api.url)).send().await.is_ok() {
                break;
            }
            pause().await;
        }
        let xml = "<CreateHostedZoneRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\">\
                   <Name>example.test</Name><CallerReference>one</CallerReference></CreateHostedZoneRequest>";
        let made = zone.raw("/2013-04-01/hostedzone", xml.into()).await;
        zone.id = between(&made, "Id").trim_start_matches("/hostedzone/").to_string();
        let other = json!({ "Name": "other.example.test.", "Type": "A", "TTL": 60, "ResourceRecords": ["192.0.2.9"] });
        zone.put(&[record("bot-blue", 100, ttl, BLUE), record("bot-green", 0, ttl, GREEN), other]).await;
        Some(zone)
    }

    async fn raw(&self, path: &str, body: String) -> String {
        let scope = "AKIA/20200101/us-east-1/route53/aws4_request";
        let request = client()
            .post(format!("{}{path}", self.api.url))
            .header("content-type", "text/xml")
            .header("authorization", format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=x"))
            .body(body);
        let answer = request.send().await.expect("the proxy answers");
        let (status, text) = (answer.status(), answer.text().await.expect("a text"));
        assert!(status.is_success(), "{path}: {text}");
        text
    }

    async fn control(&self, what: &str, body: Value) -> Value {
        let text = self.raw(&format!("/_strict/{what}"), body.to_string()).await;
        serde_json::from_str(&text).expect("JSON")
    }

    /// Writes records past all rules, as somebody else.
    pub async fn put(&self, records: &[Value]) {
        self.control(&format!("put/{}", self.id), json!(records)).await;
    }

    /// Takes records away, as somebody else: name, type and set identifier.
    pub async fn drop(&self, keys: Value) {
        self.control(&format!("drop/{}", self.id), keys).await;
    }

    /// What goes wrong next.
    pub async fn faults(&self, faults: Value) {
        self.set(json!({ "faults": faults })).await;
    }

    pub async fn set(&self, values: Value) {
        self.control("set", values).await;
    }

    /// What was asked, and what was answered.
    pub async fn calls(&self, action: &str) -> Vec<String> {
        let calls = self.control("calls", Value::Null).await;
        let of = calls.as_array().expect("a list").iter().filter(|call| call["action"] == action);
        of.map(|call| call["code"].as_str().expect("a code").into()).collect()
    }

    /// Lets the batches land whose answers were lost; what became of each.
    pub async fn land(&self) -> Value {
        self.control("land", Value::Null).await
    }

    /// Everything in the zone, as moto has it.
    pub async fn records(&self) -> Vec<Value> {
        let records = self.control(&format!("records/{}", self.id), Value::Null).await;
        records.as_array().expect("a list").clone()
    }

    /// The weights of blue and green.
    pub async fn weights(&self) -> (u64, u64) {
        let records = self.records().await;
        let of = |side: &str| {
            let record = records.iter().find(|record| record["SetIdentifier"] == side).expect("a record");
            record["Weight"].as_u64().expect("a weight")
        };
        (of("bot-blue"), of("bot-green"))
    }

    /// What the TXT says.
    pub async fn beside(&self) -> Option<String> {
        let records = self.records().await;
        let txt = records.iter().find(|record| record["Name"] == format!("_bgctl.{NAME}."))?;
        Some(txt["ResourceRecords"][0].as_str()?.trim_matches('"').into())
    }

    pub fn settings(&self) -> Value {
        json!({
            "zone": self.id, "name": NAME, "blue": "bot-blue", "green": "bot-green", "ttl": "60s",
            "health": format!("http://{NAME}:{}/healthz", self.bots[0].port),
        })
    }

    pub fn access(&self) -> Access {
        self.api.access()
    }
}
