//! The way back as files of the run's folder: what sends everybody back when bgctl itself cannot.

use std::path::Path;

use crate::routers::NativeWayBack;

/// Stores the way back of a route beside the log.
pub fn keep(folder: &Path, route: &str, way: &NativeWayBack) -> std::io::Result<()> {
    let undo = folder.join("undo");
    std::fs::create_dir_all(&undo)?;
    for (name, content) in &way.files {
        std::fs::write(undo.join(name), content)?;
    }
    std::fs::write(
        undo.join(format!("{route}.sh")),
        format!("#!/bin/sh\n# Everyone back, without bgctl.\ncd \"$(dirname \"$0\")\" || exit 1\n{}\n", way.command),
    )
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
