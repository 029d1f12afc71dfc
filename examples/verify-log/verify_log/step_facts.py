"""The facts about a step: it was begun, it came to something, its users were found somewhere."""
from __future__ import annotations

from typing import Any, Dict

from . import words as w
from .plan import split_of
from .state import Paused, Ready, Righting, State, Uncertain
from .words import MOST_LOOKS, Fact, follows


def intent(s: State, fact: Fact) -> None:
    follows(s.doing_is(Ready, Uncertain) and w.place_of(fact) == s.place and s.here is not None
            and w.may_begin(s, s.here))
    attempt = fact["attempt"]
    s.doing, s.begun, s.seen = Uncertain(attempt), s.place, None
    if s.here_moves:
        s.tried[s.place] = attempt
        if (s.place, attempt) in s.doubts:
            s.doubts.remove((s.place, attempt))
            s.doubts.add((s.place, 0))
    if s.place in s.approvals:
        s.approvals[s.place].used = True


def outcome(s: State, fact: Fact) -> None:
    follows(s.doing_is(Uncertain) and w.place_of(fact) == s.place)
    said, attempt = fact["outcome"], s.doing.attempt
    w.forget(s)
    if said["is"] == "done":
        w.done(s)
    elif said["is"] == "failed":
        failed(s, said, attempt)
    elif s.here.said["resume"] == "repeat":
        w.again(s, attempt, True, False, "action")
    else:
        w.doubt(s)
        s.doing = Uncertain(attempt, 0, True)


def failed(s: State, said: Dict[str, Any], attempt: int) -> None:
    cause, then, facts = said["cause"], said.get("then"), said.get("facts")
    if (then is None and cause == "no-verdict" and isinstance(facts, dict)
            and facts.get("unknown") == "hold"):
        then = "hold"
    if then in ("hold", "halt"):
        s.moved = s.moved or said["moved"]
        w.fail(s, cause, then)
    else:
        w.again(s, attempt, said["retry"] and cause not in w.PAUSING, said["moved"], cause)


def reconciled(s: State, fact: Fact) -> None:
    follows(s.doing_is(Uncertain) and w.place_of(fact) == s.place)
    found, was, place = fact["found"], s.doing, s.place
    if found == "not-in-place" and not was.lost:
        s.doing = Ready(was.attempt)
        return
    w.forget(s)
    if found == "in-place":
        w.done(s)
        s.doubts.discard((place, was.attempt))
    elif found == "not-in-place":
        w.again(s, was.attempt, True, False, "provider")
    elif found == "other":
        w.again(s, was.attempt, False, s.here_moves, "drift")
    else:
        cannot_see(s, was)


def cannot_see(s: State, was: Uncertain) -> None:
    if was.looks + 1 < MOST_LOOKS or w.patient(s):
        s.doing = Uncertain(was.attempt, was.looks + 1, was.lost)
    elif s.here_moves and s.forward:
        w.again(s, was.attempt, False, True, "away")
    else:
        w.again(s, was.attempt, False, s.here_moves, "provider")


def breached(s: State, fact: Fact) -> None:
    follows(w.place_of(fact) == s.place)
    cause = fact["cause"]
    if isinstance(s.doing, Paused) and s.doing.cause == "drift":
        w.fail(s, "drift", "halt")
        return
    halts = cause == "rules"
    if s.doing_is(Uncertain):
        follows(s.moved and s.forward and s.here is not None
                and (s.here.said["resume"] == "ask-human" or s.wish == "ask"))
        halts = halts or cause in w.PAUSING
    else:
        follows(s.doing_is(Ready, Paused))
    w.fail(s, cause, fact.get("then") or ("halt" if halts else "roll-back"))


def landed(s: State, fact: Fact) -> None:
    place, found = w.place_of(fact), split_of(fact["found"])
    step = s.plan.steps.get(place)
    follows(s.doing_is(Ready, Uncertain) and (not s.here_moves or s.doing_is(Ready)))
    follows(step is not None and step.moves is not None
            and w.late(s, step.moves.route, found) == place)
    to = s.righting.to if s.righting else s.index
    if s.settled:
        s.doubts.clear()
    w.forget(s)
    s.index, s.doing = place[1], Ready(1 + s.tried.get(place, 0))
    s.righting, s.righted = Righting(to, found), s.righted + 1


def overdue(s: State, fact: Fact) -> None:
    doing = s.doing
    follows(w.place_of(fact) == s.place and w.patient(s))
    follows(isinstance(doing, Ready) and doing.attempt > 1
            or isinstance(doing, Uncertain) and (doing.lost or doing.looks > 0))
    w.give_up(s)
