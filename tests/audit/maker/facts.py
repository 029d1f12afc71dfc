"""What happens in a run: its facts in order, and what else may stand among them."""

from datetime import timedelta

from keys import Key, armor
from log import OWNER, RM, RM2, START, dump, sha256, spoiled, split


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
