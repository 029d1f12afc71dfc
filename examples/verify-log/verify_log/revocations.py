"""Lists of revoked keys: a public key or a fingerprint in each line."""
from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Set

from .certificates import KEY_KIND, Certificate, Holder, read_certificate
from .keys import KINDS, NoPoint, fingerprint, read_key, read_kind, text_blob
from .signers import WHITE
from .verdict import Unreadable
from .wire import Malformed, Reader

FINGERPRINT = re.compile("(SHA256:[A-Za-z0-9+/]{43})=*(?![^ \\t\\r\\f])")
BINARY = b"SSHKRL\n\0"


@dataclass
class Revocations:
    """The fingerprints of all revoked keys. `unread` counts the lists that were not read."""

    fingerprints: Set[str] = field(default_factory=set)
    unread: int = 0

    def add_list(self, data: bytes) -> None:
        if data.startswith(BINARY):
            self.unread += 1
            return
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise Unreadable("the list of revoked keys is not UTF-8") from None
        for line in text.split("\n"):
            line = line.strip(WHITE)
            if line and not line.startswith("#"):
                self.fingerprints.add(revoked(line))

    def revokes(self, holder: Holder) -> bool:
        """Whether the key, or the authority of its certificate, is revoked."""
        return (holder.fingerprint in self.fingerprints or isinstance(holder, Certificate)
                and fingerprint(holder.authority) in self.fingerprints)


def revoked(line: str) -> str:
    """The fingerprint that a line names. A key of any kind may stand there."""
    form = FINGERPRINT.match(line)
    if form:
        return form.group(1)
    try:
        blob = text_blob(line)
        kind = read_kind(Reader(blob))
        if kind in KEY_KIND:
            return read_certificate(blob).fingerprint
        if kind in KINDS:
            read_key(blob)
    except NoPoint:
        return fingerprint(blob)
    except Malformed as error:
        raise Unreadable("a revoked key that cannot be read: %s" % error) from None
    return fingerprint(blob)
