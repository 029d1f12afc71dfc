//! The site as its whole configuration says it (`nginx -T`): what has to be so that a split means what it says.

use std::collections::BTreeMap;

use super::settings::Settings;
use super::syntax::{Directive, parse};
use crate::plan::Color;

const HEAD: &str = "# configuration file ";
/// How deep files may include each other.
const DEEP: usize = 16;

/// A configuration with everything that it includes.
pub struct Site {
    all: Vec<Directive>,
    /// The files that it is made of.
    files: Vec<String>,
}

/// One server of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Server {
    /// `10.0.0.1:8080`, with its port, or `unix:/run/bot.sock`.
    pub address: String,
    /// The configuration takes it out.
    pub down: bool,
    pub backup: bool,
    /// A name that nginx itself looks up anew while it runs.
    pub resolve: bool,
}

/// What holds where users are sent on: the nearest directive of each name.
#[derive(Clone, Default)]
struct Here {
    next_upstream: BTreeMap<String, String>,
    keepalive: String,
    keepalive_min: String,
}

/// A directive that sends users on by the variable.
struct Pass {
    line: String,
    next_upstream: String,
    keepalive: String,
    keepalive_min: String,
}

impl Site {
    /// Reads what `nginx -T` prints.
    pub fn read(dump: &str) -> Result<Site, String> {
        let mut files: Vec<(String, String)> = Vec::new();
        for line in dump.lines() {
            match line.strip_prefix(HEAD).and_then(|rest| rest.strip_suffix(':')) {
                Some(name) => files.push((name.into(), String::new())),
                None => {
                    if let Some((_, text)) = files.last_mut() {
                        *text += line;
                        *text += "\n";
                    }
                }
            }
        }
        let mut parsed = BTreeMap::new();
        for (name, text) in &files {
            parsed.insert(name.as_str(), parse(text).map_err(|why| format!("`{name}`: {why}"))?);
        }
        let Some((main, _)) = files.first() else { return Err("it shows no file".into()) };
        let folder = main.rsplit_once('/').map_or("", |(folder, _)| folder);
        let all = joined(&parsed[main.as_str()], &parsed, folder, 0);
        Ok(Site { all, files: files.into_iter().map(|(name, _)| name).collect() })
    }

    /// The servers of an upstream; none where there is no such upstream.
    pub fn servers(&self, upstream: &str) -> Option<Vec<Server>> {
        let http = self.all.iter().filter(|directive| directive.name == "http").flat_map(Directive::inside);
        let mut named = http.filter(|directive| directive.name == "upstream" && directive.word(0) == upstream);
        let server = |directive: &Directive| {
            let has = |word: &str| directive.words.iter().any(|other| other == word);
            let (address, down, backup) = (with_port(directive.word(0)), has("down"), has("backup"));
            Server { address, down, backup, resolve: has("resolve") }
        };
        let servers = named.next()?.inside().iter().filter(|directive| directive.name == "server");
        Some(servers.map(server).collect())
    }

    /// What forbids a split here: the first of it, with its cure.
    pub fn forbids(&self, settings: &Settings) -> Option<(String, String)> {
        let (variable, include) = (settings.variable(), &settings.include);
        if !self.files.contains(include) {
            return Some((
                format!("the configuration does not include `{include}`"),
                format!("write `include {include};` inside `http`, and reload"),
            ));
        }
        let passes = self.passes(&variable);
        if passes.is_empty() {
            return Some((
                format!("nothing sends users on by `{variable}`"),
                format!("write `proxy_pass http://{variable};` where users of both stacks arrive, and reload"),
            ));
        }
        let mut sides = Vec::new();
        for stack in Color::BOTH {
            let name = settings.upstream(stack);
            match self.servers(name) {
                Some(servers) if !servers.is_empty() => sides.push(servers),
                _ => {
                    let cure = format!("add `upstream {name} {{ server ADDRESS; }}` with the servers of {stack}");
                    return Some((format!("there is no upstream `{name}` with a server"), cure));
                }
            }
        }
        if let Some(both) = sides[0].iter().find(|server| sides[1].iter().any(|other| other.address == server.address))
        {
            return Some((
                format!("`{}` is a server of both upstreams, so a dead green hides behind blue", both.address),
                "give each stack servers of its own".into(),
            ));
        }
        let hides = passes.iter().find(|pass| pass.next_upstream != "off")?;
        Some((
            format!("`{}` hides a dead green: nginx asks the next server by itself", hides.line),
            "write `proxy_next_upstream off;` beside it, and reload".into(),
        ))
    }

    /// What a person should know of reloads here.
    pub fn remarks(&self, settings: &Settings, version: &str) -> Vec<String> {
        let passes = self.passes(&settings.variable());
        let mut lines = vec![keepalive(&passes, version)];
        let top = self.all.iter().find(|directive| directive.name == "worker_shutdown_timeout");
        lines.push(match top.map(|directive| directive.word(0)) {
            Some(time) => format!(
                "worker_shutdown_timeout {time}: what an old worker still holds then is cut off without an answer"
            ),
            None => {
                "no worker_shutdown_timeout: an old worker stays as long as a WebSocket of its own, at the old split"
                    .into()
            }
        });
        let named: Vec<String> = Color::BOTH
            .into_iter()
            .flat_map(|stack| self.servers(settings.upstream(stack)).unwrap_or_default())
            .filter(|server| !server.resolve && is_name(&server.address))
            .map(|server| server.address)
            .collect();
        if !named.is_empty() {
            let named = named.join(", ");
            lines.push(format!(
                "{named}: nginx looks up names at each reload, so without DNS nobody can be sent back; write addresses"
            ));
        }
        lines
    }

    /// Where the variable sends users on.
    fn passes(&self, variable: &str) -> Vec<Pass> {
        let mut found = Vec::new();
        for http in self.all.iter().filter(|directive| directive.name == "http") {
            walk(http.inside(), &Here::default(), variable, &mut found);
        }
        found
    }
}

/// Whether connections of clients that are kept open lose requests at a reload. The figures are those of the page.
fn keepalive(passes: &[Pass], version: &str) -> String {
    let zero = |text: &str| text.trim_end_matches(|c: char| c.is_ascii_alphabetic()) == "0";
    if passes.iter().all(|pass| zero(&pass.keepalive)) {
        return "keepalive_timeout 0: no connection of a client is idle when a reload closes it".into();
    }
    if at_least(version, [1, 27, 4])
        && passes.iter().all(|pass| !pass.keepalive_min.is_empty() && !zero(&pass.keepalive_min))
    {
        let time = &passes[0].keepalive_min;
        return format!(
            "keepalive_min_timeout {time}: connections of clients outlive a reload, and for that long may be at the old split"
        );
    }
    "each reload closes connections that clients keep open, and loses the requests just under way on them: 16 busy clients \
     lost 7 POSTs a reload (`bgctl explain nginx`). Set keepalive_min_timeout (1.27.4) or `keepalive_timeout 0`"
        .into()
}

/// `nginx version: nginx/1.22.1` and its like.
fn at_least(version: &str, least: [u32; 3]) -> bool {
    let text = version.rsplit('/').next().unwrap_or_default();
    let mut parts = text.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    [0; 3].map(|_: u32| parts.next().unwrap_or(0)) >= least
}

fn walk(block: &[Directive], above: &Here, variable: &str, found: &mut Vec<Pass>) {
    let mut here = above.clone();
    for directive in block {
        match directive.name.as_str() {
            "keepalive_timeout" => here.keepalive = directive.word(0).into(),
            "keepalive_min_timeout" => here.keepalive_min = directive.word(0).into(),
            name if name.ends_with("_next_upstream") => {
                here.next_upstream.insert(name.trim_end_matches("_next_upstream").into(), directive.word(0).into());
            }
            _ => {}
        }
    }
    for directive in block {
        if let Some(family) = directive.name.strip_suffix("_pass").filter(|_| uses(directive.word(0), variable)) {
            found.push(Pass {
                line: format!("{} {};", directive.name, directive.word(0)),
                next_upstream: here.next_upstream.get(family).cloned().unwrap_or_default(),
                keepalive: here.keepalive.clone(),
                keepalive_min: here.keepalive_min.clone(),
            });
        }
        walk(directive.inside(), &here, variable, found);
    }
}

/// Whether a text has the variable, and not only another one that begins alike.
fn uses(text: &str, variable: &str) -> bool {
    let braces = format!("${{{}}}", &variable[1..]);
    let goes_on = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    text.contains(&braces) || text.match_indices(variable).any(|(at, _)| !goes_on(&text[at + variable.len()..]))
}

/// The directives with those of included files in their places.
fn joined(
    directives: &[Directive],
    files: &BTreeMap<&str, Vec<Directive>>,
    folder: &str,
    depth: usize,
) -> Vec<Directive> {
    let mut all = Vec::new();
    for directive in directives {
        if directive.name == "include" && depth < DEEP {
            let path = match directive.word(0) {
                path if path.starts_with('/') => path.to_string(),
                path => format!("{folder}/{path}"),
            };
            for (_, below) in files.iter().filter(|(name, _)| matches(&path, name)) {
                all.extend(joined(below, files, folder, depth + 1));
            }
        } else {
            let block = directive.block.as_ref().map(|inside| joined(inside, files, folder, depth));
            all.push(Directive { block, ..directive.clone() });
        }
    }
    all
}

/// Whether a path is one of a pattern's; a star stands for what is not a slash.
fn matches(pattern: &str, path: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == path,
        Some((before, after)) => path.strip_prefix(before).is_some_and(|rest| {
            let end = rest.find('/').unwrap_or(rest.len());
            (0..=end).filter(|at| rest.is_char_boundary(*at)).any(|at| matches(after, &rest[at..]))
        }),
    }
}

fn with_port(address: &str) -> String {
    let bare = address.rsplit(']').next().unwrap_or_default();
    if address.starts_with("unix:") || bare.contains(':') { address.into() } else { format!("{address}:80") }
}

fn is_name(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    !address.starts_with("unix:") && host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_err()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MAIN: &str = "nginx: the configuration file is ok
# configuration file /etc/nginx/nginx.conf:
worker_shutdown_timeout 10s;
http {
  keepalive_timeout 65s;
  include up/*.conf;
  include /etc/nginx/bgctl/*.conf;
  server { listen 80; proxy_next_upstream off; location / { proxy_pass http://$bgctl_web; } }
}
# configuration file /etc/nginx/up/bots.conf:
upstream blue { server 10.0.0.1:80; server 10.0.0.2 down; }
upstream green { server unix:/run/g.sock; server bot.internal:81 backup; }

# configuration file /etc/nginx/bgctl/web.conf:
map \"\" $bgctl_web { default blue; }
";

    fn settings() -> Settings {
        let written =
            json!({ "include": "/etc/nginx/bgctl/web.conf", "key": "$cookie_user", "blue": "blue", "green": "green" });
        Settings::read(&written).unwrap()
    }

    #[test]
    fn the_servers_of_an_upstream() {
        let site = Site::read(MAIN).unwrap();
        let server = |address: &str, down, backup| Server { address: address.into(), down, backup, resolve: false };
        assert_eq!(
            site.servers("blue"),
            Some(vec![server("10.0.0.1:80", false, false), server("10.0.0.2:80", true, false)])
        );
        assert_eq!(site.servers("green").unwrap()[1], server("bot.internal:81", false, true));
        assert_eq!(site.servers("other"), None);
        assert_eq!(with_port("[::1]"), "[::1]:80");
        assert!(!is_name("[::1]:80") && !is_name("10.0.0.1:80") && is_name("bot:80"));
    }

    #[test]
    fn what_forbids_a_split() {
        let said = |dump: String| Site::read(&dump).unwrap().forbids(&settings()).map(|(what, _)| what);
        let table = [
            (MAIN.to_string(), None),
            (
                MAIN.replace("include /etc/nginx/bgctl/*.conf;", "").replace("bgctl/web.conf:", "bgctl/web2.conf:"),
                Some("does not include"),
            ),
            (MAIN.replace("http://$bgctl_web;", "http://$bgctl_web2;"), Some("nothing sends users on by")),
            (MAIN.replace("http://$bgctl_web;", "http://${bgctl_web}/x;"), None),
            (MAIN.replace("upstream green", "upstream gren"), Some("no upstream `green`")),
            (MAIN.replace("unix:/run/g.sock", "10.0.0.2"), Some("`10.0.0.2:80` is a server of both")),
            (MAIN.replace("proxy_next_upstream off;", ""), Some("hides a dead green")),
            (MAIN.replace("proxy_next_upstream off;", "proxy_next_upstream error;"), Some("hides a dead green")),
            // The nearest one counts.
            (
                MAIN.replace("location / {", "location / { proxy_next_upstream error timeout;"),
                Some("hides a dead green"),
            ),
        ];
        for (dump, wanted) in table {
            let found = said(dump.clone());
            assert!(
                found.as_deref().is_none_or(|found| wanted.is_some_and(|w| found.contains(w)))
                    && found.is_some() == wanted.is_some(),
                "{found:?}, not {wanted:?}:\n{dump}"
            );
        }
    }

    #[test]
    fn what_is_said_of_reloads() {
        let said = |dump: &str, version: &str| Site::read(dump).unwrap().remarks(&settings(), version).join("\n");
        let old = said(MAIN, "nginx version: nginx/1.22.1");
        assert!(old.contains("each reload closes") && old.contains("worker_shutdown_timeout 10s"), "{old}");
        assert!(old.contains("bot.internal:81: nginx looks up names"), "{old}");
        assert!(said(&MAIN.replace("65s", "0"), "").contains("keepalive_timeout 0"));
        let kept = MAIN.replace("65s;", "65s; keepalive_min_timeout 5s;");
        assert!(said(&kept, "nginx version: nginx/1.27.4").contains("keepalive_min_timeout 5s"));
        assert!(
            said(&kept, "nginx version: openresty/1.27.3.1").contains("each reload closes"),
            "it is not known there"
        );
        assert!(said(&MAIN.replace("worker_shutdown_timeout 10s;", ""), "").contains("no worker_shutdown_timeout"));
        assert!(
            at_least("nginx version: nginx/1.31.3", [1, 27, 4]) && !at_least("nginx version: nginx/1.9.9", [1, 27, 4])
        );
    }

    #[test]
    fn patterns_of_includes() {
        assert!(matches("/a/*.conf", "/a/b.conf") && matches("/a/*", "/a/b") && matches("/*/b", "/a/b"));
        assert!(!matches("/a/*.conf", "/a/b/c.conf") && !matches("/a/*.conf", "/a/b.con"));
    }
}
