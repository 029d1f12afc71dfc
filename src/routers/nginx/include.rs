//! The file that bgctl writes: who gets which upstream, and a place where running workers say which file they run.
//!
//! Its first line names the generation, the generations it follows, and a sum over all of it: a change by hand is seen by the
//! sum. What others have put into the file stays there.

use base16ct::lower::encode_string as hex;
use sha2::{Digest, Sha256};

use super::settings::Settings;
use super::syntax::{Directive, parse};
use crate::plan::{Color, Split};

/// All users, in hundredths of a per cent: the finest share that nginx takes.
pub const ALL: u32 = 10_000;
const HEAD: &str = "# bgctl ";
const WORDS: &str = "# Written by bgctl, which takes a change by hand for somebody else's (`bgctl explain nginx`).";

/// The first line of a file of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub generation: String,
    /// The generations that this one was written over, on all hosts together.
    pub after: Vec<String>,
}

/// An include, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    /// None where it was not bgctl that wrote it.
    pub mark: Option<Mark>,
    /// It is byte for byte what bgctl wrote.
    pub intact: bool,
    /// Each upstream with its share in hundredths of a per cent.
    pub shares: Vec<(String, u32)>,
    /// Whoever asks without a key meets both sides, each as often as its share says.
    pub by_chance: bool,
    /// What is not ours: it is kept.
    pub rest: String,
}

impl Include {
    /// Takes a file apart, or says why nobody can say whom it sends where.
    pub fn read(text: &str, settings: &Settings) -> Result<Include, String> {
        let variable = settings.variable();
        let (mark, sound) = match text.strip_prefix(HEAD).and_then(|rest| rest.split_once('\n')) {
            Some((line, body)) => head(line, body).map_or((None, false), |(mark, sound)| (Some(mark), sound)),
            None => (None, false),
        };
        let (mut shares, mut by_chance) = (Vec::new(), true);
        let (mut rest, mut from) = (String::new(), 0);
        for directive in parse(text)? {
            let of_variable = ["map", "split_clients"].contains(&directive.name.as_str());
            let ours = match directive.word(1) {
                name if of_variable && name == variable => {
                    shares.push(told(&directive)?);
                    by_chance = directive.name == "map" || directive.word(0) == own_key(&variable);
                    true
                }
                name => of_variable && name == format!("{variable}_key") || is_proof(&directive),
            };
            if ours {
                // The blanks around what is ours are ours too.
                rest += &text[from..directive.span.start];
                rest.truncate(rest.trim_end().len());
                rest += "\n";
                from = directive.span.end + usize::from(text[directive.span.end..].starts_with('\n'));
            }
        }
        rest += &text[from..];
        let lines = rest.lines().filter(|line| !line.starts_with(HEAD) && *line != WORDS);
        let rest = lines.collect::<Vec<_>>().join("\n").trim().to_string();
        match shares.len() {
            1 => Ok(Include { mark, intact: sound, shares: shares.remove(0), by_chance, rest }),
            0 => Err(format!("it gives `{variable}` no value")),
            _ => Err(format!("it gives `{variable}` a value twice")),
        }
    }

    /// A share of green, or the upstream that is neither.
    pub fn green(&self, settings: &Settings) -> Result<u32, String> {
        let known = |name: &str| name == settings.blue || name == settings.green;
        match self.shares.iter().find(|(name, share)| *share > 0 && !known(name)) {
            Some((stranger, _)) => Err(format!("it sends users to `{stranger}`, which is neither stack")),
            None => Ok(self.shares.iter().filter(|(name, _)| *name == settings.green).map(|(_, share)| share).sum()),
        }
    }

    /// The same file with another split, as a generation behind those of all hosts.
    pub fn at(&self, to: Split, generation: &str, after: &[String], settings: &Settings) -> String {
        written(to, generation, after, &self.rest, settings)
    }
}

/// The file with everybody on one side, from the settings alone.
pub fn bare(stack: Color, settings: &Settings) -> String {
    let to = Split::all_on(stack);
    written(to, &generation(&[], to, &[]), &[], "", settings)
}

/// The name of a generation: with a chance of its own it is had once only, without one it follows from what was there.
pub fn generation(after: &[String], to: Split, chance: &[u8]) -> String {
    let words = format!("{} {to}", after.join(","));
    hex(&Sha256::new().chain_update(words).chain_update(chance).finalize()[..8])
}

/// The share of green in hundredths of a per cent, where nginx can have it.
pub fn hundredths(to: Split) -> Option<u32> {
    let all = u64::from(to.blue) + u64::from(to.green);
    let green = u64::from(to.green) * u64::from(ALL);
    (all > 0 && green.is_multiple_of(all)).then(|| (green / all) as u32)
}

/// A share of green as a split, with the small weights that a runbook has.
pub fn split(green: u32) -> Split {
    if green.is_multiple_of(10) { Split::of_green(green / 10) } else { Split { blue: ALL - green, green } }
}

fn written(to: Split, generation: &str, after: &[String], rest: &str, settings: &Settings) -> String {
    let green = hundredths(to).unwrap_or_else(|| panic!("BUG: nginx cannot have {to}"));
    let Settings { key, blue, green: upstream, .. } = settings;
    let (variable, (listen, path)) = (settings.variable(), settings.place().unwrap_or_default());
    let mut body = format!("{WORDS}\n");
    // 0 % is no share that nginx takes, and who has all users needs no key.
    match green {
        0 => body += &format!("map \"\" {variable} {{\n    default {blue};\n}}\n"),
        ALL => body += &format!("map \"\" {variable} {{\n    default {upstream};\n}}\n"),
        _ => {
            // Who has no key is shared out by chance, and so is bgctl when it looks from outside. Green stands first: as its
            // share grows nobody on green goes back to blue.
            body += &format!(
                "map \"$http_user_agent|{key}\" {variable}_key {{
    default \"{key}\";
    \"~^bgctl/\" $request_id;
    \"~^[^|]*\\|$\" $request_id;
}}
split_clients {own} {variable} {{
    {share}% {upstream};
    * {blue};
}}
",
                own = own_key(&variable),
                share = percent(green),
            );
        }
    }
    body += &format!(
        "server {{
    listen {listen};
    access_log off;
    location = {path} {{
        default_type text/plain;
        return 200 \"bgctl {generation} $pid {variable} {upstream} {green}\\n\";
    }}
    location / {{
        return 404;
    }}
}}
"
    );
    if !rest.is_empty() {
        body += &format!("\n{rest}\n");
    }
    let after = if after.is_empty() { "-".into() } else { after.join(",") };
    let sum = sum(generation, &after, &body);
    format!("{HEAD}{generation} after {after} sum {sum}\n{body}")
}

/// The key as bgctl writes it.
fn own_key(variable: &str) -> String {
    format!("${{{}_key}}", &variable[1..])
}

fn percent(hundredths: u32) -> String {
    let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
    text.trim_end_matches('0').trim_end_matches('.').into()
}

fn sum(generation: &str, after: &str, body: &str) -> String {
    hex(&Sha256::digest(format!("{generation} {after}\n{body}")))
}

/// The mark of a first line, and whether the sum is that of the text.
fn head(line: &str, body: &str) -> Option<(Mark, bool)> {
    let words: Vec<&str> = line.split(' ').collect();
    let [generation, "after", after, "sum", told] = words[..] else { return None };
    let list = after.split(',').filter(|name| *name != "-").map(String::from).collect();
    Some((Mark { generation: generation.into(), after: list }, told == sum(generation, after, body)))
}

/// The shares that a directive gives the variable.
fn told(directive: &Directive) -> Result<Vec<(String, u32)>, String> {
    let mut shares: Vec<(String, u32)> = Vec::new();
    let mut left = ALL;
    for entry in directive.inside() {
        let share = match (directive.name.as_str(), entry.name.as_str()) {
            ("map", "default") | ("split_clients", "*") => left,
            ("split_clients", share) => {
                share.strip_suffix('%').and_then(of_percent).ok_or_else(|| format!("`{share}` is no share"))?
            }
            (_, other) => return Err(format!("it decides by `{other}`, so nobody can say how many users go where")),
        };
        left = left.checked_sub(share).ok_or("its shares are more than 100%")?;
        shares.push((entry.word(0).into(), share));
    }
    if left > 0 {
        return Err(format!("{}% of the users have no upstream", percent(left)));
    }
    Ok(shares)
}

fn of_percent(text: &str) -> Option<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 2 {
        return None;
    }
    let part: u32 = format!("{part:0<2}").parse().ok()?;
    whole.parse::<u32>().ok()?.checked_mul(100)?.checked_add(part).filter(|share| *share <= ALL)
}

/// The server in which running workers say what they run.
fn is_proof(server: &Directive) -> bool {
    let says = |inside: &Directive| inside.name == "return" && inside.word(1).starts_with("bgctl ");
    server.name == "server" && server.inside().iter().any(|location| location.inside().iter().any(says))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings() -> Settings {
        let written = json!({ "include": "/etc/nginx/bgctl/web.conf", "key": "$http_x_team_id", "blue": "bot_blue", "green": "bot_green" });
        Settings::read(&written).unwrap()
    }

    fn first() -> Include {
        Include::read("map \"\" $bgctl_web { default bot_blue; }\n", &settings()).unwrap()
    }

    #[test]
    fn what_is_written_is_read_and_what_is_read_is_written() {
        let settings = settings();
        for per_mille in [0, 1, 5, 100, 333, 500, 995, 1000] {
            let to = Split::of_green(per_mille);
            let text = first().at(to, "aa", &["11".into(), "22".into()], &settings);
            let read = Include::read(&text, &settings).unwrap_or_else(|why| panic!("{why}:\n{text}"));
            assert_eq!(read.green(&settings), Ok(per_mille * 10), "{text}");
            assert_eq!(read.mark, Some(Mark { generation: "aa".into(), after: vec!["11".into(), "22".into()] }));
            assert!(read.intact && read.rest.is_empty(), "{read:?}");
            assert_eq!(read.at(to, "aa", &["11".into(), "22".into()], &settings), text);
            assert_eq!(split(per_mille * 10), to);
        }
        assert_eq!(
            (percent(5), percent(10), percent(1000), percent(9995)),
            ("0.05".into(), "0.1".into(), "10".into(), "99.95".into())
        );
    }

    #[test]
    fn green_stands_first_and_nothing_has_no_share() {
        let text = first().at(Split::of_green(100), "aa", &[], &settings());
        let (green, blue) = (text.find("10% bot_green;").unwrap(), text.find("* bot_blue;").unwrap());
        assert!(green < blue && text.contains("split_clients ${bgctl_web_key} $bgctl_web {"), "{text}");
        assert!(!first().at(Split::ALL_BLUE, "aa", &[], &settings()).contains('%'));
        assert!(!first().at(Split::ALL_GREEN, "aa", &[], &settings()).contains("bot_blue"));
    }

    #[test]
    fn a_change_by_hand_is_seen_and_what_others_wrote_stays() {
        let settings = settings();
        let text = first().at(Split::of_green(100), "aa", &[], &settings);
        for (what, by_hand) in [
            ("the share", text.replace("10%", "70%")),
            ("a comment", format!("{text}# mine\n")),
            ("the generation", text.replace("# bgctl aa", "# bgctl bb")),
        ] {
            let read = Include::read(&by_hand, &settings).unwrap();
            assert!(!read.intact && read.mark.is_some(), "{what}");
        }
        let mixed = format!("# of our own\nmap $a $b {{ default c; }}\n{text}\nserver {{ listen 81; }}\n");
        let read = Include::read(&mixed, &settings).unwrap();
        assert_eq!(read.rest, "# of our own\nmap $a $b { default c; }\n\nserver { listen 81; }");
        let again = Include::read(&read.at(Split::ALL_GREEN, "bb", &[], &settings), &settings).unwrap();
        assert!(again.intact && again.rest == read.rest, "{again:?}");
    }

    #[test]
    fn what_nobody_can_say_is_said() {
        let table = [
            ("", "it gives `$bgctl_web` no value"),
            (
                "map \"\" $bgctl_web { default a; } map \"\" $bgctl_web { default b; }",
                "it gives `$bgctl_web` a value twice",
            ),
            (
                "map $cookie_a $bgctl_web { default bot_blue; x bot_green; }",
                "it decides by `x`, so nobody can say how many users go where",
            ),
            ("split_clients $a $bgctl_web { 10% bot_green; }", "90% of the users have no upstream"),
            ("split_clients $a $bgctl_web { 60% bot_green; 50% bot_blue; }", "its shares are more than 100%"),
            ("split_clients $a $bgctl_web { 0.005% bot_green; * bot_blue; }", "`0.005%` is no share"),
            ("map \"\" $bgctl_web {", "line 1 has a block that does not end"),
        ];
        for (text, wanted) in table {
            assert_eq!(Include::read(text, &settings()).unwrap_err(), wanted, "{text}");
        }
        let third = Include::read("map \"\" $bgctl_web { default other; }", &settings()).unwrap();
        assert_eq!(third.green(&settings()).unwrap_err(), "it sends users to `other`, which is neither stack");
        assert!(third.mark.is_none() && !third.intact);
    }

    #[test]
    fn shares_that_nginx_can_have() {
        let table = [((1, 0), Some(0)), ((0, 7), Some(ALL)), ((999, 1), Some(10)), ((2, 1), None), ((0, 0), None)];
        for ((blue, green), wanted) in table {
            assert_eq!(hundredths(Split { blue, green }), wanted, "{blue}:{green}");
        }
    }
}
