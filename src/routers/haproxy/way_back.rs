//! The way back without bgctl: a shell script that writes the weights that were read into HAProxy's socket.

use super::fleet::{Exact, Stood};
use super::settings::Settings;
use super::weights::Weighed;
use crate::child::quoted;
use crate::plan::Color;
use crate::routers::NativeWayBack;

/// The script and the command that runs it.
pub fn way_back(route: &str, exact: &Exact) -> NativeWayBack {
    let name = format!("{route}-haproxy.sh");
    let mut script = String::from(
        "#!/bin/sh
# The weights of HAProxy as they were read: first what takes users, then what takes none. Needs socat or Python 3, and a user
# who may write to the socket. HAProxy answers nothing to what it does; anything else is an error.
tell() {
  if command -v socat >/dev/null; then
    case $1 in /*) to=UNIX-CONNECT:$1 ;; *) to=TCP:$1 ;; esac
    said=$(printf '%s\\n' \"$2\" | socat -t 10 - \"$to\" 2>&1) || said=${said:-no answer}
  else
    said=$(python3 -c 'import socket, sys
at, line = sys.argv[1:]
tcp = at.rpartition(\":\")
s = socket.socket(socket.AF_UNIX) if at[0] == \"/\" else socket.create_connection((tcp[0].strip(\"[]\"), int(tcp[2])), 10)
s.settimeout(10)
if at[0] == \"/\": s.connect(at)
s.sendall(line.encode() + b\"\\n\")
said = b\"\".join(iter(lambda: s.recv(65536), b\"\"))
print(said.decode(\"utf-8\", \"replace\"))' \"$1\" \"$2\" 2>&1) || said=${said:-no answer}
  fi
  said=$(printf '%s' \"$said\" | tr -d '\\r\\n')
  [ -z \"$said\" ] || { echo \"$1: $said\" >&2; failed=1; return 1; }
}
failed=0
",
    );
    for stood in &exact.instances {
        let (some, none): (Vec<&Weighed>, Vec<&Weighed>) = stood.servers.iter().partition(|server| server.weight > 0);
        let parts = [some, none].map(|servers| commands(stood, &servers)).into_iter().filter(|part| !part.is_empty());
        let parts: Vec<String> = parts.map(|part| format!("tell {} '{part}'", quoted(&stood.socket))).collect();
        script += &(parts.join(" &&\n  ") + "\n");
    }
    for socket in &exact.silent {
        script += &format!("echo {}: it gave no answer, so its weights are not known >&2; failed=1\n", quoted(socket));
    }
    script += "exit $failed\n";
    NativeWayBack { command: format!("sh {name}"), files: vec![(name, script)] }
}

/// A server that took users, and is to take them again, is taken out of what somebody has put it into meanwhile.
fn commands(stood: &Stood, servers: &[&Weighed]) -> String {
    let command = |server: &&Weighed| {
        let place = format!("set server {}/{}", stood.backend, server.name);
        let ready = if server.takes && server.weight > 0 { format!("{place} state ready; ") } else { String::new() };
        format!("{ready}{place} weight {}", server.weight)
    };
    servers.iter().map(command).collect::<Vec<_>>().join("; ")
}

/// Every server that the settings name, all equal; none where a name stands for several, which only HAProxy knows.
pub fn by_settings(settings: &Settings) -> Option<Exact> {
    let mut servers = Vec::new();
    for side in Color::BOTH {
        for name in settings.side(side).all() {
            if name.ends_with('*') {
                return None;
            }
            servers.push(Weighed { name: name.clone(), side, weight: 0, initial: 0, takes: true });
        }
    }
    let stood = |socket: &String| Stood {
        socket: socket.clone(),
        backend: settings.backend.clone(),
        process: None,
        servers: servers.clone(),
    };
    Some(Exact { instances: settings.socket.all().iter().map(stood).collect(), silent: Vec::new() })
}
