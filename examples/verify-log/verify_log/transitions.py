"""The facts about the run as a whole, and the table of all facts: on which state each may follow,
and what it makes of it."""
from __future__ import annotations

from typing import Callable, Dict

from . import approval_facts, ending, step_facts, words as w
from .plan import FORWARD, ROLLBACK, split_of
from .state import (Ended, Failed, Held, Paused, Planned, Ready, State, Stuck, Together,
                    Uncertain)
from .words import Fact, follows


def armed(s: State, fact: Fact) -> None:
    follows(s.doing_is(Planned))
    s.lane = FORWARD if s.plan.is_cutover else ROLLBACK
    s.by_hand = not s.plan.is_cutover
    s.ahead = fact["approvals_ahead"]
    s.doing = Ready(1)


def refused(s: State, fact: Fact) -> None:
    follows(s.doing_is(Planned))
    s.doing = Ended()


def interrupted(s: State, fact: Fact) -> None:
    back = fact["wish"] == "roll-back"
    if s.doing_is(Planned) and s.forward and s.plan.is_rollback_of and back:
        return
    if s.doing_is(Planned, Ready, Uncertain, Failed, Paused, Held) and s.forward:
        w.go_on(s)
        s.wish = fact["wish"]
        return
    follows(back)
    if s.doing_is(Stuck):
        interrupted_stuck(s)
    else:
        follows(s.doing_is(Ready, Uncertain, Together))
        s.by_hand = True


def interrupted_stuck(s: State) -> None:
    if s.forward:
        s.wish, s.doing = "roll-back", Failed("action", "roll-back")
        return
    w.forget(s)
    s.by_hand, s.righting = True, None
    s.stranded.clear()
    w.go_to(s, 0)


def users_seen(s: State, fact: Fact) -> None:
    follows(not s.doing_is(Ended))
    seen = {route: split_of(sighting["split"]) if sighting.get("split") else None
            for route, sighting in fact["routes"].items()}
    if s.plan.is_cutover:
        s.moved = s.moved or any(
            seen.get(route) is not None and not w.same_split(seen[route], s.plan.before(route))
            for route in s.plan.routes)
    elif not s.looks and not fact["settled"]:
        s.doubts.update((step.place, 0) for step in s.plan.lanes[ROLLBACK] if step.moves)
    s.seen, s.settled, s.looks = seen, fact["settled"], True


def unconfirmed(s: State, fact: Fact) -> None:
    follows(s.seen is not None)
    behind = s.doing_is(Ready) and s.here is None
    unmoved = (s.doing_is(Planned, Ready, Failed, Uncertain, Paused) and s.forward and not s.moved)
    follows(behind or unmoved)
    s.doing = Stuck(False)


def continued(s: State, fact: Fact) -> None:
    follows(s.doing_is(Ready, Uncertain, Paused) and s.wish == "ask")
    s.wish = None


def held(s: State, fact: Fact) -> None:
    follows(s.doing_is(Ready, Uncertain, Failed, Paused) and s.forward and s.moved)
    asks = isinstance(s.doing, Uncertain) and s.here.said["resume"] == "ask-human"
    s.in_doubt = s.doing.attempt if asks else None
    s.wish, s.doing = None, Held()


def begun(s: State, fact: Fact) -> None:
    follows(s.doing_is(Planned, Ready, Uncertain, Failed, Paused) and s.forward and not w.closed(s))
    follows(s.moved or s.doing_is(Uncertain) and s.here_moves or w.unseen(s))
    w.forget(s)
    w.doubt(s)
    s.lane, s.wish, s.righting = ROLLBACK, None, None
    s.by_hand, s.moved = not fact["automatic"], True
    w.go_to(s, 0)


def paused(s: State, fact: Fact) -> None:
    cause, doing = fact["cause"], s.doing
    follows(w.place_of(fact) == s.place and cause in w.PAUSING)
    if isinstance(doing, Failed):
        follows(s.moved and doing.cause == cause)
        known = s.pause and (s.pause.step, s.pause.cause, s.pause.until) == (s.place, cause,
                                                                             fact["until"])
        w.pause(s, cause, fact["until"], cause == "away" and bool(known) and s.pause.paged)
    else:
        follows(isinstance(doing, Paused) and doing.cause != cause)
        w.pause(s, cause, doing.until, doing.paged and cause != "drift")


def paged(s: State, fact: Fact) -> None:
    doing = s.doing
    if isinstance(doing, Paused):
        follows(not doing.paged)
        w.pause(s, doing.cause, doing.until, True)
    else:
        follows(s.doing_is(Ready, Together) and bool(s.stranded) or doing == Stuck(False))
        s.doing = Stuck(True)


def unpaused(s: State, fact: Fact) -> None:
    follows(s.doing_is(Paused) and w.place_of(fact) == s.place)
    w.fresh(s)


def declined(s: State, fact: Fact) -> None:
    asked = (s.doing_is(Planned, Ready, Uncertain) and s.wish is not None and s.moved
             and w.closed(s))
    follows(s.doing_is(Failed, Paused) or asked)
    s.doing = Stuck(False)


def schema_seen(s: State, fact: Fact) -> None:
    follows(s.doing_is(Ready, Failed, Paused, Uncertain) and s.forward)
    stopped = s.doing_is(Failed, Paused)
    s.against = s.against or fact["back"] == "fail" or fact["back"] == "unknown" and stopped
    if s.doing_is(Ready) and w.place_of(fact) == s.place and fact["forward"] != "pass":
        w.fail(s, "schema", "roll-back" if fact["forward"] == "fail" else "hold")


def overridden(s: State, fact: Fact) -> None:
    follows(not s.doing_is(Ended))
    planned = s.doing_is(Planned)
    w.go_on(s)
    s.overridden = s.overridden or fact["guard"] == "schema"
    if s.forward and not planned:
        s.wish = "roll-back"


def continues(s: State, fact: Fact) -> None:
    follows(not s.doing_is(Ended))
    w.doubt(s)
    w.forget(s)
    w.go_on(s)
    if s.wish != "roll-back":
        s.wish = None


def ended(s: State, fact: Fact) -> None:
    follows(s.doing_is(Planned, Ready, Uncertain, Failed) or s.doing == Stuck(True))
    follows(ending.may_end(s, fact["outcome"]))
    s.doing = Ended()


TABLE: Dict[str, Callable[[State, Fact], None]] = {
    "rollback.armed": armed,
    "run.refused": refused,
    "approval.requested": approval_facts.requested,
    "approval.granted": approval_facts.granted,
    "approval.denied": approval_facts.denied,
    "approval.withdrawn": approval_facts.withdrawn,
    "approval.expired": approval_facts.expired,
    "step.intent": step_facts.intent,
    "step.outcome": step_facts.outcome,
    "step.reconciled": step_facts.reconciled,
    "wait.breached": step_facts.breached,
    "write.landed": step_facts.landed,
    "rollback.overdue": step_facts.overdue,
    "users.seen": users_seen,
    "run.unconfirmed": unconfirmed,
    "run.interrupted": interrupted,
    "run.continued": continued,
    "run.paused": paused,
    "run.unpaused": unpaused,
    "run.held": held,
    "rollback.begun": begun,
    "rollback.declined": declined,
    "schema.seen": schema_seen,
    "override.used": overridden,
    "run.paged": paged,
    "run.continues": continues,
    "run.ended": ended,
}
