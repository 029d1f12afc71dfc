//! A process's part in a run: from a file or a log to a plan, from a plan to an open run, and from there to its end. Commands
//! ask for it and say what came of it; nothing here reads the command line.

pub mod absent;
pub mod acting;
mod afterwards;
pub mod display;
mod doors;
pub mod drive;
pub mod earlier;
pub mod hand;
pub mod launch;
pub mod lease_guard;
pub mod mistakes;
pub mod native;
pub mod notary;
pub mod open;
pub mod overrides;
pub mod participants;
pub mod permission;
pub mod pin;
pub mod places;
pub mod policy;
mod policy_memory;
pub mod policy_pin;
pub mod prepare;
pub mod ran;
pub mod requests;
pub mod resources;
pub mod routes;
pub mod run_record;
pub mod run_rules;
pub mod schema_check;
pub mod serving;
pub mod sight;
pub mod surroundings;
pub mod trust;
pub mod unrecorded;
pub mod which;
