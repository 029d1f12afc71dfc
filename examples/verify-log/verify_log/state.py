"""The state of a run, as the state machine keeps it."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Optional, Set, Tuple, Union

from .plan import FORWARD, People, Place, Plan, Step

SplitT = Tuple[int, int]


@dataclass(frozen=True)
class Planned:
    """Nothing was begun."""


@dataclass(frozen=True)
class Ready:
    """The step at hand may begin, with this attempt."""

    attempt: int


@dataclass(frozen=True)
class Uncertain:
    """The attempt was begun. `looks` counts the looks that saw nothing; `lost`: no answer came."""

    attempt: int
    looks: int = 0
    lost: bool = False


@dataclass(frozen=True)
class Leg:
    """One of several routes that go back at a time."""

    index: int
    doing: Union[Ready, Uncertain]


@dataclass(frozen=True)
class Together:
    """Several routes go back at a time, up to the step `last`."""

    legs: Tuple[Leg, ...]
    last: int


@dataclass(frozen=True)
class Failed:
    """A step failed for a cause, and this is what is to be done."""

    cause: str
    reaction: str


@dataclass(frozen=True)
class Paused:
    """The run waits for a cause to go away."""

    cause: str
    until: int
    paged: bool


@dataclass(frozen=True)
class Held:
    """A person holds the run."""


@dataclass(frozen=True)
class Stuck:
    """Only people can go on. `paged`: they were called."""

    paged: bool


@dataclass(frozen=True)
class Ended:
    """The run is over."""


Doing = Union[Planned, Ready, Uncertain, Together, Failed, Paused, Held, Stuck, Ended]


@dataclass(frozen=True)
class Grant:
    """An approval that counts."""

    name: str
    person: Optional[str]
    key: Optional[str]


@dataclass
class Approval:
    """The approval of a step: of which request, by whom, and whether a step used it."""

    digest: str
    grants: List[Grant] = field(default_factory=list)
    taken_back: List[str] = field(default_factory=list)
    used: bool = False


@dataclass(frozen=True)
class Righting:
    """A late write is being set right: the index to go on with, and the split that was found."""

    to: int
    found: SplitT


@dataclass(frozen=True)
class Pause:
    """The newest pause."""

    step: Place
    cause: str
    until: int
    paged: bool


@dataclass
class State:
    """What the facts so far have made of the run."""

    plan: Plan
    people: People
    lane: str = FORWARD
    index: int = 0
    doing: Doing = Planned()
    moved: bool = False
    wish: Optional[str] = None
    approvals: Dict[Place, Approval] = field(default_factory=dict)
    by_hand: bool = False
    ahead: bool = False
    stranded: Set[str] = field(default_factory=set)
    against: bool = False
    overridden: bool = False
    in_doubt: Optional[int] = None
    begun: Optional[Place] = None
    seen: Optional[Dict[str, Optional[SplitT]]] = None
    settled: bool = False
    looks: bool = False
    tried: Dict[Place, int] = field(default_factory=dict)
    doubts: Set[Tuple[Place, int]] = field(default_factory=set)
    righting: Optional[Righting] = None
    righted: int = 0
    pause: Optional[Pause] = None

    @property
    def place(self) -> Place:
        return self.lane, self.index

    @property
    def here(self) -> Optional[Step]:
        """The step at hand; none behind the end of the lane."""
        return self.plan.steps.get(self.place)

    @property
    def forward(self) -> bool:
        return self.lane == FORWARD

    @property
    def here_moves(self) -> bool:
        return self.here is not None and self.here.moves is not None

    def doing_is(self, *kinds: type) -> bool:
        return isinstance(self.doing, kinds)
