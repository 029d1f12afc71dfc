//! Requests for approval as the runs kept here hold them, and the people whose run it is.

use super::open::Open;
use crate::journal::{Archive, Entry, read_on};
use crate::people::{Barred, Part};
use crate::run::Event;
use crate::sign::PublicKey;

/// How many runs are looked through for a request that a signature may have been made for.
const RUNS: usize = 50;

/// Those who opened and resumed a run, with their keys, and those who started its jobs: as its log says.
pub fn barred(past: &[Entry]) -> Vec<Barred> {
    let mut barred = Vec::new();
    for entry in past {
        let part = match entry.kind.as_str() {
            "run.opened" => Part::Runs,
            "run.resumed" => Part::Resumed,
            _ => continue,
        };
        let text = entry.data["statement"].as_str().unwrap_or_default();
        let statement: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        if let Some(owner) = statement["owner"].as_str() {
            let key = statement["owner_key"].as_str().and_then(|line| PublicKey::from_line(line).ok());
            barred.push(Barred { name: owner.into(), key: key.map(|key| key.fingerprint()), part });
        }
        barred.extend(entry.data["claims"]["trigger"].as_str().map(started));
    }
    barred
}

/// Whoever runs this very process.
pub fn runner(open: &Open, trigger: Option<&str>) -> Vec<Barred> {
    let (name, key) = open.runner();
    let part = if open.is_new() { Part::Runs } else { Part::Resumed };
    let mut barred = vec![Barred { name, key: Some(key), part }];
    barred.extend(trigger.map(started));
    barred
}

fn started(login: &str) -> Barred {
    Barred { name: login.into(), key: None, part: Part::Started }
}

/// The requests of the runs kept here, each with the run it is of.
pub fn known(archive: &Archive) -> Vec<(String, String)> {
    let mut requests = Vec::new();
    for id in archive.runs().into_iter().rev().take(RUNS) {
        // A log that does not hold together is somebody else's concern: here it only lends its words.
        let Ok(sound) = read_on(&archive.run(&id), None) else { continue };
        for entry in &sound.entries {
            if let Some(Event::ApprovalRequested { request, .. }) = entry.event() {
                requests.push((format!("run {id}"), request));
            }
        }
    }
    requests
}
