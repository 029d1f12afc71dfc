//! The live side of a [`World`](crate::world): HTTP, Redis, PostgreSQL and the programs a run starts.
//!
//! Each asks as it is told and gives back what came. What is asked, and what an answer means, is for its callers, so a
//! simulated world answers the very same questions.

mod bounded;
pub mod database;
pub mod http;
pub mod inbox;
mod postgres;
pub mod postgres_url;
pub mod processes;
pub mod redis;
pub mod scratch;
mod tls;
