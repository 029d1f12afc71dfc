"""The plan: its shape, its steps with their digests, and the people that it knows."""
from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from .shapes import (ANYTHING, BOOLEAN, COUNT, COUNT_64, NAME, NUMBER, TEXT, Shape, closed_object,
                     list_of, nullable, sorted_map_of, word)
from .spelling import Misspelled, read_plan, spans

NO_TEAM = {"policy_sha256": "", "persons": {}}

SPLIT = closed_object(("blue", COUNT), ("green", COUNT))
STACK = closed_object(("version", TEXT), ("url", TEXT), ("name", TEXT, None), ("label", TEXT, None),
                      ("headers", sorted_map_of(TEXT), {}))
VERSION_AT = closed_object(("path", TEXT), ("header", TEXT))
CAPACITY = closed_object(
    ("peak", COUNT, None), ("per_target", COUNT, None), ("healthy", COUNT, None),
    ("zones", COUNT, None), ("traffic", word("cloudwatch"), None))
ROUTE = closed_object(
    ("router", TEXT), ("config", ANYTHING), ("line", TEXT),
    ("seen_at", nullable(closed_object(("url", TEXT), ("header", TEXT), ("samples", COUNT),
                                       ("tolerance", COUNT), ("headers", sorted_map_of(TEXT), {})))),
    ("before", SPLIT), ("min_healthy", COUNT), ("capacity", CAPACITY, {}),
    ("resources", list_of(TEXT), []))
RULE = closed_object(
    ("role", TEXT), ("members", list_of(TEXT)), ("quorum", COUNT), ("own_run", BOOLEAN),
    ("within_s", COUNT_64), ("at_expiry", word("roll-back", "hold", "halt")),
    ("evidence", word("prompt", "slack", "signed", "signed-hw"), "prompt"),
    ("covers_rollback", BOOLEAN, False), ("even_by_hand", BOOLEAN, False))
STEP = closed_object(
    ("id", TEXT), ("kind", TEXT), ("line", TEXT), ("config", ANYTHING),
    ("resume", word("repeat", "observe", "ask-human")), ("attempts", COUNT),
    ("timeout_s", COUNT_64), ("expected_s", COUNT_64),
    ("moves", nullable(closed_object(("route", TEXT), ("before", SPLIT), ("after", SPLIT)))),
    ("approval", nullable(RULE)), ("on_failure", word("roll-back", "halt", "continue")),
    ("place", TEXT))
POLICY = closed_object(
    ("automatic_at_most", COUNT), ("within_s", COUNT_64), ("schema_safe", BOOLEAN),
    ("schema_reason", nullable(TEXT)), ("page", list_of(ANYTHING)),
    ("notify", list_of(ANYTHING), []),
    ("pause_at_most_s", COUNT_64, 1800), ("rollback_within_s", COUNT_64, 600),
    ("acknowledge_s", COUNT_64, None), ("rollback_in_order", BOOLEAN, False))
PERSON = closed_object(("principals", list_of(NAME)), ("ci", list_of(TEXT), []),
                       ("kind", word("human", "bot"), "human"))
TEAM = closed_object(
    ("policy_sha256", TEXT), ("persons", sorted_map_of(PERSON)),
    ("shared_key_refused", BOOLEAN, False), ("security_key_required", BOOLEAN, False),
    ("verify_required", BOOLEAN, False))
MIGRATION = closed_object(("name", TEXT), ("version", TEXT, None), ("sha256", TEXT))
FINDING = closed_object(("place", TEXT), ("class", TEXT), ("why", TEXT), ("statement", TEXT, ""),
                        ("declared", TEXT, None))
SCHEMA = closed_object(
    ("postgres", TEXT, None), ("folder", TEXT, None), ("migrations", list_of(MIGRATION), []),
    ("before", list_of(TEXT), []), ("statements", sorted_map_of(COUNT), {}),
    ("findings", list_of(FINDING), []), ("blue_needs", sorted_map_of(list_of(TEXT)), {}),
    ("green_needs", sorted_map_of(list_of(TEXT)), {}), ("indexed", list_of(TEXT), []),
    ("checks", list_of(closed_object(("sql", TEXT), ("equals", NUMBER))), []),
    ("migrate", TEXT, None), ("overriding", RULE, None))


def PURPOSE(value: Any) -> bool:
    return (value in ("cutover", "rollback-without-run")
            or isinstance(value, dict) and list(value) == ["rollback-of"]
            and TEXT(value["rollback-of"]))


PLAN: Shape = closed_object(
    ("bgctl_plan", lambda value: COUNT(value) and value == 1), ("purpose", PURPOSE),
    ("service", TEXT), ("environment", TEXT), ("owners", list_of(NAME)), ("rollback_owner", NAME),
    ("runbook", TEXT), ("runbook_sha256", TEXT), ("blue", STACK), ("green", STACK),
    ("version_at", VERSION_AT, None), ("routes", sorted_map_of(ROUTE)), ("gates", sorted_map_of(ANYTHING)), ("slack", ANYTHING),
    ("compare", ANYTHING, None), ("policy", POLICY), ("schema", SCHEMA, None),
    ("forward", list_of(STEP)), ("rollback", list_of(STEP)), ("team", TEAM, NO_TEAM),
    ("warnings", list_of(TEXT)))

Place = Tuple[str, int]
FORWARD, ROLLBACK = "forward", "rollback"


@dataclass(frozen=True)
class Moves:
    """What a step does to the users of a route. A split is (blue, green)."""

    route: str
    before: Tuple[int, int]
    after: Tuple[int, int]


@dataclass(frozen=True)
class Step:
    """A step: its place (lane and index), its members, and the digest of its text."""

    place: Place
    said: Dict[str, Any]
    sha256: str
    moves: Optional[Moves]

    @property
    def id(self) -> str:
        return self.said["id"]

    @property
    def rule(self) -> Optional[Dict[str, Any]]:
        return self.said["approval"]

    @property
    def even_by_hand(self) -> bool:
        return self.rule is not None and self.rule.get("even_by_hand", False)

    @property
    def covers_rollback(self) -> bool:
        return self.rule is not None and self.rule.get("covers_rollback", False)

    @property
    def config(self) -> Dict[str, Any]:
        """The settings; what is no object has none."""
        config = self.said["config"]
        return config if isinstance(config, dict) else {}


def split_of(value: Dict[str, int]) -> Tuple[int, int]:
    return value["blue"], value["green"]


def same_split(one: Tuple[int, int], other: Tuple[int, int]) -> bool:
    """Whether the weights are in one proportion. Nothing at all is only the same as itself."""
    if one == (0, 0) or other == (0, 0):
        return one == other
    return one[0] * other[1] == other[0] * one[1]


def more_blue(one: Tuple[int, int], other: Tuple[int, int]) -> bool:
    """Whether the first split has a larger share of blue."""
    return one[0] * (sum(other) or 1) > other[0] * (sum(one) or 1)


def all_on_blue(split: Tuple[int, int]) -> bool:
    return split[1] == 0 and split[0] != 0


class Plan:
    """A plan that has its form."""

    def __init__(self, text: str, said: Dict[str, Any]) -> None:
        self.said = said
        self.sha256 = hashlib.sha256(text.encode()).hexdigest()
        self.is_cutover = said["purpose"] == "cutover"
        self.is_rollback_of = isinstance(said["purpose"], dict)
        self.team: Dict[str, Any] = said.get("team", NO_TEAM)
        self.routes: Dict[str, Any] = said["routes"]
        self.gates: Dict[str, Any] = said["gates"]
        self.steps = {step.place: step for step in steps_of(text, said)}
        self.lanes = {lane: [self.steps[lane, index] for index in range(len(said[lane]))]
                      for lane in (FORWARD, ROLLBACK)}
        self.by_id: Dict[str, Step] = {}
        for step in self.lanes[FORWARD] + self.lanes[ROLLBACK]:
            self.by_id.setdefault(step.id, step)
        self.guarded_back = any(step.even_by_hand for step in self.lanes[ROLLBACK])

    def before(self, route: str) -> Tuple[int, int]:
        return split_of(self.routes[route]["before"])


def moves_of(said: Optional[Dict[str, Any]]) -> Optional[Moves]:
    return said and Moves(said["route"], split_of(said["before"]), split_of(said["after"]))


def steps_of(text: str, said: Dict[str, Any]) -> List[Step]:
    found = []
    for lane, start, _ in spans(text, 0):
        if lane not in (FORWARD, ROLLBACK):
            continue
        for index, (_, begin, end) in enumerate(spans(text, start)):
            step = said[lane][index]
            digest = hashlib.sha256(text[begin:end].encode()).hexdigest()
            found.append(Step((lane, index), step, digest, moves_of(step["moves"])))
    return found


def read(text: str) -> Optional[Plan]:
    """The plan that this text is, or None."""
    try:
        said = read_plan(text)
    except Misspelled:
        return None
    return Plan(text, said) if PLAN(said) else None


class People:
    """The persons of the team: who a name in `allowed_signers`, or a login at the CI system, is.

    Without a team each name is a person and a human.
    """

    def __init__(self, plan: Plan) -> None:
        self.has_team = plan.team != NO_TEAM
        self.persons = plan.team["persons"]
        self.names: Dict[str, str] = {}
        self.logins: Dict[str, str] = {}
        for person, said in self.persons.items():
            for name in said["principals"]:
                self.names.setdefault(name, person)
            for login in said.get("ci", ()):
                self.logins.setdefault(login, person)

    def person(self, name: str) -> Optional[str]:
        """The person of a name; None is nobody."""
        return self.names.get(name) if self.has_team else name

    def person_of_login(self, login: str) -> Optional[str]:
        return self.logins.get(login) if self.has_team else login

    def is_human(self, person: Optional[str]) -> bool:
        if person is None:
            return False
        return not self.has_team or self.persons[person].get("kind", "human") == "human"
