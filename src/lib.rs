//! `bgctl`: a runbook executor for blue-green cutovers.

pub mod cli;
pub mod clock;
pub mod diag;
pub mod journal;
pub mod people;
pub mod plan;
pub mod probes;
pub mod processes;
pub mod report;
pub mod routers;
pub mod run;
pub mod scalar;
pub mod secret;
pub mod steps;
pub mod world;
