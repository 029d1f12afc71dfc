"""Shared keys: HMAC-SHA-256 in the place of an owner's signature."""
from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Any

PREFIX = "hmac-sha256 "
ID = re.compile("id:[0-9a-f]{16}")
MAC = re.compile("hmac-sha256:[0-9a-f]{64}")
SHORTEST = 32


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


@dataclass(frozen=True)
class SharedKey:
    """The secret that the owner and the verifier both have."""

    secret: bytes

    @staticmethod
    def read(material: bytes) -> "SharedKey":
        """The key in a file; a line end behind it is not part of it."""
        if material.endswith(b"\n"):
            material = material[:-2] if material.endswith(b"\r\n") else material[:-1]
        if len(material) < SHORTEST:
            raise ValueError("a shared key has %d bytes or more" % SHORTEST)
        return SharedKey(material)

    @property
    def id(self) -> str:
        return "id:" + _hmac(_hmac(self.secret, b"bgctl/key-id\0"), b"").hex()[:16]

    def mac(self, namespace: str, message: bytes) -> str:
        key = _hmac(self.secret, b"bgctl/" + namespace.encode() + b"\0")
        return "hmac-sha256:" + _hmac(key, message).hex()


def is_mac(value: Any) -> bool:
    return isinstance(value, str) and MAC.fullmatch(value) is not None
