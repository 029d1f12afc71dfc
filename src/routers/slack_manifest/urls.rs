//! The request URLs of a manifest: which there are, whose they are, and the same manifest with others.
//!
//! Everything else in a manifest is carried as it was read.

use serde_json::Value;

use super::settings::{Settings, within};
use crate::plan::{Color, Split};

/// One request URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestUrl {
    /// JSON pointer in the manifest.
    pub at: String,
    pub url: String,
    /// The stack it leads to; none where it leads elsewhere.
    pub stack: Option<Color>,
}

/// Every request URL, in the order of the manifest.
pub fn request_urls(manifest: &Value, settings: &Settings) -> Vec<RequestUrl> {
    let mut places: Vec<String> = [
        "/settings/event_subscriptions/request_url",
        "/settings/interactivity/request_url",
        "/settings/interactivity/message_menu_options_url",
    ]
    .map(String::from)
    .into();
    let commands = manifest.pointer("/features/slash_commands").and_then(Value::as_array).map_or(0, Vec::len);
    places.extend((0..commands).map(|n| format!("/features/slash_commands/{n}/url")));
    let read = |at: String| {
        let url = manifest.pointer(&at)?.as_str().filter(|url| !url.is_empty())?.to_string();
        let stack = Color::BOTH.into_iter().find(|color| within(settings.base(*color), &url));
        Some(RequestUrl { at, url, stack })
    };
    places.into_iter().filter_map(read).collect()
}

/// How many lead to each stack: that is the split, where one can be told.
pub fn split(urls: &[RequestUrl]) -> Split {
    let count = |color| u32::try_from(urls.iter().filter(|url| url.stack == Some(color)).count()).unwrap_or(u32::MAX);
    match (Split { blue: count(Color::Blue), green: count(Color::Green) }) {
        Split { blue: 1.., green: 0 } => Split::ALL_BLUE,
        Split { blue: 0, green: 1.. } => Split::ALL_GREEN,
        mixed => mixed,
    }
}

/// The manifest with every URL of either stack leading to this one.
pub fn all_to(manifest: &Value, settings: &Settings, to: Color) -> Value {
    let mut wanted = manifest.clone();
    for found in request_urls(manifest, settings) {
        let Some(stack) = found.stack else { continue };
        let rest = &found.url[settings.base(stack).len()..];
        let url = format!("{}{rest}", settings.base(to));
        *wanted.pointer_mut(&found.at).expect("BUG: a place that was just read") = Value::String(url);
    }
    wanted
}

/// The places where two manifests differ, at most ten.
pub fn differences(one: &Value, other: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(one, other, &mut String::new(), &mut found);
    found.truncate(10);
    found
}

fn walk(one: &Value, other: &Value, at: &mut String, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))).collect();
            keys.sort();
            for key in keys {
                let below = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
                let (before, empty) = (at.len(), Value::Null);
                at.push_str(&below);
                walk(a.get(key).unwrap_or(&empty), b.get(key).unwrap_or(&empty), at, found);
                at.truncate(before);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (n, (one, other)) in a.iter().zip(b).enumerate() {
                let before = at.len();
                at.push_str(&format!("/{n}"));
                walk(one, other, at, found);
                at.truncate(before);
            }
        }
        (one, other) if one != other => found.push(at.clone()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings() -> Settings {
        Settings::read(&json!({
            "app": "A0123456789", "blue": "https://blue.example.com", "green": "https://green.example.com/bot", "tokens": "/t",
        }))
        .unwrap()
    }

    fn manifest(events: &str, command: &str) -> Value {
        json!({
            "display_information": { "name": "Bot" },
            "features": { "slash_commands": [
                { "command": "/a", "url": command },
                { "command": "/b", "url": "https://elsewhere.example.com/b" },
                { "command": "/c" },
            ]},
            "settings": { "event_subscriptions": { "request_url": events, "bot_events": ["app_mention"] } },
        })
    }

    #[test]
    fn urls_are_found_counted_and_moved_and_nothing_else_is() {
        let settings = settings();
        let blue = manifest("https://blue.example.com/slack/events", "https://blue.example.com?x=1");
        let urls = request_urls(&blue, &settings);
        assert_eq!(urls.len(), 3);
        assert_eq!(urls[2].stack, None);
        assert_eq!(split(&urls), Split::ALL_BLUE);
        let green = all_to(&blue, &settings, Color::Green);
        assert_eq!(green, manifest("https://green.example.com/bot/slack/events", "https://green.example.com/bot?x=1"));
        assert_eq!(split(&request_urls(&green, &settings)), Split::ALL_GREEN);
        assert_eq!(all_to(&green, &settings, Color::Blue), blue);
        assert_eq!(
            differences(&blue, &green),
            ["/features/slash_commands/0/url", "/settings/event_subscriptions/request_url"]
        );
        let mixed = manifest("https://blue.example.com/slack/events", "https://green.example.com/bot/x");
        assert_eq!(split(&request_urls(&mixed, &settings)), Split { blue: 1, green: 1 });
        assert_eq!(differences(&json!({ "a": [1], "b": 2 }), &json!({ "a": [1, 2], "c": 2 })), ["/a", "/b", "/c"]);
    }
}
