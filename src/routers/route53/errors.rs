//! What only this API's errors mean, and what cures them.

use crate::routers::aws::{Api, Attempts, Aws, Failure, Question};
use crate::routers::{RouterError, Trouble};

pub const API: Api = Api {
    service: "route53",
    page: "route53",
    throttled: "wait: the whole account has five requests a second, so look who else asks Route 53 often",
    // A refused batch came without the envelope of all other errors until some time in 2024.
    bare: &["InvalidChangeBatch"],
};

/// Says what an error means.
pub fn explain(aws: &Aws, asked: Question<'_>, attempts: &Attempts, failure: &Failure) -> RouterError {
    let kind = match failure.code.as_str() {
        "PriorRequestNotComplete" => Trouble::NotNow,
        _ => failure.trouble(),
    };
    failure.error((&API, aws), asked, attempts, kind, cure(&failure.code).map(String::from))
}

fn cure(code: &str) -> Option<&'static str> {
    Some(match code {
        "PriorRequestNotComplete" => "wait: another change of this hosted zone is not done yet",
        "NoSuchHostedZone" => "`aws route53 list-hosted-zones` lists those there are",
        "NoSuchHealthCheck" => "`aws route53 list-health-checks` lists those there are",
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
    use crate::routers::aws::READ_WITHIN;

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
            let asked =
                Question { action: "ChangeResourceRecordSets", place: "zone Z1", writes: true, within: READ_WITHIN };
            let error = explain(&aws, asked, &Attempts::default(), &failure);
            assert_eq!((error.kind, error.moved), (kind, status >= 500), "{code}");
            assert!(error.what.contains(code) && error.cure.unwrap_or_default().contains(cure), "{code}");
        }
    }
}
