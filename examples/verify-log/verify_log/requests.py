"""Requests for an approval: what a person is asked to sign."""
from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Dict, List, Optional

from .plan import FORWARD, ROLLBACK, Plan, Step
from .shapes import DIGEST, in_order
from .spelling import Misspelled, read_plan, write_plan
from .verdict import Broken

TYPE = "bgctl.dev/approval-request/v1"
LENIENCE_S = 5
LONGER_BACK_S = 43_200


@dataclass(frozen=True)
class Asker:
    """Who asks, in which run: the newest owner and starter."""

    run: str
    owner: str
    trigger: Optional[str]


@dataclass(frozen=True)
class Request:
    """A request that was made."""

    step: Step
    text: str
    digest: str
    expires: int
    use_by: Optional[int]


def hold(holds: bool, rule: str) -> None:
    if not holds:
        raise Broken(rule)


def rows(value: Any, prefix: str = "") -> List[str]:
    """The rows of an object, as a person reads them. What is no object has none."""
    found: List[str] = []
    for name, each in value.items() if isinstance(value, dict) else ():
        if isinstance(each, dict):
            found += rows(each, prefix + name + ".")
        elif each is not None:
            text = each if isinstance(each, str) else write_plan(each)
            found.append(prefix + name + ": " + text)
    return found


def details(plan: Plan, step: Step) -> List[str]:
    found = rows(step.said["config"])
    if step.place[0] == FORWARD:
        for name, gate in plan.gates.items():
            found += rows(gate, "gate " + name + ".")
    return found


def covered(plan: Plan) -> Dict[str, Any]:
    """What an approval covers that counts for going back too."""
    return {"rollback": [{"details": rows(step.said["config"]), "step": step.id,
                          "step_sha256": step.sha256, "summary": step.said["line"]}
                         for step in plan.lanes[ROLLBACK]]}


def wanted(plan: Plan, step: Step, fact: Dict[str, Any], asker: Asker) -> Dict[str, Any]:
    """The members that the request has to have, but for those that are judged apart."""
    said, rule, moves = plan.said, step.rule, step.said["moves"]
    members = {
        "_type": TYPE, "details": details(plan, step), "environment": said["environment"],
        "service": said["service"], "expires": fact["expires"], "lane": step.place[0],
        "plan_sha256": plan.sha256, "run": asker.run, "step": step.id, "step_sha256": step.sha256,
        "summary": step.said["line"]}
    if rule:
        members.update(at_expiry=rule["at_expiry"], evidence=rule.get("evidence", "prompt"),
                       quorum=rule["quorum"], role=rule["role"])
    if step.covers_rollback:
        members["covers"] = covered(plan)
    if moves:
        members["params"] = {"after": moves["after"], "before": moves["before"],
                             "route": moves["route"]}
    if fact.get("use_by") is not None:
        members["use_by"] = fact["use_by"]
    return members


def names_ordered(value: Any) -> bool:
    """Whether the members of each object stand in the order of the bytes of their names."""
    if isinstance(value, dict):
        return in_order(value) and all(map(names_ordered, value.values()))
    return not isinstance(value, list) or all(map(names_ordered, value))


def equal(one: Any, other: Any) -> bool:
    """Equal as JSON; in Python 1 and true and 1.0 are equal."""
    return type(one) is type(other) and write_plan(one) == write_plan(other)


def read_form(text: str) -> Dict[str, Any]:
    try:
        said = read_plan(text)
        hold(isinstance(said, dict) and names_ordered(said), "request-form")
    except (Misspelled, RecursionError):
        raise Broken("request-form") from None
    return said


def read_request(plan: Plan, step: Optional[Step], fact: Dict[str, Any], asker: Asker,
                 now: int) -> Request:
    """The request in an `approval.requested`. Raises Broken where a rule is not kept."""
    text, digest = fact["request"], fact["request_sha256"]
    hold(hashlib.sha256(text.encode()).hexdigest() == digest, "request-digest")
    hold(step is not None, "request-step")
    said = read_form(text)
    check_members(said, wanted(plan, step, fact, asker))
    hold(DIGEST(said["nonce"]), "request-nonce")
    hold(said["requested_by"] == asker.owner and said.get("trigger") == asker.trigger,
         "request-by")
    hold("measured" not in said or is_measured(said["measured"]), "request-measured")
    hold(not step.rule or short_enough(plan, step, fact, now), "request-long")
    return Request(step, text, digest, fact["expires"], fact.get("use_by"))


def check_members(said: Dict[str, Any], members: Dict[str, Any]) -> None:
    """`request-bound`: exactly these members, and each holds what the table says."""
    apart = {"nonce", "requested_by"}
    hold(set(members) | apart <= set(said) <= set(members) | apart | {"trigger", "measured"},
         "request-bound")
    hold(all(equal(said[name], value)
             for name, value in members.items()), "request-bound")


def is_measured(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)


def short_enough(plan: Plan, step: Step, fact: Dict[str, Any], now: int) -> bool:
    lane, index = step.place
    longer = LONGER_BACK_S if lane == ROLLBACK else 0
    if fact["expires"] > now + step.rule["within_s"] + LENIENCE_S + longer:
        return False
    use_by = fact.get("use_by")
    waiting = sum(each.said["timeout_s"] for each in plan.lanes[lane][:index])
    return use_by is None or lane == FORWARD and use_by <= fact["expires"] + waiting
