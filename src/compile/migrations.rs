//! The migration ratchet and the policy: whether blue can live with what green does to the data.
//!
//! Three answers are asked for, and the strictest counts: what the runbook declares, what the migrations say, and (by the run)
//! what the live database says. Where it is no, the way back is closed for bgctl's rules and needs a second person by hand.

use std::collections::BTreeSet;
use std::path::Path;

use super::people::Roles;
use super::{automatic, key, place};
use crate::diag::{Code, Diagnostic};
use crate::migrations::{Class, Folder, shortened};
use crate::plan::{Color, Finding, PlannedCheck, PlannedMigration, PlannedSchema, PlannedStep, Policy};
use crate::runbook::{Change, Document, GreenWrites, Node, Runbook, SchemaChange};

/// Findings that a sentence names; the page of the plan names all.
const NAMED: usize = 1;

/// The migrations of a runbook, read and judged; none where it names none, or names them by a variable that is not known yet.
pub fn migrations(document: &Document) -> Option<Result<Folder, String>> {
    let schema = document.schema.as_ref()?;
    let folder = schema.migrations.as_ref().filter(|folder| !folder.contains("${"))?;
    Some(Folder::read(Path::new(folder), schema.since.as_deref()))
}

/// The policy of the run, the schema as it is known, and what of both is taken on the operator's word.
pub fn policy(
    document: &Document,
    tree: &Node,
    roles: &Roles,
    live: &[String],
) -> (Policy, Option<PlannedSchema>, Vec<Diagnostic>) {
    let mut words = Vec::new();
    let rule = &document.policy.automatic_rollback;
    if rule.within.time.is_zero() {
        let span = place(tree, "/policy/automatic_rollback/within");
        words.push(
            Diagnostic::error(Code::TimeOrCount, "a window of no time counts no rollbacks")
                .at(span, "write `24h`, for one"),
        );
    }
    let page = document.policy.page.iter().map(|page| page.0.clone()).collect();
    if document.policy.page.is_empty() {
        let text = "nobody is called when a person must act: `policy.page` is empty";
        let mut warning = Diagnostic::warning(Code::NobodyCalled, text);
        if tree.get("policy").is_some() {
            warning = warning.at(key(tree, "policy"), "add `page: [pagerduty]` or `page: [slack]`");
        }
        words.push(warning);
    }
    let (mut reason, mut planned) = (None, None);
    match &document.schema {
        // Where nobody is moved nothing is assumed.
        None if document.routes.is_empty() => {}
        None => words.push(Diagnostic::warning(
            Code::Unproven,
            "the runbook says nothing about the database: blue is assumed to work with all that green writes",
        )),
        Some(schema) => {
            let mut known = asked(schema, tree, &mut words);
            let class = read(document, schema, tree, &mut known, &mut words);
            let mut reasons = reasons(schema, class, &known, tree, &mut words);
            reasons.extend_from_slice(live);
            reason = (!reasons.is_empty()).then(|| reasons.join("; "));
            known.overriding = known.postgres.is_some().then(|| roles.overriding(document));
            planned = (known != PlannedSchema::default()).then_some(known);
        }
    }
    let acknowledge = super::paging::check(document, tree, &mut words);
    (automatic(rule.at_most, rule.within.whole_seconds(), reason, page, acknowledge), planned, words)
}

/// What the live database will be asked.
fn asked(schema: &SchemaChange, tree: &Node, words: &mut Vec<Diagnostic>) -> PlannedSchema {
    let checks =
        schema.checks.iter().map(|check| PlannedCheck { sql: check.sql.clone(), equals: check.equals }).collect();
    let known = PlannedSchema {
        postgres: schema.postgres.clone(),
        checks,
        blue_needs: schema.blue_needs.clone(),
        green_needs: schema.green_needs.clone(),
        ..PlannedSchema::default()
    };
    if known.postgres.is_none() {
        for field in ["checks", "blue_needs", "green_needs"] {
            if tree.get("schema").and_then(|schema| schema.get(field)).is_some() {
                let wrong = Diagnostic::error(
                    Code::SchemaSection,
                    format!("no database is named that could answer `schema.{field}`"),
                );
                words.push(wrong.at(
                    place(tree, &format!("/schema/{field}")),
                    "name the database: `postgres: ${env:DATABASE_URL}`",
                ));
            }
        }
    } else if known.blue_needs.is_empty() {
        let warning = Diagnostic::warning(
            Code::Unproven,
            "what blue needs of the database is not named, so a loss of it would not be seen",
        );
        words.push(warning.at(place(tree, "/schema/postgres"), "add `blue_needs: { users: [id, phone] }`"));
    }
    for (n, check) in schema.checks.iter().enumerate() {
        if check.sql.trim().trim_end_matches(';').contains(';') {
            let wrong = Diagnostic::error(Code::SchemaSection, "a check is one statement");
            words.push(wrong.at(place(tree, &format!("/schema/checks/{n}/sql")), "make two checks of it"));
        }
    }
    known
}

/// Reads the migrations into what is known, and gives the strictest class that nobody answers for.
fn read(
    document: &Document,
    schema: &SchemaChange,
    tree: &Node,
    known: &mut PlannedSchema,
    words: &mut Vec<Diagnostic>,
) -> Class {
    let folder = match migrations(document) {
        None => {
            let given = [
                ("since", schema.since.is_some()),
                ("compatible", !schema.compatible.is_empty()),
                ("shadow", schema.shadow.is_some()),
            ];
            for (field, given) in given {
                if given && schema.migrations.is_none() {
                    let wrong = Diagnostic::error(
                        Code::SchemaSection,
                        format!("`schema.{field}` is about migrations, and none are named"),
                    );
                    words.push(wrong.at(place(tree, &format!("/schema/{field}")), "add `migrations: ./migrations`"));
                }
            }
            if schema.migrations.is_none() && schema.change != Change::None {
                let warning =
                    Diagnostic::warning(Code::Unproven, "no migrations are named: `change` is taken on your word");
                words.push(warning.at(place(tree, "/schema/change"), "add `migrations: ./migrations`"));
            }
            return Class::Nothing;
        }
        Some(Err(why)) => {
            let since = if why.starts_with("none of them") { "/schema/since" } else { "/schema/migrations" };
            words.push(
                Diagnostic::error(Code::SchemaSection, format!("the migrations cannot be read: {why}"))
                    .at(place(tree, since), "a folder of SQL files"),
            );
            return Class::Unknown;
        }
        Some(Ok(folder)) => folder,
    };
    let mut open = Class::Nothing;
    let mut used = vec![false; schema.compatible.len()];
    let mut indexed = BTreeSet::new();
    for migration in folder.new_ones() {
        let (name, version) = (migration.name.clone(), migration.version.clone());
        known.migrations.push(PlannedMigration { name, version, sha256: migration.sha256.clone() });
        for statement in &migration.statements {
            let judged = &statement.judged;
            *known.statements.entry(judged.class.name().into()).or_default() += 1;
            indexed.extend(statement.indexes.clone());
            if judged.class.is_safe() {
                continue;
            }
            let place_of = migration.place(statement);
            let declared = schema.compatible.iter().position(|declared| declared.at == place_of);
            if let Some(n) = declared {
                used[n] = true;
                if !judged.declarable {
                    let wrong = Diagnostic::error(
                        Code::NeedlessWord,
                        format!("`{place_of}` is `{}`, which no entry can declare compatible", judged.class.name()),
                    );
                    words.push(wrong.at(place(tree, &format!("/schema/compatible/{n}/at")), judged.why.clone()));
                }
            }
            let declared = declared.filter(|_| judged.declarable).map(|n| schema.compatible[n].because.clone());
            if declared.is_none() {
                open = open.max(judged.class);
            }
            known.findings.push(Finding {
                place: place_of,
                class: judged.class.name().into(),
                why: judged.why.clone(),
                statement: shortened(&statement.text),
                declared,
            });
        }
    }
    known.folder = schema.migrations.clone();
    known.before = folder.migrations.iter().filter(|m| !m.new).filter_map(|m| m.version.clone()).collect();
    known.indexed = indexed.into_iter().collect();
    for (table, columns) in folder.known.new_columns() {
        let needs = known.green_needs.entry(table).or_default();
        for column in columns {
            if !needs.contains(&column) {
                needs.push(column);
            }
        }
    }
    if known.postgres.is_none() {
        known.green_needs.clear();
        known.indexed.clear();
    }
    for (n, _) in used.iter().enumerate().filter(|(_, used)| !**used) {
        let wrong = Diagnostic::error(
            Code::NeedlessWord,
            format!("no statement at `{}` needs an entry", schema.compatible[n].at),
        );
        words.push(
            wrong.at(place(tree, &format!("/schema/compatible/{n}/at")), "the file has changed, or the place is wrong"),
        );
    }
    let any = known.statements.keys().any(|class| class != Class::Nothing.name());
    if schema.change == Change::None && any {
        let warning = Diagnostic::warning(
            Code::NoAutomaticRollback,
            "`schema.change` is `none`, and the migrations change the schema",
        );
        words.push(warning.at(place(tree, "/schema/change"), "the stricter of both counts: write `expand`"));
    }
    open
}

/// Every reason why users may not come back without a person.
fn reasons(
    schema: &SchemaChange,
    class: Class,
    known: &PlannedSchema,
    tree: &Node,
    words: &mut Vec<Diagnostic>,
) -> Vec<String> {
    // With no change of the schema at all, silence about green's writes is a good answer.
    let changes = schema.change != Change::None || known.statements.keys().any(|class| class != Class::Nothing.name());
    let writes = schema.green_writes.unwrap_or(if changes { GreenWrites::Unknown } else { GreenWrites::Compatible });
    let mut reasons = Vec::new();
    let mut because = |at: &str, reason: String| {
        let warning = Diagnostic::warning(Code::NoAutomaticRollback, format!("no automatic rollback: {reason}"));
        words.push(warning.at(place(tree, at), "a failed gate pages a person instead"));
        reasons.push(reason);
    };
    match schema.change {
        Change::Contract => {
            because("/schema/change", "`schema.change` is `contract`: blue misses what was taken away".into())
        }
        Change::Incompatible => {
            because("/schema/change", "`schema.change` is `incompatible`: blue cannot work on the data".into())
        }
        Change::None | Change::Expand => {}
    }
    if !class.is_safe() {
        let open: Vec<&Finding> = known.findings.iter().filter(|finding| finding.declared.is_none()).collect();
        let mut named: Vec<String> =
            open.iter().take(NAMED).map(|f| format!("`{}` is `{}`: {}", f.place, f.class, f.why)).collect();
        if open.len() > NAMED {
            named.push(format!("and {} more of the kind", open.len() - NAMED));
        }
        if named.is_empty() {
            named.push("the migrations could not be read".into());
        }
        because("/schema/migrations", named.join("; "));
    }
    match writes {
        GreenWrites::Incompatible => {
            because("/schema/green_writes", "`schema.green_writes` is `incompatible`: blue cannot read them".into())
        }
        GreenWrites::Unknown => {
            because("/schema/green_writes", "`schema.green_writes` is not known to be compatible".into())
        }
        GreenWrites::Compatible => {}
    }
    reasons
}

/// A migration runs before anybody is on green, and never on the way back.
pub fn migrate(
    runbook: &Runbook,
    forward: &[PlannedStep],
    rollback: &[PlannedStep],
    schema: Option<&mut PlannedSchema>,
) -> Vec<Diagnostic> {
    const KIND: &str = crate::steps::MIGRATE;
    let mut found = Vec::new();
    let at = |pointer: &str, id: &str| {
        let lane = runbook.tree.nearest(pointer);
        let node = lane.items().iter().find(|node| node.get("id").and_then(Node::text) == Some(id));
        node.and_then(|node| node.entry(KIND)).map_or(lane.span.clone(), |entry| entry.key_span.clone())
    };
    for step in rollback.iter().filter(|step| step.kind == KIND) {
        let wrong = Diagnostic::error(Code::MigrationPlace, "a rollback migrates nothing");
        found.push(wrong.at(at("/rollback/steps", &step.id), "the data would change under the users who came back"));
    }
    let moved = forward.iter().position(|step| step.moves.as_ref().is_some_and(|m| m.after.weight(Color::Green) > 0));
    let steps: Vec<(usize, &PlannedStep)> = forward.iter().enumerate().filter(|(_, step)| step.kind == KIND).collect();
    for (n, step) in &steps {
        if moved.is_some_and(|moved| moved < *n) {
            let wrong =
                Diagnostic::error(Code::MigrationPlace, format!("`{}` would migrate with users on green", step.id));
            found.push(wrong.at(at("/steps", &step.id), "put it before the first shift; contract in the next release"));
        }
    }
    if let [_, (_, second), ..] = steps.as_slice() {
        let wrong = Diagnostic::error(Code::MigrationPlace, "two steps migrate");
        found.push(wrong.at(at("/steps", &second.id), "the tool runs everything that has not run: one step is enough"));
    }
    if let (Some(schema), Some((_, step))) = (schema, steps.first()) {
        schema.migrate = Some(step.id.clone());
    }
    found
}

/// Where the schema stands against it, the first move back waits for a second person, also when a person asked for it.
pub fn ratchet(runbook: &Runbook, policy: &Policy, roles: &Roles, rollback: &mut [PlannedStep]) -> Vec<Diagnostic> {
    if policy.schema_safe {
        return Vec::new();
    }
    let rule = roles.overriding(&runbook.document);
    let mut found = Vec::new();
    if rule.members.len() <= rule.quorum as usize && rule.role == "owners" {
        let headline = "nobody but the runner could agree to a rollback that the schema stands against";
        let warning = Diagnostic::warning(Code::NobodyAgrees, headline);
        found.push(warning.at(key(&runbook.tree, "owners"), "name a second owner, or the role `schema.override`"));
    }
    if let Some(first) = rollback.iter_mut().find(|step| step.moves.is_some()) {
        first.approval = Some(rule);
    }
    found
}
