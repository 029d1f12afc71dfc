//! The routes of a plan as this process reaches them: to look at, or to move. Nothing is asked of any provider here.

use std::rc::Rc;

use super::surroundings::{Surroundings, of_the_other_world};
use crate::diag::{Code, Kind, Mistake, Refusal};
use crate::plan::PlannedRoute;
use crate::routers::{self, Access, RouteView, TrafficRouter};
use crate::runbook;

fn kind(planned: &PlannedRoute) -> Result<&'static routers::Kind, Refusal> {
    routers::KINDS.iter().find(|kind| kind.name == planned.router).ok_or_else(|| {
        let known = routers::KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
        Refusal::new(Kind::Invalid, Code::NotBuiltIn, format!("this bgctl has no router `{}`", planned.router))
            .cause(format!("it was built with: {known}"))
            .next("build it with `--features full`")
    })
}

pub fn wrong(planned: &PlannedRoute, mistakes: &[Mistake]) -> Refusal {
    let refusal =
        Refusal::new(Kind::Invalid, Code::RouteSettings, format!("the settings of {} are wrong", planned.line));
    mistakes.iter().fold(refusal, |refusal, mistake| refusal.cause(mistake.message.clone()))
}

/// The reading side of a route: what plan and status may hold.
pub fn view(planned: &PlannedRoute, outside: &Surroundings) -> Result<Rc<dyn RouteView>, Refusal> {
    (kind(planned)?.view)(&planned.config, &access(planned, outside)?).map_err(|mistakes| wrong(planned, &mistakes))
}

/// A route that can be moved: only for a run.
pub fn router(planned: &PlannedRoute, outside: &Surroundings) -> Result<Rc<dyn TrafficRouter>, Refusal> {
    (kind(planned)?.open)(&planned.config, &access(planned, outside)?).map_err(|mistakes| wrong(planned, &mistakes))
}

/// A route by its settings, for what they alone say: no reference has its value here. In a rehearsal nothing else is named.
pub fn unreached(planned: &PlannedRoute, outside: &Surroundings) -> Option<Rc<dyn RouteView>> {
    let kind = kind(planned).ok().filter(|_| outside.lab.is_none())?;
    (kind.view)(&planned.config, &Access::default()).ok()
}

/// How providers are reached, with the values of the references in this route's settings.
pub fn access(planned: &PlannedRoute, outside: &Surroundings) -> Result<Access, Refusal> {
    if let Some(played) = &outside.lab {
        let lab = kind(planned)?.lab;
        let found = lab.review(&planned.router, &planned.config, &played.own);
        if !found.is_empty() {
            let refusal = of_the_other_world("a route of this plan is not the lab's").place(planned.line.clone());
            return Err(found.into_iter().fold(refusal, |refusal, mistake| refusal.cause(mistake.message)));
        }
    }
    let secrets = runbook::resolve_plan(&planned.config.to_string(), &outside.env)?;
    Ok(Access { secrets, ..outside.access.clone() })
}
