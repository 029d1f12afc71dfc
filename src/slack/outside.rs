//! R1, R2 and H1: what cannot be seen by asking one stack for one answer. The way in through the public address, the way
//! back to a `response_url`, and the listeners of both stacks side by side.

use super::check::Finding;
use super::handlers::Handlers;
use super::request;
use super::suite::{BAR, Session, in_time, silent};
use crate::plan::Color;
use crate::scalar::spoken;
use crate::world::{WebError, address};

impl Session<'_> {
    /// R1: the same through the public address. A proxy that writes the body anew breaks the signature.
    pub(super) async fn public(&self) -> Finding {
        let public = self.suite.public.as_ref().expect("BUG: `facts` asks for the public address");
        let (nonce, body) = self.command();
        let url = address(&self.world.secrets.resolve(&public.url), self.suite.paths.of(body.door));
        let mut request = request::signed(&url, &body, &self.secret, self.now(), self.suite.within)
            .with(&public.headers, &self.world.secrets);
        request.fresh = true;
        match self.send(request).await {
            Err(e) => silent("R1", &e),
            Ok(answer) => match self.pong(&answer, &nonce, self.suite.color) {
                Ok(()) => in_time("R1", true, &answer, "answered through the public address"),
                Err(why) => in_time("R1", false, &answer, &format!("through the public address: {why}")),
            },
        }
    }

    /// R2: what the bot does after its ack arrives, with the right content, at an address of ours.
    pub(super) async fn response_url(&self) -> Finding {
        let ours = self.suite.response_url.as_ref().expect("BUG: `facts` asks for an address of ours");
        let inbox = match self.world.web.listen(&ours.listen).await {
            Ok(inbox) => inbox,
            Err(e) => return silent("R2", &e),
        };
        let base = ours.url.clone().unwrap_or_else(|| format!("http://{}", inbox.address()));
        let nonce = self.nonce();
        let body = self.suite.from.slash_command(&nonce, &nonce, Some(&address(&base, &format!("/{nonce}"))));
        let begun = self.world.clock.elapsed();
        let answer = match self.send(self.signed(self.suite.color, &body, self.now())).await {
            Ok(answer) => answer,
            Err(e) => return silent("R2", &e),
        };
        if let Err(why) = self.pong(&answer, &nonce, self.suite.color) {
            return in_time("R2", false, &answer, &format!("`/bgctl-smoke`: {why}"));
        }
        if answer.time > BAR {
            return in_time("R2", true, &answer, "`/bgctl-smoke` answered");
        }
        let posted = tokio::select! {
            posted = inbox.next() => posted,
            () = self.world.clock.sleep(self.suite.within) => None,
        };
        let ms = self.world.clock.elapsed().saturating_sub(begun).as_millis() as u64;
        let (pass, line) = match posted {
            None => (false, format!("nothing was posted to the `response_url` within {}", spoken(self.suite.within))),
            Some((path, body)) if path == format!("/{nonce}") && String::from_utf8_lossy(&body).contains(&nonce) => {
                (true, "the `response_url` was posted to, with the nonce".to_string())
            }
            Some(_) => (false, "something other than the answer was posted to the `response_url`".to_string()),
        };
        Finding::new("R2", pass, ms, line)
    }

    /// H1: what the other stack handles, this one handles too.
    pub(super) async fn handlers(&self) -> Finding {
        let (this, other) = (self.suite.color, self.suite.color.other());
        let read = async |color: Color| {
            self.spend()?;
            let read = Handlers::read(&*self.world.web, self.page(color, &self.suite.handlers_path)).await;
            read.map_err(|what| WebError { what: format!("{color}: {what}"), timed_out: false })
        };
        let begun = self.world.clock.elapsed();
        let (theirs, ours) = match (read(other).await, read(this).await) {
            (Ok(theirs), Ok(ours)) => (theirs, ours),
            (Err(e), _) | (_, Err(e)) => return silent("H1", &e),
        };
        let ms = self.world.clock.elapsed().saturating_sub(begun).as_millis() as u64;
        let lacking = theirs.lacking(&ours, &self.suite.retired);
        let line = match lacking.len() {
            0 => format!("all {} listeners of {other} are on {this} too", theirs.count()),
            _ => format!("{this} lacks what {other} has: {}", lacking.join(", ")),
        };
        Finding::new("H1", lacking.is_empty(), ms, line)
    }
}
