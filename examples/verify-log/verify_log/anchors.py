"""Heads that anchors kept: whether the log begins with the bytes that they saw."""
from __future__ import annotations

import hashlib
import re
from typing import Dict, List

from .notes import Note, read_note

NOTE_LINES = 6
LEDGER = re.compile(r"ledger (0|[1-9][0-9]*) [0-9a-f]{64}")


def read_heads(text: str) -> List[Note]:
    """The heads in a file, one behind the other; ValueError if something else stands there."""
    lines = text.split("\n")
    if lines.pop() != "":
        raise ValueError("the last head does not end in a line end")
    found = []
    while lines:
        note = read_note("\n".join(lines[:NOTE_LINES]) + "\n")
        if note is None:
            raise ValueError("a head that is no note")
        del lines[:NOTE_LINES]
        if lines and LEDGER.fullmatch(lines[0]):
            del lines[0]
        found.append(note)
    return found


class Heads:
    """Takes the bytes of a log in, and says how it holds against the heads."""

    def __init__(self, heads: List[Note]) -> None:
        self.heads = heads
        self.waiting = sorted({head.bytes for head in heads}, reverse=True)
        self.digests: Dict[int, str] = {}
        self.size, self.hash = 0, hashlib.sha256()
        self.feed(b"")

    def feed(self, data: bytes) -> None:
        start = 0
        while self.waiting and self.waiting[-1] <= self.size + len(data):
            end = self.waiting[-1] - self.size
            self.hash.update(data[start:end])
            self.digests[self.waiting.pop()] = self.hash.hexdigest()
            start = end
        self.hash.update(data[start:])
        self.size += len(data)

    def verdict(self) -> str:
        """FORKED, TRUNCATED, or nothing where the log holds against all."""
        covered = [head for head in self.heads if head.bytes in self.digests]
        if any(self.digests[head.bytes] != head.sha256 for head in covered):
            return "FORKED"
        return "" if len(covered) == len(self.heads) else "TRUNCATED"
