//! `policy.acknowledge`: whether a page that nobody acknowledges can go anywhere.

use super::place;
use crate::diag::{Code, Diagnostic};
use crate::runbook::{Document, Node};

/// The longest a page may wait: users are split meanwhile.
const MOST_S: u64 = 3600;

/// The seconds a page may wait for an acknowledgement, if it has to be acknowledged.
pub fn check(document: &Document, tree: &Node, found: &mut Vec<Diagnostic>) -> Option<u64> {
    let within_s = document.policy.acknowledge.as_ref()?.within.whole_seconds();
    let at = || place(tree, "/policy/acknowledge/within");
    if within_s == 0 || within_s > MOST_S {
        let headline = "a page is acknowledged within a second to an hour";
        found.push(Diagnostic::error(Code::Escalation, headline).at(at(), "write `5m`"));
    } else if document.policy.page.len() < 2 {
        let headline = "nobody else is called when a page is not acknowledged";
        found.push(Diagnostic::warning(Code::Escalation, headline).at(at(), "`policy.page` names no second channel"));
    }
    Some(within_s)
}
