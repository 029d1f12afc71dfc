//! The runbook.
pub mod tree;
pub mod yaml;
