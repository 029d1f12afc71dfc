//! Every pitfall of Prometheus that once fooled somebody, against a real Prometheus: what it really answers, and what a gate
//! makes of it. One test a row of the research, `row_NN_…`; another counts them.
#![allow(clippy::disallowed_methods, reason = "a real Prometheus scrapes in real time")]

#[path = "../common/mod.rs"]
mod common;

mod access;
mod exporter;
#[cfg(feature = "aws")]
mod live;
mod rows;
mod shapes;
