//! `alter table`: each of its actions by the table of classes, the strictest counts.

use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AlterColumnOption, AlterTableAction as Action, AstNode, Constraint};

use super::class::Judged;
use super::column;
use super::known::{Known, Made};
use super::names;
use super::names::{named, words};

/// Judges a whole `alter table` and remembers what it makes. `new`: blue does not know what is made here.
pub fn table(alter: &ast::AlterTable, known: &mut Known, new: bool) -> Judged {
    let table = names::relation(alter.table_relation_name().as_ref().map(AstNode::syntax));
    let fresh = known.is_new_table(&table);
    let mut judged: Option<Judged> = None;
    let mut adopted: Option<Judged> = None;
    for action in alter.actions() {
        let one = judge(&action, &table, known, new);
        let taken_in = match &action {
            Action::AttachPartition(_) => attached(&action, known),
            Action::AddColumn(add) => column::kept(add.syntax(), &table, &[named(add.column_name())], known),
            other => column::kept(other.syntax(), &table, &referring(other.syntax()), known),
        };
        adopted = adopted.or(taken_in);
        judged = Some(match judged {
            Some(so_far) => so_far.and(one),
            None => one,
        });
    }
    match judged {
        None => Judged::unknown("it has no clause that this version knows"),
        // Whatever happens to a table that came with this release, blue never sees it, but for what it takes in or refers to.
        Some(_) if fresh => adopted.unwrap_or_else(|| Judged::expand(format!("`{table}` is new in this release"))),
        Some(judged) => judged,
    }
}

fn judge(action: &Action, table: &str, known: &mut Known, new: bool) -> Judged {
    const REWRITES: &str = "rewrites the whole table under a lock that stops readers too";
    match action {
        Action::AddColumn(add) => column::added(add, table, known, new),
        Action::DropColumn(drop) => {
            let name = named(drop.column_name_ref());
            if known.is_new(table, &name) {
                known.dropped(table, Some(&name));
                return Judged::expand(format!("`{name}` came with this release"));
            }
            Judged::contract(format!("blue's statements that name `{name}` fail, and its values are gone for good"))
        }
        Action::RenameColumn(_) => Judged::contract("blue's statements use the old name"),
        Action::TableRenameTo(_) => Judged::contract("blue's statements use the old name"),
        Action::SetSchema(_) => Judged::contract("blue does not find it under its old name"),
        Action::AlterColumn(alter) => {
            let name = named(alter.column_name_ref());
            match alter.option() {
                Some(option) => altered(&option, table, &name, known, new),
                None => Judged::unknown("what becomes of the column cannot be read"),
            }
        }
        Action::AddConstraint(add) => match add.constraint() {
            Some(constraint) => constrained(&constraint, table, known),
            None => Judged::unknown("the constraint cannot be read"),
        },
        Action::ValidateConstraint(_) => Judged::tighten("rows that blue writes have to satisfy it")
            .hazard("reads the whole table, and lets others write meanwhile"),
        Action::AlterConstraint(_) => Judged::semantic("when blue's writes are refused changes"),
        Action::DropConstraint(_) => {
            Judged::semantic("green may write what it kept out, and an `on conflict` of blue's that names it fails")
        }
        Action::RenameConstraint(_) => Judged::semantic("an `on conflict on constraint` of blue's that names it fails"),
        Action::EnableRls(_) | Action::ForceRls(_) | Action::DisableRls(_) | Action::NoForceRls(_) => {
            Judged::semantic("which rows blue sees and may write changes")
        }
        Action::EnableTrigger(_)
        | Action::EnableAlwaysTrigger(_)
        | Action::EnableReplicaTrigger(_)
        | Action::DisableTrigger(_)
        | Action::EnableRule(_)
        | Action::EnableAlwaysRule(_)
        | Action::EnableReplicaRule(_)
        | Action::DisableRule(_) => Judged::semantic("blue's writes do something else from now on"),
        Action::AttachPartition(_) => Judged::semantic("blue sees the rows of the partition")
            .hazard("reads the whole partition unless a valid check constraint fits it"),
        Action::DetachPartition(_) => Judged::contract("blue does not find the rows of the partition any more"),
        Action::InheritTable(_) | Action::NoInheritTable(_) | Action::OfType(_) | Action::NotOf(_) => {
            Judged::semantic("which rows and columns blue sees changes")
        }
        Action::OwnerTo(_) => Judged::semantic("blue's role may lose its rights on it"),
        Action::SetUnlogged(_) => Judged::semantic("its rows are lost in a crash from now on").hazard(REWRITES),
        Action::SetLogged(_) | Action::SetTablespace(_) | Action::SetAccessMethod(_) => {
            Judged::expand("blue reads and writes as before").hazard(REWRITES)
        }
        Action::ReplicaIdentity(_) => Judged::semantic("what replicas and their readers get changes"),
        Action::SetOptions(_)
        | Action::ResetOptions(_)
        | Action::ClusterOn(_)
        | Action::SetWithoutCluster(_)
        | Action::SetWithoutOids(_) => Judged::expand("blue reads and writes as before"),
        Action::MergePartitions(_)
        | Action::SplitPartition(_)
        | Action::AlterOptionList(_)
        | Action::OptionItemList(_) => Judged::unknown("this version does not know what that does to blue"),
    }
}

/// `alter column`.
fn altered(option: &AlterColumnOption, table: &str, name: &str, known: &mut Known, new: bool) -> Judged {
    use AlterColumnOption as O;
    let from = known.kind(table, name).map(String::from);
    noted(option, table, name, known, new);
    if known.is_new(table, name) {
        return altered_anew(table, name, known);
    }
    match option {
        O::SetType(set) => match set.ty() {
            Some(ty) => {
                let to = names::kind(&ty);
                let judged = column::retyped(from.as_deref(), &to, set.using_expr().is_some());
                match words(set.syntax()).to_lowercase().contains(" collate ") {
                    true => judged.and(Judged::semantic(format!("blue's comparisons of `{name}` mean something else"))),
                    false => judged,
                }
            }
            None => Judged::unknown("the new type cannot be read"),
        },
        O::SetNotNull(_) => Judged::tighten(format!("blue's inserts that leave `{name}` out fail"))
            .hazard("reads the whole table while nobody else can; not after a validated `check (… is not null)`"),
        // Whether blue's code copes with a null it has never seen is no question for a release night.
        O::DropNotNull(_) => {
            Judged::semantic(format!("blue gets nulls in `{name}`, which it has never seen")).never_declarable()
        }
        O::SetDefault(_) => Judged::semantic(format!("blue's inserts that leave `{name}` out write another value")),
        O::DropDefault(_) if known.is_missed(table, name) => {
            Judged::tighten(format!("blue's inserts that leave `{name}` out fail"))
        }
        O::DropDefault(_) => Judged::semantic(format!("blue's inserts that leave `{name}` out write null, or fail")),
        O::AddGenerated(_)
        | O::SetGenerated(_)
        | O::SetGeneratedOptions(_)
        | O::Restart(_)
        | O::SetSequenceOption(_) => {
            Judged::semantic(format!("which values `{name}` gets and takes from blue changes"))
        }
        O::DropIdentity(_) => Judged::tighten(format!("blue's inserts that leave `{name}` out fail")),
        O::DropExpression(_) => {
            Judged::semantic(format!("`{name}` is not computed any more, and blue does not write it"))
        }
        O::SetExpression(_) => {
            Judged::semantic(format!("blue reads other values in `{name}`")).hazard("rewrites the whole table")
        }
        O::SetStatistics(_)
        | O::SetStorage(_)
        | O::SetCompression(_)
        | O::SetOptions(_)
        | O::SetOptionsList(_)
        | O::ResetOptions(_) => Judged::expand("blue reads and writes as before"),
        O::Inherit(_) | O::NoInherit(_) => Judged::semantic("which tables the rule holds for changes"),
    }
}

/// What an `alter column` leaves of a column is remembered.
fn noted(option: &AlterColumnOption, table: &str, name: &str, known: &mut Known, new: bool) {
    use AlterColumnOption as O;
    match option {
        O::SetType(set) => {
            let made = if known.is_new(table, name) { Made::of(new, false) } else { Made::Before };
            known.column(table, name, set.ty().map(|ty| names::kind(&ty)), made);
        }
        O::SetNotNull(_) => known.require(table, name, true),
        O::DropNotNull(_) => known.require(table, name, false),
        O::SetDefault(set) => known.fill(table, name, set.expr().is_some_and(|expr| !column::is_null(expr.syntax()))),
        O::AddGenerated(_) => known.fill(table, name, true),
        O::DropDefault(_) | O::DropIdentity(_) | O::DropExpression(_) => known.fill(table, name, false),
        _ => {}
    }
}

/// `alter column` of a column that came with this release: blue does not name it, and writes every row without it.
fn altered_anew(table: &str, name: &str, known: &Known) -> Judged {
    if known.is_doubled(table, name) && !known.is_new_table(table) {
        return Judged::tighten("the second row that blue writes has the default again, and is refused");
    }
    match known.is_missed(table, name) && !known.is_new_table(table) {
        true => Judged::tighten(format!("blue's inserts leave `{name}` out, and fail")),
        false => Judged::expand(format!("`{name}` is new in this release")),
    }
}

/// A table of blue's that becomes a partition of a new one.
fn attached(action: &Action, known: &Known) -> Option<Judged> {
    let partition = names::named(action.syntax().descendants().find_map(ast::TableNameRef::cast));
    let why = format!("rows that blue writes into `{partition}` are refused where they do not fit the partition");
    (!known.is_new_table(&partition)).then(|| Judged::tighten(why))
}

/// The columns of a constraint: those in its first brackets.
pub fn referring(constraint: &SyntaxNode) -> Vec<String> {
    let whole = words(constraint);
    let list = whole.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or("", |(list, _)| list);
    list.split(',').map(names::name).collect()
}

/// A constraint that is added to a table blue writes to.
fn constrained(constraint: &Constraint, table: &str, known: &mut Known) -> Judged {
    let text = words(constraint.syntax()).to_lowercase();
    let unchecked = text.ends_with("not valid");
    // A null refers to nothing and is equal to no other.
    let columns = referring(constraint.syntax());
    let empty = known.are_empty(table, &columns) && !text.contains("nulls not distinct");
    match constraint {
        Constraint::ForeignKeyConstraint(_) if empty => column::kept(constraint.syntax(), table, &columns, known)
            .unwrap_or_else(|| Judged::expand("blue writes nulls there")),
        Constraint::UniqueConstraint(_) if empty => {
            known.single(table, &columns);
            Judged::expand("blue writes nulls there").hazard("builds an index while nobody else can use the table")
        }
        Constraint::CheckConstraint(_) | Constraint::NotNullConstraint(_) => {
            let judged = Judged::tighten("rows that blue writes are refused where they break it");
            if unchecked {
                judged
            } else {
                judged.hazard("reads the whole table while nobody else can: add it `not valid`, then validate it")
            }
        }
        Constraint::ForeignKeyConstraint(_) | Constraint::ReferencesConstraint(_) => {
            let judged = Judged::tighten("blue's inserts and deletes are refused where they break it");
            if unchecked {
                judged
            } else {
                judged.hazard("stops writes to both tables while it reads: add it `not valid`, then validate it")
            }
        }
        Constraint::UniqueConstraint(_) | Constraint::PrimaryKeyConstraint(_) => {
            let judged = Judged::tighten("rows that blue writes twice are refused");
            match text.contains("using index") {
                true => judged,
                false => judged.hazard("builds an index while nobody else can use the table: `create unique index concurrently`, then `using index`"),
            }
        }
        Constraint::ExcludeConstraint(_) => Judged::tighten("rows that blue writes are refused where they break it")
            .hazard("builds an index while nobody else can use the table"),
        Constraint::DefaultConstraint(_) | Constraint::GeneratedConstraint(_) | Constraint::NullConstraint(_) => {
            Judged::unknown("this is no constraint of a table")
        }
    }
}
