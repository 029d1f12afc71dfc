"""Makes logs, lists of signers and lists of revoked keys, from a seed, for verifiers to disagree about.

Written from `src/audit/audit.md` and `bgctl explain keys`, beside the writer of bgctl and not after it: Python's own library, its
own Ed25519, and ssh-keygen for the keys it has no arithmetic for. What a case varies is listed in its file `case`.

    maker.py FOLDER FIRST COUNT
"""

import base64
import hashlib
import json
import os
import random
import subprocess
import sys
from datetime import datetime, timedelta, timezone

# --- Ed25519 (RFC 8032), to sign only. ---
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def powers():
    y = 4 * pow(5, P - 2, P) % P
    x = pow((y * y - 1) * pow(D * y * y + 1, P - 2, P), (P + 3) // 8, P)
    if (x * x - (y * y - 1) * pow(D * y * y + 1, P - 2, P)) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    x = P - x if x & 1 else x
    out = [(x, y, 1, x * y % P)]
    while len(out) < 256:
        out.append(add(out[-1], out[-1]))
    return out


POWERS = powers()


def base(n):
    out = (0, 1, 1, 0)
    for bit in range(256):
        if n >> bit & 1:
            out = add(out, POWERS[bit])
    z = pow(out[2], P - 2, P)
    return (out[1] * z % P | (out[0] * z % P & 1) << 255).to_bytes(32, "little")


class Ed:
    def __init__(self, name):
        hashed = hashlib.sha512(hashlib.sha256(name.encode()).digest()).digest()
        self.a = int.from_bytes(hashed[:32], "little") & (2**254 - 8) | 2**254
        self.prefix, self.raw = hashed[32:], base(self.a)

    def sign(self, message):
        n = lambda *parts: int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % L
        r = n(self.prefix, message)
        point = base(r)
        return point + ((r + n(point, self.raw, message) * self.a) % L).to_bytes(32, "little")


# --- SSH's forms. ---
def pack(*parts):
    return b"".join(len(p).to_bytes(4, "big") + p for p in parts)


def text64(blob):
    return base64.b64encode(blob).decode()


ED, SK = b"ssh-ed25519", b"sk-ssh-ed25519@openssh.com"


class Key:
    """A plain key, or one that only a touch makes sign: `flags` is what it says about the person."""

    def __init__(self, name, sk=None):
        self.ed, self.sk = Ed(name), sk
        self.kind = ED if sk is None else SK
        self.parts = (self.ed.raw,) if sk is None else (self.ed.raw, b"ssh:")
        self.plain = self.blob = pack(self.kind, *self.parts)

    def make(self, message):
        if self.sk is None:
            return pack(ED, self.ed.sign(message))
        tail = bytes([self.sk]) + b"\0\0\0\7"
        sha = lambda data: hashlib.sha256(data).digest()
        return pack(SK, self.ed.sign(sha(b"ssh:") + tail + sha(message))) + tail

    def line(self):
        kind = self.blob[4 : 4 + int.from_bytes(self.blob[:4], "big")]
        return f"{kind.decode()} {text64(self.blob)}"

    def fingerprint(self):
        return "SHA256:" + text64(hashlib.sha256(self.plain).digest()).rstrip("=")


class Nist(Key):
    """A key of the other curve, which ssh-keygen holds."""

    def __init__(self, folder, name):
        self.path = os.path.join(folder, name)
        if not os.path.exists(self.path):
            subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-C", name, "-f", self.path], check=True)
        words = open(self.path + ".pub").read().split()
        self.blob = self.plain = base64.b64decode(words[1])

    def armor(self, space, message, **_):
        run = ["ssh-keygen", "-q", "-Y", "sign", "-f", self.path, "-n", space]
        return subprocess.run(run, input=message, capture_output=True, check=True).stdout.decode()


def certified(key, by, names, kind=1, critical=(), after=0, before=2**64 - 1, broken=False):
    """The same key, with what an authority says about it."""
    of = Key.__new__(Key)
    of.__dict__.update(key.__dict__)
    longs = lambda n: n.to_bytes(8, "big")
    options = b"".join(pack(name.encode(), pack(b"x") if name == "force-command" else b"") for name in sorted(critical))
    name = key.kind.replace(b"@openssh.com", b"") + b"-cert-v01@openssh.com"
    body = pack(name, b"n" * 32, *key.parts) + longs(7) + kind.to_bytes(4, "big") + pack(b"job 7", pack(*[n.encode() for n in names]))
    body += longs(after) + longs(before) + pack(options, b"", b"", by.blob)
    of.blob = body + pack(by.make(body + b"?" if broken else body))
    return of


def wrapped(blob, columns=70):
    body = text64(blob)
    lines = [body[n : n + columns] for n in range(0, len(body), columns)]
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""])


def armor(key, space, message, hash_name="sha512", reserved=b"", more=b"", columns=70):
    if isinstance(key, Nist):
        return key.armor(space, message)
    digest = hashlib.new(hash_name, message).digest()
    made = key.make(b"SSHSIG" + pack(space.encode(), b"", hash_name.encode(), digest))
    blob = b"SSHSIG\0\0\0\1" + pack(key.blob, space.encode(), reserved, hash_name.encode(), made) + more
    return wrapped(blob, columns)


# --- The log. ---
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
        route["resources"] = ["alb arn:aws:rule/10"]
    return {
        "bgctl_plan": 1, "purpose": "cutover", "service": "slackbot", "environment": "production", "owners": [OWNER],
        "rollback_owner": OWNER, "runbook": "runbook.yaml", "runbook_sha256": "ab" * 32,
        "blue": {"version": "v1", "url": "http://blue.test"}, "green": {"version": "v2", "url": "http://green.test"},
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


def facts(log, dice, ways, keys):
    """The facts of a run, in order, as pairs of type and data."""
    plan, out = log.plan, []
    at = lambda index, lane="forward": {"lane": lane, "index": index}
    digest = lambda step: sha256(dump(step).encode())
    out.append(("rollback.armed", {"approvals_ahead": False, "automatic_used": 0, "checks": []}))
    first, rule = plan["forward"][0], plan["forward"][0]["approval"]
    expires = int(START.timestamp()) + (1 if "expired" in ways else 1200)
    said = {
        "_type": "bgctl.dev/approval-request/v1", "at_expiry": "roll-back", "details": ["route: web"], "environment": "production",
        "evidence": rule.get("evidence", "prompt"), "expires": expires, "lane": "forward", "nonce": "5e" * 32,
        "params": {"after": split(10), "before": split(0), "route": "web"}, "plan_sha256": sha256(log.plan_text.encode()),
        "quorum": rule["quorum"], "requested_by": log.owner, "role": rule["role"], "run": log.run, "service": "slackbot",
        "step": first["id"], "step_sha256": digest(first), "summary": first["line"],
    }
    if "trigger" in ways:
        said["trigger"] = "alice-gh"
    said |= ways.get("in request", {})
    request = dump(dict(sorted(said.items())))
    asked = {"step": at(0), "id": "shift-10", "request": request, "request_sha256": sha256(request.encode()), "expires": expires}
    out.append(("approval.requested", asked))
    answer = lambda grant: {"step": at(0), "id": "shift-10", "request_sha256": asked["request_sha256"], "grant": grant}

    def grant(who, key, space="bgctl-approve-v1"):
        sig = spoiled(ways, "grant", armor(key, space, request.encode(), **ways.get("form of grant", {})))
        said = {"principal": who, "evidence": ways.get("says", "signed")}
        if "names key" in ways:
            said["key"] = key.fingerprint() if ways["names key"] else keys["stranger"].fingerprint()
        return said | {"sig": sig} | ways.get("in grant", {})

    givers = [(RM, keys["rm"])] + ([(RM2, keys["rm2"])] if "quorum" in ways or "two" in ways else [])
    if "giver" in ways:
        givers[-1] = ways["giver"]
    for who, key in givers:
        out.append(("approval.granted", answer(grant(who, key, ways.get("grant for", "bgctl-approve-v1")))))
    if "prompt" in ways:
        out[-1] = ("approval.granted", answer({"principal": ways["prompt"], "evidence": "prompt", "prompt": "yes"}))
    if "denied" in ways:
        out.append(("approval.denied", answer(grant(RM2, keys["rm2"], "bgctl-deny-v1"))))
    if "withdrawn" in ways:
        out.append(("approval.withdrawn", answer(grant(RM, keys["rm"], "bgctl-deny-v1")) | {"principal": RM}))
    for index, step in enumerate(plan["forward"]):
        green = step["moves"]["after"]["green"]
        uses = [asked["request_sha256"]] if index == 0 and "uses none" not in ways else []
        intent = {"step": at(index), "id": step["id"], "attempt": 1, "line": step["line"], "step_sha256": digest(step), "approvals": uses}
        out.append(("step.intent", intent))
        out.append(("provider.called", {"route": "web", "action": "set", "attempt": 1, "request_id": None, "code": "200", "ms": 40}))
        out.append(("traffic.read", {"route": "web", "split": split(green), "ms": 12}))
        for stack, share in split(green).items():
            if share:
                out.append(("traffic.health", {"route": "web", "stack": stack, "healthy": 2, "total": 2}))
        out.append(("step.outcome", {"step": at(index), "id": step["id"], "outcome": {"is": "done", "line": "moved", "facts": None}}))
    out.append(("run.ended", {"outcome": "completed", "line": "every step is done"}))
    return out


def strange(dice):
    """A fact or a piece of evidence that a smooth run has not."""
    by, at = {"name": OWNER, "via": "command"}, {"lane": dice.choice(["forward", "forward", "rollback"]), "index": dice.randrange(3)}
    cause = dice.choice(["gate", "drift", "frozen", "provider", "action", "away"])
    named = {"step": at, "id": dice.choice(["shift-10", "shift-100", "back"])}
    failed = {"is": "failed", "line": "no", "cause": cause, "moved": dice.random() < 0.5, "retry": dice.random() < 0.3, "facts": None}
    return dice.choice([
        ("note", {"line": "seen"}), ("recovered", {"line": "seen"}), ("page.acknowledged", {"line": "seen"}), ("gate.evaluated", {"line": "seen"}),
        ("run.paused", {"step": at, "cause": cause, "line": "why", "until": 1795230762}), ("run.unpaused", {"step": at, "line": "free"}),
        ("run.held", {"by": by, "line": "on purpose"}), ("run.continued", {"by": by}), ("run.continues", {"by": by}),
        ("run.interrupted", {"wish": dice.choice(["ask", "roll-back"]), "by": by, "line": "SIGINT"}), ("run.paged", {"delivered": True, "line": "called"}),
        ("rollback.begun", {"automatic": dice.random() < 0.5, "by": by, "cause": "why"}), ("rollback.declined", {"by": by, "why": "why"}),
        ("rollback.overdue", named | {"line": "late"}), ("wait.breached", {"step": at, "cause": cause, "line": "gate"}),
        ("users.seen", {"routes": {"web": {"split": split(dice.choice([0, 10, 100])), "line": "read"}}, "settled": True}),
        ("write.landed", named | {"found": split(10), "line": "late"}), ("run.unconfirmed", {"why": "why"}), ("run.refused", {"why": "why"}),
        ("schema.seen", {"step": at, "forward": dice.choice(["pass", "fail"]), "back": "pass", "line": "read"}),
        ("override.used", {"guard": "schema", "by": by, "reason": "why"}), ("approval.expired", named | {"why": "late"}),
        ("step.reconciled", named | {"found": dice.choice(["in-place", "not-in-place", "other", "cannot-see"]), "line": "looked"}),
        ("step.outcome", named | {"outcome": failed}), ("traffic.read", {"route": "web", "split": split(dice.choice([0, 10, 50])), "ms": 1}),
    ])


def write(log, dice, ways, keys):
    log.statement("run.opened", **ways.get("says of itself", {}))
    log.line("plan.loaded", {"sha256": sha256(log.plan_text.encode()), "text": log.plan_text})
    log.seal()
    told = facts(log, dice, ways, keys)
    change, n = ways.get("order"), dice.randrange(len(told))
    if change == "swap":
        m = dice.randrange(len(told))
        told[n], told[m] = told[m], told[n]
    elif change == "drop":
        del told[n]
    elif change == "twice":
        told.insert(n, told[n])
    elif change == "cut":
        del told[n:]
    elif change == "other outcome":
        told[-1] = ("run.ended", {"outcome": dice.choice(["rolled-back", "stopped", "halted", "holding"]), "line": "over"})
    elif change == "strange":
        told.insert(n, strange(dice))
        if dice.random() < 0.3:
            told.insert(n, strange(dice))
    elif change == "more":
        told[n] = (told[n][0], told[n][1] | {"extra": {"a": 1}})
    elif change == "less":
        data = dict(told[n][1])
        if data:
            del data[dice.choice(sorted(data))]
        told[n] = (told[n][0], data)
    resumes = dice.randrange(len(told)) if "resumed" in ways else None
    for index, (kind, data) in enumerate(told):
        if index == resumes:
            log.seal("ended") if dice.random() < 0.5 else None
            log.passes(30)
            log.owner, log.key = ways["resumed"]
            log.session, log.mono = Key("session two"), 0
            log.statement("run.resumed", **ways.get("says of itself", {}))
            log.seal()
            log.fact("run.continues", {"by": {"name": log.owner, "via": "command"}})
        if "back" in ways and index == len(told) // 2:
            log.now -= timedelta(hours=1)
            if ways["back"]:
                log.line("clock.anomaly", {"line": "the clock was set back"})
        log.fact(kind, data, seal=not ("few seals" in ways and dice.random() < 0.5))
    log.now += timedelta(seconds=ways.get("late", 1))
    if ways.get("end", "closed") != "cut":
        log.seal(ways.get("end", "closed"))


# --- Lists. ---
def signers(dice, people, ways):
    """A list of signers: who, under which key, and how that is written down."""
    out = []
    for who, key, authority in people:
        options = ['namespaces="bgctl-*"']
        name, sep, end, line = who, " ", "", key.line()
        for way in ways.get("signers", []):
            if who not in (ways.get("whose"), None) and way not in ("crlf", "comments"):
                continue
            if way == "options":
                options = [dice.choice([
                    "namespaces=bgctl-*", "NAMESPACES=\"bgctl-*\"", 'namespaces="bgctl-open-v1,bgctl-close-v1,bgctl-approve-v1"', 'namespaces="git"',
                    'namespaces="bgctl-*,!bgctl-close-v1"', "namespaces=", "namespaces", 'namespaces="bgctl-?pen-v1,bgctl-*e-v1"',
                    "namespaces=bgctl-open-v1,bgctl-close-v1", 'namespaces="git",namespaces="bgctl-*"', 'name"spaces=bgctl-*"', "colour=blue",
                    "zulu", 'namespaces="bgctl-*",', ',namespaces="bgctl-*"', 'namespaces=" bgctl-*"', 'namespaces="bgctl-* "', 'namespaces="bgctl\\"-*"',
                ])]
            elif way == "times":
                options.append(dice.choice([
                    'valid-after="20260101Z"', 'valid-before="20270101Z"', "valid-before=20261121030245Z", "valid-after=20261121030245Z",
                    'valid-before="202611210303Z"', "valid-after=20260101", 'valid-after="20260101Z",valid-before="20260101Z"', "valid-before=20261301Z",
                    "valid-before=yesterday", "valid-after=2026010Z", 'valid-before="20261121030300z"', 'valid-after="20260101Z",VALID-AFTER="20260101Z"',
                    "valid-before=20261121030260Z", 'valid-after=" 20260101Z"', 'valid-after="20260230Z"', 'valid-before="19690101Z"', "valid-before=",
                    "valid-before=20261121030241Z", "valid-after=20261121030241Z",
                ]))
            elif way == "name":
                name = dice.choice([
                    f'"{who}"', f"a@b,{who}", f"*@example.com", f"!{who},*", f'"a@b,{who}"', f"{who},", f",{who}", who.upper(), "?" * len(who), "*",
                    who[:3] + '"' + who[3:] + '"', f'"{who}', f"{who}\\", f'"a b,{who}"', f"!other@example.com,{who}", "[e]*", f"#{who}",
                ])
            elif way == "blanks":
                sep = dice.choice(["\t", "  ", " \t ", "\f", "\r", "\v", "\u00a0"])
            elif way == "lead":
                name = dice.choice([" ", "\t", "\ufeff", "\u00a0", "\v", "\0"]) + name
            elif way == "tail":
                end = dice.choice([" a comment", " with \"a quote", " ü", "\t", " \u00a0", "\u00a0", "\v", "\0", "="])
            elif way == "key":
                kind, text = line.split()[:2]
                line = dice.choice([
                    f"{kind} {text[:-3]}", f"{kind} {text}A", f"ssh-rsa {text}", f"ssh-ed25519 {text}", kind, f'"{kind}" {text}', f'{kind} "{text}"',
                    f"{kind} {text[:40]}!{text[41:]}", f"{kind} {text.rstrip('=')}", f"ssh-rsa AAAAB3NzaC1yc2EAAAABAw==", f"ssh-ed25519 {text64(pack(ED, b'x' * 31))}",
                    f"ssh-ed25519 {text64(pack(ED, bytes([dice.randrange(256) for _ in range(32)])))}",
                    f"ssh-ed25519 {text64(pack(ED, b'x' * 32) + b'?')}", f"ssh-dss {text64(pack(b'ssh-dss', b'x'))}", f"{kind}{text}",
                    f"ecdsa-sha2-nistp256 {text64(pack(b'ecdsa-sha2-nistp256', b'nistp256', bytes([4]) + b'x' * 64))}",
                    f"ecdsa-sha2-nistp256 {text64(pack(b'ecdsa-sha2-nistp256', b'nistp256', bytes([2]) + b'x' * 32))}",
                ])
            elif way == "gone":
                line = None
            elif way == "authority":
                authority = not authority
        words = [name] + ([",".join((["cert-authority"] if authority else []) + options)] if options or authority else []) + [line or ""]
        if line is not None:
            out.append(sep.join(words) + end)
        if "also" in ways.get("signers", []) and who == ways.get("whose"):
            out.append(f'{dice.choice([who, "other@example.com"])} namespaces="{dice.choice(["git", "bgctl-*", "bgctl-approve-v1"])}" {key.line()}')
    if "comments" in ways.get("signers", []):
        out = ["# team", "", *out, "   # more ü", "\t"]
    dice.shuffle(out)
    text = ("\r\n" if "crlf" in ways.get("signers", []) else "\n").join(out)
    data = (text + dice.choice(["\n", ""])).encode()
    return data + (b"\xff\n" if "no text" in ways.get("signers", []) else b"")


def given_up(dice, folder, keys):
    """A list of keys that were given up."""
    key = keys[dice.choice(["owner", "rm", "rm", "stranger", "ca", "ca"])]
    form = dice.choice(["key", "key", "print", "print", "comment", "crlf", "bad", "empty", "krl", "print=", "blank", "short", "krl cut", "certificate", "ü"])
    plain = f"{text64(key.plain)}"
    line = {
        "key": f"ssh-ed25519 {plain} old laptop", "print": key.fingerprint(), "comment": f"# {key.fingerprint()}", "crlf": f"{key.fingerprint()}\r",
        "bad": "alice@example.com", "empty": "", "print=": key.fingerprint() + "=", "blank": f"   {key.fingerprint()} lost", "short": key.fingerprint()[:-1],
        "certificate": key.line(), "ü": f"ü {plain}",
    }.get(form)
    path = os.path.join(folder, "gone")
    if line is None:
        open(path + ".pub", "w").write(f"{key.line()}\n")
        subprocess.run(["ssh-keygen", "-q", "-k", "-f", path, path + ".pub"], check=True)
        data = open(path, "rb").read()
        os.remove(path), os.remove(path + ".pub")
        return form, data[: -5 if form == "krl cut" else None]
    return form, (line + "\n").encode()


def kind_of_key(dice, name, who, ca, shared, ways):
    """Another kind of key for somebody: a security key, one with a certificate, or one of the other curve."""
    kind = dice.choice(["sk", "sk", "certificate", "certificate", "certificate", "nist"])
    ways.setdefault("kinds", []).append(f"{name} {kind}")
    if kind == "nist":
        return Nist(shared, name)
    flags = dice.choice([0, 1, 1, 4, 5, 5, 0x81])
    if kind == "sk":
        return Key(name, flags)
    key = Key(name, dice.choice([None, None, flags]))
    second = int(START.timestamp())
    return certified(
        key, ca, dice.choice([[who], [who], [who], [who, "x"], ["x"], [], ["*"], [who.upper()]]), dice.choice([1, 1, 1, 1, 1, 2]),
        dice.choice([(), (), (), (), ("verify-required",), ("force-command",), ("unheard-of",), ("verify-required", "force-command")]),
        dice.choice([0, 0, 0, second - 60, second + 4]), dice.choice([2**64 - 1, 2**64 - 1, second + 3600, second + 10, second]),
        dice.random() < 0.1,
    )


# What a case may vary; a case takes one to three of them.
def vary(dice, ways, keys, people, shared):
    pick = dice.choice([
        "signers", "signers", "signers", "owner key", "rm key", "rm key", "spoil", "spoil", "answers", "answers", "order", "order", "order", "end",
        "resumed", "statement", "grant", "request", "seals", "form", "plan", "revoked", "revoked", "time", "giver", "session",
    ])
    if pick == "signers":
        ways["signers"] = ways.get("signers", []) + [dice.choice([
            "options", "options", "options", "times", "times", "times", "name", "name", "blanks", "lead", "tail", "key", "key", "gone", "authority", "also",
            "comments", "crlf", "no text",
        ])]
        ways["whose"] = dice.choice([OWNER, RM, RM, "*"])
    elif pick in ("owner key", "rm key"):
        name, who = ("owner", OWNER) if pick == "owner key" else ("rm", RM)
        keys[name] = kind_of_key(dice, name, who, keys["ca"], shared, ways)
        if keys[name].blob == keys[name].plain:
            people[:] = [(other, keys[name] if other == who else key, ca) for other, key, ca in people]
        elif dice.random() < 0.8:
            people[:] = [p for p in people if p[0] != who or dice.random() < 0.2] + [(dice.choice(["*", who, who, "x"]), keys["ca"], True)]
    elif pick == "spoil":
        ways["spoil " + dice.choice(["opening", "seal", "closing", "grant", "grant", "grant"])] = dice.choice(SPOILS)
    elif pick == "answers":
        ways[dice.choice(["quorum", "own", "evidence", "two", "denied", "withdrawn", "expired", "trigger", "uses none"])] = True
        if dice.random() < 0.2:
            ways["prompt"] = dice.choice([OWNER, RM, "x"])
    elif pick == "order":
        ways["order"] = dice.choice(["swap", "drop", "twice", "cut", "other outcome", "strange", "more", "less"])
    elif pick == "end":
        ways["end"] = dice.choice(["closed", "ended", "open", "handover", "cut", "aborted"])
    elif pick == "resumed":
        ways["resumed"] = dice.choice([(OWNER, keys["owner"]), (RM, keys["rm"]), (RM2, keys["rm2"]), ("x", keys["stranger"])])
    elif pick == "statement":
        key = keys["owner"].line()
        ways["says of itself"] = dice.choice([
            {"owner_key": key + " a comment"}, {"owner_key": key.replace(" ", "  ")}, {"owner_key": keys["stranger"].line()}, {"extra": 1},
            {"owner_key": key.split()[0]}, {"session_key": "ssh-ed25519 AAAA"}, {"session_key": keys["stranger"].line()}, {"owner": RM}, {"owner": ""},
            {"owner": "ä"}, {"owner": "a\nb"}, {"assurance": 7}, {"policy_sha256": "ab" * 32}, {"service": "other"}, {"owner_key": key.rstrip("=")},
            {"not_after": "2026-11-21T03:02:50.000000Z"}, {"session_key": Key("session").line() + " x"}, {"owner_key": "hmac-sha256 x"}, {"mode": None},
        ])
    elif pick == "grant":
        more = {"key": None}, {"evidence": "signed-hw"}, {"evidence": "slack"}, {"evidence": "?"}, {"extra": 1}, {"principal": OWNER}, {"sig": None}, {"prompt": "x"}
        ways["in grant"] = dice.choice(more)
        if dice.random() < 0.3:
            ways["names key"] = dice.random() < 0.5
    elif pick == "request":
        ways["in request"] = dice.choice([
            {"nonce": "5E" * 32}, {"extra": 1}, {"quorum": 7}, {"measured": ["99 %"]}, {"measured": []}, {"requested_by": RM}, {"summary": "nothing"},
            {"expires": 1}, {"step_sha256": "0" * 64}, {"use_by": 1},
        ])
    elif pick == "seals":
        ways.update(dice.choice([{"few seals": True}, {"seal by owner": True}, {"in seals": {"extra": "1"}}, {"in seals": {"ns": "bgctl-open-v1"}}]))
    elif pick == "form":
        more = {"hash_name": "sha256"}, {"reserved": b"x"}, {"more": b"x"}, {"columns": 76}
        ways[dice.choice(["form", "form of grant", "form of grant"])] = dice.choice(more)
    elif pick == "plan":
        ways["resources"] = True
    elif pick == "revoked":
        ways["revoked"] = dice.choice(["beside", "beside", "named"])
    elif pick == "time":
        ways.update(dice.choice([{"back": True}, {"back": False}, {"late": 13 * 3600}, {"late": 0.25}]))
    elif pick == "giver":
        ways["giver"] = dice.choice([(RM, keys["stranger"]), (OWNER, keys["owner"]), ("x", keys["stranger"]), (RM2, keys["rm"]), (RM, keys["owner"])])
        if dice.random() < 0.2:
            ways["grant for"] = dice.choice(["bgctl-deny-v1", "bgctl-open-v1"])
    elif pick == "session":
        keys["session"] = dice.choice([Key("session", 1), Key("session", 0), certified(Key("session"), keys["ca"], ["x"]), Key("owner")])


def case(folder, seed, shared):
    dice = random.Random(seed)
    os.makedirs(folder, exist_ok=True)
    keys = {name: Key(name) for name in ("owner", "rm", "rm2", "stranger", "ca", "session")}
    people = [(OWNER, keys["owner"], False), (RM, keys["rm"], False), (RM2, keys["rm2"], False)]
    ways = {}
    for _ in range(dice.choice([0, 1, 1, 1, 2, 2, 3])):
        vary(dice, ways, keys, people, shared)
    run = f"20261121-0302-{'abcdefghjk'[seed % 10]}{'abcdefghjk'[seed // 10 % 10]}{'abcdefghjk'[seed // 100 % 10]}"
    log = Log(run, plan_of(dice, ways), OWNER, keys["owner"], keys["session"], ways)
    write(log, dice, ways, keys)
    options = ["--all-seals"] if dice.random() < 0.5 else []
    put = lambda name, data: open(os.path.join(folder, name), "wb").write(data)
    put("log.jsonl", log.data)
    put("allowed_signers", signers(dice, people, ways))
    if "revoked" in ways:
        form, data = given_up(dice, folder, keys)
        ways["revoked"] += " " + form
        named = ways["revoked"].startswith("named")
        put("given_up" if named else "revoked_keys", data)
        options += ["--revoked", os.path.join(folder, "given_up")] if named else []
    told = {way: said for way, said in ways.items() if way not in ("giver", "resumed")}
    put("case", (json.dumps({"seed": seed, "ways": told | {w: ways[w][0] for w in ("giver", "resumed") if w in ways}}, default=str) + "\n").encode())
    put("options", "\n".join(options).encode())


def main(folder, first, count):
    shared = os.path.join(folder, "keys")
    os.makedirs(shared, exist_ok=True)
    for seed in range(first, first + count):
        case(os.path.join(folder, str(seed)), seed, shared)


main(os.path.abspath(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
