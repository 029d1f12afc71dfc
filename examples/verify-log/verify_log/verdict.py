"""The verdicts, and the exceptions by which a reading ends with one."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

EXIT = {"UNREADABLE": 65, "BROKEN": 40, "FORKED": 44, "TRUNCATED": 44, "POLICY": 46,
        "COMPLETE": 0, "ENDED": 43, "INTERRUPTED": 43, "NOT CHECKED": 47}

OF_STATE = {"closed": "COMPLETE", "ended": "ENDED", "handover": "INTERRUPTED",
            "open": "INTERRUPTED"}


@dataclass(frozen=True)
class Verdict:
    """What a verifier says: the word, and where it has one the line, the kind and the reason."""

    word: str
    line: Optional[int] = None
    kind: str = ""
    why: str = ""

    @property
    def exit(self) -> int:
        return EXIT[self.word]

    def __str__(self) -> str:
        where = "" if self.line is None else " line %d" % self.line
        kind = self.kind and " (%s)" % self.kind
        return self.word + where + kind + (self.why and ": " + self.why)


class Fault(Exception):
    """A fault of the bytes. It ends the reading: the log is BROKEN."""

    def __init__(self, line: Optional[int], kind: str, rule: str) -> None:
        super().__init__(rule)
        self.line, self.kind, self.rule = line, kind, rule


class Broken(Exception):
    """A rule of the run that was not kept: POLICY, unless the bytes do not hold."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


class Unreadable(Exception):
    """A list of signers or of revoked keys cannot be read: there is no verdict on the log."""
