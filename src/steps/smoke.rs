//! `smoke`: synthetic checks straight against one stack. A status of 200 proves nothing: every check looks at content.
#![doc = include_str!("smoke.md")]

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;

use super::{Facts, GRACE, Kind, Mistake, Review, Step, settings};
use crate::plan::{Plan, Resume};
use crate::rehearsal::{InLab, Place, at};
use crate::run::{Cause, Evidence, Outcome, Reaction, Verdict};
use crate::scalar::counted;
use crate::slack::check::{Check, Finding};
use crate::slack::continuity::Continuity;
use crate::slack::settings::{Expect, Smoke};
use crate::slack::suite::Suite;
use crate::world::{Progress, Request, Scribe, World};

pub const KIND: Kind = Kind {
    name: "smoke",
    about: "check one stack by content, as Slack would",
    page: include_str!("smoke.md"),
    schema: |generator| generator.subschema_for::<Smoke>(),
    facts,
    lab: InLab::To(places),
    build: |step, plan| {
        let smoke = Smoke::deserialize(&step.config)?;
        let suite = Suite::new(&smoke, plan);
        Ok(Box::new(Testing { id: step.id.clone(), smoke, suite }))
    },
};

/// Every address of its own. Where bots are to post answers to bgctl it listens, at a free port of loopback in a rehearsal.
fn places(config: &Value) -> Vec<Place> {
    at(config, &["/public/url", "/response_url/listen", "/response_url/url"])
}

fn facts(config: &Value, plan: &Plan) -> Result<Facts, Vec<Mistake>> {
    let smoke: Smoke = settings(config)?;
    let mut review = Review::default();
    if smoke.checks.is_empty() && smoke.expect.is_empty() {
        review.wrong(
            "",
            "a smoke test without `checks` and `expect` checks nothing",
            Some("write `checks: [version]`"),
        );
    }
    if smoke.checks.iter().any(|c| c.needs_slack()) && plan.slack.is_none() {
        let help = "add a `slack` section with `signing_secret` and `paths`";
        review.wrong(
            "/checks",
            "these checks sign requests as Slack does, and the runbook has no `slack` section",
            Some(help),
        );
    }
    let named = |check| smoke.checks.contains(&check);
    if named(Check::Public) && smoke.public.is_none() {
        review.wrong(
            "/checks",
            "the check `public` needs to know the public address",
            Some("add `public: { url: … }`"),
        );
    }
    if named(Check::ResponseUrl) && smoke.response_url.is_none() {
        let help = "add `response_url: { listen: \"0.0.0.0:8787\", url: \"http://…:8787\" }`";
        review.wrong("/checks", "the check `response-url` needs an address that bots can post to", Some(help));
    }
    if named(Check::Handlers) && plan.slack.as_ref().is_some_and(|slack| slack["handlers"].is_null()) {
        let help = "add `handlers: { path: /bgctl/handlers }` to the `slack` section";
        review.wrong("/checks", "the check `handlers` needs to know where a stack lists its listeners", Some(help));
    }
    if plan.slack.as_ref().is_some_and(|slack| slack["mode"] == "socket") {
        let posted: Vec<&str> = smoke.checks.iter().filter(|c| c.needs_a_url()).map(|c| c.name()).collect();
        if !posted.is_empty() {
            let message =
                format!("an app in Socket Mode has no URL that this could be posted to: {}", posted.join(", "));
            review.wrong("/checks", message, Some("leave `version` and `handlers`"));
        }
    }
    let continuity = Continuity::of(plan);
    let suite = Suite::new(&smoke, plan);
    let (urls, workspaces) = suite.size();
    let requests = |check: &Check| check.requests(urls, workspaces) * (1 + continuity.samples(*check));
    let requests: u32 = smoke.checks.iter().map(requests).sum::<u32>() + smoke.expect.len() as u32;
    if requests > smoke.budget {
        let message = format!("these checks send up to {requests} requests, the budget is {}", smoke.budget);
        review.wrong("/budget", message, Some("raise the budget, or make two steps of it"));
    }
    if let Some(public) = &smoke.public {
        review.headers("/public/headers", &public.headers);
    }
    review.path("/version_path", &smoke.version_path);
    review.longer_than_zero("/within", smoke.within.time);
    for (n, expect) in smoke.expect.iter().enumerate() {
        review.path(&format!("/expect/{n}/path"), &expect.path);
        if !(100..=599).contains(&expect.status) {
            review.wrong(&format!("/expect/{n}/status"), format!("`{}` is not an HTTP status", expect.status), None);
        }
        match expect.header.as_ref().map(|header| header.split_once(':')) {
            Some(None) => review.wrong(&format!("/expect/{n}/header"), "a header is written `name: value`", None),
            Some(Some((name, _))) => review.header(&format!("/expect/{n}/header"), name.trim()),
            None => {}
        }
    }
    let count = smoke.checks.len() + smoke.expect.len();
    let names: Vec<&str> = smoke.checks.iter().map(|c| c.name()).collect();
    let pages = (!smoke.expect.is_empty()).then(|| counted(smoke.expect.len(), "page"));
    let checked: Vec<String> = (!names.is_empty()).then(|| names.join(", ")).into_iter().chain(pages).collect();
    review.passed(|| Facts {
        line: format!("smoke test {}: {}", smoke.stack, checked.join(" and ")),
        resume: Resume::Repeat,
        attempts: 1,
        // A check may send up to a handful of requests one after the other.
        timeout_s: smoke.within.whole_seconds() * 8 * count as u64 + GRACE,
        expected_s: 1 + count as u64 / 2,
        moves: None,
    })
}

struct Testing {
    id: String,
    smoke: Smoke,
    suite: Suite,
}

#[async_trait(?Send)]
impl Step for Testing {
    async fn execute(&self, world: &World, scribe: &dyn Scribe) -> Outcome {
        let suite = self.suite.open(world);
        let of = (self.smoke.checks.len() + self.smoke.expect.len()) as u64;
        let mut findings = Vec::new();
        let keep = |new: Vec<Finding>, all: &mut Vec<Finding>| {
            for mut finding in new {
                finding.line = world.secrets.mask(&finding.line);
                scribe.observed(Evidence::CheckDone {
                    step: self.id.clone(),
                    check: finding.check.clone(),
                    verdict: finding.verdict,
                    ms: finding.ms,
                    line: finding.line.clone(),
                });
                all.push(finding);
            }
        };
        // All of them, also after a failure: a person wants the whole picture, and nobody waits on green yet.
        for (done, check) in self.smoke.checks.iter().enumerate() {
            scribe.progress(Progress { done: done as u64, of, line: check.name().into() });
            keep(suite.run(*check).await, &mut findings);
        }
        for (done, expect) in self.smoke.expect.iter().enumerate() {
            scribe.progress(Progress { done: (self.smoke.checks.len() + done) as u64, of, line: expect.path.clone() });
            keep(vec![self.page(world, expect).await], &mut findings);
        }
        let bad: Vec<&Finding> = findings.iter().filter(|f| f.verdict != Verdict::Pass).collect();
        let Some(first) = bad.first() else {
            let (count, stack) = (findings.len(), self.smoke.stack);
            return Outcome::done(format!("{count} of {count} checks of {stack} passed"));
        };
        let causes = suite.causes(&findings).await;
        for cause in &causes {
            scribe.observed(Evidence::Note { line: format!("cause: {cause}") });
        }
        let why = match causes.as_slice() {
            [] => format!("{}: {}", first.check, first.line),
            causes => causes.join("; "),
        };
        let line = format!("{} of {} checks of {} did not pass; {why}", bad.len(), findings.len(), self.smoke.stack);
        let retry = bad.iter().any(|f| f.silent);
        // A witness that is away is no finding against green.
        let (cause, then) = match bad.iter().all(|f| f.verdict == Verdict::Unknown) {
            true => (Cause::NoVerdict, Some(Reaction::Hold)),
            false => (Cause::Gate, None),
        };
        Outcome::Failed { line, cause, moved: false, retry, then, facts: Value::Null }
    }
}

impl Testing {
    async fn page(&self, world: &World, expect: &Expect) -> Finding {
        let path = &expect.path;
        let asked = Request::to_stack(self.suite.tested(), path, self.smoke.within.time, &world.secrets);
        let answer = match world.web.exchange(asked).await {
            Ok(answer) => answer,
            Err(e) => return Finding { silent: true, ..Finding::new(path, false, 0, e.what) },
        };
        let ms = answer.time.as_millis() as u64;
        let wrong = |line: String| Finding::new(path, false, ms, line);
        if answer.status != expect.status {
            return wrong(format!("status {}, not {}", answer.status, expect.status));
        }
        if let Some((name, value)) = expect.header.as_deref().and_then(|h| h.split_once(':')) {
            let (name, value) = (name.trim(), value.trim());
            match answer.header(name) {
                Some(found) if found == value => {}
                Some(found) => return wrong(format!("`{name}` is `{found}`, not `{value}`")),
                None => return wrong(format!("there is no header `{name}`")),
            }
        }
        match &expect.contains {
            Some(text) if !answer.text().contains(text.as_str()) => wrong(format!("the page does not hold `{text}`")),
            _ => Finding::new(path, true, ms, format!("status {} and everything expected", answer.status)),
        }
    }
}
