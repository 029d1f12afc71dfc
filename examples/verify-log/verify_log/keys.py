"""Public keys: their strings, their fingerprints, and whether bytes were signed by one."""
from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass
from typing import Tuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA, SECP256R1, EllipticCurvePublicKey)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from .wire import Malformed, Reader, from_base64, to_base64

ED25519 = "ssh-ed25519"
ECDSA_P256 = "ecdsa-sha2-nistp256"
SK_ED25519 = "sk-ssh-ed25519@openssh.com"
SK_ECDSA = "sk-ecdsa-sha2-nistp256@openssh.com"
KINDS = (ED25519, ECDSA_P256, SK_ED25519, SK_ECDSA)

# Ed25519's prime, and the y of all points of small order: a signature under such a key, or with
# such an R, holds for more than one message.
PRIME = 2**255 - 19
CURVE_D = -121665 * pow(121666, PRIME - 2, PRIME) % PRIME
ORDER_8 = int.from_bytes(bytes.fromhex(
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
SMALL_ORDER = {0, 1, PRIME - 1, ORDER_8, PRIME - ORDER_8}

TOUCHED, VERIFIED = 1, 4


class NoPoint(Malformed):
    """32 bytes that are no point of Ed25519: nothing is ever signed by them."""


@dataclass(frozen=True)
class Key:
    """A public key: its kind, all its strings as one value, and the parts that verify."""

    kind: str
    blob: bytes
    point: bytes
    application: bytes

    @property
    def is_security_key(self) -> bool:
        return self.kind.startswith("sk-")

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.blob)


@dataclass(frozen=True)
class Mark:
    """What a signature by a key has said besides: the flags of a security key."""

    touched: bool
    verified: bool


def fingerprint(blob: bytes) -> str:
    return "SHA256:" + to_base64(hashlib.sha256(blob).digest())


def key_strings(kind: str, reader: Reader) -> Tuple[bytes, bytes]:
    """The strings of a key behind its kind: the point and the application of a security key."""
    if kind not in KINDS:
        raise Malformed("a key of an unknown kind")
    if "ecdsa" in kind and reader.string() != b"nistp256":
        raise Malformed("another curve")
    point = reader.string()
    application = reader.string() if kind.startswith("sk-") else b""
    check_point(kind, point)
    return point, application


def check_point(kind: str, point: bytes) -> None:
    try:
        if "ecdsa" in kind:
            EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point)
            return
    except (ValueError, UnsupportedAlgorithm):
        raise Malformed("no point of the curve") from None
    if len(point) != 32:
        raise Malformed("no point of the curve")
    if not on_edwards_curve(point):
        raise NoPoint("no point of the curve")


def on_edwards_curve(point: bytes) -> bool:
    """Whether there is an x for this y of Ed25519. OpenSSL asks it only of a signature."""
    y = int.from_bytes(point, "little") % 2**255 % PRIME
    square = (y * y - 1) * (CURVE_D * y * y + 1) % PRIME
    return pow(square, (PRIME - 1) // 2, PRIME) in (0, 1)


def read_kind(reader: Reader) -> str:
    try:
        return reader.string().decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("a kind that is no text") from None


def read_key(blob: bytes) -> Key:
    """The plain key that these strings are."""
    reader = Reader(blob)
    kind = read_kind(reader)
    point, application = key_strings(kind, reader)
    reader.end()
    return Key(kind, blob, point, application)


def text_blob(text: str) -> bytes:
    """The strings of a public key as text: kind, base64, comment. The kind is the first string."""
    parts = [word for word in re.split("[ \t\r\f]+", text) if word]
    if len(parts) < 2:
        raise Malformed("no public key")
    blob = from_base64(parts[1], padding_needed=False)
    if read_kind(Reader(blob)) != parts[0]:
        raise Malformed("the key is of another kind than its first word")
    return blob


def number(data: bytes) -> int:
    """A positive number of an ECDSA signature, in the fewest bytes."""
    value = int.from_bytes(data, "big")
    if value == 0 or data != value.to_bytes(value.bit_length() // 8 + 1, "big"):
        raise Malformed("a number in another form")
    return value


def ed25519_holds(point: bytes, signature: bytes, message: bytes) -> bool:
    """Strict verification. OpenSSL asks the rest: S is reduced, the equation without cofactor."""
    for part in (point, signature[:32]):
        if int.from_bytes(part, "little") % 2**255 % PRIME in SMALL_ORDER:
            return False
    try:
        Ed25519PublicKey.from_public_bytes(point).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def ecdsa_holds(point: bytes, signature: bytes, message: bytes) -> bool:
    reader = Reader(signature)
    first, second = number(reader.string()), number(reader.string())
    reader.end()
    key = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point)
    try:
        key.verify(encode_dss_signature(first, second), message, ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def check_signature(key: Key, blob: bytes, message: bytes) -> Mark:
    """That these bytes are a signature over the message by the key; Malformed if they are not."""
    reader = Reader(blob)
    if read_kind(reader) != key.kind:
        raise Malformed("a signature of another kind than the key")
    signature, flags = reader.string(), 0
    if key.is_security_key:
        flags, counter = reader.take(1)[0], reader.uint32()
        message = (hashlib.sha256(key.application).digest() + struct.pack(">BI", flags, counter)
                   + hashlib.sha256(message).digest())
    reader.end()
    holds = ecdsa_holds if "ecdsa" in key.kind else ed25519_holds
    if "ecdsa" not in key.kind and len(signature) != 64:
        raise Malformed("a signature of another length")
    if not holds(key.point, signature, message):
        raise Malformed("the signature does not hold")
    return Mark(bool(flags & TOUCHED), bool(flags & VERIFIED))
