"""One line of a log: its bytes, its eight members, and the rules of "Lines"."""
from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any, BinaryIO, Dict, Iterator, Optional

from .records import TYPES
from .spelling import Misspelled, read_line
from .times import microseconds
from .verdict import Fault

LONGEST = 65_536
LONGEST_PLAN = 8_388_608
DIGEST = re.compile("[0-9a-f]{64}")

MEMBERS = {"v": int, "seq": int, "run": str, "ts": str, "mono": int, "type": str, "prev": str,
           "data": dict}


@dataclass(frozen=True)
class Raw:
    """The bytes of a line as they stand in the file, with the LF.

    Of a line longer than any may be, only the beginning is kept: `cut` says so.
    """

    data: bytes
    cut: bool
    torn: bool


@dataclass(frozen=True)
class Line:
    """A line that could be read. `sha256` and `size` are those of its bytes with the LF."""

    number: int
    seq: int
    run: str
    ts: str
    time: int
    mono: int
    type: str
    prev: str
    data: Dict[str, Any]
    sha256: str
    size: int
    withheld: bool = False

    @property
    def begins_session(self) -> bool:
        return self.type in ("run.opened", "run.resumed")


def raw_lines(file: BinaryIO) -> Iterator[Raw]:
    """The lines of a file, with no more of any in memory than a line may have."""
    while True:
        data = file.readline(LONGEST_PLAN + 1)
        if not data:
            return
        cut, end = False, data
        while not end.endswith(b"\n"):
            end = file.readline(LONGEST_PLAN)
            if not end:
                break
            cut = True
        yield Raw(data, cut or len(data) > LONGEST_PLAN, not end.endswith(b"\n"))


def read(raw: Raw, number: int) -> Line:
    """The line, if the rules of "Lines" hold for it."""

    def hold(holds: bool, rule: str) -> None:
        if not holds:
            raise Fault(number, "unreadable", rule)

    hold(not raw.torn, "line-long")
    hold(not raw.cut, "line-long")
    try:
        value = read_line(raw.data[:-1].decode("utf-8"))
    except UnicodeDecodeError:
        raise Fault(number, "unreadable", "line-utf8") from None
    except Misspelled:
        raise Fault(number, "unreadable", "line-spelling") from None
    hold(isinstance(value, dict) and list(value) == list(MEMBERS), "line-members")
    hold(all(type(value[name]) is kind for name, kind in MEMBERS.items()), "line-members")
    hold(value["seq"] >= 0 and value["mono"] >= 0, "line-members")
    hold(value["v"] == 1, "line-version")
    time = microseconds(value["ts"])
    hold(time is not None, "line-ts")
    hold(value["type"] in TYPES, "line-type")
    hold(DIGEST.fullmatch(value["prev"]) is not None, "line-prev")
    hold(value["type"] == "plan.loaded" or len(raw.data) <= LONGEST, "line-long")
    return Line(number, value["seq"], value["run"], value["ts"], time or 0, value["mono"],
                value["type"], value["prev"], value["data"],
                hashlib.sha256(raw.data).hexdigest(), len(raw.data))


def readable(raw: Optional[Raw], number: int) -> Optional[Line]:
    """The line, or None where there is none or where it cannot be read."""
    try:
        return read(raw, number) if raw else None
    except Fault:
        return None
