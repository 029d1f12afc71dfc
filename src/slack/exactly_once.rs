//! D1, D2 and D3: the same signed bytes, sent to both stacks, are handled by exactly one of them.
//!
//! It is proven from outside, with plain HTTP: no access to the store is needed, and none is trusted.

use std::time::Duration;

use futures_util::future::join_all;

use super::check::{Finding, PAIRS};
use super::suite::{Answer, BAR, Session, in_time, silent};
use crate::plan::Color;

/// How long Slack waits. Eighty requests at once are more than it sends, so they have all of that time.
const END: Duration = Duration::from_secs(3);
/// Long enough for a claim to be done whose answer has left already.
const SOON: Duration = Duration::from_millis(500);

impl Session<'_> {
    /// D1, D2 and D3. One direction alone proves nothing: a stack that never answers passes it.
    pub(super) async fn exactly_once(&self) -> Vec<Finding> {
        let (this, other) = (self.suite.color, self.suite.color.other());
        let mut findings = vec![self.pair("D1", other, this).await, self.pair("D2", this, other).await];
        let races = join_all((0..PAIRS).map(|_| async {
            let (nonce, body) = self.command();
            let timestamp = self.now();
            let (one, two) = tokio::join!(
                self.send(self.signed(other, &body, timestamp)),
                self.send(self.signed(this, &body, timestamp))
            );
            let answered = |answer: &Answer, color| answer.as_ref().is_ok_and(|a| self.pong(a, &nonce, color).is_ok());
            let late = |answer: &Answer| answer.as_ref().is_ok_and(|a| a.time > END);
            let by = [answered(&one, other), answered(&two, this)];
            (u32::from(by[0]) + u32::from(by[1]), by[0] && late(&one) || by[1] && late(&two))
        }));
        let begun = self.world.clock.elapsed();
        let answers = races.await;
        let ms = self.world.clock.elapsed().saturating_sub(begun).as_millis() as u64;
        let count = |n: u32| answers.iter().filter(|a| a.0 == n).count();
        let (never, once, twice) = (count(0), count(1), count(2));
        let late = answers.iter().filter(|a| a.1).count();
        let mut line = format!("{PAIRS} pairs at once: {once} handled once, {twice} twice, {never} never");
        if late > 0 {
            line += &format!("; {late} answered later than Slack waits");
        }
        findings.push(Finding::new("D3", once == answers.len() && late == 0, ms, line));
        findings
    }

    /// The same bytes to one stack, then to the other: the first handles them, the second only says that it has them.
    async fn pair(&self, check: &str, first: Color, second: Color) -> Finding {
        let (nonce, body) = self.command();
        let timestamp = self.now();
        let one = match self.send(self.signed(first, &body, timestamp)).await {
            Ok(one) => one,
            Err(e) => return silent(check, &e),
        };
        let mut second_answer = self.send(self.signed(second, &body, timestamp)).await;
        if second_answer.as_ref().is_ok_and(|answer| answer.status >= 500) {
            // It says that somebody is at it, and that may be so: an answer can leave before its claim is done.
            self.world.clock.sleep(SOON).await;
            second_answer = self.send(self.signed(second, &body, timestamp)).await;
        }
        let two = match second_answer {
            Ok(two) => two,
            Err(e) => return silent(check, &e),
        };
        let ms = (one.time + two.time).as_millis() as u64;
        if let Err(why) = self.pong(&one, &nonce, first) {
            let line = format!("{first}, asked first, did not handle it: {why}");
            return Finding { status: one.status, ..Finding::new(check, false, ms, line) };
        }
        let (pass, line) = match (two.status, two.body.is_empty()) {
            (200, true) => (true, format!("{first} handled it, {second} did not repeat it")),
            (200, false) => (false, format!("{first} and {second} both handled the same request")),
            (status, _) => (false, format!("{second} answers {status} to a request {first} has handled")),
        };
        if pass && one.time > BAR {
            return in_time(check, true, &one, &line);
        }
        Finding { status: two.status, ..Finding::new(check, pass, ms, line) }
    }
}
