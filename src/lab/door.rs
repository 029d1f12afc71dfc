//! The lab as commands are handed it: started in this process or apart from it, joined where it lives, or being one.

use std::collections::BTreeMap;
use std::path::Path;

use super::apart::{WORD, serve};
use super::living::Living;
use super::{Fault, Lab, Options};
use crate::rehearsal::{Mode, NotStarted, Rehearsal, Rehearsals};

/// Rehearsals that are played by the lab.
pub struct Labs;

impl Rehearsals for Labs {
    fn start(&self, folder: Option<&Path>, faults: &[String], mode: Mode) -> Result<Box<dyn Rehearsal>, NotStarted> {
        let faults = faults.iter().map(|name| name.parse::<Fault>()).collect::<Result<Vec<_>, _>>();
        let faults = faults.map_err(|unknown| NotStarted::Fault(unknown.to_string()))?;
        let Some(folder) = folder else {
            let lab = Lab::start(Options { faults, mode, ..Options::default() }).map_err(NotStarted::Lab)?;
            return Ok(Box::new(lab));
        };
        let program = std::env::current_exe().map_err(|error| NotStarted::Lab(error.into()))?;
        let lab = Living::start(&program, folder, &faults, mode).map_err(NotStarted::Lab)?;
        Ok(Box::new(lab))
    }

    fn join(&self, folder: &Path, plan: &str) -> anyhow::Result<Option<Box<dyn Rehearsal>>> {
        let lab = Living::join(folder)?.filter(|lab| lab.knows(plan));
        Ok(lab.map(|lab| Box::new(lab) as Box<dyn Rehearsal>))
    }

    fn serve(&self, word: &str) -> Option<bool> {
        (word == WORD).then(serve)
    }
}

impl Rehearsal for Lab {
    fn variables(&self) -> BTreeMap<String, String> {
        Lab::variables(self)
    }

    fn environment(&self) -> Vec<(String, String)> {
        Lab::environment(self)
    }

    fn finish(&self) -> String {
        Lab::finish(self).to_string()
    }
}
