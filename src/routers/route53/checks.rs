//! Health checks of Route 53, and what they make of the weights: a record whose check fails is left out, so users can be on another
//! side than the weights say, and whole groups that fail count as well.

use aws_sdk_route53::types::{HealthCheckConfig, HealthCheckObservation, HealthCheckType};

use super::Route53;
use super::records::Found;
use crate::plan::Color;
use crate::routers::RouterError;
use crate::routers::aws::{Attempts, Question, READ_WITHIN};

/// Healthy is what more than this share of the checkers calls so, in percent (developer guide, "How Amazon Route 53 determines
/// whether a health check is healthy").
const ENOUGH: usize = 18;

/// What is known of one health check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    Well(String),
    Unwell(String),
    /// The API does not say it.
    Unknown(String),
}

impl Checked {
    fn line(&self) -> &str {
        match self {
            Checked::Well(line) | Checked::Unwell(line) | Checked::Unknown(line) => line,
        }
    }
}

/// What the checkers say together.
fn verdict(observations: &[HealthCheckObservation], inverted: bool) -> Checked {
    let said: Vec<&str> = observations.iter().filter_map(|o| o.status_report()?.status()).collect();
    if said.is_empty() {
        return Checked::Unknown("no checker has said anything yet".into());
    }
    let well = said.iter().filter(|said| said.starts_with("Success")).count();
    let why = said.iter().find(|said| !said.starts_with("Success")).map(|said| format!(" ({said})"));
    let turned = if inverted { ", inverted" } else { "" };
    let line = format!("{well} of {} checkers find it well{}{turned}", said.len(), why.unwrap_or_default());
    if (well * 100 > ENOUGH * said.len()) == inverted { Checked::Unwell(line) } else { Checked::Well(line) }
}

/// What the settings of a check alone say, if they do.
fn settled(config: &HealthCheckConfig) -> Option<Checked> {
    if config.disabled().unwrap_or_default() {
        // Taken for well, and then inverted like everything else.
        return Some(match config.inverted().unwrap_or_default() {
            true => Checked::Unwell("it is disabled and inverted".into()),
            false => Checked::Well("it is disabled, which counts as well".into()),
        });
    }
    match config.r#type() {
        HealthCheckType::Calculated | HealthCheckType::CloudwatchMetric | HealthCheckType::RecoveryControl => {
            Some(Checked::Unknown(format!("the API says nothing of checks of type {}", config.r#type().as_str())))
        }
        _ => None,
    }
}

impl Route53 {
    /// The status of one check now.
    pub(super) async fn checked(&self, id: &str) -> Result<Checked, RouterError> {
        let (client, place) = (self.client().await, format!("health check {id}"));
        let asked = |action| Question { action, place: &place, writes: false, within: READ_WITHIN };
        let attempts = Attempts::default();
        let answer =
            client.get_health_check().health_check_id(id).customize().interceptor(attempts.clone()).send().await;
        let answer = answer.map_err(|error| self.explain(asked("GetHealthCheck"), &attempts, &error).0)?;
        let config = answer.health_check.and_then(|check| check.health_check_config);
        if let Some(said) = config.as_ref().and_then(settled) {
            return Ok(said);
        }
        let attempts = Attempts::default();
        let answer = client.get_health_check_status().health_check_id(id).customize();
        let answer = answer.interceptor(attempts.clone()).send().await;
        let answer = answer.map_err(|error| self.explain(asked("GetHealthCheckStatus"), &attempts, &error).0)?;
        let inverted = config.and_then(|config| config.inverted).unwrap_or_default();
        Ok(verdict(answer.health_check_observations(), inverted))
    }

    /// The check of each side that has one.
    pub(super) async fn both(&self, found: &Found) -> Result<Vec<(Color, Checked)>, RouterError> {
        let mut all = Vec::new();
        for side in Color::BOTH {
            if let Some(id) = found.side(side).health_check_id() {
                all.push((side, self.checked(id).await?));
            }
        }
        Ok(all)
    }
}

/// Why users are not where the weights say, if health checks see to that.
pub fn fallback(found: &Found, checks: &[(Color, Checked)]) -> Option<String> {
    let fails = |side: Color| checks.iter().find(|(of, checked)| *of == side && matches!(checked, Checked::Unwell(_)));
    let words = |side: Color| fails(side).map_or("", |(_, checked)| checked.line());
    match (fails(Color::Blue).is_some(), fails(Color::Green).is_some()) {
        (false, false) => None,
        (true, true) => Some(format!(
            "the health checks of both sides fail ({}; {}), and Route 53 then answers as if all were well",
            words(Color::Blue),
            words(Color::Green)
        )),
        (blue, _) => {
            let side = if blue { Color::Blue } else { Color::Green };
            // A side without users has none to lose.
            (found.split().weight(side) > 0).then(|| {
                format!(
                    "{side}'s health check fails ({}), so Route 53 sends its users to {} whatever the weights say",
                    words(side),
                    side.other()
                )
            })
        }
    }
}

/// What a person has to know of each side's failover before a run, one line each.
pub fn lines(found: &Found, checks: &[(Color, Checked)]) -> Vec<String> {
    let of = |side: Color| {
        let check = checks.iter().find(|(of, _)| *of == side).map(|(_, checked)| match checked {
            Checked::Well(line) => format!("{side}'s health check is well: {line}; if it fails, users go elsewhere"),
            Checked::Unwell(line) => format!("{side}'s health check FAILS: {line}"),
            Checked::Unknown(line) => format!("{side}'s health check can move its users, and is not known: {line}"),
        });
        let alias = found.side(side).alias_target().map(|alias| match alias.evaluate_target_health() {
            true => format!(
                "{side} is an alias whose target's health counts: where `{}` is not well, Route 53 leaves {side} out",
                alias.dns_name()
            ),
            false => format!("{side} is an alias whose target's health does not count"),
        });
        [check, alias]
    };
    Color::BOTH.into_iter().flat_map(of).flatten().collect()
}

#[cfg(test)]
mod tests {
    use aws_sdk_route53::types::StatusReport;

    use super::*;
    use crate::routers::route53::records::tests::{listed, settings};

    fn said(well: usize, unwell: usize) -> Vec<HealthCheckObservation> {
        let one = |text: &str| {
            let report = StatusReport::builder().status(text).build();
            HealthCheckObservation::builder().status_report(report).build()
        };
        let mut all = vec![one("Success: HTTP Status Code 200, OK"); well];
        all.extend(vec![one("Failure: connection refused"); unwell]);
        all
    }

    #[test]
    fn more_than_eighteen_percent_of_the_checkers_decide() {
        let table = [((16, 0), false, true), ((3, 13), false, true), ((2, 14), false, false), ((16, 0), true, false)];
        for ((well, unwell), inverted, is) in table {
            let found = verdict(&said(well, unwell), inverted);
            assert_eq!(matches!(found, Checked::Well(_)), is, "{well} of {}: {found:?}", well + unwell);
        }
        assert!(
            verdict(&said(2, 14), false).line().contains("2 of 16 checkers find it well (Failure: connection refused)")
        );
        assert!(matches!(verdict(&[], false), Checked::Unknown(_)));
        let config = |kind, disabled| HealthCheckConfig::builder().r#type(kind).disabled(disabled).build().unwrap();
        assert!(matches!(settled(&config(HealthCheckType::Calculated, false)), Some(Checked::Unknown(_))));
        assert!(matches!(settled(&config(HealthCheckType::Http, true)), Some(Checked::Well(_))));
        assert_eq!(settled(&config(HealthCheckType::Http, false)), None);
    }

    #[test]
    fn users_are_said_to_be_where_a_failing_check_sends_them() {
        let found = Found::among(&listed(&[("blue", 100, 60), ("green", 0, 60)]), &settings()).unwrap();
        let (well, unwell) = (Checked::Well("16 of 16".into()), Checked::Unwell("0 of 16".into()));
        let said = |blue: &Checked, green: &Checked| {
            fallback(&found, &[(Color::Blue, blue.clone()), (Color::Green, green.clone())])
        };
        assert_eq!(said(&well, &well), None);
        assert!(said(&unwell, &well).is_some_and(|line| line.contains("sends its users to GREEN")));
        assert_eq!(said(&well, &unwell), None, "nobody is there");
        assert!(said(&unwell, &unwell).is_some_and(|line| line.contains("as if all were well")));
        assert!(lines(&found, &[(Color::Blue, well)])[0].contains("if it fails, users go elsewhere"));
    }
}
