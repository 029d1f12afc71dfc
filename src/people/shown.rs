//! A request as an approver sees it, made from the very bytes they sign and nothing else.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::plan::{Color, Split, sha256};
use crate::secret::visible;

/// The longest request that is read.
pub const LONGEST: usize = 64 * 1024;

/// The most characters of a value among those that decide.
const LONGEST_DECIDING: usize = 160;

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
        let mut sorted = value.clone();
        sorted.sort_all_objects();
        if serde_json::to_string(&sorted).ok().as_deref() != Some(text) {
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

    /// Everything that is agreed to beside the move itself: each setting, each gate, what was measured, the rollback that is
    /// agreed to with it. As long as it is.
    pub fn details(&self) -> Vec<Row> {
        let mut rows = vec![row("what", self.value["summary"].as_str().unwrap_or_default())];
        rows.extend(texts(&self.value["details"]).map(|text| row("setting", text)));
        rows.extend(texts(&self.value["measured"]).map(|text| row("measured", text)));
        for step in self.value["covers"]["rollback"].as_array().into_iter().flatten() {
            rows.push(row(
                "also agrees",
                &format!("to the rollback: {}", step["summary"].as_str().unwrap_or_default()),
            ));
            rows.extend(texts(&step["details"]).map(|text| row("setting", text)));
        }
        rows
    }

    /// What decides, together and no longer than a small screen: what it asks for, who asks, who has to agree, and what follows.
    pub fn decides(&self, now: Timestamp) -> Vec<Row> {
        let mut rows = Vec::new();
        let mut add = |head, text: &str| rows.push(row(head, &capped(text)));
        let said = |name: &str| self.value[name].as_str().unwrap_or_default();
        add("step", &format!("{}   of run {}", self.step, self.run));
        add("service", &format!("{} · {}", said("service"), said("environment")));
        match &self.moves {
            Some((route, before, after)) => {
                add("moves", &format!("{route}: {before} → {after}"));
                add("then", &consequence(*before, *after));
            }
            None => add("does", said("summary")),
        }
        if !self.value["measured"].is_array() {
            add("measured", "nothing yet: it is asked before the steps that measure");
        }
        if self.value["covers"].is_object() {
            add("also agrees", "to the rollback, should bgctl begin it automatically");
        }
        let trigger =
            self.value["trigger"].as_str().map_or(String::new(), |by| format!("; the job was started by {by}"));
        add("asked by", &format!("{}{trigger}", said("requested_by")));
        let quorum = self.value["quorum"].as_u64().unwrap_or(1);
        let evidence = self.value["evidence"].as_str().unwrap_or("signed");
        add("needs", &format!("{quorum} of {}, {evidence} or better", said("role")));
        let left = match u64::try_from(self.expires.saturating_sub(now.as_second())) {
            Ok(left) => format!("in {}", crate::scalar::spoken(Duration::from_secs(left))),
            Err(_) => "already".into(),
        };
        add("expires", &format!("{}, {left}", instant(self.expires)));
        if let Some(use_by) = self.value["use_by"].as_i64() {
            add("used until", &format!("{}: other steps come before it", instant(use_by)));
        }
        add(
            "unanswered",
            match self.value["at_expiry"].as_str() {
                Some("hold") => "users stay as they are",
                Some("halt") => "everything stops and a person is paged",
                _ => "back to BLUE 100, or the run stops if nobody has moved",
            },
        );
        add("plan", &format!("sha256 {}", said("plan_sha256")));
        add("request", &format!("sha256 {}", self.sha256()));
        rows
    }
}

/// A row of the card: its head, and a text in which nothing can act on a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub head: &'static str,
    pub text: String,
}

fn row(head: &'static str, text: &str) -> Row {
    Row { head, text: visible(text).into_owned() }
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Blanks that only push text about go; of what is left, as much as three lines of a small screen hold.
fn capped(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(LONGEST_DECIDING) {
        None => text,
        Some((at, _)) => format!("{}… ({} more characters)", &text[..at], text[at..].chars().count()),
    }
}

fn instant(second: i64) -> String {
    Timestamp::from_second(second).map_or("?".into(), |at| at.to_string())
}

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
