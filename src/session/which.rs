//! Which run a command without a name is about: the one whose users are under way. Nothing is chosen by a clock, and where
//! several could be meant they are listed with where their users are, and a name is asked for.

use std::path::PathBuf;

use futures_util::future::join_all;

use super::run_record::RunRecord;
use super::{places, sight};
use crate::diag::{Code, Kind, Refusal};
use crate::journal::{Archive, Opened, found_in, own};
use crate::plan::LAB;
use crate::run::Doing;
use crate::shell::Context;

/// The newest run of a service, as far as it can be read.
struct Candidate {
    /// By the folder it lies in, since a log that has not begun says nothing yet; rehearsals of earlier versions lie among
    /// the real ones.
    real: bool,
    opened: Opened,
    folder: PathBuf,
    past: Result<RunRecord, Refusal>,
}

impl Candidate {
    /// Somebody may have to act: it has not ended, or its users were last seen on both sides, or none of that is known.
    fn under_way(&self) -> bool {
        match &self.past {
            Ok(past) => !matches!(past.state.doing, Doing::Ended(_)) || past.story.only().is_none(),
            Err(_) => true,
        }
    }

    fn short(&self) -> &str {
        self.opened.run.rsplit('-').next().unwrap_or(&self.opened.run)
    }

    fn place(&self) -> String {
        format!("{}/{}", self.opened.environment, self.opened.service)
    }

    /// The run, how it stands, and where its users are.
    async fn line(&self, cx: &Context) -> String {
        let (run, place) = (&self.opened.run, self.place());
        let past = match &self.past {
            Ok(past) => past,
            Err(refusal) => return format!("{place}: run {run}, {}", refusal.headline),
        };
        let found = sight::look(&past.plan, cx, &sight::reach(cx, &past.plan, false)).await;
        let users: Vec<String> = found.seen.iter().map(sight::line).collect();
        format!("{place}: run {run}, {}, {}", past.rests(), users.join("; "))
    }
}

/// The run of that name or the end of a name; without one the run whose users are under way, or the only service's newest. Its
/// log is its own.
pub async fn run(cx: &Context, name: Option<&str>, command: &str) -> Result<(String, PathBuf), Refusal> {
    let (id, folder) = called(cx, name, command).await?;
    own(&id, folder).map(|folder| (id, folder))
}

/// The same for going back, which needs no log: whose log lies in its folder is not looked at.
pub async fn called(cx: &Context, name: Option<&str>, command: &str) -> Result<(String, PathBuf), Refusal> {
    if name.is_some() {
        return found_in(&places::both(cx)?, name);
    }
    let [archive, lab] = places::both(cx)?;
    let newest: Vec<(bool, PathBuf, Opened)> = [(true, &archive), (false, &lab)]
        .into_iter()
        .flat_map(|(real, at)| at.newest().into_iter().map(move |opened| (real, at.run(&opened.run), opened)))
        .collect();
    match &newest[..] {
        [] => return Err(none(&archive)),
        [(_, folder, only)] => return Ok((only.run.clone(), folder.clone())),
        _ => {}
    }
    let candidate = |(real, folder, opened): (bool, PathBuf, Opened)| {
        let past = RunRecord::read(opened.run.clone(), folder.clone());
        Candidate { real: real && opened.environment != LAB, opened, folder, past }
    };
    let all: Vec<Candidate> = newest.into_iter().map(candidate).collect();
    let mut meant: Vec<&Candidate> = all.iter().filter(|candidate| candidate.under_way()).collect();
    if meant.iter().any(|candidate| candidate.real) {
        // No rehearsal stands between a person and users.
        meant.retain(|candidate| candidate.real);
    }
    let busy = !meant.is_empty();
    if !busy {
        // What was only played has no users.
        meant = all.iter().filter(|candidate| candidate.real).collect();
    }
    if let [only] = meant[..] {
        return Ok((only.opened.run.clone(), only.folder.clone()));
    }
    let meant = if meant.is_empty() { all.iter().collect() } else { meant };
    let lines = join_all(meant.iter().map(|candidate| candidate.line(cx))).await;
    let headline = match busy {
        true => format!("users of {} services are under way here, so a run has to be named", meant.len()),
        false => format!("runs of {} services are kept here, so one has to be named", meant.len()),
    };
    let refusal = Refusal::new(Kind::Usage, Code::WhichRun, headline)
        .place(archive.root().join("runs").display().to_string())
        .users("as listed; nothing was changed");
    let refusal = lines.into_iter().fold(refusal, Refusal::cause);
    Err(meant.iter().fold(refusal, |refusal, candidate| {
        refusal.next(format!("bgctl {command} {}        {}", candidate.short(), candidate.place()))
    }))
}

/// There is no run here: what can be done from a runbook alone.
fn none(archive: &Archive) -> Refusal {
    Refusal::new(Kind::Usage, Code::NoRun, "there is no run on this machine yet")
        .place(archive.root().join("runs").display().to_string())
        .cause("a run is known only on the machine that opened it; users may be under way from another machine")
        .users("not checked; nothing was changed")
        .next("bgctl status RUNBOOK.yaml      where users are now, from the runbook alone")
        .next("bgctl rollback RUNBOOK.yaml    everyone back to BLUE; needs no run")
        .next("bgctl rollback --print RUNBOOK.yaml    the provider's own commands for it")
        .next("bgctl audit verify path/to/log.jsonl    a log from elsewhere")
}
