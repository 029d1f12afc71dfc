//! Updates: one message that changes the record and the TXT beside it, or neither, and a look at every server after it.

use std::time::Duration;

use futures_util::future::join_all;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::{RData, RecordType};

use super::Dns;
use super::errors::refused;
use super::generation::{Generation, Longer, word};
use super::message::{Answered, Update, shown};
use super::record::{Found, listed, reached, same};
use super::server::Server;
use crate::clock::{Clock, SystemClock};
use crate::routers::{Call, RouterError, Trouble};

/// How long every authoritative server may take to have an update. BIND tells its secondaries after up to 5 s (`notify-delay`).
const SEEN_WITHIN: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// What is to stand there.
pub struct Wanted<'a> {
    pub action: &'static str,
    pub data: &'a [RData],
    pub ttl: u32,
    pub longer: Option<Longer>,
}

impl Dns {
    /// Sends it once, if everything is still as it was found, and waits until every authoritative server has it.
    pub(super) async fn update(&self, now: &Found, wanted: &Wanted<'_>) -> Result<Vec<Call>, RouterError> {
        let (place, primary) = (&self.place, self.primary());
        let generation = Generation::after(now.generation().as_ref(), word()?, wanted.longer);
        let beside = [RData::TXT(TXT::new(vec![generation.text()]))];
        let update = Update::new(&place.zone)
            .only_if(&place.name, place.kind, &now.data)
            .only_if(&place.beside, RecordType::TXT, &now.beside)
            .replace(&place.name, place.kind, wanted.ttl, wanted.data)
            .replace(&place.beside, RecordType::TXT, wanted.ttl, &beside);
        let begun = SystemClock.elapsed();
        let answer = self.sent(update).await;
        let call = |code: &str| Call {
            action: wanted.action.into(),
            request_id: Some(format!("gen={} by={}", generation.number, generation.by)),
            code: code.into(),
            time: SystemClock.elapsed().saturating_sub(begun),
        };
        let answered = match answer {
            Ok(answered) => answered,
            Err(error) if error.moved => return Err(RouterError { calls: vec![call("no answer")], ..error }),
            Err(error) => return Err(error),
        };
        if answered == Answered::Proven(ResponseCode::NoError) {
            let calls = vec![call("ok")];
            let should = Found { serial: now.serial, data: wanted.data.into(), ttl: wanted.ttl, beside: beside.into() };
            return match self.everywhere(now, &should).await {
                Ok(()) => Ok(calls),
                Err(error) => Err(RouterError { calls, ..error }),
            };
        }
        let code = match answered {
            Answered::Proven(code) => shown(code),
            Answered::Unsigned(_) => "NOTAUTH".into(),
        };
        let error = match refused(&self.settings, place, primary, answered) {
            Some(error) => error,
            None => self.changed(now, &code).await?,
        };
        Err(RouterError { calls: vec![call(&code)], ..error })
    }

    /// Somebody was there between the look and the update.
    async fn changed(&self, now: &Found, code: &str) -> Result<RouterError, RouterError> {
        let found = self.look(self.primary()).await?;
        let split = self.split(self.primary(), &found)?;
        let what = format!(
            "{} refuses the update ({code}): somebody else changed {} meanwhile, from {} to {}; nothing was written",
            self.primary(),
            self.place.shown(),
            listed(&now.data),
            listed(&found.data)
        );
        // The same content with another TTL or TXT is no other split: it is looked at anew and tried again.
        let kind = if same(&found.data, &now.data) { Trouble::NotNow } else { Trouble::Drift { found: split } };
        Ok(RouterError::new(kind, what))
    }

    /// Signs an update and sends it to the primary, once.
    pub(super) async fn sent(&self, update: Update) -> Result<Answered, RouterError> {
        let (primary, place) = (self.primary(), self.place.shown());
        let key = self.key.as_ref().ok_or_else(|| {
            let what = format!("the secret of the key `{}` was not looked up", self.settings.key.name);
            RouterError::new(Trouble::NoCredentials, what)
        })?;
        let sent = update.signed(key, Self::now()).map_err(|why| {
            RouterError::new(Trouble::Invalid, format!("an update of {place} cannot be written: {why}"))
        })?;
        let unanswered = |why: String, moved| RouterError {
            moved,
            ..RouterError::new(
                Trouble::Unreachable,
                format!("{primary} gives no answer to an update of {place}: {why}"),
            )
        };
        let bytes = primary.send(&sent.bytes).await.map_err(|silent| unanswered(silent.why, silent.sent))?;
        let cure = || {
            format!("the first of `servers` has to be the primary, and to know the key `{}`", self.settings.key.name)
        };
        sent.answer(&bytes).map_err(|why| unanswered(why, true).cure(cure()))
    }

    /// Waits until every authoritative server has what was written. The primary's NOERROR alone proves nothing: BIND answers so
    /// to what it drops.
    pub(super) async fn everywhere(&self, before: &Found, should: &Found) -> Result<(), RouterError> {
        let moved = |error| RouterError { moved: true, ..error };
        let primary = self.look(self.primary()).await.map_err(moved)?;
        if !primary.agrees(should) {
            let place = self.place.shown();
            let found = listed(&primary.data);
            if primary.agrees(before) {
                let what = format!(
                    "{} answers NOERROR to the update of {place} and changed nothing: it has {found}",
                    self.primary()
                );
                return Err(RouterError::new(Trouble::Invalid, what));
            }
            let what = format!(
                "{} took the update of {place}, and somebody else wrote over it: it has {found}",
                self.primary()
            );
            let kind = self.split(self.primary(), &primary).map_or(Trouble::Invalid, |found| Trouble::Drift { found });
            return Err(moved(RouterError::new(kind, what)));
        }
        let begun = SystemClock.elapsed();
        loop {
            let others =
                join_all(self.servers[1..].iter().map(|server| self.behind(server, should, primary.serial))).await;
            let behind: Vec<String> = others.into_iter().flatten().collect();
            if behind.is_empty() {
                return Ok(());
            }
            if SystemClock.elapsed().saturating_sub(begun) >= SEEN_WITHIN {
                let what = format!(
                    "{} has {} with serial {}, but after {} s not everybody: {}",
                    self.primary(),
                    listed(&primary.data),
                    primary.serial,
                    SEEN_WITHIN.as_secs(),
                    behind.join("; ")
                );
                return Err(moved(
                    RouterError::new(Trouble::Unreachable, what)
                        .cure("look at NOTIFY and zone transfers between the primary and that server"),
                ));
            }
            SystemClock.sleep(LOOK).await;
        }
    }

    /// Why a server does not have it yet.
    async fn behind(&self, server: &Server, should: &Found, serial: u32) -> Option<String> {
        match self.look(server).await {
            Ok(found) if found.agrees(should) && reached(found.serial, serial) => None,
            Ok(found) => Some(format!("{server} has {} with serial {}", listed(&found.data), found.serial)),
            Err(error) => Some(error.what),
        }
    }
}
