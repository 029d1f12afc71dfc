//! What a drain does beside waiting, each only where the runbook declares it: it takes the stack from its load balancer, asks
//! clients to reconnect, cuts what is left.
//!
//! Each may be done twice: a drain that was cut off is begun again.

use super::{Draining, TIMEOUT};
use crate::run::{Cause, Evidence, Outcome, Reaction};
use crate::scalar::counted;
use crate::steps::{called, command};
use crate::world::{Request, Scribe, World, address};

impl Draining {
    /// Has the stack fail its readiness. That it cannot says nothing against the other side, so users stay where they are.
    pub(super) async fn take_away(&self, world: &World, scribe: &dyn Scribe) -> Result<(), Outcome> {
        let Some(unready) = &self.drain.unready else { return Ok(()) };
        let stack = self.drain.stack;
        for (name, route) in &world.routes {
            let why = match route.read().await {
                Ok(reading) if reading.split.weight(stack) == 0 => continue,
                Ok(reading) => {
                    format!("{name} reads {}, so {stack} still has users and is not made unready", reading.split)
                }
                Err(error) => {
                    format!("whether {stack} still has users is not known ({error}), so it is not made unready")
                }
            };
            return Err(Outcome::failed(Cause::Action, why).wanting(Reaction::Hold));
        }
        match command::perform(&self.id, unready, world, scribe).await {
            Outcome::Done { .. } => Ok(()),
            outcome => {
                let line = format!("{stack} is not drained: {}", outcome.line());
                Err(Outcome::failed(Cause::Action, line).wanting(Reaction::Hold))
            }
        }
    }

    /// Asks every process to have its clients connect anew. How many were asked, where all of them say so. One that does not take
    /// it keeps its connections, which the drain counts.
    pub(super) async fn ask_to_reconnect(&self, world: &World, scribe: &dyn Scribe) -> Option<u64> {
        let ask = self.drain.reconnect.as_ref()?;
        let over = ask.over.time.as_secs_f64();
        let mut asked = Some(0);
        for url in &self.urls {
            let request = Request {
                method: "POST",
                headers: vec![("content-type".into(), "application/json".into())],
                body: serde_json::json!({ "over_s": over }).to_string().into_bytes(),
                ..Request::get(address(&world.secrets.resolve(url), &ask.path), TIMEOUT)
            };
            let answer = world.web.exchange(request).await;
            let told = match &answer {
                Ok(answer) if (200..300).contains(&answer.status) && !answer.says_no() => {
                    let body = serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap_or_default();
                    let count = body["asked"].as_u64();
                    asked = asked.zip(count).map(|(sum, count)| sum + count);
                    let how_many = count.map_or("its clients".into(), |n| counted(n as usize, "client"));
                    format!("{url} asks {how_many} to reconnect over {}", ask.over)
                }
                Ok(answer) => {
                    asked = None;
                    format!("{url} does not ask its clients to reconnect: `{}` answers {}", ask.path, answer.status)
                }
                Err(error) => {
                    asked = None;
                    format!("{url} does not ask its clients to reconnect: {}", world.secrets.mask(&error.what))
                }
            };
            scribe.observed(Evidence::Note { line: told });
        }
        asked
    }

    /// Has every route cut what it still holds to the stack.
    pub(super) async fn cut(&self, world: &World, scribe: &dyn Scribe) -> Result<u64, String> {
        let mut cut = 0;
        for (name, route) in world.routes.iter().filter(|(_, route)| route.cuts().is_ok()) {
            let answer = route.cut(self.drain.stack).await;
            called(scribe, name, answer.as_ref().map_or_else(|error| &error.calls, |ended| &ended.calls));
            cut += answer.map_err(|error| format!("what `{name}` holds could not be cut: {error}"))?.connections;
        }
        Ok(cut)
    }
}
