"""Evidence: what was measured, and whether a step may say that it is done."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

from .plan import (FORWARD, ROLLBACK, Plan, Step, all_on_blue, more_blue, same_split, split_of)
from .records import EVIDENCE
from .shapes import SPLIT, COUNT_64
from .state import SplitT
from .verdict import Broken

OF_A_STEP = ("gate.evaluated", "check.done", "drain.measured", "command.output")
CHECKING = ("smoke", "warm")
ALL_WEIGHT = 100
NOT_MEASURED = object()

Fact = Dict[str, Any]


def hold(holds: bool, rule: str) -> None:
    if not holds:
        raise Broken(rule)


@dataclass
class OfStep:
    """What is known of a step since it was begun."""

    verdicts: Dict[str, str] = field(default_factory=dict)
    checks: int = 0
    all_passed: bool = True
    in_flight: Any = NOT_MEASURED


@dataclass
class OfRoute:
    """What is known of a route since a step that moves it was begun."""

    called: bool = False
    split: Optional[SplitT] = None
    healthy: Dict[str, int] = field(default_factory=dict)
    agrees: Optional[bool] = None


class Evidence:
    """Keeps the newest evidence, and judges facts by it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.steps: Dict[str, OfStep] = {}
        self.routes: Dict[str, OfRoute] = {}
        self.last_read: Dict[str, SplitT] = {}
        self.users_seen = False
        self.blue_health_overridden = False
        self.withheld = False

    def take(self, kind: str, data: Fact, withheld: bool) -> None:
        """Takes evidence in."""
        self.withheld = self.withheld or withheld
        hold(EVIDENCE[kind](data), "evidence-form")
        if kind in OF_A_STEP:
            hold(data["step"] in self.plan.by_id, "evidence-step")
            self.take_of_step(kind, data, self.steps.setdefault(data["step"], OfStep()))
        else:
            hold(data["route"] in self.plan.routes, "evidence-route")
            self.take_of_route(kind, data, self.routes.setdefault(data["route"], OfRoute()))

    def take_of_step(self, kind: str, data: Fact, known: OfStep) -> None:
        if kind == "gate.evaluated":
            hold(data["gate"] in self.plan.gates, "evidence-gate")
            known.verdicts[data["gate"]] = data["verdict"]
        elif kind == "check.done":
            known.checks += 1
            known.all_passed = known.all_passed and data["verdict"] == "pass"
        elif kind == "drain.measured":
            known.in_flight = data.get("in_flight")
            stack = self.plan.by_id[data["step"]].config.get("stack")
            hold(data["stack"] == stack, "evidence-stack")

    def take_of_route(self, kind: str, data: Fact, known: OfRoute) -> None:
        if kind == "provider.called":
            known.called = True
        elif kind == "traffic.read":
            known.split = self.last_read[data["route"]] = split_of(data["split"])
        elif kind == "traffic.health":
            known.healthy[data["stack"]] = data["healthy"]
        else:
            known.agrees = data["agrees"]

    def judge(self, kind: str, data: Fact, step: Optional[Step]) -> None:
        """Judges a fact; `step` is the one that it names."""
        if kind == "users.seen":
            self.users_seen = True
            hold(all(route in self.plan.routes for route in data["routes"]), "users-route")
        elif kind == "override.used":
            self.blue_health_overridden |= data["guard"] == "blue-health"
        elif kind == "step.intent":
            self.steps.pop(step.id, None)
            if step.moves:
                self.routes.pop(step.moves.route, None)
        elif not self.withheld:
            self.judge_claim(kind, data, step)

    def judge_claim(self, kind: str, data: Fact, step: Optional[Step]) -> None:
        """Judges what a fact claims to have been done, found or left behind."""
        if kind == "run.ended":
            self.judge_end(data["outcome"])
        elif kind == "step.outcome" and data["outcome"]["is"] == "done":
            if step.moves is None:
                self.judge_done(step)
            elif step.moves.route in self.plan.routes:
                self.judge_moved(step, data["outcome"].get("facts"))
        elif kind == "step.reconciled" and step.moves and step.moves.route in self.plan.routes:
            self.judge_found(step, data["found"])

    def judge_done(self, step: Step) -> None:
        known = self.steps.get(step.id, OfStep())
        kind = step.said["kind"]
        hold(known.all_passed, "done-check")
        hold(kind not in CHECKING or known.checks > 0, "done-checks")
        hold(kind != "bake" or self.weight_missing(step, known) < ALL_WEIGHT, "done-gates")
        if kind == "drain" and step.config.get("at_timeout") != "continue":
            unmeasurable = known.in_flight is None and step.config.get("longest_job") is not None
            hold(known.in_flight == "0" or unmeasurable, "done-drained")

    def weight_missing(self, step: Step, known: OfStep) -> int:
        """The weight of the gates of a bake that did not pass."""
        gates = step.config.get("gates")
        names = [gate for gate in gates if isinstance(gate, str)] if isinstance(gates, list) else []
        return sum(self.weight(name) for name in names if known.verdicts.get(name) != "pass")

    def weight(self, gate: str) -> int:
        said = self.plan.gates.get(gate)
        weight = said.get("weight") if isinstance(said, dict) else None
        return weight if COUNT_64(weight) else ALL_WEIGHT

    def judge_moved(self, step: Step, facts: Any) -> None:
        known = self.routes.get(step.moves.route, OfRoute())
        before, after = said_split(facts, "before"), said_split(facts, "after")
        planned = step.moves.after
        if step.place[0] == ROLLBACK and after is not None and more_blue(after, planned):
            hold(before is not None and same_split(before, after)
                 and (known.split is None or same_split(known.split, after)), "done-stays")
            return
        hold(after is None or same_split(after, planned), "done-split")
        hold(known.split is not None and same_split(known.split, planned), "done-read")
        hold(known.called or before is not None and same_split(before, planned), "done-sent")
        self.judge_seen(step, known, "done-healthy", "done-seen")

    def judge_seen(self, step: Step, known: OfRoute, healthy_rule: str, seen_rule: str) -> None:
        """Whether healthy targets were seen, and the split from outside where that is asked."""
        back = step.place[0] == ROLLBACK
        if back and self.blue_health_overridden:
            return
        route = self.plan.routes[step.moves.route]
        blue, green = step.moves.after
        weights = {"blue": blue, "green": 0 if back else green}
        hold(all(known.healthy.get(stack, -1) >= route["min_healthy"]
                 for stack, weight in weights.items() if weight), healthy_rule)
        hold(route["seen_at"] is None or known.agrees is True, seen_rule)

    def judge_found(self, step: Step, found: str) -> None:
        known = self.routes.get(step.moves.route, OfRoute())
        planned, split = step.moves.after, known.split
        if found == "in-place":
            if step.place[0] == ROLLBACK and split is not None and more_blue(split, planned):
                return
            hold(split is not None and same_split(split, planned), "found-in-place")
            self.judge_seen(step, known, "found-in-place", "found-in-place")
        elif found != "cannot-see":
            hold(split is not None and not same_split(split, planned), "found-elsewhere")

    def judge_end(self, outcome: str) -> None:
        """How a log that has no `users.seen` says that it left the users."""
        if self.users_seen:
            return
        for route, split in self.last_read.items():
            if outcome == "completed":
                left = any(same_split(split, each) for each in self.may_be_left(route))
            elif outcome == "rolled-back":
                left = all_on_blue(split)
            elif outcome in ("stopped", "no-changes"):
                left = not self.plan.is_cutover or same_split(split, self.plan.before(route))
            else:
                left = True
            hold(left, "ended-read")

    def may_be_left(self, route: str) -> List[SplitT]:
        """The splits that the forward lane may leave a route with."""
        splits = [self.plan.before(route)]
        for step in self.plan.lanes[FORWARD]:
            if step.moves and step.moves.route == route:
                kept = splits if step.said["on_failure"] == "continue" else []
                splits = kept + [step.moves.after]
        return splits


def said_split(facts: Any, name: str) -> Optional[SplitT]:
    said = facts.get(name) if isinstance(facts, dict) else None
    return split_of(said) if SPLIT(said) else None
