//! The design that goes with a recommendation: lifecycle, transport, local development, tokens, drain checklist, and a first
//! runbook. Texts lie beside this file; what depends on the context is put in here.

use serde::Serialize;

use super::answers::{Deployment, Framework, Front, RunsOn};
use super::matrix::{Mode, SOCKETS};
use super::reliability::{migration, reliability};
use crate::routers::KINDS;

/// A part of the design.
#[derive(Clone, Debug, Serialize)]
pub struct Section {
    pub title: String,
    /// Markdown.
    pub text: String,
}

/// The whole design.
#[derive(Clone, Debug, Serialize)]
pub struct Design {
    /// Mermaid, without its fence.
    pub lifecycle: String,
    pub sections: Vec<Section>,
    /// A runbook that `bgctl check` accepts, or why there is none.
    pub runbook: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_runbook: Option<String>,
}

const HTTP: &str = include_str!("http.md");
const SOCKET: &str = include_str!("socket.md");
const PYTHON: &str = include_str!("transport.py");
const JAVASCRIPT: &str = include_str!("transport.js");
const PYTHON_LAMBDA: &str = include_str!("transport_lambda.py");
const JAVASCRIPT_LAMBDA: &str = include_str!("transport_lambda.js");

/// What `smoke` has to show before the first user reaches green.
const CHECKS: &str = "version, signature, replay, slash-command, button, modal, exactly-once, dedup, handlers, \
                      modal-from-blue, modal-from-green, stale-button, private-metadata, hash-conflict";

/// The design for a mode.
pub fn design(of: &Deployment, mode: Mode) -> Design {
    let text = match mode {
        Mode::Http => HTTP,
        Mode::Socket => SOCKET,
    };
    let mut sections: Vec<Section> = text
        .split("## ")
        .skip(1)
        .filter_map(|section| section.split_once('\n'))
        .map(|(title, text)| Section { title: title.into(), text: text.trim().into() })
        .collect();
    let after = sections.iter().position(|s| s.title == "Local development").unwrap_or(sections.len());
    let own = [
        ("Here", here(of, mode)),
        ("Transport", transport(of, mode)),
        ("Reliability", reliability(of, mode)),
        ("Migration path", migration(of, mode)),
    ];
    let own = own.map(|(title, text)| Section { title: title.into(), text });
    sections.splice(after..after, own.into_iter().filter(|section| !section.text.is_empty()));
    let lifecycle = text.split("```mermaid\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap_or_default();
    let (runbook, no_runbook) = match runbook(of, mode) {
        Ok(runbook) => (Some(runbook), None),
        Err(why) => (None, Some(why)),
    };
    Design { lifecycle: lifecycle.into(), sections, runbook, no_runbook }
}

/// What the design means where this app runs.
fn here(of: &Deployment, mode: Mode) -> String {
    let (stacks, half) = (of.processes, SOCKETS / 2);
    let lines: Vec<String> = match (of.runs_on, mode) {
        (RunsOn::Serverless, Mode::Http) => vec![
            "Blue and green are two published versions of the function behind one alias; users move by its weights. `bgctl explain program`, and \
             `examples/program-route/lambda-alias.sh` is that route, ready to copy.".into(),
            format!("Cold start {}: provisioned concurrency on the version that is to be green, before the smoke test; take it from blue after the last bake, and not before.", of.cold_start),
            "A function has no gauge of work in flight: the drain waits as long as the longest invocation takes.".into(),
            "Work that takes longer than the ack is an invocation of its own (lazy listener, or a queue): it carries the claim of the one that acked.".into(),
        ],
        (RunsOn::Serverless, Mode::Socket) => vec![
            "Functions hold no socket: two small processes that live on hold them, ack, and hand envelopes to the functions by a queue. Those processes are what blue and green are.".into(),
        ],
        (RunsOn::Kubernetes, Mode::Http) => vec![
            format!("Two Deployments, `blue` and `green`, of {stacks} pods each at the busiest, each with a Service of its own; the front weighs the two Services."),
            "One worker with threads in a pod: the gauge of work in flight belongs to a process. With several pods a Service reaches only one of them, so name each under `drain.instances`, or let the gauge be a sum that your metrics have.".into(),
            if of.autoscaling { "The autoscaler of green has to be at blue's size before users come: it follows load, and green has none yet (`capacity` in the route refuses a green that is too small).".into() } else { String::new() },
        ],
        (RunsOn::Kubernetes, Mode::Socket) => vec![
            format!("Two StatefulSets, so that each pod has an address of its own: bgctl speaks to each instance. At most {half} pods of a stack hold a socket; more work goes through a queue to a Deployment behind it."),
        ],
        (RunsOn::Laptop, _) => vec![
            "One process a stack, on two ports of the same machine. A cutover here is an exercise: nobody but you is its user, and a closed lid stops both.".into(),
        ],
        (_, Mode::Http) => vec![
            format!("{stacks} processes a stack, blue and green beside each other for as long as a rollback is wanted: that is twice the capacity, for hours."),
        ],
        (_, Mode::Socket) => vec![
            format!("{} processes of each stack hold a socket; bgctl speaks to each at its own address, which only you can reach.", sockets(of)),
        ],
    };
    lines.iter().filter(|line| !line.is_empty()).map(|line| format!("- {line}")).collect::<Vec<_>>().join("\n")
}

fn transport(of: &Deployment, mode: Mode) -> String {
    let fenced = |language: &str, text: &str| format!("```{language}\n{}\n```", text.trim());
    let functions = of.runs_on == RunsOn::Serverless && mode == Mode::Http;
    match of.framework {
        Framework::BoltPython if functions => fenced("python", PYTHON_LAMBDA),
        Framework::BoltJavascript if functions => fenced("js", JAVASCRIPT_LAMBDA),
        Framework::BoltPython => fenced("python", PYTHON),
        Framework::BoltJavascript => fenced("js", JAVASCRIPT),
        Framework::Other => format!(
            "Handlers are registered with one object that knows neither sockets nor requests; one file makes that object from \
             either transport. With Bolt it looks like this; other frameworks can follow its shape.\n\n{}\n\n{}",
            fenced("python", PYTHON),
            fenced("js", JAVASCRIPT)
        ),
    }
}

/// The route of a front that moves users by weight: its driver, what it stands behind, the variables it needs, and its settings.
fn weighted(of: &Deployment) -> Option<(&'static str, &'static str, &'static str, &'static str)> {
    Some(match of.front {
        _ if of.runs_on == RunsOn::Serverless => (
            "program",
            "a function of AWS Lambda, moved by the weights of its alias",
            "  function:\n  alias:\n  blue_number:                               # published versions, as Lambda counts them\n  green_number:\n",
            "    program:                                 # copy examples/program-route/lambda-alias.sh beside this file\n      run: [./lambda-alias.sh]\n      blue: ${var.blue_number}\n      green: ${var.green_number}\n      settings: { function: \"${var.function}\", alias: \"${var.alias}\" }\n",
        ),
        Front::Alb => (
            "alb",
            "an AWS Application Load Balancer, moved by weight",
            "  rule_arn:\n  blue_target_group:\n  green_target_group:\n",
            "    alb:\n      rule: ${var.rule_arn}\n      blue: ${var.blue_target_group}\n      green: ${var.green_target_group}\n      min_healthy: @processes@\n",
        ),
        Front::Nginx => (
            "nginx",
            "nginx, moved by the split between two upstreams",
            "",
            "    nginx:                                   # bgctl explain nginx has the block that goes into its configuration\n      include: /etc/nginx/bgctl/web.conf\n      key: $request_id                       # CHANGE: $http_… or $cookie_… keeps a user on one side\n      blue: bot_blue\n      green: bot_green\n",
        ),
        Front::Haproxy => (
            "haproxy",
            "HAProxy, moved by the weights of its servers",
            "  socket:                                    # its `stats socket`, level admin\n",
            "    haproxy:\n      socket: ${var.socket}\n      backend: bot\n      blue: blue-*\n      green: green-*\n      min_healthy: @processes@\n",
        ),
        Front::Envoy => (
            "envoy",
            "Envoy, moved by the weights of a route",
            "  file:                                      # the RDS file that Envoy watches\n  admin:\n",
            "    envoy:\n      file: ${var.file}\n      admin: ${var.admin}\n      route_config: bot\n      virtual_host: all\n      route: users\n      blue: blue\n      green: green\n      min_healthy: @processes@\n",
        ),
        Front::Other | Front::None => return None,
    })
}

/// The runbook for the route that exists where the app is.
fn runbook(of: &Deployment, mode: Mode) -> Result<String, String> {
    let weighted = weighted(of);
    let (router, text) = match (mode, weighted) {
        (Mode::Http, Some((router, ..))) => (router, include_str!("runbook_http_weighted.yaml")),
        (Mode::Http, None) => ("slack_manifest", include_str!("runbook_http_manifest.yaml")),
        (Mode::Socket, _) => ("socket_mode", include_str!("runbook_socket.yaml")),
    };
    let (_, behind, variables, route) = weighted.unwrap_or_default();
    let drain = match of.runs_on {
        // No process outlives its invocation, so nobody could be asked.
        RunsOn::Serverless => ["longest_job: 1m", "longest_job: 1m"],
        _ => ["within: 5m, at_timeout: hold", "within: 5m, at_timeout: continue"],
    };
    if !KINDS.iter().any(|kind| kind.name == router) {
        return Err(format!("this bgctl was built without the router `{router}`: build it with `--features full`"));
    }
    // A quarter may be gone before users are no longer sent there, and one where there are few.
    let spare = (of.processes / 4).max(1);
    let healthy = of.processes.saturating_sub(spare).max(1).to_string();
    Ok(text
        .replace("@behind@", behind)
        .replace("@variables@", variables)
        .replace("@route@", route)
        .replace("@drain-blue@", drain[0])
        .replace("@drain-green@", drain[1])
        .replace("@service@", &quoted(&of.service))
        .replace("@processes@", &healthy)
        .replace("@floor@", if sockets(of) == 1 { "1" } else { "2" })
        .replace("@instances@", &instances(of))
        .replace("@blue@", &urls(of, "blue"))
        .replace("@green@", &urls(of, "green"))
        .replace("@checks@", CHECKS))
}

/// How many instances of a stack hold a socket: both stacks together have to fit into what Slack gives.
fn sockets(of: &Deployment) -> u32 {
    of.processes.clamp(1, SOCKETS / 2)
}

/// The variables that name the instances of both stacks.
fn instances(of: &Deployment) -> String {
    let one = |stack: &str, n: u32| format!("  {stack}_{n}_url:\n");
    ["blue", "green"].iter().flat_map(|stack| (1..=sockets(of)).map(move |n| one(stack, n))).collect()
}

/// The same, as a list of YAML.
fn urls(of: &Deployment, stack: &str) -> String {
    let one = |n: u32| format!("\"${{var.{stack}_{n}_url}}\"");
    (1..=sockets(of)).map(one).collect::<Vec<_>>().join(", ")
}

/// A name as YAML takes it, whatever is in it. In a comment quotes do no harm.
fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let letter = name.starts_with(|c: char| c.is_ascii_alphabetic());
    match letter && name.chars().all(plain) {
        true => name.into(),
        false => serde_json::to_string(&name.replace(char::is_control, " ").replace('$', "$$")).unwrap_or_default(),
    }
}
