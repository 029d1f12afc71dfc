"""Uses of approvals: which requests a `step.intent` may name."""
from __future__ import annotations

from collections import Counter
from typing import Any, Dict, Set, Tuple

from .answers import Answers
from .plan import FORWARD, ROLLBACK, Place, Step
from .requests import LENIENCE_S, Request, hold


class Uses:
    """Keeps which request was used by which step, and judges the next use."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.used: Set[str] = set()
        self.outcomes: Counter[Place] = Counter()
        # Of the newest use of a request by a step: the attempt, and how many outcomes of the step
        # there had been.
        self.by_step: Dict[Tuple[str, Place], Tuple[int, int]] = {}

    def outcome(self, place: Place) -> None:
        """A `step.outcome` of the step: its uses so far are over."""
        self.outcomes[place] += 1

    def judge(self, fact: Dict[str, Any], step: Step, requests: Dict[str, Request], by_hand: bool,
              now: int, time: int) -> None:
        """Judges a `step.intent`. `now` is the time of the line in seconds, `time` its ts."""
        free = by_hand and step.place[0] == ROLLBACK and not step.even_by_hand
        hold(step.rule is None or bool(fact["approvals"]) or free, "use-named")
        for digest in fact["approvals"]:
            request = requests.get(digest)
            hold(request is not None and self.fits(request, step), "use-request")
            self.use(request, step, fact["attempt"], now, time)

    def fits(self, request: Request, step: Step) -> bool:
        if request.step.place == step.place:
            return True
        return (step.place[0] == ROLLBACK and not step.even_by_hand
                and request.step.place[0] == FORWARD and request.step.covers_rollback
                and request.digest in self.used)

    def use(self, request: Request, step: Step, attempt: int, now: int, time: int) -> None:
        if request.digest not in self.used:
            until = request.expires if request.use_by is None else request.use_by
            hold(now <= until + LENIENCE_S, "use-expired")
            self.answers.check_first_use(request, time)
            self.used.add(request.digest)
        outcomes = self.outcomes[step.place]
        newest = self.by_step.get((request.digest, step.place))
        hold(newest is None or newest[1] == outcomes or attempt > newest[0], "use-once")
        self.by_step[request.digest, step.place] = (attempt, outcomes)
