"""Each delivery is handled once, whichever of two stacks gets it: claimed under a lease, then done. Contract 2.

A claim alone (SET NX with a long time) is not enough: a stack that claims and dies makes the other drop Slack's retry, and
the event is lost. So a claim ends by itself after `lease_s`, and only `done` lasts. While the work runs the claim is renewed.
While somebody else is at it the answer is 503, so that Slack comes again. With `process_before_response=True` Slack hears 200
only after the work.

When the store is away, events are answered 503 too. What a user does (commands, buttons, views) is not sent again, so
that is handled without a claim.
"""
import collections
import contextlib
import logging
import threading
import time
import uuid

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

# A claim is taken where there is none, and renewed where it is this one. The answer is who holds the key.
TAKE = """
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return held end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
"""
# Whoever did the work notes it, once for each time that it was done, also when the claim was lost meanwhile.
DONE = """
local held = redis.call('GET', KEYS[1])
if not held or held == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
if ARGV[4] ~= '' and redis.call('SET', KEYS[3], 1, 'NX', 'PX', ARGV[3]) then
  redis.call('RPUSH', KEYS[2], ARGV[4]) redis.call('PEXPIRE', KEYS[2], ARGV[3])
end
return 1
"""
LEG = "redis.call('SADD', KEYS[1], ARGV[1]) redis.call('PEXPIRE', KEYS[1], ARGV[2]) return redis.call('SCARD', KEYS[1])"
LET_GO = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end return 1"

# One question to the store takes this long at most; a user waits for no second one, and Slack's event may.
CONNECT_S, ANSWER_S, USER_S, EVENT_S = 0.1, 0.15, 0.04, 0.8
# For so long after that nobody asks at all: no user when one has waited in vain, no event when one has.
AWAY_S = 2

Claim = collections.namedtuple("Claim", "key mine")


class Away(Exception):
    """The store does not answer."""


class Dedup:
    def __init__(self, store, color, lease_s=30, ttl_s=3 * 3600):
        """`store`: a `redis.Redis`, for `AsyncApp` too. `lease_s`: longer than this process may stand still, under 60 s
        (Slack's second retry). `ttl_s`: longer than Slack repeats; 26 h when Delayed Events is on. The store must not evict
        keys (`maxmemory-policy noeviction`)."""
        self.redis, self.color, self.lease_ms, self.ttl_ms = bounded(store), color, int(lease_s * 1000), int(ttl_s * 1000)
        self.held, self.owed, self.lock = {}, collections.deque(maxlen=10_000), threading.Lock()
        self.away_until, self.unclaimed, self.keeper = {USER_S: 0.0, EVENT_S: 0.0}, 0, None

    @staticmethod
    def key(body):
        """By `event_id` or `trigger_id`: retries keep those, and envelopes and retry numbers are no identity."""
        if body.get("type") == "event_callback":
            where = body.get("team_id") or body.get("enterprise_id") or "-"  # an organisation has no team
            return f"dedup:evt:{where}:{body.get('event_id')}"
        if not body.get("trigger_id"):
            return None
        if "command" in body:
            return f"dedup:cmd:{body['trigger_id']}"
        if body.get("type") in ("block_actions", "view_submission", "shortcut", "message_action"):
            return f"dedup:{body['type']}:{body['trigger_id']}"
        return None

    def claim(self, body, mine=None):
        """The claim and what to answer instead of the work, where somebody else has it. `mine`: what an earlier leg of the
        same delivery claimed."""
        key, fresh = self.key(body), mine is None
        mine = mine or f"claimed:{self.color}:{uuid.uuid4()}"
        if key is None:
            return Claim(None, mine), None
        event = body.get("type") == "event_callback"
        try:
            held = self._ask(TAKE, [key], [mine, self.lease_ms], EVENT_S if event else USER_S)
        except Away:
            if event and fresh:
                # It may have heard the question all the same, and then the claim stands with nobody at work.
                self._owe(LET_GO, [key], [mine])
                return None, 503
            self.unclaimed += 1
            return Claim(key, mine), None
        held = held.decode() if isinstance(held, bytes) else held
        if held == mine:
            return Claim(key, mine), None
        return None, 200 if held.startswith("done") else 503

    @contextlib.contextmanager
    def working(self, claim):
        """Until the end of the work its claim does not."""
        if claim is None or claim.key is None:
            yield
            return
        with self.lock:
            legs, due = self.held.get(claim, (0, time.monotonic() + self.lease_ms / 3000))
            self.held[claim] = (legs + 1, due)
            self._start_keeper()
        try:
            yield
        finally:
            with self.lock:
                legs, due = self.held.pop(claim)
                if legs > 1:
                    self.held[claim] = (legs - 1, due)

    def leg_done(self, claim, handled, leg, legs):
        """When one of several lazy functions has ended. The last one ends the work."""
        try:
            if legs > 1 and self._ask(LEG, [f"bgctl:legs:{claim.mine}"], [leg, self.ttl_ms]) < legs:
                return
        except Away:
            return  # the claim lapses
        self.done(claim, handled)

    def done(self, claim, handled):
        """When the work has ended. `handled` is an id to note as handled, for bgctl to count."""
        if claim.key is None:
            return
        note = self.color if handled else ""
        keys = [claim.key, f"bgctl:handled:{handled}", f"bgctl:noted:{claim.mine}"]
        args = [claim.mine, f"done:{self.color}", self.ttl_ms, note]
        try:
            self._ask(DONE, keys, args, USER_S)
        except Away:
            self._owe(DONE, keys, args)  # the work is done: nobody has to wait or come again

    def _ask(self, script, keys, args, patience=EVENT_S):
        end = time.monotonic() + patience
        while time.monotonic() >= self.away_until[patience]:
            try:
                return self.redis.eval(script, len(keys), *keys, *args)
            except Exception as error:
                if time.monotonic() > end:
                    for less in (USER_S, patience):
                        self.away_until[less] = time.monotonic() + AWAY_S
                    logging.getLogger(__name__).warning("the store does not answer: %s", error)
                time.sleep(0.01)
        raise Away

    def _owe(self, *question):
        with self.lock:
            self.owed.append(question)
            self._start_keeper()

    def _start_keeper(self):
        if self.keeper is None:
            self.keeper = threading.Thread(target=self._keep, daemon=True)
            self.keeper.start()

    def _keep(self):
        """Renews each claim at a third of its lease for as long as its work runs, and says what is owed to the store."""
        while True:
            time.sleep(min(self.lease_ms / 6000, 1))
            now = time.monotonic()
            with self.lock:
                due = [claim for claim, (_, at) in self.held.items() if at <= now]
                owed = [self.owed.popleft() for _ in range(len(self.owed))]
                for claim in due:
                    self.held[claim] = (self.held[claim][0], now + self.lease_ms / 3000)
            owed = [(TAKE, [claim.key], [claim.mine, self.lease_ms]) for claim in due] + owed
            for at, question in enumerate(owed):
                try:
                    self._ask(*question)
                except Away:
                    with self.lock:
                        self.owed.extend(rest for rest in owed[at:] if rest[0] is not TAKE)
                    break


def bounded(store):
    """The same store over connections that give up soon: those of the bot may wait for ever. Give a client of a cluster or of
    a Sentinel such times yourself."""
    pool = getattr(store, "connection_pool", None)
    if type(pool) not in (redis.ConnectionPool, redis.BlockingConnectionPool):
        return store
    times = {"socket_timeout": ANSWER_S, "retry": Retry(NoBackoff(), 0)}
    if "host" in pool.connection_kwargs:
        times["socket_connect_timeout"] = CONNECT_S
    ours = redis.ConnectionPool(connection_class=pool.connection_class, **{**pool.connection_kwargs, **times})
    return redis.Redis(connection_pool=ours)
