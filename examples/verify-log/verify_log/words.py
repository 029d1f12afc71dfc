"""The words of the state machine: questions to the state, and changes that several facts make."""
from __future__ import annotations

from typing import Any, Dict, List, Optional

from .plan import FORWARD, ROLLBACK, Place, Step, all_on_blue, same_split
from .state import (Failed, Held, Leg, Pause, Paused, Ready, SplitT, State, Stuck, Together,
                    Uncertain)
from .verdict import Broken

Fact = Dict[str, Any]
PAUSING = ("drift", "frozen", "guard", "away")
GIVEN_UP_FOR = ("destination", "provider", "timeout")
MOST_RIGHTED = 3
MOST_LOOKS = 5


def follows(condition: bool) -> None:
    """A fact that fits no row of the table cannot follow."""
    if not condition:
        raise Broken("machine")


def closed(s: State) -> bool:
    """Whether the way back is closed."""
    return not s.overridden if s.plan.guarded_back else s.against


def complete(s: State, step: Step) -> bool:
    approval = s.approvals.get(step.place)
    return (step.rule is not None and approval is not None
            and len(approval.grants) >= step.rule["quorum"])


def approved(s: State, step: Step) -> bool:
    if step.rule is None or complete(s, step):
        return True
    covered = step.place[0] == ROLLBACK and not step.even_by_hand
    return covered and any(
        each.covers_rollback and complete(s, each) and s.approvals[each.place].used
        for each in s.plan.lanes[FORWARD])


def may_begin(s: State, step: Step) -> bool:
    if step.even_by_hand:
        return approved(s, step) and s.overridden
    return s.lane == ROLLBACK and s.by_hand or approved(s, step)


def patient(s: State) -> bool:
    return s.lane == ROLLBACK and s.here_moves


def written(s: State, route: str) -> List[SplitT]:
    """The splits that the lane may have left the route with."""
    if route not in s.plan.routes:
        return []
    splits = [s.plan.before(route)]
    end = s.righting.to if s.righting else s.index
    for index, step in enumerate(s.plan.lanes[s.lane]):
        if step.moves is None or step.moves.route != route:
            continue
        at_hand = step.place == s.place
        if at_hand and s.righting:
            splits.append(s.righting.found)
        if index < end:
            if step.said["on_failure"] != "continue":
                splits = []
            splits.append(step.moves.after)
        elif at_hand and s.begun == step.place:
            splits.append(step.moves.after)
    return splits


def left(s: State, route: str, split: SplitT) -> bool:
    if s.forward:
        return any(same_split(split, each) for each in written(s, route))
    return all_on_blue(split)


def moves_route(s: State, place: Place, route: str) -> bool:
    step = s.plan.steps.get(place)
    return step is not None and step.moves is not None and step.moves.route == route


def touched(s: State, route: str) -> bool:
    return any(moves_route(s, place, route) for place in s.tried)


def unseen(s: State) -> bool:
    """Whether users were seen, but not those of a route that was touched."""
    return s.seen is not None and any(s.seen.get(route) is None and touched(s, route)
                                      for route in s.plan.routes)


def doubted(s: State, route: str) -> bool:
    return any(moves_route(s, place, route) for place, _ in s.doubts)


def late(s: State, route: str, found: SplitT) -> Optional[Place]:
    """The step whose write came late, if that is what was found."""
    tried = [place for place in sorted(s.tried) if moves_route(s, place, route)]
    known = s.lane == ROLLBACK or any(same_split(s.plan.steps[place].moves.after, found)
                                      for place in tried)
    before = [place for place in tried if place[0] == s.lane and place[1] < s.index]
    if not (before and known and s.righted < MOST_RIGHTED and doubted(s, route)):
        return None
    return before[-1]


def at_once(s: State) -> bool:
    return (s.forward and s.wish == "roll-back" and s.here_moves and s.doing_is(Uncertain)
            and not closed(s))


def legs(s: State) -> Optional[Together]:
    """The routes that can go back at a time, if there are two or more."""
    if s.lane != ROLLBACK or s.plan.said["policy"].get("rollback_in_order") or s.doing != Ready(1):
        return None
    found, routes, last = [], set(s.stranded), s.index
    for step in s.plan.lanes[ROLLBACK][s.index:]:
        if step.moves is None or not may_begin(s, step):
            break
        last = step.place[1]
        if step.moves.route not in routes:
            routes.add(step.moves.route)
            found.append(Leg(last, Ready(1)))
    return Together(tuple(found), last) if len(found) >= 2 else None


def forget(s: State) -> None:
    s.seen, s.settled = None, False


def doubt(s: State) -> None:
    """Writes that were begun may still land."""
    if isinstance(s.doing, Uncertain) and s.here_moves:
        s.doubts.add((s.place, s.doing.attempt))
    if isinstance(s.doing, Together):
        s.doubts.update(((s.lane, leg.index), leg.doing.attempt) for leg in s.doing.legs
                        if isinstance(leg.doing, Uncertain))


def fail(s: State, cause: str, reaction: str) -> None:
    s.doing = Failed(cause, reaction) if s.forward else Stuck(False)


def next_index(s: State) -> Optional[int]:
    """The index that follows; on the way back, steps of routes that were given up are left out."""
    if not s.stranded:
        return s.index + 1
    return next((step.place[1] for step in s.plan.lanes[s.lane][s.index + 1:]
                 if step.moves and step.moves.route not in s.stranded), None)


def go_to(s: State, index: int) -> None:
    s.index, s.doing = index, Ready(1)


def onward(s: State) -> None:
    if s.righting:
        go_to(s, s.righting.to)
        s.righting = None
        return
    index = next_index(s)
    if index is None:
        s.doing = Stuck(False)
    else:
        go_to(s, index)


def done(s: State) -> None:
    s.moved = s.moved or s.here_moves
    s.pause = None
    onward(s)


def again(s: State, attempt: int, retry: bool, moved: bool, cause: str) -> None:
    """The attempt came to nothing: another one, or what the step says of a failure."""
    s.moved = s.moved or moved
    if retry and (attempt < s.here.said["attempts"] or patient(s)):
        s.doing = Ready(attempt + 1)
        return
    if retry and cause == "provider" and s.moved and s.forward and s.here_moves:
        cause = "away"
    on_failure = s.here.said["on_failure"]
    if cause in PAUSING:
        fail(s, cause, "roll-back")
    elif on_failure == "continue":
        if s.righting:
            onward(s)
        else:
            go_to(s, s.index + 1)
    elif on_failure == "halt":
        fail(s, cause, "halt")
    elif s.lane == ROLLBACK and s.here_moves and cause in GIVEN_UP_FOR:
        s.stranded.add(s.here.moves.route)
        onward(s)
    else:
        fail(s, cause, "roll-back")


def give_up(s: State) -> None:
    doubt(s)
    again(s, 0, False, False, "provider")


def fresh(s: State) -> None:
    forget(s)
    s.doing = Ready(1)
    approval = s.approvals.get(s.place)
    if approval and approval.used:
        del s.approvals[s.place]


def go_on(s: State) -> None:
    """A run that is held goes on."""
    if not s.doing_is(Held):
        return
    if s.in_doubt is None:
        fresh(s)
    else:
        s.doing, s.in_doubt = Uncertain(s.in_doubt), None


def pause(s: State, cause: str, until: int, paged: bool) -> None:
    s.doing = Paused(cause, until, paged)
    s.pause = Pause(s.place, cause, until, paged)


def place_of(fact: Fact) -> Optional[Place]:
    """The step that a fact names."""
    step = fact.get("step")
    return (step["lane"], step["index"]) if isinstance(step, dict) else None
