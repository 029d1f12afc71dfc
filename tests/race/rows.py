"""The rows of the race: what goes wrong, what the person does, and where users must be at the end. Data only."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Row:
    """`world` is done before the start. `play` is what the person does; `want` where users may be at the end."""

    name: str
    world: tuple = ()
    play: str = "cutover"
    want: tuple = ("green",)
    reset: dict = dataclasses.field(default_factory=dict)
    # A job that takes longer is ended by SIGTERM.
    patience: float = 100.0
    # The look at the end is not before so many seconds after the start.
    quiet: float = 0.0
    # About how long it takes, so that the long ones begin first.
    about: float = 12.0
    # Its times are shown, so nothing else runs meanwhile.
    alone: bool = False


def fault(**said):
    return {"fault": said}


def after_writes(n, seconds, **do):
    return {"then": {"writes": n, "in": seconds, "do": do}}


BAD_GREEN = {"errors": {"green": 0.4}}
AWAY = 20

ROWS = (
    Row("healthy", alone=True),
    Row("green errors", (BAD_GREEN,), want=("blue",)),
    Row("throttled forward, 4 times", (fault(kind="throttle", times=4),), about=20),
    Row(
        "throttled while rolling back, 4 times",
        (BAD_GREEN, fault(kind="throttle", skip=1, times=4)),
        want=("blue",),
        about=20,
    ),
    Row("reply lost", (fault(kind="lose"),)),
    Row("connection cut, write lands 20 s later", (fault(kind="late", seconds=20),), quiet=26, about=35),
    Row("write hangs 30 s, then applied", (fault(kind="hang", seconds=30),), quiet=36, about=50),
    Row("reads stale for 8 s", ({"stale": 8},), about=30),
    # Whoever wrote it wants it: it is not to be overwritten.
    Row(
        "somebody sends all back in the bake",
        (after_writes(1, 1, write={"blue": 100, "green": 0}),),
        want=("blue",),
        patience=30,
    ),
    # Going back to it would be worse than anything.
    Row(
        "blue dies while green fails",
        (BAD_GREEN, after_writes(1, 0.3, kill="blue")),
        want=("50/50", "green"),
    ),
    Row(
        f"endpoint away for {AWAY} s in the bake", (after_writes(1, 0.5, away=AWAY),), want=("green", "blue"), about=40
    ),
    Row(
        "sign-in and stickiness, then rollback",
        (),
        "cutover then rollback",
        ("blue",),
        {"signed_in": True, "sticky": 3600},
        alone=True,
    ),
    Row("metrics silent, green fails", (BAD_GREEN, after_writes(1, 0, silent=True)), want=("blue",)),
    Row("laptop lost at 50 %, rollback elsewhere", (), "lost", ("blue",)),
    Row("killed at 50 %, started again", (), "again"),
)
