//! The schema as commands show it and ask for it: each statement with its class, what the live database says, and what it takes
//! to go back all the same.

use std::time::Duration;

use serde_json::{Value, json};

use super::Context;
use super::check::counted;
use super::prepare::Surroundings;
use crate::diag::{Code, Diagnostic, Kind, Refusal};
use crate::plan::{ApprovalRule, Plan, PlannedSchema};
use crate::probes::database::LiveDatabase;
use crate::run::{State, Verdict};
use crate::runbook;
use crate::schema::live::{Seen, When, look};
use crate::schema::{Folder, Statement, shortened};

/// The longest a command waits for the database before it says that nothing is known.
const WITHIN: Duration = Duration::from_secs(3);
/// The shortest reason that says something.
const REASON: usize = 10;

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
            cx.err(&format!("! schema   whether BLUE can live with it is not known: {line}"));
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
            "forward or page: the schema stands against going back",
        )
        .cause(against.to_string())
        .cause(format!("BLUE {} may fail on it, or write what nobody can read", plan.blue.version))
        .users("as shown above. Nothing was changed.")
        .next("go forward: mend GREEN, or the data, where it stands")
        .next(format!("{command}        back all the same; a second person has to agree: {who}")));
    }
    if !says_something(reason) {
        return Err(Refusal::new(Kind::Usage, Code::NeedsReason, "going back against the schema needs a reason")
            .cause(format!("at least {REASON} characters; whoever has to agree reads it, and it stands in the log"))
            .users("as shown above. Nothing was changed.")
            .next(command));
    }
    Ok(())
}

/// Whether a reason is one.
pub fn says_something(reason: &str) -> bool {
    reason.trim().chars().count() >= REASON && reason != super::rollback::NO_REASON
}

fn rule(plan: &Plan) -> Option<&ApprovalRule> {
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

/// What a plan says of the schema, as rows of a head and a text.
pub fn rows(plan: &Plan) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    if let Some(schema) = &plan.schema {
        if !schema.migrations.is_empty() {
            let counts: Vec<String> = schema.statements.iter().map(|(class, n)| format!("{n} {class}")).collect();
            let files = counted(schema.migrations.len(), "migration");
            rows.push(("schema  ".into(), format!("{files} since BLUE: {}", counts.join(", "))));
        }
        for finding in &schema.findings {
            let said =
                finding.declared.as_ref().map_or(String::new(), |why| format!("; blue lives with it, you say: {why}"));
            rows.push((
                format!("  {:<9} ", finding.class),
                format!("{}: {} ({}){said}", finding.place, finding.why, finding.statement),
            ));
        }
    }
    if plan.waits_by_hand()
        && let Some(rule) = rule(plan)
    {
        let text = format!(
            "FORWARD OR PAGE. By hand it takes `bgctl rollback --override schema --reason …` and {} of {} ({})",
            rule.quorum,
            rule.role,
            rule.members.join(", ")
        );
        rows.push(("way back  ".into(), text));
    }
    rows
}

/// Each statement of the migrations in one line, those that stand against a way back with their place in the file.
pub fn statements(folder: &Folder, color: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for migration in folder.new_ones() {
        for statement in &migration.statements {
            let class = statement.judged.class.name();
            lines.push(format!("    {class:<9} {}  {}", migration.place(statement), shortened(&statement.text)));
            if !statement.judged.class.is_safe() {
                let drawn = drawn(statement).render(&migration.name, &migration.text, color);
                lines.extend(drawn.lines().map(|line| format!("    {line}")));
            } else if let Some(hazard) = &statement.judged.hazard {
                lines.push(format!("              while it runs: {hazard}"));
            }
        }
    }
    lines
}

fn drawn(statement: &Statement) -> Diagnostic {
    let judged = &statement.judged;
    let headline = format!("`{}`: {}", judged.class.name(), judged.why);
    let label = if judged.declarable {
        "a word under `schema.compatible` may answer for it"
    } else {
        "users cannot simply come back"
    };
    let drawn = Diagnostic::warning(Code::NoAutomaticRollback, headline).at(statement.span.clone(), label);
    match &judged.hazard {
        Some(hazard) => drawn.note(format!("while it runs: {hazard}")),
        None => drawn,
    }
}

/// The same for machines.
pub fn statements_json(folder: &Folder) -> Value {
    let one = |migration: &crate::schema::Migration, statement: &Statement| {
        let judged = &statement.judged;
        json!({
            "place": migration.place(statement), "statement": shortened(&statement.text), "class": judged.class.name(),
            "why": judged.why, "hazard": judged.hazard, "declarable": judged.declarable,
        })
    };
    folder.new_ones().flat_map(|m| m.statements.iter().map(move |statement| one(m, statement))).collect()
}
