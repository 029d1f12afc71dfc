//! What lies behind the checks that failed: one line for each cause, found by what else failed and what did not.
//!
//! A bot with another signing secret fails a dozen checks, and so does one that reads the body before it verifies it. Where the
//! findings alone do not tell them apart, two more requests do.

use super::check::Finding;
use super::paths::Door;
use super::request::{Body, JSON};
use super::suite::Session;
use crate::run::Verdict;

/// From here on Bolt refuses what is signed.
const TOO_OLD: i64 = 300;

impl Session<'_> {
    /// The causes, the surest first; none where the findings speak for themselves.
    pub async fn causes(&self, findings: &[Finding]) -> Vec<String> {
        let all = |check: &str| findings.iter().filter(move |f| f.check == check).collect::<Vec<_>>();
        let failed = |check: &str| all(check).iter().any(|f| f.verdict != Verdict::Pass);
        let passed = |check: &str| !all(check).is_empty() && !failed(check);
        let refused = |check: &str| all(check).iter().any(|f| matches!(f.status, 401 | 403));
        let stack = self.suite.color;
        let signed = ["P3", "P5", "P6"];
        let mut causes = Vec::new();
        match () {
            () if refused("P1") || all("P1").is_empty() && signed.iter().any(|check| refused(check)) => {
                causes.push(self.refuses().await);
            }
            () if passed("P1") && signed.iter().all(|check| refused(check)) => causes.push(format!(
                "{stack} reads forms before it verifies them: events are taken, commands, buttons and modals refused. Verify the raw body"
            )),
            () => {}
        }
        // A yes where a no was wanted: what has no listener, or crashes, says nothing of signatures.
        let taken = |f: &&Finding| f.verdict != Verdict::Pass && (200..300).contains(&f.status);
        let [key, none, bytes] = ["N1", "N3", "N4"].map(|check| all(check).iter().any(taken));
        match (key, none, bytes) {
            (true, true, _) => causes.push(format!("{stack} verifies no signatures: anybody can post to it")),
            (true, false, _) => causes.push(format!("{stack} takes any signature: it looks whether there is one")),
            (false, false, true) => causes.push(format!(
                "{stack} verifies a body that it has read and written anew: changed bytes pass, and some of Slack's will not. Verify the raw body"
            )),
            _ => {}
        }
        if all("N2").iter().any(taken) && !key && !none {
            causes.push(format!("{stack} does not look at the timestamp: an old request can be sent again"));
        }
        for (check, door) in [("P1", Door::Events), ("P3", Door::Commands), ("P5", Door::Interactivity)] {
            let path = self.suite.paths.of(door);
            let nowhere = all(check).iter().any(|f| matches!(f.status, 404 | 405));
            // With the path well for one thing, what is missing is the listener of the other.
            if nowhere && (check == "P1" || passed("P1") && path != self.suite.paths.of(Door::Events)) {
                let name = door.name();
                causes
                    .push(format!("{stack} has nothing at `{path}`: set `slack.paths.{name}` to where it takes them"));
            }
        }
        if all("P2").iter().any(|f| matches!(f.status, 401 | 403)) && passed("P1") {
            causes.push(format!("{stack} wants `ssl_check` signed, and Slack does not sign it"));
        }
        if all("D11").iter().any(taken) {
            causes.push(format!(
                "{stack} drops what has `X-Slack-Retry-Num`: what the other stack dies with is lost. Tell deliveries apart by `event_id`"
            ));
        }
        causes
    }

    /// Why it refuses what is signed right: the clock and both probes are looked at before the secret is said to be another.
    async fn refuses(&self) -> String {
        let stack = self.suite.color;
        let mut skew = self.skew.get();
        // What is written anew comes out as these bytes again, and what is lost is nothing: both verify only where the secret is right.
        for (bytes, why) in [
            ("{}", "verifies a body that it has read and written anew"),
            ("", "verifies an empty body: something has read it before"),
        ] {
            let body = Body { door: Door::Events, kind: JSON, bytes: bytes.into() };
            let answer = match bytes {
                "" => {
                    // The signature is over nothing, and Slack's bytes go with it.
                    let mut request = self.signed(stack, &body, self.now());
                    request.body = self.suite.from.url_verification(&self.nonce()).bytes;
                    self.send(request).await
                }
                _ => self.send(self.signed(stack, &body, self.now())).await,
            };
            let Ok(answer) = answer else {
                return format!(
                    "{stack} refuses what is signed right, and then gave no answer: another signing secret, its clock, or a body that is read before it is verified"
                );
            };
            skew = skew.or(answer.date().map(|date| date.as_second() - self.now()));
            if let Some(skew) = skew.filter(|skew| skew.abs() >= TOO_OLD) {
                let (seconds, side) = (skew.abs(), if skew > 0 { "ahead of" } else { "behind" });
                return format!("the clock of {stack} is {seconds} s {side} ours: it refuses what is signed now");
            }
            if !matches!(answer.status, 401 | 403) {
                return format!(
                    "{stack} {why}: Slack's signature does not fit. Verify the raw body; the signing secret is right"
                );
            }
        }
        let clock = if skew.is_none() { ", or its clock is off: it does not say its time" } else { "" };
        format!("{stack} has another signing secret than `slack.signing_secret`{clock}")
    }
}
