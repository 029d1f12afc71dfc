"""Makes logs, lists of signers and lists of revoked keys, from a seed, for verifiers to disagree about.

Written from `src/audit/audit.md` and `bgctl explain keys`, beside the writer of bgctl and not after it: Python's own library, its
own Ed25519, and ssh-keygen for the keys it has no arithmetic for. What a case varies is listed in its file `case`.

    main.py FOLDER FIRST COUNT
"""

import json
import os
import random
import sys

from facts import write
from keys import Key, Nist, certified
from lists import given_up, signers
from log import OWNER, RM, RM2, SPOILS, START, Log, plan_of


def kind_of_key(dice, name, who, ca, shared, ways):
    """Another kind of key for somebody: a security key, one with a certificate, or one of the other curve."""
    kind = dice.choice(["sk", "sk", "certificate", "certificate", "certificate", "nist"])
    ways.setdefault("kinds", []).append(f"{name} {kind}")
    if kind == "nist":
        return Nist(shared, name)
    flags = dice.choice([0, 1, 1, 4, 5, 5, 0x81])
    if kind == "sk":
        return Key(name, flags)
    key = Key(name, dice.choice([None, None, flags]))
    second = int(START.timestamp())
    return certified(
        key, ca, dice.choice([[who], [who], [who], [who, "x"], ["x"], [], ["*"], [who.upper()]]), dice.choice([1, 1, 1, 1, 1, 2]),
        dice.choice([(), (), (), (), ("verify-required",), ("force-command",), ("unheard-of",), ("verify-required", "force-command")]),
        dice.choice([0, 0, 0, second - 60, second + 4]), dice.choice([2**64 - 1, 2**64 - 1, second + 3600, second + 10, second]),
        dice.random() < 0.1,
    )


# What a case may vary; a case takes one to three of them.
def vary(dice, ways, keys, people, shared):
    pick = dice.choice([
        "signers", "signers", "signers", "owner key", "rm key", "rm key", "spoil", "spoil", "answers", "answers", "order", "order", "order", "end",
        "resumed", "statement", "grant", "request", "seals", "form", "plan", "revoked", "revoked", "time", "giver", "session",
    ])
    if pick == "signers":
        ways["signers"] = ways.get("signers", []) + [dice.choice([
            "options", "options", "options", "times", "times", "times", "name", "name", "blanks", "lead", "tail", "key", "key", "gone", "authority", "also",
            "comments", "crlf", "no text",
        ])]
        ways["whose"] = dice.choice([OWNER, RM, RM, "*"])
    elif pick in ("owner key", "rm key"):
        name, who = ("owner", OWNER) if pick == "owner key" else ("rm", RM)
        keys[name] = kind_of_key(dice, name, who, keys["ca"], shared, ways)
        if keys[name].blob == keys[name].plain:
            people[:] = [(other, keys[name] if other == who else key, ca) for other, key, ca in people]
        elif dice.random() < 0.8:
            people[:] = [p for p in people if p[0] != who or dice.random() < 0.2] + [(dice.choice(["*", who, who, "x"]), keys["ca"], True)]
    elif pick == "spoil":
        ways["spoil " + dice.choice(["opening", "seal", "closing", "grant", "grant", "grant"])] = dice.choice(SPOILS)
    elif pick == "answers":
        ways[dice.choice(["quorum", "own", "evidence", "two", "denied", "withdrawn", "expired", "trigger", "uses none"])] = True
        if dice.random() < 0.2:
            ways["prompt"] = dice.choice([OWNER, RM, "x"])
    elif pick == "order":
        ways["order"] = dice.choice(["swap", "drop", "twice", "cut", "other outcome", "strange", "more", "less"])
    elif pick == "end":
        ways["end"] = dice.choice(["closed", "ended", "open", "handover", "cut", "aborted"])
    elif pick == "resumed":
        ways["resumed"] = dice.choice([(OWNER, keys["owner"]), (RM, keys["rm"]), (RM2, keys["rm2"]), ("x", keys["stranger"])])
    elif pick == "statement":
        key = keys["owner"].line()
        ways["says of itself"] = dice.choice([
            {"owner_key": key + " a comment"}, {"owner_key": key.replace(" ", "  ")}, {"owner_key": keys["stranger"].line()}, {"extra": 1},
            {"owner_key": key.split()[0]}, {"session_key": "ssh-ed25519 AAAA"}, {"session_key": keys["stranger"].line()}, {"owner": RM}, {"owner": ""},
            {"owner": "ä"}, {"owner": "a\nb"}, {"assurance": 7}, {"policy_sha256": "ab" * 32}, {"service": "other"}, {"owner_key": key.rstrip("=")},
            {"not_after": "2026-11-21T03:02:50.000000Z"}, {"session_key": Key("session").line() + " x"}, {"owner_key": "hmac-sha256 x"}, {"mode": None},
        ])
    elif pick == "grant":
        more = {"key": None}, {"evidence": "signed-hw"}, {"evidence": "slack"}, {"evidence": "?"}, {"extra": 1}, {"principal": OWNER}, {"sig": None}, {"prompt": "x"}
        ways["in grant"] = dice.choice(more)
        if dice.random() < 0.3:
            ways["names key"] = dice.random() < 0.5
    elif pick == "request":
        ways["in request"] = dice.choice([
            {"nonce": "5E" * 32}, {"extra": 1}, {"quorum": 7}, {"measured": ["99 %"]}, {"measured": []}, {"requested_by": RM}, {"summary": "nothing"},
            {"expires": 1}, {"step_sha256": "0" * 64}, {"use_by": 1},
        ])
    elif pick == "seals":
        ways.update(dice.choice([{"few seals": True}, {"seal by owner": True}, {"in seals": {"extra": "1"}}, {"in seals": {"ns": "bgctl-open-v1"}}]))
    elif pick == "form":
        more = {"hash_name": "sha256"}, {"reserved": b"x"}, {"more": b"x"}, {"columns": 76}
        ways[dice.choice(["form", "form of grant", "form of grant"])] = dice.choice(more)
    elif pick == "plan":
        ways["resources"] = True
    elif pick == "revoked":
        ways["revoked"] = dice.choice(["beside", "beside", "named"])
    elif pick == "time":
        ways.update(dice.choice([{"back": True}, {"back": False}, {"late": 13 * 3600}, {"late": 0.25}]))
    elif pick == "giver":
        ways["giver"] = dice.choice([(RM, keys["stranger"]), (OWNER, keys["owner"]), ("x", keys["stranger"]), (RM2, keys["rm"]), (RM, keys["owner"])])
        if dice.random() < 0.2:
            ways["grant for"] = dice.choice(["bgctl-deny-v1", "bgctl-open-v1"])
    elif pick == "session":
        keys["session"] = dice.choice([Key("session", 1), Key("session", 0), certified(Key("session"), keys["ca"], ["x"]), Key("owner")])


def case(folder, seed, shared):
    dice = random.Random(seed)
    os.makedirs(folder, exist_ok=True)
    keys = {name: Key(name) for name in ("owner", "rm", "rm2", "stranger", "ca", "session")}
    people = [(OWNER, keys["owner"], False), (RM, keys["rm"], False), (RM2, keys["rm2"], False)]
    ways = {}
    for _ in range(dice.choice([0, 1, 1, 1, 2, 2, 3])):
        vary(dice, ways, keys, people, shared)
    run = f"20261121-0302-{'abcdefghjk'[seed % 10]}{'abcdefghjk'[seed // 10 % 10]}{'abcdefghjk'[seed // 100 % 10]}"
    log = Log(run, plan_of(dice, ways), OWNER, keys["owner"], keys["session"], ways)
    write(log, dice, ways, keys)
    options = ["--all-seals"] if dice.random() < 0.5 else []
    put = lambda name, data: open(os.path.join(folder, name), "wb").write(data)
    put("log.jsonl", log.data)
    put("allowed_signers", signers(dice, people, ways))
    if "revoked" in ways:
        form, data = given_up(dice, folder, keys)
        ways["revoked"] += " " + form
        named = ways["revoked"].startswith("named")
        put("given_up" if named else "revoked_keys", data)
        options += ["--revoked", os.path.join(folder, "given_up")] if named else []
    told = {way: said for way, said in ways.items() if way not in ("giver", "resumed")}
    put("case", (json.dumps({"seed": seed, "ways": told | {w: ways[w][0] for w in ("giver", "resumed") if w in ways}}, default=str) + "\n").encode())
    put("options", "\n".join(options).encode())


def main(folder, first, count):
    shared = os.path.join(folder, "keys")
    os.makedirs(shared, exist_ok=True)
    for seed in range(first, first + count):
        case(os.path.join(folder, str(seed)), seed, shared)


main(os.path.abspath(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
