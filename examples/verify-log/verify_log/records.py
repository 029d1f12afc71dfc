"""The types of records, and the shape of the data of facts and of evidence."""
from __future__ import annotations

from typing import Any, Dict

from .shapes import (ANYTHING, BOOLEAN, COUNT, COUNT_64, LIST, NUMBER, SPLIT, TEXT, Shape, list_of,
                     map_of, open_object, optional, word)

STEP = open_object(lane=word("forward", "rollback"), index=COUNT_64)
STACK = word("blue", "green")
VERDICT = word("pass", "fail", "unknown")
ACTOR = open_object(name=TEXT, via=TEXT)
SIGHTING = open_object(split=optional(SPLIT), line=TEXT)
CAUSE = word("gate", "no-verdict", "destination", "drift", "provider", "timeout", "action", "rules",
             "schema", "frozen", "guard", "away")
REACTION = word("roll-back", "hold", "halt")
FOUND = word("in-place", "not-in-place", "other", "cannot-see")
WISH = word("ask", "roll-back")
END = word("completed", "no-changes", "rolled-back", "stopped", "holding", "halted", "refused",
           "waiting")
GRANT = open_object(principal=TEXT, evidence=TEXT, key=optional(TEXT), sig=optional(TEXT),
                    prompt=optional(ANYTHING))
OUTCOME_ANY = open_object(line=TEXT, facts=optional(ANYTHING), **{"is": word("done", "failed",
                                                                            "unknown")})
OUTCOME_FAILED = open_object(cause=CAUSE, moved=BOOLEAN, retry=BOOLEAN, then=optional(REACTION))


def OUTCOME(value: Any) -> bool:
    return OUTCOME_ANY(value) and (value["is"] != "failed" or OUTCOME_FAILED(value))


FACTS: Dict[str, Shape] = {
    "rollback.armed": open_object(approvals_ahead=BOOLEAN, automatic_used=COUNT, checks=LIST),
    "run.refused": open_object(why=TEXT),
    "approval.requested": open_object(step=STEP, id=TEXT, request=TEXT, request_sha256=TEXT,
                                      expires=NUMBER, use_by=optional(NUMBER)),
    "approval.granted": open_object(step=STEP, id=TEXT, request_sha256=TEXT, grant=GRANT),
    "approval.denied": open_object(step=STEP, id=TEXT, request_sha256=TEXT, grant=GRANT),
    "approval.withdrawn": open_object(step=STEP, id=TEXT, request_sha256=TEXT, principal=TEXT,
                                      why=TEXT, grant=optional(GRANT)),
    "approval.expired": open_object(step=STEP, id=TEXT, why=TEXT),
    "step.intent": open_object(step=STEP, id=TEXT, attempt=COUNT, line=TEXT, step_sha256=TEXT,
                               approvals=list_of(TEXT)),
    "step.outcome": open_object(step=STEP, id=TEXT, outcome=OUTCOME),
    "step.reconciled": open_object(step=STEP, id=TEXT, found=FOUND, line=TEXT),
    "wait.breached": open_object(step=STEP, cause=CAUSE, line=TEXT, then=optional(REACTION)),
    "users.seen": open_object(routes=map_of(SIGHTING), settled=BOOLEAN),
    "write.landed": open_object(step=STEP, id=TEXT, found=SPLIT, line=TEXT),
    "run.unconfirmed": open_object(why=TEXT),
    "run.interrupted": open_object(wish=WISH, by=ACTOR, line=TEXT),
    "run.continued": open_object(by=ACTOR),
    "run.paused": open_object(step=STEP, cause=CAUSE, line=TEXT, until=NUMBER),
    "run.unpaused": open_object(step=STEP, line=TEXT),
    "run.held": open_object(by=ACTOR, line=TEXT),
    "rollback.begun": open_object(automatic=BOOLEAN, by=ACTOR, cause=TEXT),
    "rollback.declined": open_object(by=ACTOR, why=TEXT),
    "rollback.overdue": open_object(step=STEP, id=TEXT, line=TEXT),
    "schema.seen": open_object(step=STEP, forward=VERDICT, back=VERDICT, line=TEXT),
    "override.used": open_object(guard=TEXT, by=ACTOR, reason=TEXT),
    "run.paged": open_object(delivered=BOOLEAN, line=TEXT),
    "run.continues": open_object(by=ACTOR),
    "run.ended": open_object(outcome=END, line=TEXT),
}

EVIDENCE: Dict[str, Shape] = {
    "gate.evaluated": open_object(step=TEXT, gate=TEXT, verdict=VERDICT),
    "check.done": open_object(step=TEXT, check=TEXT, verdict=VERDICT),
    "drain.measured": open_object(step=TEXT, stack=STACK, in_flight=optional(TEXT)),
    "command.output": open_object(step=TEXT),
    "provider.called": open_object(route=TEXT),
    "traffic.read": open_object(route=TEXT, split=SPLIT),
    "traffic.health": open_object(route=TEXT, stack=STACK, healthy=COUNT),
    "traffic.seen": open_object(route=TEXT, agrees=BOOLEAN),
}

OTHERS = ("clock.anomaly", "note", "prompt.answered", "recovered", "anchor.receipt",
          "sink.degraded", "page.acknowledged", "page.escalated", "freeze.changed")

TYPES = {"run.opened", "run.resumed", "plan.loaded", "seal", *FACTS, *EVIDENCE, *OTHERS}

PLAN_LOADED = open_object(sha256=TEXT, text=TEXT)
