//! What the API's errors mean for a run: which kind of trouble, whether users may have moved, and what cures it.

use std::error::Error;
use std::time::Duration;

use aws_sdk_elasticloadbalancingv2::config::http::HttpResponse;
use aws_sdk_elasticloadbalancingv2::error::{ProvideErrorMetadata, SdkError};

use crate::routers::aws::{Attempts, Aws};
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

/// Says what an error of the SDK means.
pub fn explain<E>(aws: &Aws, asked: Question<'_>, attempts: &Attempts, error: &SdkError<E, HttpResponse>) -> RouterError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let Question { action, place, writes, within } = asked;
    let mut after = None;
    let (kind, code, words, maybe_applied) = match error {
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status().as_u16();
            after = answer.raw().headers().get("retry-after").and_then(|text| text.trim().parse().ok());
            let body = String::from_utf8_lossy(answer.raw().body().bytes().unwrap_or_default()).into_owned();
            // The SDK finds the code only where this API puts it; endpoints in between use the shapes of other APIs.
            let code = answer.err().code().map(String::from).or_else(|| element(&body, "Code"));
            let words = answer.err().message().map(String::from).or_else(|| element(&body, "Message"));
            match code {
                Some(code) => {
                    let sentence = format!("{code}: {}", words.as_deref().unwrap_or("no message"));
                    (kind_of(&code, status), code, sentence, status >= 500)
                }
                // Not AWS's own words: a proxy between, or an answer cut short. Only a 4xx says that nothing was done.
                None => {
                    let words = format!("HTTP {status} without an error code of AWS, from a proxy perhaps");
                    (Trouble::Unreachable, "unreadable-answer".into(), words, !(400..500).contains(&status))
                }
            }
        }
        SdkError::TimeoutError(_) => {
            let words = format!("no answer within {}", spoken(within));
            (Trouble::Unreachable, "timeout".into(), words, true)
        }
        SdkError::ResponseError(_) => (
            Trouble::Unreachable,
            "unreadable-answer".into(),
            format!("an answer that cannot be read: {}", chain(error)),
            true,
        ),
        _ if no_credentials(error) => {
            (Trouble::NoCredentials, "no-credentials".into(), format!("no credentials: {}", chain(error)), false)
        }
        SdkError::DispatchFailure(failure) => {
            let connector = failure.as_connector_error();
            let sent = !connector.is_some_and(|c| never_sent(&format!("{c:?}")));
            let code = if sent { "no-answer" } else { "no-connection" };
            (Trouble::Unreachable, code.into(), format!("{}: {}", code.replace('-', " "), chain(error)), sent)
        }
        _ => (Trouble::Invalid, "not-sent".into(), chain(error), false),
    };
    let what = match kind {
        Trouble::NoCredentials => format!("AWS does not know who asks: {action} on {place}: {words}"),
        _ => format!("{action} on {place}: {words}"),
    };
    RouterError {
        what,
        kind,
        moved: writes && maybe_applied,
        cure: cure(aws, asked, kind, &code, &words),
        after: after.map(Duration::from_secs),
        read: None,
        partly: None,
        calls: if writes { attempts.calls(action, &code) } else { Vec::new() },
    }
}

fn kind_of(code: &str, status: u16) -> Trouble {
    match code {
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "SlowDown" => Trouble::Throttled,
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" => Trouble::Denied,
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
        | "OptInRequired" => Trouble::NoCredentials,
        // The API's own word that asking again helps.
        "HealthUnavailable" => Trouble::Unreachable,
        _ if code.ends_with("NotFound") || code.ends_with("NotFoundException") => Trouble::NotFound,
        _ if status == 429 => Trouble::Throttled,
        _ if status >= 500 => Trouble::Unreachable,
        _ => Trouble::Invalid,
    }
}

fn cure(aws: &Aws, asked: Question<'_>, kind: Trouble, code: &str, said: &str) -> Option<String> {
    let sign_in = aws.sign_in(said);
    Some(match (kind, code) {
        (Trouble::Denied, _) => format!(
            "allow `elasticloadbalancing:{}` on {} for this role (`bgctl explain alb` has the whole policy)",
            asked.action, asked.place
        ),
        (Trouble::NoCredentials, "ExpiredToken" | "ExpiredTokenException") => {
            format!("the session is over: `{sign_in}`, or renew what set AWS_SESSION_TOKEN")
        }
        (Trouble::NoCredentials, "RequestExpired" | "SignatureDoesNotMatch") => {
            "check this machine's clock, and that AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together".into()
        }
        (Trouble::NoCredentials, "no-credentials") => format!(
            "`{sign_in}`, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; looked at: these, \
             AWS_WEB_IDENTITY_TOKEN_FILE, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, ~/.aws/config, ~/.aws/credentials and \
             the instance's role"
        ),
        (Trouble::NoCredentials, _) => format!("`{sign_in}`, or check AWS_PROFILE and AWS_ACCESS_KEY_ID"),
        (Trouble::Throttled, _) => {
            "wait: the whole account shares this limit, so look who else calls this often".into()
        }
        (Trouble::Unreachable, "no-connection") => {
            format!("check the network, HTTPS_PROXY, AWS_ENDPOINT_URL and the region `{}`", aws.region)
        }
        (Trouble::Invalid, "OperationNotPermitted") => {
            "a default rule is changed through its listener: write `listener:` in place of `rule:`".into()
        }
        (Trouble::Invalid, "InvalidLoadBalancerAction" | "InvalidConfigurationRequest") => {
            "a rule with two groups needs group stickiness where a group has target stickiness: turn on the first, or \
             turn off the second (`aws elbv2 modify-target-group-attributes`)"
                .into()
        }
        _ => return None,
    })
}

/// The connection was never made, so nothing can have been applied.
fn never_sent(connector: &str) -> bool {
    ["ConnectError", "tcp connect error", "dns error", "NeverConnected", "connect timeout", "HttpConnectTimeout"]
        .iter()
        .any(|sign| connector.contains(sign))
}

/// The SDK wraps this deeply and has no public type for it at the surface, so its words decide.
fn no_credentials(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.to_string().to_lowercase().contains("credential") {
            return true;
        }
        next = error.source();
    }
    false
}

/// The text of an element of an error's XML.
fn element(xml: &str, name: &str) -> Option<String> {
    let rest = xml.split(&format!("<{name}>")).nth(1)?;
    rest.split_once("</").map(|(text, _)| text.to_string())
}

/// The whole chain of causes in one line, each said once.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let lines: Vec<String> = error.to_string().lines().map(|line| line.trim().to_string()).collect();
        let text = lines.join("; ");
        if !words.iter().any(|w| w.contains(&text)) {
            words.push(text);
        }
        next = error.source();
    }
    words.join(": ")
}
