//! What keeps events from being lost in this context: while it runs, when a process ends, when a stack is exchanged. And what it
//! costs to become the other mode one day.

use super::answers::{Deployment, Distribution, Framework, Front, Ingress, RunsOn};
use super::matrix::Mode;

/// How the app is kept from losing events, as Markdown.
pub fn reliability(of: &Deployment, mode: Mode) -> String {
    let mut lines = vec![
        "Slack gives a delivery up after 3 s and sends an event again at once, after a minute and after five; a command, a button or a \
         modal never. So what is lost with events is lost in the bot, and what is lost with people is lost in front of their eyes."
            .to_string(),
        String::new(),
    ];
    let mut add = |what: &str, how: String| lines.push(format!("- **{what}**: {how}"));
    match mode {
        Mode::Http => {
            add(
                "watch",
                "`slack_retries_total` (the earliest sign), the time to ack, `slack_exchanged_trigger_id_total`, and 5xx at the front; each \
                 by stack. An uptime check of the events URL signs a `url_verification` (`bgctl smoke --check url-verification`): a 200 of a \
                 page proves nothing"
                    .into(),
            );
            add("end of a process", end_of_process(of));
            add(
                "rolling deploy",
                "not two versions behind one address by chance, but blue and green by weight: the same user meets one version at a time only \
                 where the front can tell users apart, so each version has to read what the other wrote (`bgctl explain continuity`)"
                    .into(),
            );
        }
        Mode::Socket => {
            add(
                "watch",
                "the number of open sockets against the floor, the age of the newest `hello` and of the last ping, `disconnect` by reason. \
                 \"The process is up\" says nothing: a socket can be half open, and then Slack's events wait for nobody"
                    .into(),
            );
            let client = match of.framework {
                Framework::BoltPython => {
                    "Bolt for Python acks up to 3 s late when a socket is refreshed, and after a reset it was deaf for 60 s: use the contract's `bgctl_socket.py`, which opens the next socket first"
                }
                Framework::BoltJavascript => {
                    "Bolt for JavaScript was measured 5 s without a socket at a refresh, and it acks events before your code runs: use the contract's `bgctl_socket.js`, and always quiesce an instance before it ends"
                }
                Framework::Other => {
                    "measure how long your client is without a socket at a refresh (`&debug_reconnects=true` has Slack refresh every 6 minutes)"
                }
            };
            add("reconnect", client.into());
            add(
                "end of a process",
                "`POST /bgctl/quiesce` first: it takes nothing new, finishes, then closes its socket. SIGTERM alone drops what was acked and not \
                 done"
                    .into(),
            );
        }
    }
    let store = match of.processes {
        1 if of.runs_on == RunsOn::Laptop => {
            "a Redis on the same machine will do; without persistence a restart forgets what was done, and a late retry is done twice"
        }
        _ => {
            "one store that both stacks share, which evicts nothing (`noeviction`) and fails over within seconds; events are answered 503 while it is away, so that Slack comes again"
        }
    };
    add(
        "handled once",
        format!("a claim by `event_id` under a lease, then `done` (`bgctl explain bot-contract`): {store}"),
    );
    add(
        "work longer than 3 s",
        "ack, then a queue that outlives the process; never a thread of the process that acked".into(),
    );
    lines.join("\n")
}

fn end_of_process(of: &Deployment) -> String {
    match of.runs_on {
        RunsOn::Kubernetes => {
            "readiness off, `preStop: sleep 10` until the endpoints are gone, then SIGTERM; `terminationGracePeriodSeconds` above the longest \
             piece of work. A pod that is killed by memory has none of it: the ack comes after the work, so that Slack sends again"
                .into()
        }
        RunsOn::Serverless => {
            "nothing outlives the answer. With Bolt's lazy listeners the work is an invocation of its own: it carries the claim of the one \
             that acked, and a dead-letter queue catches the one that fails"
                .into()
        }
        RunsOn::Containers => {
            "deregister from the front first, wait for its deregistration delay, then SIGTERM with a stop timeout above the longest piece of \
             work (ECS: `stopTimeout`)"
                .into()
        }
        RunsOn::VirtualMachines => {
            "take it out of the front, wait until `/bgctl/inflight` is 0, then stop the unit (`TimeoutStopSec` above the longest piece of work)"
                .into()
        }
        RunsOn::Laptop => "when the lid closes events wait for nobody: Slack repeats them for 6 minutes, then switches the app off after many failures".into(),
    }
}

/// What the other mode would cost later, and what to do about it now, as Markdown.
pub fn migration(of: &Deployment, mode: Mode) -> String {
    let mut lines = Vec::new();
    let far = of.distribution_later;
    lines.push(match (mode, far) {
        (Mode::Socket, Distribution::Marketplace) => "You may want the Marketplace one day, and Slack takes no Socket Mode app there. So the app begins with what the change will need:".into(),
        (Mode::Socket, Distribution::SeveralWorkspaces) => "Several workspaces share the same 10 sockets. Where they outgrow them, the app becomes HTTP:".into(),
        (Mode::Socket, Distribution::OneWorkspace) => match of.ingress {
            Ingress::Forbidden => "While no address may be opened there is nothing to change to. It stays cheap if this is kept:".to_string(),
            _ => "Nothing in your answers leads to HTTP. It stays cheap if this is kept:".to_string(),
        },
        (Mode::Http, _) => match of.outbound {
            super::answers::Outbound::Open => "HTTP is where apps end up. The way back to Socket Mode is for the day when the address has to go:".to_string(),
            super::answers::Outbound::Forbidden => "HTTP is where apps end up, and long WebSockets are cut here. Keep this all the same:".to_string(),
        },
    });
    lines.push(String::new());
    let mut add = |text: &str| lines.push(format!("- {text}"));
    add(
        "Handlers know neither requests nor sockets: the transport above is the one file that does, and `SLACK_TRANSPORT` is the only difference between the two deployments.",
    );
    add(
        "The signing secret is in both deployments from the beginning, and deliveries are told apart by `event_id` and `trigger_id`, which both modes carry; an `envelope_id` is known to sockets alone.",
    );
    if mode == Mode::Socket {
        add(
            "The change itself, when it comes: bring up green with `SLACK_TRANSPORT=http` and its address; prove it with `bgctl smoke` (it signs as Slack does, and no user is moved by it); set the request URLs in the manifest, which Slack verifies; switch Socket Mode off; hand over. Slack sends by URL only from then on, and both stacks share the store meanwhile.",
        );
        add(
            "Back from there: switch Socket Mode on again, and the old processes open their sockets. Keep them deployable for as long as you would want that.",
        );
    } else {
        add(
            "To Socket Mode: an app-level token with `connections:write`, at most 10 sockets, then Socket Mode on in the manifest. Slack stops posting to the URLs from then on.",
        );
    }
    if of.distribution == Distribution::OneWorkspace && far != Distribution::OneWorkspace {
        add(
            "Several workspaces mean an installation each: keep tokens by `team_id` and `enterprise_id` from the first day, not in one variable.",
        );
    }
    if mode == Mode::Http && of.front == Front::None {
        add(
            "A weighted load balancer can be put in front later without Slack noticing: the request URL stays the same.",
        );
    }
    lines.join("\n")
}
