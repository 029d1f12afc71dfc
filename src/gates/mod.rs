//! Gates: what a bake and every wait rest on. From the question a runbook asks, over the answer of a source, to a verdict.
//!
//! [`gate`] is the rule as written, [`source`] where numbers come from, [`promql`] and [`expression`] what can be said of a
//! query without asking it, [`probe`] one measurement of both stacks, [`judge`] what the numbers mean: pure, and kept so by
//! `tests/layers.rs`. [`watched`] puts the three together, [`watch`] does so for as long as somebody waits. What follows from
//! a verdict is for the run machine.

pub mod burn;
mod by_label;
pub mod by_stack;
#[cfg(feature = "cloudwatch")]
pub mod cloudwatch;
mod expression;
pub mod gate;
pub mod judge;
mod measured;
pub mod number;
mod present;
pub mod probe;
pub mod prometheus;
pub mod promql;
pub mod ready;
mod review;
pub mod server;
#[cfg(feature = "aws")]
pub mod signer;
pub mod source;
pub mod survey;
pub mod traffic;
pub mod watch;
pub mod watched;
