//! What belongs to a rehearsal: its addresses, names and secrets. Whatever is none of these is the world's.

use std::collections::BTreeMap;

use reqwest::Url;

/// Variables that programs need to run at all, and that hold no credential.
const FEW: [&str; 10] = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TERM", "TMPDIR", "TZ"];
/// `BGCTL_LAB_TOKEN` stands for `TOKEN` in a rehearsal: made up for it, and nothing of the real world.
const STANDS_IN: &str = "BGCTL_LAB_";
/// A port of loopback that nobody else has.
const FREE: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

/// The lab's own addresses and variables.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// Runbook variables that lead to the lab.
    pub variables: BTreeMap<String, String>,
    /// The environment of everything that a rehearsal reads or starts.
    pub env: BTreeMap<String, String>,
    /// Addresses and names that are the lab's.
    places: Vec<String>,
}

impl Own {
    /// `process`: the environment of the process itself, of which a rehearsal is given next to nothing.
    pub fn new(
        variables: BTreeMap<String, String>,
        environment: Vec<(String, String)>,
        process: &BTreeMap<String, String>,
    ) -> Own {
        let places = variables.values().chain(environment.iter().map(|(_, value)| value)).cloned().collect();
        let mut env = few(process);
        let stands_in = |(name, value): (&String, &String)| Some((name.strip_prefix(STANDS_IN)?.into(), value.clone()));
        env.extend(process.iter().filter_map(stands_in));
        env.extend(environment);
        Own { variables, env, places }
    }

    /// Whether this address leads to the lab. References have the values they have in a rehearsal.
    pub fn has(&self, address: &str) -> bool {
        let address = self.resolve(address);
        FREE.contains(&address.as_str()) || self.places.contains(&address) || self.serves(&address)
    }

    /// Whether a URL is of one of the lab's servers.
    pub fn serves(&self, url: &str) -> bool {
        let origin = |text: &str| Url::parse(text).ok().map(|url| url.origin()).filter(|origin| origin.is_tuple());
        origin(url).is_some_and(|wanted| self.places.iter().any(|own| origin(own).as_ref() == Some(&wanted)))
    }

    /// The text with the references that a rehearsal has a value for filled in.
    pub fn resolve(&self, text: &str) -> String {
        self.env.iter().fold(text.to_string(), |text, (name, value)| match text.contains("${env:") {
            true => text.replace(&format!("${{env:{name}}}"), value),
            false => text,
        })
    }
}

/// What programs need to run at all, of an environment.
pub fn few(process: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let needed = |name: &str| FEW.contains(&name) || name.starts_with("LC_");
    process.iter().filter(|(name, _)| needed(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    fn own() -> Own {
        let variables = map(&[("blue_url", "http://127.0.0.1:4001"), ("rule_arn", "arn:aws:elb:rule/lab")]);
        let environment = vec![("SLACK_WEBHOOK_URL".into(), "http://127.0.0.1:4002/services/T/B/x".into())];
        let process = map(&[
            ("PATH", "/bin"),
            ("LC_ALL", "C"),
            ("SLACK_WEBHOOK_URL", "https://hooks.slack.com/services/real"),
            ("DATABASE_URL", "postgres://app:pw@db/real"),
            ("BGCTL_LAB_API_URL", "https://api.example.com"),
        ]);
        Own::new(variables, environment, &process)
    }

    #[test]
    fn only_what_leads_to_the_lab_is_its_own() {
        let own = own();
        for address in [
            "http://127.0.0.1:4001",
            "http://127.0.0.1:4001/version?a=b",
            "HTTP://127.0.0.1:4001/",
            "arn:aws:elb:rule/lab",
            "${env:SLACK_WEBHOOK_URL}",
            "127.0.0.1:0",
        ] {
            assert!(own.has(address), "{address}");
        }
        for address in [
            "",
            "http://127.0.0.1:4003",
            "http://127.0.0.1",
            "https://127.0.0.1:4001",
            "http://localhost:4001",
            "http://127.0.0.1:4001@evil.example",
            "http://evil.example/http://127.0.0.1:4001",
            "arn:aws:elb:rule/lab2",
            "0.0.0.0:8787",
            "file:///etc/passwd",
            "https://api.example.com",
            "${env:API_URL}",
            "${env:DATABASE_URL}",
            "${file:/run/secrets/url}",
        ] {
            assert!(!own.has(address), "{address}");
        }
    }

    #[test]
    fn nothing_of_the_real_environment_is_in_it_but_what_programs_need() {
        let wanted = map(&[
            ("API_URL", "https://api.example.com"),
            ("LC_ALL", "C"),
            ("PATH", "/bin"),
            ("SLACK_WEBHOOK_URL", "http://127.0.0.1:4002/services/T/B/x"),
        ]);
        assert_eq!(own().env, wanted);
    }
}
