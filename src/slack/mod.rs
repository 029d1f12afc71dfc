//! Slack: what a bot has to answer while its users move, and how that is proven from outside.
//!
//! [`request`] and [`views`] make what Slack sends, byte for byte; [`check`] names the checks, [`checks`], [`dedup`],
//! [`exactly_once`], [`modals`] and [`outside`] make them over a [`suite`]; [`causes`] says what lies behind those that
//! failed. [`ledger`] accounts for every event of a bake by the [`notes`] that the bots leave. What follows from a finding is
//! for the step that asked.

mod causes;
pub mod check;
mod checks;
pub mod continuity;
mod dedup;
pub mod deliveries;
mod exactly_once;
pub mod handlers;
pub mod ledger;
mod modals;
mod notes;
mod outside;
pub mod paths;
pub mod request;
pub mod settings;
pub mod suite;
pub mod views;
