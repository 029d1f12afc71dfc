"""The rules of a run, judged of sealed lines: the first one that is broken makes the log POLICY."""
from __future__ import annotations

import hashlib
from typing import Any, Dict, List, Optional, Tuple

from . import machine, plan as plans
from .answers import Answers, Runners
from .belief import Trust
from .evidence import Evidence
from .lines import Line
from .plan import FORWARD, People, Plan, Step
from .records import EVIDENCE, FACTS, PLAN_LOADED
from .requests import Asker, Request, hold, read_request
from .state import Ended, State
from .statements import Statement
from .times import SECOND
from .uses import Uses
from .verdict import Broken
from .words import place_of

MOST_APPROVALS = 10_000
SECRET = "[secret]"

Sealed = Tuple[Line, Optional[Statement]]


class Clock:
    """The time that the log has come to: it never goes back, whatever the wall clock says."""

    def __init__(self) -> None:
        self.time = 0
        self.last: Optional[Line] = None

    def take(self, line: Line) -> None:
        if self.last:
            grown = 0 if line.begins_session else line.mono - self.last.mono
            self.time = max(line.time, self.time + grown)
        else:
            self.time = line.time
        self.last = line

    @property
    def seconds(self) -> int:
        return self.time // SECOND


class Judge:
    """Judges groups of lines once they are sealed. `broken` is the first broken rule."""

    def __init__(self, trust: Trust) -> None:
        self.trust = trust
        self.broken: Optional[Tuple[int, str]] = None
        self.clock = Clock()
        self.statement: Optional[Statement] = None
        self.run: Optional[Run] = None
        self.approvals = 0

    def take(self, group: List[Sealed]) -> None:
        for line, statement in group:
            if self.broken:
                return
            self.clock.take(line)
            try:
                self.judge(line, statement)
            except Broken as broken:
                self.broken = (line.number, broken.rule)

    def judge(self, line: Line, statement: Optional[Statement]) -> None:
        if line.type.startswith("approval."):
            self.approvals += 1
            hold(self.approvals <= MOST_APPROVALS, "fact-many")
        if statement:
            self.statement = statement
            if self.run:
                self.run.begin_session(statement)
        elif line.type == "plan.loaded":
            self.run = Run(self.load(line.data), self.trust, line.run)
            self.run.begin_session(self.statement)
        elif line.type in EVIDENCE:
            self.run.evidence.take(line.type, line.data, line.withheld)
        elif line.type in FACTS:
            hold(FACTS[line.type](line.data), "fact-form")
            self.run.fact(line, self.clock.seconds)

    def load(self, data: Dict[str, Any]) -> Plan:
        hold(PLAN_LOADED(data), "plan-digest")
        digest = hashlib.sha256(data["text"].encode()).hexdigest()
        hold(digest == data["sha256"] == self.statement.plan_sha256, "plan-digest")
        plan = plans.read(data["text"])
        if plan is None:
            raise Broken("plan-form")
        hold((plan.said["service"], plan.said["environment"])
             == (self.statement.service, self.statement.environment), "plan-service")
        return plan

    def end(self, state: str, number: int) -> None:
        """Judges the last seal."""
        if self.broken or self.run is None:
            return
        over = self.run.state.doing_is(Ended)
        if state == "closed" and not over:
            self.broken = (number, "closed-early")
        if state == "handover" and over:
            self.broken = (number, "handover-late")


class Run:
    """A run whose plan could be taken: the machine, the evidence and the approvals."""

    def __init__(self, plan: Plan, trust: Trust, name: str) -> None:
        self.plan, self.name = plan, name
        people = People(plan)
        self.state = State(plan, people)
        self.evidence = Evidence(plan)
        self.runners = Runners(people)
        self.answers = Answers(plan, people, self.runners, trust)
        self.uses = Uses(self.answers)
        self.requests: Dict[str, Request] = {}
        self.newest: Optional[Statement] = None

    def begin_session(self, statement: Statement) -> None:
        said, key = self.plan.said, statement.owner_key_text
        self.newest = statement
        self.runners.add(statement)
        hold(not self.plan.is_cutover or statement.owner in said["owners"]
             or statement.owner == said["rollback_owner"], "plan-owner")
        hold(not self.plan.team.get("shared_key_refused") or not key.startswith("hmac-sha256"),
             "plan-shared")
        hold(not self.plan.team.get("security_key_required") or key.startswith("sk-"),
             "plan-hardware")

    def fact(self, line: Line, now: int) -> None:
        """Judges a fact that has its form."""
        fact, place = line.data, place_of(line.data)
        step = self.plan.steps.get(place) if place else None
        if place and isinstance(fact.get("id"), str):
            hold(step is not None and step.id == fact["id"], "fact-step")
        if line.type == "step.intent":
            self.intent(line, step, now)
        elif line.type.startswith("approval."):
            self.approval(line, step, now)
        elif line.type == "step.outcome":
            self.uses.outcome(place)
        self.evidence.judge(line.type, fact, step)
        machine.take(self.state, line.type, fact)

    def intent(self, line: Line, step: Step, now: int) -> None:
        fact = line.data
        hold(fact["step_sha256"] == step.sha256, "intent-step")
        hold(line.withheld or line_fits(fact["line"], step.said["line"]), "intent-line")
        attempt = machine.expected_attempt(self.state, step.place)
        hold(attempt is None or fact["attempt"] == attempt, "intent-attempt")
        hold(step.place[0] != FORWARD
             or self.newest.policy_sha256 == self.plan.team["policy_sha256"], "intent-policy")
        self.uses.judge(fact, step, self.requests, self.state.by_hand, now, line.time)

    def approval(self, line: Line, step: Optional[Step], now: int) -> None:
        fact = line.data
        if line.type == "approval.requested":
            asker = Asker(self.name, self.newest.owner, self.newest.trigger)
            request = read_request(self.plan, step, fact, asker, now)
            hold(request.digest not in self.requests, "request-twice")
            self.requests[request.digest] = request
        elif line.type != "approval.expired":
            self.answer(line, step, now)

    def answer(self, line: Line, step: Step, now: int) -> None:
        fact = line.data
        hold(step.rule is not None, "answer-rule")
        request = self.requests.get(fact["request_sha256"])
        hold(request is not None and request.step.place == step.place, "answer-request")
        if line.type == "approval.granted":
            self.answers.grant(fact, request, now, line.time)
        elif line.type == "approval.denied":
            self.answers.refuse(fact["grant"], request, line.time)
        else:
            self.answers.withdraw(fact, request, line.time)


def line_fits(line: str, planned: str) -> bool:
    """Whether a line is the step's, or it with a part that was made secret."""
    if line == planned:
        return True
    return (SECRET in line and planned.startswith(line[:line.index(SECRET)])
            and planned.endswith(line[line.rindex(SECRET) + len(SECRET):]))
