"""Certificates (PROTOCOL.certkeys), which stand where a key does."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple, Union

from .keys import KINDS, Key, check_signature, key_strings, read_key, read_kind
from .wire import Malformed, Reader, string

USER = 1


def certificate_kind(kind: str) -> str:
    """The kind of a certificate for a key of this kind."""
    return kind.replace("@openssh.com", "") + "-cert-v01@openssh.com"


KEY_KIND = {certificate_kind(kind): kind for kind in KINDS}


@dataclass(frozen=True)
class Certificate:
    """A certificate: the key in it, and what its authority says of it."""

    blob: bytes
    key: Key
    type: int
    names: Tuple[bytes, ...]
    valid_after: int
    valid_before: int
    critical: Tuple[bytes, ...]
    authority: bytes
    signed: bytes
    signature: bytes

    @property
    def fingerprint(self) -> str:
        return self.key.fingerprint

    @property
    def verify_required(self) -> bool:
        return b"verify-required" in self.critical

    def holds(self) -> bool:
        """Whether the authority's signature holds; a security key as authority was touched."""
        try:
            authority = read_key(self.authority)
            mark = check_signature(authority, self.signature, self.signed)
        except Malformed:
            return False
        return mark.touched or not authority.is_security_key


Holder = Union[Key, Certificate]


def strings_of(data: bytes) -> Tuple[bytes, ...]:
    reader, found = Reader(data), []
    while reader.more:
        found.append(reader.string())
    return tuple(found)


def read_certificate(blob: bytes) -> Certificate:
    reader = Reader(blob)
    kind = KEY_KIND[read_kind(reader)]
    reader.string()  # the nonce
    start = reader.at
    point, application = key_strings(kind, reader)
    key = Key(kind, string(kind.encode()) + blob[start:reader.at], point, application)
    reader.uint64()  # the serial
    cert_type = reader.uint32()
    reader.string()  # the id
    names = strings_of(reader.string())
    after, before = reader.uint64(), reader.uint64()
    critical = strings_of(reader.string())
    if len(critical) % 2:
        raise Malformed("an option without its data")
    reader.string()  # the extensions: nothing that they allow is asked of a signature
    reader.string()  # reserved
    authority = reader.string()
    signed = blob[:reader.at]
    signature = reader.string()
    reader.end()
    return Certificate(blob, key, cert_type, names, after, before, critical[::2], authority, signed,
                       signature)


def read_holder(blob: bytes) -> Holder:
    """The key or the certificate that these strings are."""
    return read_certificate(blob) if read_kind(Reader(blob)) in KEY_KIND else read_key(blob)


def plain_key(holder: Holder) -> Key:
    """The key itself: of a certificate the one in it."""
    return holder.key if isinstance(holder, Certificate) else holder
