//! What a question is about: one stack or the service as a whole, and since when. It is filled into the question here, with what
//! its references stand for.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Gap;
use crate::plan::{Color, Plan};
use crate::secret::Secrets;

/// What a question is about. It stands where the question says `{stack}` (`blue` or `green`, or what the runbook says metrics call it), `{version}`, `{url}` (of that
/// stack) and `{since}` (the moment users were shifted, `2026-11-21T15:04:05Z`).
#[derive(Clone, Debug, Default)]
pub struct About {
    stack: Option<Stack>,
    since: Option<Timestamp>,
}

/// A stack, as questions know it.
#[derive(Clone, Debug)]
struct Stack {
    color: Color,
    /// What metrics call it.
    label: String,
    version: String,
    url: String,
    /// What leads to it at that address.
    headers: BTreeMap<String, String>,
}

/// What can be filled in that differs between the stacks.
const OF_A_STACK: [&str; 3] = ["{stack}", "{version}", "{url}"];

impl About {
    /// One stack of a plan.
    pub fn stack(plan: &Plan, color: Color) -> About {
        let stack = plan.stack(color);
        let label = stack.label.as_ref().or(stack.name.as_ref()).cloned().unwrap_or_else(|| color.name().into());
        let (version, url) = (stack.version.clone(), stack.url.trim_end_matches('/').to_string());
        About { stack: Some(Stack { color, label, version, url, headers: stack.headers.clone() }), since: None }
    }

    /// The service as a whole.
    pub fn service() -> About {
        About::default()
    }

    pub fn since(mut self, since: Timestamp) -> About {
        self.since = Some(since);
        self
    }

    pub fn color(&self) -> Option<Color> {
        self.stack.as_ref().map(|stack| stack.color)
    }

    /// What is sent along to the stack itself.
    pub(super) fn headers(&self) -> BTreeMap<String, String> {
        self.stack.as_ref().map(|stack| stack.headers.clone()).unwrap_or_default()
    }

    pub(super) fn shifted(&self) -> Option<Timestamp> {
        self.since
    }

    /// A stack that stands for any, where a question is only looked at.
    pub fn example(color: Color) -> About {
        let (label, version) = (color.name().into(), format!("{}-version", color.name()));
        About {
            stack: Some(Stack { color, label, version, url: "http://stack".into(), headers: BTreeMap::new() }),
            since: None,
        }
    }

    /// What stands in a question in the place of a word about this stack.
    pub fn words(&self) -> Vec<&str> {
        self.stack.iter().flat_map(|stack| [&stack.label, &stack.version, &stack.url]).map(String::as_str).collect()
    }

    /// The text with what is known of the stack, each word spelled for where it is put.
    pub fn of_stack(&self, text: &str, spell: fn(&str) -> String) -> String {
        let words = OF_A_STACK.iter().zip(self.words());
        words.fold(text.into(), |text: String, (name, value)| text.replace(name, &spell(value)))
    }

    /// The question with everything filled in that can be, references included.
    pub(super) fn fill(&self, text: &str, secrets: &Secrets) -> Result<String, Gap> {
        self.fill_as(text, secrets, str::to_string)
    }

    /// The same, with each word about a stack spelled for where it is put.
    pub(super) fn fill_as(&self, text: &str, secrets: &Secrets, spell: fn(&str) -> String) -> Result<String, Gap> {
        if self.stack.is_none() && asks_of_a_stack(text) {
            return Err(Gap::Unknown(format!("`{text}` asks about one stack, and this number is not about one")));
        }
        let mut text = self.of_stack(text, spell);
        if text.contains("{since}") {
            let Some(since) = self.since else {
                return Err(Gap::Unknown("no users have been shifted, so there is no `{since}`".into()));
            };
            let second = Timestamp::from_second(since.as_second()).unwrap_or(since);
            text = text.replace("{since}", &second.to_string());
        }
        Ok(secrets.resolve(&text))
    }
}

/// Whether the question differs between the stacks.
pub fn asks_of_a_stack(text: &str) -> bool {
    OF_A_STACK.iter().any(|name| text.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_about_one_stack_or_none() {
        let stack = Stack {
            color: Color::Green,
            label: "green".into(),
            version: "v2'x".into(),
            url: "http://g".into(),
            headers: BTreeMap::new(),
        };
        let about = About { stack: Some(stack), since: None };
        let secrets = Secrets::default();
        assert_eq!(about.fill("{url}/x?v={version}&s={stack}", &secrets).unwrap(), "http://g/x?v=v2'x&s=green");
        assert_eq!(about.fill_as("'{version}'", &secrets, |t| t.replace('\'', "''")).unwrap(), "'v2''x'");
        assert!(about.fill("{since}", &secrets).unwrap_err().line().contains("no users"));
        let since = About::service().since(Timestamp::from_millisecond(1_700_000_000_900).unwrap());
        assert_eq!(since.fill("> '{since}'", &secrets).unwrap(), "> '2023-11-14T22:13:20Z'");
        assert!(since.fill("{stack}", &secrets).unwrap_err().line().contains("one stack"));
    }
}
