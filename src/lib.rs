//! `bgctl`: moves live users from blue to green one reviewed step at a time, and back in one call.
//!
//! # The map
//!
//! A runbook ([`runbook`]) is read into a tree that keeps every place, and compiled ([`compile`]) against what the routes say
//! now into a [`plan`]: immutable, complete in itself, with a digest. From there on the file is no longer needed.
//!
//! ```text
//! runbook.yaml ─parse→ Runbook ─compile→ Plan (forward and rollback lanes)
//!                                          │
//!         ┌──────────── drive (the loop) ──┴───────────────┐
//!         │  next = run::decide(plan, state)       pure    │
//!         │  journal.append(intent)                synced  │
//!         │  outcome = step.execute(world)         effect  │
//!         │  journal.append(outcome)               synced  │
//!         │  state = run::evolve(plan, state, fact) pure   │
//!         └────────────────────────────────────────────────┘
//!                  │ every record                 │ reads and writes
//!              report                         world: routers, probes, processes, clock
//! ```
//!
//! - [`run`] decides. It is pure: approvals, retries, rollback, caps and halting are there and nowhere else.
//! - [`drive`] is the loop around it and the only caller of a step. Running and resuming are the same function; [`arm`] is its
//!   preflight.
//! - [`compare`] holds blue and green against each other before anybody moves.
//! - [`steps`] act through a [`world`]: [`routers`] read and set splits, [`probes`] measure, [`processes`] run programs,
//!   [`clock`] is the only time there is.
//! - [`users`] reads where users are, all routes at the same moment; every sentence about them is made of that.
//! - [`schema`] reads migrations and says whether blue can live with them.
//! - [`policy`] says who is which person, who may approve what and how runs are signed; `compile` puts it into the plan.
//! - [`people`] are asked and called; nobody being there is an answer of its own.
//! - [`journal`] is the audit log, the resume state and the source of every [`report`], signed through [`sign`]; [`export`] says it
//!   in the words of other tools.
//! - [`anchors`] keep heads of logs where their owner cannot change them.
//! - [`sim`] is a world in virtual time for tests; [`lab`] one of real sockets on loopback, which `main` hands in as a
//!   [`rehearsal`].
//! - [`session`] is a process's part in a run: from a file or a log to a plan, from a plan to an open run, and from there to
//!   its end. [`guards`] say whether it may still move anybody.
//! - [`cli`] has the commands: it reads argv, asks a session, and says what came of it. [`shell`] is what surrounds a process:
//!   environment, streams, exit codes.
//! - [`diag`], [`scalar`] and [`secret`] are words they all share: mistakes and refusals, values with units, values nobody
//!   prints.
//!
//! A new kind (router, step, source, pager, anchor, form of export, CI viewer) is one file and one row of the table `KINDS` beside it.
//! `tests/conformance` runs every row; `tests/conformance/newcomer` has a router and a pager to copy.
//!
//! Who may import whom is a table in `tests/layers.rs`.
//!
//! # Every transition a run can take
//!
//! The phase a run is in, the event, and the phase it is in then. A test takes them from [`run::evolve`] and pins them:
//!
//! ```text
#![doc = include_str!("../tests/fixtures/transitions.txt")]
//! ```

pub mod anchors;
pub mod arm;
pub mod cli;
pub mod clock;
pub mod compare;
pub mod compile;
pub mod diag;
pub mod drive;
pub mod export;
pub mod guards;
pub mod journal;
pub mod lab;
pub mod people;
pub mod plan;
pub mod policy;
pub mod probes;
pub mod processes;
pub mod rehearsal;
pub mod report;
pub mod routers;
pub mod run;
pub mod runbook;
pub mod scalar;
pub mod schema;
pub mod secret;
pub mod session;
pub mod shell;
pub mod sign;
pub mod sim;
pub mod steps;
pub mod users;
pub mod world;
