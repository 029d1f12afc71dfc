//! The schema ratchet: what statements mean, what a folder of migrations says, and what a real PostgreSQL says to both.

#[path = "../common/mod.rs"]
mod common;
mod folder;
mod live;
mod migrate;
mod ratchet;
mod shadow;
mod table;
