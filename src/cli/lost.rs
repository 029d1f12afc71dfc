//! What a run sent to its routes, and which of its writes may have landed without the run ever knowing: read off its records, for
//! whoever finds users elsewhere than the run left them.

use crate::journal::Entry;
use crate::plan::{Plan, Split, StepRef};
use crate::report::words;
use crate::run::{Event, Found, Outcome};

/// A write of users, as the log has it.
#[derive(Clone, Debug, PartialEq)]
struct Sent {
    step: StepRef,
    id: String,
    route: String,
    to: Split,
    /// `03:12:44`, UTC.
    time: String,
    /// Nobody ever heard what became of it.
    lost: bool,
}

impl Sent {
    fn line(&self) -> String {
        format!("{} to {} at {}", self.id, self.to, self.time)
    }
}

/// Every write a run has begun, oldest first.
fn sent(plan: &Plan, entries: &[Entry]) -> Vec<Sent> {
    let mut sent: Vec<Sent> = Vec::new();
    for entry in entries {
        let answered = |sent: &mut Vec<Sent>, of: StepRef, lost: bool| {
            if let Some(write) = sent.iter_mut().rev().find(|write| write.step == of) {
                write.lost = lost;
            }
        };
        match entry.event() {
            Some(Event::StepIntent { step, id, .. }) => {
                let change = plan.lane(step.lane).get(step.index).and_then(|planned| planned.moves.as_ref());
                let (time, lost) = (words::time_of_day(&entry.ts).to_string(), true);
                sent.extend(change.map(|change| Sent {
                    step,
                    id,
                    route: change.route.clone(),
                    to: change.after,
                    time,
                    lost,
                }));
            }
            Some(Event::StepOutcome { step, outcome, .. }) => {
                let lost = match outcome {
                    Outcome::Done { .. } => false,
                    Outcome::Failed { moved, .. } => moved,
                    Outcome::Unknown { .. } => true,
                };
                answered(&mut sent, step, lost);
            }
            Some(Event::StepReconciled { step, found: Found::InPlace, .. }) => answered(&mut sent, step, false),
            _ => {}
        }
    }
    sent
}

/// How a route can have come from where the run left it to where it is: the run's own doing, where that can be, before anybody
/// else's.
pub fn strayed(plan: &Plan, entries: &[Entry], route: &str, left: Split, now: Split) -> Vec<String> {
    if left == now {
        return Vec::new();
    }
    let sent: Vec<Sent> = sent(plan, entries).into_iter().filter(|write| write.route == route).collect();
    let own = sent.iter().rev().find(|write| write.lost && write.to == now);
    let mut lines = vec![format!("{route}: it is at {now}, and the run last read {left}")];
    match own {
        Some(write) => lines.push(format!(
            "{route}: a write of this run whose answer was lost may have landed since: {}",
            write.line()
        )),
        None => {
            let all: Vec<String> = sent.iter().map(Sent::line).collect();
            lines.push(match all.is_empty() {
                true => format!("{route}: this run sent nothing there, so something else moved it"),
                false => format!(
                    "{route}: this run sent {}, and the route reads none of that, so something else moved it since",
                    all.join(", ")
                ),
            });
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn plan() -> Plan {
        let step = |id: &str, green: u32| {
            let split = |green: u32| json!({ "blue": 100 - green, "green": green });
            json!({
                "id": id, "kind": "shift", "line": id, "config": null, "resume": "observe", "attempts": 3, "timeout_s": 1,
                "expected_s": 1, "approval": null, "on_failure": "roll-back", "place": "runbook.yaml:1",
                "moves": { "route": "web", "before": split(0), "after": split(green) },
            })
        };
        let plan = json!({
            "bgctl_plan": 1, "purpose": "cutover", "service": "bot", "environment": "test", "owners": ["owner@example.com"],
            "rollback_owner": "owner@example.com", "runbook": "runbook.yaml", "runbook_sha256": "", "routes": {}, "gates": {}, "slack": null,
            "blue": { "version": "v1", "url": "" }, "green": { "version": "v2", "url": "" }, "warnings": [],
            "policy": {
                "automatic_at_most": 2, "within_s": 1, "schema_safe": true, "schema_reason": null, "page": [],
                "pause_at_most_s": 1,
            },
            "forward": [step("shift-10", 10), step("shift-100", 100)], "rollback": [step("back", 0)],
        });
        serde_json::from_value(plan).unwrap()
    }

    fn entry(seq: u64, kind: &str, step: (&str, usize), more: Value) -> Entry {
        let id = ["shift-10", "shift-100"][step.1];
        let mut data = json!({ "step": { "lane": step.0, "index": step.1 }, "id": id });
        more.as_object().into_iter().flatten().for_each(|(name, value)| data[name] = value.clone());
        let ts = format!("2026-11-21T03:12:{:02}.000000Z", seq);
        Entry { seq, ts, kind: kind.into(), data }
    }

    #[test]
    fn r14_users_that_a_late_write_of_this_run_moved_are_not_somebody_elses_doing() {
        let intent = json!({ "attempt": 1, "line": "", "step_sha256": "", "approvals": [] });
        let end = |outcome: Value| json!({ "outcome": outcome });
        let forward = |n| ("forward", n);
        let entries = vec![
            entry(1, "step.intent", forward(0), intent.clone()),
            entry(2, "step.outcome", forward(0), end(json!({ "is": "done", "line": "" }))),
            entry(3, "step.intent", forward(1), intent.clone()),
            entry(4, "step.outcome", forward(1), end(json!({ "is": "unknown", "line": "no answer" }))),
            entry(5, "step.reconciled", forward(1), json!({ "found": "not-in-place", "line": "" })),
            entry(6, "step.intent", ("rollback", 0), intent),
            entry(7, "step.outcome", ("rollback", 0), end(json!({ "is": "done", "line": "" }))),
        ];
        let (plan, blue) = (plan(), Split { blue: 100, green: 0 });
        assert!(entries.iter().all(|entry| entry.event().is_some()), "they are facts");
        let at = |green: u32| strayed(&plan, &entries, "web", blue, Split { blue: 100 - green, green }).join("\n");
        assert_eq!(at(0), "");
        let late = at(100);
        assert!(
            late.contains("a write of this run whose answer was lost may have landed since: shift-100 to"),
            "{late}"
        );
        assert!(late.contains("03:12:03") && !late.contains("something else"), "{late}");
        // A write whose answer came cannot land once more.
        let other = at(10);
        assert!(other.contains("something else") && other.contains("this run sent shift-10 to"), "{other}");
        let none = strayed(&plan, &[], "web", blue, Split { blue: 0, green: 100 }).join("\n");
        assert!(none.contains("this run sent nothing there, so something else"), "{none}");
        // Killed before its answer came.
        let cut = strayed(&plan, &entries[..3], "web", blue, Split { blue: 0, green: 100 }).join("\n");
        assert!(cut.contains("may have landed since"), "{cut}");
    }
}
