//! The journal against those who would like it to say something else: attacks, faults, approvals, and OpenSSH's own tools.

mod a15;
mod agents;
mod anchors;
mod approvals;
mod attacks;
mod cases;
mod certificates;
mod command;
#[path = "../common/mod.rs"]
mod common;
mod contradictions;
mod differ;
mod faults;
mod forge;
mod fuzz;
mod interop;
mod keys;
mod ledger;
mod losing;
mod made;
mod mutate;
mod passing;
mod policy;
mod properties;
mod remembered;
mod revoked;
mod rig;
mod rights;
mod security_keys;
mod ssh;
mod vectors;
