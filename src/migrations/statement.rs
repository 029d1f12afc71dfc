//! The statements of a file of SQL, each judged by its syntax tree. What is not in the table is [`Class::Unknown`], and so is
//! everything from the first place on that PostgreSQL's grammar does not take.

use std::ops::Range;

use squawk_syntax::SourceFile;
use squawk_syntax::ast::{self, AstNode, Stmt};

use super::class::{Class, Judged};
use super::known::{Known, Made};
use super::names;
use super::names::{named, relation, words};
use super::{alter, data};

/// A statement, where it stands and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Bytes of the file.
    pub span: Range<usize>,
    /// The statement in one line.
    pub text: String,
    pub judged: Judged,
    /// The table it builds an index on.
    pub indexes: Option<String>,
}

/// The longest file that is read: what a person has written has fewer lines.
pub const LONGEST: usize = 1024 * 1024;

/// Parentheses within parentheses; the parser goes down as far as the text does.
const DEEPEST: usize = 200;

/// How deep brackets stand in each other, those in strings and comments counted with them.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Judges all statements of a text. `new`: these migrations came after blue's version; others only tell what there was before.
pub fn statements(text: &str, known: &mut Known, new: bool) -> Vec<Statement> {
    if nesting(text) > DEEPEST {
        let judged = Judged::unknown("it is nested too deeply to be read");
        return vec![Statement { span: 0..0, text: "the whole file".into(), judged, indexes: None }];
    }
    let parse = SourceFile::parse(text);
    let errors = parse.errors();
    let broken: Option<(usize, String)> =
        errors.iter().map(|e| (usize::from(e.range().start()), e.message().to_string())).min_by_key(|(at, _)| *at);
    let mut found: Vec<Statement> = Vec::new();
    for statement in parse.tree().stmts() {
        if matches!(statement, Stmt::EmptyStmt(_)) {
            continue;
        }
        let span = names::bytes(statement.syntax());
        let judged = match &broken {
            // A parser that goes on after a mistake may take two statements for one.
            Some((at, why)) if span.end >= *at => Judged::unknown(format!("it cannot be read as PostgreSQL: {why}")),
            _ => called(judge(&statement, known, new), &statement, known, new),
        };
        let indexes = match &statement {
            Stmt::CreateIndex(create) => Some(relation(create.table_relation_name().as_ref().map(AstNode::syntax))),
            _ => None,
        };
        found.push(Statement { span, text: words(statement.syntax()), judged, indexes });
    }
    if let Some((at, why)) = broken.filter(|(at, _)| !found.iter().any(|s| s.span.end >= *at)) {
        let at = at.min(text.len());
        let end = text[at..].find('\n').map_or(text.len(), |n| at + n);
        let line = text[at..end].trim().to_string();
        let judged = Judged::unknown(format!("it cannot be read as PostgreSQL: {why}"));
        found.push(Statement { span: at..end, text: line, judged, indexes: None });
    }
    found
}

fn judge(statement: &Stmt, known: &mut Known, new: bool) -> Judged {
    match statement {
        Stmt::AlterTable(alter) => alter::table(alter, known, new),
        Stmt::CreateTable(create) => created(create, known, new),
        Stmt::CreateDomain(create) => {
            let text = words(create.syntax()).to_lowercase();
            let base = text.split(" as ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap_or_default();
            if text.contains("not null") || known.is_required(&names::name(base)) {
                known.domain(&named(create.domain()));
            }
            Judged::expand("blue does not know it")
        }
        // It is gone with its transaction, and by its name then stands what blue knows.
        Stmt::CreateTableAs(create) if is_passing(create.syntax()) => Judged::expand("blue does not see it"),
        Stmt::CreateTableAs(create) => {
            known.table(&named(create.table_name()), Made::of(new, create.if_not_exists().is_some()));
            Judged::expand("blue does not know it")
        }
        Stmt::SelectInto(_) => Judged::expand("blue does not know the table it makes"),
        Stmt::CreateIndex(create) => indexed(create, known),
        Stmt::DropTable(drop) => {
            let tables: Vec<String> = drop.table_name_refs().map(|table| named(Some(table))).collect();
            let own = !tables.is_empty() && tables.iter().all(|table| known.is_new_table(table));
            tables.iter().for_each(|table| known.dropped(table, None));
            if own { Judged::expand("it came with this release") } else { gone() }
        }
        Stmt::AlterType(alter) => match alter.action() {
            Some(ast::AlterTypeAction::AddValue(_)) => {
                Judged::semantic("once green writes it blue may not know it, and it can never be taken out again")
            }
            Some(ast::AlterTypeAction::OwnerTo(_) | ast::AlterTypeAction::SetOptions(_)) => {
                Judged::semantic("blue's role may lose its rights on it")
            }
            Some(
                ast::AlterTypeAction::RenameValue(_)
                | ast::AlterTypeAction::RenameAttribute(_)
                | ast::AlterTypeAction::TypeRenameTo(_)
                | ast::AlterTypeAction::SetSchema(_),
            ) => Judged::contract("blue uses the old name"),
            _ => Judged::unknown("this version does not know what that does to blue"),
        },
        Stmt::AlterDomain(_) => Judged::tighten("values that blue writes may be refused"),
        Stmt::AlterIndex(_)
        | Stmt::AlterSequence(_)
        | Stmt::AlterPolicy(_)
        | Stmt::AlterTrigger(_)
        | Stmt::AlterRule(_) => Judged::semantic("what blue reads or writes by it may be something else"),
        Stmt::AlterView(_) | Stmt::AlterMaterializedView(_) | Stmt::AlterSchema(_) => {
            Judged::contract("blue may use its old name or columns")
        }
        Stmt::CreateTrigger(_) | Stmt::CreateRule(_) | Stmt::CreateEventTrigger(_) => {
            Judged::semantic("blue's writes do something else from now on")
                .hazard("stops writes to the table for a moment")
        }
        Stmt::CreatePolicy(_) => Judged::semantic("which rows blue sees and may write changes"),
        Stmt::CreateView(view) => match view.or_replace() {
            Some(_) => Judged::semantic("blue reads something else by the same name"),
            None => Judged::expand("blue does not know it"),
        },
        Stmt::CreateMaterializedView(_)
        | Stmt::CreateType(_)
        | Stmt::CreateSequence(_)
        | Stmt::CreateSchema(_)
        | Stmt::CreateExtension(_)
        | Stmt::CreateStatistics(_)
        | Stmt::CreateCollation(_)
        | Stmt::CreateRole(_)
        | Stmt::CreateUser(_)
        | Stmt::CreateGroup(_)
        | Stmt::Grant(_) => Judged::expand("blue does not know it"),
        Stmt::Revoke(_) => Judged::contract("blue's role may lose a right that it uses"),
        Stmt::DropIndex(_) => {
            Judged::semantic("blue's queries may become slow, and an `on conflict` of blue's may fail")
        }
        Stmt::DropTrigger(_) | Stmt::DropRule(_) | Stmt::DropPolicy(_) | Stmt::DropEventTrigger(_) => {
            Judged::semantic("blue's writes do something else from now on")
        }
        Stmt::DropStatistics(_) => Judged::semantic("blue's queries may become slow"),
        Stmt::DropView(_)
        | Stmt::DropMaterializedView(_)
        | Stmt::DropFunction(_)
        | Stmt::DropProcedure(_)
        | Stmt::DropRoutine(_)
        | Stmt::DropAggregate(_)
        | Stmt::DropOperator(_)
        | Stmt::DropCast(_)
        | Stmt::DropType(_)
        | Stmt::DropDomain(_)
        | Stmt::DropSequence(_)
        | Stmt::DropSchema(_)
        | Stmt::DropExtension(_)
        | Stmt::DropDatabase(_)
        | Stmt::DropOwned(_)
        | Stmt::DropRole(_)
        | Stmt::DropUser(_)
        | Stmt::DropForeignTable(_) => gone(),
        Stmt::Truncate(truncate) => {
            let tables: Vec<String> = truncate
                .table_list()
                .into_iter()
                .flat_map(|list| list.table_relation_names())
                .map(|t| relation(Some(t.syntax())))
                .collect();
            let ours = |table: &String| known.is_new_table(table) && !known.is_referred(table);
            match !tables.is_empty() && tables.iter().all(ours) {
                true => Judged::expand("it came with this release"),
                false => Judged::contract("rows that blue reads are gone"),
            }
        }
        Stmt::Update(_) | Stmt::Delete(_) | Stmt::Insert(_) | Stmt::Merge(_) | Stmt::Copy(_) => {
            data::written(statement, known)
        }
        Stmt::Select(_) | Stmt::CompoundSelect(_) | Stmt::ParenSelect(_) | Stmt::Values(_) | Stmt::Table(_) => {
            if words(statement.syntax()).to_lowercase().contains("search_path") {
                known.forget(new);
            }
            data::read(statement.syntax())
        }
        Stmt::Vacuum(_) | Stmt::Reindex(_) | Stmt::Cluster(_) | Stmt::Refresh(_) | Stmt::Repack(_) => {
            Judged::nothing().hazard("may stop others from using the table while it runs")
        }
        Stmt::Lock(_) => Judged::nothing().hazard("stops others from using the table until the transaction ends"),
        Stmt::Set(set) if words(set.syntax()).to_lowercase().contains("search_path") => {
            known.forget(new);
            Judged::nothing()
        }
        Stmt::Begin(_)
        | Stmt::Commit(_)
        | Stmt::Rollback(_)
        | Stmt::SavepointCreate(_)
        | Stmt::ReleaseSavepoint(_)
        | Stmt::Set(_)
        | Stmt::SetConstraints(_)
        | Stmt::SetRole(_)
        | Stmt::SetSessionAuth(_)
        | Stmt::SetTransaction(_)
        | Stmt::Reset(_)
        | Stmt::ResetRole(_)
        | Stmt::ResetSessionAuth(_)
        | Stmt::Show(_)
        | Stmt::Discard(_)
        | Stmt::Analyze(_)
        | Stmt::CommentOn(_)
        | Stmt::SecurityLabel(_)
        | Stmt::Checkpoint(_)
        | Stmt::Listen(_)
        | Stmt::Unlisten(_)
        | Stmt::Notify(_)
        | Stmt::EmptyStmt(_) => Judged::nothing(),
        Stmt::Do(_) => Judged::unknown("a `do` block may do anything"),
        Stmt::CreateFunction(_)
        | Stmt::CreateProcedure(_)
        | Stmt::AlterFunction(_)
        | Stmt::AlterProcedure(_)
        | Stmt::AlterRoutine(_) => Judged::semantic("where blue calls one of this name, it may do something else"),
        Stmt::Call(_) | Stmt::Execute(_) | Stmt::Prepare(_) | Stmt::Load(_) => {
            Judged::unknown("what it runs is not in this text")
        }
        _ => Judged::unknown("this version does not know what that does to blue"),
    }
}

/// A function of the team's own that runs with the statement does what no reader of the statement sees.
fn called(judged: Judged, statement: &Stmt, known: &mut Known, new: bool) -> Judged {
    match statement {
        Stmt::CreateFunction(_) | Stmt::CreateProcedure(_) => {
            let text = words(statement.syntax());
            let head = text.split('(').next().unwrap_or_default();
            let name = names::name(head.rsplit(' ').next().unwrap_or_default());
            known.function(&name);
            let body = text.to_lowercase();
            if ["new.*", "old.*", "select new", "values (new"].iter().any(|whole| body.contains(whole)) {
                known.takes_whole(&name);
            }
            judged
        }
        Stmt::CreateTrigger(_) => {
            let text = words(statement.syntax());
            // Of the same length, whatever letters there are.
            let lower = text.to_ascii_lowercase();
            let after = |word: &str| {
                lower
                    .find(word)
                    .map(|at| names::name(text[at + word.len()..].split(['(', ' ']).next().unwrap_or_default()))
            };
            let function = after("execute function ").or_else(|| after("execute procedure "));
            if let (Some(table), Some(function)) = (after(" on "), function) {
                known.triggers(&table, &function);
            }
            judged
        }
        Stmt::CreateView(_)
        | Stmt::CreatePolicy(_)
        | Stmt::CreateRule(_)
        | Stmt::CreateEventTrigger(_)
        | Stmt::DropFunction(_)
        | Stmt::AlterFunction(_)
        | Stmt::CommentOn(_) => judged,
        _ if !new => judged,
        _ => match known.own(&names::calls(statement.syntax())) {
            Some(own) => judged.and(Judged::semantic(format!("it calls `{own}`, and what that does is not read here"))),
            None => judged,
        },
    }
}

fn gone() -> Judged {
    Judged::contract("blue does not find it any more")
}

/// `create temp table … on commit drop`.
fn is_passing(create: &squawk_syntax::SyntaxNode) -> bool {
    let text = words(create).to_lowercase();
    text.starts_with("create temp") && text.contains("on commit drop")
}

fn created(create: &ast::CreateTable, known: &mut Known, new: bool) -> Judged {
    if is_passing(create.syntax()) {
        return Judged::expand("blue does not see it");
    }
    let table = named(create.table_name());
    let made = Made::of(new, create.if_not_exists().is_some());
    known.table(&table, made);
    let head = words(create.syntax()).to_lowercase();
    if ["create temp", "create local temp"].iter().any(|start| head.starts_with(start)) {
        known.pass(&table);
    }
    let mut judged = match known.namesake(&table).filter(|_| new) {
        Some(other) => Judged::semantic(format!("blue may find it where it looks for `{other}`")),
        None => Judged::expand("blue does not know it"),
    };
    if create.inherits().is_some() || create.partition_of().is_some() {
        judged = judged.and(Judged::semantic("rows that blue reads or writes may be in it"));
    }
    for arg in create.table_arg_list().into_iter().flat_map(|list| list.args()) {
        if let ast::TableArg::Column(column) = &arg {
            let (name, kind) = (named(column.name()), column.ty().map(|ty| names::kind(&ty)));
            let constraints: Vec<ast::Constraint> =
                column.syntax().descendants().filter_map(ast::Constraint::cast).collect();
            let (filled, required) = super::column::values(kind.as_deref(), &constraints, known);
            known.column(&table, &name, kind, made);
            known.fill(&table, &name, filled);
            known.require(&table, &name, required);
        }
        let columns = match &arg {
            ast::TableArg::Column(column) => vec![named(column.name())],
            other => alter::referring(other.syntax()),
        };
        if let Some(kept) = super::column::kept(arg.syntax(), &table, &columns, known) {
            judged = judged.and(kept);
        }
    }
    judged
}

fn indexed(create: &ast::CreateIndex, known: &mut Known) -> Judged {
    let table = relation(create.table_relation_name().as_ref().map(AstNode::syntax));
    if known.is_new_table(&table) {
        return Judged::expand(format!("`{table}` is new in this release"));
    }
    let judged = refused(create, &table, known);
    let judged = match known.is_perhaps_new(&table) && !judged.class.is_safe() {
        // Where blue has the table, its own statement did nothing and this one still does something.
        true => judged.declarable_as(format!("`{table}` may have been there before: `if not exists`")),
        false => judged,
    };
    match create.concurrently_token() {
        Some(_) => judged.hazard("leaves an invalid index behind where it fails: looked for before the first shift"),
        None => judged.hazard("stops writes to the table while it is built: `concurrently`"),
    }
}

/// What an index refuses of blue's.
fn refused(create: &ast::CreateIndex, table: &str, known: &mut Known) -> Judged {
    let items = create.partition_item_list().into_iter().flat_map(|list| list.partition_items());
    let columns: Vec<String> = items.map(|item| names::name(&words(item.syntax()))).collect();
    match create.unique_token() {
        // A null is equal to no other.
        Some(_) if known.are_empty(table, &columns) && create.nulls_distinct_option().is_none() => {
            known.single(table, &columns);
            Judged::expand("blue writes nulls there")
        }
        Some(_) => Judged::tighten("rows that blue writes twice are refused"),
        None if super::column::may_fail(&words(create.syntax())) => {
            Judged::tighten("rows that blue writes are refused where the expression fails")
        }
        None => Judged::expand("blue reads and writes as before"),
    }
}

/// The strictest class of all, and so what the whole change is.
pub fn strictest<'a>(statements: impl IntoIterator<Item = &'a Statement>) -> Class {
    statements.into_iter().map(|s| s.judged.class).max().unwrap_or(Class::Nothing)
}
