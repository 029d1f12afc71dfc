"""What is to go wrong with the calls of an API, in the order it was asked for. Pure."""

import re

ERRORS = {
    "throttle": ("Throttling", "Rate exceeded", 400),
    "deny": ("AccessDenied", "User: shop is not authorized to perform this action", 403),
    "expired": ("ExpiredToken", "The security token included in the request is expired", 403),
}
# Delays a call: hang answers after it was done, late cuts at once and does it later, latency is only slow.
KINDS = {*ERRORS, "hang", "lose", "late", "latency"}


class Fault:
    """One thing that goes wrong, for so many calls after the first `skip`."""

    def __init__(self, kind, action="Modify", times=1, skip=0, seconds=0.0):
        if kind not in KINDS:
            raise ValueError(f"unknown fault {kind}; known: {', '.join(sorted(KINDS))}")
        self.kind, self.action, self.times, self.skip, self.seconds = kind, re.compile(action), times, skip, seconds

    def strikes(self, action):
        if not self.action.match(action) or self.times == 0:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


def struck(faults, action):
    """The fault that meets this call, and how long all slowness lasts."""
    met = [fault for fault in faults if fault.strikes(action)]
    slow = sum(fault.seconds for fault in met if fault.kind == "latency")
    return next((fault for fault in met if fault.kind != "latency"), None), slow
