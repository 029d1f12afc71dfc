//! What an error of an AWS API says and means: its code and words, whether something may have been done, which kind of trouble it
//! is, and what cures it. What only one API knows is added by the route that asks it.

use std::error::Error;
use std::time::Duration;

use aws_sdk_sts::config::http::HttpResponse;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};

use super::{Attempts, Aws};
use crate::routers::{RouterError, Trouble};
use crate::scalar::spoken;

/// What was asked of the provider, for the sentence and the cure.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub action: &'a str,
    pub place: &'a str,
    /// It may change something.
    pub writes: bool,
    /// How long its answer is waited for.
    pub within: Duration,
}

/// What is different from API to API.
#[derive(Clone, Copy, Debug)]
pub struct Api {
    /// As policies name it: `elasticloadbalancing`.
    pub service: &'static str,
    /// The page that has the least policy.
    pub page: &'static str,
    /// Whose limit is shared when it throttles, and what to look for.
    pub throttled: &'static str,
    /// Codes that it may give as the root of an answer, without the envelope of all others, so that the SDK finds no code.
    pub bare: &'static [&'static str],
}

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
    pub fn of<E>(api: &Api, error: &SdkError<E, HttpResponse>, within: Duration) -> Failure
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
                // The SDK finds the code only where this API puts it; endpoints in between use the shapes of other APIs.
                let code = answer.err().code().map(String::from).or_else(|| element(&body, "Code"));
                let bare =
                    || api.bare.iter().find(|code| body.contains(&format!("<{code}"))).map(|code| code.to_string());
                let words = answer.err().message().map(String::from).or_else(|| element(&body, "Message"));
                let after = header.map(Duration::from_secs);
                match code.or_else(bare) {
                    Some(code) => {
                        let words = format!("{code}: {}", words.as_deref().unwrap_or("no message"));
                        Failure { code, words, status: Some(status), maybe: status >= 500, after }
                    }
                    // Not AWS's own words: a proxy between, or an answer cut short. Only a 4xx says that nothing was done.
                    None => {
                        let words = format!("HTTP {status} without an error code of AWS, from a proxy perhaps");
                        let maybe = !(400..500).contains(&status);
                        Failure { code: "unreadable-answer".into(), words, status: Some(status), maybe, after }
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

    /// The kind of trouble, by the codes that all of AWS has.
    pub fn trouble(&self) -> Trouble {
        match self.code.as_str() {
            "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "RequestThrottled"
            | "RequestLimitExceeded"
            | "TooManyRequestsException"
            | "SlowDown" => Trouble::Throttled,
            "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" | "NotAuthorizedException" => {
                Trouble::Denied
            }
            "ExpiredToken"
            | "ExpiredTokenException"
            | "RequestExpired"
            | "InvalidClientTokenId"
            | "InvalidAccessKeyId"
            | "UnrecognizedClientException"
            | "SignatureDoesNotMatch"
            | "MissingAuthenticationToken"
            | "AuthFailure"
            | "IncompleteSignature"
            | "OptInRequired"
            | "no-credentials" => Trouble::NoCredentials,
            "timeout" | "no-answer" | "no-connection" | "unreadable-answer" => Trouble::Unreachable,
            code if code.ends_with("NotFound") || code.ends_with("NotFoundException") || code.starts_with("NoSuch") => {
                Trouble::NotFound
            }
            _ if self.status == Some(429) => Trouble::Throttled,
            _ if self.status >= Some(500) => Trouble::Unreachable,
            _ => Trouble::Invalid,
        }
    }

    /// It as the error of a route. `cure` is what only this API knows to say.
    pub fn error(
        &self,
        (api, aws): (&Api, &Aws),
        asked: Question<'_>,
        attempts: &Attempts,
        kind: Trouble,
        cure: Option<String>,
    ) -> RouterError {
        let Question { action, place, writes, .. } = asked;
        let what = match kind {
            Trouble::NoCredentials => format!("AWS does not know who asks: {action} on {place}: {}", self.words),
            _ => format!("{action} on {place}: {}", self.words),
        };
        RouterError {
            moved: writes && self.maybe,
            cure: cure.or_else(|| self.cure(api, aws, asked, kind)),
            after: self.after,
            calls: if writes { attempts.calls(action, &self.code) } else { Vec::new() },
            ..RouterError::new(kind, what)
        }
    }

    fn cure(&self, api: &Api, aws: &Aws, asked: Question<'_>, kind: Trouble) -> Option<String> {
        let sign_in = aws.sign_in(&self.words);
        Some(match (kind, self.code.as_str()) {
            (Trouble::Denied, _) => format!(
                "allow `{}:{}` on {} for this role (`bgctl explain {}` has the whole policy)",
                if asked.action == "GetCallerIdentity" { "sts" } else { api.service },
                asked.action,
                asked.place,
                api.page
            ),
            (Trouble::NoCredentials, "ExpiredToken" | "ExpiredTokenException") => {
                format!("the session is over: `{sign_in}`, or renew what set AWS_SESSION_TOKEN")
            }
            (Trouble::NoCredentials, "RequestExpired" | "SignatureDoesNotMatch") => {
                "check this machine's clock, and that AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together"
                    .into()
            }
            (Trouble::NoCredentials, "no-credentials") => format!(
                "`{sign_in}`, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; looked at: these, \
                 AWS_WEB_IDENTITY_TOKEN_FILE, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, ~/.aws/config, ~/.aws/credentials and \
                 the instance's role"
            ),
            (Trouble::NoCredentials, _) => format!("`{sign_in}`, or check AWS_PROFILE and AWS_ACCESS_KEY_ID"),
            (Trouble::Throttled, _) => api.throttled.into(),
            (Trouble::Unreachable, "no-connection") => {
                format!("check the network, HTTPS_PROXY, AWS_ENDPOINT_URL and the region `{}`", aws.region)
            }
            _ => return None,
        })
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
