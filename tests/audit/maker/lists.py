"""Lists of signers and of keys that were given up, as people write them and as they should not."""

import os
import subprocess

from keys import ED, pack, text64


def signers(dice, people, ways):
    """A list of signers: who, under which key, and how that is written down."""
    out = []
    for who, key, authority in people:
        options = ['namespaces="bgctl-*"']
        name, sep, end, line = who, " ", "", key.line()
        for way in ways.get("signers", []):
            if who not in (ways.get("whose"), None) and way not in ("crlf", "comments"):
                continue
            if line is None:
                continue
            if way == "options":
                options = [dice.choice([
                    "namespaces=bgctl-*", "NAMESPACES=\"bgctl-*\"", 'namespaces="bgctl-open-v1,bgctl-close-v1,bgctl-approve-v1"', 'namespaces="git"',
                    'namespaces="bgctl-*,!bgctl-close-v1"', "namespaces=", "namespaces", 'namespaces="bgctl-?pen-v1,bgctl-*e-v1"',
                    "namespaces=bgctl-open-v1,bgctl-close-v1", 'namespaces="git",namespaces="bgctl-*"', 'name"spaces=bgctl-*"', "colour=blue",
                    "zulu", 'namespaces="bgctl-*",', ',namespaces="bgctl-*"', 'namespaces=" bgctl-*"', 'namespaces="bgctl-* "', 'namespaces="bgctl\\"-*"',
                ])]
            elif way == "times":
                options.append(dice.choice([
                    'valid-after="20260101Z"', 'valid-before="20270101Z"', "valid-before=20261121030245Z", "valid-after=20261121030245Z",
                    'valid-before="202611210303Z"', "valid-after=20260101", 'valid-after="20260101Z",valid-before="20260101Z"', "valid-before=20261301Z",
                    "valid-before=yesterday", "valid-after=2026010Z", 'valid-before="20261121030300z"', 'valid-after="20260101Z",VALID-AFTER="20260101Z"',
                    "valid-before=20261121030260Z", 'valid-after=" 20260101Z"', 'valid-after="20260230Z"', 'valid-before="19690101Z"', "valid-before=",
                    "valid-before=20261121030241Z", "valid-after=20261121030241Z",
                ]))
            elif way == "name":
                name = dice.choice([
                    f'"{who}"', f"a@b,{who}", f"*@example.com", f"!{who},*", f'"a@b,{who}"', f"{who},", f",{who}", who.upper(), "?" * len(who), "*",
                    who[:3] + '"' + who[3:] + '"', f'"{who}', f"{who}\\", f'"a b,{who}"', f"!other@example.com,{who}", "[e]*", f"#{who}",
                ])
            elif way == "blanks":
                sep = dice.choice(["\t", "  ", " \t ", "\f", "\r", "\v", "\u00a0"])
            elif way == "lead":
                name = dice.choice([" ", "\t", "\ufeff", "\u00a0", "\v", "\0"]) + name
            elif way == "tail":
                end = dice.choice([" a comment", " with \"a quote", " ü", "\t", " \u00a0", "\u00a0", "\v", "\0", "="])
            elif way == "key":
                kind, text = line.split()[:2]
                line = dice.choice([
                    f"{kind} {text[:-3]}", f"{kind} {text}A", f"ssh-rsa {text}", f"ssh-ed25519 {text}", kind, f'"{kind}" {text}', f'{kind} "{text}"',
                    f"{kind} {text[:40]}!{text[41:]}", f"{kind} {text.rstrip('=')}", f"ssh-rsa AAAAB3NzaC1yc2EAAAABAw==", f"ssh-ed25519 {text64(pack(ED, b'x' * 31))}",
                    f"ssh-ed25519 {text64(pack(ED, bytes([dice.randrange(256) for _ in range(32)])))}",
                    f"ssh-ed25519 {text64(pack(ED, b'x' * 32) + b'?')}", f"ssh-dss {text64(pack(b'ssh-dss', b'x'))}", f"{kind}{text}",
                    f"ecdsa-sha2-nistp256 {text64(pack(b'ecdsa-sha2-nistp256', b'nistp256', bytes([4]) + b'x' * 64))}",
                    f"ecdsa-sha2-nistp256 {text64(pack(b'ecdsa-sha2-nistp256', b'nistp256', bytes([2]) + b'x' * 32))}",
                ])
            elif way == "gone":
                line = None
            elif way == "authority":
                authority = not authority
        words = [name] + ([",".join((["cert-authority"] if authority else []) + options)] if options or authority else []) + [line or ""]
        if line is not None:
            out.append(sep.join(words) + end)
        if "also" in ways.get("signers", []) and who == ways.get("whose"):
            out.append(f'{dice.choice([who, "other@example.com"])} namespaces="{dice.choice(["git", "bgctl-*", "bgctl-approve-v1"])}" {key.line()}')
    if "comments" in ways.get("signers", []):
        out = ["# team", "", *out, "   # more ü", "\t"]
    dice.shuffle(out)
    text = ("\r\n" if "crlf" in ways.get("signers", []) else "\n").join(out)
    data = (text + dice.choice(["\n", ""])).encode()
    return data + (b"\xff\n" if "no text" in ways.get("signers", []) else b"")


def given_up(dice, folder, keys):
    """A list of keys that were given up."""
    key = keys[dice.choice(["owner", "rm", "rm", "stranger", "ca", "ca"])]
    form = dice.choice(["key", "key", "print", "print", "comment", "crlf", "bad", "empty", "krl", "print=", "blank", "short", "krl cut", "certificate", "ü"])
    plain = f"{text64(key.plain)}"
    line = {
        "key": f"ssh-ed25519 {plain} old laptop", "print": key.fingerprint(), "comment": f"# {key.fingerprint()}", "crlf": f"{key.fingerprint()}\r",
        "bad": "alice@example.com", "empty": "", "print=": key.fingerprint() + "=", "blank": f"   {key.fingerprint()} lost", "short": key.fingerprint()[:-1],
        "certificate": key.line(), "ü": f"ü {plain}",
    }.get(form)
    path = os.path.join(folder, "gone")
    if line is None:
        open(path + ".pub", "w").write(f"{key.line()}\n")
        subprocess.run(["ssh-keygen", "-q", "-k", "-f", path, path + ".pub"], check=True)
        data = open(path, "rb").read()
        os.remove(path), os.remove(path + ".pub")
        return form, data[: -5 if form == "krl cut" else None]
    return form, (line + "\n").encode()
