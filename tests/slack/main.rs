//! Real bots: Bolt for Python behind gunicorn and Bolt for JavaScript, blue and green in different languages, over Redis.

#[path = "../common/mod.rs"]
mod common;

mod suite;
