"""The binary form of OpenSSH: strings with their length before them, numbers, base64."""
from __future__ import annotations

import base64
import binascii
import struct


class Malformed(Exception):
    """The bytes are not in the form that they should have."""


class Reader:
    """Takes the parts of a binary value one by one."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self.data):
            raise Malformed("the bytes end too early")
        part, self.at = self.data[self.at:end], end
        return part

    def uint32(self) -> int:
        return struct.unpack(">I", self.take(4))[0]

    def uint64(self) -> int:
        return struct.unpack(">Q", self.take(8))[0]

    def string(self) -> bytes:
        return self.take(self.uint32())

    def end(self) -> None:
        """Nothing stands behind the last part."""
        if self.at != len(self.data):
            raise Malformed("bytes behind the last part")

    @property
    def more(self) -> bool:
        return self.at < len(self.data)


def string(data: bytes) -> bytes:
    """The bytes with their length before them."""
    return struct.pack(">I", len(data)) + data


def from_base64(text: str, padding_needed: bool) -> bytes:
    """The bytes that a base64 text stands for; only the one text that stands for them is taken."""
    bare = text.rstrip("=")
    try:
        data = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (ValueError, binascii.Error):
        raise Malformed("no base64") from None
    padded = base64.b64encode(data).decode()
    if text != padded and (padding_needed or text != padded.rstrip("=")):
        raise Malformed("no base64 in its usual form")
    return data


def to_base64(data: bytes) -> str:
    """Base64 without padding, as fingerprints have it."""
    return base64.b64encode(data).decode().rstrip("=")
