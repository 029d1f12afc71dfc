//! How AWS is reached: one lazily built configuration for all clients of a route, and the record of every attempt.
//!
//! The region comes from the resource's ARN, so nobody is asked for it (without one, the SDK asks the instance metadata
//! service and can hang for seconds on a laptop). Credentials, profiles, SSO sessions, proxies and `AWS_ENDPOINT_URL` are
//! found where every AWS tool finds them. The SDK repeats calls silently by default; here it may do so for reads, within
//! bounds and visibly, and never for writes: those are repeated only after a read-back, by whoever asked for them.

mod failure;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_elasticloadbalancingv2::config::interceptors::{
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_sdk_elasticloadbalancingv2::config::retry::RetryConfig;
use aws_sdk_elasticloadbalancingv2::config::timeout::TimeoutConfig;
use aws_sdk_elasticloadbalancingv2::config::{
    ConfigBag, Credentials, Intercept, ProvideCredentials, RuntimeComponents, SharedHttpClient,
};
use aws_sdk_elasticloadbalancingv2::error::BoxError;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, ConnectorBuilder};
use jiff::Timestamp;
use tokio::sync::OnceCell;

use super::{AwsAccess, Call};
use crate::clock::{Clock, SystemClock};
use crate::scalar::spoken;
pub use failure::{Api, Failure, Question};

/// Longest time for a TCP and TLS connection.
const CONNECT: Duration = Duration::from_secs(3);
/// Longest time for one attempt to read, from connecting to the last byte of the answer.
pub const READ_WITHIN: Duration = Duration::from_secs(10);
/// Longest time for a write. As long as the AWS CLI and boto3 wait for an answer (`read_timeout` of botocore's `Config`,
/// 60 s): a call that hangs may still be applied, and whoever has hung up by then does not know it.
pub const WRITE_WITHIN: Duration = Duration::from_secs(60);
/// How often a read is tried in all.
pub const READ_ATTEMPTS: u32 = 4;

/// The AWS configuration of one region, loaded when it is first needed.
#[derive(Debug)]
pub struct Aws {
    pub access: AwsAccess,
    pub region: String,
    config: RefCell<Rc<OnceCell<SdkConfig>>>,
}

impl Aws {
    pub fn new(region: &str, access: &AwsAccess) -> Self {
        Aws { access: access.clone(), region: region.into(), config: RefCell::default() }
    }

    /// The configuration for reads: standard repeats, bounded.
    pub async fn config(&self) -> SdkConfig {
        let config = self.config.borrow().clone();
        config.get_or_init(|| self.load()).await.clone()
    }

    /// Forgets profiles, sessions and keys as they were found: the next call looks at the files and services again.
    pub fn forget(&self) {
        *self.config.borrow_mut() = Rc::default();
    }

    async fn load(&self) -> SdkConfig {
        let retry = RetryConfig::standard()
            .with_max_attempts(READ_ATTEMPTS)
            .with_initial_backoff(Duration::from_millis(300))
            .with_max_backoff(Duration::from_secs(5));
        let timeouts = within(READ_WITHIN);
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(Region::new(self.region.clone()))
            .retry_config(retry)
            .timeout_config(timeouts)
            .http_client(http_client(&self.access));
        if let Some(endpoint) = &self.access.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Some(profile) = &self.access.profile {
            loader = loader.profile_name(profile);
        }
        if let Some((id, key)) = &self.access.keys {
            loader = loader.credentials_provider(Credentials::new(id, key.expose(), None, None, "bgctl"));
        }
        loader.load().await
    }

    /// The command that signs in again: by the access portal of `sso`, or with `aws login`, as what the SDK said names it. A
    /// build that leaves that kind of credentials out says so there.
    pub fn sign_in(&self, said: &str) -> String {
        let said = said.to_lowercase();
        if said.contains("cargo feature") {
            return "cargo install --locked --path CHECKOUT --features full".into();
        }
        // `login` alone is also in `aws sso login`.
        let portal = said.contains("sso") || !said.contains("login");
        let profile = self.access.profile.as_ref().map_or(String::new(), |profile| format!(" --profile {profile}"));
        format!("aws {}{profile}", if portal { "sso login" } else { "login" })
    }

    /// How long the credentials live, and whether they renew themselves.
    pub async fn session(&self) -> Session {
        let endless = Session { left: None, renews: true };
        let Some(provider) = self.config().await.credentials_provider() else { return endless };
        // Whether there are any is for the call that needs them to say.
        let Ok(found) = provider.provide_credentials().await else { return endless };
        // The SDK's public word for where credentials come from is their debug form alone.
        let fixed = FIXED.iter().any(|name| format!("{found:?}").contains(&format!("provider_name: {name:?}")));
        let mut ends = found.expiry().and_then(|end| Timestamp::try_from(end).ok());
        if fixed && found.session_token().is_some() {
            ends = ends.or_else(|| self.access.expires.as_ref()?.parse().ok());
            return Session { left: ends.map(left), renews: false };
        }
        Session { left: ends.map(left), renews: true }
    }
}

/// Where credentials come from that are as they are: nothing there makes new ones.
const FIXED: [&str; 3] = ["EnvironmentVariable", "ProfileFile", "bgctl"];

/// The end of the credentials, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    pub left: Option<Duration>,
    /// They have no end, or others are had without a person when they end.
    pub renews: bool,
}

impl Session {
    /// As part of the line that says who we are.
    pub fn words(&self) -> String {
        match self.left {
            Some(left) => {
                format!(", session {} left{}", spoken(left), if self.renews { ", renews itself" } else { "" })
            }
            None if self.renews => String::new(),
            None => ", a session whose end is not known".into(),
        }
    }

    /// What is to be known before a run begins with them.
    pub fn ends(&self) -> Option<String> {
        match self {
            Session { renews: true, .. } => None,
            Session { left: Some(left), .. } => {
                Some(format!("the credentials end in {} and cannot renew themselves", spoken(*left)))
            }
            Session { left: None, .. } => Some(
                "the credentials are a session that cannot renew itself and whose end is not known: set \
                 AWS_CREDENTIAL_EXPIRATION, or use a profile, so that it cannot end before users could be back"
                    .into(),
            ),
        }
    }
}

fn left(end: Timestamp) -> Duration {
    Duration::try_from(end.duration_since(SystemClock.now())).unwrap_or_default()
}

/// The timeouts of one attempt.
pub fn within(time: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(time).build()
}

/// Writes down every attempt of one operation, with its request id and time. The SDK's own word for an operation is only
/// the last attempt.
#[derive(Clone, Debug, Default)]
pub struct Attempts(Arc<Mutex<Vec<Attempt>>>);

#[derive(Clone, Debug)]
struct Attempt {
    begun: Duration,
    ended: Option<Duration>,
    request_id: Option<String>,
    status: Option<u16>,
}

impl Attempts {
    fn last(&self, change: impl FnOnce(&mut Vec<Attempt>)) {
        change(&mut self.0.lock().expect("BUG: nobody panics while holding the attempts"));
    }

    /// The attempts so far as calls. `code` is the end of the last one; earlier ones are known by their status only.
    pub fn calls(&self, action: &str, code: &str) -> Vec<Call> {
        let attempts = self.0.lock().expect("BUG: nobody panics while holding the attempts");
        let count = attempts.len();
        let of = |n: usize, attempt: &Attempt| Call {
            action: action.into(),
            request_id: attempt.request_id.clone(),
            code: match attempt.status {
                _ if n + 1 == count => code.into(),
                Some(status) => format!("HTTP {status}"),
                None => "no answer".into(),
            },
            time: attempt.ended.unwrap_or_else(|| SystemClock.elapsed()).saturating_sub(attempt.begun),
        };
        attempts.iter().enumerate().map(|(n, attempt)| of(n, attempt)).collect()
    }

    /// A remark for people when it took more than one attempt: repeats are never silent.
    pub fn remark(&self, action: &str) -> Option<String> {
        let calls = self.calls(action, "ok");
        let [first @ .., _] = &calls[..] else { return None };
        let codes: Vec<&str> = first.iter().map(|c| c.code.as_str()).collect();
        (!first.is_empty()).then(|| format!("{action} took {} attempts (before: {})", calls.len(), codes.join(", ")))
    }
}

impl Intercept for Attempts {
    fn name(&self) -> &'static str {
        "attempts"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let begun = SystemClock.elapsed();
        self.last(|all| all.push(Attempt { begun, ended: None, request_id: None, status: None }));
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let now = SystemClock.elapsed();
        let response = context.response();
        self.last(|all| {
            if let Some(attempt) = all.last_mut().filter(|a| a.ended.is_none()) {
                attempt.ended = Some(now);
                attempt.status = response.map(|r| r.status().as_u16());
                attempt.request_id = response.and_then(|r| r.headers().get("x-amzn-requestid")).map(String::from);
            }
        });
        Ok(())
    }
}

/// What the SDK would take by itself, proxies of the environment included, with the cryptography of everything else here. No proxy
/// stands between this machine and itself. A bundle of certificates stands in place of the system's, as for every AWS tool; one that
/// cannot be read trusts nobody.
pub fn http_client(access: &AwsAccess) -> SharedHttpClient {
    let loopback = |endpoint: &String| ["//127.", "//localhost", "//[::1]"].iter().any(|h| endpoint.contains(h));
    let here = access.endpoint.as_ref().is_some_and(loopback);
    let bundle = access.bundle.clone();
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = ConnectorBuilder::default().tls_provider(Provider::Rustls(CryptoMode::Ring));
        if let Some(bundle) = &bundle {
            let trust = bundle.iter().fold(TrustStore::empty(), |trust, pem| trust.with_pem_certificate(pem.clone()));
            let context = TlsContext::builder().with_trust_store(trust).build();
            connector.set_tls_context(context.unwrap_or_else(|e| panic!("BUG: a context of certificates alone: {e}")));
        }
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector.set_proxy_config(Some(if here { ProxyConfig::disabled() } else { ProxyConfig::from_env() }));
        connector.build()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words are the SDK's own, as it said them for profiles of each kind.
    #[test]
    fn the_way_to_sign_in_is_that_of_the_profile_or_of_the_build() {
        let access = AwsAccess { profile: Some("p".into()), ..AwsAccess::default() };
        let aws = Aws::new("us-east-1", &access);
        for (said, command) in [
            ("the SSO session has expired or is otherwise invalid", "aws sso login --profile p"),
            ("no login session: sign in again", "aws login --profile p"),
            (
                "This behavior requires following cargo feature(s) enabled: sso.",
                "cargo install --locked --path CHECKOUT --features full",
            ),
            (
                "This behavior requires following cargo feature(s) enabled: credentials-login.",
                "cargo install --locked --path CHECKOUT --features full",
            ),
        ] {
            assert_eq!(aws.sign_in(said), command, "{said}");
        }
    }
}
