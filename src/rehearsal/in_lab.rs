//! What a kind reaches, as a rehearsal has to know it. A row that does not say it does not compile.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Own;
use crate::diag::Mistake;

/// Where a kind goes in a rehearsal.
#[derive(Clone, Copy, Debug)]
pub enum InLab {
    /// To no place that its own settings name: the stacks, routes and servers it uses are looked at where they are written.
    Nowhere,
    /// To these places of its settings, defaults included. Each has to be the lab's.
    To(fn(&Value) -> Vec<Place>),
    /// Wherever programs go, whose settings stand at these pointers where there are any: each is started only where they say
    /// `lab: safe`.
    Programs(&'static [&'static str]),
    /// To places, and where programs go.
    ToAndPrograms(fn(&Value) -> Vec<Place>, &'static [&'static str]),
    /// The lab has nothing of the kind, so a runbook with it cannot be rehearsed there. Says what is missing.
    Missing(&'static str),
    /// A rehearsal does without, and says so.
    LeftOut,
}

/// An address in settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// A JSON pointer below the settings.
    pub at: String,
    pub address: String,
}

/// That a program may run in a rehearsal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// It touches nothing but the lab. Its environment has the lab's variables and none of the real ones.
    Safe,
}

impl Mark {
    /// How a line about a program ends.
    pub fn shown(mark: Option<Mark>) -> &'static str {
        if mark.is_some() { " (lab: safe)" } else { "" }
    }
}

impl InLab {
    /// Everything in these settings that a rehearsal may not reach. `what`: the kind, as the refusal names it.
    pub fn review(self, what: &str, settings: &Value, own: &Own) -> Vec<Mistake> {
        let mistake =
            |at: &str, message: String, help: &str| Mistake { at: at.into(), message, help: Some(help.into()) };
        match self {
            InLab::Nowhere | InLab::LeftOut => Vec::new(),
            InLab::To(places) => places(settings)
                .iter()
                // What has no value in a rehearsal is said once, where its reference stands.
                .filter(|place| !own.has(&place.address) && !own.resolve(&place.address).contains("${"))
                .map(|place| mistake(&place.at, not_the_labs(&place.address), A_VARIABLE))
                .collect(),
            InLab::Programs(pointers) => pointers
                .iter()
                .filter(|at| settings.pointer(at).is_some_and(|own| own.get("lab").is_none_or(|mark| mark != "safe")))
                .map(|at| mistake(at, format!("this {what} is not marked as safe to run in the lab"), SAFE))
                .collect(),
            InLab::ToAndPrograms(places, pointers) => {
                let mut found = InLab::To(places).review(what, settings, own);
                found.extend(InLab::Programs(pointers).review(what, settings, own));
                found
            }
            InLab::Missing(why) => vec![mistake("", format!("the lab has no {why}"), WITHOUT)],
        }
    }
}

const A_VARIABLE: &str =
    "write a variable that the lab fills in, `${var.…}` (`bgctl explain lab` lists them), or leave --lab out";
const SAFE: &str = "add `lab: safe` where it touches nothing real, or leave --lab out";
const WITHOUT: &str = "take it out of the runbook you rehearse, or leave --lab out";

/// What is wrong with an address. A reference is shown as it is written.
pub fn not_the_labs(address: &str) -> String {
    format!("`{address}` is not the lab's: a rehearsal reaches nothing else")
}

/// The texts at these pointers of settings; `*` stands for every member.
pub fn at(settings: &Value, pointers: &[&str]) -> Vec<Place> {
    pointers.iter().flat_map(|pointer| found(settings, pointer)).collect()
}

fn found(settings: &Value, pointer: &str) -> Vec<Place> {
    let parts: Vec<&str> = pointer.split('/').skip(1).collect();
    let mut open = vec![(String::new(), settings)];
    for part in parts {
        open = open.into_iter().flat_map(|(at, value)| below(&at, value, part)).collect();
    }
    let place = |(at, value): (String, &Value)| Some(Place { at, address: value.as_str()?.into() });
    open.into_iter().filter_map(place).collect()
}

/// The members that one part of a pointer names, each with its own pointer.
fn below<'v>(at: &str, value: &'v Value, part: &str) -> Vec<(String, &'v Value)> {
    match (value, part) {
        (Value::Object(members), "*") => {
            let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
            members.iter().map(|(name, value)| (format!("{at}/{}", escaped(name)), value)).collect()
        }
        (Value::Array(items), "*") => items.iter().enumerate().map(|(n, value)| (format!("{at}/{n}"), value)).collect(),
        (value, part) => value.get(part).map(|value| (format!("{at}/{part}"), value)).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn addresses_are_found_by_pointers_with_stars() {
        let settings = json!({ "blue": ["a", "b"], "api": "c", "more": { "x/y": { "url": "d" }, "z": 1 } });
        let found = at(&settings, &["/blue/*", "/api", "/none", "/more/*/url", "/blue"]);
        let found: Vec<(&str, &str)> = found.iter().map(|p| (p.at.as_str(), p.address.as_str())).collect();
        assert_eq!(found, [("/blue/0", "a"), ("/blue/1", "b"), ("/api", "c"), ("/more/x~1y/url", "d")]);
    }

    #[test]
    fn a_kind_is_refused_by_what_its_row_says() {
        let own = Own::default();
        let settings = json!({ "url": "https://api.example.com" });
        let said = |row: InLab, settings: &Value| {
            row.review("step", settings, &own)
                .into_iter()
                .map(|m| format!("{} {}", m.at, m.message))
                .collect::<Vec<_>>()
        };
        assert!(said(InLab::Nowhere, &settings).is_empty() && said(InLab::LeftOut, &settings).is_empty());
        let to = said(InLab::To(|settings| at(settings, &["/url"])), &settings);
        assert_eq!(to, ["/url `https://api.example.com` is not the lab's: a rehearsal reaches nothing else"]);
        assert!(said(InLab::Programs(&[""]), &settings)[0].contains("this step is not marked"));
        assert!(said(InLab::Programs(&[""]), &json!({ "lab": "unsafe" }))[0].contains("this step is not marked"));
        assert!(said(InLab::Programs(&[""]), &json!({ "lab": "safe" })).is_empty());
        // What a kind may have and has not is started by nobody.
        let own = InLab::Programs(&["/unready"]);
        assert!(said(own, &json!({})).is_empty() && said(own, &json!({ "unready": { "lab": "safe" } })).is_empty());
        assert!(said(own, &json!({ "unready": {} }))[0].starts_with("/unready this step"));
        assert_eq!(said(InLab::Missing("Redis"), &settings), [" the lab has no Redis"]);
    }
}
