// Each delivery is handled once, whichever of two stacks gets it: claimed under a lease, then done.
//
// A claim alone (SET NX with a long time) is not enough: a stack that claims and dies makes the other drop Slack's retry, and
// the event is lost. So a claim ends by itself after `leaseMs`, and only `done` lasts. While somebody else is at it the answer
// is a 5xx, so that Slack comes again. Bolt for JavaScript can only do that with `processBeforeResponse: true`: without it
// an event is acked before any middleware has seen it.
const { randomUUID } = require('node:crypto');

// Done only by whoever still holds the claim, together with the note of who did it: both or neither.
const DONE = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
if ARGV[4] ~= '' then redis.call('RPUSH', KEYS[2], ARGV[4]) redis.call('PEXPIRE', KEYS[2], ARGV[3]) end
return 1
`;

class Dedup {
  // `leaseMs`: longer than any listener works, under 60 s (Slack's second retry). `ttlMs`: longer than Slack repeats; 26 h
  // when Delayed Events is on. The store must not evict keys (`maxmemory-policy noeviction`).
  constructor(redis, color, { leaseMs = 30_000, ttlMs = 3 * 3_600_000 } = {}) {
    Object.assign(this, { redis, color, leaseMs, ttlMs });
  }

  // By `event_id` or `trigger_id`: retries keep those, and envelopes and retry numbers are no identity.
  static key(body) {
    if (body.type === 'event_callback') return `dedup:evt:${body.team_id}:${body.event_id}`;
    if (body.command) return `dedup:cmd:${body.trigger_id}`;
    const once = ['block_actions', 'view_submission', 'shortcut', 'message_action'];
    return once.includes(body.type) ? `dedup:${body.type}:${body.trigger_id}` : null;
  }

  // Global middleware. Every listener has ended when `next` has.
  async middleware({ body, context, ack, next }) {
    const key = Dedup.key(body);
    if (!key) return next();
    const mine = `claimed:${this.color}:${randomUUID()}`;
    if (!(await this.redis.set(key, mine, { NX: true, PX: this.leaseMs }))) {
      const held = (await this.redis.get(key)) || '';
      if (!held.startsWith('done')) throw new Error('claimed elsewhere and not done');
      if (ack) await ack();
      return;
    }
    await next();
    // `context.handled` is an id to note as handled, for bgctl to count.
    const keys = [key, `bgctl:handled:${context.handled}`];
    const note = context.handled ? this.color : '';
    await this.redis.eval(DONE, { keys, arguments: [mine, `done:${this.color}`, String(this.ttlMs), note] });
  }
}

module.exports = { Dedup };
