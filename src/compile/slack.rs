//! What the runbook says about its Slack app, for the plan, and what of it is taken on the operator's word.

use serde_json::{Value, json};

use super::{has_route, place};
use crate::diag::{Code, Diagnostic};
use crate::runbook::{Acks, Runbook, SlackMode};
use crate::slack::deliveries::key_mistake;

/// The settings as the plan keeps them; none where the runbook has no Slack app.
pub fn settings(runbook: &Runbook, found: &mut Vec<Diagnostic>) -> Option<Value> {
    let slack = runbook.document.slack.as_ref()?;
    let mut word = |pointer: &str, headline: &str, label: &str| {
        found.push(Diagnostic::warning(Code::Unproven, headline).at(place(&runbook.tree, pointer), label));
    };
    let handed_over = has_route(runbook, "socket_mode");
    if slack.mode == SlackMode::Socket && !handed_over {
        word(
            "/slack/mode",
            "no route hands the sockets over",
            "add a `socket_mode` route: a fleet that is connected gets events, whatever the other routes say",
        );
    }
    let looked_at = runbook.document.steps.iter().any(|step| {
        let checks = step.config["checks"].as_array();
        step.kind == "smoke" && checks.is_some_and(|checks| checks.iter().any(|check| check == "dedup"))
    });
    if slack.dedup.is_some() && !looked_at {
        word(
            "/slack/dedup/redis",
            "the shared store of handled events is taken on your word",
            "add the check `dedup` to a `smoke` step: it reads owner, lease and time of a claim",
        );
    }
    if slack.acks == Some(Acks::BeforeWork) {
        word(
            "/slack/acks",
            "a stack that is killed with work in hand loses what it has acked",
            "drain before you stop it, or ack after the work (`processBeforeResponse`)",
        );
    }
    if slack.org_wide && slack.enterprise_id.is_none() {
        let headline = "an app that is installed for a whole organisation has an `enterprise_id`";
        let at = place(&runbook.tree, "/slack/org_wide");
        found.push(Diagnostic::error(Code::StepSettings, headline).at(at, "add `enterprise_id: E0123456`"));
    }
    if let Some(mistake) = slack.dedup.as_ref().and_then(|dedup| key_mistake(&dedup.key)) {
        let help = "write `dedup:evt:{team_id}:{event_id}`";
        found.push(Diagnostic::error(Code::StepSettings, mistake).at(place(&runbook.tree, "/slack/dedup/key"), help));
    }
    let mut settings = json!({
        "mode": slack.mode,
        "signing_secret": slack.signing_secret,
        "paths": slack.paths,
    });
    if let Some(teams) = &slack.team_id {
        settings["team_id"] = json!(teams);
    }
    if slack.org_wide {
        settings["org_wide"] = json!(true);
    }
    for (name, value) in
        [("channel_id", &slack.channel_id), ("app_id", &slack.app_id), ("enterprise_id", &slack.enterprise_id)]
    {
        if let Some(value) = value {
            settings[name] = json!(value);
        }
    }
    if let Some(dedup) = &slack.dedup {
        settings["dedup"] = json!({ "redis": dedup.redis, "key": dedup.key, "delayed_events": dedup.delayed_events });
    }
    if let Some(handlers) = &slack.handlers {
        settings["handlers"] = json!(handlers);
    }
    if let Some(continuity) = &slack.continuity {
        settings["continuity"] = json!(continuity);
    }
    if let Some(acks) = slack.acks {
        settings["acks"] = json!(acks);
    }
    Some(settings)
}
