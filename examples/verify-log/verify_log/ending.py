"""What is next: the attempt that the machine would begin, or the end that it may come to."""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, Optional, Tuple, Union

from . import words as w
from .plan import ROLLBACK, Place, Step
from .state import Failed, Planned, Ready, SplitT, State, Stuck, Together, Uncertain


@dataclass(frozen=True)
class Begin:
    """Attempts that may begin: of one step, or of one step of each leg."""

    attempts: Tuple[Tuple[Place, int], ...]


@dataclass(frozen=True)
class End:
    """The run may end, with this outcome."""

    outcome: str


Next = Union[Begin, End, None]


def next_of(s: State) -> Next:
    asked = s.wish is not None
    if s.doing_is(Planned):
        if asked:
            return None if s.wish == "ask" and s.moved else stop_if_unmoved(s)
        return stop(s) if not s.plan.is_cutover and w.closed(s) else None
    if s.doing_is(Ready):
        return next_of_ready(s)
    if s.doing_is(Uncertain):
        return next_of_uncertain(s)
    if isinstance(s.doing, Together):
        return Begin(tuple(((s.lane, leg.index), leg.doing.attempt) for leg in s.doing.legs
                           if isinstance(leg.doing, Ready)
                           or resume(s, (s.lane, leg.index)) == "repeat"))
    if s.doing_is(Failed) and not s.moved:
        return stop(s)
    return End("halted") if s.doing == Stuck(True) else None


def next_of_ready(s: State) -> Next:
    if s.forward and s.wish is not None:
        return stop_if_unmoved(s)
    if s.here is None:
        return confirm(s, "completed" if s.forward and s.plan.is_cutover else "rolled-back")
    return begin(s)


def next_of_uncertain(s: State) -> Next:
    if w.at_once(s) or resume(s, s.place) == "observe":
        return None
    if s.forward and s.wish is not None:
        return stop_if_unmoved(s)
    return Begin(((s.place, s.doing.attempt),)) if resume(s, s.place) == "repeat" else None


def resume(s: State, place: Place) -> str:
    return s.plan.steps[place].said["resume"]


def stop_if_unmoved(s: State) -> Next:
    return None if s.moved else stop(s)


def waits(s: State, step: Step) -> bool:
    return (s.forward or not s.by_hand or step.even_by_hand) and not w.approved(s, step)


def begin(s: State) -> Next:
    lane = s.plan.lanes[s.lane]
    ahead = lane[s.index:] if s.ahead and s.forward else [s.here]
    if any(waits(s, step) for step in ahead):
        return None
    together = w.legs(s)
    if together:
        return Begin(tuple(((ROLLBACK, leg.index), 1) for leg in together.legs))
    return Begin(((s.place, s.doing.attempt),))


def in_doubt(s: State) -> bool:
    return bool(s.doubts) and not s.settled


def stop(s: State) -> Next:
    if s.seen is None or in_doubt(s) or s.plan.is_cutover and w.unseen(s):
        return None
    return End("stopped")


def confirm(s: State, outcome: str) -> Next:
    if s.seen is None or in_doubt(s):
        return None
    for route in s.plan.routes:
        split = s.seen.get(route)
        if split is None or not w.left(s, route, split):
            return None
    return End(outcome)


def may_end(s: State, outcome: str) -> bool:
    if not s.looks:
        s = replace(s, seen=taken_as_seen(s, outcome), settled=True)
    return next_of(s) == End(outcome)


def taken_as_seen(s: State, outcome: str) -> Dict[str, Optional[SplitT]]:
    """What older logs, which have no `users.seen`, are taken to have seen."""
    if outcome == "rolled-back":
        return {route: (1, 0) for route in s.plan.routes}
    if outcome == "completed":
        return {route: w.written(s, route)[-1] for route in s.plan.routes}
    return {route: s.plan.before(route) for route in s.plan.routes}
