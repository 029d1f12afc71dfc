//! The way back as files of the run's folder: what sends everybody back when bgctl itself cannot.

use std::path::Path;

use crate::journal::{LocalDisk, keep_way_back};
use crate::routers::NativeWayBack;

/// Stores the way back of a route beside the log.
pub fn keep(folder: &Path, route: &str, way: &NativeWayBack) -> std::io::Result<()> {
    keep_way_back(&LocalDisk, folder, route, &way.files, &way.command)
}

/// The commands that send everybody back without bgctl.
pub fn native(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder.join("undo")) else { return Vec::new() };
    let mut scripts: Vec<String> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "sh"))
        .map(|path| format!("sh {}", path.display()))
        .collect();
    scripts.sort();
    scripts
}
