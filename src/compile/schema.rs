//! The migration ratchet and the policy: whether blue can live with what green does to the data.
//!
//! Every answer here is the operator's word: this version reads no SQL and asks no database, and says so.

use super::{automatic, key, place};
use crate::diag::Diagnostic;
use crate::plan::Policy;
use crate::runbook::{Change, Document, GreenWrites, Node};

/// The policy of the run, with what it takes on the operator's word.
pub fn policy(document: &Document, tree: &Node) -> (Policy, Vec<Diagnostic>) {
    let mut words = Vec::new();
    let rule = &document.policy.automatic_rollback;
    if rule.within.time.is_zero() {
        let span = place(tree, "/policy/automatic_rollback/within");
        words.push(
            Diagnostic::error("BG0113", "a window of no time counts no rollbacks").at(span, "write `24h`, for one"),
        );
    }
    let page = document.policy.page.iter().map(|page| page.0.clone()).collect();
    if document.policy.page.is_empty() {
        let text = "nobody is called when a person must act: `policy.page` is empty";
        let mut warning = Diagnostic::warning("BG0123", text);
        if tree.get("policy").is_some() {
            warning = warning.at(key(tree, "policy"), "add `page: [pagerduty]` or `page: [slack]`");
        }
        words.push(warning);
    }
    let mut reason = None;
    match &document.schema {
        None => words.push(Diagnostic::warning(
            "BG0123",
            "the runbook says nothing about the database: blue is taken to live with all that green writes",
        )),
        Some(schema) => {
            // With no change of the schema at all, silence about green's writes is a good answer.
            let writes = schema.green_writes.unwrap_or(match schema.change {
                Change::None => GreenWrites::Compatible,
                _ => GreenWrites::Unknown,
            });
            reason = match (schema.change, writes) {
                (Change::Contract, _) => Some("`schema.change` is `contract`: blue misses what was taken away"),
                (Change::Incompatible, _) => Some("`schema.change` is `incompatible`: blue cannot work on the data"),
                (_, GreenWrites::Incompatible) => {
                    Some("`schema.green_writes` is `incompatible`: blue cannot read them")
                }
                (_, GreenWrites::Unknown) => Some("`schema.green_writes` is not known to be compatible"),
                (_, GreenWrites::Compatible) => None,
            };
            let mut word = |field: &str, headline: &str| {
                let pointer = format!("/schema/{field}");
                words.push(Diagnostic::warning("BG0123", headline).at(place(tree, &pointer), "not looked at"));
            };
            if schema.migrations.is_some() {
                word("migrations", "the migrations are not read by this version: `change` is taken on your word");
            }
            if schema.postgres.is_some() {
                word("postgres", "the database is not asked by this version");
            }
            if !schema.checks.is_empty() {
                word("checks", "the checks are not run by this version: run them yourself before the first shift");
            }
            if let Some(reason) = reason {
                let at = if reason.contains("green_writes") { "/schema/green_writes" } else { "/schema/change" };
                words.push(
                    Diagnostic::warning("BG0124", format!("no automatic rollback: {reason}"))
                        .at(place(tree, at), "a failed gate pages a person instead"),
                );
            }
        }
    }
    let acknowledge = super::paging::check(document, tree, &mut words);
    (automatic(rule.at_most, rule.within.whole_seconds(), reason.map(String::from), page, acknowledge), words)
}
