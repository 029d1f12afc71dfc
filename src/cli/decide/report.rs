//! The decision as Markdown: it reads well on a terminal, and as the document that is kept.

use super::Decision;
use super::matrix::{Hurdle, MOST, Mode, Row};

/// The whole document.
pub fn markdown(decision: &Decision) -> String {
    let mut lines = Vec::new();
    let recommendation = &decision.recommendation;
    let mode = recommendation.mode.name();
    lines.push(format!("# {}: {mode}", decision.context.service));
    lines.push(String::new());
    let (http, socket, of) = (recommendation.http, recommendation.socket, recommendation.of);
    lines.push(format!("Recommended: **{mode}** (HTTP {http}, Socket Mode {socket}, of {of} points)."));
    if recommendation.near_tie {
        lines.push(String::new());
        lines.push(
            "This is a near tie: both will do, and the points do not decide it. Take what your team runs already; without such a reason, the \
             one above."
                .into(),
        );
    }
    lines.push(String::new());
    lines.extend(recommendation.reasons.iter().map(|reason| format!("- {reason}")));
    if !recommendation.conditions.is_empty() {
        heading(&mut lines, "On these conditions");
        lines.extend(recommendation.conditions.iter().map(|condition| format!("- [ ] {condition}")));
    }
    heading(&mut lines, "What would change it");
    if recommendation.would_change.is_empty() {
        lines.push("No single answer would.".into());
    }
    for change in &recommendation.would_change {
        lines.push(format!("- `{}`: {}; {}", change.answer, change.mode.name(), change.why));
    }
    heading(&mut lines, "Matrix");
    lines.push("| criterion | weight | HTTP | Socket Mode |".into());
    lines.push("|---|---|---|---|".into());
    for row in &decision.matrix {
        let points = |mode| match row.score(mode).hurdle {
            Some(hurdle) => format!("out: {}", wall(hurdle)),
            None => format!("{} of {MOST}", row.score(mode).points),
        };
        let (http, socket) = (points(Mode::Http), points(Mode::Socket));
        lines.push(format!("| {} | {} | {http} | {socket} |", row.criterion, row.weight));
    }
    lines.push(String::new());
    decision.matrix.iter().for_each(|row| why(&mut lines, row));
    for section in &decision.design.sections {
        heading(&mut lines, &section.title);
        lines.extend(section.text.lines().map(String::from));
    }
    heading(&mut lines, "First runbook");
    match (&decision.design.runbook, &decision.design.no_runbook) {
        (Some(runbook), _) => {
            lines.push("```yaml".into());
            lines.extend(runbook.trim_end().lines().map(String::from));
            lines.push("```".into());
        }
        (None, why) => lines.push(why.clone().unwrap_or_default()),
    }
    lines.join("\n")
}

fn heading(lines: &mut Vec<String>, title: &str) {
    lines.extend([String::new(), format!("## {title}"), String::new()]);
}

fn why(lines: &mut Vec<String>, row: &Row) {
    lines.push(format!("- **{}**", row.criterion));
    lines.push(format!("  - HTTP: {}", row.http.why));
    lines.push(format!("  - Socket Mode: {}", row.socket.why));
}

fn wall(hurdle: Hurdle) -> &'static str {
    match hurdle {
        Hurdle::ToBuild => "to be built",
        Hurdle::HousePolicy => "your rule",
        Hurdle::SlackRule => "Slack's rule",
    }
}
