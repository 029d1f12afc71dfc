#!/usr/bin/env python3
"""A `program` route for a flag in Redis: the share of users that the new bot answers (`bgctl explain program` has the contract).

In the runbook: `blue: "off"`, `green: "on"`, `env: { FLAG_REDIS: "${env:FLAG_REDIS}" }` as HOST:PORT, and
`settings: { key: "flag:new-bot", health: { "off": "http://…/healthz", "on": "http://…/healthz" } }`.
The key holds the weight of each side by its name, `{"off": 90, "on": 10}`, so it does not matter which one is blue.
"""
import json, os, socket, sys, urllib.request

# Compares and writes in one step: two writers cannot both win.
SWAP = "if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('set', KEYS[1], ARGV[2]) return 'done' end return 'changed'"


def redis(*words):
    host, port = os.environ["FLAG_REDIS"].rsplit(":", 1)
    with socket.create_connection((host, int(port)), 5) as peer, peer.makefile("rb") as reply:
        peer.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w.encode()), w.encode()) for w in words))
        first = reply.readline().decode().strip()
        if first.startswith("-"):
            sys.exit(first)
        return reply.read(int(first[1:])).decode() if first.startswith("$") and first != "$-1" else None


def refused(kind, why, **more):
    return {"refused": {"kind": kind, "why": why, **more}}


def answer(ask):
    call, key, names = ask["call"], ask["settings"]["key"], {color: ask[color] for color in ("blue", "green")}
    by_name = lambda weights: json.dumps({names[color]: weights[color] for color in names})
    if call == "describe":
        return {"bgctl_route": 1, "line": f"flag {key} in Redis", "resources": [f"flag {key}"], "lands_within_s": 5}
    if call == "health":
        name = names[ask["stack"]]
        try:
            urllib.request.urlopen(ask["settings"]["health"][name], timeout=5).close()
        except (OSError, KeyError) as why:
            return {"healthy": 0, "total": 1, "ailing": [f"{name}: {why}"[:200]]}
        return {"healthy": 1, "total": 1}
    if call == "settle":
        return {"settled": True}
    if call == "manual-rollback":
        return {"command": f"redis-cli -u \"redis://$FLAG_REDIS\" set '{key}' '{by_name(ask['to'])}'"}
    if call not in ("read", "set"):
        return refused("invalid", f"this program does not know the call {call}")
    text = redis("GET", key)
    if text is None:
        return refused("not-found", f"there is no key {key}")
    now = {color: json.loads(text).get(name, 0) for color, name in names.items()}
    if call == "read":
        return {"weights": now, "state": {"value": json.loads(text)}}
    start, to = ask["from"], ask["to"]
    if to["blue"] + to["green"] == 0:
        return refused("invalid", "nobody is sent nowhere")
    if now["blue"] * start["green"] != now["green"] * start["blue"]:
        return refused("drift", "somebody else has moved the flag", found=now)
    if redis("EVAL", SWAP, "1", key, text, by_name(to)) == "done":
        return {}
    return refused("not-now", "somebody else has just moved the flag")


print(json.dumps(answer(json.load(sys.stdin))))
