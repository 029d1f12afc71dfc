"""Notes: the six lines that a seal signs, and that anchors keep as heads."""
from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Optional

FORM = re.compile(
    r"bgctl/log/(?P<origin>[^\n]*/[^\n]*)\n"
    r"lines (?P<lines>0|[1-9][0-9]*)\n"
    r"bytes (?P<bytes>0|[1-9][0-9]*)\n"
    r"sha256 (?P<sha256>[0-9a-f]{64})\n"
    r"time (?P<time>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z)\n"
    r"state (?P<state>open|ended|closed|handover)\n")

# No count of bytes needs more digits; longer ones are not made numbers.
MOST_DIGITS = 19


@dataclass(frozen=True)
class Note:
    """What a note says. `origin` is SERVICE/RUN."""

    origin: str
    lines: int
    bytes: int
    sha256: str
    time: str
    state: str


def read_note(value: Any) -> Optional[Note]:
    """The note that this text is, or None."""
    form = FORM.fullmatch(value) if isinstance(value, str) else None
    if not form or max(len(form["lines"]), len(form["bytes"])) > MOST_DIGITS:
        return None
    return Note(form["origin"], int(form["lines"]), int(form["bytes"]), form["sha256"],
                form["time"], form["state"])
