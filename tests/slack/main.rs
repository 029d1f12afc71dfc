//! Real bots: Bolt for Python behind gunicorn and Bolt for JavaScript, blue and green in different languages, over Redis.

#[path = "../common/mod.rs"]
mod common;

mod continuity;
mod contract;
mod deliveries;
mod ledger;
mod plain;
mod routes;
mod suite;

use tokio::sync::RwLock;

/// Whoever judges users under load has the machine alone; the others share it.
static MACHINE: RwLock<()> = RwLock::const_new(());

#[cfg(feature = "aws")]
mod cutover;
#[cfg(feature = "aws")]
mod sender;

#[cfg(feature = "aws")]
#[path = "../process/rig.rs"]
#[allow(dead_code, reason = "its other parts are for the tests it was made for")]
mod rig;
