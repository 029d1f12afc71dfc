//! Secrets: values that cannot be printed by accident, and the mask that keeps them out of every text we write.
//!
//! A text is masked before it is shown, written or hashed, never after: what a signed log holds cannot be taken out of it.
//! [`mask`] knows the secrets of a run in every usual form, [`patterns`] recognises credentials nobody told us about, [`output`]
//! masks what programs print as it comes, and [`known`] stands in front of the process's own streams. The same scanner refuses
//! what stands in a file in clear. Nothing here reads the environment.
#![doc = include_str!("secrets.md")]

mod forms;
mod known;
mod lines;
mod looks;
mod mask;
mod names;
mod output;
mod patterns;
mod screen;
mod tag;
mod visible;
mod wraps;

pub use known::{Known, Masked};
pub use names::{beside, variable};
pub use output::Output;
pub use patterns::{Found, Reading, find};
pub use screen::Steers;
pub use tag::{TagKey, root};
pub use visible::{hidden, visible};

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;
use zeroize::Zeroizing;

use mask::Mask;

/// Secrets and forms shorter than this are not looked for: they would mask half of every text.
pub const LEAST: usize = 6;
/// What stands where a secret stood; with a key there is a tag in it.
const MASKED: &str = "[secret]";

/// A secret value. It has no `Display`, and `Debug` shows three stars.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Secret(Zeroizing::new(value.into()))
    }

    /// The value itself; the name says that the caller takes care.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The secrets of one run by reference (`${env:NAME}`), resolved once, before anything moves.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    values: BTreeMap<String, Secret>,
    /// Values whose name has another one now: they are masked all the same.
    former: Vec<(String, Secret)>,
    mask: Mask,
}

impl Secrets {
    pub fn new(values: BTreeMap<String, Secret>) -> Self {
        Self::of(values, Vec::new())
    }

    fn of(values: BTreeMap<String, Secret>, former: Vec<(String, Secret)>) -> Self {
        let mask = Mask::new(values.values().chain(former.iter().map(|(_, value)| value)).cloned());
        Secrets { values, former, mask }
    }

    /// Both together. A name of both stands for the second's value; the first's is masked as before.
    pub fn with(mut self, others: &Secrets) -> Self {
        for (name, value) in &others.values {
            match self.values.insert(name.clone(), value.clone()) {
                Some(before) if before != *value => self.former.push((name.clone(), before)),
                _ => {}
            }
        }
        self.former.extend(others.former.iter().cloned());
        self.former.sort_by(|(a, x), (b, y)| (a, x.expose()).cmp(&(b, y.expose())));
        self.former.dedup();
        Self::of(self.values, self.former)
    }

    /// The same secrets, with a tag in the place of each: equal tags stand for equal secrets, in the texts of one run.
    pub fn tagged(mut self, key: TagKey) -> Self {
        self.mask = self.mask.tagged(key);
        self
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The text with every `${…}` reference replaced. Compile has made sure that all are known.
    pub fn resolve(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let Some(len) = rest[start..].find('}') else { break };
            let reference = &rest[start..=start + len];
            out.push_str(&rest[..start]);
            out.push_str(self.values.get(reference).map_or(reference, |s| s.expose()));
            rest = &rest[start + len + 1..];
        }
        out.push_str(rest);
        out
    }

    /// The text without the secrets of this run, whichever usual form they take, and without what looks like a credential.
    pub fn mask(&self, text: &str) -> String {
        self.mask.all(text)
    }

    /// The text without the secrets of this run. For texts of ours, where a word about credentials is no credential.
    pub fn mask_known(&self, text: &str) -> String {
        self.mask.known(text)
    }

    /// Masks every text inside a value, except the texts that members of these names hold themselves: those a machine compares
    /// byte by byte. What stands deeper below such a member is masked like everything else.
    pub fn mask_value(&self, value: &mut Value, except: &[&str]) {
        match value {
            Value::String(text) => {
                let masked = self.mask(text);
                if masked != *text {
                    *text = masked;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.mask_value(item, except)),
            Value::Object(map) => {
                let flat = |value: &Value| match value {
                    Value::Array(items) => items.iter().all(Value::is_string),
                    value => !value.is_object(),
                };
                let kept = map.iter_mut().filter(|(name, value)| !(except.contains(&name.as_str()) && flat(value)));
                kept.for_each(|(_, value)| self.mask_value(value, except));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// A mask for what a program prints, as it comes.
    pub fn output(&self) -> Output {
        Output::new(self.mask.clone())
    }

    /// The names of secrets whose value stands in a text in clear: that text can be written nowhere without giving them away.
    pub fn clear_in(&self, text: &str) -> Vec<&str> {
        let stands = self.mask.stands(text);
        let names = self.values.iter().filter(|(_, value)| stands.contains(value)).map(|(name, _)| name.as_str());
        // A part of a value, by the name of the whole.
        names.map(|name| name.split('#').next().unwrap_or(name)).collect()
    }
}

/// The text with every character of what looks like a credential drawn as a star: for a line that a caret stands under, where
/// nothing may move.
pub fn starred(text: &str) -> String {
    patterns::replace(text, Reading::Settings, |found| "*".repeat(found.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_is_masked_inside_and_what_is_compared_stays() {
        let secrets = Secrets::new([("${env:A}".to_string(), Secret::new("hunter22"))].into());
        let of = |text: &str| {
            json!({
                "line": text, "deep": [{ "out": format!("{text}!") }], "sig": "hunter22", "n": 1,
                "outcome": { "is": "hunter22", "line": text },
            })
        };
        let mut value = of("hunter22");
        secrets.mask_value(&mut value, &["sig", "outcome", "is"]);
        let masked = of("[secret]");
        assert_eq!(value, masked);
        assert_eq!(secrets.clear_in("image: bot-hunter22"), ["${env:A}"]);
        assert_eq!(format!("{secrets:?}").matches("hunter22").count(), 0);
    }
}
