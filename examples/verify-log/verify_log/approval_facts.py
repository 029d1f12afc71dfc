"""The facts about approvals: asked for, given, taken back, refused, expired."""
from __future__ import annotations

from . import words as w
from .state import Approval, Grant, Ready, State
from .words import Fact, follows


def requested(s: State, fact: Fact) -> None:
    step = s.plan.steps.get(w.place_of(fact))
    follows(s.doing_is(Ready) and step is not None and step.rule is not None
            and not w.approved(s, step))
    s.approvals[step.place] = Approval(fact["request_sha256"])


def open_approval(s: State, fact: Fact) -> Approval:
    """The approval that an answer is about."""
    approval = s.approvals.get(w.place_of(fact))
    follows(s.doing_is(Ready) and approval is not None and not approval.used
            and approval.digest == fact["request_sha256"])
    return approval


def granted(s: State, fact: Fact) -> None:
    approval, grant = open_approval(s, fact), fact["grant"]
    name, key = grant["principal"], grant.get("key")
    person = s.people.person(name)
    follows(s.people.is_human(person))
    follows(all(each.person != person and (key is None or each.key != key)
                for each in approval.grants))
    follows(all(s.people.person(each) != person for each in approval.taken_back))
    approval.grants.append(Grant(name, person, key))


def withdrawn(s: State, fact: Fact) -> None:
    approval, name = open_approval(s, fact), fact["principal"]
    kept = [grant for grant in approval.grants if grant.name != name]
    follows(len(kept) < len(approval.grants))
    approval.grants = kept
    approval.taken_back.append(name)


def denied(s: State, fact: Fact) -> None:
    follows(s.doing_is(Ready) and w.place_of(fact) in s.approvals)
    w.fail(s, "action", "roll-back")


def expired(s: State, fact: Fact) -> None:
    step = s.plan.steps.get(w.place_of(fact))
    follows(s.doing_is(Ready) and step is not None and step.rule is not None)
    w.fail(s, "timeout", step.rule["at_expiry"])
