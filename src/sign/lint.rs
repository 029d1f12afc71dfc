//! What is unwise in an allowed-signers file, though OpenSSH takes it: each finding says whom it would let pass.
//!
//! An error is what lets somebody sign as somebody else; the rest are warnings. Nothing here decides about a signature.

use jiff::Timestamp;

use super::AllowedSigners;
use super::entry::Entry;
use super::namespace::APPROVE;
use super::pattern::is_open;
use crate::diag::{Code, Diagnostic};

/// Reads a file and says everything that is wrong or unwise in it, in the order of its lines.
pub fn lint(text: &str, now: Timestamp) -> Vec<Diagnostic> {
    let line_span = |line: usize| {
        let start = text.split_inclusive('\n').take(line - 1).map(str::len).sum::<usize>();
        start..start + text[start..].lines().next().map_or(0, str::len)
    };
    let signers = match AllowedSigners::parse(text) {
        Ok(signers) => signers,
        Err(bad) => {
            let headline = "a line cannot be read, so the whole file is refused";
            return vec![Diagnostic::error(Code::SignersFile, headline).at(line_span(bad.line), bad.why)];
        }
    };
    let mut found: Vec<Diagnostic> = Vec::new();
    for (line, why) in &signers.unsupported {
        let finding =
            Diagnostic::warning(Code::LineUnusable, "bgctl cannot use this line").at(line_span(*line), why.as_str());
        found.push(finding.note("signatures of that key or authority do not count"));
    }
    for (n, entry) in signers.entries.iter().enumerate() {
        found.extend([open(entry), purpose(entry), over(entry, now), zone(entry)].into_iter().flatten());
        found.extend(shared(entry, &signers.entries[..n]));
    }
    found.sort_by_key(|finding| finding.span.as_ref().map(|span| span.start));
    found
}

/// Whoever holds the key of such a line can be each of those people, so one key could fill a quorum by itself.
fn open(entry: &Entry) -> Option<Diagnostic> {
    let pattern = entry.principals.iter().find(|name| is_open(name))?;
    // An authority needs a pattern; but a name it may not use should be left.
    if !entry.permits(APPROVE) || entry.authority && pattern.chars().any(|c| !"*?@.".contains(c)) {
        return None;
    }
    let (headline, help) = match entry.authority {
        false => ("one key may approve in the name of many people", "write the one person's name"),
        true => ("an authority may speak for everybody", "write the names it gives, like *@ci.example.com"),
    };
    let finding = Diagnostic::error(Code::ManyPeople, headline).at(entry.spans.principals.clone(), help);
    Some(finding.note(format!("`{pattern}` fits every name of that form")))
}

fn purpose(entry: &Entry) -> Option<Diagnostic> {
    if entry.namespaces.is_some() {
        return None;
    }
    let span = entry.spans.options.clone().unwrap_or(entry.spans.key.clone());
    let help = "write namespaces=\"bgctl-*\" before the key";
    Some(match entry.authority {
        true => Diagnostic::error(Code::EveryPurpose, "each certificate of this authority may sign for every purpose")
            .at(span, help)
            .note("a certificate made for logins could approve a cutover"),
        false => Diagnostic::warning(Code::EveryPurpose, "this key may sign for every purpose").at(span, help),
    })
}

fn shared(entry: &Entry, before: &[Entry]) -> Option<Diagnostic> {
    let other = before.iter().find(|other| other.key == entry.key && other.principals != entry.principals)?;
    let (mine, theirs) = (entry.principals.join(","), other.principals.join(","));
    let finding = Diagnostic::warning(Code::TwoNames, "one key stands under two names")
        .at(entry.spans.key.clone(), format!("`{mine}` here"))
        .context(other.spans.key.clone(), format!("`{theirs}` here"));
    Some(finding.note("it counts once; a person's names belong in one line"))
}

fn over(entry: &Entry, now: Timestamp) -> Option<Diagnostic> {
    let before = entry.before.filter(|before| *before <= now)?;
    let span = entry.spans.options.clone()?;
    let finding = Diagnostic::warning(Code::LineOver, "this line is over").at(span, format!("valid before {before}"));
    Some(finding.note("older logs still need it; new signatures of that key do not count"))
}

fn zone(entry: &Entry) -> Option<Diagnostic> {
    let span = entry.spans.options.clone().filter(|_| entry.spans.local)?;
    let finding = Diagnostic::warning(Code::TimeWithoutZ, "a time without `Z` is another time on every machine");
    Some(finding.at(span, "write it in UTC: 20261231Z"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Severity;
    use crate::sign::Signer as _;
    use crate::sign::session::SessionKey;

    #[test]
    fn each_unwise_line_is_found_at_its_place_and_wise_ones_are_not() {
        let key = |seed| SessionKey::from_seed([seed; 32]).public();
        let (a, b, c, d) = (key(1), key(2), key(3), key(4));
        let now = "2026-11-21T00:00:00Z".parse().unwrap();
        let wise = format!(
            "# team\nalice@example.com,al namespaces=\"bgctl-*\",valid-before=\"20300101Z\" {a}\n*@ci.example.com cert-authority,namespaces=\"bgctl-*\" {b}\n*@example.com namespaces=\"git\" {c}\n"
        );
        assert_eq!(lint(&wise, now), []);
        for (line, code, severity, column) in [
            (format!("*@example.com namespaces=\"bgctl-*\" {a}"), Code::ManyPeople, Severity::Error, 1),
            (format!("* cert-authority,namespaces=\"bgctl-*\" {a}"), Code::ManyPeople, Severity::Error, 1),
            (format!("alice {a}"), Code::EveryPurpose, Severity::Warning, 7),
            (format!("*@ci cert-authority {a}"), Code::EveryPurpose, Severity::Error, 6),
            (
                format!("bob namespaces=\"bgctl-*\" {d}\nal namespaces=\"bgctl-*\" {d}"),
                Code::TwoNames,
                Severity::Warning,
                25,
            ),
            (format!("a namespaces=\"*\",valid-before=\"20260101Z\" {a}"), Code::LineOver, Severity::Warning, 3),
            (format!("a namespaces=\"*\",valid-after=\"20260101\" {a}"), Code::TimeWithoutZ, Severity::Warning, 3),
            ("a namespaces=\"*\" ssh-rsa AAAAB3NzaC1yc2EAAAABAw==".into(), Code::LineUnusable, Severity::Warning, 1),
            (format!("alice{a}"), Code::SignersFile, Severity::Error, 1),
        ] {
            let text = format!("# first\n\n{line}\n");
            let found = lint(&text, now);
            assert_eq!(found.len(), 1, "{line}: {found:#?}");
            let at = found[0].line_column(&text).unwrap();
            assert_eq!((found[0].code, found[0].severity, at.1), (code, severity, column), "{line}");
            assert!(!found[0].render("allowed_signers", &text, false).is_empty());
        }
    }
}
