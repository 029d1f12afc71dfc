"""The statements that begin a session: who runs it, by which keys, and until when."""
from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Dict, Optional, Union

from .belief import Trust
from .certificates import Holder, read_holder
from .keys import text_blob
from .lines import Line
from .shared_keys import ID, PREFIX, is_mac
from .signatures import Signature, check
from .spelling import Misspelled, read_line
from .times import SECOND, microseconds
from .verdict import Fault
from .wire import Malformed

OPEN = "bgctl-open-v1"
TYPES = {"run.opened": "bgctl/opening/v1", "run.resumed": "bgctl/resuming/v1"}
LONGEST = 12 * 3600 * SECOND
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class SharedOwner:
    """An owner who signs by a shared key; the statement names its id."""

    id: str


Owner = Union[SharedOwner, Holder]


@dataclass(frozen=True)
class Statement:
    """A statement whose signature holds, or that nobody without the shared key can check."""

    service: str
    environment: str
    plan_sha256: str
    owner: str
    owner_key_text: str
    owner_key: Owner
    session_key: Holder
    not_before: int
    not_after: int
    policy_sha256: str
    trigger: Optional[str]
    believed: bool


@dataclass(frozen=True)
class Before:
    """What stands before a line. `sha256` is None where a copy withheld something."""

    lines: int
    bytes: int
    sha256: Optional[str]


def read_owner(text: str) -> Owner:
    if text.startswith(PREFIX) and ID.fullmatch(text[len(PREFIX):]):
        return SharedOwner(text[len(PREFIX):])
    return read_holder(text_blob(text))


def proof_member(owner: Owner) -> str:
    """The member that holds the proof: `owner_key` and proof are of one kind."""
    return "mac" if isinstance(owner, SharedOwner) else "sig"


def check_owner(trust: Trust, owner: Owner, name: str, proof: Any, namespace: str, message: bytes,
                time: int) -> bool:
    """Whether the owner is believed; Malformed if the proof is not the owner's over the message."""
    if isinstance(owner, SharedOwner):
        if not is_mac(proof):
            raise Malformed("no proof by a shared key")
        if trust.shared_key is None or trust.shared_key.id != owner.id:
            return False
        if trust.shared_key.mac(namespace, message) != proof:
            raise Malformed("the proof does not hold")
        return True
    return trust.believes(name, check_holder(owner, proof, namespace, message), namespace, time)


def check_holder(holder: Holder, proof: Any, namespace: str, message: bytes) -> Signature:
    """The signature, if it holds and is by exactly this key."""
    if not isinstance(proof, str):
        raise Malformed("no signature")
    signature = check(proof, namespace, message)
    if signature.holder.blob != holder.blob:
        raise Malformed("signed by another key")
    return signature


class StatementReader:
    """Checks one line that begins a session, in the order of the rules."""

    def __init__(self, line: Line, before: Before, first: Optional[Statement],
                 trust: Trust) -> None:
        self.line, self.before, self.first, self.trust = line, before, first, trust

    def hold(self, holds: bool, rule: str) -> None:
        if not holds:
            raise Fault(self.line.number, "statement", rule)

    def read(self) -> Statement:
        data = self.line.data
        names = list(data)
        self.hold(len(names) == 4 and names[:2] == ["statement", "ns"]
                  and names[2] in ("sig", "mac") and names[3] == "claims", "statement-members")
        self.hold(isinstance(data["claims"], dict), "statement-members")
        said = self.said(data["statement"])
        self.hold(data["ns"] == OPEN, "statement-ns")
        self.hold(said.get("_type") == TYPES[self.line.type], "statement-type")
        self.hold(said.get("run") == self.line.run, "statement-run")
        self.check_head(said)
        self.check_log(said)
        return self.statement(said)

    def said(self, text: Any) -> Dict[str, Any]:
        self.hold(isinstance(text, str), "statement-spelling")
        try:
            said = read_line(text)
        except Misspelled:
            said = None
        self.hold(isinstance(said, dict), "statement-spelling")
        return said

    def check_head(self, said: Dict[str, Any]) -> None:
        head = [said.get(name) for name in ("service", "environment", "plan_sha256")]
        self.hold(all(isinstance(each, str) for each in head)
                  and DIGEST.fullmatch(head[2]) is not None, "statement-head")
        if self.first:
            self.hold(head == [self.first.service, self.first.environment, self.first.plan_sha256],
                      "statement-head")

    def check_log(self, said: Dict[str, Any]) -> None:
        if self.line.type != "run.resumed":
            return
        lines, digest = said.get("log_lines"), said.get("log_sha256")
        self.hold(type(lines) is int and lines == self.before.lines, "statement-log")
        self.hold(self.before.sha256 in (None, digest), "statement-log")

    def statement(self, said: Dict[str, Any]) -> Statement:
        start, end = microseconds(said.get("not_before")), microseconds(said.get("not_after"))
        self.hold(start is not None and end is not None and 0 <= end - start <= LONGEST,
                  "statement-session")
        texts = [said.get("owner_key"), said.get("session_key")]
        self.hold(all(isinstance(text, str) and not CONTROL.search(text) for text in texts),
                  "statement-keys")
        try:
            owner_key, session_key = read_owner(texts[0]), read_holder(text_blob(texts[1]))
        except Malformed:
            raise Fault(self.line.number, "statement", "statement-keys") from None
        self.hold(all(isinstance(said.get(name), str) for name in ("owner", "assurance")),
                  "statement-owner")
        policy, trigger = said.get("policy_sha256"), self.line.data["claims"].get("trigger")
        return Statement(
            said["service"], said["environment"], said["plan_sha256"], said["owner"], texts[0],
            owner_key, session_key, start, end, policy if isinstance(policy, str) else "",
            trigger if isinstance(trigger, str) else None, self.believed(said["owner"], owner_key))

    def believed(self, name: str, owner: Owner) -> bool:
        data = self.line.data
        try:
            return check_owner(self.trust, owner, name, data.get(proof_member(owner)), OPEN,
                               data["statement"].encode(), self.line.time)
        except Malformed:
            raise Fault(self.line.number, "statement", "statement-signature") from None
