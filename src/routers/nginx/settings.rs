//! The settings of an `nginx` route. Everything in them ends up in a configuration file or in a shell of a host, so each has
//! a narrow form.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::diag::{self, Mistake, Review, is_thing};
use crate::plan::Color;

/// The users of a site behind nginx, split between two of its upstreams by a file that bgctl writes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The file that bgctl writes and that the configuration includes at the level of `http`: `/etc/nginx/bgctl/web.conf`.
    pub include: String,
    /// What users are told apart by, in nginx's variables: `$http_x_team_id`. Whoever has the same key stays on the same side.
    pub key: String,
    /// The upstream of the live stack, by its name in the configuration.
    pub blue: String,
    /// The upstream of the candidate.
    pub green: String,
    /// The variable that `proxy_pass` uses; `$bgctl_` with the name of the include when left out.
    #[serde(default)]
    pub variable: Option<String>,
    /// How each host is reached, as the words a command there begins with: `[ssh, web-1, --]`. This machine when left out.
    #[serde(default = "here")]
    #[schemars(length(min = 1, max = 100))]
    pub hosts: Vec<Vec<String>>,
    /// How nginx is called there, in words: `[nginx, -c, /etc/nginx/nginx.conf]`; `[nginx]` when left out.
    #[serde(default = "nginx")]
    #[schemars(length(min = 1))]
    pub nginx: Vec<String>,
    /// Where the running workers say which file they run, asked on the host itself; the include listens there.
    /// `http://127.0.0.1:9180/bgctl` when left out.
    #[serde(default = "proof")]
    pub proof: String,
    /// What is asked of each server of an upstream, from each host; `/healthz/ready` when left out.
    #[serde(default = "health")]
    pub health: String,
    /// Fewest healthy servers a side must have before users may be sent to it; 1 when left out.
    #[serde(default = "min_healthy")]
    #[schemars(range(min = 1))]
    pub min_healthy: u32,
}

fn here() -> Vec<Vec<String>> {
    vec![Vec::new()]
}

fn nginx() -> Vec<String> {
    vec!["nginx".into()]
}

fn proof() -> String {
    "http://127.0.0.1:9180/bgctl".into()
}

fn health() -> String {
    "/healthz/ready".into()
}

fn min_healthy() -> u32 {
    1
}

impl Settings {
    /// Reads the settings, or names all mistakes in them.
    pub fn read(value: &Value) -> Result<Settings, Vec<Mistake>> {
        let settings: Settings = diag::settings(value)?;
        let mut review = Review::default();
        settings.review(&mut review);
        review.passed(|| settings)
    }

    fn review(&self, review: &mut Review) {
        let plain = |text: &str, more: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
        let file = &self.include;
        if !file.starts_with('/') || file.ends_with('/') || file.contains("..") || !plain(file, "/._-+@") {
            let help = "write the whole path of a file, such as `/etc/nginx/bgctl/web.conf`";
            review.wrong("/include", format!("`{file}` is not the path of an include"), Some(help));
        }
        for (at, name) in [("/blue", &self.blue), ("/green", &self.green)] {
            if !is_thing(name) || !plain(name, "_.-") {
                let help = "the name behind `upstream` in the configuration: letters, digits, `_`, `.` and `-`";
                review.wrong(at, format!("`{name}` is not the name of an upstream"), Some(help));
            }
        }
        if self.blue == self.green {
            let help = "a dead green hides behind a blue of the same upstream: give each stack its own";
            review.wrong("/green", "both stacks are the same upstream", Some(help));
        }
        if !is_key(&self.key) {
            let help = "variables of nginx and plain letters, such as `$http_x_team_id` or `$cookie_user`";
            review.wrong("/key", format!("`{}` tells nobody apart", self.key), Some(help));
        }
        if !is_variable(&self.variable()) {
            let help = "write `$` and letters, digits or `_`, such as `$bgctl_web`";
            review.wrong("/variable", format!("`{}` is not a variable", self.variable()), Some(help));
        }
        let place = self.place();
        let path_is_plain = place.is_some_and(|(_, path)| path.len() > 1 && plain(path, "/._-"));
        if !path_is_plain || place.is_none_or(|(listen, _)| !is_listen(listen)) {
            let help = "an address and a port of the host itself and a path: `http://127.0.0.1:9180/bgctl`";
            review.wrong("/proof", format!("`{}` cannot be asked", self.proof), Some(help));
        }
        if self.nginx.first().is_none_or(|program| program.is_empty() || program.starts_with('-')) {
            review.wrong("/nginx", "there is no program to call", Some("write `[nginx]`, or the path of it"));
        }
        if self.hosts.is_empty() {
            review.wrong("/hosts", "a route has at least one host", Some("leave `hosts` out for this machine"));
        }
        for (n, host) in self.hosts.iter().enumerate() {
            let at = format!("/hosts/{n}");
            if host.first().is_some_and(|program| program.is_empty() || program.starts_with('-')) {
                review.wrong(&at, "a host begins with a program", Some("write `[ssh, web-1, --]`"));
            }
            if self.hosts[..n].contains(host) {
                review.wrong(&at, "this host is listed twice", None);
            }
        }
        for (at, word) in self.words() {
            // A line of a script ends at a line break, whatever quotes are around it for people.
            if word.contains(char::is_control) {
                review.wrong(&at, "a word of a command has no control characters", None);
            }
        }
        review.path("/health", &self.health);
        if !plain(&self.health, "/._-?=&%") {
            review.wrong("/health", format!("`{}` is not a plain path", self.health), None);
        }
        review.between("/min_healthy", self.min_healthy, 1, 10_000);
    }

    /// Each word of a command, and where it stands.
    fn words(&self) -> impl Iterator<Item = (String, &String)> {
        let hosts = self.hosts.iter().enumerate();
        let of_hosts = hosts.flat_map(|(n, host)| host.iter().map(move |word| (format!("/hosts/{n}"), word)));
        self.nginx.iter().map(|word| ("/nginx".to_string(), word)).chain(of_hosts)
    }

    pub fn upstream(&self, stack: Color) -> &str {
        match stack {
            Color::Blue => &self.blue,
            Color::Green => &self.green,
        }
    }

    /// The variable that sends a request to its upstream, with its `$`.
    pub fn variable(&self) -> String {
        if let Some(written) = &self.variable {
            return format!("${}", written.trim_start_matches('$'));
        }
        let name = self.include.rsplit('/').next().unwrap_or_default();
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let letters: String =
            stem.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
        format!("$bgctl_{letters}")
    }

    /// What the include listens on for the proof, and the path that is asked there.
    pub fn place(&self) -> Option<(&str, &str)> {
        let rest = self.proof.strip_prefix("http://")?;
        let at = rest.find('/')?;
        Some(rest.split_at(at))
    }
}

/// Variables and plain letters: nothing that ends a quoted word or begins another language.
fn is_key(key: &str) -> bool {
    let mut variables = 0;
    for (n, part) in key.split('$').enumerate() {
        if !part.chars().all(|c| c.is_ascii_alphanumeric() || "_:.-".contains(c)) {
            return false;
        }
        if n > 0 {
            if !part.starts_with(|c: char| c.is_ascii_lowercase()) {
                return false;
            }
            variables += 1;
        }
    }
    variables > 0
}

fn is_variable(variable: &str) -> bool {
    let name = variable.trim_start_matches('$');
    name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// An address with a port, where nothing but the host itself needs to reach it.
fn is_listen(listen: &str) -> bool {
    let Some((host, port)) = listen.rsplit_once(':') else { return false };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    port.parse::<u16>().is_ok_and(|port| port > 0) && address.is_ok_and(|ip| ip.is_ipv6() == host.starts_with('['))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn good() -> Value {
        json!({ "include": "/etc/nginx/bgctl/web-site.conf", "key": "$http_x_team_id", "blue": "bot_blue", "green": "bot_green" })
    }

    #[test]
    fn what_is_left_out_has_a_value() {
        let settings = Settings::read(&good()).unwrap();
        assert_eq!(
            (settings.variable().as_str(), settings.nginx.as_slice()),
            ("$bgctl_web_site", &["nginx".to_string()][..])
        );
        assert_eq!(settings.place(), Some(("127.0.0.1:9180", "/bgctl")));
        assert_eq!((settings.hosts, settings.min_healthy), (vec![Vec::<String>::new()], 1));
    }

    #[test]
    fn every_mistake_has_its_place() {
        let table: [(&str, Value, &str, &str); 22] = [
            ("include", json!("web.conf"), "/include", "is not the path"),
            ("include", json!("/etc/nginx/a b'; rm.conf"), "/include", "is not the path"),
            ("include", json!("/etc/../x"), "/include", "is not the path"),
            ("key", json!("team"), "/key", "tells nobody apart"),
            ("key", json!("$a\"; }"), "/key", "tells nobody apart"),
            ("key", json!("${a}"), "/key", "tells nobody apart"),
            ("key", json!("$1"), "/key", "tells nobody apart"),
            ("blue", json!("bot;blue"), "/blue", "is not the name"),
            ("green", json!(""), "/green", "is not the name"),
            ("green", json!("bot_blue"), "/green", "the same upstream"),
            ("variable", json!("$a b"), "/variable", "is not a variable"),
            ("proof", json!("https://127.0.0.1:9180/bgctl"), "/proof", "cannot be asked"),
            ("proof", json!("http://127.0.0.1/bgctl"), "/proof", "cannot be asked"),
            ("proof", json!("http://127.0.0.1:9180/"), "/proof", "cannot be asked"),
            ("proof", json!("http://web-1:9180/bgctl"), "/proof", "cannot be asked"),
            ("proof", json!("http://127.0.0.1:9180/a b"), "/proof", "cannot be asked"),
            ("hosts", json!([]), "/hosts", "at least one host"),
            ("hosts", json!([["ssh", "a"], ["ssh", "a"]]), "/hosts/1", "listed twice"),
            ("hosts", json!([["ssh", "a\nb"]]), "/hosts/0", "control characters"),
            ("nginx", json!([]), "/nginx", "no program"),
            ("health", json!("ready"), "/health", "is not a path"),
            ("min_healthy", json!(0), "/min_healthy", "not between"),
        ];
        for (key, value, at, words) in table {
            let mut settings = good();
            settings[key] = value;
            let found = Settings::read(&settings).unwrap_err();
            assert!(found.iter().any(|m| m.at == at && m.message.contains(words)), "{key}: {found:?}");
        }
        let mut misspelt = good();
        misspelt["incldue"] = json!("/x");
        assert!(Settings::read(&misspelt).unwrap_err()[0].message.contains("unknown field"));
        for key in ["$remote_addr$http_user_agent", "$cookie_user", "team:$http_x_team_id"] {
            assert!(is_key(key), "{key}");
        }
        assert!(is_listen("[::1]:9180") && !is_listen("::1:9180") && !is_listen("127.0.0.1:0"));
    }
}
