//! A process, how it ended, and the most memory it ever held.

use crate::rig::{Done, Running, pause};

/// What a process among hostile files and peers may hold, in KiB.
pub const MOST: u64 = 64 * 1024;

/// The most it held so far, in KiB; nothing where the system does not say.
pub fn held(pid: rustix::process::Pid) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
    let kib = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    };
    // The pages of a program that was built with what a debugger wants are no memory that it took.
    Some(kib("VmHWM:")? - kib("RssFile:")?.min(kib("VmHWM:")?))
}

/// Waits for the end. The system counts the most itself, so looking often is enough; 0 where it does not say.
#[track_caller]
pub fn end(mut running: Running, seconds: u64) -> (Done, u64) {
    let mut most = 0;
    for _ in 0..seconds * 200 {
        most = most.max(held(running.pid()).unwrap_or(0));
        if !running.alive() {
            break;
        }
        pause(5);
    }
    (running.end(1), most)
}
