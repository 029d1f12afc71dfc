"""Times: the spelling of `ts`, and its value as whole microseconds since 1970."""
from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any, Optional

FORM = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
EPOCH = datetime(1970, 1, 1)
SECOND = 1_000_000
LAST_YEAR = 9998


def microseconds(value: Any) -> Optional[int]:
    """The time that a text in the form of `ts` names; None if it is no real time in this form."""
    if not isinstance(value, str) or not FORM.fullmatch(value):
        return None
    try:
        moment = datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%fZ")
    except ValueError:
        return None
    if moment.year > LAST_YEAR:
        return None
    return (moment - EPOCH) // timedelta(microseconds=1)
