//! The settings of a `dns` route: the record, who answers for it, and what stands there for each side.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, RecordType, TSigner};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::child::quoted;
use crate::diag::{self, Mistake, Review, is_whole_name};
use crate::plan::Color;
use crate::scalar::Duration;
use crate::secret::{Secret, Secrets};

/// A record of DNS that leads users to one side or the other, moved by dynamic update (RFC 2136) with TSIG.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The zone the record is in: `example.com`.
    pub zone: String,
    /// The record's full name: `bot.example.com`.
    pub name: String,
    /// Every authoritative server as `address` or `address:port`. The first is the primary, which takes updates.
    #[schemars(length(min = 1))]
    pub servers: Vec<String>,
    /// `A` when left out.
    #[serde(rename = "type", default)]
    pub kind: Type,
    /// What stands there for the live side: addresses, or one name for a CNAME.
    #[schemars(length(min = 1))]
    pub blue: Vec<String>,
    /// What stands there for the candidate.
    #[schemars(length(min = 1))]
    pub green: Vec<String>,
    /// The record's TTL while users are moved, up to 1h; 60s when left out. A longer one is lowered by `bgctl prepare`.
    #[serde(default = "ttl")]
    pub ttl: Duration,
    /// The key that signs updates.
    pub key: Key,
    /// Resolvers that are looked at from outside, as `address` or `address:port`.
    #[serde(default)]
    pub resolvers: Vec<String>,
    /// Asked at each address of a side, whatever DNS says: `http://bot.example.com/healthz`. 200 is well.
    pub health: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Type {
    #[default]
    A,
    #[serde(rename = "AAAA")]
    Aaaa,
    #[serde(rename = "CNAME")]
    Cname,
}

/// A TSIG key, as `tsig-keygen` makes one.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The name the primary knows it by.
    pub name: String,
    /// `hmac-sha256` when left out.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// A reference to the secret in base64: `${env:DNS_KEY}`.
    pub secret: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Algorithm {
    #[default]
    #[serde(rename = "hmac-sha256")]
    Sha256,
    #[serde(rename = "hmac-sha384")]
    Sha384,
    #[serde(rename = "hmac-sha512")]
    Sha512,
}

/// How far the clocks of both may be apart, and half of how long a lost update may still land: the primary takes none whose
/// signature is older than this by its own clock.
pub const FUDGE: u16 = 15;
/// The longest TTL of a cutover: going back takes as long.
const LONGEST: u64 = 3600;
/// What no zone needs more of.
const MOST: usize = 32;

/// Where a server of DNS listens that says no port.
const PORT: u16 = 53;

fn ttl() -> Duration {
    Duration::seconds(60)
}

impl Type {
    pub fn of(self) -> RecordType {
        match self {
            Type::A => RecordType::A,
            Type::Aaaa => RecordType::AAAA,
            Type::Cname => RecordType::CNAME,
        }
    }

    fn data(self, text: &str) -> Option<RData> {
        match self {
            Type::A => text.parse().ok().map(|address| RData::A(A(address))),
            Type::Aaaa => text.parse().ok().map(|address| RData::AAAA(AAAA(address))),
            Type::Cname => name(text).filter(|_| is_whole_name(text)).map(|name| RData::CNAME(CNAME(name))),
        }
    }
}

impl Algorithm {
    /// As DNS and `nsupdate` write it.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "hmac-sha256",
            Algorithm::Sha384 => "hmac-sha384",
            Algorithm::Sha512 => "hmac-sha512",
        }
    }

    fn of(self) -> TsigAlgorithm {
        match self {
            Algorithm::Sha256 => TsigAlgorithm::HmacSha256,
            Algorithm::Sha384 => TsigAlgorithm::HmacSha384,
            Algorithm::Sha512 => TsigAlgorithm::HmacSha512,
        }
    }
}

impl Key {
    /// What signs, or why the secret is none; nothing, where it was not looked up: `bgctl check` needs no secrets.
    pub fn signer(&self, secrets: &Secrets) -> Result<Option<TSigner>, String> {
        let text = Secret::new(secrets.resolve(&self.secret));
        if text.expose() == self.secret {
            return Ok(None);
        }
        let bytes = BASE64_STANDARD.decode(text.expose().trim()).ok().filter(|bytes| !bytes.is_empty());
        let bytes = bytes.ok_or("the key's secret is not in base64, as `tsig-keygen` writes it")?;
        let name = name(&self.name).ok_or("the key's name is none of DNS")?;
        TSigner::new(bytes, self.algorithm.of(), name, FUDGE).map(Some).map_err(|e| e.to_string())
    }

    /// The secret as a shell finds it.
    pub fn in_shell(&self) -> String {
        let inside = self.secret.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
        match inside.strip_prefix("file:") {
            Some(path) => format!("$(cat {})", quoted(path)),
            None => format!("${{{}:?}}", inside.trim_start_matches("env:")),
        }
    }
}

impl Settings {
    /// Reads the settings, or names all mistakes in them.
    pub fn read(value: &Value) -> Result<Settings, Vec<Mistake>> {
        let settings: Settings = diag::settings(value)?;
        let mut review = Review::default();
        whole_name(&mut review, &settings.name);
        for (at, text) in [("/zone", &settings.zone), ("/key/name", &settings.key.name)] {
            if name(text).is_none() {
                review.wrong(at, format!("`{text}` is no name of DNS"), Some("write it whole: `example.com`"));
            }
        }
        if let (Some(zone), Some(own)) = (name(&settings.zone), name(&settings.name))
            && !zone.zone_of(&own)
        {
            review.wrong("/name", format!("`{}` is not in the zone `{}`", settings.name, settings.zone), None);
        }
        settings.review_servers(&mut review);
        settings.review_sides(&mut review);
        review.longer_than_zero("/ttl", settings.ttl.time);
        if settings.ttl.whole_seconds() > LONGEST || settings.ttl.time.subsec_nanos() > 0 {
            review.wrong(
                "/ttl",
                "a TTL is whole seconds up to 1h, since going back takes as long",
                Some("write `60s`"),
            );
        }
        let reference = |prefix: &str| settings.key.secret.starts_with(prefix) && settings.key.secret.ends_with('}');
        if !reference("${env:") && !reference("${file:") || settings.key.secret.matches("${").count() != 1 {
            let help = "write `secret: \"${env:DNS_KEY}\"`: no secret stands in a runbook";
            review.wrong("/key/secret", "the secret is a reference", Some(help));
        }
        let url = reqwest::Url::parse(&settings.health).ok();
        // An address in numbers would be asked itself, and not those of a side.
        if !url.is_some_and(|url| ["http", "https"].contains(&url.scheme()) && url.domain().is_some()) {
            let help = "each address of a side is asked by a name: write `http://bot.example.com/healthz`";
            review.wrong("/health", format!("`{}` is no URL with a name", settings.health), Some(help));
        }
        review.passed(|| settings)
    }

    fn review_servers(&self, review: &mut Review) {
        review_addresses(review, "/servers", &self.servers);
        review_addresses(review, "/resolvers", &self.resolvers);
        if self.servers.is_empty() {
            let help = "name every authoritative server, the primary first: `servers: [192.0.2.53]`";
            review.wrong("/servers", "no server that answers for the zone", Some(help));
        }
    }

    fn review_sides(&self, review: &mut Review) {
        for (at, side) in [("/blue", &self.blue), ("/green", &self.green)] {
            if side.is_empty() || side.len() > MOST {
                review.wrong(at, format!("a side has 1 to {MOST} of what stands in the record"), None);
            }
            for (n, text) in side.iter().enumerate().filter(|(_, text)| self.kind.data(text).is_none()) {
                let message = format!("`{text}` cannot stand in a record of type {}", self.kind.of());
                review.wrong(&format!("{at}/{n}"), message, None);
            }
            if self.kind == Type::Cname && side.len() > 1 {
                review.wrong(at, "a name has one CNAME", None);
            }
        }
        let blue = self.side(Color::Blue);
        if self.side(Color::Green).iter().any(|data| blue.contains(data)) {
            review.wrong("/green", "what stands in both sides tells nobody which one it is", None);
        }
    }

    /// What stands in the record for a side.
    pub fn side(&self, color: Color) -> Vec<RData> {
        let texts = match color {
            Color::Blue => &self.blue,
            Color::Green => &self.green,
        };
        texts.iter().filter_map(|text| self.kind.data(text)).collect()
    }

    pub fn ttl(&self) -> u32 {
        u32::try_from(self.ttl.whole_seconds()).unwrap_or(u32::MAX)
    }
}

/// A whole name of DNS without anything a shell or a zone file would read otherwise.
pub fn name(text: &str) -> Option<Name> {
    let plain = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
    let mut name = Some(text).filter(|text| !text.is_empty() && text.chars().all(plain)).map(Name::from_ascii)?.ok()?;
    name.set_fqdn(true);
    (!name.is_root()).then(|| name.to_lowercase())
}

/// Names what is wrong with a list of servers.
pub fn review_addresses(review: &mut Review, at: &str, all: &[String]) {
    for (n, text) in all.iter().enumerate() {
        if address(text).is_none() {
            let help = Some("write `192.0.2.53`, `192.0.2.53:5353`, `[2001:db8::53]:53` or a name");
            review.wrong(&format!("{at}/{n}"), format!("`{text}` is not an address"), help);
        } else if all[..n].contains(text) {
            review.wrong(&format!("{at}/{n}"), format!("`{text}` is there twice"), None);
        }
    }
    if all.len() > MOST {
        review.wrong(at, format!("more than {MOST} are not asked"), None);
    }
}

/// Says that the full name of a record is none.
pub fn whole_name(review: &mut Review, text: &str) {
    if !is_whole_name(text) {
        review.wrong("/name", format!("`{text}` is no name of DNS"), Some("write it whole: `bot.example.com`"));
    }
}

/// Host and port of a server.
pub fn address(text: &str) -> Option<(String, u16)> {
    diag::server(text, Some(PORT))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn good() -> Value {
        json!({
            "zone": "example.test", "name": "bot.example.test", "servers": ["127.0.0.1:5353"],
            "blue": ["127.0.0.1"], "green": ["127.0.0.2"], "health": "http://bot.example.test/healthz",
            "key": { "name": "bgctl", "secret": "${env:DNS_KEY}" },
        })
    }

    #[test]
    fn every_mistake_has_its_place() {
        assert_eq!(Settings::read(&good()).unwrap().ttl(), 60);
        let key = |secret: &str| json!({ "name": "bgctl", "secret": secret });
        let table = [
            ("zone", json!("exa mple"), "/zone", "no name of DNS"),
            ("name", json!("bot.example.org"), "/name", "not in the zone"),
            ("name", json!("bot"), "/name", "no name of DNS"),
            ("key", json!({ "name": "a b", "secret": "${env:K}" }), "/key/name", "no name of DNS"),
            ("resolvers", json!(["999.1.1.1"]), "/resolvers/0", "not an address"),
            ("servers", json!(["127.0.0.1:0"]), "/servers/0", "not an address"),
            ("name", json!("$(x).example.test"), "/name", "no name of DNS"),
            ("servers", json!([]), "/servers", "no server"),
            ("servers", json!(["127.0.0.1", "a;b"]), "/servers/1", "not an address"),
            ("servers", json!(["127.0.0.1", "127.0.0.1"]), "/servers/1", "twice"),
            ("resolvers", json!(["127.0.0.1:x"]), "/resolvers/0", "not an address"),
            ("blue", json!([]), "/blue", "1 to 32"),
            ("blue", json!(["::1"]), "/blue/0", "type A"),
            ("green", json!(["127.0.0.1"]), "/green", "both sides"),
            ("type", json!("MX"), "", "unknown variant"),
            ("ttl", json!("0s"), "/ttl", "zero"),
            ("ttl", json!("2h"), "/ttl", "up to 1h"),
            ("key", key("c2VjcmV0"), "/key/secret", "a reference"),
            ("key", key("${env:A}${env:B}"), "/key/secret", "a reference"),
            ("health", json!("/healthz"), "/health", "no URL with a name"),
            ("health", json!("http://127.0.0.1/healthz"), "/health", "no URL with a name"),
            ("colour", json!(1), "", "unknown field"),
        ];
        for (key, value, at, words) in table {
            let mut settings = good();
            settings[key] = value;
            let found = Settings::read(&settings).unwrap_err();
            assert!(found.iter().any(|m| m.at == at && m.message.contains(words)), "{key}: {found:?}");
        }
        let mut cname = good();
        (cname["type"], cname["blue"]) = (json!("CNAME"), json!(["a.test", "b.test"]));
        assert!(Settings::read(&cname).unwrap_err().iter().any(|m| m.message.contains("one CNAME")));
        for bad in ["bot", "999.1.1.1"] {
            cname["blue"] = json!([bad]);
            assert!(Settings::read(&cname).unwrap_err().iter().any(|m| m.message.contains("type CNAME")), "{bad}");
        }
    }

    #[test]
    fn a_shell_finds_the_secret_where_the_runbook_says() {
        let key = |secret: &str| Key { name: "k".into(), algorithm: Algorithm::Sha256, secret: secret.into() };
        assert_eq!(key("${env:DNS_KEY}").in_shell(), "${DNS_KEY:?}");
        assert_eq!(key("${file:/secure/it's}").in_shell(), r"$(cat '/secure/it'\''s')");
    }
}
