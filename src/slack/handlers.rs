//! The listeners of a bot, as it lists them itself, and what one stack lacks of the other's.
//!
//! They are asked for and never inferred: a missing listener is loud in Bolt for Python (404) and silent in Bolt for
//! JavaScript (200), and either way a user would be the first to know.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::world::{Request, Web};

/// Names by kind: `commands` → `/deploy`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handlers(BTreeMap<String, BTreeSet<String>>);

impl Handlers {
    /// Asks one stack for its list.
    pub async fn read(web: &dyn Web, asked: Request) -> Result<Handlers, String> {
        let answer = web.exchange(asked).await.map_err(|e| e.what)?;
        if answer.status != 200 {
            return Err(format!("the list of listeners is answered with {}", answer.status));
        }
        let value: Value =
            serde_json::from_slice(&answer.body).map_err(|_| "the list of listeners is no JSON".to_string())?;
        Handlers::parse(&value).ok_or_else(|| {
            "the list of listeners is not as `bgctl explain bot-contract` shows it: `{\"commands\": [\"/deploy\"], …}`"
                .to_string()
        })
    }

    /// `{"commands": ["/deploy"], …}`; a list without a single name is no list.
    fn parse(value: &Value) -> Option<Handlers> {
        let mut kinds = BTreeMap::new();
        for (kind, names) in value.as_object()? {
            let names: Option<BTreeSet<String>> =
                names.as_array()?.iter().map(|name| name.as_str().map(String::from)).collect();
            kinds.insert(kind.clone(), names?);
        }
        let handlers = Handlers(kinds);
        (handlers.count() > 0).then_some(handlers)
    }

    pub fn count(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    /// What `other` lacks of these, as `command /deploy`; `retired` are meant to be gone.
    pub fn lacking(&self, other: &Handlers, retired: &[String]) -> Vec<String> {
        let has = |kind: &str, name: &str| other.0.get(kind).is_some_and(|names| names.contains(name));
        let all = self.0.iter().flat_map(|(kind, names)| names.iter().map(move |name| (kind, name)));
        all.filter(|(kind, name)| !has(kind, name))
            .map(|(kind, name)| format!("{} {name}", singular(kind)))
            .filter(|listener| !retired.contains(listener))
            .collect()
    }
}

/// `commands` is the list, `command` one of them; `closed_views` → `closed view`.
fn singular(kind: &str) -> String {
    match kind {
        // Slack's own word for one request of these.
        "options" => "options".into(),
        kind => kind.strip_suffix('s').unwrap_or(kind).replace('_', " "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(value: Value) -> Handlers {
        Handlers::parse(&value).unwrap()
    }

    #[test]
    fn what_the_other_lacks_is_named_and_what_it_has_more_is_not() {
        let blue = of(json!({ "commands": ["/deploy", "/old"], "events": ["app_mention"], "closed_views": ["m"] }));
        let green = of(json!({ "commands": ["/deploy", "/new"], "shortcuts": ["x"] }));
        assert_eq!(blue.lacking(&green, &[]), ["closed view m", "command /old", "event app_mention"]);
        assert_eq!(blue.lacking(&green, &["command /old".into()]), ["closed view m", "event app_mention"]);
        assert!(blue.lacking(&blue, &[]).is_empty());
    }

    #[test]
    fn a_list_of_nothing_is_no_list() {
        for value in
            [json!({}), json!([]), json!({ "commands": [] }), json!({ "commands": [1] }), json!({ "ok": true })]
        {
            assert_eq!(Handlers::parse(&value), None, "{value}");
        }
    }
}
