//! Where this machine keeps the policies it knows: one folder for each thing that is moved, by the name its router gives it.
//! What the service is called, in which file, for which environment, is no part of that name.
//!
//! Earlier versions kept them by the names of environment and service. Such a folder goes on being asked and kept up to date
//! for that name; and for a thing without a folder of its own, so is the one of every service that moved it, as the runs kept
//! here say. Reads and writes these folders; whether a policy may stand is judged in [`super::policy_pin`].

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::diag::{Code, Kind, Refusal};
use crate::file;
use crate::journal::Archive;
use crate::plan::{Plan, PlannedRoute, sha256};
use crate::policy::PolicyFile;
use crate::runbook::Source;

/// The folder of all that is known by what is moved. No environment's folder is called that: its name ends in a digest.
const BY_RESOURCE: &str = "by-resource";
const POLICY: &str = "policy.yaml";
const REPLACED: &str = "replaced";

/// A policy that is known.
#[derive(Clone, Debug)]
pub struct Known {
    pub policy: PolicyFile,
    /// Digests of those it has replaced.
    pub replaced: Vec<String>,
    /// What it is known for.
    pub of: String,
}

/// A folder that is to hold the policy from now on, and what it holds now.
#[derive(Debug)]
pub struct Place {
    folder: PathBuf,
    of: String,
    pub known: Option<Known>,
}

/// What this machine knows about what a plan moves.
#[derive(Debug)]
pub struct Memory {
    pub places: Vec<Place>,
    /// What is known of things without a place of their own, by the names of services that moved them.
    pub by_name: Vec<Known>,
    /// Folders of earlier versions of which nothing here says what was moved: they hold for their name alone.
    pub unplaced: Vec<PathBuf>,
}

impl Memory {
    pub fn of(archive: &Archive, plan: &Plan) -> Result<Memory, Refusal> {
        let root = archive.root().join("policies");
        let mut places = Vec::new();
        let names: BTreeSet<&str> = plan.routes.values().flat_map(PlannedRoute::known_by).collect();
        for of in names {
            places.push(Place::read(root.join(BY_RESOURCE).join(short(of)), of.into())?);
        }
        let mut memory = Memory { places, by_name: Vec::new(), unplaced: Vec::new() };
        let own = by_name(plan);
        let strange: Vec<&PlannedRoute> = plan.routes.values().filter(|route| !memory.knows(route)).collect();
        let earlier = if strange.is_empty() { BTreeSet::new() } else { earlier(&root) };
        if !earlier.is_empty() {
            let (mut placed, mut taken) = (BTreeSet::from([own.clone()]), BTreeSet::from([own.clone()]));
            for other in archive.runs().iter().filter_map(|id| kept(&archive.run(id))) {
                let folder = by_name(&other);
                if !earlier.contains(&folder) {
                    continue;
                }
                placed.insert(folder.clone());
                let moved = strange.iter().any(|route| other.routes.values().any(|other| same(route, other)));
                if moved && taken.insert(folder.clone()) {
                    memory.by_name.extend(Place::read(root.join(folder), spoken(&other))?.known);
                }
            }
            memory.unplaced = earlier.difference(&placed).map(|folder| root.join(folder)).collect();
        }
        let of_name = Place::read(root.join(&own), spoken(plan))?;
        memory.places.extend(of_name.known.is_some().then_some(of_name));
        Ok(memory)
    }

    /// A fleet that has grown is known by any of its instances.
    fn knows(&self, route: &PlannedRoute) -> bool {
        let names = route.known_by();
        self.places.iter().any(|place| place.known.is_some() && names.contains(&place.of.as_str()))
    }

    /// Everything that is known, the same policy once for each thing.
    pub fn known(&self) -> impl Iterator<Item = &Known> {
        self.places.iter().filter_map(|place| place.known.as_ref()).chain(&self.by_name)
    }
}

impl Place {
    fn read(folder: PathBuf, of: String) -> Result<Place, Refusal> {
        let path = folder.join(POLICY);
        let text = match file::text(&path, file::LONG) {
            Ok(text) => text,
            // A file where a folder should be means that nothing is below it; opening the journal says so.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Place { folder, of, known: None });
            }
            Err(error) => return Err(unreadable(&path, error.to_string())),
        };
        let policy = PolicyFile::parse(Source::new(path.display().to_string(), text))
            .map_err(|_| unreadable(&path, "this bgctl cannot read it as a policy".into()))?;
        let replaced = match file::text(&folder.join(REPLACED), file::LONG) {
            Ok(text) => text.lines().map(String::from).collect(),
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(unreadable(&folder.join(REPLACED), error.to_string())),
        };
        Ok(Place { folder, known: Some(Known { policy, replaced, of: of.clone() }), of })
    }

    /// From now on this is what is known here, in place of those.
    pub fn keep(&self, policy: &PolicyFile, replaced: &BTreeSet<String>) -> Result<(), Refusal> {
        let write = || -> io::Result<()> {
            file::folder(&self.folder)?;
            let lines: String = replaced.iter().map(|sha256| format!("{sha256}\n")).collect();
            // Before the policy: one that was replaced is known as that, whatever happens in between.
            for (name, text) in
                [(REPLACED, lines), ("of", format!("{}\n", self.of)), (POLICY, policy.source.text.clone())]
            {
                let draft = self.folder.join(format!("{name}.{}.tmp", std::process::id()));
                file::write(&draft, text)?;
                fs::rename(&draft, self.folder.join(name))?;
            }
            Ok(())
        };
        write().map_err(|error| {
            Refusal::new(
                Kind::Environment,
                Code::PolicyMemory,
                "the policy cannot be stored, so a later change would go unnoticed",
            )
            .place(self.folder.display().to_string())
            .cause(error.to_string())
            .users("not checked. Nothing was changed.")
            .next("free space or fix the folder, then the same command again")
        })
    }
}

/// The folders that earlier versions kept, below the one of all: environment, then service.
fn earlier(root: &Path) -> BTreeSet<PathBuf> {
    let below = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let environments = below(root).filter(|environment| environment != BY_RESOURCE);
    let services = environments.flat_map(|environment| {
        let services: Vec<_> = below(&root.join(&environment)).collect();
        services.into_iter().map(move |service| Path::new(&environment).join(service))
    });
    services.filter(|folder| file::stands(&root.join(folder).join(POLICY))).collect()
}

/// The folder an earlier version kept for this environment and service.
fn by_name(plan: &Plan) -> PathBuf {
    Path::new(&name(&plan.environment)).join(name(&plan.service))
}

/// The plan of a run that is kept here.
fn kept(folder: &Path) -> Option<Plan> {
    serde_json::from_str(&file::text(&folder.join("plan.json"), file::LOG).ok()?).ok()
}

/// Whether two routes are of one thing. Plans of earlier versions name it by its line alone.
fn same(one: &PlannedRoute, two: &PlannedRoute) -> bool {
    (&one.router, &one.line) == (&two.router, &two.line)
        || one.known_by().iter().any(|name| two.known_by().contains(name))
}

fn spoken(plan: &Plan) -> String {
    format!("{}/{}", plan.environment, plan.service)
}

fn unreadable(place: &Path, cause: String) -> Refusal {
    Refusal::new(
        Kind::Environment,
        Code::PolicyMemory,
        "the stored policy cannot be read, so a change cannot be judged",
    )
    .place(place.display().to_string())
    .cause(cause)
    .users("not checked. Nothing was changed.")
    .next("restore the file from a copy; without one, remove it: the next policy is then trusted as the first one was")
}

/// A service or environment as the name of a folder, as earlier versions made it. Two that look the same there are told apart
/// by their digest.
fn name(text: &str) -> String {
    format!("{}-{}", safe(text), &sha256(text.as_bytes())[..8])
}

/// The same of what a router names, which may be long.
fn short(text: &str) -> String {
    format!("{:.100}-{}", safe(text), &sha256(text.as_bytes())[..16])
}

fn safe(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
    text.chars().map(plain).collect()
}
