//! Who is asked, called and listened to while a run is driven.

use std::rc::Rc;

use super::display::Display;
use super::launch::Launch;
use super::open::Open;
use super::{native, requests};
use crate::diag::{Code, Kind, Refusal};
use crate::people::{self, Ci, Inbox, Operator, PagedThrough, Pager, People, Seat, Subject, Terminal};
use crate::plan::Purpose;
use crate::run::Actor;
use crate::world::World;

/// Set for the runs of a game day: whoever is called has to know that it is one.
pub const GAMEDAY: &str = "BGCTL_GAMEDAY";

impl Launch<'_> {
    pub(super) fn pager(&self, open: &Open, world: &World) -> Result<Rc<Pager>, Refusal> {
        let plan = &self.plan;
        let folder = open.folder.clone();
        let against = !plan.policy.schema_safe;
        let subject = Subject {
            service: format!(
                "{}{} {}",
                if self.cx.var(GAMEDAY).is_some() { "GAME DAY, made bad on purpose: " } else { "" },
                plan.service,
                plan.environment
            ),
            run: open.id.clone(),
            incident: match &plan.purpose {
                Purpose::RollbackOf(run) => run.clone(),
                Purpose::Cutover | Purpose::RollbackWithoutRun => open.id.clone(),
            },
            owner: plan.rollback_owner.to_string(),
            native: Box::new(move || {
                let mut commands = native::native(&folder);
                // As a comment of the shell: the line is copied as it stands.
                let said = |line: &mut String| *line += "        # the schema stands against going back";
                commands.iter_mut().filter(|_| against).for_each(said);
                commands
            }),
        };
        let outside = PagedThrough {
            web: world.web.clone(),
            processes: world.processes.clone(),
            secrets: world.secrets.clone(),
            clock: world.clock.clone(),
        };
        // Whoever goes back sits here, and has the incident. A CI job that goes back is nobody.
        let here = self.command == "rollback" && self.cx.style.ci.is_none();
        let pager = match here {
            true => Ok(Pager::for_whom_it_is(&open.actor.name, outside, subject)),
            false => Pager::new(&plan.policy.page, outside, subject),
        };
        pager.and_then(|pager| pager.telling(&plan.policy.notify)).map(Rc::new).map_err(|e| {
            Refusal::new(Kind::Invalid, Code::NobodyCalled, "policy.page or policy.notify cannot be used").cause(e)
        })
    }

    pub(super) fn people(&self, open: &Open, eyes: &Display, pager: Rc<Pager>) -> Result<Box<dyn People>, Refusal> {
        let signers = self.approvers()?.signers().demanding(self.demands());
        let named = self.args.approvals.as_ref().map(|folder| self.cx.cwd.join(folder));
        let folder = named.unwrap_or_else(|| open.folder.join("approvals"));
        let mut barred = requests::barred(&open.past);
        barred.extend(requests::runner(open, self.cx.trigger()));
        let archive = self.archive()?;
        let known = Rc::new(move || requests::known(&archive));
        let inbox =
            Inbox::new(folder, people::trusting(signers), barred).knowing(known).also(open.folder.join("approvals"));
        let clock = open.deadlines.clone();
        let actor = open.actor.clone();
        Ok(match &eyes.keyboard {
            Some(keyboard) => Box::new(Terminal {
                keyboard: keyboard.clone(),
                board: eyes.board.clone(),
                clock,
                actor: Actor { via: "prompt".into(), ..actor },
                inbox,
                pager,
            }),
            None => Box::new(Ci {
                run: open.id.clone(),
                actor,
                clock,
                inbox,
                pager,
                board: eyes.board.clone(),
                said: Default::default(),
            }),
        })
    }

    pub(super) fn operator(&self, open: &Open, eyes: &Display) -> Result<Operator, Refusal> {
        let seat = Seat {
            keyboard: eyes.keyboard.clone(),
            clock: self.cx.clock.clone(),
            folder: open.folder.clone(),
            actor: open.actor.clone(),
            board: eyes.board.clone(),
            ci: self.cx.style.ci.is_some(),
        };
        Operator::new(seat, eyes.view()).map_err(|e| {
            Refusal::new(Kind::Environment, Code::System, "signals cannot be listened to").cause(e.to_string())
        })
    }
}
