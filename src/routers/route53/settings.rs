//! The settings of a `route53` route: the hosted zone, the group of weighted records, and which of them is which side.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::weights::{self, HEAVIEST};
use crate::diag::{self, Mistake, Review, is_thing};
use crate::plan::Split;
use crate::routers::dns::settings::{Type, review_addresses, whole_name};
use crate::scalar::Duration;

/// Two weighted records of one name and type in a hosted zone of Amazon Route 53.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The id of the hosted zone: `Z0123456789ABCDEFGHIJ`.
    pub zone: String,
    /// The full name of both records: `bot.example.com`.
    pub name: String,
    /// `A` when left out.
    #[serde(rename = "type", default)]
    pub kind: Type,
    /// The set identifier of the record that leads to the live side.
    pub blue: String,
    /// The set identifier of the record that leads to the candidate.
    pub green: String,
    /// The TTL of both records while users are moved, up to 1h; 60s when left out. A longer one is lowered by `bgctl prepare`. An
    /// alias has that of what it leads to.
    #[serde(default = "ttl")]
    pub ttl: Duration,
    /// Asked at each address of a side, whatever DNS says: `http://bot.example.com/healthz`. 200 is well. Without it the health
    /// checks of Route 53 are all that is known.
    #[serde(default)]
    pub health: Option<String>,
    /// Name servers of the zone that are asked themselves, as `address` or `address:port`.
    #[serde(default)]
    pub servers: Vec<String>,
    /// Resolvers that are looked at from outside, as `address` or `address:port`.
    #[serde(default)]
    pub resolvers: Vec<String>,
    /// Where Route 53 is asked; `us-east-1` when left out.
    #[serde(default = "region")]
    pub region: String,
}

/// The longest TTL of a cutover: going back takes as long.
const LONGEST: u64 = 3600;
/// As long as a set identifier may be (API reference, `SetIdentifier`).
const IDENTIFIER: usize = 128;

fn ttl() -> Duration {
    Duration::seconds(60)
}

fn region() -> String {
    "us-east-1".into()
}

impl Settings {
    /// Reads the settings, or names all mistakes in them.
    pub fn read(value: &Value) -> Result<Settings, Vec<Mistake>> {
        let settings: Settings = diag::settings(value)?;
        let mut review = Review::default();
        let zone = &settings.zone;
        if zone.is_empty() || zone.len() > 32 || !zone.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()) {
            let help = "`aws route53 list-hosted-zones` shows it, after `/hostedzone/`";
            review.wrong("/zone", format!("`{zone}` is no id of a hosted zone"), Some(help));
        }
        whole_name(&mut review, &settings.name);
        review.region("/region", &settings.region);
        for (at, side) in [("/blue", &settings.blue), ("/green", &settings.green)] {
            if side.len() > IDENTIFIER || !is_thing(side) {
                review.wrong(
                    at,
                    format!("a set identifier has 1 to {IDENTIFIER} characters, without blanks around it"),
                    None,
                );
            }
        }
        if settings.blue == settings.green {
            review.wrong("/green", "`green` is the same record as `blue`", None);
        }
        review_addresses(&mut review, "/servers", &settings.servers);
        review_addresses(&mut review, "/resolvers", &settings.resolvers);
        review.longer_than_zero("/ttl", settings.ttl.time);
        if settings.ttl.whole_seconds() > LONGEST || settings.ttl.time.subsec_nanos() > 0 {
            let message = "a TTL is whole seconds up to 1h, since going back takes as long";
            review.wrong("/ttl", message, Some("write `60s`"));
        }
        if let Some(text) = &settings.health {
            let url = reqwest::Url::parse(text).ok();
            // An address in numbers would be asked itself, and not those of a side.
            if !url.is_some_and(|url| ["http", "https"].contains(&url.scheme()) && url.domain().is_some()) {
                let help = "each address of a side is asked by a name: write `http://bot.example.com/healthz`";
                review.wrong("/health", format!("`{text}` is no URL with a name"), Some(help));
            }
        }
        review.passed(|| settings)
    }

    pub fn ttl(&self) -> i64 {
        i64::try_from(self.ttl.whole_seconds()).unwrap_or(i64::MAX)
    }

    /// `bot.example.com A`, as people write it.
    pub fn shown(&self) -> String {
        format!("{} {}", self.name.trim_end_matches('.'), self.kind.of())
    }

    /// Says which share cannot be had.
    pub fn takes(&self, to: Split) -> Result<(), String> {
        match weights::wanted(to) {
            Some(_) => Ok(()),
            None => Err(format!(
                "Route 53's weights are whole numbers up to {HEAVIEST}, which cannot give {to}{}",
                weights::nearest(to).map(|near| format!("; the nearest they can is {near}")).unwrap_or_default()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn good() -> Value {
        json!({ "zone": "Z0123456789ABCDEFGHIJ", "name": "bot.example.test", "blue": "bot-blue", "green": "bot-green" })
    }

    #[test]
    fn every_mistake_has_its_place() {
        let read = Settings::read(&good()).unwrap();
        assert_eq!((read.ttl(), read.region.as_str(), read.shown().as_str()), (60, "us-east-1", "bot.example.test A"));
        let table = [
            ("zone", json!("/hostedzone/Z1"), "/zone", "no id of a hosted zone"),
            ("zone", json!(""), "/zone", "no id of a hosted zone"),
            ("name", json!("$(x).example.test"), "/name", "no name of DNS"),
            ("region", json!("US;1"), "/region", "no region"),
            ("region", json!("us-east"), "/region", "no region"),
            ("region", json!("-"), "/region", "no region"),
            ("name", json!("bot"), "/name", "no name of DNS"),
            ("blue", json!(""), "/blue", "1 to 128"),
            ("blue", json!("bot\nblue"), "/blue", "1 to 128"),
            ("green", json!("bot-blue"), "/green", "the same record"),
            ("type", json!("MX"), "", "unknown variant"),
            ("ttl", json!("0s"), "/ttl", "zero"),
            ("ttl", json!("2h"), "/ttl", "up to 1h"),
            ("servers", json!(["a;b"]), "/servers/0", "not an address"),
            ("resolvers", json!(["999.1.1.1"]), "/resolvers/0", "not an address"),
            ("resolvers", json!(["127.0.0.1", "127.0.0.1"]), "/resolvers/1", "twice"),
            ("health", json!("http://127.0.0.1/healthz"), "/health", "no URL with a name"),
            ("colour", json!(1), "", "unknown field"),
        ];
        for (key, value, at, words) in table {
            let mut settings = good();
            settings[key] = value;
            let found = Settings::read(&settings).unwrap_err();
            assert!(found.iter().any(|m| m.at == at && m.message.contains(words)), "{key}: {found:?}");
        }
    }
}
