//! The settings of a `slack_manifest` route, checked field by field so that every mistake has its place.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::diag::Mistake;
use crate::plan::Color;

#[derive(Clone, Debug)]
pub struct Settings {
    /// The app's id.
    pub app: String,
    /// The address every request URL of a stack begins with, without a slash at its end.
    pub blue: String,
    pub green: String,
    /// The file of the configuration tokens.
    pub tokens: PathBuf,
    /// What is asked whether a stack is well.
    pub health: String,
    /// Slack's Web API, with a slash at its end.
    pub api: String,
}

const KEYS: [&str; 6] = ["app", "blue", "green", "tokens", "health", "api"];
const SLACK: &str = "https://slack.com/api/";

impl Settings {
    pub fn base(&self, color: Color) -> &str {
        match color {
            Color::Blue => &self.blue,
            Color::Green => &self.green,
        }
    }

    /// Reads the settings, or names all mistakes in them.
    pub fn read(value: &Value) -> Result<Settings, Vec<Mistake>> {
        let mut found = Vec::new();
        let Some(fields) = value.as_object() else {
            let message = "`slack_manifest` takes a mapping with `app`, `blue`, `green` and `tokens`";
            return Err(vec![mistake("", message, None)]);
        };
        for key in fields.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            let near = KEYS.iter().max_by(|a, b| strsim::jaro(a, key).total_cmp(&strsim::jaro(b, key)));
            let help = near.map(|n| format!("did you mean `{n}`? `slack_manifest` takes {}", KEYS.join(", ")));
            let at = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
            found.push(mistake(&at, &format!("unknown field `{key}`"), help));
        }
        let mut text = |key: &str, about: &str| match fields.get(key) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) => {
                found.push(mistake(&format!("/{key}"), &format!("`{key}` is text, not {other}"), Some(about.into())));
                None
            }
            None => None,
        };
        let app = text("app", "the app's id, such as `A0123456789`");
        let (blue, green) = (text("blue", "an address"), text("green", "an address"));
        let tokens = text("tokens", "the path of a file");
        let health = text("health", "a path, such as `/healthz/ready`").unwrap_or_else(|| "/healthz/ready".into());
        let api = text("api", "an address").unwrap_or_else(|| SLACK.into());
        for (key, help) in [
            ("app", "the app's id, such as `A0123456789`"),
            ("blue", "the public address that the request URLs begin with now"),
            ("green", "the public address that they are to begin with"),
            ("tokens", "an absolute path of a file with `token` and `refresh_token`"),
        ] {
            if !fields.contains_key(key) {
                found.push(mistake("", &format!("`slack_manifest` lacks `{key}`"), Some(help.into())));
            }
        }
        if let Some(id) = &app
            && !(id.starts_with('A')
                && id.len() > 4
                && id.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()))
        {
            let help = "it stands on the app's page and looks like `A0123456789`";
            found.push(mistake("/app", &format!("`{id}` is not the id of a Slack app"), Some(help.into())));
        }
        for (key, url) in [("blue", &blue), ("green", &green)] {
            if let Some(why) = url.as_deref().and_then(wrong_address) {
                found.push(mistake(&format!("/{key}"), &why, Some("write `https://bot-blue.example.com`".into())));
            }
        }
        if let (Some(blue), Some(green)) = (&blue, &green)
            && (within(blue, green) || within(green, blue))
        {
            let message = "`green` and `blue` begin alike, so a URL of one cannot be told from one of the other";
            found.push(mistake("/green", message, Some("give each stack an address of its own".into())));
        }
        if let Some(path) = tokens.as_ref().filter(|path| !path.starts_with('/')) {
            let help = "a run may be resumed in another folder: write an absolute path";
            found.push(mistake("/tokens", &format!("`{path}` is not an absolute path"), Some(help.into())));
        }
        if !health.starts_with('/') {
            found.push(mistake("/health", &format!("`{health}` is not a path"), Some("begin it with a slash".into())));
        }
        if let Some(why) = wrong_address(&api) {
            found.push(mistake("/api", &why, Some(format!("leave it out for `{SLACK}`"))));
        }
        match (app, blue, green, tokens) {
            (Some(app), Some(blue), Some(green), Some(tokens)) if found.is_empty() => Ok(Settings {
                app,
                blue: blue.trim_end_matches('/').into(),
                green: green.trim_end_matches('/').into(),
                tokens: tokens.into(),
                health,
                api: format!("{}/", api.trim_end_matches('/')),
            }),
            _ => Err(found),
        }
    }
}

/// Whether a URL is the base, or lies below it.
pub fn within(base: &str, url: &str) -> bool {
    url.strip_prefix(base.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
}

/// Slack takes nothing but HTTPS, and a token may not travel in the clear; on loopback nobody else listens.
fn wrong_address(text: &str) -> Option<String> {
    let Ok(url) = reqwest::Url::parse(text) else { return Some(format!("`{text}` is not an address")) };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let near = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match url.scheme() {
        _ if host.is_empty() || !url.username().is_empty() || url.query().is_some() => {
            Some(format!("`{text}` is not a plain address"))
        }
        "https" => None,
        "http" if near => None,
        _ => Some(format!("`{text}` is not HTTPS")),
    }
}

fn mistake(at: &str, message: &str, help: Option<String>) -> Mistake {
    Mistake { at: at.into(), message: message.into(), help }
}

/// JSON Schema of the settings.
pub fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let text = |words: &str| json!({ "type": "string", "description": words });
    schemars::json_schema!({
        "type": "object",
        "description": "the request URLs of a Slack app, all of them at once; the last resort among the routes",
        "properties": {
            "app": text("the app's id"),
            "blue": text("public address that the request URLs begin with now"),
            "green": text("public address that they are to begin with"),
            "tokens": text("absolute path of a 0600 file with the configuration token and its refresh token"),
            "health": text("path that answers 200 when a stack is well; `/healthz/ready` when left out"),
            "api": text("Slack's Web API; `https://slack.com/api/` when left out")
        },
        "required": ["app", "blue", "green", "tokens"],
        "additionalProperties": false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Value {
        json!({ "app": "A0123456789", "blue": "https://blue.example.com/", "green": "https://green.example.com", "tokens": "/secure/t.json" })
    }

    #[test]
    fn good_settings_are_read() {
        let settings = Settings::read(&good()).unwrap();
        assert_eq!((settings.blue.as_str(), settings.api.as_str()), ("https://blue.example.com", SLACK));
    }

    #[test]
    fn every_mistake_has_its_place() {
        let table: [(&str, Value, &str, &str); 9] = [
            ("app", json!("T123456"), "/app", "not the id"),
            ("app", json!(7), "/app", "is text"),
            ("blue", json!("http://blue.example.com"), "/blue", "not HTTPS"),
            ("blue", json!("blue"), "/blue", "not an address"),
            ("green", json!("https://blue.example.com/green"), "/green", "begin alike"),
            ("tokens", json!("tokens.json"), "/tokens", "not an absolute path"),
            ("health", json!("ready"), "/health", "not a path"),
            ("api", json!("http://slack.com/api/"), "/api", "not HTTPS"),
            ("tokns", json!("/x"), "/tokns", "unknown field"),
        ];
        for (key, value, at, words) in table {
            let mut settings = good();
            settings[key] = value;
            let found = Settings::read(&settings).unwrap_err();
            assert!(found.iter().any(|m| m.at == at && m.message.contains(words)), "{key}: {found:?}");
        }
        assert_eq!(Settings::read(&json!({})).unwrap_err().len(), 4);
        let mut near = good();
        near["green"] = json!("https://blue.example.com.evil.example");
        assert!(Settings::read(&near).is_ok(), "another host is not below this one");
    }
}
