"""The command: reads the files that it is given, and says one verdict."""
from __future__ import annotations

import argparse
import os
import sys
from typing import BinaryIO, List, Optional

from .anchors import Heads, read_heads
from .belief import Trust
from .log import Reading
from .notes import Note
from .redaction import Redaction, read_redaction
from .revocations import Revocations
from .shared_keys import SharedKey
from .signers import read_signers
from .verdict import OF_STATE, Fault, Unreadable, Verdict


def content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def read_trust(signers: str, revoked: List[str], shared_key: Optional[str]) -> Trust:
    """What to believe. Raises Unreadable where a list cannot be read."""
    beside = os.path.join(os.path.dirname(signers), "revoked_keys")
    lists = revoked + ([beside] if os.path.exists(beside) else [])
    try:
        revocations = Revocations()
        for path in lists:
            revocations.add_list(content(path))
        key = SharedKey.read(content(shared_key)) if shared_key else None
        return Trust(read_signers(content(signers)), revocations, key)
    except (OSError, ValueError) as error:
        raise Unreadable(str(error)) from None


def redaction_beside(log: str) -> Optional[Redaction]:
    path = log + ".redaction"
    return read_redaction(content(path)) if os.path.exists(path) else None


def verify(log: str, trust: Trust, heads: List[Note], all_seals: bool = True) -> Verdict:
    """The verdict on a log."""
    try:
        with open(log, "rb") as file:
            return verify_file(file, redaction_beside(log), trust, heads, all_seals)
    except Fault as fault:
        return Verdict("BROKEN", fault.line, fault.kind, fault.rule)


def verify_file(file: BinaryIO, redaction: Optional[Redaction], trust: Trust, heads: List[Note],
                all_seals: bool) -> Verdict:
    compared = Heads([] if redaction else heads)
    reading = Reading(trust, redaction, compared, all_seals)
    reading.read(file)
    if reading.untrusted:
        return Verdict("BROKEN", kind="untrusted", why="an owner is not believed")
    if compared.verdict():
        return Verdict(compared.verdict())
    if reading.judge.broken:
        line, rule = reading.judge.broken
        return Verdict("POLICY", line, "rule", rule)
    word = OF_STATE[reading.state]
    if word == "COMPLETE" and trust.revocations.unread:
        word = "NOT CHECKED"
    return Verdict(word)


def arguments(given: Optional[List[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="verify_log.py", description=__doc__)
    parser.add_argument("log")
    parser.add_argument("allowed_signers")
    parser.add_argument("--revoked", action="append", default=[], metavar="FILE",
                        help="keys that no longer count")
    parser.add_argument("--heads", metavar="FILE", help="heads that anchors kept")
    parser.add_argument("--shared-key", metavar="FILE", help="the key that the owner shares")
    parser.add_argument("--all-seals", action="store_true",
                        help="check each seal's signature, not only the last of each session")
    return parser.parse_args(given)


def not_checked(trust: Trust, all_seals: bool) -> List[str]:
    left_out = []
    if not all_seals:
        left_out.append("not checked: the signatures of the earlier seals of each session")
    if trust.revocations.unread:
        left_out.append("not checked: a list of revoked keys in OpenSSH's binary form")
    return left_out


def main(given: Optional[List[str]] = None) -> int:
    options = arguments(given)
    try:
        trust = read_trust(options.allowed_signers, options.revoked, options.shared_key)
        heads = read_heads(content(options.heads).decode()) if options.heads else []
        verdict = verify(options.log, trust, heads, options.all_seals)
        for line in not_checked(trust, options.all_seals):
            print(line)
    except (Unreadable, OSError, ValueError) as error:
        verdict = Verdict("UNREADABLE", why=str(error))
    sys.stdout.buffer.write((str(verdict) + "\n").encode("utf-8", "replace"))
    return verdict.exit
