#!/bin/sh
# A flag in Redis as a route: the program is tried against its contract. Needs redis-server, redis-cli and Python 3.9 or later
# (PYTHON names another interpreter than python3); everything listens on loopback and ends with the story.
set -u
BGCTL="${BGCTL:-bgctl}" PYTHON="${PYTHON:-python3}"
here="$(cd "$(dirname "$0")" && pwd)"
work="$(mktemp -d)"
cd "$work" || exit
# By name, and with the interpreter that PYTHON names: the runbook holds no path of this machine.
mkdir bin && cp "$here/redis_flag.py" bin/ && ln -s "$(command -v "$PYTHON")" bin/python3
export PATH="$work/bin:$PATH"
port="$("$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
redis-server --bind 127.0.0.1 --port "$port" --save '' >redis.log 2>&1 &
server=$!
trap 'kill $server; rm -rf "$work"' EXIT
until redis-cli -p "$port" ping >ping.log 2>&1; do kill -0 $server || exit; done
export FLAG_REDIS="127.0.0.1:$port" BGCTL_STATE_DIR="$work/state"

redis-cli -p "$port" set flag:new-bot '{"off": 100, "on": 0}' >set.log
# Nobody answers at the addresses of this runbook, so no side is well: here only the program is tried.
sed -e "s#/opt/bot/redis_flag.py#redis_flag.py#" "$here/../../runbooks/program-flag.yaml" >runbook.yaml

echo "\$ bgctl route test runbook.yaml flag --confirm staging"
"$BGCTL" route test runbook.yaml flag --confirm staging 2>&1
echo "exit $?"
echo
echo "\$ redis-cli get flag:new-bot"
redis-cli -p "$port" get flag:new-bot
