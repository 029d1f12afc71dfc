//! The schema as pages of commands show it: each statement with its class, and what stands against a way back. It judges
//! nothing.

use serde_json::{Value, json};

use crate::diag::{Code, Diagnostic};
use crate::migrations::{Folder, Migration, Statement, shortened};
use crate::plan::Plan;
use crate::scalar::counted;
use crate::session::schema_check::rule;

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
            let said = finding
                .declared
                .as_ref()
                .map_or(String::new(), |why| format!("; blue works with it, as the runbook says: {why}"));
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
        rows.push(("rollback  ".into(), text));
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
        "an entry under `schema.compatible` may declare it safe"
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
    let one = |migration: &Migration, statement: &Statement| {
        let judged = &statement.judged;
        json!({
            "place": migration.place(statement), "statement": shortened(&statement.text), "class": judged.class.name(),
            "why": judged.why, "hazard": judged.hazard, "declarable": judged.declarable,
        })
    };
    folder.new_ones().flat_map(|m| m.statements.iter().map(move |statement| one(m, statement))).collect()
}
