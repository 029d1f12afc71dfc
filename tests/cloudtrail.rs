//! Who moved users: what CloudTrail says of a rule, against a server that answers as it does, late, or not at all.
#![cfg(feature = "cloudtrail")]

use std::rc::Rc;

use bgctl::routers::{Access, AwsAccess, TrafficRouter, alb};
use serde_json::{Value, json};

fn open(settings: &Value, access: &Access) -> Rc<dyn TrafficRouter> {
    (alb::KIND.open)(settings, access).expect("good settings")
}

const RULE: &str = "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener-rule/app/bot/50dc6c495c0c9188/0467ef3c8400ae65/8c1f3f0a1e2d3c4b";

/// A server that gives every request the same answer, or none at all; and the last request it had.
async fn trail(answer: Option<String>) -> (String, std::sync::Arc<std::sync::Mutex<String>>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port on the loopback interface");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let heard = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let book = heard.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (answer, book) = (answer.clone(), book.clone());
            tokio::spawn(async move {
                let mut bytes = vec![0; 16_384];
                let mut text = String::new();
                while !text.contains('}') {
                    let Ok(n @ 1..) = stream.read(&mut bytes).await else { return };
                    text.push_str(&String::from_utf8_lossy(&bytes[..n]));
                }
                *book.lock().unwrap() = text;
                let Some(body) = answer else { std::future::pending().await };
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all((head + &body).as_bytes()).await;
            });
        }
    });
    (url, heard)
}

#[tokio::test]
async fn whoever_changed_the_rule_is_named_by_cloudtrail_or_the_command_that_asks_it() {
    let settings = json!({
        "rule": RULE,
        "blue": "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/bot-blue/6d0ecf831eec9f09",
        "green": "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/bot-green/73e2d6bc24d8a067",
    });
    let keys = || Some(("AKIAEXAMPLE".to_string(), bgctl::secret::Secret::new("secret")));
    let at = |url: &str| Access {
        aws: AwsAccess { endpoint: Some(url.into()), keys: keys(), ..Default::default() },
        ..Access::default()
    };
    let event = |rule: &str| {
        let said = json!({
            "eventTime": "2999-01-01T00:00:00Z",
            "userAgent": "APN/1.0 HashiCorp/1.0 Terraform/1.9",
            "userIdentity": { "arn": "arn:aws:iam::123456789012:user/rm-two" },
            "requestParameters": { "ruleArn": rule },
            "requestID": "6d0e",
        });
        json!({ "Events": [{ "EventName": "ModifyRule", "Username": "rm-two", "CloudTrailEvent": said.to_string() }] })
    };

    let (url, heard) = trail(Some(event(RULE).to_string())).await;
    let writer = open(&settings, &at(&url)).writer().await.expect("a sentence");
    assert_eq!(
        writer,
        "changed by arn:aws:iam::123456789012:user/rm-two at 2999-01-01T00:00:00Z with APN/1.0 (CloudTrail)"
    );
    let asked = heard.lock().unwrap().clone();
    assert!(asked.contains("LookupEvents") && asked.contains("\"AttributeValue\":\"ModifyRule\""), "{asked}");

    let command = "aws cloudtrail lookup-events --lookup-attributes AttributeKey=EventName,AttributeValue=ModifyRule";
    let (url, _) = trail(Some(event("arn:of:another").to_string())).await;
    let writer = open(&settings, &at(&url)).writer().await.expect("a sentence");
    assert!(writer.contains("does not know yet") && writer.contains(command), "{writer}");
    // A name is not waited for: nobody moves meanwhile, but a person wants to know of the drift.
    let (url, _) = trail(None).await;
    let writer = open(&settings, &at(&url)).writer().await.expect("a sentence");
    assert!(writer.contains("gives no answer in time") && writer.contains(command), "{writer}");
}
