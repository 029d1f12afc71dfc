"""The statement of a redacted copy: which lines say less than the original, and who says so."""
from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Set

from . import shapes
from .belief import Trust
from .shapes import COUNT_64, DIGEST, TEXT, list_of, open_object
from .signatures import check
from .spelling import Misspelled, read_line
from .times import microseconds
from .verdict import Fault
from .wire import Malformed

NAMESPACE = "bgctl-redact-v1"
TYPE = "bgctl/redaction/v1"
NEVER_WITHHELD = re.compile(r"seal|run\.opened|run\.resumed|plan\.loaded|approval\..*")

FILE = open_object(statement=TEXT, ns=TEXT, sig=TEXT)
STATEMENT = open_object(
    _type=TEXT, run=TEXT, owner=TEXT, reason=TEXT, time=TEXT,
    original=open_object(sha256=DIGEST, bytes=COUNT_64, lines=COUNT_64),
    copy=open_object(sha256=DIGEST),
    withheld=list_of(open_object(record=COUNT_64, type=TEXT, sha256=DIGEST, bytes=COUNT_64)))


@dataclass(frozen=True)
class Withheld:
    """What the original line of a withheld record was."""

    type: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Redaction:
    """A statement that could be read; whether its signature holds is asked at the end."""

    text: str
    sig: str
    said: Dict[str, Any]
    time: int
    withheld: Dict[int, Withheld]

    def check(self, trust: Trust, run: str, owners: Set[str], lines: int, size: int,
              sha256: str) -> None:
        """The rules that are asked when the reading has found no fault."""
        first = min(self.withheld) + 1 if self.withheld else None

        def hold(holds: bool, rule: str) -> None:
            if not holds:
                raise Fault(first, "redaction", rule)

        hold(self.believed(trust), "copy-statement")
        original = self.said["original"]
        hold(self.said["copy"]["sha256"] == sha256, "copy-sha256")
        hold(self.said["owner"] in owners, "copy-owner")
        hold(self.said["run"] == run and (original["lines"], original["bytes"]) == (lines, size),
             "copy-log")

    def believed(self, trust: Trust) -> bool:
        try:
            signature = check(self.sig, NAMESPACE, self.text.encode())
        except Malformed:
            return False
        return trust.believes(self.said["owner"], signature, NAMESPACE, self.time)


def unreadable(rule: str = "copy-statement") -> Fault:
    return Fault(None, "redaction", rule)


def read_object(text: str, shape: shapes.Shape) -> Dict[str, Any]:
    try:
        value = read_line(text)
    except Misspelled:
        raise unreadable() from None
    if not shape(value):
        raise unreadable()
    return value


def read_withheld(listed: List[Dict[str, Any]]) -> Dict[int, Withheld]:
    found: Dict[int, Withheld] = {}
    for each in listed:
        if each["record"] in found or NEVER_WITHHELD.fullmatch(each["type"]):
            raise unreadable("copy-withheld")
        found[each["record"]] = Withheld(each["type"], each["sha256"], each["bytes"])
    return found


def read_redaction(data: bytes) -> Redaction:
    """The statement in the file beside a copy."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise unreadable() from None
    if not text.endswith("\n"):
        raise unreadable()
    file = read_object(text[:-1], FILE)
    said = read_object(file["statement"], STATEMENT)
    time: Optional[int] = microseconds(said["time"])
    if file["ns"] != NAMESPACE or said["_type"] != TYPE or time is None:
        raise unreadable()
    return Redaction(file["statement"], file["sig"], said, time, read_withheld(said["withheld"]))
