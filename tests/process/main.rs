//! The program as it is run: real processes of the real binary against real sockets, killed, signalled, starved of disk,
//! and looked at from outside. The lab stands in this process, so it goes on when a bgctl is killed, as a provider would.

mod agreed;
mod anchors;
mod approvals;
mod back;
mod canaries;
#[path = "../common/mod.rs"]
mod common;
mod compare;
mod contract;
mod disk;
mod exports;
mod gameday;
mod guards;
mod hands;
mod kill;
mod labs;
mod names;
mod openssh;
mod paging;
mod people;
mod prepare;
mod provider;
mod race;
mod reading;
mod redaction;
mod rehearsal;
mod rig;
mod routeless;
mod schema;
mod secrets;
mod signals;
mod trust;
