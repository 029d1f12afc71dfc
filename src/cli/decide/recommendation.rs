//! The recommendation: one mode, why, on what conditions, and which answer would change it.
//!
//! What would change it is not written down anywhere: each answer is exchanged for every other one, and the matrix is
//! filled in again.

use clap::ValueEnum;
use serde::Serialize;

use super::answers::{Deployment, RunsOn};
use super::matrix::{self, Hurdle, MOST, Mode, Row};
use crate::scalar::Duration;

/// The result.
#[derive(Clone, Debug, Serialize)]
pub struct Recommendation {
    pub mode: Mode,
    /// Weighted points of each mode, and the most there could be.
    pub http: u32,
    pub socket: u32,
    pub of: u32,
    /// The points are so close that another weight would turn them: both modes will do.
    pub near_tie: bool,
    pub reasons: Vec<String>,
    pub conditions: Vec<String>,
    pub would_change: Vec<Change>,
}

/// One answer that would lead to the other mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    pub answer: String,
    pub mode: Mode,
    pub why: String,
}

/// A twentieth of all points is no lead: one criterion that weighs a little more would turn it.
const NEAR: u32 = 20;

/// Judges a matrix.
pub fn recommend(of: &Deployment, rows: &[Row]) -> Recommendation {
    let mode = mode(rows);
    let points = |mode| rows.iter().map(|row| row.weight * row.score(mode).points).sum();
    let (http, socket) = (points(Mode::Http), points(Mode::Socket));
    let conditions = rows.iter().filter_map(|row| row.score(mode).condition.clone()).collect();
    let most: u32 = rows.iter().map(|row| row.weight * MOST).sum();
    let free = rows.iter().all(|row| row.http.hurdle.is_none() && row.socket.hurdle.is_none());
    Recommendation {
        mode,
        http,
        socket,
        of: most,
        near_tie: free && http.abs_diff(socket) * NEAR <= most,
        reasons: reasons(rows, mode),
        conditions,
        would_change: changes(of, mode),
    }
}

/// Walls first: the mode with the lower one is taken. Then points. Where both are the same it is HTTP, whose cutover can be
/// small and whose way back is one call.
fn mode(rows: &[Row]) -> Mode {
    let wall = |mode| rows.iter().filter_map(|row| row.score(mode).hurdle).max();
    let points = |mode| -> u32 { rows.iter().map(|row| row.weight * row.score(mode).points).sum() };
    match wall(Mode::Http).cmp(&wall(Mode::Socket)) {
        std::cmp::Ordering::Less => Mode::Http,
        std::cmp::Ordering::Greater => Mode::Socket,
        std::cmp::Ordering::Equal if points(Mode::Socket) > points(Mode::Http) => Mode::Socket,
        std::cmp::Ordering::Equal => Mode::Http,
    }
}

/// What rules the other mode out, or else the rows that weigh most for this one.
fn reasons(rows: &[Row], mode: Mode) -> Vec<String> {
    let other = if mode == Mode::Http { Mode::Socket } else { Mode::Http };
    let mut reasons = Vec::new();
    for row in rows {
        if row.score(mode).hurdle.is_some() {
            let wall = row.score(mode).hurdle;
            let words = match wall {
                Some(Hurdle::ToBuild) => "this can be built",
                Some(Hurdle::HousePolicy) => "this is a rule of your own house, which can be changed",
                _ => "this is a rule of Slack",
            };
            reasons.push(format!(
                "with these answers neither mode works; {}: {}; {words}",
                row.criterion,
                row.score(mode).why
            ));
        }
        if row.score(other).hurdle.is_some() {
            reasons.push(format!("{}: ruled out by {}: {}", other.name(), row.criterion, row.score(other).why));
        }
    }
    let lead = |row: &Row| (row.weight * row.score(mode).points).saturating_sub(row.weight * row.score(other).points);
    let mut ahead: Vec<&Row> = rows.iter().filter(|row| lead(row) > 0 && row.score(other).hurdle.is_none()).collect();
    ahead.sort_by_key(|row| std::cmp::Reverse(lead(row)));
    for row in ahead.into_iter().take(3) {
        reasons.push(format!(
            "{}: {}; with {} {}",
            row.criterion,
            row.score(mode).why,
            other.name(),
            row.score(other).why
        ));
    }
    reasons
}

fn changes(of: &Deployment, now: Mode) -> Vec<Change> {
    let mut found = Vec::new();
    let mut tried = |answer: String, other: Deployment| {
        let rows = matrix::rows(&other);
        let mode = mode(&rows);
        if mode != now {
            let why = reasons(&rows, mode).into_iter().next().unwrap_or_default();
            found.push(Change { answer, mode, why });
        }
    };
    each(of.runs_on, |runs_on| match runs_on {
        // Then a cold start matters, which nobody has been asked about: a usual one.
        RunsOn::Serverless => {
            let cold_start = Duration::seconds(1);
            let answer = format!("{} --cold-start 1s", flag("runs-on", runs_on));
            tried(answer, Deployment { runs_on, cold_start, ..of.clone() });
        }
        _ => tried(flag("runs-on", runs_on), Deployment { runs_on, ..of.clone() }),
    });
    each(of.ingress, |ingress| tried(flag("ingress", ingress), Deployment { ingress, ..of.clone() }));
    each(of.outbound, |outbound| tried(flag("outbound", outbound), Deployment { outbound, ..of.clone() }));
    each(of.distribution, |distribution| {
        tried(flag("distribution", distribution), Deployment { distribution, ..of.clone() });
    });
    each(of.distribution_later, |distribution_later| {
        tried(flag("distribution-later", distribution_later), Deployment { distribution_later, ..of.clone() });
    });
    for processes in [1, 2, 6].into_iter().filter(|n| *n != of.processes) {
        tried(format!("--processes {processes}"), Deployment { processes, ..of.clone() });
    }
    tried(format!("--autoscaling {}", !of.autoscaling), Deployment { autoscaling: !of.autoscaling, ..of.clone() });
    each(of.latency, |latency| tried(flag("latency", latency), Deployment { latency, ..of.clone() }));
    for seconds in [0, 3].into_iter().filter(|_| of.runs_on == RunsOn::Serverless) {
        let cold_start = Duration::seconds(seconds);
        tried(format!("--cold-start {seconds}s"), Deployment { cold_start, ..of.clone() });
    }
    each(of.framework, |framework| tried(flag("framework", framework), Deployment { framework, ..of.clone() }));
    each(of.front, |front| tried(flag("front", front), Deployment { front, ..of.clone() }));
    found
}

/// Every other value.
fn each<T: ValueEnum + PartialEq + Copy>(now: T, tried: impl FnMut(T)) {
    T::value_variants().iter().copied().filter(|value| *value != now).for_each(tried);
}

fn flag(name: &str, value: impl ValueEnum) -> String {
    let word = value.to_possible_value().map(|value| value.get_name().to_string());
    format!("--{name} {}", word.unwrap_or_default())
}
