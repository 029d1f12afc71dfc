//! Whether what one selector selects is a part of what another one does, whether two of them overlap, and what shows that a part of
//! which there is no series is none. Read from names and matchers; nothing is asked here.

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::VectorSelector;

use super::unit::ending;

/// What has to be known before a part of which there is no series counts as none.
pub struct Absence {
    /// Its answer must not be empty.
    pub question: String,
    /// What the part asks of the labels that tell it from all requests.
    asked: Vec<Matcher>,
}

impl Absence {
    pub(super) fn of(part: &VectorSelector, all: &VectorSelector) -> Option<Absence> {
        // A bucket is no label of requests: a bound that does not exist has no requests under it either.
        if name(part)? != name(all)? || name(part)?.ends_with("_bucket") || within(part, all).is_err() {
            return None;
        }
        let asked: Vec<Matcher> =
            part.matchers.matchers.iter().filter(|m| !all.matchers.matchers.contains(m)).cloned().collect();
        let mut shared = all.clone();
        for matcher in &asked {
            shared.matchers.matchers.push(Matcher::new(MatchOp::NotEqual, &matcher.name, ""));
        }
        let labels: Vec<&str> = asked.iter().map(|matcher| matcher.name.as_str()).collect();
        Some(Absence { question: format!("count by ({}) ({shared})", labels.join(", ")), asked })
    }

    /// Whether this is one of the matchers that tell the part apart.
    pub fn asks(&self, matcher: &Matcher) -> bool {
        self.asked.contains(matcher)
    }

    /// Why the values that a label does have leave open whether the part is spelled right.
    pub fn doubt(&self, values: impl Fn(&str) -> Vec<String>) -> Option<String> {
        self.asked.iter().find_map(|matcher| {
            let there = values(&matcher.name);
            let possible = possible(&there);
            let never = !possible.is_empty() && !possible.iter().any(|code| matcher.is_match(code));
            never.then(|| format!("`{matcher}` fits no status code; `{}` is one of {}", matcher.name, there.join(", ")))
        })
    }
}

/// Every status code as these values spell them; none where they are no codes.
fn possible(values: &[String]) -> Vec<String> {
    let all = |fits: fn(&str) -> bool| !values.is_empty() && values.iter().all(|value| fits(value));
    if all(|value| value.len() == 3 && value.parse::<u16>().is_ok_and(|code| (100..600).contains(&code))) {
        codes().filter(|code| !code.ends_with("xx")).collect()
    } else if all(|value| value.len() == 3 && value.ends_with("xx")) {
        codes().filter(|code| code.ends_with("xx")).collect()
    } else {
        Vec::new()
    }
}

/// What a counter counts in place of requests, where its name says so.
pub(super) fn measured(all: &VectorSelector) -> Option<String> {
    let name = name(all)?;
    let base = name.strip_suffix("_total").unwrap_or(&name);
    let what = if base.ends_with("_sum") { "values" } else { ending(base)?.name() };
    Some(format!("`{name}` adds up {what}, and counts no requests"))
}

/// Whether no series can be selected by both.
pub(super) fn apart_from(one: &VectorSelector, other: &VectorSelector) -> bool {
    // Counters of two names are two things; that both are parts of one is asked for elsewhere.
    if name(one) != name(other) {
        return true;
    }
    let exclusive = |a: &Matcher, b: &Matcher| match (&a.op, &b.op) {
        (MatchOp::Equal, _) => !b.is_match(&a.value),
        (_, MatchOp::Equal) => !a.is_match(&b.value),
        (MatchOp::Re(x), MatchOp::NotRe(y)) | (MatchOp::NotRe(y), MatchOp::Re(x)) => x.as_str() == y.as_str(),
        // Two patterns of status codes.
        (MatchOp::Re(_), MatchOp::Re(_)) => {
            let codes: Vec<String> = codes().collect();
            let fits = |m: &Matcher| codes.iter().filter(|code| m.is_match(code)).cloned().collect::<Vec<_>>();
            let (a, b) = (fits(a), fits(b));
            !a.is_empty() && !b.is_empty() && !a.iter().any(|code| b.contains(code))
        }
        _ => false,
    };
    let (mine, others) = (&one.matchers.matchers, &other.matchers.matchers);
    mine.iter().filter(|a| a.name != "le").any(|a| others.iter().any(|b| a.name == b.name && exclusive(a, b)))
}

/// Every status code, as a number and as a class.
fn codes() -> impl Iterator<Item = String> {
    (100..600).map(|code| code.to_string()).chain((1..6).map(|class| format!("{class}xx")))
}

/// Whether everything the one selects is selected by the other too; for a histogram, whether its requests are.
pub(super) fn within(part: &VectorSelector, all: &VectorSelector) -> Result<(), String> {
    let (Some(mine), Some(whole)) = (name(part), name(all)) else {
        return Err("a counter without a name may be any".into());
    };
    if !part.matchers.or_matchers.is_empty() || !all.matchers.or_matchers.is_empty() {
        return Err("alternatives in `{… or …}` are not compared".into());
    }
    let bound = |selector: &VectorSelector| {
        let le = selector.matchers.matchers.iter().find(|m| m.name == "le" && m.op == MatchOp::Equal);
        le.map(|le| le.value.clone())
    };
    match mine.strip_suffix("_bucket") {
        Some(_) if bound(part).is_none() => {
            return Err(format!("`{mine}` without `le` counts a request several times"));
        }
        Some(base) if whole == format!("{base}_count") => {}
        Some(_) if whole == mine && bound(all).as_deref() == Some("+Inf") => {}
        None if whole == mine => {}
        _ => return Err(format!("nothing shows that `{mine}` counts a part of `{whole}`")),
    }
    let own = &part.matchers.matchers;
    let everything = bound(part).is_none_or(|le| le == "+Inf");
    if everything && own.iter().all(|m| m.name == "le" || all.matchers.matchers.contains(m)) {
        return Err(format!("`{mine}` counts here what `{whole}` counts, so the share is always 1"));
    }
    let narrower = |m: &&Matcher| {
        let same = own.contains(m) || ["le", "__name__"].contains(&m.name.as_str());
        !same && !own.iter().any(|o| o.name == m.name && o.op == MatchOp::Equal && m.is_match(&o.value))
    };
    match all.matchers.matchers.iter().find(narrower) {
        Some(m) => Err(format!("`{whole}` is counted where `{m}`, and `{mine}` also elsewhere")),
        None => Ok(()),
    }
}

pub(super) fn name(selector: &VectorSelector) -> Option<String> {
    let written = selector.matchers.matchers.iter().find(|m| m.name == "__name__" && m.op == MatchOp::Equal);
    selector.name.clone().or_else(|| written.map(|m| m.value.clone()))
}
