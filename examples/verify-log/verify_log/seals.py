"""Seals: what they have to cover, and by whom they are signed."""
from __future__ import annotations

from dataclasses import dataclass

from .belief import Trust
from .lines import Line
from .notes import Note, read_note
from .statements import Before, Statement, check_holder, check_owner, proof_member
from .verdict import Fault
from .wire import Malformed

BY_SESSION, BY_OWNER = "bgctl-seal-v1", "bgctl-close-v1"
NAMESPACE = {"open": BY_SESSION, "ended": BY_SESSION, "closed": BY_OWNER, "handover": BY_OWNER}


@dataclass
class Session:
    """The session that seals: its statement, its first line, whether its clock was set."""

    statement: Statement
    first: Line
    anomaly: bool = False


class SealReader:
    """Checks one seal, in the order of the rules; the signature is checked apart."""

    def __init__(self, line: Line, last: Line, last_state: str, session: Session) -> None:
        self.line, self.last, self.last_state, self.session = line, last, last_state, session

    def hold(self, holds: bool, rule: str) -> None:
        if not holds:
            raise Fault(self.line.number, "seal", rule)

    def read(self, before: Before) -> Note:
        data = self.line.data
        self.hold(list(data) in (["note", "ns", "sig"], ["note", "ns", "mac"])
                  and all(isinstance(value, str) for value in data.values()), "seal-members")
        note = read_note(data["note"])
        if note is None:
            raise Fault(self.line.number, "seal", "seal-note")
        statement = self.session.statement
        self.hold(note.origin == statement.service + "/" + self.line.run, "seal-origin")
        self.hold((note.lines, note.bytes) == (before.lines, before.bytes), "seal-covers")
        self.hold(before.sha256 in (None, note.sha256), "seal-sha256")
        self.hold(note.time == self.line.ts and self.line.mono == self.last.mono, "seal-time")
        self.hold(note.state != "open" or self.last.type != "seal", "seal-empty")
        self.hold(note.state != "ended" or self.last.type != "seal" or self.last_state != "ended",
                  "seal-ended")
        self.hold(data["ns"] == NAMESPACE[note.state], "seal-ns")
        if data["ns"] == BY_SESSION:
            self.check_window()
        return note

    def check_window(self) -> None:
        """The monotonic clock has to be in the window always, the wall clock unless it was set."""
        statement = self.session.statement
        times = [self.session.first.time + self.line.mono]
        if not self.session.anomaly:
            times.append(self.line.time)
        self.hold(all(statement.not_before <= time <= statement.not_after for time in times),
                  "seal-window")

    def check_session_signature(self) -> None:
        data = self.line.data
        try:
            check_holder(self.session.statement.session_key, data.get("sig"), BY_SESSION,
                         data["note"].encode())
        except Malformed:
            raise Fault(self.line.number, "seal", "seal-signature") from None

    def believed_owner(self, trust: Trust) -> bool:
        """Whether the owner of the newest statement, who signed this seal, is believed."""
        data, statement = self.line.data, self.session.statement
        try:
            return check_owner(trust, statement.owner_key, statement.owner,
                               data.get(proof_member(statement.owner_key)), BY_OWNER,
                               data["note"].encode(), self.line.time)
        except Malformed:
            raise Fault(self.line.number, "seal", "seal-owner") from None
