//! What an error of the SDK says: the provider's code and words, and whether something may have been done. What it means for a
//! route, and what cures it, stands in `errors`.

use std::error::Error;
use std::time::Duration;

use aws_sdk_route53::config::http::HttpResponse;
use aws_sdk_route53::error::{ProvideErrorMetadata, SdkError};

use crate::scalar::spoken;

/// A refused batch came without the envelope of all other errors until some time in 2024, and the SDK finds no code in it.
const REFUSED_BATCH: &str = "<InvalidChangeBatch";

/// An error, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The provider's code; where it said none, one of ours: `timeout`, `no-answer`, `no-connection`, `no-credentials`,
    /// `unreadable-answer`, `not-sent`.
    pub code: String,
    pub words: String,
    pub status: Option<u16>,
    /// A write may have been applied.
    pub maybe: bool,
    pub after: Option<Duration>,
}

impl Failure {
    /// `within`: how long the answer was waited for.
    pub fn of<E>(error: &SdkError<E, HttpResponse>, within: Duration) -> Failure
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let own =
            |code: &str, words: String, maybe| Failure { code: code.into(), words, status: None, maybe, after: None };
        match error {
            SdkError::ServiceError(answer) => {
                let status = answer.raw().status().as_u16();
                let header = answer.raw().headers().get("retry-after").and_then(|text| text.trim().parse().ok());
                let body = String::from_utf8_lossy(answer.raw().body().bytes().unwrap_or_default()).into_owned();
                let code = answer.err().code().map(String::from).or_else(|| element(&body, "Code"));
                let code = code.or_else(|| body.contains(REFUSED_BATCH).then(|| REFUSED_BATCH[1..].into()));
                let words = answer.err().message().map(String::from).or_else(|| element(&body, "Message"));
                let (status, after) = (Some(status), header.map(Duration::from_secs));
                match code {
                    Some(code) => {
                        let words = format!("{code}: {}", words.as_deref().unwrap_or("no message"));
                        Failure { code, words, status, maybe: status >= Some(500), after }
                    }
                    // Not AWS's own words: a proxy between, or an answer cut short. Only a 4xx says that nothing was done.
                    None => {
                        let number = status.unwrap_or_default();
                        let words = format!("HTTP {number} without an error code of AWS, from a proxy perhaps");
                        let maybe = !(400..500).contains(&number);
                        Failure { code: "unreadable-answer".into(), words, status, maybe, after }
                    }
                }
            }
            SdkError::TimeoutError(_) => own("timeout", format!("no answer within {}", spoken(within)), true),
            SdkError::ResponseError(_) => {
                own("unreadable-answer", format!("an answer that cannot be read: {}", chain(error)), true)
            }
            _ if no_credentials(error) => own("no-credentials", format!("no credentials: {}", chain(error)), false),
            SdkError::DispatchFailure(failure) => {
                let sent = !failure.as_connector_error().is_some_and(|c| never_sent(&format!("{c:?}")));
                let code = if sent { "no-answer" } else { "no-connection" };
                own(code, format!("{}: {}", code.replace('-', " "), chain(error)), sent)
            }
            _ => own("not-sent", chain(error), false),
        }
    }
}

/// The connection was never made, so nothing can have been applied.
fn never_sent(connector: &str) -> bool {
    ["ConnectError", "tcp connect error", "dns error", "NeverConnected", "connect timeout", "HttpConnectTimeout"]
        .iter()
        .any(|sign| connector.contains(sign))
}

/// An error and what it came of.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// The SDK wraps this deeply and has no public type for it at the surface, so its words decide.
fn no_credentials(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|error| error.to_string().to_lowercase().contains("credential"))
}

/// The text of an element of an error's XML.
fn element(xml: &str, name: &str) -> Option<String> {
    let rest = xml.split(&format!("<{name}>")).nth(1)?;
    rest.split_once("</").map(|(text, _)| text.to_string())
}

/// The whole chain of causes in one line, each said once.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    for error in causes(error) {
        let text = error.to_string().lines().map(str::trim).collect::<Vec<_>>().join("; ");
        if !words.iter().any(|word| word.contains(&text)) {
            words.push(text);
        }
    }
    words.join(": ")
}
