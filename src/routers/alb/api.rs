//! The provider's API as one route asks it: one client for all its reads, and what an error means. Nothing is decided here.

use std::cell::RefCell;

use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::config::http::HttpResponse;
use aws_sdk_elasticloadbalancingv2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_elasticloadbalancingv2::types::TargetGroup;

use super::errors;
use crate::routers::aws::{Attempts, Aws, Question, READ_WITHIN};
use crate::routers::{AwsAccess, RouterError, Trouble};

/// One region of the provider.
pub struct Api {
    pub aws: Aws,
    /// One client, so that calls share their connections.
    client: RefCell<Option<Client>>,
}

impl Api {
    pub fn new(region: &str, access: &AwsAccess) -> Self {
        Api { aws: Aws::new(region, access), client: RefCell::default() }
    }

    /// The client that reads: it repeats, within bounds.
    pub async fn reads(&self) -> Client {
        if let Some(client) = self.client.borrow().as_ref() {
            return client.clone();
        }
        let client = Client::new(&self.aws.config().await);
        self.client.borrow_mut().get_or_insert(client).clone()
    }

    /// What an error means. Credentials that were not taken are looked up anew at the next call.
    pub fn explain<E>(&self, asked: Question<'_>, attempts: &Attempts, error: &SdkError<E, HttpResponse>) -> RouterError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let error = errors::explain(&self.aws, asked, attempts, error);
        if error.kind == Trouble::NoCredentials {
            self.aws.forget();
            *self.client.borrow_mut() = None;
        }
        error
    }

    /// What an error of a read means.
    pub fn unread<E>(&self, action: &str, place: &str, error: &SdkError<E, HttpResponse>) -> RouterError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let asked = Question { action, place, writes: false, within: READ_WITHIN };
        self.explain(asked, &Attempts::default(), error)
    }

    /// Every target group of the region, to the last page.
    pub async fn target_groups(&self) -> Result<Vec<TargetGroup>, RouterError> {
        let mut pages = self.reads().await.describe_target_groups().into_paginator().items().send();
        let mut groups = Vec::new();
        while let Some(group) = pages.next().await {
            groups.push(group.map_err(|e| self.unread("DescribeTargetGroups", "*", &e))?);
        }
        Ok(groups)
    }
}
