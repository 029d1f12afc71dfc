//! The calls of Route 53: records are listed, a batch is sent once, and a change is asked after until every server of theirs has it.

use std::error::Error;
use std::time::Duration;

use aws_sdk_route53::config::http::HttpResponse;
use aws_sdk_route53::config::retry::RetryConfig;
use aws_sdk_route53::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_route53::types::{ChangeBatch, ChangeStatus, ResourceRecordSet, RrType};
use aws_sdk_route53::{Client, config};

use super::Route53;
use super::errors::{API, explain, not_as_found};
use super::records::{Found, beside, plain};
use crate::clock::{Clock, SystemClock};
use crate::routers::aws::{Attempts, Failure, Question, READ_WITHIN, within};
use crate::routers::{Call, RouterError, Trouble};

const CHANGE: &str = "ChangeResourceRecordSets";
/// The first pause between two questions after a change, and the longest: the whole account has five requests a second.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(4)];

/// Where a listing begins.
struct From {
    name: String,
    kind: Option<RrType>,
    identifier: Option<String>,
}

/// What came of a batch.
pub enum Sent {
    Taken(Vec<Call>),
    /// Something is not as it was found: nothing was written.
    Otherwise(RouterError),
}

impl Route53 {
    /// The client that reads: it repeats, within bounds.
    pub(super) async fn client(&self) -> Client {
        if let Some(client) = self.client.borrow().as_ref() {
            return client.clone();
        }
        let client = Client::new(&self.aws.config().await);
        self.client.borrow_mut().get_or_insert(client).clone()
    }

    pub(super) fn zone(&self) -> String {
        format!("hosted zone {}", self.settings.zone)
    }

    /// Says what an error is. Credentials that were not taken are looked up anew at the next call.
    pub(super) fn explain<E>(
        &self,
        asked: Question<'_>,
        attempts: &Attempts,
        error: &SdkError<E, HttpResponse>,
    ) -> (RouterError, String)
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let failure = Failure::of(&API, error, asked.within);
        let error = explain(&self.aws, asked, attempts, &failure);
        if error.kind == Trouble::NoCredentials {
            self.aws.forget();
            *self.client.borrow_mut() = None;
        }
        (error, failure.code)
    }

    /// The records as Route 53 holds them, also where its servers do not have all of it yet.
    pub(super) async fn look(&self) -> Result<Found, RouterError> {
        let found = Found::among(&self.listed().await?, &self.settings)?;
        *self.looked.borrow_mut() = Some((SystemClock.elapsed(), found.clone()));
        Ok(found)
    }

    /// Everything at the record's name and at that of the TXT. Both mostly stand on one page.
    async fn listed(&self) -> Result<Vec<ResourceRecordSet>, RouterError> {
        let (own, beside) = (plain(&self.settings.name), beside(&self.settings));
        let mut all: Vec<ResourceRecordSet> = Vec::new();
        let mut from = From { name: own.clone(), kind: None, identifier: None };
        let mut jumped = false;
        loop {
            let (page, next) = self.page(&from).await?;
            all.extend(page);
            let Some(next) = next else { return Ok(all) };
            let name = plain(&next.name);
            if name != own && name != beside {
                if jumped || all.iter().any(|record| plain(record.name()) == beside) {
                    return Ok(all);
                }
                jumped = true;
                from = From { name: beside.clone(), kind: Some(RrType::Txt), identifier: None };
            } else {
                from = next;
            }
        }
    }

    /// A page from that name and type on.
    pub(super) async fn page_at(&self, name: &str, kind: RrType) -> Result<Vec<ResourceRecordSet>, RouterError> {
        let from = From { name: name.into(), kind: Some(kind), identifier: None };
        self.page(&from).await.map(|(page, _)| page)
    }

    async fn page(&self, from: &From) -> Result<(Vec<ResourceRecordSet>, Option<From>), RouterError> {
        let (client, attempts, place) = (self.client().await, Attempts::default(), self.zone());
        let asked = client
            .list_resource_record_sets()
            .hosted_zone_id(&self.settings.zone)
            .start_record_name(&from.name)
            .set_start_record_type(from.kind.clone())
            .set_start_record_identifier(from.identifier.clone());
        let action = "ListResourceRecordSets";
        let answer = asked.customize().interceptor(attempts.clone()).send().await.map_err(|error| {
            self.explain(Question { action, place: &place, writes: false, within: READ_WITHIN }, &attempts, &error).0
        })?;
        self.repeats.borrow_mut().extend(attempts.remark(action));
        let next = match answer.next_record_name {
            Some(name) if answer.is_truncated => {
                Some(From { name, kind: answer.next_record_type, identifier: answer.next_record_identifier })
            }
            _ => None,
        };
        Ok((answer.resource_record_sets, next))
    }

    /// Sends a batch, once.
    pub(super) async fn send(&self, batch: Result<ChangeBatch, BuildError>) -> Result<Sent, RouterError> {
        let batch = batch.map_err(|error| {
            let what = format!("a change of {} cannot be written: {error}", self.settings.shown());
            RouterError::new(Trouble::Invalid, what)
        })?;
        let (client, attempts, place) = (self.client().await, Attempts::default(), self.zone());
        let once =
            config::Builder::new().retry_config(RetryConfig::disabled()).timeout_config(within(self.write_within));
        let asked = client.change_resource_record_sets().hosted_zone_id(&self.settings.zone).change_batch(batch);
        match asked.customize().config_override(once).interceptor(attempts.clone()).send().await {
            Ok(answer) => {
                *self.pending.borrow_mut() = answer.change_info.map(|info| info.id);
                Ok(Sent::Taken(attempts.calls(CHANGE, "ok")))
            }
            Err(error) => {
                let asked = Question { action: CHANGE, place: &place, writes: true, within: self.write_within };
                let (error, code) = self.explain(asked, &attempts, &error);
                if not_as_found(&error, &code) { Ok(Sent::Otherwise(error)) } else { Err(error) }
            }
        }
    }

    /// Waits until every server of Route 53 has the last change of this process; nothing, where that is known.
    pub(super) async fn in_sync(&self) -> Result<(), RouterError> {
        let Some(id) = self.pending.borrow().clone() else { return Ok(()) };
        let begun = SystemClock.elapsed();
        let mut pause = PAUSES[0];
        loop {
            let said = match self.status(&id).await {
                Ok(ChangeStatus::Insync) => {
                    *self.pending.borrow_mut() = None;
                    return Ok(());
                }
                Ok(status) => format!("still {}", status.as_str()),
                Err(error) if error.passing() => error.what,
                Err(error) => return Err(RouterError { moved: true, ..error }),
            };
            let took = SystemClock.elapsed().saturating_sub(begun);
            if took >= self.in_sync_within {
                let what = format!(
                    "the change of {} is written, and after {} s not every server of Route 53 is known to have it: {id} is {said}",
                    self.settings.shown(),
                    took.as_secs()
                );
                let asked = format!("aws route53 get-change --id {}", crate::child::quoted(&id));
                let error = RouterError::new(Trouble::Unreachable, what).cure(format!("`{asked}` says when they have"));
                return Err(RouterError { moved: true, ..error });
            }
            SystemClock.sleep(pause).await;
            pause = (pause * 2).min(PAUSES[1]);
        }
    }

    async fn status(&self, id: &str) -> Result<ChangeStatus, RouterError> {
        let (client, attempts) = (self.client().await, Attempts::default());
        let asked = client.get_change().id(id).customize().interceptor(attempts.clone()).send().await;
        let answer = asked.map_err(|error| {
            self.explain(
                Question { action: "GetChange", place: id, writes: false, within: READ_WITHIN },
                &attempts,
                &error,
            )
            .0
        })?;
        Ok(answer.change_info.map_or(ChangeStatus::Pending, |info| info.status))
    }
}
