//! What only this API's errors mean, and what cures them.

use std::error::Error;

use aws_sdk_elasticloadbalancingv2::config::http::HttpResponse;
use aws_sdk_elasticloadbalancingv2::error::{ProvideErrorMetadata, SdkError};

use crate::routers::aws::{Api, Attempts, Aws, Failure, Question};
use crate::routers::{RouterError, Trouble};

const API: Api = Api {
    service: "elasticloadbalancing",
    page: "alb",
    throttled: "wait: the whole account shares this limit, so look who else calls this often",
    bare: &[],
};

/// Says what an error of the SDK means.
pub fn explain<E>(aws: &Aws, asked: Question<'_>, attempts: &Attempts, error: &SdkError<E, HttpResponse>) -> RouterError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let failure = Failure::of(&API, error, asked.within);
    let kind = match failure.code.as_str() {
        // The API's own word that asking again helps.
        "HealthUnavailable" => Trouble::Unreachable,
        _ => failure.trouble(),
    };
    failure.error((&API, aws), asked, attempts, kind, cure(&failure.code).map(String::from))
}

fn cure(code: &str) -> Option<&'static str> {
    Some(match code {
        "OperationNotPermitted" => {
            "a default rule is changed through its listener: write `listener:` in place of `rule:`"
        }
        "InvalidLoadBalancerAction" | "InvalidConfigurationRequest" => {
            "a rule with two groups needs group stickiness where a group has target stickiness: turn on the first, or \
             turn off the second (`aws elbv2 modify-target-group-attributes`)"
        }
        _ => return None,
    })
}
