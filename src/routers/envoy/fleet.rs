//! The file and every Envoy that watches it, at one moment, and the one reading that they make together: what Envoy runs, with
//! the file beside it.

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::try_join;

use super::Envoy;
use super::admin::{About, Admin};
use super::discovery::{self, Discovery};
use super::listeners;
use super::weights::{self, Found, Lost, action, items, member, name};
use crate::plan::Split;
use crate::routers::{Reading, RouterError, Trouble};

/// What one Envoy runs.
#[derive(Clone, Debug)]
pub struct Running {
    pub at: String,
    pub about: About,
    pub version: String,
    pub refused: u64,
    pub config: Value,
    pub found: Found,
}

/// What one Envoy says of the route configuration alone.
pub struct Runs {
    pub version: String,
    /// How often it has refused a file.
    pub refused: u64,
    pub config: Value,
    pub found: Found,
}

/// What was seen of all of them.
pub struct Fleet {
    pub text: String,
    pub file: Discovery,
    pub found: Vec<Running>,
    pub silent: Vec<(String, RouterError)>,
}

/// Enough to compare, and to put everything back as it was.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Exact {
    /// The file.
    pub file: Option<String>,
    pub envoys: Vec<Stood>,
    /// The admin interfaces of which nothing is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stood {
    pub admin: String,
    pub node: String,
    pub version: String,
    pub blue: u32,
    pub green: u32,
}

impl Exact {
    /// What a reading holds; nothing where nobody made it.
    pub fn read(reading: &Reading) -> Exact {
        Exact::deserialize(&reading.exact).unwrap_or_default()
    }
}

impl Envoy {
    /// Looks at the file, and at every Envoy at the same time.
    pub async fn fleet(&self) -> Result<Fleet, RouterError> {
        let (text, file) = self.file()?;
        let looks = self.admins.iter().enumerate().map(|(n, admin)| async move { (admin, self.look(n, admin).await) });
        let mut fleet = Fleet { text, file, found: Vec::new(), silent: Vec::new() };
        for (admin, answer) in join_all(looks).await {
            match answer {
                Ok(running) => fleet.found.push(running),
                Err(error) => fleet.silent.push((admin.at.clone(), error)),
            }
        }
        Ok(fleet)
    }

    /// All of them, or why one is not known.
    pub async fn whole(&self) -> Result<Fleet, RouterError> {
        let mut fleet = self.fleet().await?;
        fleet.silent.pop().map_or(Ok(fleet), |(_, error)| Err(error))
    }

    fn file(&self) -> Result<(String, Discovery), RouterError> {
        let text = self.place.text()?;
        let file = discovery::read(&text, &self.settings).map_err(|lost| self.of_file(lost))?;
        Ok((text, file))
    }

    pub fn of_file(&self, Lost { kind, what, cure }: Lost) -> RouterError {
        RouterError::new(kind, format!("`{}` {what}", self.settings.file)).cure(cure)
    }

    async fn look(&self, n: usize, admin: &Admin) -> Result<Running, RouterError> {
        let (about, runs) = try_join!(admin.about(), self.runs(admin))?;
        if let Some(wanted) = self.settings.node.as_ref().and_then(|nodes| nodes.all().get(n))
            && *wanted != about.node
        {
            let what = format!("it is node `{}`, not `{wanted}`: another Envoy answers here", about.node);
            return Err(admin.error(Trouble::Invalid, what).cure("set `admin` right, or `node`"));
        }
        let Runs { version, refused, config, found } = runs;
        Ok(Running { at: admin.at.clone(), about, version, refused, config, found })
    }

    /// The version and the weights that an Envoy runs.
    pub async fn runs(&self, admin: &Admin) -> Result<Runs, RouterError> {
        let config = &self.settings.route_config;
        // What it took is asked first: what it runs is then at least as new.
        let told = admin.told(config).await?;
        let dumped = admin.dumped("dynamic_route_configs").await?;
        let mut entries =
            dumped.iter().map(|entry| member(entry, "route_config")).filter(|entry| name(entry) == config);
        let Some(first) = entries.next() else { return Err(self.absent(admin).await) };
        let find = |of_config: &Value| {
            weights::find(of_config, &self.settings).map_err(|Lost { kind, what, cure }| {
                admin.error(kind, format!("what it runs as `{config}` {what}")).cure(cure)
            })
        };
        let found = find(first)?;
        // Listeners that name the source in other words have it each for themselves.
        let mut differ = told.versions.len() > 1;
        for entry in entries {
            differ |= find(entry)?.split() != found.split();
        }
        if differ {
            let what = format!("its listeners do not run the same `{config}`: versions {}", told.versions.join(", "));
            return Err(admin.error(Trouble::NotNow, what).cure("look again in a moment"));
        }
        let version = told.versions.into_iter().next().unwrap_or_default();
        Ok(Runs { version, refused: told.refused, config: first.clone(), found })
    }

    /// Why a route configuration is not among those that change.
    async fn absent(&self, admin: &Admin) -> RouterError {
        let config = &self.settings.route_config;
        let dump = match admin.all().await {
            Ok(dump) => dump,
            Err(error) => return error,
        };
        if listeners::is_static(&dump, config) {
            let what = format!("`{config}` is written into a listener, so no file can change it");
            let cure = "move its `route_config` into a file, and name that with `rds` (`bgctl explain envoy`)";
            return admin.error(Trouble::Invalid, what).cure(cure);
        }
        if !listeners::sources(&dump, config).is_empty() {
            let what = format!("it has taken no `{config}` yet");
            return admin.error(Trouble::NotNow, what).cure("look into its log: it says what it has against the file");
        }
        let known = weights::nearest(config, &listeners::known(&dump));
        admin.error(Trouble::NotFound, format!("it runs no route configuration `{config}`")).cure(known)
    }
}

impl Running {
    /// It runs what the file says.
    pub fn in_step(&self, file: &Discovery) -> bool {
        self.version == file.version && self.found.split() == file.found.split()
    }
}

impl Fleet {
    /// The split among users. Of those that keep silent it is as the file told them.
    pub fn split(&self) -> Split {
        let running = self.found.iter().map(|running| running.found.split());
        let told = self.silent.iter().map(|_| self.file.found.split());
        weights::together(&running.chain(told).collect::<Vec<_>>())
    }

    /// All that answer run what the file says.
    pub fn in_step(&self) -> bool {
        self.found.iter().all(|running| running.in_step(&self.file))
    }

    /// Somebody else has put a file there that Envoy does not run.
    pub fn pending(&self) -> bool {
        !self.file.ours && !self.in_step()
    }

    /// The split, if every Envoy says its own.
    pub fn reading(&self) -> Result<Reading, RouterError> {
        let reading = Reading { split: self.split(), exact: json!(self.exact()), remarks: self.remarks() };
        let Some((_, error)) = self.silent.first() else { return Ok(reading) };
        let passing = self.silent.iter().all(|(_, error)| error.kind == Trouble::Unreachable);
        let shown = self.shown();
        let read = if shown.is_empty() { format!("the file says {}", self.file.found.split()) } else { shown };
        Err(RouterError { read: Some(read), partly: passing.then(|| Box::new(reading)), ..error.clone() })
    }

    fn exact(&self) -> Exact {
        let stood = |running: &Running| Stood {
            admin: running.at.clone(),
            node: running.about.node.clone(),
            version: running.version.clone(),
            blue: running.found.weights[0],
            green: running.found.weights[1],
        };
        Exact {
            file: Some(self.text.clone()),
            envoys: self.found.iter().map(stood).collect(),
            silent: self.silent.iter().map(|(at, _)| at.clone()).collect(),
        }
    }

    /// Each Envoy that answers with its split.
    fn shown(&self) -> String {
        let line = |running: &Running| format!("{} {}", running.at, running.found.split());
        self.found.iter().map(line).collect::<Vec<_>>().join(", ")
    }

    /// That Envoys have different splits, if they have.
    pub fn differs(&self) -> Option<String> {
        let first = self.found.first()?.found.split();
        let differ = self.found.iter().any(|running| running.found.split() != first);
        differ.then(|| format!("the Envoys differ: {}", self.shown()))
    }

    /// What each runs that is not what the file says.
    pub fn apart(&self) -> Vec<String> {
        let whose = if self.file.ours { "bgctl's" } else { "somebody else's" };
        let line = |running: &Running| {
            format!(
                "{} runs version `{}` ({}), and the file, {whose}, is version `{}` ({}): a restart or the next move takes it",
                running.at,
                running.version,
                running.found.split(),
                self.file.version,
                self.file.found.split()
            )
        };
        self.found.iter().filter(|running| !running.in_step(&self.file)).map(line).collect()
    }

    /// What a person should know before moving.
    fn remarks(&self) -> Vec<String> {
        let mut remarks: Vec<String> = self.differs().into_iter().collect();
        remarks.extend(self.apart());
        for running in &self.found {
            if let Some((what, _)) = weights::lies(&running.config, &running.found) {
                remarks.push(format!("{} {what}", running.at));
            }
            if running.about.state != "LIVE" {
                remarks.push(format!("{} is {}", running.at, running.about.state));
            }
        }
        let hosts = items(member(&self.file.config, "virtual_hosts"));
        let route = &items(member(&hosts[self.file.found.host], "routes"))[self.file.found.route];
        if member(member(action(route), "weighted_clusters"), "use_hash_policy").as_bool() == Some(true) {
            remarks
                .push("a hash of each request decides who goes where (`use_hash_policy`): shares are of hashes".into());
        }
        remarks
    }
}
