//! The steps that were begun, for a state that is made anew for every fact. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::plan::{Lane, StepRef};

/// Steps of a lane that have a page together.
const PAGE: usize = 256;

/// Steps with their newest attempts, in their order.
type Page = Vec<(StepRef, u32)>;

/// Steps, each with its newest attempt, in their order. A state shares with the one before it every page that did not change:
/// otherwise the time a log takes would grow with the square of its steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tried(Arc<BTreeMap<(Lane, usize), Arc<Page>>>);

impl Tried {
    pub fn insert(&mut self, at: StepRef, attempt: u32) {
        let page = Arc::make_mut(&mut self.0).entry((at.lane, at.index / PAGE)).or_default();
        let page = Arc::make_mut(page);
        match page.binary_search_by_key(&at, |(step, _)| *step) {
            Ok(there) => page[there].1 = attempt,
            Err(there) => page.insert(there, (at, attempt)),
        }
    }

    pub fn attempt(&self, at: StepRef) -> Option<u32> {
        let page = self.0.get(&(at.lane, at.index / PAGE))?;
        page.binary_search_by_key(&at, |(step, _)| *step).ok().map(|there| page[there].1)
    }

    pub fn steps(&self) -> impl DoubleEndedIterator<Item = StepRef> {
        self.0.values().flat_map(|page| page.iter().map(|(step, _)| *step))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(StepRef, u32)> for Tried {
    fn from_iter<I: IntoIterator<Item = (StepRef, u32)>>(attempts: I) -> Self {
        let mut tried = Tried::default();
        attempts.into_iter().for_each(|(at, attempt)| tried.insert(at, attempt));
        tried
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_come_in_their_order_whatever_page_they_are_on() {
        let at = |lane, index| StepRef { lane, index };
        let all: Vec<StepRef> = [Lane::Forward, Lane::Rollback]
            .into_iter()
            .flat_map(|lane| (0..3 * PAGE).map(move |n| at(lane, n)))
            .collect();
        let mut tried: Tried = all.iter().rev().map(|step| (*step, 1)).collect();
        let before = tried.clone();
        tried.insert(at(Lane::Forward, PAGE), 2);
        assert!(tried.steps().eq(all.iter().copied()));
        assert!(tried.steps().rev().eq(all.iter().rev().copied()));
        assert_eq!(tried.attempt(at(Lane::Forward, PAGE)), Some(2));
        assert_eq!(before.attempt(at(Lane::Forward, PAGE)), Some(1));
        assert_eq!(tried.attempt(at(Lane::Forward, 3 * PAGE)), None);
        assert_ne!(tried, before);
    }
}
