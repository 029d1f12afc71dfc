"""Shapes: what a JSON value has to look like. A shape is a function that says whether it does."""
from __future__ import annotations

import re
from typing import Any, Callable, Dict, Tuple

Shape = Callable[[Any], bool]

COUNT_LARGEST = 2**32 - 1
NUMBER_LARGEST = 2**64 - 1
HEX_64 = re.compile("[0-9a-f]{64}")
PERSON_NAME = re.compile(r"[A-Za-z0-9.\-_+/:=%]+@[A-Za-z0-9.\-_+/:=%]+")


def is_int(value: Any) -> bool:
    return type(value) is int


def TEXT(value: Any) -> bool:
    return isinstance(value, str)


def BOOLEAN(value: Any) -> bool:
    return isinstance(value, bool)


def ANYTHING(value: Any) -> bool:
    return True


def LIST(value: Any) -> bool:
    return isinstance(value, list)


def NUMBER(value: Any) -> bool:
    return is_int(value)


def COUNT(value: Any) -> bool:
    return is_int(value) and 0 <= value <= COUNT_LARGEST


def COUNT_64(value: Any) -> bool:
    """A number from 0."""
    return is_int(value) and 0 <= value <= NUMBER_LARGEST


def DIGEST(value: Any) -> bool:
    return TEXT(value) and HEX_64.fullmatch(value) is not None


def NAME(value: Any) -> bool:
    """A name of a person."""
    return TEXT(value) and PERSON_NAME.fullmatch(value) is not None and len(value) <= 254


def word(*words: str) -> Shape:
    return lambda value: TEXT(value) and value in words


def nullable(shape: Shape) -> Shape:
    return lambda value: value is None or shape(value)


def list_of(shape: Shape) -> Shape:
    return lambda value: isinstance(value, list) and all(map(shape, value))


def map_of(shape: Shape) -> Shape:
    """An object of values by name."""
    return lambda value: isinstance(value, dict) and all(map(shape, value.values()))


def sorted_map_of(shape: Shape) -> Shape:
    """An object of values by name, in the order of the bytes of the names."""
    fits = map_of(shape)
    return lambda value: fits(value) and in_order(value)


def in_order(value: Dict[str, Any]) -> bool:
    names = [name.encode("utf-8", "surrogatepass") for name in value]
    return names == sorted(names)


def optional(shape: Shape) -> Tuple[Shape]:
    """In an open object: a member that may be missing or null."""
    return (nullable(shape),)


def open_object(**members: Any) -> Shape:
    """An object with these members at least, in any order."""

    def fits(value: Any) -> bool:
        if not isinstance(value, dict):
            return False
        for name, shape in members.items():
            if isinstance(shape, tuple):
                if not shape[0](value.get(name)):
                    return False
            elif name not in value or not shape(value[name]):
                return False
        return True

    return fits


SPLIT = open_object(blue=COUNT, green=COUNT)
REQUIRED = object()


def closed_object(*members: Tuple[Any, ...]) -> Shape:
    """An object with exactly these members in this order. A member is (name, shape), or
    (name, shape, default): that one is left out where it has its default, and only there."""
    known = {name: (place, shape, default[0] if default else REQUIRED)
             for place, (name, shape, *default) in enumerate(members)}
    required = {name for name, (_, _, default) in known.items() if default is REQUIRED}

    def fits(value: Any) -> bool:
        if not isinstance(value, dict) or not required <= set(value) <= set(known):
            return False
        places = [known[name][0] for name in value]
        return places == sorted(places) and all(
            known[name][1](each) and not same(each, known[name][2]) for name, each in value.items())

    return fits


def same(value: Any, default: Any) -> bool:
    """Equal, and of one type: in Python 0 is equal to False."""
    return type(value) is type(default) and value == default
