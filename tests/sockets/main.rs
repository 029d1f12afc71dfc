//! Socket Mode: Slack's gateway as the lab plays it, the router that hands sockets over, and real Bolt fleets between them.
#![allow(clippy::disallowed_methods, reason = "gateway, bots and who looks at them keep real time")]

#[path = "../common/mod.rs"]
mod common;

mod fleets;
mod gateway;
mod lab;
mod plan;
mod router;
mod stub;
