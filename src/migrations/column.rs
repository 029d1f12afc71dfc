//! Columns: what an added one asks of blue's inserts, and what another type does to blue's values.

use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode, Constraint};

use super::class::Judged;
use super::known::{Known, Made};
use super::names;
use super::names::{calls, named, words};

const REWRITES: &str = "rewrites the whole table under a lock that stops readers too";

/// Functions whose value is the same for all rows of one statement: a default of them is stored once.
const STABLE: [&str; 8] = [
    "now",
    "transaction_timestamp",
    "statement_timestamp",
    "current_setting",
    "current_user",
    "pg_catalog.now",
    "to_tsvector",
    "lower",
];

/// `add column`.
pub fn added(add: &ast::AddColumn, table: &str, known: &mut Known, new: bool) -> Judged {
    let name = named(add.column_name());
    let kind = add.ty().map(|ty| names::kind(&ty));
    known.column(table, &name, kind.clone(), Made::of(new, add.if_not_exists().is_some()));
    let constraints: Vec<Constraint> = add.constraints().collect();
    let (filled, required) = values(kind.as_deref(), &constraints, known);
    known.fill(table, &name, filled);
    known.require(table, &name, required);
    if !new {
        return Judged::expand(format!("blue knows `{name}`"));
    }
    // A prepared `select *` of blue's fails once with "cached plan must not change result type".
    let mut judged = Judged::expand(format!("blue does not name `{name}`, unless it prepares a `select *`"));
    if known.is_taken_whole(table) && !known.is_new_table(table) {
        judged = judged.and(Judged::semantic("a trigger here takes rows as a whole, and they have one column more"));
    }
    if is_serial(kind.as_deref()) && !known.is_new_table(table) {
        judged = judged
            .and(Judged::semantic("blue's inserts need a right to its sequence; `generated … as identity` needs none"));
        judged = judged.hazard(REWRITES);
    }
    for constraint in &constraints {
        judged = match constraint {
            Constraint::DefaultConstraint(default) => {
                let volatile = default.expr().is_some_and(|expr| {
                    let called = calls(expr.syntax());
                    called.iter().any(|name| !STABLE.contains(&name.as_str()))
                });
                if volatile { judged.hazard(REWRITES) } else { judged }
            }
            Constraint::GeneratedConstraint(generated) => {
                let text = words(generated.syntax());
                let judged = judged.hazard(REWRITES);
                let tight =
                    !text.to_lowercase().contains("identity") && kind.as_deref().is_some_and(|kind| !takes_any(kind));
                match may_fail(&text) || tight {
                    true => judged.and(Judged::tighten("rows that blue writes are refused where the expression fails")),
                    false => judged,
                }
            }
            Constraint::NotNullConstraint(_) | Constraint::NullConstraint(_) => judged,
            Constraint::PrimaryKeyConstraint(_) => {
                judged.and(Judged::tighten("each row that blue writes needs a value of its own there"))
            }
            Constraint::UniqueConstraint(_)
                if constraints.iter().any(|c| matches!(c, Constraint::DefaultConstraint(_))) =>
            {
                judged.and(Judged::tighten("the second row that blue writes has the default again, and is refused"))
            }
            Constraint::UniqueConstraint(_) => {
                known.single(table, std::slice::from_ref(&name));
                judged.hazard("builds an index while nobody else can use the table")
            }
            Constraint::CheckConstraint(_) => {
                judged.and(Judged::tighten("rows that blue writes without it are refused where they break the check"))
            }
            Constraint::ReferencesConstraint(to) => {
                match kept(to.syntax(), table, std::slice::from_ref(&name), known) {
                    Some(kept) => judged.and(kept),
                    None => judged,
                }
            }
            Constraint::ForeignKeyConstraint(_) | Constraint::ExcludeConstraint(_) => {
                judged.and(Judged::tighten("rows that blue writes are refused where they break it"))
            }
        };
    }
    if known.is_missed(table, &name) {
        judged = judged.and(Judged::tighten(format!(
            "blue's inserts leave `{name}` out, and fail; so does this on a table with rows"
        )));
    }
    judged
}

/// `null`, as a default that is none.
pub fn is_null(expr: &SyntaxNode) -> bool {
    words(expr).eq_ignore_ascii_case("null")
}

/// Whether an expression over a row's values may fail for some of them: a cast to anything but text, or a division.
pub fn may_fail(text: &str) -> bool {
    let text = without_literals(&text.to_lowercase());
    let casts = text.match_indices("::").any(|(at, _)| {
        // A literal is cast once, when the statement runs.
        let literal = text[..at].trim_end().ends_with('\'');
        let to = text[at + 2..].trim_start();
        !literal && !["text", "varchar", "character varying"].iter().any(|kind| to.starts_with(kind))
    });
    casts
        || ["cast(", "cast (", "/", "decode(", "chr(", "repeat("].iter().any(|word| text.contains(word))
        || text.contains('*')
}

/// Whether a column of this type takes whatever an expression of that type gives. What is not known may be a domain.
fn takes_any(kind: &str) -> bool {
    const WIDE: [&str; 12] = [
        "text",
        "varchar",
        "boolean",
        "bool",
        "integer",
        "bigint",
        "numeric",
        "double precision",
        "jsonb",
        "json",
        "tsvector",
        "uuid",
    ];
    WIDE.contains(&kind)
}

/// With nothing between the quotes.
fn without_literals(text: &str) -> String {
    text.split('\'').step_by(2).collect::<Vec<_>>().join("''")
}

/// Whether a row gets a value of a column where it names none, and whether it needs one.
pub fn values(kind: Option<&str>, constraints: &[Constraint], known: &Known) -> (bool, bool) {
    let mut filled = is_serial(kind);
    let mut required = filled || kind.is_some_and(|kind| known.is_required(kind));
    for constraint in constraints {
        match constraint {
            Constraint::DefaultConstraint(default) => {
                filled = default.expr().is_some_and(|expr| !is_null(expr.syntax()));
            }
            Constraint::GeneratedConstraint(generated) => {
                filled = true;
                // An identity takes no null.
                required |= words(generated.syntax()).to_lowercase().contains("identity");
            }
            Constraint::NotNullConstraint(_) | Constraint::PrimaryKeyConstraint(_) => required = true,
            _ => {}
        }
    }
    (filled, required)
}

fn is_serial(kind: Option<&str>) -> bool {
    kind.is_some_and(|kind| kind.ends_with("serial") || kind.starts_with("serial"))
}

/// What a reference means for the rows of blue's that it leads to. `of`: the table it stands in; `columns`: those that refer.
pub fn kept(node: &SyntaxNode, of: &str, columns: &[String], known: &mut Known) -> Option<Judged> {
    let references = node.descendants().filter(|node| {
        ast::ReferencesConstraint::can_cast(node.kind()) || ast::ForeignKeyConstraint::can_cast(node.kind())
    });
    let mut found: Option<Judged> = None;
    for reference in references.collect::<Vec<_>>() {
        let to = named(reference.descendants().find_map(ast::TableNameRef::cast));
        let judged = refers(&words(&reference).to_lowercase(), of, &to, columns, known);
        found = match (found, judged) {
            (Some(one), Some(other)) => Some(one.and(other)),
            (one, other) => one.or(other),
        };
    }
    found
}

fn refers(text: &str, of: &str, to: &str, columns: &[String], known: &mut Known) -> Option<Judged> {
    let (ours, lets) = (known.is_new_table(to), |action: &str| text.contains(&format!("on delete {action}")));
    let needed = columns.iter().any(|column| known.needs(of, column));
    let why = match () {
        // A delete of blue's goes on to it from a table that blue knows.
        () if ours && known.is_reached(to) && !lets("cascade") && (needed || !lets("set null")) => {
            format!("blue's deletes reach `{to}`, and are refused where rows here refer to them")
        }
        () if ours => {
            if !known.is_new_table(of) {
                known.refer(to);
            }
            return None;
        }
        () if !known.is_new_table(of) && lets("cascade") => {
            format!("a delete of blue's from `{to}` takes rows of `{of}` with it")
        }
        () if lets("cascade") => {
            known.reach(of);
            return None;
        }
        () if lets("set null") && !needed => return None,
        () => format!(
            "blue's deletes from `{to}` are refused where green's rows refer to them, unless it says `on delete …`"
        ),
    };
    Some(Judged::semantic(why))
}

/// `alter column … type`. The type before is known only where the migrations tell it.
pub fn retyped(from: Option<&str>, to: &str, using: bool) -> Judged {
    let Some(from) = from else {
        return Judged::tighten(format!("these migrations do not tell the type before; `{to}` may be narrower"))
            .hazard(REWRITES);
    };
    if using {
        return Judged::contract(format!("blue reads and writes `{from}`, and the values are computed anew"))
            .hazard(REWRITES);
    }
    let (of, size) = split(from);
    let (to_of, to_size) = split(to);
    let text = |kind: &str| matches!(kind, "varchar" | "text");
    let whole = |kind: &str| ["smallint", "integer", "bigint"].iter().position(|known| *known == kind);
    match (whole(of), whole(to_of)) {
        _ if from == to => Judged::expand("it is of that type already"),
        _ if text(of) && text(to_of) => match (size, to_size) {
            (_, None) => Judged::semantic("green may write longer values than blue can hold"),
            (Some(before), Some(after)) if after > before => {
                Judged::semantic("green may write longer values than blue can hold")
            }
            _ => Judged::tighten("values that blue writes are too long now").hazard(REWRITES),
        },
        (Some(before), Some(after)) if after > before => {
            Judged::semantic("green may write numbers that blue cannot hold").hazard(REWRITES)
        }
        (Some(_), Some(_)) => Judged::tighten("numbers that blue writes are too large now").hazard(REWRITES),
        _ if of == "timestamp" && to_of == "timestamptz" => {
            Judged::semantic("the same digits mean another moment, depending on the session's time zone")
                .hazard("rewrites the whole table unless the session's time zone is UTC")
        }
        _ => Judged::contract(format!("blue reads and writes `{from}`")).hazard(REWRITES),
    }
}

/// `varchar(20)` as its name and size.
fn split(kind: &str) -> (&str, Option<u32>) {
    match kind.split_once('(') {
        Some((name, size)) => (name, size.trim_end_matches(')').parse().ok()),
        None => (kind, None),
    }
}
