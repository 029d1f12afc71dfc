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
//!              report                         world: routers, live, clock
//! ```
//!
//! - [`run`] decides. It is pure: approvals, retries, rollback, caps and halting are there and nowhere else.
//! - [`drive`] is the loop around it and the only caller of a step. Running and resuming are the same function; [`arm`] is its
//!   preflight.
//! - [`steps`] act through a [`world`]: one file a kind. [`routers`] read and set splits; [`live`] has the world's other live
//!   sides, HTTP, databases and programs; [`https`] begins every client; [`clock`] is the only time there is.
//! - [`gates`] measure both stacks and judge what they see. [`slack`] checks from outside that a bot answers, loses nothing and
//!   does nothing twice. [`migrations`] says whether blue can live with a change of the schema.
//! - [`compare`] holds blue and green against each other before anybody moves.
//! - [`users`] reads where users are, all routes at the same moment; every sentence about them is made of that. [`versions`] asks both
//!   stacks what they run.
//! - [`guards`] say whether a run may still move anybody.
//! - [`policy`] says who is which person, who may approve what and how runs are signed; `compile` puts it into the plan.
//! - [`people`] are asked and called; nobody being there is an answer of its own.
//! - [`journal`] is the audit log, the resume state and the source of every [`report`], signed through [`sign`]. [`audit`] is
//!   how somebody else reads it: the verdict, copies, anchors, exports.
//! - [`sim`] is a world in virtual time for tests; [`lab`] one of real sockets on loopback, which `main` hands in as a
//!   [`rehearsal`].
//! - [`session`] is a process's part in a run: from a file or a log to a plan, from a plan to an open run, and from there to
//!   its end.
//! - [`cli`] has the commands: it reads argv, asks a session, and says what came of it. [`shell`] is what surrounds a process:
//!   environment, streams, exit codes.
//! - [`diag`], [`scalar`] and [`secret`] are words they all share: mistakes and refusals, values with units, values nobody
//!   prints. [`file`](mod@file) is the one way to read a file, whoever put it there, [`child`] to start a program, and
//!   [`document`] to read somebody else's JSON.
//!
//! A new kind (router, step, source, pager, anchor, form of export, CI viewer) is one file and one row of the table `KINDS` beside it.
//! `tests/conformance` runs every row; `tests/conformance/newcomer` has a router and a pager to copy.
//!
//! Who may import whom, and what has to stay pure, are tables in `tests/layers.rs`.
//!
//! # Every transition a run can take
//!
//! The phase a run is in, the event, and the phase it is in then. A test takes them from [`run::evolve`] and pins them:
//!
//! ```text
#![doc = include_str!("../tests/fixtures/transitions.txt")]
//! ```

pub mod arm;
pub mod audit;
pub mod child;
pub mod cli;
pub mod clock;
pub mod compare;
pub mod compile;
pub mod diag;
pub mod document;
pub mod drive;
pub mod file;
pub mod gates;
pub mod guards;
pub mod https;
pub mod journal;
pub mod lab;
pub mod live;
pub mod migrations;
pub mod people;
pub mod plan;
pub mod policy;
pub mod rehearsal;
pub mod report;
pub mod routers;
pub mod run;
pub mod runbook;
pub mod scalar;
pub mod secret;
pub mod session;
pub mod shell;
pub mod sign;
pub mod sim;
pub mod slack;
pub mod steps;
pub mod users;
pub mod versions;
pub mod world;
