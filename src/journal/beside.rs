//! What a run keeps beside its log: its plan, and the way back as files that need no bgctl. Both are on the disk before anybody
//! is moved.

use std::io;
use std::path::Path;

use super::disk::{self, Disk};
use crate::plan::Plan;

/// The file of the plan inside a run's folder.
pub const PLAN: &str = "plan.json";
/// The folder of the way back inside a run's folder.
pub const UNDO: &str = "undo";

/// How a script begins that is the whole way back of a route.
pub const WHOLE: &str = "#!/bin/sh\n# Everyone back, without bgctl.\n";

/// Keeps the plan, for whoever cannot read the log.
pub fn keep_plan(disk: &dyn Disk, folder: &Path, plan: &Plan) -> io::Result<()> {
    disk::put(disk, &folder.join(PLAN), (plan.canonical() + "\n").as_bytes())
}

/// Keeps the way back of a route: the files it needs, and a script that uses them.
pub fn keep_way_back(
    disk: &dyn Disk,
    folder: &Path,
    route: &str,
    files: &[(String, String)],
    command: &str,
) -> io::Result<()> {
    let undo = folder.join(UNDO);
    disk::private(disk, &undo)?;
    for (name, content) in files {
        disk::put(disk, &undo.join(name), content.as_bytes())?;
    }
    let script = format!("{WHOLE}cd \"$(dirname \"$0\")\" || exit 1\n{command}\n");
    disk::put(disk, &undo.join(format!("{route}.sh")), script.as_bytes())
}
