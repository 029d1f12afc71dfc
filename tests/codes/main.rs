//! Every code of the table is shown by the real binary, with a page that speaks of what happened. A code without a row fails.

#[path = "../common/mod.rs"]
mod common;
mod keys;
mod logs;
#[path = "../audit/rig.rs"]
#[allow(dead_code, reason = "each test binary uses its part of this")]
mod made;
mod pages;
mod people;
mod provider;
#[path = "../process/rig.rs"]
#[allow(dead_code, reason = "each test binary uses its part of this")]
mod rig;
mod row;
mod runbook;
#[path = "../sockets/stub.rs"]
mod stub;
mod world;

use std::collections::BTreeSet;

use bgctl::diag::Code;

#[test]
fn every_code_has_one_row() {
    let tables = [runbook::FILES, runbook::RULES, world::ROWS, provider::ROWS, people::ROWS, keys::ROWS, logs::ROWS];
    let rows: Vec<Code> = tables.iter().flat_map(|rows| rows.iter().map(|row| row.code)).collect();
    let known: BTreeSet<Code> = rows.iter().copied().collect();
    let without: Vec<&Code> = Code::ALL.iter().filter(|code| !known.contains(code)).collect();
    assert!(without.is_empty(), "no row says how these are provoked: {without:?}");
    assert_eq!(rows.len(), known.len(), "a code has two rows");
}
