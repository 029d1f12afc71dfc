"""The state machine: takes the facts in, one by one, also by several legs at a time."""
from __future__ import annotations

from typing import Optional

from . import ending, words as w
from .plan import Place, ROLLBACK
from .state import Leg, Ready, State, Stuck, Together, Uncertain
from .transitions import TABLE
from .words import MOST_LOOKS, Fact, follows

GIVES_UP_BEFORE = ("step.intent", "run.paged", "approval.requested")


def expected_attempt(s: State, place: Place) -> Optional[int]:
    """The attempt that the machine would begin of this step; None if any will do."""
    following = ending.next_of(s)
    if not isinstance(following, ending.Begin):
        return None
    return dict(following.attempts).get(place)


def take(s: State, kind: str, fact: Fact) -> None:
    """Takes a fact in. Raises Broken where it cannot follow on the state."""
    place = w.place_of(fact)
    if kind in GIVES_UP_BEFORE and place != s.place and w.patient(s) and spent(s):
        w.give_up(s)
    if kind == "run.paged" and isinstance(s.doing, Together):
        give_up_legs(s)
    together = s.doing if isinstance(s.doing, Together) else None
    if kind == "step.intent" and s.doing_is(Ready):
        together = w.legs(s)
    if together and place is not None:
        take_by_leg(s, together, kind, fact, place)
    else:
        TABLE[kind](s, fact)


def spent(s: State) -> bool:
    """Whether an older program would have given up here without saying so."""
    doing = s.doing
    return (isinstance(doing, Ready) and doing.attempt > s.here.said["attempts"]
            or isinstance(doing, Uncertain) and doing.looks >= MOST_LOOKS)


def leg_is_spent(s: State, leg: Leg) -> bool:
    attempts = s.plan.steps[s.lane, leg.index].said["attempts"]
    if isinstance(leg.doing, Ready):
        return leg.doing.attempt > attempts
    return leg.doing.looks >= MOST_LOOKS


def route_of(s: State, index: int) -> str:
    return s.plan.steps[ROLLBACK, index].moves.route


def give_up_legs(s: State) -> None:
    """Older logs: each leg that is spent gives up, in the order of the routes' names."""
    spent_legs = [leg for leg in s.doing.legs if leg_is_spent(s, leg)]
    for leg in sorted(spent_legs, key=lambda each: route_of(s, each.index).encode()):
        place = (ROLLBACK, leg.index)
        fact = {"step": {"lane": ROLLBACK, "index": leg.index}}
        if isinstance(s.doing, Together):
            take_by_leg(s, s.doing, "rollback.overdue", fact, place)


def take_by_leg(s: State, together: Together, kind: str, fact: Fact, place: Place) -> None:
    """The leg takes the fact in as if it were alone; then what came out is put together again."""
    leg = next((leg for leg in together.legs if (ROLLBACK, leg.index) == place), None)
    follows(leg is not None)
    index, stranded, route = s.index, s.stranded, route_of(s, leg.index)
    s.index, s.doing, s.stranded = leg.index, leg.doing, set()
    TABLE[kind](s, fact)
    came_out = leg_after(s, leg, route, together.last)
    s.index, s.stranded = index, stranded | s.stranded
    kept = [came_out if each is leg else each for each in together.legs]
    left = tuple(each for each in kept if each is not None)
    s.doing = Together(left, together.last)
    if not left:
        s.index = together.last
        w.onward(s)


def leg_after(s: State, leg: Leg, route: str, last: int) -> Optional[Leg]:
    """What has become of a leg; None if it ends."""
    if isinstance(s.doing, (Ready, Uncertain)) and s.index == leg.index:
        return Leg(leg.index, s.doing)
    if s.stranded:
        return None
    if isinstance(s.doing, Stuck):
        s.stranded.add(route)
        return None
    following = next((index for index in range(leg.index + 1, last + 1)
                      if route_of(s, index) == route), None)
    return None if following is None else Leg(following, Ready(1))
