//! Signatures (AWS Signature Version 4) for requests that are none of an SDK's: Prometheus as a managed service wants them. The
//! credentials are those that every AWS tool finds here.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::SystemTime;

use async_trait::async_trait;
use aws_sdk_elasticloadbalancingv2::config::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;

use crate::clock::Clock;
use crate::routers::AwsAccess;
use crate::routers::aws::Aws;
use crate::world::{Request, Signs};

/// The service's name in signatures: Amazon Managed Service for Prometheus.
const SERVICE: &str = "aps";

/// Signs with whatever credentials there are when a request is sent.
pub struct RequestSigner {
    access: AwsAccess,
    clock: Rc<dyn Clock>,
    regions: RefCell<BTreeMap<String, Rc<Aws>>>,
}

impl RequestSigner {
    pub fn new(access: &AwsAccess, clock: Rc<dyn Clock>) -> Self {
        RequestSigner { access: access.clone(), clock, regions: RefCell::default() }
    }
}

#[async_trait(?Send)]
impl Signs for RequestSigner {
    async fn signed(&self, region: &str, request: &Request) -> Result<Vec<(String, String)>, String> {
        self.access.usable()?;
        let aws = self
            .regions
            .borrow_mut()
            .entry(region.into())
            .or_insert_with(|| Rc::new(Aws::new(region, &self.access)))
            .clone();
        let none = || "no AWS credentials to sign the request with".to_string();
        let provider = aws.config().await.credentials_provider().ok_or_else(none)?;
        let credentials = provider.provide_credentials().await.map_err(|error| format!("{}: {error}", none()))?;
        let identity = credentials.into();
        let now = SystemTime::from(self.clock.now());
        let params = SigningParams::builder().identity(&identity).region(region).name(SERVICE).time(now);
        let params = params.settings(SigningSettings::default()).build().map_err(|error| error.to_string())?;
        let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let body = SignableBody::Bytes(&request.body);
        let signable =
            SignableRequest::new(request.method, &request.url, headers, body).map_err(|error| error.to_string())?;
        let (instructions, _) = sign(signable, &params.into()).map_err(|error| error.to_string())?.into_parts();
        Ok(instructions.headers().map(|(name, value)| (name.to_string(), value.to_string())).collect())
    }
}
