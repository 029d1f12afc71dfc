#!/usr/bin/env python3
"""Says of each test vector whether the verifier agrees: verdict, exit, line and kind."""
from __future__ import annotations

import json
import os
import sys
from typing import List, Tuple

from verify_log.anchors import read_heads
from verify_log.command import content, read_trust, verify
from verify_log.verdict import Unreadable, Verdict


def said(folder: str) -> Verdict:
    """The verdict of the verifier on a vector."""
    def path(name: str) -> str:
        return os.path.join(folder, name)

    try:
        shared = path("shared_key") if os.path.exists(path("shared_key")) else None
        trust = read_trust(path("allowed_signers"), [], shared)
    except Unreadable as error:
        return Verdict("UNREADABLE", why=str(error))
    heads = read_heads(content(path("heads")).decode()) if os.path.exists(path("heads")) else []
    return verify(path("log.jsonl"), trust, heads)


def compare(folder: str) -> Tuple[bool, str]:
    with open(os.path.join(folder, "expected"), encoding="utf-8") as file:
        expected = json.load(file)
    verdict = said(folder)
    agrees = ((verdict.word, verdict.exit, verdict.line, verdict.kind)
              == (expected["verdict"], expected["exit"], expected.get("line"),
                  expected.get("kind", "")))
    # The reason is not part of the format: it only shows that the vector is about its rule.
    other_rule = verdict.why and not verdict.why.startswith(expected["rule"])
    note = " (reason: %s)" % verdict.why if agrees and other_rule else ""
    return agrees, str(verdict) + note if agrees else "%s, expected %s" % (verdict, expected)


def main(given: List[str]) -> int:
    vectors = given[0] if given else os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                                  "vectors")
    disagree = 0
    for name in sorted(os.listdir(vectors)):
        agrees, text = compare(os.path.join(vectors, name))
        disagree += not agrees
        print("%s %s: %s" % ("agrees   " if agrees else "DISAGREES", name, text))
    print("%d vectors, %d disagree" % (len(os.listdir(vectors)), disagree))
    return 1 if disagree else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
