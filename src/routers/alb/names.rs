//! A place as people know it: by names, ports, tags and conditions, which only the provider can turn into ARNs. Their shape is
//! judged here, without asking anybody; whether there is such a thing is found out in `lookup`.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use super::arn::Arn;
use super::place::Place;
use crate::diag::Review;
use crate::plan::Color;

/// All of these are on a thing, each with this very value.
pub type Tags = BTreeMap<String, String>;

/// What a load balancer or a target group is known by.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Its name in this region and account.
    Name(String),
    /// Tags that no other thing of the kind has.
    Tags(Tags),
}

/// What a rule of a listener is known by: everything that is written has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Its priority, 1 to 50000.
    #[serde(default)]
    #[schemars(range(min = 1, max = 50000))]
    pub priority: Option<u32>,
    /// Tags on the rule.
    #[serde(default)]
    pub tags: Tags,
    /// A value of its condition `host-header`, as it stands there.
    #[serde(default)]
    pub host: Option<String>,
    /// A value of its condition `path-pattern`, as it stands there.
    #[serde(default)]
    pub path: Option<String>,
    /// A value of its condition `http-header`, as it stands there.
    #[serde(default)]
    pub header: Option<Header>,
}

/// A header of a request that a rule asks for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Header {
    pub name: String,
    pub value: String,
}

/// A load balancer or a target group: the thing itself, or what it is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    Arn(Arn),
    By(By),
}

/// The listener whose rule is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listener {
    Arn(Arn),
    At { load_balancer: Known, port: u16 },
}

/// The rule that is meant.
#[derive(Clone, Debug)]
pub enum Spot {
    Arn(Place),
    /// One of this listener; its default rule where none is written.
    Of {
        listener: Listener,
        rule: Option<Which>,
    },
}

/// Settings that only the provider can turn into ARNs.
#[derive(Clone, Debug)]
pub struct Names {
    pub region: String,
    pub spot: Spot,
    pub blue: Known,
    pub green: Known,
    /// What is looked at before users.
    pub test: Option<Spot>,
    /// As it is written.
    pub min_healthy: Option<u32>,
}

/// A name as the provider takes one.
pub fn is_name(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

impl By {
    pub fn review(&self, review: &mut Review) {
        match self {
            By::Name(name) if !is_name(name) => {
                let help = "one has 1 to 32 letters, digits and hyphens";
                review.wrong("/name", format!("`{name}` is not a name that AWS gives"), Some(help));
            }
            By::Name(_) => {}
            By::Tags(tags) => tagged(review, tags),
        }
    }
}

impl Which {
    pub fn review(&self, review: &mut Review) {
        if self == &Which::default() {
            let help =
                "write `priority`, `tags`, `host`, `path` or `header` below it; leave `rule` out for the default rule";
            review.wrong("", "`rule` says nothing about the rule", Some(help));
        }
        if let Some(priority) = self.priority {
            review.between("/priority", priority, 1, 50_000);
        }
        if !self.tags.is_empty() {
            tagged(review, &self.tags);
        }
        let header = self.header.as_ref();
        if let Some(header) = header.filter(|header| !header.name.is_empty()) {
            review.header("/header/name", &header.name);
        }
        let texts = [
            ("/host", self.host.as_ref()),
            ("/path", self.path.as_ref()),
            ("/header/name", header.map(|header| &header.name)),
            ("/header/value", header.map(|header| &header.value)),
        ];
        for (at, text) in texts {
            if text.is_some_and(String::is_empty) {
                review.wrong(at, "an empty text is no condition of a rule", None);
            }
        }
    }
}

fn tagged(review: &mut Review, tags: &Tags) {
    if tags.is_empty() {
        review.wrong("/tags", "no tag is named, and that would be every thing there is", None);
    }
    for (key, value) in tags {
        if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 {
            let help = "a key has 1 to 128 characters, a value at most 256";
            review.wrong("/tags", format!("`{key}` is not a tag that AWS takes"), Some(help));
        }
    }
}

/// `app=bot, color=blue`.
pub fn spoken_tags<'a>(tags: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    tags.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            By::Name(name) => write!(f, "`{name}`"),
            By::Tags(tags) => f.write_str(&spoken_tags(tags)),
        }
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Known::Arn(arn) => write!(f, "`{}`", arn.name()),
            Known::By(by) => by.fmt(f),
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        words.extend(self.priority.map(|priority| format!("priority {priority}")));
        words.extend(self.host.as_ref().map(|host| format!("host {host}")));
        words.extend(self.path.as_ref().map(|path| format!("path {path}")));
        words.extend(self.header.as_ref().map(|header| format!("header {}: {}", header.name, header.value)));
        words.extend((!self.tags.is_empty()).then(|| format!("tags {}", spoken_tags(&self.tags))));
        f.write_str(&words.join(", "))
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listener::Arn(arn) => write!(f, "listener {} of `{}`", arn.id(), arn.name()),
            Listener::At { load_balancer: known @ Known::By(By::Tags(_)), port } => {
                write!(f, "listener {port} of the load balancer with {known}")
            }
            Listener::At { load_balancer, port } => write!(f, "listener {port} of {load_balancer}"),
        }
    }
}

impl Spot {
    /// The place, as a person recognises it before anything is looked up.
    pub fn line(&self, region: &str) -> String {
        match self {
            Spot::Arn(place) => place.line(),
            Spot::Of { listener, rule: None } => format!("alb default rule of {listener} in {region}"),
            Spot::Of { listener, rule: Some(which) } => format!("alb rule ({which}) of {listener} in {region}"),
        }
    }

    /// The ARN that is written there, with the key that it is written under.
    pub fn arn(&self) -> Option<(&'static str, &Arn)> {
        match self {
            Spot::Arn(Place::Rule(arn)) => Some(("rule", arn)),
            Spot::Arn(Place::Listener(arn)) | Spot::Of { listener: Listener::Arn(arn), .. } => Some(("listener", arn)),
            Spot::Of { listener: Listener::At { load_balancer: Known::Arn(arn), .. }, .. } => {
                Some(("load_balancer", arn))
            }
            Spot::Of { .. } => None,
        }
    }
}

impl Names {
    pub fn line(&self) -> String {
        self.spot.line(&self.region)
    }

    pub fn group(&self, color: Color) -> &Known {
        match color {
            Color::Blue => &self.blue,
            Color::Green => &self.green,
        }
    }
}
