"""Each delivery is handled once, whichever of two stacks gets it: claimed under a lease, then done.

A claim alone (SET NX with a long time) is not enough: a stack that claims and dies makes the other drop Slack's retry, and
the event is lost. So a claim ends by itself after `lease_s`, and only `done` lasts. While somebody else is at it the answer
is 503, so that Slack comes again. With `process_before_response=True` Slack hears 200 only after the work.
"""
import uuid

from slack_bolt import BoltResponse

# Done only by whoever still holds the claim, together with the note of who did it: both or neither.
DONE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
if ARGV[4] ~= '' then redis.call('RPUSH', KEYS[2], ARGV[4]) redis.call('PEXPIRE', KEYS[2], ARGV[3]) end
return 1
"""


class Dedup:
    def __init__(self, redis, color, lease_s=30, ttl_s=3 * 3600):
        """`lease_s`: longer than any listener works, under 60 s (Slack's second retry). `ttl_s`: longer than Slack repeats;
        26 h when Delayed Events is on. The store must not evict keys (`maxmemory-policy noeviction`)."""
        self.redis, self.color, self.lease_ms, self.ttl_ms = redis, color, int(lease_s * 1000), int(ttl_s * 1000)

    @staticmethod
    def key(body):
        """By `event_id` or `trigger_id`: retries keep those, and envelopes and retry numbers are no identity."""
        if body.get("type") == "event_callback":
            return f"dedup:evt:{body.get('team_id')}:{body.get('event_id')}"
        if "command" in body:
            return f"dedup:cmd:{body.get('trigger_id')}"
        if body.get("type") in ("block_actions", "view_submission", "shortcut", "message_action"):
            return f"dedup:{body['type']}:{body.get('trigger_id')}"
        return None

    def claim(self, body, context, next):
        """Global middleware: `app.use(dedup.claim)`."""
        key = self.key(body)
        if key is None:
            return next()
        mine = f"claimed:{self.color}:{uuid.uuid4()}"
        if self.redis.set(key, mine, nx=True, px=self.lease_ms):
            context["claim"] = (key, mine)
            return next()
        held = self.redis.get(key) or b""
        held = held.decode() if isinstance(held, bytes) else held
        return BoltResponse(status=200 if held.startswith("done") else 503, body="")

    def done(self, context):
        """When the work of a listener has ended. `context["handled"]` is an id to note as handled, for bgctl to count."""
        key, mine = context.get("claim") or (None, None)
        if key:
            handled = context.get("handled")
            note = self.color if handled else ""
            self.redis.eval(DONE, 2, key, f"bgctl:handled:{handled}", mine, f"done:{self.color}", self.ttl_ms, note)
