//! From what there is to the one thing that is meant, or to words that list what there is. Pure: no calls.
//!
//! Nothing is guessed: no match and two matches are errors, and a name that is nearly right is only named.

use super::arn::Arn;
use super::names::{By, Header, Tags, Which, spoken_tags};
use crate::routers::{RouterError, Trouble};

/// The most things a message lists.
const LISTED: usize = 12;

/// A load balancer or a target group that there is.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub arn: Arn,
    pub tags: Tags,
}

/// A listener of the load balancer.
#[derive(Clone, Debug)]
pub struct Port {
    pub arn: Arn,
    pub port: u16,
    pub protocol: String,
}

/// A rule of the listener that is not its default rule.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub arn: String,
    pub priority: Option<u32>,
    pub hosts: Vec<String>,
    pub paths: Vec<String>,
    /// Each header that is asked for, with its values.
    pub headers: Vec<(String, Vec<String>)>,
    pub tags: Tags,
}

/// The one load balancer or target group that is meant. `kind`: what it is called, `region`: where it was looked for.
pub fn thing(kind: &str, by: &By, region: &str, all: &[Candidate]) -> Result<Arn, RouterError> {
    let fits = |candidate: &&Candidate| match by {
        By::Name(name) => candidate.arn.name() == name,
        By::Tags(tags) => has(&candidate.tags, tags),
    };
    let found: Vec<&Candidate> = all.iter().filter(fits).collect();
    let said = match by {
        By::Name(name) => format!("is called `{name}`"),
        By::Tags(tags) => format!("has the tags {}", spoken_tags(tags)),
    };
    match found[..] {
        [one] => Ok(one.arn.clone()),
        [] => Err(none(kind, by, &said, region, all)),
        _ => {
            let list = listed(found.iter().map(|c| format!("`{}` ({})", c.arn.name(), c.arn)));
            let what = format!("{} {kind}s in {region}, where one is meant: each {said}: {list}", found.len());
            Err(missed(Trouble::Invalid, what).cure("write its name or its ARN, or a tag that only one of them has"))
        }
    }
}

fn none(kind: &str, by: &By, said: &str, region: &str, all: &[Candidate]) -> RouterError {
    let names = || listed(all.iter().map(|c| format!("`{}`", c.arn.name())));
    let (there, cure) = match by {
        _ if all.is_empty() => (format!("there is no {kind} at all"), None),
        By::Name(name) => {
            let near = nearest(name, all.iter().map(|c| c.arn.name()));
            (format!("there are {}", names()), near.map(|near| format!("did you mean `{near}`?")))
        }
        By::Tags(wanted) => {
            // Those with the most of these tags are what somebody meant; where none has any, those with one of the keys.
            let equal = |c: &Candidate| wanted.iter().filter(|(key, value)| c.tags.get(*key) == Some(*value)).count();
            let most = all.iter().map(equal).max().unwrap_or_default();
            let own = |c: &Candidate| {
                let shown: Tags = c.tags.iter().filter(|(k, _)| wanted.contains_key(*k)).map(owned).collect();
                (!shown.is_empty()).then(|| format!("`{}` ({})", c.arn.name(), spoken_tags(&shown)))
            };
            match all.iter().filter(|c| equal(c) == most).filter_map(own).collect::<Vec<_>>() {
                near if near.is_empty() => (format!("none carries one of these keys; there are {}", names()), None),
                near => (format!("the nearest are {}", listed(near.into_iter())), None),
            }
        }
    };
    let cure = cure
        .unwrap_or_else(|| format!("name a {kind} that is there, or check `region` and whose credentials these are"));
    missed(Trouble::NotFound, format!("no {kind} in {region} {said}: {there}")).cure(cure)
}

/// The one listener at this port of the load balancer called `of`.
pub fn listener(port: u16, of: &str, all: &[Port]) -> Result<Arn, RouterError> {
    let found: Vec<&Port> = all.iter().filter(|listener| listener.port == port).collect();
    let list = |all: &[&Port]| listed(all.iter().map(|l| format!("{} ({})", l.port, l.protocol)));
    match found[..] {
        [one] => Ok(one.arn.clone()),
        [] if all.is_empty() => {
            let what = format!("`{of}` has no listener at port {port}: it has none at all");
            Err(missed(Trouble::NotFound, what).cure("add the listener, or name another load balancer"))
        }
        [] => {
            let what =
                format!("`{of}` has no listener at port {port}: it has {}", list(&all.iter().collect::<Vec<_>>()));
            Err(missed(Trouble::NotFound, what).cure("write one of these ports in `listener`"))
        }
        _ => {
            let what = format!("`{of}` has {} listeners at port {port}: {}", found.len(), list(&found));
            Err(missed(Trouble::Invalid, what).cure("write the ARN of one in `listener`"))
        }
    }
}

/// The one rule of the listener called `of` for which everything holds that is written.
pub fn rule(which: &Which, of: &str, all: &[Row]) -> Result<String, RouterError> {
    let found: Vec<&Row> = all.iter().filter(|row| row.is(which)).collect();
    match found[..] {
        [one] => Ok(one.arn.clone()),
        [] if all.is_empty() => {
            let what = format!("no rule of {of} has {which}: it has only its default rule");
            Err(missed(Trouble::NotFound, what).cure("leave `rule` out to move the default rule"))
        }
        [] => {
            let what = format!("no rule of {of} has {which}: there are {}", listed(all.iter().map(Row::words)));
            Err(missed(Trouble::NotFound, what)
                .cure("write in `rule` what one of them has, or leave it out for the default rule"))
        }
        _ => {
            let list = listed(found.iter().map(|row| row.words()));
            let what = format!("{} rules of {of} have {which}: {list}", found.len());
            Err(missed(Trouble::Invalid, what).cure("write the `priority` of one beside it, or its ARN"))
        }
    }
}

impl Row {
    fn is(&self, which: &Which) -> bool {
        let host = |host: &String| self.hosts.iter().any(|own| own.eq_ignore_ascii_case(host));
        let header = |wanted: &Header| {
            let own = |(name, values): &(String, Vec<String>)| {
                name.eq_ignore_ascii_case(&wanted.name) && values.contains(&wanted.value)
            };
            self.headers.iter().any(own)
        };
        which.priority.is_none_or(|priority| self.priority == Some(priority))
            && which.header.as_ref().is_none_or(header)
            && which.host.as_ref().is_none_or(host)
            && which.path.as_ref().is_none_or(|path| self.paths.contains(path))
            && has(&self.tags, &which.tags)
    }

    fn words(&self) -> String {
        let mut words = vec![self.priority.map_or("no priority".into(), |priority| format!("priority {priority}"))];
        words.extend(self.hosts.iter().map(|host| format!("host {host}")));
        words.extend(self.paths.iter().map(|path| format!("path {path}")));
        words.extend(self.headers.iter().map(|(name, values)| format!("header {name}: {}", values.join(" or "))));
        if !self.tags.is_empty() {
            words.push(format!("tags {}", spoken_tags(&self.tags)));
        }
        format!("({})", words.join(", "))
    }
}

fn has(tags: &Tags, wanted: &Tags) -> bool {
    wanted.iter().all(|(key, value)| tags.get(key) == Some(value))
}

fn owned((key, value): (&String, &String)) -> (String, String) {
    (key.clone(), value.clone())
}

fn nearest<'a>(name: &str, there: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |other: &str| strsim::jaro_winkler(other, name);
    there.max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|best| likeness(best) > 0.75)
}

fn listed(words: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = words.collect();
    match all.len().checked_sub(LISTED) {
        None | Some(0) => all.join(", "),
        Some(more) => format!("{} and {more} more", all[..LISTED].join(", ")),
    }
}

/// Where the place is not known, nothing is known of its users.
fn missed(kind: Trouble, what: String) -> RouterError {
    RouterError {
        read: Some("unknown: the place that they are at was not found".into()),
        ..RouterError::new(kind, what)
    }
}

#[cfg(test)]
mod tests {
    use super::super::arn::Sort;
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    fn group(name: &str, own: &[(&str, &str)]) -> Candidate {
        let text = format!("arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/{name}/6d0ecf831eec9f09");
        Candidate { arn: Arn::read(&text, Sort::TargetGroup).unwrap(), tags: tags(own) }
    }

    fn groups() -> Vec<Candidate> {
        vec![
            group("bot-blue", &[("app", "bot"), ("color", "blue"), ("team", "a")]),
            group("bot-green", &[("app", "bot"), ("color", "green")]),
            group("Bot-Blue", &[]),
            group("web", &[("app", "web"), ("color", "blue")]),
        ]
    }

    #[test]
    fn one_thing_is_meant_or_what_there_is_is_listed() {
        let named = |name: &str| By::Name(name.into());
        let tagged = |pairs: &[(&str, &str)]| By::Tags(tags(pairs));
        type Missed = (Trouble, &'static [&'static str], &'static str);
        let table: &[(By, Result<&str, Missed>)] = &[
            (named("bot-blue"), Ok("bot-blue")),
            (named("Bot-Blue"), Ok("Bot-Blue")),
            (tagged(&[("app", "bot"), ("color", "blue")]), Ok("bot-blue")),
            (tagged(&[("team", "a")]), Ok("bot-blue")),
            (
                named("bot-gren"),
                Err((
                    Trouble::NotFound,
                    &["no target group in us-east-1 is called `bot-gren`", "`web`"],
                    "did you mean `bot-green`?",
                )),
            ),
            (named("zzz"), Err((Trouble::NotFound, &["there are `bot-blue`, `bot-green`"], "check `region`"))),
            (
                tagged(&[("app", "bot")]),
                Err((
                    Trouble::Invalid,
                    &[
                        "2 target groups in us-east-1, where one is meant: each has the tags app=bot",
                        "`bot-blue` (arn:aws:",
                    ],
                    "or a tag that only one of them has",
                )),
            ),
            (
                tagged(&[("app", "bot"), ("color", "bleu")]),
                Err((
                    Trouble::NotFound,
                    &["the nearest are", "`bot-blue` (app=bot, color=blue)"],
                    "name a target group",
                )),
            ),
            // A key or a value that differs in case is another.
            (
                tagged(&[("App", "bot")]),
                Err((Trouble::NotFound, &["none carries one of these keys"], "name a target group")),
            ),
            (tagged(&[("app", "Bot")]), Err((Trouble::NotFound, &["`web` (app=web)"], "name a target group"))),
        ];
        for (by, wanted) in table {
            match (thing("target group", by, "us-east-1", &groups()), wanted) {
                (Ok(arn), Ok(name)) => assert_eq!(arn.name(), *name),
                (Err(error), Err((kind, words, cure))) => {
                    assert_eq!(error.kind, *kind, "{error}");
                    for word in *words {
                        assert!(error.what.contains(word), "{word}: {error}");
                    }
                    assert!(error.cure.as_ref().unwrap().contains(cure), "{:?}", error.cure);
                    assert!(error.read.unwrap().starts_with("unknown"));
                }
                (found, _) => panic!("{by}: {found:?}"),
            }
        }
        let none = thing("load balancer", &named("bot"), "us-east-1", &[]).unwrap_err();
        assert!(none.what.contains("there is no load balancer at all"), "{none}");
        let many: Vec<Candidate> = (0..40).map(|n| group(&format!("g{n}"), &[])).collect();
        let error = thing("target group", &named("x"), "us-east-1", &many).unwrap_err();
        assert!(error.what.ends_with("`g11` and 28 more"), "{error}");
    }

    #[test]
    fn a_port_is_a_listener_or_those_there_are_are_listed() {
        let arn = |id: u64| {
            let text = format!(
                "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/bot/50dc6c495c0c9188/{id:016x}"
            );
            Arn::read(&text, Sort::Listener).unwrap()
        };
        let at = |port, protocol: &str| Port { arn: arn(u64::from(port)), port, protocol: protocol.into() };
        let all = [at(80, "HTTP"), at(443, "HTTPS")];
        assert_eq!(listener(443, "bot", &all).unwrap(), arn(443));
        let said = |port, all: &[Port]| {
            let error = listener(port, "bot", all).unwrap_err();
            format!("{:?}: {error}; {}", error.kind, error.cure.clone().unwrap())
        };
        assert!(
            said(8443, &all)
                .contains("NotFound: `bot` has no listener at port 8443: it has 80 (HTTP), 443 (HTTPS); write one")
        );
        assert!(said(80, &[]).contains("it has none at all"));
        assert!(said(53, &[at(53, "TCP"), at(53, "UDP")]).contains("Invalid: `bot` has 2 listeners at port 53"));
    }

    #[test]
    fn a_rule_is_one_for_which_everything_holds_that_is_written() {
        let row = |priority: u32, hosts: &[&str], paths: &[&str], own: &[(&str, &str)]| Row {
            arn: format!("rule {priority}"),
            priority: Some(priority),
            hosts: hosts.iter().map(ToString::to_string).collect(),
            paths: paths.iter().map(ToString::to_string).collect(),
            headers: vec![("X-Bgctl-Stack".into(), vec!["green".into(), format!("g{priority}")])],
            tags: tags(own),
        };
        let all = [
            row(10, &["bot.example.com"], &["/slack/*"], &[("app", "bot")]),
            row(20, &["bot.example.com"], &["/admin/*", "/ops/*"], &[("app", "bot"), ("of", "ops")]),
            row(30, &[], &["/slack/*"], &[]),
        ];
        let which = |change: fn(&mut Which)| {
            let mut which = Which::default();
            change(&mut which);
            rule(&which, "listener 443 of `bot`", &all).map_err(|error| format!("{:?}: {error}", error.kind))
        };
        assert_eq!(which(|w| w.priority = Some(20)).unwrap(), "rule 20");
        assert_eq!(which(|w| w.path = Some("/ops/*".into())).unwrap(), "rule 20");
        assert_eq!(which(|w| w.tags = tags(&[("of", "ops")])).unwrap(), "rule 20");
        let both = which(|w| (w.host, w.path) = (Some("BOT.example.com".into()), Some("/slack/*".into())));
        assert_eq!(both.unwrap(), "rule 10", "a host has no case");
        let two = which(|w| w.host = Some("bot.example.com".into())).unwrap_err();
        assert!(
            two.starts_with("Invalid: 2 rules of listener 443 of `bot` have host bot.example.com: (priority 10"),
            "{two}"
        );
        let none = which(|w| (w.priority, w.path) = (Some(30), Some("/ops/*".into()))).unwrap_err();
        assert!(none.contains("NotFound: no rule of") && none.contains("(priority 30, path /slack/*,"), "{none}");
        assert!(which(|w| w.path = Some("/SLACK/*".into())).is_err(), "a path has");
        let header = |name: &str, value: &str| Some(Header { name: name.into(), value: value.into() });
        let asks = |header| rule(&Which { header, ..Which::default() }, "x", &all).map_err(|error| error.to_string());
        assert_eq!(asks(header("x-bgctl-stack", "g30")).unwrap(), "rule 30", "a header's name has none");
        assert!(asks(header("x-bgctl-stack", "G30")).unwrap_err().contains("header X-Bgctl-Stack: green or g10"));
        assert!(asks(header("x-bgctl-stack", "green")).unwrap_err().starts_with("3 rules"));
        let bare = rule(&Which { priority: Some(1), ..Which::default() }, "x", &[]).unwrap_err();
        assert!(bare.what.contains("only its default rule"), "{bare}");
    }
}
