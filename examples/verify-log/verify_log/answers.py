"""Answers to requests: grants, denials, and approvals that were taken back."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Set

from .belief import Trust
from .plan import People, Plan
from .requests import LENIENCE_S, Request, hold
from .signatures import Signature, check
from .statements import SharedOwner, Statement
from .verdict import Broken
from .wire import Malformed

APPROVE, DENY = "bgctl-approve-v1", "bgctl-deny-v1"
STRENGTH = ("prompt", "slack", "signed", "signed-hw")


@dataclass(frozen=True)
class Counted:
    """A grant that counts."""

    name: str
    person: Optional[str]
    key: Optional[str]
    signature: Optional[Signature]


class Runners:
    """Who runs, by which keys, and who started the runs at the CI system."""

    def __init__(self, people: People) -> None:
        self.people = people
        self.names: Set[str] = set()
        self.persons: Set[Optional[str]] = set()
        self.keys: Set[str] = set()
        self.starters: Set[str] = set()
        self.starter_persons: Set[Optional[str]] = set()

    def add(self, statement: Statement) -> None:
        self.names.add(statement.owner)
        self.persons.add(self.people.person(statement.owner))
        if not isinstance(statement.owner_key, SharedOwner):
            self.keys.add(statement.owner_key.fingerprint)
        if statement.trigger is not None:
            self.starters.add(statement.trigger)
            self.starter_persons.add(self.people.person_of_login(statement.trigger))

    def run(self, name: str, person: Optional[str], key: Optional[str]) -> bool:
        """Whether a name, a person or a key is that of a runner."""
        return (name in self.names or key in self.keys
                or person is not None and (person in self.names or person in self.persons)
                or name in self.persons)

    def started(self, name: str, person: Optional[str]) -> bool:
        return name in self.starters or person is not None and person in self.starter_persons


class Answers:
    """Judges the answers, and keeps the grants that count of each request."""

    def __init__(self, plan: Plan, people: People, runners: Runners, trust: Trust) -> None:
        self.plan, self.people, self.runners, self.trust = plan, people, runners, trust
        self.counted: Dict[str, List[Counted]] = {}
        self.taken_back: Dict[str, Set[str]] = {}

    def signed(self, grant: Dict[str, Any], request: Request, namespace: str, time: int,
               rule: str) -> Optional[Signature]:
        """The signature of an answer, if it has one; it has to hold and to be believed."""
        if grant.get("sig") is None:
            return None
        try:
            signature = check(grant["sig"], namespace, request.text.encode(), usual=False)
        except Malformed:
            raise Broken(rule) from None
        hold(self.trust.believes(grant["principal"], signature, namespace, time), rule)
        hold(grant.get("key") in (None, signature.holder.fingerprint), rule)
        return signature

    def barred(self, rule: Dict[str, Any], grant: Counted) -> Optional[str]:
        """The rule that keeps this one from approving, or None."""
        if grant.person not in rule["members"]:
            return "grant-role"
        if not self.people.is_human(grant.person):
            return "grant-bot"
        if not rule["own_run"] and self.runners.run(grant.name, grant.person, grant.key):
            return "grant-own"
        if not rule["own_run"] and self.runners.started(grant.name, grant.person):
            return "grant-started"
        return None

    def grant(self, fact: Dict[str, Any], request: Request, now: int, time: int) -> None:
        """Judges an `approval.granted`. `now` is the time of the line in seconds, `time` its ts."""
        said, rule = fact["grant"], request.step.rule
        name, person = said["principal"], self.people.person(said["principal"])
        signature = self.signed(said, request, APPROVE, time, "grant-signature")
        key = signature.holder.fingerprint if signature else said.get("key")
        grant = Counted(name, person, key, signature)
        barred = self.barred(rule, grant)
        hold(barred is None, barred or "")
        self.check_evidence(said["evidence"], rule, signature)
        if signature is None:
            hold(name in self.runners.names or person in self.runners.persons, "grant-terminal")
        hold(now <= request.expires + LENIENCE_S, "grant-expired")
        counted = self.counted.setdefault(request.digest, [])
        hold(all(each.name != name and each.person != person and (key is None or each.key != key)
                 for each in counted), "grant-twice")
        hold(all(each != name and self.people.person(each) != person
                 for each in self.taken_back.get(request.digest, ())), "grant-void")
        counted.append(grant)

    def check_evidence(self, claimed: str, rule: Dict[str, Any],
                       signature: Optional[Signature]) -> None:
        proven = STRENGTH.index("prompt")
        if signature:
            proven = STRENGTH.index("signed-hw" if signature.by_security_key else "signed")
        hold(claimed in STRENGTH and STRENGTH.index(claimed) <= proven
             and proven >= STRENGTH.index(rule.get("evidence", "prompt")), "grant-evidence")
        if signature and signature.by_security_key and self.plan.team.get("verify_required"):
            hold(signature.mark.verified, "grant-verified")

    def refuse(self, grant: Dict[str, Any], request: Request, time: int) -> None:
        """Judges the grant of a denial or of a withdrawal."""
        person = self.people.person(grant["principal"])
        hold(person in request.step.rule["members"] and self.people.is_human(person),
             "refusal-role")
        signature = self.signed(grant, request, DENY, time, "refusal-signature")
        hold(signature is not None or grant["evidence"] == "prompt", "refusal-signature")

    def withdraw(self, fact: Dict[str, Any], request: Request, time: int) -> None:
        name, grant = fact["principal"], fact.get("grant")
        if grant is not None:
            self.refuse(grant, request, time)
            hold(self.people.person(grant["principal"]) == self.people.person(name), "withdrawn-by")
        counted = self.counted.get(request.digest, [])
        kept = [each for each in counted if each.name != name]
        if len(kept) < len(counted):
            self.counted[request.digest] = kept
            self.taken_back.setdefault(request.digest, set()).add(name)

    def check_first_use(self, request: Request, time: int) -> None:
        """At the first use those who approved may still approve, and are still believed."""
        for grant in self.counted.get(request.digest, ()):
            hold(self.barred(request.step.rule, grant) is None, "use-barred")
            still = grant.signature is None or self.trust.believes(grant.name, grant.signature,
                                                                   APPROVE, time)
            hold(still, "use-signature")
