//! The name somebody probably meant.

/// The one known name that is close to a wrong one; none where two are equally close or nothing is.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = wrong.to_lowercase().replace('-', "_");
    let mut best: Vec<(&str, f64)> = known
        .into_iter()
        .map(|name| {
            let other = name.to_lowercase().replace('-', "_");
            let close = strsim::damerau_levenshtein(&folded, &other) <= 2.min(wrong.chars().count() / 2);
            let score = strsim::jaro_winkler(&folded, &other);
            (name, if close { score + 1.0 } else { score })
        })
        .filter(|(_, score)| *score >= 0.88)
        .collect();
    best.sort_by(|a, b| b.1.total_cmp(&a.1));
    match best.as_slice() {
        [(name, _)] => Some(name),
        [(name, first), (_, second), ..] if first > second => Some(name),
        _ => None,
    }
}

/// ``did you mean `x`?``, or the list of what there is.
pub fn meant<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(wrong, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None if known.is_empty() => "there are none".into(),
        None => format!("known: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_close_name_or_none() {
        let fields = ["weight", "route", "green", "blue", "min_requests"];
        assert_eq!(nearest("wieght", fields), Some("weight"));
        assert_eq!(nearest("rotue", fields), Some("route"));
        assert_eq!(nearest("min-requests", fields), Some("min_requests"));
        assert_eq!(nearest("Green", fields), Some("green"));
        assert_eq!(nearest("banana", fields), None);
        assert_eq!(nearest("x", ["a", "b"]), None);
        assert_eq!(nearest("ab", ["abc", "abd"]), None);
    }
}
