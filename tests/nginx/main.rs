//! The router `nginx` against a real nginx: nights that go wrong by name, fleets, and live load through whole cutovers.
#![allow(clippy::disallowed_methods, reason = "nginx, bots and who looks at them keep real time")]

#[path = "../common/mod.rs"]
mod common;

mod fleet;
mod header;
mod load;
mod named;

#[cfg(feature = "aws")]
mod played;
#[cfg(feature = "aws")]
#[path = "../process/rig.rs"]
#[allow(dead_code, reason = "its other parts are for the tests it was made for")]
mod rig;
