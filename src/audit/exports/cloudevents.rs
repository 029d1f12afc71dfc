//! CloudEvents 1.0: one event a line of the log, seals included. The data are the exact bytes of the line, so whoever collects all
//! of them has the log again and can verify it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Kind, Source, lines};

pub const KIND: Kind = Kind {
    name: "cloudevents",
    about: "CloudEvents 1.0, one a line of the log; all of them together are the log",
    page: super::PAGE,
    write: |source| lines(&cloudevents(source)),
    signed_as: None,
};

/// The events, in the order of the log.
fn cloudevents(source: &Source<'_>) -> Vec<Value> {
    let sound = source.sound;
    let origin = format!("bgctl/log/{}/{}", sound.service, sound.run);
    let sealed = &source.bytes[..source.bytes.len() - usize::try_from(sound.torn).unwrap_or(0)];
    let event = |line: &[u8]| {
        let record: Value = serde_json::from_slice(line).unwrap_or_default();
        let text = |name: &str| record[name].as_str().unwrap_or_default().to_string();
        let data = &record["data"];
        let mut event = json!({
            "specversion": "1.0",
            "id": format!("{}:{}", sound.run, record["seq"]),
            "source": origin,
            "type": format!("dev.bgctl.{}.v1", text("type")),
            "time": text("ts"),
            // Compared as text by those who order events, so it has leading zeros.
            "sequence": format!("{:020}", record["seq"].as_u64().unwrap_or(0)),
            "environment": sound.environment,
            "datacontenttype": "application/json",
            "data_base64": STANDARD.encode(line),
        });
        if let Some(subject) = data["id"].as_str().or(data["step"].as_str()) {
            event["subject"] = subject.into();
        }
        event
    };
    sealed.split_inclusive(|b| *b == b'\n').map(event).collect()
}
