//! The way back without bgctl: a shell script that asks blue to hold sockets, waits until it does, and then takes green's.

use super::fleet::HEARD;
use super::settings::{Instances, Settings};
use crate::child::quoted;
use crate::routers::NativeWayBack;

/// The script and the command that runs it. Instances behind a name are looked up when it runs.
pub fn way_back(route: &str, settings: &Settings) -> NativeWayBack {
    let name = format!("{route}-sockets.sh");
    let script = format!(
        r#"#!/bin/sh
# Sockets back to BLUE: first blue holds its own, then green gives up each of its own. Needs curl.
# Where the instances ask for a token: BGCTL_BOT_TOKEN=… sh {name}
set -eu
blue() {{ {blue}; }}
green() {{ {green}; }}
tell() {{ curl -fsS -m 5 ${{BGCTL_BOT_TOKEN:+-H "authorization: Bearer $BGCTL_BOT_TOKEN"}} "$@"; }}
# What an instance says of its socket: held, none, or half-open where nothing has come from Slack over it for {heard} s.
state() {{
  said=$(tell -i "$1/bgctl/socket") || return $?
  said=$(echo "$said" | tr -d '\r')
  echo "$said" | grep -Eq '"connected": *[1-9]' || {{ echo none; return; }}
  ping=$(echo "$said" | sed -n 's/.*"last_ping": *\([0-9][0-9]*\).*/\1/p')
  # By its own clock, where `date` can read what it says; else by ours.
  date=$(echo "$said" | sed -n 's/^[Dd]ate: *//p')
  now=$([ -n "$date" ] && date -d "$date" +%s 2>/dev/null || date +%s)
  if [ -n "$ping" ] && [ $((now - ping)) -gt {heard} ]; then echo half-open; else echo held; fi
}}
holds() {{ [ "$(state "$1")" = held ]; }}
for bot in $(blue); do tell -X POST "$bot/bgctl/connect" >/dev/null || echo "no answer: $bot" >&2; done
held=0 tries=0
while [ "$held" -lt {floor} ]; do
  held=0
  for bot in $(blue); do if holds "$bot"; then held=$((held + 1)); fi; done
  tries=$((tries + 1))
  if [ "$held" -lt {floor} ] && [ "$tries" -gt 60 ]; then echo "BLUE holds $held sockets, {floor} needed; GREEN keeps its own" >&2; exit 1; fi
  [ "$held" -ge {floor} ] || sleep 1
done
for bot in $(green); do tell -X POST "$bot/bgctl/quiesce" >/dev/null || echo "no answer: $bot" >&2; done
# Only what says that it holds none, or does not listen any more (curl's 7), has given up its socket.
gone() {{
  if said=$(state "$1"); then [ "$said" = none ]; else [ $? -eq 7 ]; fi
}}
tries=0
while :; do
  left=
  for bot in $(green); do gone "$bot" || left="$left $bot"; done
  [ -n "$left" ] || exit 0
  tries=$((tries + 1))
  if [ "$tries" -gt {tries} ]; then echo "BLUE holds its sockets, but these of GREEN may still hold theirs; end their processes:$left" >&2; exit 1; fi
  sleep 1
done
"#,
        blue = listed(&settings.blue),
        green = listed(&settings.green),
        floor = settings.floor,
        heard = HEARD.as_secs(),
        tries = settings.work_within.whole_seconds().clamp(5, 60),
    );
    NativeWayBack { command: format!("sh {name}"), files: vec![(name, script)] }
}

/// A shell command that prints the addresses.
fn listed(instances: &Instances) -> String {
    match instances {
        Instances::Listed(urls) => {
            let urls: Vec<String> = urls.iter().map(|url| quoted(url.trim_end_matches('/'))).collect();
            format!("printf '%s\\n' {}", urls.join(" "))
        }
        Instances::Named(name) => {
            let rest = name.lookup.trim_start_matches("http://").trim_end_matches('/');
            let (host, port) = rest.split_once(':').unwrap_or((rest, "80"));
            format!("getent ahostsv4 {} | awk '{{ print \"http://\" $1 \":{port}\" }}' | sort -u", quoted(host))
        }
    }
}
