"""The reading of a log: one pass over its bytes, in which the first fault ends it."""
from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import BinaryIO, Iterator, List, Optional, Set, Tuple

from . import chain, lines
from .anchors import Heads
from .belief import Trust
from .lines import Line, Raw
from .redaction import Redaction
from .rules import Judge
from .seals import BY_SESSION, SealReader, Session
from .statements import Before, Statement, StatementReader
from .verdict import Fault

LARGEST_GROUP = 16_777_216


class Reading:
    """The state of a reading. Only the lines behind the last seal are kept, for the rules."""

    def __init__(self, trust: Trust, redaction: Optional[Redaction], heads: Heads,
                 all_seals: bool) -> None:
        self.trust, self.redaction, self.heads, self.all_seals = trust, redaction, heads, all_seals
        self.judge = Judge(trust)
        self.hash = hashlib.sha256()
        self.lines, self.bytes = 0, 0
        self.withheld = False
        self.untrusted = False
        self.first: Optional[Line] = None
        self.last: Optional[Line] = None
        self.state = ""
        self.session: Optional[Session] = None
        self.first_statement: Optional[Statement] = None
        self.owners: Set[str] = set()
        self.unchecked_seal: Optional[SealReader] = None
        self.group: List[Tuple[Line, Optional[Statement]]] = []
        self.group_bytes = 0
        self.group_anomaly = False
        self.went_back: Optional[int] = None

    def read(self, file: BinaryIO) -> None:
        """Reads all lines. Raises the first Fault."""
        try:
            self.read_lines(lines.raw_lines(file))
        except Fault:
            # A seal whose signature was put off stands before the fault.
            self.check_unchecked_seal()
            raise
        self.check_unchecked_seal()
        if self.group:
            raise Fault(self.group[0][0].number, "unsealed", "end-unsealed")
        if self.redaction:
            self.redaction.check(self.trust, self.first.run, self.owners, self.lines, self.bytes,
                                 self.hash.hexdigest())
        self.judge.end(self.state, self.last.number)

    def read_lines(self, raws: Iterator[Raw]) -> None:
        raw = next(raws, None)
        if raw is None:
            raise Fault(1, "empty", "end-empty")
        while raw is not None:
            number = self.lines + 1
            if raw.torn:
                raise Fault(number, "unsealed", "end-torn")
            line = self.original(lines.read(raw, number))
            behind = next(raws, None)
            self.take(line, behind)
            self.add(line, raw)
            raw = behind

    def original(self, line: Line) -> Line:
        """The line; if it is withheld, with the SHA-256 and the size of the original line."""
        entry = self.redaction.withheld.get(line.number - 1) if self.redaction else None
        if entry is None:
            return line
        if entry.type != line.type:
            raise Fault(line.number, "redaction", "copy-type")
        return replace(line, sha256=entry.sha256, size=entry.bytes, withheld=True)

    def take(self, line: Line, behind: Optional[Raw]) -> None:
        """All checks of a line, in the order of the page."""
        self.group_bytes += line.size
        if self.group_bytes > LARGEST_GROUP:
            raise Fault(line.number, "order", "group-long")
        if self.first and line.run != self.first.run:
            raise Fault(line.number, "other-run", "chain-run")
        if not chain.fits(line, self.last, self.lines):
            chain.blame(line, self.last, self.before(), lines.readable(behind, line.number + 1))
        self.check_order(line)
        self.check_time(line)
        if line.begins_session:
            self.begin_session(line)
        elif line.type == "seal":
            self.seal(line)
        else:
            self.note_anomaly(line)
            self.group.append((line, None))

    def before(self) -> Before:
        return Before(self.lines, self.bytes, None if self.withheld else self.hash.hexdigest())

    def add(self, line: Line, raw: Raw) -> None:
        """Counts a line that was taken."""
        self.hash.update(raw.data)
        self.heads.feed(raw.data)
        self.lines += 1
        self.bytes += line.size
        self.withheld = self.withheld or line.withheld
        self.first, self.last = self.first or line, line

    def check_order(self, line: Line) -> None:
        def hold(holds: bool, rule: str) -> None:
            if not holds:
                raise Fault(line.number, "order", rule)

        resumed, sealed = line.type == "run.resumed", self.last and self.last.type == "seal"
        hold(self.lines != 0 or line.type == "run.opened", "order-first")
        hold(self.lines != 1 or line.type == "plan.loaded", "order-plan")
        hold(self.lines < 2 or line.type not in ("run.opened", "plan.loaded"), "order-opened")
        hold(not resumed or bool(sealed), "order-resumed")
        if sealed:
            hold(self.state != "closed", "order-closed")
            hold(self.state != "handover" or resumed, "order-handover")
            hold(self.state != "ended" or resumed or line.type == "seal", "order-ended")

    def check_time(self, line: Line) -> None:
        if line.begins_session:
            return
        if line.mono < self.last.mono:
            raise Fault(line.number, "time", "time-mono")
        if line.time < self.last.time and self.went_back is None:
            self.went_back = line.number
        if line.type == "seal" and self.went_back and not self.group_anomaly:
            raise Fault(self.went_back, "time", "time-back")

    def begin_session(self, line: Line) -> None:
        self.check_unchecked_seal()
        reader = StatementReader(line, self.before(), self.first_statement, self.trust)
        statement = reader.read()
        self.untrusted = self.untrusted or not statement.believed
        self.first_statement = self.first_statement or statement
        self.owners.add(statement.owner)
        self.session = Session(statement, line)
        self.group.append((line, statement))

    def note_anomaly(self, line: Line) -> None:
        if line.type == "clock.anomaly":
            self.group_anomaly = self.session.anomaly = True

    def seal(self, line: Line) -> None:
        reader = SealReader(line, self.last, self.state, self.session)
        note = reader.read(self.before())
        if line.data["ns"] == BY_SESSION:
            self.unchecked_seal = reader
            if self.all_seals:
                self.check_unchecked_seal()
        elif not reader.believed_owner(self.trust):
            self.untrusted = True
        self.state = note.state
        self.judge.take(self.group + [(line, None)])
        self.group, self.group_bytes = [], 0
        self.group_anomaly, self.went_back = False, None

    def check_unchecked_seal(self) -> None:
        reader, self.unchecked_seal = self.unchecked_seal, None
        if reader:
            reader.check_session_signature()
