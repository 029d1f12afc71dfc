//! What one HAProxy says of itself and of the servers of a backend: `show info`, `show servers state`, `show stat`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::settings::{Settings, is_name};
use super::weights::{Weighed, split};
use crate::plan::{Color, Split};
use crate::routers::Health;

/// The bits of `srv_admin_state` that somebody has set: maintenance and drain, here or on a server that this one tracks. A
/// name that is not resolved is left to health.
const MAINTENANCE: u32 = 0x01 | 0x02;
const DRAIN: u32 = 0x08 | 0x10;
/// A name that is not resolved.
const UNRESOLVED: u32 = 0x20;

/// Which process answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: u64,
    /// In Unix seconds; where it does not say so, it is told apart by its id alone.
    pub started: Option<u64>,
}

/// One HAProxy at one moment.
#[derive(Clone, Debug)]
pub struct Instance {
    pub at: String,
    pub process: Process,
    pub version: String,
    pub uptime: u64,
    /// It has been told to end, or another one has taken its place.
    pub stopping: bool,
    pub algorithm: String,
    /// The name of the cookie by which users keep their server.
    pub cookie: Option<String>,
    pub servers: Vec<Server>,
    /// Servers of neither side that get users.
    pub strangers: Vec<String>,
    /// Every server of the backend.
    pub names: Vec<String>,
}

/// One server of a side.
#[derive(Clone, Debug)]
pub struct Server {
    pub weighed: Weighed,
    /// Connections that are open to it now.
    pub connections: u64,
    /// Why it is not well, if it is not.
    pub ailment: Option<String>,
    /// Its own agent may change its weight.
    pub agent: bool,
}

impl Instance {
    pub fn weights(&self) -> Vec<Weighed> {
        self.servers.iter().map(|server| server.weighed.clone()).collect()
    }

    pub fn split(&self) -> Split {
        split(&self.weights())
    }

    pub fn of(&self, stack: Color) -> impl Iterator<Item = &Server> {
        self.servers.iter().filter(move |server| server.weighed.side == stack)
    }

    /// How many sessions are open to a side.
    pub fn open(&self, stack: Color) -> u64 {
        self.of(stack).map(|server| server.connections).sum()
    }

    /// Adds its servers of one side to a count. Which HAProxy it is, is said where there are several.
    pub fn count(&self, stack: Color, several: bool, health: &mut Health) {
        for server in self.of(stack) {
            health.total += 1;
            match &server.ailment {
                None => health.healthy += 1,
                Some(why) if several => health.ailing.push(format!("{} at {}: {why}", server.weighed.name, self.at)),
                Some(why) => health.ailing.push(format!("{}: {why}", server.weighed.name)),
            }
        }
    }
}

/// The facts of `show info`, by their names.
pub fn facts(lines: &[String]) -> BTreeMap<&str, &str> {
    lines.iter().filter_map(|line| line.split_once(": ")).collect()
}

/// Which process this is; none where the answer does not say.
pub fn process(info: &BTreeMap<&str, &str>) -> Option<Process> {
    let number = |name: &str| info.get(name).and_then(|text| text.parse().ok());
    Some(Process { pid: number("Pid")?, started: number("Start_time_sec") })
}

/// Puts the three answers together. An error says which of them cannot be understood, and what it said.
pub fn instance(at: &str, settings: &Settings, answers: &[Vec<String>]) -> Result<Instance, String> {
    let [info, state, stat] = answers else { return Err("it gives another number of answers".into()) };
    let said = |lines: &[String]| lines.first().cloned().unwrap_or_else(|| "nothing".into());
    let first = said(info);
    let info = facts(info);
    let process = process(&info).ok_or_else(|| format!("`show info` does not say which process it is: {first}"))?;
    let states = table(state.get(1..).unwrap_or_default(), &[' ']);
    if state.first().is_none_or(|version| version != "1") || states.is_empty() {
        return Err(format!("`show servers state {}` says: {}", settings.backend, said(state)));
    }
    let stats = table(stat, &[',']);
    if stats.is_empty() {
        return Err(format!("`show stat` says: {}", said(stat)));
    }
    let stat_of = |name: &str| stats.iter().find(|row| row.get("svname").is_some_and(|n| n == name));
    let whole = stat_of("BACKEND");
    let mut servers = Vec::new();
    let mut strangers = Vec::new();
    for row in &states {
        let name = text(row, "srv_name");
        let missing = |what: &str| format!("`show servers state` gives no `{what}` of `{name}`");
        let number = |what: &str| text(row, what).parse::<u32>().map_err(|_| missing(what));
        let (weight, admin, op) = (number("srv_uweight")?, number("srv_admin_state")?, number("srv_op_state")?);
        let stat = stat_of(name).ok_or_else(|| format!("`show stat` does not know the server `{name}`"))?;
        let backup = text(stat, "bck") == "1";
        let takes = admin & (MAINTENANCE | DRAIN) == 0 && !backup;
        let Some(side) = settings.side_of(name) else {
            if takes && weight > 0 {
                strangers.push(name.to_string());
            }
            continue;
        };
        // It becomes part of a command.
        if !is_name(name) {
            return Err(format!("`{}` is not the name of a server", name.escape_default()));
        }
        let initial = number("srv_iweight")?;
        servers.push(Server {
            weighed: Weighed { name: name.into(), side, weight, initial, takes },
            connections: text(stat, "scur").parse().unwrap_or(0),
            ailment: ailment(admin, op, backup, stat),
            agent: !text(stat, "agent_status").is_empty(),
        });
    }
    let of_whole = |column: &str| whole.map(|row| text(row, column)).unwrap_or_default().to_string();
    Ok(Instance {
        at: at.into(),
        version: info.get("Version").copied().unwrap_or_default().to_string(),
        uptime: info.get("Uptime_sec").and_then(|text| text.parse().ok()).unwrap_or_default(),
        stopping: info.get("Stopping").is_some_and(|text| *text != "0"),
        algorithm: of_whole("algo"),
        cookie: Some(of_whole("cookie")).filter(|name| !name.is_empty()),
        names: states.iter().map(|row| text(row, "srv_name").to_string()).collect(),
        process,
        servers,
        strangers,
    })
}

/// The weight of each server, of `show servers state`.
pub fn held(state: &[String]) -> BTreeMap<String, u32> {
    let rows = table(state.get(1..).unwrap_or_default(), &[' ']).into_iter();
    rows.filter_map(|row| Some((text(&row, "srv_name").to_string(), text(&row, "srv_uweight").parse().ok()?))).collect()
}

type Row = BTreeMap<String, String>;

fn text<'r>(row: &'r Row, column: &str) -> &'r str {
    row.get(column).map_or("", String::as_str)
}

/// Why nobody should be sent to a server. One that is not checked may be anything, so it is not well.
fn ailment(admin: u32, op: u32, backup: bool, stat: &Row) -> Option<String> {
    let status = text(stat, "status");
    let check = |column: &str| text(stat, column).trim_start_matches("* ").to_string();
    let checks: Vec<String> =
        ["check_status", "agent_status"].map(check).into_iter().filter(|c| !c.is_empty()).collect();
    let followed = !text(stat, "tracked").is_empty();
    let why = match () {
        () if admin & MAINTENANCE != 0 => "it is in maintenance".into(),
        () if admin & DRAIN != 0 => "it is in drain".into(),
        () if admin & UNRESOLVED != 0 => "its name is not resolved".into(),
        () if backup => "it is a backup: it gets users only when no other server can".into(),
        () if op == 0 => match text(stat, "last_chk") {
            "" => format!("{status}: {}", checks.join(", ")),
            last => format!("{status}: {}: {last}", checks.join(", ")),
        },
        () if op == 3 => "it asks for no new users".into(),
        () if checks.is_empty() && !followed => "HAProxy does not check it: add `check` to its line".into(),
        () if checks.iter().any(|check| check == "INI") => "it has not been checked yet".into(),
        () => return None,
    };
    Some(why)
}

/// Rows of a table whose first line names its columns after a `#`. What is quoted may hold the separator.
fn table(lines: &[String], separators: &[char]) -> Vec<Row> {
    let Some(columns) = lines.first().and_then(|line| line.strip_prefix("# ")) else { return Vec::new() };
    let columns = cells(columns, separators);
    let row = |line: &String| columns.iter().cloned().zip(cells(line, separators)).collect();
    lines[1..].iter().map(row).collect()
}

fn cells(line: &str, separators: &[char]) -> Vec<String> {
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            c if separators.contains(&c) && !quoted => cells.push(std::mem::take(&mut cell)),
            c => cell.push(c),
        }
    }
    cells.push(cell);
    cells
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(String::from).collect()
    }

    const INFO: &str =
        "Name: HAProxy\nVersion: 2.6.12\nPid: 41\nUptime_sec: 9\nStopping: 0\nStart_time_sec: 1796072002";
    const STATE: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_agent_state
3 app 1 blue-1 127.0.0.1 2 0 100 100 0
3 app 2 blue-2 127.0.0.1 2 1 50 50 0
3 app 3 blue-3 127.0.0.1 0 0 50 50 0
3 app 4 blue-4 127.0.0.1 2 0 50 50 22
3 app 5 green 127.0.0.1 2 8 7 0 0
3 app 6 spare 127.0.0.1 2 0 1 1 0
3 app 7 other 127.0.0.1 2 0 1 1 0";
    const STAT: &str = "# pxname,svname,scur,status,bck,tracked,check_status,last_chk,agent_status,cookie,algo,
app,blue-1,3,UP,0,,* L7OK,,,b,,
app,blue-2,0,MAINT,0,,L7OK,,,b,,
app,blue-3,0,DOWN,0,,L4CON,\"refused, at step 1\",,b,,
app,blue-4,0,no check,0,,,,INI,b,,
app,green,1,DRAIN,0,,,,,g,,
app,spare,0,UP,1,,L7OK,,,s,,
app,other,0,UP,0,,L7OK,,,o,,
app,BACKEND,4,UP,1,,,,,SRV,roundrobin,";

    fn settings() -> Settings {
        let settings = json!({ "socket": "/a", "backend": "app", "blue": "blue-*", "green": "green" });
        Settings::read(&settings).expect("good settings")
    }

    #[test]
    fn what_haproxy_says_is_put_together() {
        let settings = settings();
        let found = instance("/a", &settings, &[lines(INFO), lines(STATE), lines(STAT)]).expect("an instance");
        assert_eq!(found.process, Process { pid: 41, started: Some(1_796_072_002) });
        assert_eq!((found.algorithm.as_str(), found.cookie.as_deref()), ("roundrobin", Some("SRV")));
        // What is in maintenance or in drain gets nobody, whatever its weight; what is down is a matter of health.
        assert_eq!((found.split().blue, found.split().green), (200, 0));
        assert_eq!(found.strangers, ["other"], "a backup gets nobody while others can");
        let mut health = Health::default();
        found.count(Color::Blue, false, &mut health);
        assert_eq!((health.healthy, health.total), (1, 4));
        assert_eq!(
            health.ailing,
            [
                "blue-2: it is in maintenance",
                "blue-3: DOWN: L4CON: refused, at step 1",
                "blue-4: it has not been checked yet"
            ]
        );
        let mut health = Health::default();
        found.count(Color::Green, true, &mut health);
        assert_eq!(health.ailing, ["green at /a: it is in drain"]);
        assert_eq!(found.of(Color::Green).map(|server| server.connections).collect::<Vec<_>>(), [1]);
        assert!(found.servers[3].agent && !found.servers[0].agent);
    }

    #[test]
    fn what_is_not_understood_is_said_in_haproxys_own_words() {
        let settings = settings();
        let of = |info: &str, state: &str, stat: &str| {
            instance("/a", &settings, &[lines(info), lines(state), lines(stat)]).expect_err("no instance")
        };
        assert_eq!(of("", STATE, STAT), "`show info` does not say which process it is: nothing");
        assert_eq!(of(INFO, "Can't find backend.", STAT), "`show servers state app` says: Can't find backend.");
        assert_eq!(of(INFO, "", STAT), "`show servers state app` says: nothing");
        assert_eq!(of(INFO, STATE, "Permission denied"), "`show stat` says: Permission denied");
        assert_eq!(
            of(INFO, &STATE.replace("2 0 100 100", "2 0 a 100"), STAT),
            "`show servers state` gives no `srv_uweight` of `blue-1`"
        );
        assert_eq!(
            of(INFO, &STATE.replace("blue-1", "blue-1;x"), &STAT.replace("blue-1", "blue-1;x")),
            "`blue-1;x` is not the name of a server"
        );
        assert_eq!(
            of(INFO, STATE, &STAT.replace("app,green", "app,grey")),
            "`show stat` does not know the server `green`"
        );
    }

    #[test]
    fn an_unchecked_server_is_not_well_unless_it_follows_one_that_is() {
        let stat =
            |columns: &[(&str, &str)]| columns.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect::<Row>();
        assert_eq!(ailment(0, 2, false, &stat(&[("check_status", "L4OK")])), None);
        assert_eq!(ailment(0, 2, false, &stat(&[("tracked", "app/blue")])), None);
        let unchecked = ailment(0, 2, false, &stat(&[("status", "no check")])).expect("it is not well");
        assert!(unchecked.contains("add `check`"), "{unchecked}");
    }
}
