"""A strict endpoint in a process of its own, and desks to work at beside it: folder, key, environment, runbook."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

import rules
import wire
from endpoint import KEY, SECRET

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BGCTL = os.environ.get("BGCTL", str(ROOT / "target/debug/bgctl"))
NEEDED = ["haproxy", "prometheus"]


def missing():
    """The programs that are not there."""
    return [program for program in NEEDED if not shutil.which(program)]


class Rig:
    """The endpoint, its users and its faults. Everything ends with this object or after `seconds`."""

    def __init__(self, seconds=900):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="race-"))
        command = [sys.executable, HERE / "endpoint.py", self.folder, str(seconds)]
        with (self.folder / "errors").open("wb") as errors:
            pipe = subprocess.PIPE
            self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors)
        self.ports = json.loads(self.process.stdout.readline())
        # Rates need two scrapes of both colours.
        query = urllib.parse.urlencode({"query": "count(rate(http_requests_total[3s]))"})
        while '"4"' not in self._text(f"{self.url('prometheus')}/api/v1/query?{query}"):
            time.sleep(0.1)

    @staticmethod
    def _text(url):
        try:
            return urllib.request.urlopen(url, timeout=5).read().decode()
        except OSError:
            return ""

    def do(self, **words):
        return wire.ask(self.ports["control"], "/do", words)

    def report(self):
        return wire.ask(self.ports["control"], "/report")

    def url(self, name):
        return f"http://127.0.0.1:{self.ports[name]}"

    def environment(self):
        """What leads to this endpoint, and to nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.url("elb"),
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "RULE": rules.RULE,
            "BLUE": rules.BLUE,
            "GREEN": rules.GREEN,
            "USERS": self.url("users"),
            "BLUE_URL": self.url("blue"),
            "GREEN_URL": self.url("green"),
            "PROMETHEUS": self.url("prometheus"),
        }

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)


class Desk:
    """Somebody's laptop: state, key and shell of their own."""

    def __init__(self, rig):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=rig.folder, prefix="desk-"))
        (self.folder / "home").mkdir()
        peers = ROOT / "target/peers/bin"
        self.env = rig.environment() | {
            "PATH": f"{peers}:{os.environ['PATH']}",
            "HOME": str(self.folder / "home"),
            "BGCTL_STATE_DIR": str(self.folder / "state"),
            "BGCTL_SIGNING_KEY": str(self.folder / "key"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "ANSIBLE_REMOTE_TMP": str(self.folder / "ansible"),
            "CI": "true",
            "USER": "tester",
            "LC_ALL": "C.UTF-8",
        }
        self.env |= {
            f"BGCTL_VAR_{name}": self.env[name.upper()]
            for name in ("rule", "blue", "green", "users", "blue_url", "green_url", "prometheus")
        }
        shutil.copy(HERE / "runbook.yaml", self.folder)
        self.run(BGCTL, "keys", "create", "--out", str(self.folder / "key"))

    def start(self, *command):
        """Starts a command with nobody at its keyboard; what it says is one text."""
        out = tempfile.TemporaryFile(dir=self.folder)
        null, merged = subprocess.DEVNULL, subprocess.STDOUT
        process = subprocess.Popen(
            command, cwd=self.folder, env=self.env, stdin=null, stdout=out, stderr=merged, start_new_session=True
        )
        process.said = out
        return process

    def run(self, *command, seconds=100):
        return finish(self.start(*command), seconds)


def finish(process, seconds=100):
    """Exit code and everything said. A command that takes too long is ended as a job's is: SIGTERM, and 10 s more."""
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            code = process.wait(10)
        except subprocess.TimeoutExpired:
            kill(process)
            code = 124
    process.said.seek(0)
    return code, process.said.read().decode(errors="replace")


def kill(process):
    """As a dead laptop would: the command and all it started, without a word."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
