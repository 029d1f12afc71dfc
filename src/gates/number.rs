//! One number from any source, now: what checks and comparisons rest on.
//!
//! It is a finite number or the reason why there is none; what it means is for whoever asked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::server::Server;
use super::source;
use super::source::{About, Given};
use crate::diag::Mistake;
use crate::world::{Gap, World};

/// A number: where it comes from. Exactly one source is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Number {
    /// Where the numbers come from, under the key of its kind. The schema has a key for each row of [`source::KINDS`].
    #[serde(flatten)]
    #[schemars(skip)]
    pub source: Given,
    /// The Prometheus that is asked, where it is another one than the runbook's.
    #[serde(default)]
    pub url: Server,
}

impl Number {
    /// Everything that is wrong with it and can be seen without asking anybody, with places inside of it.
    pub fn check(&self) -> Vec<Mistake> {
        let settings = self.settings();
        match source::chosen(&settings) {
            Err(mistake) => vec![mistake],
            Ok((kind, own)) => {
                let inside = |m: Mistake| Mistake { at: format!("/{}{}", kind.name, m.at), ..m };
                (kind.check)(own).into_iter().map(inside).collect()
            }
        }
    }

    /// What is asked, in one line without secrets.
    pub fn question(&self) -> String {
        self.open().map_or_else(|e| e, |source| source.question())
    }

    /// Whether it is asked of each stack for itself.
    pub fn of_a_stack(&self) -> bool {
        self.open().is_ok_and(|source| source.of_a_stack())
    }

    /// Asks, once.
    pub async fn read(&self, world: &World, about: &About) -> Result<f64, Gap> {
        let source = self.open().map_err(Gap::Unknown)?;
        match source.read(world, about).await {
            Ok(reading) => Ok(reading.value),
            Err(gap) => Err(gap.masked(&world.secrets)),
        }
    }

    fn open(&self) -> Result<Box<dyn source::Source>, String> {
        let settings = self.settings();
        let (kind, own) = source::chosen(&settings).map_err(|m| m.message)?;
        (kind.open)(own, &self.url)
    }

    fn settings(&self) -> Value {
        serde_json::to_value(self).expect("BUG: a number is plain data")
    }
}
