//! `bgctl`: a runbook executor for blue-green cutovers.

pub mod arm;
pub mod cli;
pub mod clock;
pub mod compile;
pub mod diag;
pub mod drive;
pub mod journal;
pub mod lab;
pub mod people;
pub mod plan;
pub mod probes;
pub mod processes;
pub mod report;
pub mod routers;
pub mod run;
pub mod runbook;
pub mod scalar;
pub mod secret;
pub mod sign;
pub mod sim;
pub mod steps;
pub mod world;
