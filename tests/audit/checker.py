"""A small third opinion on a log, for the differential test: Python's own library, and Ed25519 from its definition.

Reads `log allowed_signers` pairs, one a line, and prints one verdict for each: COMPLETE, INTERRUPTED, BROKEN or POLICY.
"""

import base64
import hashlib
import json
import re
import sys
from datetime import datetime, timedelta, timezone

# --- Ed25519 (RFC 8032), to check only. ---
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
I = pow(2, (P - 1) // 4, P)


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(n, p):
    out = (0, 1, 1, 0)
    while n:
        if n & 1:
            out = add(out, p)
        p, n = add(p, p), n >> 1
    return out


def point(raw):
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    assert y < P
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    x = x if x * x % P == x2 else x * I % P
    assert x * x % P == x2 and not (x == 0 and sign)
    x = x if x & 1 == sign else P - x
    return (x, y, 1, x * y % P)


BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def ed25519(key, message, signature):
    r, s = point(signature[:32]), int.from_bytes(signature[32:], "little")
    assert s < L and len(signature) == 64
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    one, two = times(s, BASE), add(r, times(h, point(key)))
    assert (one[0] * two[2] - two[0] * one[2]) % P == 0 and (one[1] * two[2] - two[1] * one[2]) % P == 0


# --- SSHSIG. ---
def strings(blob):
    while blob:
        n = int.from_bytes(blob[:4], "big")
        assert len(blob) >= 4 + n
        yield blob[4 : 4 + n]
        blob = blob[4 + n :]


def pack(*parts):
    return b"".join(len(p).to_bytes(4, "big") + p for p in parts)


def signed(namespace, message, text, canonical=True):
    """The key that signed, as the text of a public key line."""
    lines = text.strip().split("\n")
    assert lines[0] == "-----BEGIN SSH SIGNATURE-----" and lines[-1] == "-----END SSH SIGNATURE-----"
    blob = base64.b64decode("".join(lines[1:-1]), validate=True)
    body = base64.b64encode(blob).decode()
    usual = [lines[0]] + [body[n : n + 70] for n in range(0, len(body), 70)] + [lines[-1], ""]
    assert not canonical or "\n".join(usual) == text
    assert blob[:10] == b"SSHSIG\0\0\0\1"
    key, space, reserved, name, signature = strings(blob[10:])
    assert space == namespace.encode() and reserved == b"" and name in (b"sha512", b"sha256")
    digest = hashlib.new(name.decode(), message).digest()
    (kind, raw), (signed_kind, sig) = strings(key), strings(signature)
    assert kind == signed_kind == b"ssh-ed25519" and len(raw) == 32
    ed25519(raw, b"SSHSIG" + pack(space, b"", name, digest), sig)
    return "ssh-ed25519 " + base64.b64encode(key).decode()


# --- The one spelling. ---
HIDDEN = re.compile("[\x7f-\x9f\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")


def pairs(items):
    names = [name for name, _ in items]
    assert len(names) == len(set(names))
    return dict(items)


def whole(text):
    n = int(text)
    assert abs(n) < 2**53 and str(n) == text
    return n


def refuse(_):
    raise AssertionError


def depth(value):
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max((depth(v) for v in inside), default=0) if isinstance(value, (dict, list)) else 0


def strict(text):
    value = json.loads(text, object_pairs_hook=pairs, parse_int=whole, parse_float=refuse, parse_constant=refuse)
    again = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    assert HIDDEN.sub(lambda m: "\\u%04x" % ord(m[0]), again) == text and depth(value) <= 65
    return value


def moment(text):
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text)
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Log:
    def __init__(self, data, allowed):
        self.data, self.allowed = data, allowed
        self.breaches, self.owners, self.state = [], [], None

    def trusts(self, who, key):
        return any(line.split()[0] == who and key in line for line in self.allowed if line.strip())

    def bytes(self):
        """Grammar, chain, statements, notes, every signature."""
        assert self.data.endswith(b"\n")
        at, prev, mono, last, group, noted, back, jumped = 0, "0" * 64, 0, None, 0, False, False, False
        head = session = None
        self.records = []
        for n, raw in enumerate(self.data[:-1].split(b"\n")):
            assert len(raw) < (8 << 20) and (b"plan.loaded" in raw or len(raw) < (64 << 10))
            line = strict(raw.decode())
            assert list(line) == ["v", "seq", "run", "ts", "mono", "type", "prev", "data"] and line["v"] == 1
            kind, data, ts = line["type"], line["data"], moment(line["ts"])
            assert kind in KINDS and isinstance(data, dict) and line["seq"] == n and line["prev"] == prev
            assert head is None or line["run"] == head["run"]
            assert (kind == "run.opened") == (n == 0) and (kind == "plan.loaded") == (n == 1)
            if n > 1 and group:
                assert kind != "run.resumed"
            elif n > 1:
                assert self.state != "closed"
                assert self.state != "handover" or kind == "run.resumed"
                assert self.state != "ended" or kind in ("run.resumed", "seal")
            if kind not in ("run.opened", "run.resumed"):
                assert line["mono"] >= mono
                back = back or ts < last
            if kind in ("run.opened", "run.resumed"):
                assert list(data) == ["statement", "ns", "sig", "claims"] and data["ns"] == "bgctl-open-v1"
                assert isinstance(data["claims"], dict)
                said = strict(data["statement"])
                assert said["_type"] == ("bgctl/opening/v1" if n == 0 else "bgctl/resuming/v1") and said["run"] == line["run"]
                assert head is None or all(head[m] == said[m] for m in ("service", "environment", "plan_sha256"))
                if n:
                    assert said["log_lines"] == n and said["log_sha256"] == sha256(self.data[:at])
                head, session, jumped = head or said, said, False
                opened, until = ts, moment(said["not_after"])
                assert timedelta(0) <= until - moment(said["not_before"]) <= timedelta(hours=12)
                assert signed("bgctl-open-v1", data["statement"].encode(), data["sig"]) == said["owner_key"]
                self.owners.append((said["owner"], said["owner_key"]))
            elif kind == "seal":
                assert not back or noted
                assert list(data) == ["note", "ns", "sig"] and line["mono"] == mono
                self.state = data["note"].split("\n")[5].removeprefix("state ")
                note = f"bgctl/log/{head['service']}/{head['run']}\nlines {n}\nbytes {at}\nsha256 {sha256(self.data[:at])}\n"
                assert data["note"] == note + f"time {line['ts']}\nstate {self.state}\n"
                if self.state in ("open", "ended"):
                    assert group or self.state == "ended" and before != "ended"
                    key, space = session["session_key"], "bgctl-seal-v1"
                    spent = opened + timedelta(microseconds=line["mono"])
                    assert moment(session["not_before"]) <= spent <= until
                    assert jumped or moment(session["not_before"]) <= ts <= until
                else:
                    assert self.state in ("closed", "handover")
                    key, space = session["owner_key"], "bgctl-close-v1"
                assert data["ns"] == space and signed(space, data["note"].encode(), data["sig"]) == key
                before = self.state
            if kind == "clock.anomaly":
                noted = jumped = True
            group, noted, back = (0, False, False) if kind == "seal" else (group + 1, noted, back)
            at, prev, mono, last = at + len(raw) + 1, sha256(raw + b"\n"), line["mono"], ts
            self.records.append(line)
        assert group == 0
        assert all(self.trusts(*owner) for owner in self.owners)
        self.head = head

    def rules(self):
        """Approvals, and that every effect is the one that was planned, once and in order."""
        plan, requests, asked, upto, open_, over, failed, moved = None, {}, {}, 0, None, False, False, False
        seen, read = {}, None
        wrong = self.breaches.append
        runners = {owner for owner, _ in self.owners}
        for line in self.records:
            kind, d, second = line["type"], line["data"], int(moment(line["ts"]).timestamp())
            if kind == "plan.loaded":
                if not sha256(d["text"].encode()) == d["sha256"] == self.head["plan_sha256"]:
                    return wrong("plan")
                plan = json.loads(d["text"])
                if not runners <= set(plan["owners"] + [plan["rollback_owner"]]):
                    wrong("owner")
                continue
            if re.match(r"provider\.|traffic\.", kind):
                if d["route"] not in plan["routes"]:
                    wrong("route")
                else:
                    seen[kind, d.get("stack")] = d
                    read = d["split"] if kind == "traffic.read" else read
                continue
            if not re.match(r"step\.|approval\.|rollback\.|run\.ended", kind):
                continue
            at = (d["step"]["lane"], d["step"]["index"]) if "step" in d else None
            step = plan[at[0]][at[1]] if at and at[1] < len(plan[at[0]]) else None
            digest = step and sha256(json.dumps(step, ensure_ascii=False, separators=(",", ":")).encode())
            if kind == "approval.requested":
                said = json.loads(d["request"])
                bound = {"run": line["run"], "plan_sha256": self.head["plan_sha256"], "step_sha256": digest, "expires": d["expires"]}
                if sha256(d["request"].encode()) != d["request_sha256"] or any(said.get(m) != v for m, v in bound.items()):
                    wrong("request")
                requests[d["request_sha256"]] = {"at": at, "text": d["request"], "expires": d["expires"], "by": [], "void": []}
                asked[at] = d["request_sha256"]
            elif kind in ("approval.granted", "approval.denied", "approval.withdrawn"):
                grant, request = d.get("grant"), requests.get(d["request_sha256"])
                space = "bgctl-approve-v1" if kind == "approval.granted" else "bgctl-deny-v1"
                if not request or request["at"] != at:
                    wrong("answer")
                    continue
                if kind == "approval.granted":
                    who, rule = grant["principal"], step["approval"]
                    if second > request["expires"] + 5 or who not in rule["members"] or who in request["by"] + request["void"]:
                        wrong("grant")
                    if who in runners and not rule["own_run"]:
                        wrong("own run")
                    request["by"].append(who)
                elif kind == "approval.denied":
                    asked[at], failed = None, True
                else:
                    if d["principal"] not in request["by"] or grant and grant["principal"] != d["principal"]:
                        wrong("withdrawn")
                    request["by"] = [who for who in request["by"] if who != d["principal"]]
                    request["void"].append(d["principal"])
                if not grant:
                    continue
                if "sig" in grant:
                    try:
                        if not self.trusts(grant["principal"], signed(space, request["text"].encode(), grant["sig"], False)):
                            wrong("unknown key")
                    except (AssertionError, ValueError):
                        wrong("signature")
                elif grant["evidence"] != "prompt" or kind == "approval.granted" and grant["principal"] not in runners:
                    wrong("no signature")
                if kind == "approval.denied" and grant["principal"] not in step["approval"]["members"]:
                    wrong("no member")
            elif kind == "step.intent":
                if not step or digest != d["step_sha256"] or open_ or over or at != ("forward", upto):
                    wrong("intent")
                if step and step["approval"] and len(requests.get(asked.get(at), {"by": []})["by"]) < step["approval"]["quorum"]:
                    wrong("not approved")
                if step and step["approval"] and not d["approvals"]:
                    wrong("no approval named")
                for used in d["approvals"]:
                    if used not in requests or requests[used]["at"] != at or second > requests[used]["expires"] + 5:
                        wrong("approval of something else")
                open_, seen = at, {}
                if d["attempt"] != 1 or step and d["line"] != step["line"]:
                    wrong("unlike the plan")
            elif kind == "step.outcome":
                if open_ != at or not at:
                    wrong("outcome")
                open_ = None
                if step and step["moves"] and d["outcome"]["is"] == "done":
                    after, least = step["moves"]["after"], plan["routes"][step["moves"]["route"]]["min_healthy"]
                    well = lambda c: not after[c] or seen.get(("traffic.health", c), {}).get("healthy", -1) >= least
                    there = seen.get(("traffic.read", None), {}).get("split") == after
                    if not (("provider.called", None) in seen and there and well("blue") and well("green")):
                        wrong("witnesses")
                moved = moved or d["outcome"]["is"] == "done" and bool(step and step["moves"])
                upto, failed = (upto + 1, failed) if d["outcome"]["is"] == "done" else (upto, True)
            elif kind == "run.ended":
                done = upto == len(plan["forward"])
                if over or open_ or (d["outcome"] == "completed") != done and (d["outcome"] == "completed" or not failed):
                    wrong("end")
                if moved and d["outcome"] == "stopped":
                    wrong("stopped")
                left = plan["forward"][-1]["moves"]["after"] if d["outcome"] == "completed" else plan["routes"]["web"]["before"]
                if read and d["outcome"] in ("completed", "stopped") and read != left:
                    wrong("read elsewhere")
                over = True
        if self.state == "closed" and not over:
            wrong("closed early")


def judge(log, allowed):
    log = Log(open(log, "rb").read(), open(allowed).read().split("\n"))
    try:
        log.bytes()
    except (AssertionError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return "BROKEN"
    log.rules()
    if log.breaches:
        return "POLICY"
    return "COMPLETE" if log.state == "closed" else "INTERRUPTED"


KINDS = set(sys.argv[1].split())
for pair in sys.stdin:
    print(judge(*pair.split()), flush=True)
