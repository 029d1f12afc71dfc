"""One instance of one colour: says its version in a header, is well at /healthz, and fails for users on demand.

bot.py COLOR VERSION PORT        prints its port, serves until its standard input ends
"""

import asyncio
import random
import sys

import wire


class Bot:
    """What it answers."""

    def __init__(self, color, version):
        self.color, self.version, self.errors = color, version, 0.0

    async def answer(self, first, _headers, _body):
        path = first.split(" ")[1]
        if path.startswith("/errors/"):
            self.errors = float(path.rpartition("/")[2])
        fails = path == "/" and random.random() < self.errors
        body = b"ok" if path == "/healthz" else f"{self.color} {self.version}".encode()
        return 500 if fails else 200, body, {"x-version": self.version}


async def main():
    door = await wire.Door(Bot(*sys.argv[1:3]).answer).start(wire.listener(int(sys.argv[3])))
    print(door.port, flush=True)
    await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
