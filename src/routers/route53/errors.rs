//! What the API's errors mean for a run: which kind of trouble, whether users may have moved, and what cures it.

use super::failure::Failure;
use crate::routers::aws::{Attempts, Aws};
use crate::routers::{RouterError, Trouble};

/// What was asked of the provider, for the sentence and the cure.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub action: &'a str,
    pub place: &'a str,
    /// It may change something.
    pub writes: bool,
}

/// Says what an error means.
pub fn explain(aws: &Aws, asked: Question<'_>, attempts: &Attempts, failure: &Failure) -> RouterError {
    let Question { action, place, writes } = asked;
    let kind = kind_of(&failure.code, failure.status);
    let what = match kind {
        Trouble::NoCredentials => format!("AWS does not know who asks: {action} on {place}: {}", failure.words),
        _ => format!("{action} on {place}: {}", failure.words),
    };
    RouterError {
        moved: writes && failure.maybe,
        cure: cure(aws, asked, kind, failure),
        after: failure.after,
        calls: if writes { attempts.calls(action, &failure.code) } else { Vec::new() },
        ..RouterError::new(kind, what)
    }
}

fn kind_of(code: &str, status: Option<u16>) -> Trouble {
    match code {
        "Throttling" | "ThrottlingException" | "RequestLimitExceeded" | "TooManyRequestsException" => {
            Trouble::Throttled
        }
        "PriorRequestNotComplete" => Trouble::NotNow,
        "AccessDenied" | "AccessDeniedException" | "NotAuthorizedException" => Trouble::Denied,
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
        "NoSuchHostedZone" | "NoSuchHealthCheck" | "NoSuchChange" => Trouble::NotFound,
        _ if status == Some(429) => Trouble::Throttled,
        _ if status >= Some(500) => Trouble::Unreachable,
        _ => Trouble::Invalid,
    }
}

fn cure(aws: &Aws, asked: Question<'_>, kind: Trouble, failure: &Failure) -> Option<String> {
    let sign_in = aws.sign_in(&failure.words);
    Some(match (kind, failure.code.as_str()) {
        (Trouble::Denied, _) => format!(
            "allow `{}:{}` on {} for this role (`bgctl explain route53` has the whole policy)",
            if asked.action == "GetCallerIdentity" { "sts" } else { "route53" },
            asked.action,
            asked.place
        ),
        (Trouble::NoCredentials, "ExpiredToken" | "ExpiredTokenException") => {
            format!("the session is over: `{sign_in}`, or renew what set AWS_SESSION_TOKEN")
        }
        (Trouble::NoCredentials, "RequestExpired" | "SignatureDoesNotMatch") => {
            "check this machine's clock, and that AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together".into()
        }
        (Trouble::NoCredentials, _) => {
            format!("`{sign_in}`, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        }
        (Trouble::Throttled, _) => {
            "wait: the whole account has five requests a second, so look who else asks Route 53 often".into()
        }
        (Trouble::NotNow, _) => "wait: another change of this hosted zone is not done yet".into(),
        (Trouble::NotFound, "NoSuchHostedZone") => "`aws route53 list-hosted-zones` lists those there are".into(),
        (Trouble::NotFound, "NoSuchHealthCheck") => "`aws route53 list-health-checks` lists those there are".into(),
        (Trouble::Unreachable, "no-connection") => {
            format!("check the network, HTTPS_PROXY, AWS_ENDPOINT_URL and the region `{}`", aws.region)
        }
        _ => return None,
    })
}

/// Words of a refused batch that say that something is not as it was found: `Tried to delete resource record set … but the values
/// provided do not match the current values`, `… but it was not found`, `Tried to create … but it already exists`.
pub fn not_as_found(error: &RouterError, code: &str) -> bool {
    code == "InvalidChangeBatch"
        && ["do not match the current values", "was not found", "already exists"].iter().any(|w| error.what.contains(w))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routers::AwsAccess;

    #[test]
    fn every_code_leads_to_its_kind_of_trouble() {
        let aws = Aws::new("us-east-1", &AwsAccess::default());
        let table = [
            ("Throttling", 400, Trouble::Throttled, "five requests a second"),
            ("PriorRequestNotComplete", 400, Trouble::NotNow, "another change"),
            ("AccessDenied", 403, Trouble::Denied, "route53:ChangeResourceRecordSets"),
            ("ExpiredToken", 403, Trouble::NoCredentials, "the session is over"),
            ("SignatureDoesNotMatch", 403, Trouble::NoCredentials, "clock"),
            ("NoSuchHostedZone", 404, Trouble::NotFound, "list-hosted-zones"),
            ("InvalidInput", 400, Trouble::Invalid, ""),
            ("InternalError", 500, Trouble::Unreachable, ""),
            ("SomethingNew", 429, Trouble::Throttled, ""),
        ];
        for (code, status, kind, cure) in table {
            let failure = Failure {
                code: code.into(),
                words: format!("{code}: words"),
                status: Some(status),
                maybe: status >= 500,
                after: None,
            };
            let asked = Question { action: "ChangeResourceRecordSets", place: "zone Z1", writes: true };
            let error = explain(&aws, asked, &Attempts::default(), &failure);
            assert_eq!((error.kind, error.moved), (kind, status >= 500), "{code}");
            assert!(error.what.contains(code) && error.cure.unwrap_or_default().contains(cure), "{code}");
        }
    }
}
