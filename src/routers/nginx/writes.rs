//! One change: the file is written on every host and tried by nginx, then all are reloaded, then all are proven.
//!
//! Where nginx does not take the file, or a reload proves nothing, the host puts the file of before back in the same step: a
//! file that nobody runs would move users at anybody's next reload.

use std::time::Duration;

use futures_util::future::join_all;

use super::Nginx;
use super::fleet::{Kept, generations, kept, silent};
use super::host::{Host, Script, Sections, WRITE, last_words};
use super::include::{Include, generation, hundredths};
use super::proof::{Seen, still_taking};
use crate::clock::{Clock, SystemClock};
use crate::plan::Split;
use crate::routers::{Call, Reading, RouterError, Trouble};

/// What is to be done on one host.
struct Work<'a> {
    host: &'a Host,
    kept: Kept,
    wanted: String,
    generation: &'a str,
}

impl Work<'_> {
    fn script(&self, route: &Nginx, logs: &str, calls: &str) -> Script {
        let running = self.kept.running.as_deref().unwrap_or_default();
        let values = [
            ("expected", self.kept.text.as_str()),
            ("wanted", &self.wanted),
            ("running", running),
            ("generation", self.generation),
            ("logs", logs),
        ];
        Script::new(&route.settings, &values, calls, WRITE)
    }

    fn call(&self, code: &str, time: Duration) -> Call {
        let (action, request_id) = (format!("reload {}", self.host.name), Some(self.generation.into()));
        Call { action, request_id, code: code.into(), time }
    }
}

impl Nginx {
    /// Sends the change to the hosts as they were read. What is read again is only what does not agree.
    pub async fn write(&self, from: &Reading, to: Split) -> Result<Vec<Call>, RouterError> {
        if to == (Split { blue: 0, green: 0 }) {
            return Err(RouterError::new(
                Trouble::Invalid,
                "neither upstream would have a share, so nobody would be served",
            ));
        }
        self.can_have(to).map_err(|why| RouterError::new(Trouble::Invalid, why))?;
        let (mut hosts, quiet) = (kept(&from.exact), silent(&from.exact));
        if hosts.is_empty() || from.split == to {
            let now = self.fleet().await.reading(&self.settings)?;
            hosts = kept(&now.exact);
            if now.split == to && self.all_in_step(&hosts, to) {
                return Ok(Vec::new());
            }
            if now.split != from.split {
                return Err(self.drift(now.split, from.split));
            }
        }
        let calls = self.change(hosts, from.split, to).await?;
        match quiet.is_empty() {
            true => Ok(calls),
            false => {
                let what = format!("{} is at {to} now, but {} does not answer", self.line_of(&calls), quiet.join(", "));
                let cure = "make that host answer, or take it out of service: its users stay as they are until then";
                Err(RouterError { moved: true, calls, ..RouterError::new(Trouble::Unreachable, what).cure(cure) })
            }
        }
    }

    fn line_of(&self, calls: &[Call]) -> String {
        calls.iter().map(|call| call.action.trim_start_matches("reload ")).collect::<Vec<_>>().join(", ")
    }

    fn drift(&self, found: Split, expected: Split) -> RouterError {
        let what = format!("{} is at {found}, not at {expected}: nothing was written", self.place());
        RouterError::new(Trouble::Drift { found }, what)
    }

    /// Writes a new generation on these hosts, whatever split they have now.
    pub async fn change(&self, hosts: Vec<Kept>, from: Split, to: Split) -> Result<Vec<Call>, RouterError> {
        let mut chance = [0; 8];
        getrandom::fill(&mut chance).map_err(|e| RouterError::new(Trouble::Unreachable, e.to_string()))?;
        let after = generations(&hosts, &self.settings);
        let generation = generation(&after, to, &chance);
        let mut work = Vec::new();
        for kept in hosts {
            let Some(host) = self.hosts.iter().find(|host| host.name == kept.host) else { continue };
            let of_file = |why| host.error(Trouble::Invalid, format!("`{}`: {why}", self.settings.include));
            let include = Include::read(&kept.text, &self.settings).map_err(of_file)?;
            let wanted = include.at(to, &generation, &after, &self.settings);
            work.push(Work { host, kept, wanted, generation: &generation });
        }
        let begun = SystemClock.elapsed();
        let ended = match work.as_slice() {
            [one] => self.all_at_once(one, begun).await,
            all => self.one_after_another(all, begun).await,
        };
        match ended {
            // Somebody was there between the reading and the write.
            Err(RouterError { kind: Trouble::Drift { .. }, what, calls, moved, .. }) => {
                let found = self.fleet().await.reading(&self.settings)?.split;
                let error = match found == from {
                    true => RouterError::new(Trouble::NotNow, what),
                    false => self.drift(found, from),
                };
                Err(RouterError { calls, moved, ..error })
            }
            ended => ended,
        }
    }

    /// A single host does all of it in one go.
    async fn all_at_once(&self, work: &Work<'_>, begun: Duration) -> Result<Vec<Call>, RouterError> {
        let script = work.script(self, "", "times=8\nprepare && reload && look");
        let took = || SystemClock.elapsed().saturating_sub(begun);
        let sections = match work.host.run(&self.shell, &script).await {
            Ok(sections) => sections,
            // How far it came is not known.
            Err(error) => {
                return Err(RouterError { moved: true, calls: vec![work.call("no-answer", took())], ..error });
            }
        };
        self.prepared(work, &sections)?;
        match self.proven(work, &sections) {
            Ok(()) => Ok(vec![work.call("ok", took())]),
            Err((code, error)) => Err(RouterError { calls: vec![work.call(code, took())], ..error }),
        }
    }

    /// Several hosts: no one is reloaded before nginx has taken the file on all.
    async fn one_after_another(&self, all: &[Work<'_>], begun: Duration) -> Result<Vec<Call>, RouterError> {
        let prepared = join_all(all.iter().map(|work| async move {
            let sections = work.host.run(&self.shell, &work.script(self, "", "prepare")).await?;
            self.prepared(work, &sections).map(|()| sections.below("prepared").to_string())
        }));
        let (mut logs, mut refused) = (Vec::new(), None);
        for answer in prepared.await {
            match answer {
                Ok(paths) => logs.push(paths),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        if let Some(error) = refused {
            // No host has been told of it, so nobody has moved; those that have the file give it back.
            join_all(all.iter().map(|work| self.give_back(work))).await;
            return Err(error);
        }
        let reloads = all.iter().zip(&logs).map(|(work, logs)| async move {
            let script = work.script(self, logs, "times=8\nreload && look");
            let ended = work.host.run(&self.shell, &script).await;
            let took = SystemClock.elapsed().saturating_sub(begun);
            match ended {
                Ok(sections) => match self.proven(work, &sections) {
                    Ok(()) => (work.call("ok", took), None),
                    Err((code, error)) => (work.call(code, took), Some(error)),
                },
                Err(error) => (work.call("no-answer", took), Some(error)),
            }
        });
        let (calls, errors): (Vec<Call>, Vec<Option<RouterError>>) = join_all(reloads).await.into_iter().unzip();
        match errors.into_iter().flatten().next() {
            None => Ok(calls),
            Some(error) => Err(RouterError { moved: true, calls, ..error }),
        }
    }

    async fn give_back(&self, work: &Work<'_>) {
        // One that does not answer is found as it is by the next look.
        let _ = work.host.run(&self.shell, &work.script(self, "", "restore")).await;
    }

    /// Whether the file is there and nginx has taken it.
    fn prepared(&self, work: &Work<'_>, sections: &Sections) -> Result<(), RouterError> {
        let (host, file) = (work.host, &self.settings.include);
        if sections.has("prepared") {
            return Ok(());
        }
        if sections.has("changed") {
            let what = format!("`{file}` or what its workers run changed since it was read: nothing was written");
            return Err(host.error(Trouble::Drift { found: Split { blue: 0, green: 0 } }, what));
        }
        if sections.has("late") {
            return Err(host.error(Trouble::NotNow, "the host was too slow, so nothing was written"));
        }
        let words = last_words(sections.below("prepare"));
        if sections.has("unwritten") {
            let kind = if words.contains("ermission") { Trouble::Denied } else { Trouble::Unreachable };
            let cure = format!("whoever runs the command there must be able to write the folder of `{file}`");
            return Err(host.error(kind, format!("`{file}` cannot be written: {words}")).cure(cure));
        }
        let refused = format!("it does not take its configuration, and `{file}` is as it was: {words}");
        // A name may be known again in a moment; a mistake stays until somebody cures it.
        Err(match words.contains("host not found") {
            true => host.error(Trouble::NotNow, refused).cure(
                "make the name known there (DNS or /etc/hosts), or write addresses into the upstream: nginx looks names up at each reload",
            ),
            false => host.error(Trouble::Invalid, refused).cure("cure what nginx names there until `nginx -t` passes"),
        })
    }

    /// Whether new workers run the file, no old one takes connections, and the error log is clean; otherwise a code and why.
    fn proven(&self, work: &Work<'_>, sections: &Sections) -> Result<(), (&'static str, RouterError)> {
        let host = work.host;
        if sections.has("late") {
            return Err(("late", host.error(Trouble::NotNow, "the host was too slow, so it was not reloaded")));
        }
        if sections.has("unsent") {
            let what = format!("the reload fails, and the file is as it was: {}", last_words(sections.below("sent")));
            let cure = "whoever runs the command there must be able to signal nginx";
            return Err(("unsent", host.error(Trouble::Unreachable, what).cure(cure)));
        }
        let log = last_words(sections.below("log"));
        if !sections.has("proven") {
            let cure = "see the error log of that host: nginx goes on with its old workers when it cannot take a file";
            let (code, moved, what) = match log.contains("[emerg]") {
                true => ("refused", false, format!("the reload returned 0, and nginx did not take it: {log}")),
                false => ("unproven", true, "the reload returned 0, and no new workers took over".into()),
            };
            let error = host.error(Trouble::NotNow, format!("{what}; the file is as it was")).cure(cure);
            return Err((code, RouterError { moved, ..error }));
        }
        let of = |error: RouterError| ("unproven", RouterError { moved: true, ..error });
        let seen = Seen::read(host, sections, &self.settings).map_err(of)?;
        let left = still_taking(sections.below("old"), sections);
        if !left.is_empty() || !seen.in_step() || seen.generation() != Some(work.generation) {
            let what = format!("after the reload workers still take connections at the old split ({left:?})");
            return Err(of(host.error(Trouble::NotNow, what)));
        }
        if !log.is_empty() {
            return Err(of(host.error(Trouble::NotNow, format!("it was reloaded, and its error log says: {log}"))));
        }
        Ok(())
    }

    /// Why nginx cannot have a split, if it cannot.
    pub fn can_have(&self, to: Split) -> Result<(), String> {
        match hundredths(to) {
            Some(_) => Ok(()),
            None => Err(format!("nginx shares users out in hundredths of a per cent, and {to} is none")),
        }
    }
}
