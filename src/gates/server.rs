//! Where a Prometheus is, or whatever speaks its API, and how it lets us in: an address, headers, a login, a private authority.
//!
//! Secrets stand in it as references; what they stand for is filled in for one exchange and kept nowhere.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::diag::{Mistake, Review};
use crate::secret::Secrets;
use crate::world::Login;

/// A server that is asked for numbers: its address alone, or with what it wants to know of us.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Server(Whole);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Address(String),
    Whole(Whole),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Whole {
    /// Base URL, also as `${env:NAME}`.
    url: String,
    /// Sent with every question: the tenant (`X-Scope-OrgID`), or a token as a reference.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
    /// `user:password`, as a reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    basic: Option<String>,
    /// A file with a bearer token, read anew for every question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bearer_file: Option<PathBuf>,
    /// A file with the certificates of the authority that vouches for the server, beside the system's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca: Option<PathBuf>,
    /// Sign every question for Amazon's managed Prometheus, with the credentials that AWS's own tools find here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sigv4: Option<Sigv4>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Sigv4 {
    /// Where the workspace is: `eu-central-1`.
    #[schemars(length(min = 1, max = 40))]
    region: String,
}

/// A server as it is asked now, secrets filled in.
pub struct Reached {
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub login: Login,
}

impl From<Written> for Server {
    fn from(written: Written) -> Server {
        match written {
            Written::Address(url) => Server::at(url),
            Written::Whole(whole) => Server(whole),
        }
    }
}

impl From<Server> for Written {
    fn from(server: Server) -> Written {
        match server == Server::at(server.0.url.clone()) {
            true => Written::Address(server.0.url),
            false => Written::Whole(server.0),
        }
    }
}

/// The runbook's Prometheus, where nothing names another.
impl Default for Server {
    fn default() -> Server {
        Server::at("${env:PROMETHEUS_URL}".into())
    }
}

impl Server {
    fn at(url: String) -> Server {
        Server(Whole { url, ..Whole::default() })
    }

    /// No server: what is never asked needs none.
    pub fn none() -> Server {
        Server::at(String::new())
    }

    /// What is wrong with it and can be seen without asking it.
    pub fn check(&self) -> Vec<Mistake> {
        let wrong = |at: &str, message: String, help: &str| Mistake { at: at.into(), message, help: Some(help.into()) };
        let Whole { url, headers, basic, bearer_file, sigv4, .. } = &self.0;
        let mut found = Vec::new();
        let starts = ["http://", "https://", "${"].iter().any(|start| url.starts_with(start));
        if !starts || url.contains(char::is_whitespace) {
            found.push(wrong("/url", format!("`{url}` is no URL"), "write `http://prometheus:9090`"));
        }
        if url.contains(['?', '#']) {
            found.push(wrong("/url", format!("`{url}` is more than a base URL"), "leave out what follows `?` or `#`"));
        }
        let secret = |text: &str| !text.contains("${");
        let clear = headers.iter().any(|(name, text)| name.eq_ignore_ascii_case("authorization") && secret(text));
        if clear || basic.as_deref().is_some_and(secret) || url.contains('@') {
            let message = "a login is a secret and may not stand in a runbook".into();
            found.push(wrong("", message, "write a reference: `basic: ${env:METRICS_LOGIN}`"));
        }
        let authorized = headers.keys().any(|name| name.eq_ignore_ascii_case("authorization"));
        let logins = [authorized, basic.is_some(), bearer_file.is_some(), sigv4.is_some()];
        if logins.iter().filter(|given| **given).count() > 1 {
            let message = "one login is enough: `basic`, `bearer_file`, `sigv4` or a header `Authorization`".into();
            found.push(wrong("", message, "leave the others out"));
        }
        let mut review = Review(found);
        review.headers("/headers", headers);
        if let Some(sigv4) = sigv4 {
            review.region("/sigv4/region", &sigv4.region);
        }
        review.0
    }

    /// With everything that is secret in it, for one exchange.
    pub fn reached(&self, secrets: &Secrets) -> Reached {
        let Whole { url, headers, basic, bearer_file, ca, sigv4 } = &self.0;
        let mut headers: Vec<(String, String)> =
            headers.iter().map(|(name, value)| (name.clone(), secrets.resolve(value))).collect();
        if let Some(basic) = basic {
            headers.push(("authorization".into(), format!("Basic {}", STANDARD.encode(secrets.resolve(basic)))));
        }
        let sigv4 = sigv4.as_ref().map(|sigv4| sigv4.region.clone());
        let login = Login { bearer_file: bearer_file.clone(), ca: ca.clone(), sigv4 };
        Reached { url: secrets.resolve(url), headers, login }
    }
}

impl JsonSchema for Server {
    fn schema_name() -> Cow<'static, str> {
        "Server".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Base URL of a Prometheus, or `{ url: …, headers: …, basic: …, bearer_file: …, sigv4: …, ca: … }`.",
            "anyOf": [{ "type": "string" }, Whole::json_schema(generator)]
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn server(written: Value) -> Server {
        serde_json::from_value(written).unwrap()
    }

    #[test]
    fn an_address_stays_an_address_and_mistakes_are_named() {
        assert_eq!(json!(server(json!("http://p:9090"))), json!("http://p:9090"));
        let whole = json!({ "url": "http://p:9090", "headers": { "X-Scope-OrgID": "a" }, "ca": "ca.pem" });
        assert_eq!(json!(server(whole.clone())), whole);
        for (written, word) in [
            (json!("prometheus:9090"), "no URL"),
            (json!("http://a b"), "no URL"),
            (json!({ "url": "p" }), "no URL"),
            (
                json!({ "url": "http://p", "basic": "${env:A}", "headers": { "authorization": "Basic ${env:B}" } }),
                "one login",
            ),
            (json!({ "url": "http://p", "sigv4": { "region": "eu-west-1" }, "bearer_file": "token" }), "one login"),
            (json!({ "url": "http://p", "basic": "team:secret" }), "is a secret"),
            (json!({ "url": "http://p", "headers": { "Authorization": "Bearer abc" } }), "is a secret"),
            (json!({ "url": "http://p?tenant=a" }), "more than a base URL"),
            (json!({ "url": "http://p", "headers": { "a b": "x" } }), "no name of a header"),
        ] {
            let found = server(written.clone()).check();
            assert!(found.len() == 1 && found[0].message.contains(word), "{written}: {found:?}");
        }
        assert!(server(whole).check().is_empty() && Server::default().check().is_empty());
        assert!(serde_json::from_value::<Server>(json!({ "url": "http://p", "tenant": "a" })).is_err());
    }
}
