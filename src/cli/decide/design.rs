//! The design that goes with a recommendation: lifecycle, transport, local development, tokens, drain checklist, and a first
//! runbook. Texts lie beside this file; what depends on the context is put in here.

use serde::Serialize;

use super::answers::{Deployment, Framework, Front};
use super::matrix::{Mode, SOCKETS};
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
    sections.insert(after, Section { title: "Transport".into(), text: transport(of.framework) });
    let lifecycle = text.split("```mermaid\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap_or_default();
    let (runbook, no_runbook) = match runbook(of, mode) {
        Ok(runbook) => (Some(runbook), None),
        Err(why) => (None, Some(why)),
    };
    Design { lifecycle: lifecycle.into(), sections, runbook, no_runbook }
}

fn transport(framework: Framework) -> String {
    let fenced = |language: &str, text: &str| format!("```{language}\n{}\n```", text.trim());
    match framework {
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

/// The runbook for the route that exists where the app is.
fn runbook(of: &Deployment, mode: Mode) -> Result<String, String> {
    let (router, text) = match (mode, of.front) {
        (Mode::Http, Front::Alb) => ("alb", include_str!("runbook_http_alb.yaml")),
        (Mode::Http, _) => ("slack_manifest", include_str!("runbook_http_manifest.yaml")),
        (Mode::Socket, _) => ("socket_mode", include_str!("runbook_socket.yaml")),
    };
    if !KINDS.iter().any(|kind| kind.name == router) {
        return Err(format!("this bgctl was built without the router `{router}`: build it with `--features full`"));
    }
    // A quarter may be gone before users are no longer sent there, and one where there are few.
    let spare = (of.processes / 4).max(1);
    let healthy = of.processes.saturating_sub(spare).max(1).to_string();
    Ok(text
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
