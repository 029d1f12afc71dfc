//! Who is told, called and waited for once a run has come to rest.

use super::launch::Launch;
use super::open::Open;
use crate::drive::{End, found, page};
use crate::journal::{Append, Entry, Journal, Record};
use crate::people::{self, Control, News, Operator, Pager};
use crate::report::{Chorus, Reporter};
use crate::run::{Doing, Event, Evidence, RunOutcome, State};
use crate::world::World;

impl Launch<'_> {
    /// Tells how the run has come to rest, and why, to whoever wants to know.
    pub(super) async fn tell(&self, open: &mut Open, pager: &Pager, end: &End, world: &World, chorus: &mut Chorus) {
        if self.plan.policy.notify.is_empty() {
            return;
        }
        let refused = end.refusal.as_ref().map(|refusal| refusal.headline.clone());
        let ended = chorus.story.outcome.as_ref().map(|(_, line)| line.clone());
        let why = refused.or(chorus.story.why.clone()).or(ended).filter(|_| end.outcome != RunOutcome::Completed);
        let news = News {
            outcome: end.outcome.name(),
            why: why.map(|why| world.secrets.mask(&why)),
            users: world.secrets.mask(&found(&self.plan, world).await.line(&self.plan)),
            by: open.actor.name.clone(),
        };
        if let Some(line) = pager.tell(&news).await {
            noted(&mut open.journal, chorus, Evidence::Note { line });
        }
    }

    /// The process that waited for an acknowledgement is gone: whoever was called may not have it, so everybody is called anew.
    pub(super) async fn called_again(
        &self,
        open: &mut Open,
        pager: &Pager,
        state: &State,
        world: &World,
        chorus: &mut Chorus,
    ) {
        let Some(since) = unanswered(&open.past).filter(|_| self.plan.policy.acknowledge_s.is_some()) else { return };
        let given = people::acknowledged(&open.folder).filter(|given| given.at >= since);
        let evidence = match given {
            Some(given) => {
                let seconds = (given.at.as_second() - since.as_second()).max(0).unsigned_abs();
                let line = format!("{} has it", given.by.name);
                Evidence::PageAcknowledged { by: given.by, seconds, line }
            }
            None => {
                let happened = match &state.doing {
                    Doing::Ended(outcome) => format!("the run is {}, and nobody has acknowledged that", outcome.name()),
                    _ => "the run has halted, and nobody has acknowledged that".into(),
                };
                let found = found(&self.plan, world).await;
                let mut page = page(&open.id, &self.plan, state, &found, happened);
                page.users = world.secrets.mask(&page.users);
                page.choices.iter_mut().for_each(|choice| choice.what = world.secrets.mask(&choice.what));
                let (delivered, how) = pager.page(&page).await;
                let line = format!("the process that waited for an acknowledgement is gone; {how}");
                Evidence::PageEscalated { delivered, line }
            }
        };
        noted(&mut open.journal, chorus, evidence);
    }

    /// At the end of a halted run, where the policy wants to know that a person has it. Whoever goes back meanwhile can: the run is
    /// over, and its locks are given up.
    pub(super) async fn acknowledged(
        &self,
        open: &mut Open,
        pager: &Pager,
        operator: &Operator,
        chorus: &mut Chorus,
        board: &people::Board,
    ) {
        let Some(within) = self.plan.policy.acknowledge_s.filter(|_| pager.is_out()) else { return };
        open.give_up_locks();
        pager.last().iter().flat_map(|text| text.lines()).for_each(|line| board.say(line));
        let within = std::time::Duration::from_secs(within);
        let how = format!("bgctl ack {}", open.id);
        board.say(&format!("waits for an acknowledgement, {} per channel ({how})", crate::scalar::spoken(within)));
        let folder = open.folder.clone();
        let journal = &mut open.journal;
        let mut note = |evidence: Evidence| noted(journal, chorus, evidence);
        let looked = || people::acknowledged(&folder);
        let left = tokio::select! { biased;
            _ = operator.next() => true,
            () = pager.until_acknowledged(within, &looked, &mut note) => false,
        };
        if left {
            note(Evidence::Note { line: "nobody has acknowledged the page yet; the operator ended the wait".into() });
        }
    }
}

/// When it cannot be written, closing the log fails too, and says so.
fn noted(journal: &mut Journal, chorus: &mut Chorus, evidence: Evidence) {
    if let Ok(entries) = journal.append(&[Record::from(&evidence)]) {
        entries.iter().for_each(|entry| chorus.record(entry));
    }
}

/// When the last page went out that nobody has acknowledged.
fn unanswered(past: &[Entry]) -> Option<jiff::Timestamp> {
    let mut since = None;
    for entry in past {
        match (entry.event(), entry.kind.as_str()) {
            (Some(Event::Paged { delivered: true, .. }), _) => since = entry.ts.parse().ok(),
            (_, "page.acknowledged") => since = None,
            _ => {}
        }
    }
    since
}
