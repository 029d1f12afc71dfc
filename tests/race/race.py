"""Runs every row with every tool on strict endpoints under load, and prints one table.

    race.py [--tools bash,python,ansible,bgctl] [--rows N,N] [--lanes 5] [--verbose]

Right: users are where they must be, and the tool knows: its exit code and its last word about users agree with the
endpoint. Ends with 1 when bgctl is wrong in a row. `BGCTL` names another binary.
"""

import argparse
import concurrent.futures
import queue
import re
import shutil
import sys
import time

import rig
from rows import ROWS

PYTHON = str(rig.ROOT / "target/peers/bin/python")
PLAYBOOK = str(rig.HERE / "cutover.yml")
RUNBOOK = ("runbook.yaml", "--confirm", "staging")
COMMANDS = {
    "bash": (("bash", str(rig.HERE / "cutover.sh")), ("bash", str(rig.HERE / "cutover.sh"), "rollback")),
    "python": ((PYTHON, str(rig.HERE / "cutover.py")), (PYTHON, str(rig.HERE / "cutover.py"), "rollback")),
    "ansible": (
        ("ansible-playbook", PLAYBOOK, "--tags", "cutover"),
        ("ansible-playbook", PLAYBOOK, "--tags", "rollback"),
    ),
    "bgctl": ((rig.BGCTL, "cutover", *RUNBOOK), (rig.BGCTL, "rollback", "--yes")),
}
NAMES = {"bash": "bash + aws CLI", "python": "Python + boto3", "ansible": "Ansible", "bgctl": "bgctl"}
BAKES = 6.0


class Cell:
    """One row played with one tool."""

    def __init__(self, row, tool, lane):
        self.row, self.tool, self.lane, self.said, self.kept = row, tool, lane, "", True
        lane.do(reset=dict(row.reset))
        # Until what users met before has left Prometheus' range.
        time.sleep(3.2)
        for word in row.world:
            lane.do(**word)
        self.begun = time.monotonic()
        self.code = getattr(self, "play_" + row.play.split()[0])(rig.Desk(lane))
        self.seconds = time.monotonic() - self.begun
        time.sleep(max(1.2, row.quiet - self.seconds))
        self.report = lane.report()
        self._judge()

    def _run(self, desk, command):
        code, said = desk.run(*command, seconds=self.row.patience)
        self.said += f"$ {' '.join(command)}\n{said}[exit {code}]\n"
        return code

    def play_cutover(self, desk):
        wrapped = ("/usr/bin/time", "-v", "-o", "usage") if self.row.name == "healthy" else ()
        code = self._run(desk, wrapped + COMMANDS[self.tool][0])
        usage = (desk.folder / "usage").read_text() if wrapped else ""
        found = [float(n) for n in re.findall(r"(?:User time|System time|Maximum resident).*: ([\d.]+)", usage)] or [
            0,
            0,
            0,
        ]
        self.processor, self.memory = found[0] + found[1], found[2] / 1024
        if self.row.play == "cutover":
            return code
        self.kept = self._kept()
        begun = time.monotonic()
        back = self._run(desk, COMMANDS[self.tool][1])
        self.back = time.monotonic() - begun
        return code or back

    def _kept(self):
        """Sign-in and stickiness are what they were."""
        actions = self.lane.report()["actions"]
        first, last = actions[0], actions[-1]
        sticky = last.get("ForwardConfig", {}).get("TargetGroupStickinessConfig", {})
        return first["Type"] == "authenticate-oidc" and sticky.get("DurationSeconds") == 3600

    def _killed(self, desk):
        """The laptop dies a second after the first shift."""
        process = desk.start(*COMMANDS[self.tool][0])
        while process.poll() is None and not self.lane.report()["writes"]:
            time.sleep(0.05)
        time.sleep(1)
        rig.kill(process)
        self.said += rig.finish(process)[1] + "[killed]\n"

    def play_lost(self, desk):
        self._killed(desk)
        command = COMMANDS[self.tool][1]
        if self.tool == "bgctl":
            command = (rig.BGCTL, "rollback", "runbook.yaml", "--yes")
        return self._run(rig.Desk(self.lane), command)

    def play_again(self, desk):
        """The same command again; what it names as the next one is done."""
        self._killed(desk)
        code = self._run(desk, COMMANDS[self.tool][0])
        named = re.search(r"bgctl (resume\b[^\n]*?)(?:  |\n|`)", self.said)
        if code == 0 or not named:
            return code
        return self._run(desk, (rig.BGCTL, *named[1].split()))

    def _judge(self):
        blue, green = (weight or 0 for weight in self.report["weights"])
        share = round(100 * green / (blue + green))
        self.truth = {0: "blue", 100: "green"}.get(share, f"{100 - share}/{share}")
        others = {"blue": "green", "green": "blue"}.get(self.truth)
        stuck = self.report["lately"].get(others, 0)
        claims = re.findall(r"all users (?:are )?(?:back )?on (blue|green)", self.said, re.IGNORECASE)
        claim = claims[-1].lower() if claims else None
        # A cutover that ends with 0 says green, a rollback that ends with 0 says blue.
        goal = "green" if self.row.play in ("cutover", "again") else "blue"
        # Whoever never began is not right for having done nothing.
        self.right = self.truth in self.row.want and not stuck and self.kept and bool(self.report["writes"])
        self.knows = (self.code == 0) == (self.truth == goal) and claim in (None, self.truth)
        self.knows = self.knows and (self.code != 0 or claim == goal)
        self.lost = self.report["lost"]

    def words(self):
        if self.right and self.knows:
            return f"right, {self.lost} lost"
        what = "does not know" if self.right else "wrong" if self.kept else "wrong, sign-in deleted"
        return f"**{what}**: {self.truth}, exit {self.code}, {self.lost} lost"


def lanes(count):
    free = queue.Queue()
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        for lane in pool.map(lambda _: rig.Rig(), range(count)):
            free.put(lane)
    return free


def play(free, row, tool):
    lane = free.get()
    try:
        return Cell(row, tool, lane)
    finally:
        free.put(lane)


def table(cells, tools, rows):
    def line(name, of):
        print(f"| {name} | " + " | ".join(of(tool) for tool in tools) + " |")

    def total(of):
        return lambda tool: of([cells[row.name, tool] for row in rows])

    print("| what goes wrong | " + " | ".join(NAMES[tool] for tool in tools) + " |")
    print("|---|" + "---|" * len(tools))
    for row in rows:
        line(row.name, lambda tool, name=row.name: cells[name, tool].words())
    line("**right of all**", total(lambda all: f"**{sum(cell.right and cell.knows for cell in all)} of {len(all)}**"))
    line("requests", total(lambda all: f"{sum(cell.report['ok'] + cell.lost for cell in all):,}"))
    names = {row.name for row in rows}
    if (name := "healthy") in names:
        line("beyond the bakes", lambda tool: f"{cells[name, tool].seconds - BAKES:.1f} s")
        line("processor", lambda tool: f"{cells[name, tool].processor:.2f} s")
        line("memory", lambda tool: f"{cells[name, tool].memory:.0f} MiB")
    for back in [row.name for row in rows if row.play.endswith("then rollback")]:
        line("rollback by hand", lambda tool, back=back: f"{cells[back, tool].back:.1f} s")


def main():
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--tools", default="bash,python,ansible,bgctl")
    options.add_argument("--rows", default="", help="numbers, from 1")
    options.add_argument("--lanes", type=int, default=5)
    options.add_argument("--verbose", action="store_true", help="what bgctl said in each row where it is wrong")
    args = options.parse_args()
    if missing := rig.missing():
        sys.exit(f"skipped: {', '.join(missing)} not found (`tests/all peers` installs them)")
    tools = [tool for tool in args.tools.split(",") if tool != "ansible" or shutil.which("ansible-playbook")]
    rows = [ROWS[int(n) - 1] for n in args.rows.split(",")] if args.rows else list(ROWS)
    jobs = sorted(((row, tool) for row in rows for tool in tools), key=lambda job: -job[0].about)
    free = lanes(min(args.lanes, len(jobs)))
    try:
        # What is measured runs alone.
        cells = {(row.name, tool): play(free, row, tool) for row, tool in jobs if row.alone}
        with concurrent.futures.ThreadPoolExecutor(args.lanes) as pool:
            rest = [pool.submit(play, free, *job) for job in jobs if not job[0].alone]
            cells |= {(cell.row.name, cell.tool): cell for cell in (future.result() for future in rest)}
    finally:
        while not free.empty():
            free.get().close()
    table(cells, tools, rows)
    wrong = [cell for (_, tool), cell in cells.items() if tool == "bgctl" and not (cell.right and cell.knows)]
    for cell in wrong if args.verbose else []:
        print(f"\n== {cell.row.name}: {cell.report['writes']}\n{cell.said}")
    sys.exit(1 if wrong else 0)


main()
