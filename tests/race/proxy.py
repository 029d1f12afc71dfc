"""The load balancer's other half: a real HAProxy that forwards to real processes by the weights it is told.

A user is sent to a group by its share, or by the cookie where the rule is sticky and the group listed; then to a target of
that group, whether it is well or not, once. An empty group is a 503. Nothing here knows the API.
"""

import asyncio
import contextlib
import pathlib
import signal
import subprocess
import sys
import urllib.request

import wire

CONFIG = """global
  stats socket {folder}/haproxy.sock mode 600 level admin
defaults
  mode http
  retries 0
  timeout connect 2s
  timeout client 60s
  timeout server 60s
frontend users
  bind fd@{fd}
  acl stays-green req.cook(AWSALBTG),map_str_int({folder}/rule.map,0) eq 2
  acl stays-blue req.cook(AWSALBTG),map_str_int({folder}/rule.map,0) eq 1
  http-request set-var(txn.green) str(share),map_str_int({folder}/rule.map,0)
  http-request set-var(txn.pick) rand(999000),sub(txn.green)
  use_backend green if stays-green
  use_backend blue if stays-blue
  use_backend green if {{ var(txn.pick) -m int lt 0 }}
  default_backend blue
"""
BACKEND = """backend {color}
  http-after-response set-header x-group {color}
  http-response set-header set-cookie AWSALBTG={color}
"""
SIZE = 2
VERSIONS = {"blue": "v1.4.1", "green": "v1.4.2"}
HERE = pathlib.Path(__file__).parent


class Proxy:
    """HAProxy, its targets, and what health checks say about them."""

    def __init__(self, folder):
        self.folder, self.haproxy, self.port = folder, None, 0
        self.targets = {color: [Target(color, n) for n in range(SIZE)] for color in VERSIONS}

    async def start(self):
        """Starts everything that is not there. Ports stay what they were."""
        config = ""
        for color, targets in self.targets.items():
            await asyncio.gather(*(target.start() for target in targets))
            lines = [f"  server {t.name} 127.0.0.1:{t.port}\n" for t in targets]
            config += BACKEND.format(color=color) + "".join(lines)
        if self.haproxy:
            return
        door = wire.listener()
        self.port = door.getsockname()[1]
        (self.folder / "rule.map").write_text("share 0\nblue 0\ngreen 0\n")
        path = self.folder / "haproxy.cfg"
        path.write_text(CONFIG.format(folder=self.folder, fd=door.fileno()) + config)
        self.haproxy = subprocess.Popen(["haproxy", "-db", "-q", "-f", path], pass_fds=[door.fileno()])
        while not (self.folder / "haproxy.sock").exists():
            await asyncio.sleep(0.02)

    async def tell(self, *lines):
        reader, writer = await asyncio.open_unix_connection(str(self.folder / "haproxy.sock"))
        writer.write((";".join(lines) + "\n").encode())
        said = (await reader.read()).decode().strip()
        writer.close()
        if said:
            raise RuntimeError(f"HAProxy: {said}")

    async def weigh(self, blue, green, sticky):
        """Takes the weights of a rule; None for a group that is not listed."""
        share = 999_000 * (green or 0) // ((blue or 0) + (green or 0))
        stays = {"blue": 1 if sticky and blue is not None else 0, "green": 2 if sticky and green is not None else 0}
        lines = [f"set map {self.folder}/rule.map {key} {value}" for key, value in {"share": share, **stays}.items()]
        await self.tell(*lines)

    async def register(self, color, present):
        for target in self.targets[color]:
            target.registered = present
        state = "ready" if present else "maint"
        await self.tell(*(f"set server {color}/{t.name} state {state}" for t in self.targets[color]))

    def stop(self):
        for target in sum(self.targets.values(), []):
            target.kill()
        if self.haproxy:
            self.haproxy.terminate()
            self.haproxy.wait()


class Target:
    """One process of one colour."""

    def __init__(self, color, n):
        self.color, self.name, self.port, self.process = color, f"{color}{n}", 0, None
        self.registered, self.well = True, False

    async def start(self):
        if self.process is None or self.process.poll() is not None:
            pipe = subprocess.PIPE
            command = [sys.executable, HERE / "bot.py", self.color, VERSIONS[self.color], str(self.port)]
            self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe)
            self.port = int(await asyncio.to_thread(self.process.stdout.readline))

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    async def get(self, path):
        with contextlib.suppress(OSError):
            url = f"http://127.0.0.1:{self.port}{path}"
            return await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=1).status == 200)
        return False

    async def watch(self):
        """Asks for its health as a load balancer does."""
        while True:
            self.well = await self.get("/healthz")
            await asyncio.sleep(0.5)
