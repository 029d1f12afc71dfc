//! The journal against those who would like it to say something else: attacks, faults, approvals, and OpenSSH's own tools.

mod anchors;
mod approvals;
mod attacks;
mod command;
#[path = "../common/mod.rs"]
mod common;
mod faults;
mod interop;
mod keys;
mod ledger;
mod policy;
mod properties;
mod rig;
