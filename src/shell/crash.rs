//! What a crash leaves behind: no core file, since every secret that a run holds would stand in it in clear.

use rustix::process::{Resource, Rlimit, setrlimit};

/// From here on the memory of this process is written nowhere when it dies, and that of what it starts into no file: programs
/// are handed secrets too.
pub fn leaves_no_core() {
    // A limit can always be lowered. Nobody who is started here can raise it again.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    // A core that is piped to a program of the system asks no limit.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}
