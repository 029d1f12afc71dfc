"""HTTP/1.1 as far as this folder needs it: reads requests, writes answers, keeps connections open. Loopback only."""

import asyncio
import json
import socket
import urllib.request

REASONS = {200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 500: "Error", 503: "Unavailable"}


class Cut(Exception):
    """The connection is to be cut without an answer."""


async def read(reader):
    """One message as (first line, headers, body), or None where the other side has gone."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in head[1:] if line)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
        return None
    return head[0], headers, body


def message(status, body, headers=None):
    """The bytes of an answer."""
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Other')}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def listener(port=0):
    """A socket that waits for connections on the loopback interface."""
    place = socket.create_server(("127.0.0.1", port), backlog=256, reuse_port=False)
    place.setblocking(False)
    return place


class Door:
    """A server whose door can be shut for a while: then connections are refused, and open ones cut."""

    def __init__(self, answer):
        self.answer, self.port, self.server, self.open = answer, 0, None, set()

    async def start(self, place=None):
        place = place or listener(self.port)
        self.port = place.getsockname()[1]
        self.server = await asyncio.start_server(self._serve, sock=place, limit=1 << 20)
        return self

    async def shut(self, seconds):
        self.server.close()
        for writer in list(self.open):
            writer.transport.abort()
        await asyncio.sleep(seconds)
        await self.unlock()

    async def unlock(self):
        """Open again, if it is shut."""
        if not self.server.is_serving():
            await self.start()

    async def _serve(self, reader, writer):
        self.open.add(writer)
        try:
            while (request := await read(reader)) is not None:
                writer.write(message(*await self.answer(*request)))
                await writer.drain()
        except (Cut, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.open.discard(writer)
            writer.transport.abort()


def ask(port, path, said=None, timeout=30):
    """A question to a control port: JSON there and back."""
    data = None if said is None else json.dumps(said).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data, timeout) as answer:
        return json.loads(answer.read())
