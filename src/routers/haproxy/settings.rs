//! The settings of an `haproxy` route: where HAProxy listens for commands, and which servers of a backend are which side.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::socket::Address;
use super::weights::MOST;
use crate::diag::{self, Mistake, Review};
use crate::plan::{Color, Split};
use crate::routers::proportion::multiples;
use crate::scalar::OneOrMore;

/// The weights of the servers of one backend, set over HAProxy's runtime API.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The `stats socket`: `/run/haproxy/admin.sock`, or `127.0.0.1:9999`. A list where several HAProxies serve the same users.
    pub socket: OneOrMore,
    /// The backend, or the `listen` section, whose servers share the users.
    pub backend: String,
    /// The servers of the live stack: a name, a list of names, or `blue-*` for every name that begins so.
    pub blue: OneOrMore,
    /// The servers of the candidate, in the backend with weight 0.
    pub green: OneOrMore,
    /// Fewest healthy servers a side must have on each HAProxy before users may be sent to it; 1 when left out.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub min_healthy: u32,
    /// `consistent` where the backend says `hash-type consistent`, which the socket does not tell.
    #[serde(default)]
    pub hash_type: Option<HashType>,
}

/// How a backend that hashes finds the server of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HashType {
    Consistent,
}

fn one() -> u32 {
    1
}

/// Whether a text can stand in a command as one name. HAProxy gives names no other characters; with another one a second
/// command could be written into a name.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 128 && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.:".contains(c))
}

impl Settings {
    /// Reads the settings, or names all mistakes in them.
    pub fn read(value: &Value) -> Result<Settings, Vec<Mistake>> {
        let settings: Settings = diag::settings(value)?;
        let mut review = Review::default();
        let sockets = settings.socket.all();
        if sockets.is_empty() {
            review.wrong("/socket", "without a socket there is nobody to ask", Some("write `/run/haproxy/admin.sock`"));
        }
        for (n, socket) in sockets.iter().enumerate() {
            if let Err(why) = Address::read(socket) {
                let help =
                    "write the path or the address of the `stats socket`: `/run/haproxy/admin.sock`, `127.0.0.1:9999`";
                review.wrong("/socket", why, Some(help));
            }
            if sockets[..n].contains(socket) {
                review.wrong("/socket", format!("`{socket}` is listed twice"), None);
            }
        }
        if !is_name(&settings.backend) {
            review.wrong("/backend", format!("`{}` is not a name of HAProxy's", settings.backend), Some(NAME));
        }
        for (at, names) in [("/blue", &settings.blue), ("/green", &settings.green)] {
            if names.all().is_empty() {
                review.wrong(at, "a side has at least one server", None);
            }
            for name in names.all() {
                if !is_name(name.strip_suffix('*').unwrap_or(name)) {
                    review.wrong(at, format!("`{name}` is not the name of a server"), Some(NAME));
                }
            }
        }
        for name in settings.green.all() {
            let exact = name.strip_suffix('*').is_none();
            if settings.blue.all().contains(name) || exact && settings.blue.has(name) {
                review.wrong("/green", format!("`{name}` is a server of blue too"), None);
            }
        }
        if settings.min_healthy == 0 {
            review.wrong("/min_healthy", "users need at least 1 healthy server", None);
        }
        review.passed(|| settings)
    }

    pub fn side(&self, stack: Color) -> &OneOrMore {
        match stack {
            Color::Blue => &self.blue,
            Color::Green => &self.green,
        }
    }

    /// The side a server belongs to. One of both is told apart by nobody, so it belongs to neither; that is said elsewhere.
    pub fn side_of(&self, server: &str) -> Option<Color> {
        let mut sides = Color::BOTH.into_iter().filter(|stack| self.side(*stack).has(server));
        sides.next().filter(|_| sides.next().is_none())
    }

    /// Says which share cannot be had, as far as the settings tell: with one server a side that is certain.
    pub fn takes(&self, to: Split) -> Result<(), String> {
        let single = |names: &OneOrMore| matches!(names.all(), [name] if !name.ends_with('*'));
        match single(&self.blue) && single(&self.green) && multiples(to, [1, 1], [MOST, MOST]).is_none() {
            true => Err(format!("HAProxy's weights are whole numbers up to {MOST}, which cannot give {to}")),
            false => Ok(()),
        }
    }
}

const NAME: &str = "names have letters, digits, `-`, `_`, `.` and `:`; `blue-*` stands for all that begin with `blue-`";

impl OneOrMore {
    /// Whether one of the names is this server's, or begins it.
    pub fn has(&self, server: &str) -> bool {
        self.all().iter().any(|name| match name.strip_suffix('*') {
            Some(begins) => server.starts_with(begins),
            None => name == server,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(change: &[(&str, Value)]) -> Vec<String> {
        let mut settings = json!({ "socket": "/run/a.sock", "backend": "bot", "blue": "blue", "green": "green" });
        for (key, value) in change {
            settings[key] = value.clone();
        }
        let mistakes = Settings::read(&settings).err().unwrap_or_default();
        mistakes.into_iter().map(|m| format!("{} {}", m.at, m.message)).collect()
    }

    #[test]
    fn every_mistake_is_said_at_its_place() {
        assert_eq!(said(&[]), [""; 0]);
        assert_eq!(
            said(&[("socket", json!(["10.0.0.1:9999", "[::1]:9999"])), ("green", json!(["g1", "g-*"]))]),
            [""; 0]
        );
        let table = [
            (("socket", json!([])), "/socket without a socket there is nobody to ask"),
            (("socket", json!("admin.sock")), "/socket `admin.sock` is neither a whole path nor host:port"),
            (("socket", json!("999.1.1.1:9999")), "/socket `999.1.1.1:9999` is neither a whole path nor host:port"),
            (("socket", json!(["/a", "/a"])), "/socket `/a` is listed twice"),
            (
                ("backend", json!("bot; disable server bot/blue")),
                "/backend `bot; disable server bot/blue` is not a name of HAProxy's",
            ),
            (("blue", json!("a b")), "/blue `a b` is not the name of a server"),
            (("blue", json!([])), "/blue a side has at least one server"),
            (("blue", json!("blue*-1")), "/blue `blue*-1` is not the name of a server"),
            (("blue", json!("gre*")), "/green `green` is a server of blue too"),
            (("min_healthy", json!(0)), "/min_healthy users need at least 1 healthy server"),
        ];
        for (change, wanted) in table {
            assert_eq!(said(&[change]), [wanted]);
        }
        assert!(said(&[("sokcet", json!(1))])[0].contains("unknown field `sokcet`"));
    }

    #[test]
    fn a_share_that_whole_weights_cannot_have_is_said_before_anybody_is_asked() {
        let settings = |blue: Value| {
            let all = json!({ "socket": "/a", "backend": "bot", "blue": blue, "green": "green" });
            Settings::read(&all).expect("good settings")
        };
        let one = settings(json!("blue"));
        for (green, can) in
            [(0, true), (1, false), (3, false), (4, true), (5, true), (100, true), (333, false), (1000, true)]
        {
            assert_eq!(one.takes(Split::of_green(green)).is_ok(), can, "{green}");
        }
        // What several servers can do depends on their weights, which only HAProxy knows.
        assert!(settings(json!("blue-*")).takes(Split::of_green(1)).is_ok());
        assert_eq!(settings(json!("blue-*")).side_of("blue-7"), Some(Color::Blue));
        assert_eq!(settings(json!("blue-*")).side_of("spare"), None);
    }
}
