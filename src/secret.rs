//! Secrets: values that cannot be printed by accident, and the mask that keeps them out of every text we write.

use std::collections::BTreeMap;
use std::fmt;

use zeroize::Zeroizing;

/// A secret value. It has no `Display`, and `Debug` shows three stars.
#[derive(Clone, Default)]
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
pub struct Secrets(BTreeMap<String, Secret>);

impl Secrets {
    pub fn new(values: BTreeMap<String, Secret>) -> Self {
        Secrets(values)
    }

    /// The text with every `${…}` reference replaced. Compile has made sure that all are known.
    pub fn resolve(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let Some(len) = rest[start..].find('}') else { break };
            let reference = &rest[start..=start + len];
            out.push_str(&rest[..start]);
            out.push_str(self.0.get(reference).map_or(reference, |s| s.expose()));
            rest = &rest[start + len + 1..];
        }
        out.push_str(rest);
        out
    }

    /// The text with every secret replaced by `[secret]`.
    pub fn mask(&self, text: &str) -> String {
        let mut out = text.to_string();
        for secret in self.0.values().filter(|s| s.expose().len() >= 6) {
            out = out.replace(secret.expose(), "[secret]");
        }
        out
    }
}
