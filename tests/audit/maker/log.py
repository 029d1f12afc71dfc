"""The lines of a log, its statements, notes and seals, and the plan it is about. Which facts stand in it is told in `facts`."""

import hashlib
import json
from datetime import datetime, timedelta, timezone

from keys import armor

START = datetime(2026, 11, 21, 3, 2, 41, tzinfo=timezone.utc)
OWNER, RM, RM2 = "engineer@example.com", "rm-one@example.com", "rm-two@example.com"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def dump(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def stamp(time):
    return time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond:06}Z"


def split(green):
    return {"blue": 100 - green, "green": green}


def step(name, before, after, approval=None):
    move = {"route": "web", "before": split(before), "after": split(after)}
    return {
        "id": name, "kind": "shift", "line": f"web to {after}", "config": {"route": "web"}, "resume": "observe", "attempts": 1,
        "timeout_s": 60, "expected_s": 1, "moves": move, "approval": approval, "on_failure": "roll-back", "place": "runbook.yaml:9",
    }


def plan_of(dice, ways):
    rule = {
        "role": "release-managers", "members": [RM, RM2, OWNER], "quorum": 2 if "quorum" in ways else 1, "own_run": "own" in ways,
        "within_s": 1800, "at_expiry": "roll-back",
    }
    if "evidence" in ways:
        rule["evidence"] = dice.choice(["signed", "signed-hw"])
    route = {
        "router": "alb", "config": {}, "line": "alb rule 10", "seen_at": None, "before": split(0), "min_healthy": 1,
    }
    if "resources" in ways:
        route["capacity"] = {"per_target": 60, "traffic": "cloudwatch"}
        route["resources"] = ["alb arn:aws:rule/10"]
    blue, green, found = {"version": "v1", "url": "http://blue.test"}, {"version": "v2", "url": "http://green.test"}, {}
    if "resources" in ways:
        blue["name"], green["name"], green["label"], green["headers"] = "b", "a", "new", {"x-stack": "green"}
        found["version_at"] = {"path": "/version", "header": "x-version"}
    return {
        "bgctl_plan": 1, "purpose": "cutover", "service": "slackbot", "environment": "production", "owners": [OWNER],
        "rollback_owner": OWNER, "runbook": "runbook.yaml", "runbook_sha256": "ab" * 32,
        "blue": blue, "green": green, **found,
        "routes": {"web": route}, "gates": {}, "slack": None,
        "policy": {"automatic_at_most": 2, "within_s": 86400, "schema_safe": True, "schema_reason": None, "page": []},
        "forward": [step("shift-10", 0, 10, rule), step("shift-100", 10, 100)], "rollback": [step("back", 100, 0)], "warnings": [],
    }


class Log:
    def __init__(self, run, plan, owner, key, session, ways):
        self.run, self.plan, self.owner, self.key, self.session, self.ways = run, plan, owner, key, session, ways
        self.data, self.lines, self.last = b"", 0, b""
        self.now, self.mono = START, 0
        self.plan_text = dump(plan)

    def line(self, kind, data, **more):
        prev = "0" * 64 if not self.lines else sha256(self.last)
        whole = {"v": 1, "seq": self.lines, "run": self.run, "ts": stamp(self.now), "mono": self.mono, "type": kind, "prev": prev, "data": data}
        whole.update(more)
        self.last = dump(whole).encode() + b"\n"
        self.data += self.last
        self.lines += 1

    def passes(self, seconds=1.0):
        self.now += timedelta(seconds=seconds)
        self.mono += int(seconds * 1_000_000)

    def statement(self, kind, **says):
        said = {
            "_type": "bgctl/opening/v1" if kind == "run.opened" else "bgctl/resuming/v1", "run": self.run,
            "service": "slackbot", "environment": "production",
        }
        if kind == "run.resumed":
            said |= {"log_lines": self.lines, "log_sha256": sha256(self.data)}
        said |= {
            "plan_sha256": sha256(self.plan_text.encode()), "owner": self.owner, "owner_key": self.key.line(),
            "session_key": self.session.line(), "not_before": stamp(self.now), "not_after": stamp(self.now + timedelta(hours=12)),
            "mode": "interactive", "assurance": "file",
        }
        said |= says
        text = dump(said)
        claims = {"trigger": "alice-gh"} if "trigger" in self.ways else {}
        sig = spoiled(self.ways, "opening", armor(self.key, "bgctl-open-v1", text.encode(), **self.ways.get("form", {})))
        self.line(kind, {"statement": text, "ns": "bgctl-open-v1", "sig": sig, "claims": claims})

    def note(self, state):
        lines = [f"bgctl/log/slackbot/{self.run}", f"lines {self.lines}", f"bytes {len(self.data)}", f"sha256 {sha256(self.data)}"]
        return "\n".join([*lines, f"time {stamp(self.now)}", f"state {state}", ""])

    def seal(self, state="open"):
        owners = state in ("closed", "handover")
        key, space = (self.key, "bgctl-close-v1") if owners else (self.session, "bgctl-seal-v1")
        if "seal by owner" in self.ways and self.lines > 12 and not owners:
            key = self.key
        note = self.note(state)
        sig = armor(key, space, note.encode())
        if self.lines > 9 or owners:
            sig = spoiled(self.ways, "closing" if owners else "seal", sig)
        self.line("seal", {"note": note, "ns": space, "sig": sig} | self.ways.get("in seals", {}))

    def fact(self, kind, data, seal=True):
        self.passes()
        self.line(kind, data)
        if seal:
            self.seal()


def spoiled(ways, which, sig):
    """A signature in another spelling, or with a byte of another."""
    how = ways.get("spoil " + which)
    if how == "crlf":
        return sig.replace("\n", "\r\n")
    if how == "blanks":
        return " " + sig.replace("\n", " \n\t", 2) + "\n"
    if how == "one line":
        head, *body, foot, _ = sig.split("\n")
        return "\n".join([head, "".join(body), foot, ""])
    if how == "no end":
        return sig.rstrip("\n")
    if how == "byte":
        at = len(sig) // 2
        return sig[:at] + ("B" if sig[at] != "B" else "C") + sig[at + 1 :]
    if how == "cut":
        return sig[:-40]
    if how == "empty":
        return ""
    return sig


SPOILS = ["crlf", "blanks", "one line", "no end", "byte", "cut", "empty"]
