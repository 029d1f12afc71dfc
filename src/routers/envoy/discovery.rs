//! The file of routes: what it means, and the same file with other weights.
//!
//! A change writes over the weights and the version where they stand, so comments, order and everything else stay as they are;
//! then it is read again, and refused if anything else would mean something else. The version names whose it is: bgctl's own
//! carries a sum over all that the file means, so a change by hand is seen.

use std::ops::Range;

use base16ct::lower::encode_string as hex;
use serde::Deserialize;
use serde_json::{Value, json};
use serde_yaml::{Location, Spanned};
use sha2::{Digest, Sha256};

use super::settings::Settings;
use super::weights::{self, ALL, Found, Lost, items, member, name};
use crate::plan::Split;
use crate::routers::Trouble;

/// What a version of ours begins with.
const OURS: &str = "bgctl-";
const ROUTE_CONFIGURATION: &str = "envoy.config.route.v3.RouteConfiguration";

/// A file of routes, understood.
#[derive(Clone, Debug)]
pub struct Discovery {
    /// Empty where the file names none.
    pub version: String,
    /// The route configuration of the settings.
    pub config: Value,
    pub found: Found,
    /// bgctl wrote it, and nobody has changed it since.
    pub ours: bool,
    /// All it means.
    meaning: Value,
    at: usize,
}

/// A file to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub text: String,
    pub version: String,
}

fn invalid(what: impl Into<String>, cure: impl Into<String>) -> Lost {
    Lost { kind: Trouble::Invalid, what: what.into(), cure: cure.into() }
}

/// Takes a file apart, or says why nobody can say whom it sends where.
pub fn read(text: &str, settings: &Settings) -> Result<Discovery, Lost> {
    let meaning: Value = parsed(text)?;
    let resources = items(member(&meaning, "resources"));
    let of_name = |n: &usize| {
        let kind = resources[*n].get("@type").and_then(Value::as_str).unwrap_or_default();
        kind.ends_with(ROUTE_CONFIGURATION) && name(&resources[*n]) == settings.route_config
    };
    let wanted = &settings.route_config;
    let found: Vec<usize> = (0..resources.len()).filter(of_name).collect();
    let at = match found.as_slice() {
        [one] => *one,
        [] => {
            let known: Vec<&str> = resources.iter().map(name).collect();
            let what = format!("has no route configuration `{wanted}`");
            return Err(Lost { kind: Trouble::NotFound, what, cure: weights::nearest(wanted, &known) });
        }
        _ => return Err(invalid(format!("has the route configuration `{wanted}` twice"), "leave one of them out")),
    };
    if resources.len() > 1 {
        let cure = "give each route configuration a file of its own: Envoy takes one from a file";
        return Err(invalid(format!("has {} resources", resources.len()), cure));
    }
    let config = resources[at].clone();
    let found = weights::find(&config, settings)?;
    let version = match member(&meaning, "version_info") {
        Value::Null => String::new(),
        Value::String(version) => version.clone(),
        other => other.to_string(),
    };
    let ours = sealed(&version).is_some_and(|(chance, sum)| sum == summed(&chance, &meaning));
    Ok(Discovery { version, config, found, ours, meaning, at })
}

fn parsed<'t, T: Deserialize<'t>>(text: &'t str) -> Result<T, Lost> {
    serde_yaml::from_str(text).map_err(|error| {
        let words = error.to_string();
        let first = words.lines().next().unwrap_or_default().to_string();
        invalid(format!("cannot be understood: {first}"), "put a file there that Envoy takes, by `mv`")
    })
}

impl Discovery {
    /// The same file with another split, under a version of its own; `chance` makes that one had only once.
    pub fn at(&self, text: &str, to: Split, chance: &[u8]) -> Result<Wanted, Lost> {
        let green = weights::hundredths(to).ok_or_else(|| invalid(format!("cannot have {to}"), "another share"))?;
        let mut meaning = self.meaning.clone();
        self.set(&mut meaning, [ALL - green, green]);
        let chance = hex(&Sha256::new().chain_update(&self.version).chain_update(chance).finalize()[..8]);
        let version = format!("{OURS}{chance}-{}", summed(&chance, &meaning));
        let key = if meaning.get("versionInfo").is_some() { "versionInfo" } else { "version_info" };
        meaning[key] = json!(version);

        let text = self.edited(text, [ALL - green, green], &version)?;
        match parsed::<Value>(&text) {
            Ok(reads) if reads == meaning => Ok(Wanted { text, version }),
            _ => Err(invalid(
                "cannot be changed without changing more than the weights of this route",
                "write its weights and its `version_info` as plain values, without anchors",
            )),
        }
    }

    fn set(&self, meaning: &mut Value, weights: [u32; 2]) {
        let mut place = &mut meaning["resources"][self.at];
        for step in ["virtual_hosts", "routes", "route", "weighted_clusters", "clusters"] {
            place = within(place, step);
            match step {
                "virtual_hosts" => place = &mut place[self.found.host],
                "routes" => place = &mut place[self.found.route],
                _ => {}
            }
        }
        for (entry, weight) in self.found.entries.into_iter().zip(weights) {
            place[entry]["weight"] = json!(weight);
        }
    }

    /// The text with these values in the places of those that stand there.
    fn edited(&self, text: &str, weights: [u32; 2], version: &str) -> Result<String, Lost> {
        let marks: Spanned<Marks> = parsed(text)?;
        let gone = || invalid("has no place for its weights", "write them as plain values");
        let config = marks.value.resources.get(self.at).ok_or_else(gone)?;
        let route = config.virtual_hosts.get(self.found.host).and_then(|host| host.routes.get(self.found.route));
        let clusters =
            &route.and_then(|route| route.route.as_ref()?.weighted_clusters.as_ref()).ok_or_else(gone)?.clusters;
        let mut edits: Vec<(Range<usize>, String)> = Vec::new();
        for (entry, weight) in self.found.entries.into_iter().zip(weights) {
            let mark = clusters.get(entry).and_then(|cluster| cluster.weight.as_ref()).ok_or_else(gone)?;
            edits.push((bytes(text, mark.referenced), weight.to_string()));
        }
        edits.push(match &marks.value.version_info {
            Some(mark) => (bytes(text, mark.referenced), format!("\"{version}\"")),
            None => {
                let start = bytes(text, marks.referenced).start;
                let indent = text[..start].chars().rev().take_while(|c| *c == ' ').count();
                match text[start..].starts_with('{') {
                    true => (start + 1..start + 1, format!("\"version_info\": \"{version}\", ")),
                    false => (start..start, format!("version_info: \"{version}\"\n{}", " ".repeat(indent))),
                }
            }
        });
        edits.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
        let mut text = text.to_string();
        for (range, value) in edits {
            text.replace_range(range, &value);
        }
        Ok(text)
    }
}

/// The member that stands there under either of its names.
fn within<'v>(value: &'v mut Value, name: &str) -> &'v mut Value {
    let camel = weights::camel(name);
    let key = if value.get(name).is_some() { name } else { &camel };
    &mut value[key]
}

/// Chance and sum of a version of ours.
fn sealed(version: &str) -> Option<(String, String)> {
    let (chance, sum) = version.strip_prefix(OURS)?.split_once('-')?;
    let is_hex = |text: &str| text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    (is_hex(chance) && is_hex(sum)).then(|| (chance.into(), sum.into()))
}

/// The sum over all that a file means besides its version.
fn summed(chance: &str, meaning: &Value) -> String {
    let mut rest = meaning.clone();
    if let Some(members) = rest.as_object_mut() {
        members.shift_remove("version_info");
        members.shift_remove("versionInfo");
    }
    hex(&Sha256::digest(format!("{chance}\n{rest}"))[..8])
}

/// The bytes of a place, without the blanks that may follow a value.
fn bytes(text: &str, location: Location) -> Range<usize> {
    let span = location.span();
    let start = span.byte_offset().map_or(text.len(), |n| n as usize).min(text.len());
    let end = (start + span.byte_len().unwrap_or(0) as usize).min(text.len());
    match text.get(start..end) {
        Some(inside) => start..start + inside.trim_end().len(),
        None => text.len()..text.len(),
    }
}

/// Where in the text the values stand that are written over.
#[derive(Deserialize)]
struct Marks {
    #[serde(default, alias = "versionInfo")]
    version_info: Option<Spanned<Value>>,
    #[serde(default)]
    resources: Vec<ConfigMarks>,
}

#[derive(Deserialize)]
struct ConfigMarks {
    #[serde(default, alias = "virtualHosts")]
    virtual_hosts: Vec<HostMarks>,
}

#[derive(Deserialize)]
struct HostMarks {
    #[serde(default)]
    routes: Vec<RouteMarks>,
}

#[derive(Deserialize)]
struct RouteMarks {
    #[serde(default)]
    route: Option<ActionMarks>,
}

#[derive(Deserialize)]
struct ActionMarks {
    #[serde(default, alias = "weightedClusters")]
    weighted_clusters: Option<WeightedMarks>,
}

#[derive(Deserialize)]
struct WeightedMarks {
    #[serde(default)]
    clusters: Vec<ClusterMarks>,
}

#[derive(Deserialize)]
struct ClusterMarks {
    #[serde(default)]
    weight: Option<Spanned<Value>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let all = json!({
            "file": "/e/rds.yaml", "admin": "http://127.0.0.1:9901", "route_config": "bot", "virtual_host": "all",
            "blue": "b", "green": "g",
        });
        Settings::read(&all).expect("good settings")
    }

    const BLOCK: &str = r#"# of the team
version_info: "7"   # by hand
resources:
- "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
  name: bot
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - match: {prefix: /healthz}
      direct_response: {status: 200}
    - match: {prefix: "/"}   # everybody
      route:
        weighted_clusters:
          clusters:
          - name: b
            weight: 100  # blue
          - {name: g, weight: 0}
        timeout: 15s
"#;

    fn at(text: &str, green: u32) -> Wanted {
        let discovery = read(text, &settings()).unwrap_or_else(|lost| panic!("{lost:?}\n{text}"));
        let wanted =
            discovery.at(text, Split::of_green(green), b"one").unwrap_or_else(|lost| panic!("{lost:?}\n{text}"));
        let after = read(&wanted.text, &settings()).expect("it is read again");
        assert!(after.ours && after.version == wanted.version, "{wanted:?}");
        assert_eq!(after.found.split(), Split::of_green(green));
        wanted
    }

    #[test]
    fn only_weights_and_the_version_are_written_over() {
        let wanted = at(BLOCK, 100);
        let expected = BLOCK
            .replace("\"7\"", &format!("\"{}\"", wanted.version))
            .replace("weight: 100 ", "weight: 9000 ")
            .replace("weight: 0}", "weight: 1000}");
        assert_eq!(wanted.text, expected);
        // Again and again, and back.
        let more = at(&wanted.text, 1000);
        assert_eq!(more.text.matches("bgctl-").count(), 1);
        let back = at(&more.text, 0);
        assert!(
            back.text.contains("weight: 10000  # blue") && back.text.contains("{name: g, weight: 0}"),
            "{}",
            back.text
        );
    }

    #[test]
    fn every_form_of_a_file_is_written_in_its_own() {
        let block = BLOCK.replace("version_info: \"7\"   # by hand\n", "");
        assert!(at(&block, 100).text.starts_with("# of the team\nversion_info: \"bgctl-"), "{}", at(&block, 100).text);
        let ruled = format!("---\n{block}");
        assert!(at(&ruled, 100).text.starts_with("---\n# of the team\nversion_info: \"bgctl-"));
        let json = parsed::<Value>(BLOCK).expect("it is read");
        let compact = json.to_string();
        assert!(at(&compact, 100).text.contains(r#""weight":9000"#));
        let pretty = serde_json::to_string_pretty(&json).expect("JSON");
        assert!(at(&pretty, 100).text.contains("\"weight\": 9000"));
        let camels = pretty
            .replace("version_info", "versionInfo")
            .replace("virtual_hosts", "virtualHosts")
            .replace("weighted_clusters", "weightedClusters")
            .replace("\"weight\": 100", "\"weight\": \"100\"");
        assert!(at(&camels, 100).text.contains("\"versionInfo\": \"bgctl-"));
        let bare = compact.replace(r#""version_info":"7","#, "");
        assert!(at(&bare, 100).text.starts_with("{\"version_info\": \"bgctl-"));
        let numbered = BLOCK.replace("\"7\"", "7");
        assert_eq!(read(&numbered, &settings()).expect("it is read").version, "7");
        at(&numbered, 500);
    }

    #[test]
    fn what_cannot_be_written_over_alone_is_refused() {
        // One anchor for a weight and for something else.
        let anchored = BLOCK.replace("weight: 100", "weight: &all 100").replace("timeout: 15s", "timeout: *all");
        let discovery = read(&anchored, &settings()).expect("it is read");
        let lost = discovery.at(&anchored, Split::of_green(100), b"").expect_err("the anchor is used twice");
        assert!(lost.what.contains("without changing more than the weights"), "{lost:?}");
        assert!(discovery.at(BLOCK, Split { blue: 2, green: 1 }, b"").is_err());
        let table = [
            ("resources: [", "cannot be understood"),
            ("", "has no route configuration `bot`"),
            (&BLOCK.replace("name: bot", "name: bott"), "has no route configuration `bot`"),
            (&BLOCK.replace("RouteConfiguration", "Route"), "has no route configuration `bot`"),
            (&format!("{BLOCK}- {{name: x}}\n"), "has 2 resources"),
            (&BLOCK.replace("version_info", "resources: []\nversion_info"), "cannot be understood"),
        ];
        for (text, words) in table {
            let lost = read(text, &settings()).expect_err(words);
            assert!(lost.what.contains(words), "{words}: {lost:?}");
        }
        let twice = BLOCK.split_once("resources:\n").expect("resources").1;
        let lost = read(&format!("{BLOCK}{twice}"), &settings()).expect_err("twice");
        assert!(lost.what.contains("`bot` twice"), "{lost:?}");
    }

    #[test]
    fn a_change_by_hand_is_nobody_s_of_ours() {
        let wanted = at(BLOCK, 100);
        assert!(!read(BLOCK, &settings()).expect("it is read").ours);
        for by_hand in [
            wanted.text.replace("weight: 9000", "weight: 8000"),
            wanted.text.replace("timeout: 15s", "timeout: 16s"),
            wanted.text.replace("bgctl-", "bgctl-f"),
        ] {
            assert!(!read(&by_hand, &settings()).expect("it is read").ours, "{by_hand}");
        }
        let comment = wanted.text.replace("# everybody", "# all of them");
        assert!(read(&comment, &settings()).expect("it is read").ours, "a comment means nothing");
        // Each is had only once, and without chance it follows from what was there.
        let discovery = read(BLOCK, &settings()).expect("it is read");
        let of = |chance: &[u8]| discovery.at(BLOCK, Split::ALL_BLUE, chance).expect("it can").version;
        assert!(of(b"1") != of(b"2") && of(b"") == of(b""));
    }
}
