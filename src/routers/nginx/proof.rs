//! What a look at a host shows: the file that is there, and which file the workers run that take connections.
//!
//! A reload that returns 0 proves nothing. Workers say themselves, over fresh connections, which generation they run.

use std::net::{IpAddr, SocketAddr};

use super::host::{Host, Sections};
use super::include::Include;
use super::settings::Settings;
use crate::routers::{RouterError, Trouble};

const TAKING: &str = "nginx: worker process";
const LEAVING: &str = "nginx: worker process is shutting down";

/// One look at one host.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The name the machine has for itself.
    pub node: String,
    /// The file as it is on the disk.
    pub text: String,
    pub include: Include,
    /// Green's share by the file, in hundredths of a per cent.
    pub written: u32,
    pub running: Running,
    /// Workers of before a reload: they answer what they had in hand.
    pub old: Vec<Old>,
}

/// What the workers run that take connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Running {
    /// A file of bgctl's, with green's share in hundredths of a per cent, and to which upstreams their answers would have gone.
    Generation { name: String, green: u32, sampled: Vec<String> },
    /// A configuration without the place where they would say so; why that is thought.
    Unmarked(String),
}

/// A worker that takes no connections any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Old {
    pub pid: u32,
    /// What it still holds, where the system shows it.
    pub held: Option<Held>,
}

/// The connections of an old worker, WebSockets among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Those of clients.
    pub clients: usize,
    /// Those to servers, by the server's address.
    pub servers: Vec<SocketAddr>,
}

/// One answer of a worker.
struct Answer<'a> {
    generation: &'a str,
    pid: u32,
    sampled: &'a str,
    upstream: &'a str,
    share: u32,
}

struct Process<'a> {
    pid: u32,
    parent: u32,
    title: &'a str,
}

impl Seen {
    /// Makes sense of what the script `look` printed.
    pub fn read(host: &Host, sections: &Sections, settings: &Settings) -> Result<Seen, RouterError> {
        let node = sections.below("node").trim();
        if !sections.has("file") {
            let what = format!("`{}` is not there ({})", settings.include, sections.below("missing").trim());
            let cure = format!(
                "`bgctl explain nginx` has the whole block: write its first line there, include it in `http`, and reload: map \"\" {} {{ default {}; }}",
                settings.variable(),
                settings.blue
            );
            return Err(host.error(Trouble::NotFound, what).cure(cure));
        }
        let text = sections.below("file").to_string();
        let of_file = |why: String| host.error(Trouble::Invalid, format!("`{}`: {why}", settings.include));
        let include = Include::read(&text, settings).map_err(of_file)?;
        let written = include.green(settings).map_err(of_file)?;
        let processes: Vec<Process> = sections.below("processes").lines().filter_map(process).collect();
        let running = running(sections.below("answers"), &processes, settings).map_err(|(kind, why)| {
            host.error(kind, why).cure("let the command of the host lead to where nginx runs, and curl be there")
        })?;
        // Behind a file of ours there are workers that say so. Where none does nobody knows what users get.
        if let (Running::Unmarked(why), Some(_)) = (&running, &include.mark) {
            let what = format!("no worker says that it runs `{}` ({why})", settings.include);
            let cure = "start nginx there, or reload it, and let `proof` be where the file listens";
            return Err(host.error(Trouble::Unreachable, what).cure(cure));
        }
        let old = processes.iter().filter(|process| process.title.starts_with(LEAVING));
        let old = old.map(|process| Old { pid: process.pid, held: held(sections, process.pid) }).collect();
        Ok(Seen { node: node.into(), text, include, written, running, old })
    }

    /// The workers run the file that is there, as bgctl wrote it.
    pub fn in_step(&self) -> bool {
        let mark = self.include.mark.as_ref().filter(|_| self.include.intact).map(|mark| &mark.generation);
        matches!(&self.running, Running::Generation { name, .. } if Some(name) == mark)
    }

    /// The generation that runs, where one says so.
    pub fn generation(&self) -> Option<&str> {
        match &self.running {
            Running::Generation { name, .. } => Some(name),
            Running::Unmarked(_) => None,
        }
    }

    /// The file was changed by hand behind its own name, so that the name does not tell which of both runs.
    pub fn is_ambiguous(&self) -> bool {
        let mark = self.include.mark.as_ref().filter(|_| !self.include.intact).map(|mark| &mark.generation);
        matches!(&self.running, Running::Generation { name, green, .. } if Some(name) == mark && *green != self.written)
    }

    /// Green's share among users, in hundredths of a per cent. Where a name stands for two files, what workers do decides.
    pub fn green(&self, settings: &Settings) -> Option<u32> {
        let Running::Generation { green, sampled, .. } = &self.running else { return Some(self.written) };
        if !self.is_ambiguous() {
            return Some(*green);
        }
        let met = sampled.iter().filter(|upstream| **upstream == settings.green).count();
        let one_sided = met == 0 || met == sampled.len();
        // By a key of somebody else's all samples may be one user: then one side proves nothing.
        let blind = one_sided && !self.include.by_chance && (1..super::include::ALL).contains(&self.written);
        if blind { None } else { nearest(met, sampled.len(), [*green, self.written]) }
    }
}

/// Which of two shares so many of so many samples come from; none, where they fit neither well enough or both.
fn nearest(met: usize, of: usize, shares: [u32; 2]) -> Option<u32> {
    let fits = |share: u32| {
        let (p, n, met) = (f64::from(share) / 10_000.0, of as f64, met as f64);
        // Four standard deviations, and for nobody and everybody none at all.
        (met - p * n).abs() <= 4.0 * (p * (1.0 - p) * n).sqrt()
    };
    match shares.map(fits) {
        [true, false] => Some(shares[0]),
        [false, true] => Some(shares[1]),
        _ => None,
    }
}

/// What answers and processes say together.
fn running(said: &str, processes: &[Process], settings: &Settings) -> Result<Running, (Trouble, String)> {
    let answers: Vec<Answer> = said.lines().filter_map(answer).collect();
    let words = super::host::last_words(said);
    let Some(first) = answers.first() else {
        if said.contains("not found") && said.contains("curl") && !said.contains("curl: (") {
            return Err((Trouble::Invalid, "there is no curl on the host".into()));
        }
        if !processes.iter().any(|process| process.title.starts_with("nginx: master")) {
            return Err((Trouble::Unreachable, format!("nothing of it runs there ({words})")));
        }
        return Ok(Running::Unmarked(words));
    };
    if answers.len() < said.lines().filter(|line| !line.trim().is_empty()).count() {
        return Err((Trouble::NotNow, format!("not every worker says what it runs ({words})")));
    }
    if let Some(other) = answers.iter().find(|answer| answer.generation != first.generation) {
        let why = format!("its workers run {} and {} at the same time", first.generation, other.generation);
        return Err((Trouble::NotNow, why));
    }
    for answer in &answers {
        if !processes.iter().any(|process| process.pid == answer.pid) {
            // It may have ended since; one that is never there is in another place than the command of the host.
            return Err((Trouble::NotNow, format!("worker {} answers, and is no process there", answer.pid)));
        }
    }
    let green = match first.upstream {
        name if name == settings.green => first.share,
        name if name == settings.blue => super::include::ALL - first.share,
        other => return Err((Trouble::Invalid, format!("its workers speak of `{other}`, which is neither stack"))),
    };
    let sampled = answers.iter().map(|answer| answer.sampled.to_string()).collect();
    Ok(Running::Generation { name: first.generation.into(), green, sampled })
}

fn answer(line: &str) -> Option<Answer<'_>> {
    let words: Vec<&str> = line.split(' ').collect();
    let ["bgctl", generation, pid, sampled, upstream, share] = words[..] else { return None };
    Some(Answer { generation, pid: pid.parse().ok()?, sampled, upstream, share: share.parse().ok()? })
}

fn process(line: &str) -> Option<Process<'_>> {
    let mut words = line.trim().splitn(3, ' ');
    let (pid, parent) = (words.next()?.parse().ok()?, words.next()?.trim().parse().ok()?);
    Some(Process { pid, parent, title: words.next()?.trim() })
}

/// The workers of `before` that still take connections, of any master that the workers of now have.
pub fn still_taking(before: &str, sections: &Sections) -> Vec<u32> {
    let processes = sections.below("processes").lines().filter_map(process);
    let taking = processes.filter(|p| p.title == TAKING && p.parent > 0).map(|p| p.pid);
    let before: Vec<u32> = before.lines().filter_map(|pid| pid.trim().parse().ok()).collect();
    taking.filter(|pid| before.contains(pid)).collect()
}

/// What an old worker holds: its established sockets, those of clients at a port that somebody listens on.
fn held(sections: &Sections, pid: u32) -> Option<Held> {
    let pid = pid.to_string();
    let (_, text) = sections.each("held").find(|(of, _)| *of == pid)?;
    let of = |line: &str| Some(line.split_once("socket:[")?.1.split(']').next()?.to_string());
    let inodes: Vec<String> = text.lines().filter_map(of).collect();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let rows: Vec<&Vec<&str>> = rows.iter().filter(|row| row.len() > 9 && row[0].ends_with(':')).collect();
    let port = |row: &[&str]| row[1].rsplit_once(':').map(|(_, port)| port.to_string());
    let listening: Vec<String> = rows.iter().filter(|row| row[3] == "0A").filter_map(|row| port(row)).collect();
    // Without the right to see them there are no sockets at all, and a worker has at least the one to its master.
    if inodes.is_empty() || listening.is_empty() {
        return None;
    }
    // The system makes these tables while connections come and go, and may list one twice.
    let mut mine: Vec<_> =
        rows.iter().filter(|row| row[3] == "01" && inodes.iter().any(|inode| inode == row[9])).collect();
    mine.sort_by_key(|row| row[9]);
    mine.dedup_by_key(|row| row[9]);
    let (clients, servers): (Vec<&&Vec<&str>>, _) =
        mine.into_iter().partition(|row| port(row).is_some_and(|port| listening.contains(&port)));
    let servers = servers.into_iter().filter_map(|row| peer(row[2])).collect();
    Some(Held { clients: clients.len(), servers })
}

/// An address as the kernel writes it: in hexadecimal, each word of four bytes in the order of the machine.
fn peer(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |n: usize| u32::from_str_radix(address.get(n * 8..n * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match address.len() {
        8 => IpAddr::from(word(0)?),
        32 => {
            let bytes: Vec<u8> = (0..4).filter_map(word).flatten().collect();
            IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings() -> Settings {
        let written =
            json!({ "include": "/etc/nginx/bgctl/web.conf", "key": "$http_x_team_id", "blue": "b", "green": "g" });
        Settings::read(&written).unwrap()
    }

    fn said(answers: &str, processes: &str) -> Result<Running, (Trouble, String)> {
        let processes: Vec<Process> = processes.lines().filter_map(process).collect();
        running(answers, &processes, &settings())
    }

    const ALIVE: &str = "1 0 nginx: master process nginx\n7 1 nginx: worker process\n8 1 nginx: worker process\n";

    #[test]
    fn workers_say_what_they_run() {
        let one = Running::Generation { name: "aa".into(), green: 1000, sampled: vec!["b".into(), "g".into()] };
        assert_eq!(said("bgctl aa 7 b g 1000\nbgctl aa 8 g g 1000\n", ALIVE), Ok(one));
        // With the stacks exchanged the same file says the same of the other.
        let Ok(Running::Generation { green, .. }) = said("bgctl aa 7 b b 9000\n", ALIVE) else { panic!() };
        assert_eq!(green, 1000);
        let refused = "curl: (7) Failed to connect to 127.0.0.1 port 9180\n";
        assert_eq!(said(refused, ALIVE), Ok(Running::Unmarked(refused.trim().into())));
        let table = [
            ("bgctl aa 7 b g 0\nbgctl bb 8 b g 0\n", ALIVE, Trouble::NotNow, "run aa and bb at the same time"),
            ("bgctl aa 7 b g 0\n<html>\n", ALIVE, Trouble::NotNow, "not every worker says"),
            ("bgctl aa 9 b g 0\n", ALIVE, Trouble::NotNow, "worker 9 answers, and is no process there"),
            ("bgctl aa 7 b x 0\n", ALIVE, Trouble::Invalid, "neither stack"),
            (refused, "", Trouble::Unreachable, "nothing of it runs there (curl: (7)"),
            ("sh: 1: curl: not found\n", ALIVE, Trouble::Invalid, "no curl"),
        ];
        for (answers, processes, kind, words) in table {
            let (found, why) = said(answers, processes).unwrap_err();
            assert!(found == kind && why.contains(words), "{answers}: {found:?} {why}");
        }
    }

    /// What a look prints of one old worker: its sockets, and the tables of all.
    #[test]
    fn a_connection_is_counted_once_however_often_the_system_lists_it() {
        let row = |local: &str, remote: &str, state: &str, inode: &str| {
            format!(
                "   0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 x 20\n"
            )
        };
        let client = row("0100007F:1F90", "0100007F:C350", "01", "71");
        let text = format!(
            "\nmark held 7\nlrwx 1 root 3 -> socket:[71]\nlrwx 1 root 4 -> socket:[72]\nlrwx 1 root 5 -> socket:[73]\n{}{client}{}{client}{}{}",
            row("0100007F:1F90", "00000000:0000", "0A", "70"),
            row("0100007F:C351", "0100007F:2328", "01", "72"),
            row("0100007F:1F90", "0100007F:C352", "08", "73"),
            row("0100007F:1F90", "0100007F:C353", "01", "99"),
        );
        let held = held(&Sections::read(&text, "mark"), 7).unwrap();
        assert_eq!((held.clients, held.servers), (1, vec!["127.0.0.1:9000".parse().unwrap()]));
    }

    #[test]
    fn addresses_of_the_kernel() {
        let table = [
            ("0100007F:1F90", Some("127.0.0.1:8080")),
            ("00000000000000000000000001000000:0050", Some("[::1]:80")),
            ("0000000000000000FFFF00000100007F:0050", Some("127.0.0.1:80")),
            ("0100007F", None),
            ("01:50", None),
        ];
        for (text, wanted) in table {
            assert_eq!(peer(text).map(|at| at.to_string()).as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn samples_tell_two_files_of_one_name_apart() {
        let table = [
            (0, 300, [0, 7000], Some(0)),
            (205, 300, [0, 7000], Some(7000)),
            (300, 300, [10_000, 9000], Some(10_000)),
            (30, 300, [1000, 1100], None),
            (150, 300, [0, 10_000], None),
        ];
        for (met, of, shares, wanted) in table {
            assert_eq!(nearest(met, of, shares), wanted, "{met} of {of} {shares:?}");
        }
    }
}
