//! The settings of an `envoy` route: which file bgctl writes, which route in it, and whom it asks what came of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::diag::{self, Mistake, Review};
use crate::plan::Color;
use crate::scalar::OneOrMore;

/// The users of one route of Envoy, split between two clusters by the file that Envoy discovers its routes from.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The file that Envoy watches and bgctl writes, as it is called on this machine: `/etc/envoy/rds/bot.yaml`.
    pub file: String,
    /// Where Envoy's admin interface answers: `http://127.0.0.1:9901`. A list where several Envoys watch this very file.
    pub admin: OneOrMore,
    /// The name of the route configuration, as `route_config_name` says it.
    pub route_config: String,
    /// The name of the virtual host.
    pub virtual_host: String,
    /// The name of the route; may be left out where one route alone has weights of both clusters.
    #[serde(default)]
    pub route: Option<String>,
    /// The cluster of the live stack.
    pub blue: String,
    /// The cluster of the candidate, in the weights with `weight: 0`.
    pub green: String,
    /// The `node.id` of that Envoy, or of each in the order of `admin`: another one that answers there is refused.
    #[serde(default)]
    pub node: Option<OneOrMore>,
    /// Fewest healthy hosts a side must have, for each Envoy, before users may be sent to it; 1 when left out.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub min_healthy: u32,
}

fn one() -> u32 {
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
        let file = &self.file;
        // Envoy tells the form of a file by the end of its name.
        let known = [".yaml", ".yml", ".json"].iter().any(|end| file.ends_with(end));
        if !file.starts_with('/') || file.contains("..") || file.contains(char::is_control) || !known {
            let help = "write the whole path of a `.yaml`, `.yml` or `.json` file, such as `/etc/envoy/rds/bot.yaml`";
            review.wrong("/file", format!("`{file}` is not the path of a file of routes"), Some(help));
        }
        let admins = self.admin.all();
        if admins.is_empty() {
            review.wrong("/admin", "nobody says what Envoy runs", Some("write `http://127.0.0.1:9901`"));
        }
        for (n, admin) in admins.iter().enumerate() {
            if !is_admin(admin) {
                let help = "write the address behind `admin` in its configuration: `http://127.0.0.1:9901`";
                review.wrong("/admin", format!("`{admin}` is not where an admin interface answers"), Some(help));
            }
            if admins[..n].contains(admin) {
                review.wrong("/admin", format!("`{admin}` is listed twice"), None);
            }
        }
        if self.node.as_ref().is_some_and(|nodes| nodes.all().len() != admins.len()) {
            review.wrong("/node", "there is not one `node` for each `admin`", None);
        }
        let route = self.route.as_ref();
        let names = [
            ("/route_config", &self.route_config),
            ("/virtual_host", &self.virtual_host),
            ("/blue", &self.blue),
            ("/green", &self.green),
        ];
        let nodes = self.node.iter().flat_map(|nodes| nodes.all()).map(|name| ("/node", name));
        for (at, name) in names.into_iter().chain(route.map(|name| ("/route", name))).chain(nodes) {
            review.thing(at, name);
        }
        if self.blue == self.green {
            let help = "a dead green hides behind a blue of the same cluster: give each stack its own";
            review.wrong("/green", "both stacks are the same cluster", Some(help));
        }
        review.between("/min_healthy", self.min_healthy, 1, 10_000);
    }

    pub fn cluster(&self, stack: Color) -> &str {
        match stack {
            Color::Blue => &self.blue,
            Color::Green => &self.green,
        }
    }

    /// The place within the file, as people write it.
    pub fn inside(&self) -> String {
        let route = self.route.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
        format!("{}/{}{route}", self.route_config, self.virtual_host)
    }
}

/// An address over HTTP without anything behind it.
fn is_admin(text: &str) -> bool {
    let plain = |url: &reqwest::Url| {
        url.scheme() == "http"
            && url.host().is_some()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    };
    !text.ends_with('/') && reqwest::Url::parse(text).is_ok_and(|url| plain(&url))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(change: &[(&str, Value)]) -> Vec<String> {
        let mut settings = json!({
            "file": "/etc/envoy/rds/bot.yaml", "admin": "http://127.0.0.1:9901", "route_config": "bot",
            "virtual_host": "all", "blue": "blue", "green": "green",
        });
        for (key, value) in change {
            settings[key] = value.clone();
        }
        let mistakes = Settings::read(&settings).err().unwrap_or_default();
        mistakes.into_iter().map(|m| format!("{} {}", m.at, m.message)).collect()
    }

    #[test]
    fn every_mistake_is_said_at_its_place() {
        let two = json!(["http://10.0.0.1:9901", "http://[::1]:9901"]);
        assert_eq!(said(&[]), [""; 0]);
        assert_eq!(said(&[("admin", two.clone()), ("node", json!(["a", "b"])), ("route", json!("r"))]), [""; 0]);
        let table = [
            (("file", json!("rds.yaml")), "/file `rds.yaml` is not the path of a file of routes"),
            (("file", json!("/etc/envoy/rds.pb")), "/file `/etc/envoy/rds.pb` is not the path of a file of routes"),
            (("file", json!("/etc/../rds.yaml")), "/file `/etc/../rds.yaml` is not the path of a file of routes"),
            (("admin", json!([])), "/admin nobody says what Envoy runs"),
            (("admin", json!("127.0.0.1:9901")), "/admin `127.0.0.1:9901` is not where an admin interface answers"),
            (("admin", json!("http://u:p@a:1")), "/admin `http://u:p@a:1` is not where an admin interface answers"),
            (("admin", json!("http://a:1/x")), "/admin `http://a:1/x` is not where an admin interface answers"),
            (("admin", json!(["http://a:1", "http://a:1"])), "/admin `http://a:1` is listed twice"),
            (("node", json!(["a", "b"])), "/node there is not one `node` for each `admin`"),
            (("virtual_host", json!(" ")), "/virtual_host ` ` is not a name"),
            (("route", json!("")), "/route `` is not a name"),
            (("node", json!("")), "/node `` is not a name"),
            (("node", json!("a\tb")), r"/node `a\tb` is not a name"),
            (("blue", json!(" blue")), "/blue ` blue` is not a name"),
            (("green", json!("blue")), "/green both stacks are the same cluster"),
            (("min_healthy", json!(0)), "/min_healthy `0` is not between 1 and 10000"),
        ];
        for (change, wanted) in table {
            assert_eq!(said(&[change]), [wanted]);
        }
        let long = said(&[("blue", json!("x".repeat(5000)))]);
        assert!(
            long.len() == 1 && long[0].starts_with("/blue `xxx") && long[0].ends_with("…` is not a name"),
            "{long:?}"
        );
        assert!(said(&[("fiel", json!(1))])[0].contains("unknown field `fiel`"));
    }
}
