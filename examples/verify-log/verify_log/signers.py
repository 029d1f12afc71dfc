"""The list of signers, `allowed_signers`: whose key may sign what, and when."""
from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Dict, List, Optional, Tuple

from .certificates import KEY_KIND
from .keys import KINDS, NoPoint, read_key, read_kind
from .times import SECOND
from .verdict import Unreadable
from .wire import Malformed, Reader, from_base64

BLANKS = " \t\r\f"
# What Unicode calls white space besides: it does not count around a line.
WHITE = BLANKS + "\v\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200b)))
TIME = re.compile(r"([0-9]{8})([0-9]{4})?([0-9]{2})?([Zz])?")
VALUED = ("namespaces", "valid-after", "valid-before")


@dataclass(frozen=True)
class Signer:
    """A line of the list. A time that it does not name is None; no namespaces means all."""

    names: Tuple[str, ...]
    authority: bool
    namespaces: Optional[Tuple[str, ...]]
    after: Optional[int]
    before: Optional[int]
    blob: bytes

    def fits(self, name: str, namespace: str, time: int) -> bool:
        """Names, namespace and time have to fit in this one line."""
        return (any_fits(self.names, name)
                and (self.namespaces is None or any_fits(self.namespaces, namespace))
                and (self.after is None or time >= self.after)
                and (self.before is None or time < self.before))


def pattern_fits(pattern: bytes, text: bytes) -> bool:
    """Whether `*` (any bytes) and `?` (one byte) make the pattern fit."""
    at, in_text, star, restart = 0, 0, -1, 0
    while in_text < len(text):
        if at < len(pattern) and pattern[at:at + 1] == b"*":
            star, restart = at, in_text
            at += 1
        elif at < len(pattern) and pattern[at:at + 1] in (b"?", text[in_text:in_text + 1]):
            at, in_text = at + 1, in_text + 1
        elif star >= 0:
            restart += 1
            at, in_text = star + 1, restart
        else:
            return False
    return not pattern[at:].strip(b"*")


def any_fits(patterns: Tuple[str, ...], text: str) -> bool:
    """A text fits a list when one pattern fits and none behind a `!` does."""
    fits = False
    for pattern in patterns:
        refused = pattern.startswith("!")
        if pattern_fits(pattern[refused:].encode(), text.encode()):
            if refused:
                return False
            fits = True
    return fits


def unquoted(text: str) -> str:
    return text.replace('"', "")


def word(text: str) -> Tuple[str, str]:
    """The first word, its quotes still in it, and what stands behind the blanks after it."""
    quoted = False
    for at, char in enumerate(text):
        if char == '"':
            quoted = not quoted
        elif char in BLANKS and not quoted:
            return text[:at], text[at:].lstrip(BLANKS)
    if quoted:
        raise Unreadable("a quote is not closed")
    return text, ""


def options_of(text: str) -> List[str]:
    """The options: divided by the commas outside of quotes."""
    found, start, quoted = [], 0, False
    for at, char in enumerate(text):
        if char == '"':
            quoted = not quoted
        elif char == "," and not quoted:
            found.append(text[start:at])
            start = at + 1
    return [unquoted(option) for option in found + [text[start:]]]


def names_of(text: str) -> Tuple[str, ...]:
    names = tuple(text.split(","))
    if "" in names:
        raise Unreadable("an empty name")
    return names


def time_of(text: str) -> int:
    """The time of an option: in UTC with a Z behind it, else in the local time zone."""
    form = TIME.fullmatch(text)
    if not form or (form.group(3) and not form.group(2)):
        raise Unreadable("no time: " + text)
    day, minute, second, utc = form.groups()
    try:
        moment = datetime.strptime(day + (minute or "0000") + (second or "00"), "%Y%m%d%H%M%S")
        return int((moment.replace(tzinfo=timezone.utc) if utc else moment).timestamp()) * SECOND
    except (ValueError, OverflowError):
        raise Unreadable("no time: " + text) from None


def read_options(text: str) -> Dict[str, str]:
    """The options by name; `cert-authority` has no value."""
    found: Dict[str, str] = {}
    for option in options_of(text):
        name, equals, value = option.partition("=")
        name = name.lower()
        if name not in VALUED if equals else name != "cert-authority":
            raise Unreadable("an unknown option: " + option)
        if name in found:
            raise Unreadable("an option stands twice: " + name)
        found[name] = value
    return found


def read_blob(kind: str, body: str) -> Optional[bytes]:
    """The strings of the key; None if it is of a kind that is skipped. The kind is the first
    string: where it is a known one, the word before it has to be the same."""
    try:
        blob = from_base64(body, padding_needed=False)
        first = read_kind(Reader(blob))
        if first in KEY_KIND:
            raise Malformed("a certificate in the place of a key")
        if first != kind and first in KINDS:
            raise Malformed("the key is of another kind than its word")
        return read_key(blob).blob if first in KINDS else None
    except NoPoint:
        return None
    except Malformed as error:
        raise Unreadable("a key that cannot be read: %s" % error) from None


def read_signer(text: str) -> Optional[Signer]:
    """One line; None if its key is of a kind that is skipped."""
    names, rest = word(text)
    patterns = names_of(unquoted(names))
    second, behind = word(rest)
    options: Dict[str, str] = {}
    if not unquoted(second).startswith(("ssh-", "sk-", "ecdsa-")):
        options, rest = read_options(second), behind
    namespaces = tuple(options["namespaces"].split(",")) if "namespaces" in options else None
    after, before = (time_of(options[name]) if name in options else None for name in VALUED[1:])
    if after is not None and before is not None and before <= after:
        raise Unreadable("the key is never valid")
    kind, rest = word(rest)
    body, _ = word(rest)
    blob = read_blob(unquoted(kind), unquoted(body))
    if blob is None:
        return None
    return Signer(patterns, "cert-authority" in options, namespaces, after, before, blob)


def read_signers(data: bytes) -> Dict[bytes, List[Signer]]:
    """The lines of the list, by their keys."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Unreadable("the list of signers is not UTF-8") from None
    found: Dict[bytes, List[Signer]] = {}
    for line in text.split("\n"):
        line = line.strip(WHITE)
        signer = read_signer(line) if line and not line.startswith("#") else None
        if signer:
            found.setdefault(signer.blob, []).append(signer)
    return found
