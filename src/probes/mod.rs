//! Read-only measurements: HTTP exchanges, Prometheus queries, Slack requests.
//!
//! A probe measures and says what it saw; whether that is good is judged elsewhere (`run`, `steps`). All of them speak
//! through [`Web`](crate::world::Web), so the simulated world answers the very bytes the real probes send.

pub mod burn;
mod by_label;
pub mod by_stack;
#[cfg(feature = "cloudwatch")]
pub mod cloudwatch;
pub mod database;
mod expression;
pub mod gate;
pub mod http;
pub mod inbox;
mod measured;
pub mod number;
pub mod probe;
pub mod prometheus;
pub mod promql;
pub mod redis;
pub mod slack;
pub mod slack_handlers;
pub mod slack_views;
pub mod source;
pub mod survey;
