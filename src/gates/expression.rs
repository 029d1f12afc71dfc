//! What can be seen in the tree of a PromQL expression without asking a server. What it means for a gate is for others.

use promql_parser::parser::{Call, Expr, LabelModifier, token, value::ValueType};

/// Without outer parentheses.
pub(super) fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Paren(p) => bare(&p.expr),
        other => other,
    }
}

pub(super) fn aggregated(expr: &Expr) -> bool {
    match bare(expr) {
        Expr::Aggregate(_) => true,
        Expr::Binary(b) => [&b.lhs, &b.rhs].iter().all(|e| e.value_type() != ValueType::Vector || aggregated(e)),
        Expr::Unary(u) => aggregated(&u.expr),
        Expr::Call(c) => {
            c.func.name == "vector" || c.func.name == "histogram_quantile" || c.args.args.iter().any(|a| aggregated(a))
        }
        _ => false,
    }
}

/// A number that is written out.
pub(super) fn literal(expr: &Expr) -> Option<f64> {
    if let Expr::NumberLiteral(number) = bare(expr) { Some(number.val) } else { None }
}

/// What is put in place of a term that has no samples: `vector(0)`, or anything times 0.
pub(super) fn zero(expr: &Expr) -> bool {
    match bare(expr) {
        Expr::Binary(b) if b.op.id() == token::T_MUL => [&b.lhs, &b.rhs].iter().any(|e| literal(e) == Some(0.0)),
        Expr::Call(c) if c.func.name == "vector" => c.args.args.first().is_some_and(|n| literal(n) == Some(0.0)),
        _ => false,
    }
}

/// Every division of two things that both hold calls of these functions.
pub(super) fn quotients<'a>(expr: &'a Expr, calls: &[&str]) -> Vec<&'a Expr> {
    let calls_one = |expr: &Expr| {
        let mut found = false;
        walk(expr, &mut |e| found |= matches!(e, Expr::Call(call) if calls.contains(&call.func.name)));
        found
    };
    let mut found = Vec::new();
    walk(expr, &mut |e| match e {
        Expr::Binary(b) if b.op.id() == token::T_DIV && calls_one(&b.lhs) && calls_one(&b.rhs) => found.push(e),
        _ => {}
    });
    found
}

/// Functions that change labels and leave the values as they are.
const RELABELLING: [&str; 2] = ["label_replace", "label_join"];

/// The expression whose values a call hands on under other labels.
pub(super) fn part_of_call(call: &Call) -> Option<&Expr> {
    let first = call.args.args.first()?;
    RELABELLING.contains(&call.func.name).then_some(first.as_ref())
}

pub(super) fn holds_vector_of_zero(expr: &Expr) -> bool {
    let mut found = false;
    walk(expr, &mut |e| found |= matches!(e, Expr::Call(c) if c.func.name == "vector"));
    found
}

/// Whether samples of the expression carry the label; None where only the server knows.
pub(super) fn keeps(expr: &Expr, label: &str) -> Option<bool> {
    match expr {
        Expr::Aggregate(a) => match &a.modifier {
            Some(LabelModifier::Include(by)) => Some(by.labels.iter().any(|l| l == label)),
            Some(LabelModifier::Exclude(without)) => without.labels.iter().any(|l| l == label).then_some(false),
            // `topk` and its kin keep all labels, every other aggregation without `by` keeps none.
            None if [token::T_TOPK, token::T_BOTTOMK].contains(&a.op.id()) => keeps(&a.expr, label),
            None => Some(false),
        },
        Expr::Paren(p) => keeps(&p.expr, label),
        Expr::Unary(u) => keeps(&u.expr, label),
        Expr::Subquery(s) => keeps(&s.expr, label),
        Expr::Binary(b) => match (b.lhs.value_type(), b.rhs.value_type()) {
            (ValueType::Vector, _) => keeps(&b.lhs, label),
            _ => keeps(&b.rhs, label),
        },
        Expr::Call(c) if c.func.name == "vector" => Some(false),
        Expr::Call(c) if part_of_call(c).is_some() && written(c) == Some(label) => Some(true),
        Expr::Call(c) => c
            .args
            .args
            .iter()
            .find(|a| matches!(a.value_type(), ValueType::Vector | ValueType::Matrix))
            .and_then(|a| keeps(a, label)),
        _ => None,
    }
}

/// The label that a relabelling call writes.
pub(super) fn written(call: &Call) -> Option<&str> {
    part_of_call(call)?;
    match call.args.args.get(1).map(AsRef::as_ref) {
        Some(Expr::StringLiteral(text)) => Some(&text.val),
        _ => None,
    }
}

pub(super) fn walk<'a>(expr: &'a Expr, see: &mut dyn FnMut(&'a Expr)) {
    see(expr);
    match expr {
        Expr::Aggregate(a) => {
            walk(&a.expr, see);
            if let Some(param) = &a.param {
                walk(param, see);
            }
        }
        Expr::Unary(u) => walk(&u.expr, see),
        Expr::Binary(b) => {
            walk(&b.lhs, see);
            walk(&b.rhs, see);
        }
        Expr::Paren(p) => walk(&p.expr, see),
        Expr::Subquery(s) => walk(&s.expr, see),
        Expr::Call(c) => c.args.args.iter().for_each(|a| walk(a, see)),
        _ => {}
    }
}

/// Replaces nodes from the top; what was put in is not looked at again.
pub(super) fn replace(expr: &mut Expr, with: &mut dyn FnMut(&Expr) -> Option<Expr>) {
    if let Some(new) = with(expr) {
        *expr = new;
        return;
    }
    match expr {
        Expr::Aggregate(a) => replace(&mut a.expr, with),
        Expr::Unary(u) => replace(&mut u.expr, with),
        Expr::Binary(b) => {
            replace(&mut b.lhs, with);
            replace(&mut b.rhs, with);
        }
        Expr::Paren(p) => replace(&mut p.expr, with),
        Expr::Subquery(s) => replace(&mut s.expr, with),
        Expr::Call(c) => c.args.args.iter_mut().for_each(|a| replace(a, with)),
        _ => {}
    }
}

/// The expression with one label more kept by each of its sums; None where one of them drops all labels.
pub(super) fn apart(mut expr: Expr, by: &str) -> Option<Expr> {
    keep(&mut expr, by).then_some(expr)
}

fn keep(expr: &mut Expr, by: &str) -> bool {
    match expr {
        Expr::Aggregate(sum) => {
            match &mut sum.modifier {
                Some(LabelModifier::Include(labels)) => {
                    if labels.labels.iter().all(|label| label != by) {
                        labels.labels.push(by.into());
                    }
                }
                Some(LabelModifier::Exclude(labels)) => labels.labels.retain(|label| label != by),
                None => return false,
            }
            keep(&mut sum.expr, by)
        }
        Expr::Paren(p) => keep(&mut p.expr, by),
        Expr::Call(c) => c.args.args.iter_mut().all(|a| keep(a, by)),
        _ => true,
    }
}
