"""Kills the real program at random moments of cutover, resume and rollback, several times a run, under load.

    kills.py [--kills 200] [--seed 1] [--lanes 3] [--verbose]

After the kills of a run its last command runs to its end. Then: users are where that command says and was sent, they
changed their direction at most once, `audit verify` says COMPLETE of every run that was begun, no log lost what it held,
and no request was lost. Prints a table; ends with 1 on a breach. `BGCTL` names another binary.
"""

import argparse
import concurrent.futures
import contextlib
import itertools
import random
import re
import subprocess
import sys
import time

import rig

CUTOVER = ("cutover", "runbook.yaml", "--confirm", "staging")
RESUME, ROLLBACK = ("resume",), ("rollback", "--yes")
# About how long each runs, so that kills meet every part of it.
LONG = {"cutover": 5.0, "resume": 4.0, "rollback": 0.8}
MOST_PER_RUN = 5
# How a command may end that finds nothing to go on with: no run, or one that was killed before its first record.
NOTHING_BEGUN = (0, 40, 64)


class Run:
    """One cutover with its kills, up to the end of its last command."""

    def __init__(self, lane, seed, kills):
        self.dice, self.kills, self.lane, self.breaches = random.Random(seed), kills, lane, []
        self.seed, self.met, self.said, self.logs = seed, [], "", {}
        lane.do(reset={})
        # As far away as a provider is, so that kills meet calls that are out.
        lane.do(fault={"kind": "latency", "action": "", "times": -1, "seconds": self.dice.uniform(0, 0.15)})
        # A write takes longer, so that kills meet it on its way, too: it is done after its sender's death.
        self.slow = self.dice.uniform(0.1, 0.8)
        lane.do(fault={"kind": "latency", "action": "Modify", "times": -1, "seconds": self.slow})
        self.desk = rig.Desk(lane)
        self._play()
        time.sleep(0.3)
        self.report = lane.report()
        self._judge()

    def _play(self):
        # Every third run is about a rollback of what has ended.
        if self.dice.random() < 0.33:
            self._to_its_end(CUTOVER)
            command = ROLLBACK
        else:
            command = CUTOVER
        for _ in range(self.kills):
            self._killed(command)
            command = self.dice.choice((RESUME, ROLLBACK, ROLLBACK))
        self.last = command if command != CUTOVER else RESUME
        self.code = self._to_its_end(self.last)

    def _killed(self, command):
        process = self.desk.start(rig.BGCTL, *command)
        after = self.dice.random() * LONG[command[0]]
        # Half of the kills come with a write, before or after it is done; the others anywhere.
        if self.dice.random() < 0.5:
            writes, until = self._writes(), time.monotonic() + LONG[command[0]]
            while process.poll() is None and time.monotonic() < until and self._writes() == writes:
                time.sleep(0.005)
            after = self.dice.random() * self.slow * 1.5
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(after)
        alive = process.poll() is None
        rig.kill(process)
        self.met.append(f"{command[0]}{'' if alive else ' (had ended)'}")
        self.said += f"$ bgctl {' '.join(command)}\n{rig.finish(process)[1]}[{'killed' if alive else 'ended'}]\n"
        self._logs()

    def _writes(self):
        """How many writes were sent so far, done or not."""
        return sum(call["action"] == "ModifyRule" for call in self.lane.report()["calls"])

    def _to_its_end(self, command):
        code, said = self.desk.run(rig.BGCTL, *command, seconds=90)
        self.said += f"$ bgctl {' '.join(command)}\n{said}[exit {code}]\n"
        self._logs()
        return code

    def _logs(self):
        """Each log begins with what it held before, up to the last whole line, and is still there."""
        found = {path: path.read_bytes() for path in self.desk.folder.glob("state/runs/*/log.jsonl")}
        for path, before in self.logs.items():
            whole = self._sealed(before)
            if not found.get(path, b"").startswith(whole):
                self.breaches.append(f"{path.parent.name} lost records")
        self.logs = found

    @staticmethod
    def _sealed(log):
        """Up to the end of the last seal: what comes after does not count yet, and may be cut."""
        lines = log.splitlines(keepends=True)
        while lines and (b'"type":"seal' not in lines[-1] or not lines[-1].endswith(b"\n")):
            lines.pop()
        return b"".join(lines)

    def _judge(self):
        blue, green = self.report["weights"]
        truth = {0: "blue", 100: "green"}.get(green or 0 if blue else 100, f"{blue}/{green}")
        self.truth = truth
        claims = re.findall(
            r"all users (?:are )?(?:back )?on (blue|green)", self.said.rpartition("$ bgctl")[2], re.IGNORECASE
        )
        claim = claims[-1].lower() if claims else None
        self.check(truth in ("blue", "green"), f"users were left at {truth}, exit {self.code}")
        if not any(self.logs.values()):
            well = truth == "blue" and not self.report["writes"] and self.code in NOTHING_BEGUN
            self.check(well, f"nothing was begun, but exit {self.code} and users on {truth}")
        elif self.last == ROLLBACK:
            self.check(truth == "blue" and self.code == 0, f"rollback: users on {truth}, exit {self.code}")
        else:
            self.check(self.code in (0, 10, 11), f"resume: exit {self.code}, users on {truth}")
        self.check(claim in (None, truth), f"it says {claim}, users are on {truth}")
        shares = [0, *(write["green"] or 0 for write in self.report["writes"])]
        ways = [after > before for before, after in itertools.pairwise(shares) if before != after]
        self.check(sum(a != b for a, b in itertools.pairwise(ways)) <= 1, f"directions changed: {shares}")
        self.check(self.report["lost"] == 0, f"{self.report['lost']} requests lost")
        # A log without a byte is of a run that was never begun.
        for path in (path for path, log in self.logs.items() if log):
            code, said = self.desk.run(rig.BGCTL, "audit", "verify", str(path))
            self.said += f"$ bgctl audit verify {path.parent.name}\n{said}[exit {code}]\n"
            self.check(code == 0 and "COMPLETE" in said, f"audit verify: exit {code}")

    def check(self, well, otherwise):
        if not well:
            self.breaches.append(otherwise)


def lane(seeds, kills, seconds):
    """Plays its share of the runs on one endpoint."""
    place = rig.Rig(seconds)
    try:
        return [Run(place, seed, count) for seed, count in zip(seeds, kills, strict=True)]
    finally:
        place.close()


def main():
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--kills", type=int, default=200)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--lanes", type=int, default=3)
    options.add_argument("--verbose", action="store_true", help="everything said in each run with a breach")
    args = options.parse_args()
    if missing := rig.missing():
        sys.exit(f"skipped: {', '.join(missing)} not found (`tests/all peers` installs them)")
    begun, dice, shares = time.monotonic(), random.Random(args.seed), []
    while (left := args.kills - sum(shares)) > 0:
        shares.append(min(left, dice.randint(1, MOST_PER_RUN)))
    seeds = [args.seed * 1000 + n for n in range(len(shares))]
    with concurrent.futures.ThreadPoolExecutor(args.lanes) as pool:
        jobs = [pool.submit(lane, seeds[n :: args.lanes], shares[n :: args.lanes], 900) for n in range(args.lanes)]
        runs = [run for job in jobs for run in job.result()]
    bad = [run for run in runs if run.breaches]
    met = [name for run in runs for name in run.met]
    print("| runs | kills in cutover | in resume | in rollback | requests | lost | runs with a breach | time |")
    print("|---|---|---|---|---|---|---|---|")
    counts = " | ".join(str(met.count(name)) for name in LONG)
    requests = sum(run.report["ok"] + run.report["lost"] for run in runs)
    lost = sum(run.report["lost"] for run in runs)
    print(f"| {len(runs)} | {counts} | {requests:,} | {lost} | {len(bad)} | {time.monotonic() - begun:.0f} s |")
    for run in bad:
        print(
            f"\nseed {run.seed}, {run.kills} kills ({', '.join(run.met)}), then {run.last[0]}: {'; '.join(run.breaches)}"
        )
        if args.verbose:
            print(f"{run.report['writes']}\n{run.said}")
    sys.exit(1 if bad else 0)


main()
