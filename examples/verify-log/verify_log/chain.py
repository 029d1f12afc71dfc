"""The chain: each line holds the SHA-256 of the one before. Which line a break is at."""
from __future__ import annotations

from typing import Optional

from .lines import Line
from .notes import read_note
from .statements import Before
from .verdict import Fault

NO_LINE = "0" * 64


def prev_fits(line: Line, last: Optional[Line]) -> bool:
    return line.prev == (last.sha256 if last else NO_LINE)


def fits(line: Line, last: Optional[Line], lines_before: int) -> bool:
    """Whether the line follows on `last`, which is None before the first line."""
    return prev_fits(line, last) and line.seq == lines_before


def blame(line: Line, last: Optional[Line], before: Before, behind: Optional[Line]) -> None:
    """The fault of a line that does not fit; `behind` is the line behind it, if it can be read."""
    if not prev_fits(line, last):
        if line.seq > before.lines:
            raise Fault(line.number, "missing", "chain-missing")
        if line.seq < before.lines:
            raise Fault(line.number, "moved", "chain-moved")
        changed_before = last is not None and as_written(line, before, behind)
        raise Fault(line.number - changed_before, "changed", "chain-changed")
    raise Fault(line.number, "changed", "chain-changed")


def as_written(line: Line, before: Before, behind: Optional[Line]) -> bool:
    """Whether the line is as it was written, so that the one before it must have been changed."""
    if behind:
        return behind.prev == line.sha256
    note = read_note(line.data.get("note"))
    return note is None or note.sha256 != before.sha256
