//! HTTP as a step may speak it: one exchange at a time, and an address of ours that others post to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;

use crate::plan::Stack;
use crate::secret::Secrets;

/// One HTTP exchange at a time.
#[async_trait(?Send)]
pub trait Web {
    /// Sends one request and reads the whole answer (at most 4 MiB). Redirects are not followed, nothing is retried.
    async fn exchange(&self, request: Request) -> Result<Response, WebError>;

    /// Opens an address of ours that takes what others post, for as long as the inbox is held.
    async fn listen(&self, _address: &str) -> Result<Box<dyn Inbox>, WebError> {
        Err(WebError { what: "nobody can be listened to in this world".into(), timed_out: false })
    }
}

/// What others post to us.
#[async_trait(?Send)]
pub trait Inbox {
    /// The address it took, `127.0.0.1:40123`.
    fn address(&self) -> std::net::SocketAddr;

    /// The next post: its path and its body. Waits for as long as the caller does.
    async fn next(&self) -> Option<(String, Vec<u8>)>;
}

#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: &'static str,
    pub url: String,
    pub headers: Vec<(String, String)>,
    /// Sent as these exact bytes.
    pub body: Vec<u8>,
    pub timeout: Duration,
    /// A connection of its own, so that a load balancer chooses anew.
    pub fresh: bool,
    /// What lies elsewhere and lets us in.
    pub login: Login,
}

/// What lets us in, looked for when the request is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Login {
    /// A bearer token.
    pub bearer_file: Option<PathBuf>,
    /// Certificates of the authority that vouches for the server, beside the system's own.
    pub ca: Option<PathBuf>,
    /// The AWS region in which the request is signed, with the credentials that are found here.
    pub sigv4: Option<String>,
}

/// Signs requests as AWS wants them.
#[async_trait(?Send)]
pub trait Signs {
    /// The headers that a request needs beside its own. An error: there is nothing to sign with.
    async fn signed(&self, region: &str, request: &Request) -> Result<Vec<(String, String)>, String>;
}

impl Request {
    pub fn get(url: impl Into<String>, timeout: Duration) -> Self {
        Request { method: "GET", url: url.into(), timeout, ..Request::default() }
    }

    /// A stack itself, with what leads a load balancer to it.
    pub fn to_stack(stack: &Stack, path: &str, timeout: Duration, secrets: &Secrets) -> Self {
        Request::get(address(&secrets.resolve(&stack.url), path), timeout).with(&stack.headers, secrets)
    }

    /// With these headers besides, their references filled in.
    pub fn with(mut self, headers: &BTreeMap<String, String>, secrets: &Secrets) -> Self {
        self.headers.extend(headers.iter().map(|(name, value)| (name.clone(), secrets.resolve(value))));
        self
    }
}

#[derive(Clone, Debug, Default)]
pub struct Response {
    pub status: u16,
    /// Names in lowercase.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub time: Duration,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// When the server says it is: its `Date`.
    pub fn date(&self) -> Option<jiff::Timestamp> {
        Some(jiff::fmt::rfc2822::parse(self.header("date")?).ok()?.timestamp())
    }

    /// How long the server asks to be left alone: its `Retry-After`, in seconds.
    pub fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after")?.trim().parse().ok().map(Duration::from_secs)
    }

    /// A document that says no under a status that says yes: `{"ok": false}`, an error, or a status of its own.
    pub fn says_no(&self) -> bool {
        let Ok(said) = serde_json::from_slice::<serde_json::Value>(&self.body) else { return false };
        let failed =
            |name: &str| said.get(name).is_some_and(|error| !error.is_null() && *error != false && *error != "");
        said.get("ok") == Some(&false.into()) || said.get("success") == Some(&false.into()) || failed("error")
    }

    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

/// No answer was had. Says nothing about the service's health by itself.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}")]
pub struct WebError {
    /// `connection refused by http://…`, without query strings or secrets.
    pub what: String,
    pub timed_out: bool,
}

/// A path of a stack.
pub fn address(stack: &str, path: &str) -> String {
    format!("{}{path}", stack.trim_end_matches('/'))
}

/// Names and values as the body of an HTML form.
pub fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_encoded_as_browsers_do() {
        assert_eq!(form(&[("query", "sum(x[5m]) + 1"), ("a", "é")]), "query=sum%28x%5B5m%5D%29+%2B+1&a=%C3%A9");
    }

    #[test]
    fn a_date_is_read_as_servers_write_it() {
        let date = ("date".to_string(), "Tue, 14 Nov 2023 22:13:20 GMT".to_string());
        let response = Response { headers: vec![date], ..Response::default() };
        assert_eq!(response.date().unwrap().as_second(), 1_700_000_000);
    }
}
