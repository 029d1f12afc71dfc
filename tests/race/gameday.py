"""A game day against a stack of real processes, held as `bgctl explain gameday` says: haproxy under load, bots, Prometheus.

tests/race/gameday.py     prints what bgctl says, and what its users met; ends with 1 where anything is not as it should be
BGCTL names another binary than the debug build.
"""

import json
import sys

from rig import BGCTL, Desk, Rig, missing

GAMEDAY = """gameday:
  bad:  {{ run: [curl, -fsS, --json, '{{"errors": {{"green": 0.4}}}}', "{control}/do"] }}
  good: {{ run: [curl, -fsS, --json, '{{"errors": {{"green": 0}}}}', "{control}/do"] }}
  within: 30s
policy: {{ page: [{{ command: [sh, -c, 'printf %s "$BGCTL_PAGE" > page.txt'] }}] }}
"""


def main():
    if missing():
        print(f"skipped: {', '.join(missing())} not installed")
        return 0
    rig = Rig(300)
    try:
        desk = Desk(rig)
        runbook = desk.folder / "runbook.yaml"
        runbook.write_text(runbook.read_text() + GAMEDAY.format(control=rig.url("control")))
        code, said = desk.run(
            BGCTL, "gameday", "runbook.yaml", "--in", "staging", "--confirm", "staging", seconds=200
        )
        print(said)
        seen = rig.report()
        writes = [write["green"] for write in seen["writes"]]
        print(json.dumps({"exit": code, "writes": writes, "weights": seen["weights"], "ok": seen["ok"], "lost": seen["lost"]}))
        page = desk.folder / "page.txt"
        # Half of the users and back by rule; half again, a person called, and home.
        good = code == 0 and writes == [50, 0, 50, 0] and page.exists() and "a person must act" in page.read_text()
        return 0 if good else 1
    finally:
        rig.close()


if __name__ == "__main__":
    sys.exit(main())
