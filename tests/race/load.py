"""Users: steady requests through the proxy, counted by colour and by 100 ms, and told to Prometheus.

A request is lost when its answer is anything but 200. Some users keep the load balancer's cookie when told to.
"""

import asyncio
import collections
import time

import wire


class Load:
    """So many requests a second over a few connections, until stopped or its time is over."""

    def __init__(self, port, rate=100, workers=10, most=900.0):
        self.port, self.rate, self.workers, self.until = port, rate, workers, time.monotonic() + most
        self.keep_cookies, self.silent = False, False
        self.totals = {(color, status): 0 for color in ("blue", "green") for status in ("200", "500")}
        self.forget()

    def forget(self):
        """Counts anew. What Prometheus is told goes on."""
        self.slots, self.lost, self.ok = collections.defaultdict(collections.Counter), 0, 0

    async def run(self):
        await asyncio.gather(*(self._worker(n) for n in range(self.workers)))

    async def _worker(self, n):
        pause, cookie, stream = self.workers / self.rate, "", None
        await asyncio.sleep(pause * n / self.workers)
        due = time.monotonic()
        while due < self.until:
            try:
                stream = stream or await asyncio.open_connection("127.0.0.1", self.port)
                stream[1].write(f"GET / HTTP/1.1\r\nhost: shop\r\ncookie: {cookie}\r\n\r\n".encode())
                first, headers, _ = await asyncio.wait_for(wire.read(stream[0]), 10)
                status, color = first.split(" ")[1], headers.get("x-group", "none")
            except (OSError, TypeError, TimeoutError):
                status, color, headers = "none", "none", {"connection": "close"}
            self._count(color, status)
            if stream and headers.get("connection") == "close":
                stream[1].close()
                stream = None
            keeps = self.keep_cookies and n % 2 == 0
            cookie = headers.get("set-cookie", cookie).split(";")[0] if keeps else ""
            due += pause
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def _count(self, color, status):
        fine = status == "200"
        self.ok, self.lost = self.ok + fine, self.lost + (not fine)
        slot = self.slots[int(time.time() * 10)]
        slot[color if fine else "lost"] += 1
        if color != "none":
            told = "200" if fine else "500"
            self.totals[color, told] += 1

    def lately(self, seconds=1.0):
        """What was answered by whom in the last whole slots."""
        since = (time.time() - seconds) * 10
        return dict(sum((count for at, count in self.slots.items() if at >= since), collections.Counter()))

    async def metrics(self, *_request):
        """What Prometheus scrapes. A silent source still answers, with nothing about requests."""
        rows = [f'http_requests_total{{color="{c}",status="{s}"}} {n}' for (c, s), n in self.totals.items()]
        body = "up_at_least 1\n" if self.silent else "\n".join(rows) + "\n"
        return 200, body.encode(), {"content-type": "text/plain; version=0.0.4"}
