"""The spelling of JSON: one for lines and statements, one for plans and requests.

Both are checked in the same way: the text is read by the standard parser and written again. Where
every value has one spelling, the text is well spelled when the same text comes out.
"""
from __future__ import annotations

import json
import re
from typing import Any, Dict, List, Tuple

DEEPEST = 64
LARGEST = 2**53 - 1

HIDDEN = re.compile(
    "[\x7f-\x9f\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)


class Misspelled(Exception):
    """The text is no JSON, or not in the one spelling."""


class Fraction(float):
    """A number of a plan that is not whole. It keeps its spelling, which the page leaves open."""

    def __new__(cls, spelling: str) -> "Fraction":
        number = super().__new__(cls, spelling)
        number.spelling = spelling
        return number


def members(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    """The members of an object, none of them twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Misspelled("a member stands twice")
    return found


def no_number(spelling: str) -> Any:
    raise Misspelled("not a whole number: " + spelling[:20])


def whole(spelling: str) -> int:
    """A whole number in the range of the page. The length is asked first: int() is not linear."""
    number = int(spelling) if len(spelling) <= 17 else LARGEST + 1
    if abs(number) > LARGEST:
        raise Misspelled("the number is too large")
    return number


def plan_number(spelling: str) -> Any:
    """A whole number of a plan. A very long one is kept as it is spelled: int() is not linear."""
    if spelling == "-0" or len(spelling) > 20:
        return Fraction(spelling)
    return int(spelling)


LINE = json.JSONDecoder(object_pairs_hook=members, parse_int=whole, parse_float=no_number,
                        parse_constant=no_number)
PLAN = json.JSONDecoder(object_pairs_hook=members, parse_int=plan_number, parse_float=Fraction,
                        parse_constant=no_number)


def parsed(decoder: json.JSONDecoder, text: str) -> Any:
    try:
        value, end = decoder.raw_decode(text)
    except (ValueError, RecursionError) as error:
        raise Misspelled(str(error)) from None
    if end != len(text):
        raise Misspelled("something stands behind the value")
    return value


def depth(value: Any) -> int:
    """How deep the deepest value in this one lies; the value itself is at depth 0."""
    deepest, level = 0, [value]
    while True:
        inner: List[Any] = []
        for each in level:
            if isinstance(each, dict):
                inner.extend(each.values())
            elif isinstance(each, list):
                inner.extend(each)
        if not inner:
            return deepest
        deepest, level = deepest + 1, inner


def read_line(text: str) -> Any:
    """A value in the spelling of lines and of statements."""
    value = parsed(LINE, text)
    written = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if HIDDEN.sub(lambda hidden: "\\u%04x" % ord(hidden.group()), written) != text:
        raise Misspelled("not in the one spelling")
    if depth(value) > DEEPEST:
        raise Misspelled("nested too deep")
    return value


def read_plan(text: str) -> Any:
    """A value in the spelling of plans and of requests: nothing is hidden but controls."""
    value = parsed(PLAN, text)
    try:
        written = write_plan(value)
    except RecursionError:
        raise Misspelled("nested too deep") from None
    if written != text:
        raise Misspelled("not in the one spelling")
    return value


def write_plan(value: Any) -> str:
    """A value as plans spell it. (The standard writer would spell fractions anew.)"""
    if isinstance(value, Fraction):
        return value.spelling
    if isinstance(value, dict):
        return "{" + ",".join(write_plan(k) + ":" + write_plan(v) for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(write_plan, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def spans(text: str, start: int) -> List[Tuple[str, int, int]]:
    """The parts of the object or list that begins at `start` of a well spelled plan: the name
    (empty in a list) and where the value begins and ends."""
    found = []
    is_object, at = text[start] == "{", start + 1
    while text[at] not in "]}":
        name = ""
        if is_object:
            name, at = PLAN.raw_decode(text, at)
            at += 1
        _, end = PLAN.raw_decode(text, at)
        found.append((name, at, end))
        at = end + 1 if text[end] == "," else end
    return found
