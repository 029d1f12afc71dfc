//! Files and peers that somebody else has in their hands, and the real binary among them: it says what is wrong, soon, in
//! little memory, and shows nothing raw.

#[path = "../common/mod.rs"]
mod common;
mod files;
mod fuzz;
mod inputs;
mod peak;
mod peers;
mod readers;
#[path = "../process/rig.rs"]
#[allow(dead_code, reason = "each test binary uses its part of this")]
mod rig;
mod screen;
mod web;
