//! The schema as commands show it and ask for it: each statement with its class, what the live database says, and what it takes
//! to go back all the same.

use std::time::Duration;

use super::overrides::{REASON, says_something};
use super::surroundings::Surroundings;
use crate::compile;
use crate::diag::{Code, Kind, Refusal};
use crate::live::database::LiveDatabase;
use crate::live::scratch::LiveScratch;
use crate::migrations::live::{Seen, When, look};
use crate::migrations::{self, shadow::Shadow};
use crate::people::signals::told_to_end;
use crate::plan::{ApprovalRule, Plan, PlannedSchema};
use crate::run::{State, Verdict};
use crate::runbook::{self, Document};
use crate::scalar::spoken;
use crate::shell::Context;
use crate::world::Unanswered;

/// The longest a command waits for the database before it says that nothing is known.
const WITHIN: Duration = Duration::from_secs(3);
/// The longest all migrations may take in an empty database.
const SHADOW_WITHIN: Duration = Duration::from_secs(180);

/// What the live database says; none where the plan asks it nothing.
pub async fn live(cx: &Context, outside: &Surroundings, schema: &PlannedSchema) -> Result<Option<Seen>, Refusal> {
    let Some(reference) = &schema.postgres else { return Ok(None) };
    let url = runbook::resolve_plan(reference, &outside.env)?.resolve(reference);
    let database = LiveDatabase::new(cx.clock.clone());
    let silent = || Seen {
        forward: Verdict::Unknown,
        back: Verdict::Unknown,
        line: format!("PostgreSQL gives no answer in {} s", WITHIN.as_secs()),
    };
    Ok(tokio::select! {
        seen = look(schema, &url, &database, When::Back, false) => seen,
        () = cx.clock.sleep(WITHIN) => Some(silent()),
    })
}

/// What became of the migrations in a scratch database; none where the runbook names no server for that.
pub async fn shadow(cx: &Context, outside: &Surroundings, document: &Document) -> Result<Option<Shadow>, Refusal> {
    let reference = document.schema.as_ref().and_then(|schema| schema.shadow.as_ref());
    // A rehearsal reaches nothing but the lab.
    let reference = reference.filter(|_| outside.lab.is_none());
    let (Some(reference), Some(Ok(folder))) = (reference, compile::migrations(document)) else { return Ok(None) };
    let url = runbook::resolve_plan(reference, &outside.env)?.resolve(reference);
    let silent = |why: Unanswered| {
        Refusal::new(Kind::Unreachable, Code::LiveSchema, "the migrations cannot be tried in the shadow database")
            .place(format!("schema.shadow: {reference}"))
            .cause(why.to_string())
            .users("not asked for. Nothing was changed.")
            .next("start that server, or let its role create databases: `alter role … createdb`")
            .next("or take `schema.shadow` out: what the files say counts alone then")
    };
    let mut scratch = LiveScratch::open(&url, cx.clock.clone()).await.map_err(silent)?;
    let found = tokio::select! {
        found = migrations::shadow::run(&folder, &mut scratch) => Some(found),
        // The scratch database is dropped all the same.
        _ = told_to_end() => None,
        () = cx.clock.sleep(SHADOW_WITHIN) => {
            Some(Ok(Shadow::Broke(format!("the migrations take longer than {} there", spoken(SHADOW_WITHIN)))))
        }
    };
    scratch.close().await.map_err(silent)?;
    let interrupted = || {
        Refusal::new(Kind::Stopped, Code::LiveSchema, "interrupted while the migrations were tried")
            .users("not asked for. Nothing was changed.")
            .next("the same command again")
    };
    found.ok_or_else(interrupted)?.map(Some).map_err(silent)
}

/// Why the schema stands against going back now: as the plan has it, as the run saw it, or as the database says this moment.
pub async fn against(
    cx: &Context,
    outside: &Surroundings,
    plan: &Plan,
    state: &State,
) -> Result<Option<String>, Refusal> {
    if plan.waits_by_hand() {
        let said = plan.policy.schema_reason.clone();
        return Ok(Some(said.unwrap_or_else(|| "the schema is not declared safe".into())));
    }
    let Some(schema) = &plan.schema else { return Ok(None) };
    let seen = live(cx, outside, schema).await.unwrap_or_else(|refusal| {
        Some(Seen { forward: Verdict::Unknown, back: Verdict::Unknown, line: refusal.headline })
    });
    Ok(match seen {
        Some(Seen { back: Verdict::Fail, line, .. }) => Some(line),
        Some(Seen { back: Verdict::Unknown, line, .. }) => {
            cx.err(&format!("! schema   not known whether BLUE works with it: {line}"));
            state.schema_against.clone()
        }
        _ => state.schema_against.clone(),
    })
}

/// Nobody goes back against the schema by mistake: it takes the word, a reason, and later a second person.
pub fn overridden(plan: &Plan, against: &str, given: bool, reason: &str) -> Result<(), Refusal> {
    let who = rule(plan).map_or("somebody else".into(), |rule| format!("{} ({})", rule.role, rule.members.join(", ")));
    let command = "bgctl rollback --override schema --reason \"…\"";
    if !given {
        return Err(Refusal::new(
            Kind::Denied,
            Code::ForwardOrPage,
            "forward or page: the schema stands against a rollback",
        )
        .cause(against.to_string())
        .cause(format!("BLUE {} may fail on it, or write data that cannot be read", plan.blue.version))
        .users("as shown above. Nothing was changed.")
        .next("go forward: fix GREEN, or the data, in place")
        .next(format!("{command}        back anyway; a second person has to approve: {who}")));
    }
    if !says_something(reason) {
        return Err(Refusal::new(Kind::Usage, Code::NeedsReason, "a rollback against the schema needs a reason")
            .cause(format!("at least {REASON} characters; the person who approves reads it, and the log keeps it"))
            .users("as shown above. Nothing was changed.")
            .next(command));
    }
    Ok(())
}

/// Whose word it takes to go back against the schema.
pub fn rule(plan: &Plan) -> Option<&ApprovalRule> {
    let waits = plan.rollback.iter().filter_map(|step| step.approval.as_ref()).find(|rule| rule.even_by_hand);
    waits.or_else(|| plan.schema.as_ref()?.overriding.as_ref())
}

/// The plan of a way back that waits for a second person, because of what the database says now.
pub fn waiting(mut plan: Plan, against: &str) -> Plan {
    if !plan.waits_by_hand()
        && let Some(rule) = rule(&plan).cloned()
    {
        plan.policy.schema_safe = false;
        plan.policy.schema_reason = Some(against.into());
        if let Some(first) = plan.rollback.iter_mut().find(|step| step.moves.is_some()) {
            first.approval = Some(rule);
        }
    }
    plan
}
