//! A request as an approver sees it, made from the very bytes they sign and nothing else.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::plan::{Color, Split, sha256};
use crate::secret::visible;

/// The longest request that is read.
pub const LONGEST: usize = 64 * 1024;

/// A request that was read.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The exact bytes: what is signed.
    pub text: String,
    pub run: String,
    pub step: String,
    /// Unix seconds.
    pub expires: i64,
    /// What has to be typed to agree: the percentage, or the step's name.
    pub word: String,
    value: Value,
    moves: Option<(String, Split, Split)>,
}

impl Shown {
    /// Reads a request. Anything else is refused, also a request with something around it: what is signed has to be what is
    /// shown.
    pub fn read(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("it has {} bytes; a request has at most {LONGEST}", text.len()));
        }
        let value: Value = serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
        if value["_type"] != "bgctl.dev/approval-request/v1" {
            return Err("it does not say that it is a request for approval (`_type`)".into());
        }
        if serde_json::to_string(&value).ok().as_deref() != Some(text) {
            // Two members of one name, blanks, another order: two readers could see two things in it.
            return Err(
                "it is not written as bgctl writes requests, so it may say one thing here and another there".into()
            );
        }
        let word = |name: &str| {
            let word = value[name].as_str().filter(|word| !word.is_empty());
            word.map(String::from).ok_or_else(|| format!("it lacks `{name}`"))
        };
        for name in ["service", "environment", "plan_sha256", "step_sha256", "requested_by", "nonce", "role", "summary"]
        {
            word(name)?;
        }
        let (run, step) = (word("run")?, word("step")?);
        let expires = value["expires"].as_i64().ok_or("it lacks `expires`")?;
        let moves = match value.get("params") {
            None => None,
            Some(params) => Some(moves(params).ok_or("its `params` are no change of weights")?),
        };
        let typed = moves.as_ref().map_or_else(|| step.clone(), |(_, _, after)| percent(*after));
        Ok(Shown { text: text.into(), run, step, expires, word: typed, moves, value })
    }

    pub fn sha256(&self) -> String {
        sha256(self.text.as_bytes())
    }

    fn said(&self, name: &str) -> String {
        visible(self.value[name].as_str().unwrap_or_default()).to_string()
    }

    /// What it asks for, who asks, on what grounds, and what follows.
    pub fn lines(&self, now: Timestamp) -> Vec<String> {
        let mut lines = Vec::new();
        let mut row = |head: &str, text: String| lines.push(format!("  {head:<11} {text}"));
        row("step", format!("{}   of run {}", visible(&self.step), visible(&self.run)));
        row("service", format!("{} · {}", self.said("service"), self.said("environment")));
        if let Some((route, before, after)) = &self.moves {
            row("moves", format!("{}: {before} → {after}", visible(route)));
            row("then", consequence(*before, *after));
        }
        row("what", self.said("summary"));
        match self.value["measured"].as_array() {
            Some(measured) => {
                for line in measured {
                    row("measured", visible(line.as_str().unwrap_or_default()).to_string());
                }
            }
            None => row("measured", "nothing yet: it is asked before the steps that measure".into()),
        }
        let trigger = match self.value["trigger"].as_str() {
            Some(login) => format!("; the job was started by {}", visible(login)),
            None => String::new(),
        };
        row("asked by", format!("{}{trigger}", self.said("requested_by")));
        let quorum = self.value["quorum"].as_u64().unwrap_or(1);
        let evidence = self.value["evidence"].as_str().unwrap_or("signed");
        row("needs", format!("{quorum} of {}, {} or better", self.said("role"), visible(evidence)));
        if let Some(back) = self.value["covers"]["rollback"].as_array() {
            let steps: Vec<&str> = back.iter().filter_map(|step| step["summary"].as_str()).collect();
            row(
                "also agrees",
                format!("to the rollback, should bgctl begin it automatically: {}", visible(&steps.join("; "))),
            );
        }
        let until = Timestamp::from_second(self.expires).map_or("?".into(), |at| at.to_string());
        let left = match u64::try_from(self.expires.saturating_sub(now.as_second())) {
            Ok(left) => format!("in {}", crate::scalar::spoken(Duration::from_secs(left))),
            Err(_) => "already".into(),
        };
        row("expires", format!("{until}, {left}"));
        row(
            "unanswered",
            match self.value["at_expiry"].as_str() {
                Some("hold") => "users stay as they are".into(),
                Some("halt") => "everything stops and a person is paged".into(),
                _ => "back to BLUE 100, or the run stops if nobody has moved".into(),
            },
        );
        row("plan", format!("sha256 {}", self.said("plan_sha256")));
        row("request", format!("sha256 {}", self.sha256()));
        lines
    }
}

/// Green's share as it is typed: `50`, `0.1`.
/// What has to be typed to agree to this split: green's percentage.
pub(super) fn percent(after: Split) -> String {
    let share = after.share(Color::Green) * 100.0;
    if share.fract() == 0.0 { format!("{share:.0}") } else { format!("{share:.1}") }
}

fn consequence(before: Split, after: Split) -> String {
    let (from, to) = (before.share(Color::Green) * 100.0, after.share(Color::Green) * 100.0);
    let moved = (to - from).abs();
    let side = if to >= from { Color::Green } else { Color::Blue };
    match after.only() {
        Some(stack) => format!("{moved:.1}% of the users go to {side}; all users are on {stack} then"),
        None => format!("{moved:.1}% of the users go to {side}"),
    }
}

fn moves(params: &Value) -> Option<(String, Split, Split)> {
    let weight = |of: &Value, name: &str| u32::try_from(of[name].as_u64()?).ok();
    let split = |name: &str| {
        let of = &params[name];
        let (blue, green) = (weight(of, "blue")?, weight(of, "green")?);
        // Without any weight there is no share to type, and no router takes it.
        (blue > 0 || green > 0).then_some(Split { blue, green })
    };
    Some((params["route"].as_str()?.to_string(), split("before")?, split("after")?))
}
