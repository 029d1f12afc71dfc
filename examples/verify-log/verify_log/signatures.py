"""OpenSSH signatures (SSHSIG): the text, its parts, and what is signed."""
from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from .certificates import Holder, plain_key, read_holder
from .keys import Mark, check_signature
from .wire import Malformed, Reader, from_base64, string

BEGIN, END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
COLUMNS = 70
HASHES = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}
BLANKS = " \t\r\n"


@dataclass(frozen=True)
class Signature:
    """A signature that holds: by whom, and what a security key said of it."""

    holder: Holder
    mark: Mark

    @property
    def by_security_key(self) -> bool:
        return plain_key(self.holder).is_security_key


def armored(data: bytes) -> str:
    """The usual text of a signature."""
    body = base64.b64encode(data).decode()
    lines = [body[at:at + COLUMNS] for at in range(0, len(body), COLUMNS)]
    return "\n".join([BEGIN, *lines, END, ""])


def unarmored(text: str, usual: bool) -> bytes:
    """The bytes between the begin line and the end line."""
    inner = text.strip(BLANKS)
    if not (inner.startswith(BEGIN) and inner.endswith(END) and len(inner) >= len(BEGIN + END)):
        raise Malformed("no begin line or no end line")
    body = inner[len(BEGIN):-len(END)].replace("\r", "").replace("\n", "")
    data = from_base64(body, padding_needed=True)
    if usual and text != armored(data):
        raise Malformed("the text is not the usual one")
    return data


def check(text: str, namespace: str, message: bytes, usual: bool = True) -> Signature:
    """The signature that this text is, if it holds over the message for the namespace."""
    reader = Reader(unarmored(text, usual))
    if reader.take(6) != b"SSHSIG" or reader.uint32() != 1:
        raise Malformed("no signature of version 1")
    blob, signed_for, reserved, hash_name, signature = (reader.string() for _ in range(5))
    reader.end()
    if signed_for != namespace.encode() or reserved or hash_name not in HASHES:
        raise Malformed("made for something else")
    holder = read_holder(blob)
    digest = HASHES[hash_name](message).digest()
    signed = b"SSHSIG" + b"".join(map(string, (signed_for, reserved, hash_name, digest)))
    mark = check_signature(plain_key(holder), signature, signed)
    if plain_key(holder).is_security_key and not mark.touched:
        raise Malformed("the security key was not touched")
    return Signature(holder, mark)
