//! What can be seen in the tree of a PromQL expression without asking a server. What it means for a gate is for others.

use promql_parser::parser::{Expr, LabelModifier, token, value::ValueType};

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

/// A product or quotient is no count any more.
pub(super) fn scaled(expr: &Expr) -> bool {
    matches!(bare(expr), Expr::Binary(b) if [token::T_MUL, token::T_DIV].contains(&b.op.id()))
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
        Expr::Call(c) => c
            .args
            .args
            .iter()
            .find(|a| matches!(a.value_type(), ValueType::Vector | ValueType::Matrix))
            .and_then(|a| keeps(a, label)),
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

/// The expression with one label more in each of its `by (…)`.
pub(super) fn apart(mut expr: Expr, by: &str) -> Option<Expr> {
    let mut told = 0;
    replace(&mut expr, &mut |node| {
        let Expr::Aggregate(sum) = node else { return None };
        let Some(LabelModifier::Include(labels)) = &sum.modifier else { return None };
        if labels.labels.iter().any(|label| label == by) {
            return None;
        }
        told += 1;
        let mut sum = sum.clone();
        let mut labels = labels.clone();
        labels.labels.push(by.into());
        sum.modifier = Some(LabelModifier::Include(labels));
        Some(Expr::Aggregate(sum))
    });
    (told > 0).then_some(expr)
}
