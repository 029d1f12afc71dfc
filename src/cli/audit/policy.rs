//! A log beside a policy of one's own: it is judged by the rules its owner signed, and those are held against the policy here.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::unreadable;
use crate::audit::{Breach, Report, Verdict};
use crate::diag::{Code, Kind, Refusal};
use crate::file;
use crate::plan::Plan;
use crate::policy::{PolicyFile, compare};
use crate::session::policy;
use crate::shell::Context;

/// The longest line that carries a plan.
const LONGEST: u64 = 8 << 20;

/// Adds what the plan asked less of than the policy does. Says nothing about a log whose bytes are not believed.
pub fn judge(cx: &Context, log: &Path, file: &Path, report: &mut Report) -> Result<(), Refusal> {
    if matches!(report.verdict, Verdict::Broken(_) | Verdict::Untrusted(_)) {
        return Ok(());
    }
    let name = file.display().to_string();
    let wrong = |cause: String| {
        let refusal =
            Refusal::new(Kind::Invalid, Code::Policy, "the policy cannot be used").place(name.clone()).cause(cause);
        refusal.next(format!("bgctl check {name}"))
    };
    let source = policy::source(&cx.cwd.join(file), name.clone(), true)?;
    let source = source.ok_or_else(|| wrong("there is no such file".into()))?;
    let policy = PolicyFile::parse(source)
        .map_err(|found| wrong(found.first().map(|mistake| mistake.headline.clone()).unwrap_or_default()))?;
    let plan = plan(log).map_err(|error| unreadable(log, &error))?;
    let laxer = compare(&plan, &policy.policy);
    if !laxer.is_empty() {
        report.verdict = Verdict::Policy;
    }
    report.breaches.extend(laxer.into_iter().map(|what| Breach { record: 1, what }));
    Ok(())
}

/// The plan of a log that was verified just now: its second record.
fn plan(log: &Path) -> std::io::Result<Plan> {
    let mut line = String::new();
    let mut lines = BufReader::new(file::open(log)?).take(2 * LONGEST);
    for _ in 0..2 {
        line.clear();
        lines.read_line(&mut line)?;
    }
    let record: serde_json::Value = serde_json::from_str(&line)?;
    Ok(serde_json::from_str(record["data"]["text"].as_str().unwrap_or_default())?)
}
