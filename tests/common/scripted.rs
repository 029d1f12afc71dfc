//! A world that answers by script, in virtual time: a web of closures, and everything a step reports kept for looking at.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use bgctl::clock::Clock;
use bgctl::plan::Plan;
use bgctl::run::{Evidence, Outcome, Verdict};
use bgctl::secret::{Secret, Secrets};
use bgctl::sim::VirtualClock;
use bgctl::steps::{KINDS, Kind};
use bgctl::world::{
    Command, Exit, NoDatabase, NoStore, Processes, Progress, Request, Response, Scribe, Stream, Web, WebError, World,
};
use serde_json::{Value, json};

/// Answers each request by a function of it and of the virtual time.
type Script = Box<dyn Fn(&Request, Duration) -> Result<Response, WebError>>;

pub struct ScriptedWeb {
    clock: Rc<VirtualClock>,
    script: Script,
    pub sent: RefCell<Vec<Request>>,
}

#[async_trait(?Send)]
impl Web for ScriptedWeb {
    async fn exchange(&self, request: Request) -> Result<Response, WebError> {
        self.sent.borrow_mut().push(request.clone());
        let answer = (self.script)(&request, self.clock.elapsed());
        let takes = answer.as_ref().map_or(request.timeout, |a| a.time);
        self.clock.sleep(takes).await;
        answer
    }
}

/// Programs that end at once, with a fixed output, in pieces that cut it anywhere.
pub struct ScriptedProcesses {
    pub lines: Vec<(Stream, String)>,
    pub exit: Exit,
    pub ran: RefCell<Vec<Command>>,
}

#[async_trait(?Send)]
impl Processes for ScriptedProcesses {
    async fn run(&self, command: &Command, output: &mut dyn for<'a> FnMut(Stream, &'a [u8])) -> std::io::Result<Exit> {
        self.ran.borrow_mut().push(command.clone());
        for (stream, text) in &self.lines {
            format!("{text}\n").as_bytes().chunks(5).for_each(|piece| output(*stream, piece));
        }
        Ok(self.exit)
    }
}

#[derive(Default)]
pub struct Notebook {
    pub evidence: RefCell<Vec<Evidence>>,
    pub progress: Cell<u32>,
}

impl Scribe for Notebook {
    fn observed(&self, evidence: Evidence) {
        self.evidence.borrow_mut().push(evidence);
    }

    fn progress(&self, _: Progress) {
        self.progress.set(self.progress.get() + 1);
    }
}

impl Notebook {
    /// Check and verdict of each finding.
    pub fn checks(&self) -> Vec<(String, Verdict, String)> {
        let evidence = self.evidence.borrow();
        let check = |e: &Evidence| match e {
            Evidence::CheckDone { check, verdict, line, .. } => Some((check.clone(), *verdict, line.clone())),
            _ => None,
        };
        evidence.iter().filter_map(check).collect()
    }

    /// Window, verdict and line of each judgement of a gate.
    pub fn judged(&self, name: &str) -> Vec<(u32, Verdict, String)> {
        let evidence = self.evidence.borrow();
        let judged = |e: &Evidence| match e {
            Evidence::GateEvaluated { gate, window, verdict, line, .. } if gate == name => {
                Some((*window, *verdict, line.clone()))
            }
            _ => None,
        };
        evidence.iter().filter_map(judged).collect()
    }

    /// Everything that would stand in the journal.
    pub fn text(&self) -> String {
        serde_json::to_string(&*self.evidence.borrow()).unwrap()
    }
}

/// A scripted world and its parts.
pub struct Stage {
    pub clock: Rc<VirtualClock>,
    pub web: Rc<ScriptedWeb>,
    pub processes: Rc<ScriptedProcesses>,
    pub world: World,
    pub notes: Notebook,
}

impl Stage {
    pub fn new(script: impl Fn(&Request, Duration) -> Result<Response, WebError> + 'static) -> Self {
        Stage::with(script, Vec::new(), Exit::Status(0))
    }

    pub fn with(
        script: impl Fn(&Request, Duration) -> Result<Response, WebError> + 'static,
        lines: Vec<(Stream, String)>,
        exit: Exit,
    ) -> Self {
        let clock = Rc::new(VirtualClock::default());
        let web = Rc::new(ScriptedWeb { clock: Rc::clone(&clock), script: Box::new(script), sent: RefCell::default() });
        let processes = Rc::new(ScriptedProcesses { lines, exit, ran: RefCell::default() });
        let secrets = [
            ("${env:SLACK_SIGNING_SECRET}", SIGNING_SECRET),
            ("${env:SLACK_WEBHOOK}", "https://hooks.slack.test/services/T0/B0/abcdefghij"),
            ("${env:PROMETHEUS_URL}", "http://prometheus.test:9090"),
            ("${env:PASSWORD}", "correct-horse"),
        ];
        let secrets: BTreeMap<_, _> = secrets.map(|(name, value)| (name.to_string(), Secret::new(value))).into();
        let world = World {
            clock: clock.clone(),
            routes: BTreeMap::new(),
            web: web.clone(),
            processes: processes.clone(),
            store: Rc::new(NoStore),
            database: Rc::new(NoDatabase),
            metrics: Rc::new(bgctl::world::NoMetrics),
            guards: Rc::new(bgctl::guards::NoGuards),
            overrides: Default::default(),
            beforehand: Default::default(),
            secrets: Secrets::new(secrets),
        };
        Stage { clock, web, processes, world, notes: Notebook::default() }
    }

    /// Plans, builds and runs a step of this kind and these settings, in virtual time.
    pub fn run(&self, kind: &str, settings: Value) -> Outcome {
        self.run_in(kind, settings, &plan())
    }

    pub fn run_in(&self, kind: &str, settings: Value, plan: &Plan) -> Outcome {
        let step = built(kind, settings, plan);
        self.clock.run(step.execute(&self.world, &self.notes)).expect("nothing crashes here")
    }
}

pub const SIGNING_SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";

pub fn kind(name: &str) -> &'static Kind {
    KINDS.iter().find(|k| k.name == name).expect("a kind of step")
}

/// A step as compile would build it.
pub fn built(name: &str, settings: Value, plan: &Plan) -> Box<dyn bgctl::steps::Step> {
    let facts = (kind(name).facts)(&settings, plan).unwrap_or_else(|m| panic!("{name} {settings}: {m:?}"));
    let planned = serde_json::from_value(json!({
        "id": format!("{name}-1"), "kind": name, "line": facts.line, "config": settings, "resume": facts.resume,
        "attempts": facts.attempts, "timeout_s": facts.timeout_s, "expected_s": facts.expected_s, "moves": null,
        "approval": null, "on_failure": "roll-back", "place": "test.yaml:1",
    }));
    (kind(name).build)(&planned.unwrap(), plan).unwrap()
}

/// A plan with the two gates of the design.
pub fn plan() -> Plan {
    let share = r#"sum by (color) (rate(http_requests_total{status=~"5.."}[1m])) / sum by (color) (rate(http_requests_total[1m]))"#;
    let p99 = "histogram_quantile(0.99, sum by (le, color) (rate(http_seconds_bucket[1m])))";
    let plan = json!({
        "bgctl_plan": 1, "purpose": "cutover", "service": "slackbot", "environment": "production",
        "owners": ["a@example.com"], "rollback_owner": "a@example.com", "runbook": "test.yaml", "runbook_sha256": "",
        "blue": { "version": "v1", "url": "http://blue.test" },
        "green": { "version": "v2", "url": "http://green.test/" },
        "routes": {},
        "gates": {
            "errors": { "prometheus": share, "max": "0.5%", "versus_blue": "+0.3%", "min_requests": 600 },
            "p99": { "prometheus": p99, "max": "800ms" },
            "depth": { "prometheus": "max by (color) (queue_depth)", "max": 10, "unknown": "hold" },
        },
        "slack": { "signing_secret": "${env:SLACK_SIGNING_SECRET}", "paths": { "events": "/slack/events" }, "team_id": "T1" },
        "policy": {
            "automatic_at_most": 2, "within_s": 86400, "schema_safe": true, "schema_reason": null, "page": [],
        },
        "forward": [], "rollback": [], "warnings": [],
    });
    serde_json::from_value(plan).unwrap()
}

pub fn response(status: u16, body: impl Into<String>) -> Result<Response, WebError> {
    let body: String = body.into();
    // JSON comes as what it is.
    let kind = body.starts_with('{').then(|| ("content-type".to_string(), "application/json".to_string()));
    Ok(Response {
        status,
        headers: kind.into_iter().collect(),
        body: body.into_bytes(),
        time: Duration::from_millis(5),
    })
}

pub fn no_answer() -> Result<Response, WebError> {
    Err(WebError { what: "no connection to http://nowhere.test: connection refused".into(), timed_out: false })
}

/// An instant vector with these samples of blue and green.
pub fn vector(samples: &[(&str, &str)]) -> Result<Response, WebError> {
    let result: Vec<Value> =
        samples.iter().map(|(color, value)| json!({ "metric": { "color": color }, "value": [0, value] })).collect();
    response(200, json!({ "status": "success", "data": { "resultType": "vector", "result": result } }).to_string())
}

/// The PromQL of a request.
pub fn query(request: &Request) -> String {
    let body = String::from_utf8(request.body.clone()).unwrap();
    let url = reqwest::Url::parse(&format!("http://x/?{body}")).unwrap();
    url.query_pairs().find(|(name, _)| name == "query").map(|(_, value)| value.into_owned()).unwrap()
}
