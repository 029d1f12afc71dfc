// Each delivery is handled once, whichever of two stacks gets it: claimed under a lease, then done. Contract 2.
//
// A claim alone (SET NX with a long time) is not enough: a stack that claims and dies makes the other drop Slack's retry, and
// the event is lost. So a claim ends by itself after `leaseMs`, and only `done` lasts. While the work runs the claim is renewed.
// While somebody else is at it the answer is a 5xx, so that Slack comes again. Bolt for JavaScript can only do that with
// `processBeforeResponse: true`: without it an event is acked before any middleware has seen it.
//
// When the store is away, events are answered with a 5xx too. What a user does (commands, buttons, views) is not sent again, so
// that is handled without a claim, and so is an event that Bolt has acked already.
const { randomUUID } = require('node:crypto');

// A claim is taken where there is none, and renewed where it is this one. The answer is who holds the key.
const TAKE = `
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return held end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
`;
// Whoever did the work notes it, once for each time that it was done, also when the claim was lost meanwhile.
const DONE = `
local held = redis.call('GET', KEYS[1])
if not held or held == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
if ARGV[4] ~= '' and redis.call('SET', KEYS[3], 1, 'NX', 'PX', ARGV[3]) then
  redis.call('RPUSH', KEYS[2], ARGV[4]) redis.call('PEXPIRE', KEYS[2], ARGV[3])
end
return 1
`;
const LET_GO = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end return 1";

// One question to the store takes this long at most; a user waits for no second one, and Slack's event may.
const [ANSWER_MS, USER_MS, EVENT_MS] = [200, 40, 800];
// For so long after that nobody asks at all: no user when one has waited in vain, no event when one has.
const AWAY_MS = 2000;

class Away extends Error {}

class Dedup {
  // `leaseMs`: longer than this process may stand still, under 60 s (Slack's second retry). `ttlMs`: longer than Slack repeats;
  // 26 h when Delayed Events is on. The store must not evict keys (`maxmemory-policy noeviction`).
  constructor(redis, color, { leaseMs = 30_000, ttlMs = 3 * 3_600_000 } = {}) {
    Object.assign(this, { redis, color, leaseMs, ttlMs, unclaimed: 0, owed: [], acksFirst: false });
    this.awayUntil = { [USER_MS]: 0, [EVENT_MS]: 0 };
  }

  // By `event_id` or `trigger_id`: retries keep those, and envelopes and retry numbers are no identity.
  static key(body) {
    // An organisation has no team.
    if (body.type === 'event_callback') return `dedup:evt:${body.team_id || body.enterprise_id || '-'}:${body.event_id}`;
    if (!body.trigger_id) return null;
    if (body.command) return `dedup:cmd:${body.trigger_id}`;
    const once = ['block_actions', 'view_submission', 'shortcut', 'message_action'];
    return once.includes(body.type) ? `dedup:${body.type}:${body.trigger_id}` : null;
  }

  // Global middleware. Every listener has ended when `next` has.
  async middleware({ body, context, ack, next }) {
    const key = Dedup.key(body);
    if (!key) return next();
    const event = body.type === 'event_callback';
    const mine = `claimed:${this.color}:${randomUUID()}`;
    const take = (patience) => this.ask(TAKE, [key], [mine, String(this.leaseMs)], patience);
    let held = mine;
    try {
      held = await take(event ? EVENT_MS : USER_MS);
    } catch (away) {
      if (event && !this.acksFirst) {
        // It may have heard the question all the same, and then the claim stands with nobody at work.
        this.owe(LET_GO, [key], [mine]);
        throw away;
      }
      this.unclaimed += 1;
    }
    if (held !== mine) {
      if (!held.startsWith('done')) throw new Error('claimed elsewhere and not done');
      if (ack) await ack();
      return undefined;
    }
    const renewal = setInterval(() => take(EVENT_MS).catch(() => {}), this.leaseMs / 3);
    try {
      await next();
      await this.done(key, mine, context.handled);
    } finally {
      clearInterval(renewal);
    }
    return undefined;
  }

  // When the work has ended. `handled` is an id to note as handled, for bgctl to count.
  async done(key, mine, handled) {
    const keys = [key, `bgctl:handled:${handled}`, `bgctl:noted:${mine}`];
    const args = [mine, `done:${this.color}`, String(this.ttlMs), handled ? this.color : ''];
    // The work is done: nobody has to wait or come again.
    await this.ask(DONE, keys, args, USER_MS).catch(() => this.owe(DONE, keys, args));
  }

  async ask(script, keys, args, patience) {
    const end = performance.now() + patience;
    while (performance.now() >= this.awayUntil[patience]) {
      try {
        return await soon(this.redis, script, { keys, arguments: args });
      } catch (error) {
        if (performance.now() > end) {
          for (const less of [USER_MS, patience]) this.awayUntil[less] = performance.now() + AWAY_MS;
          console.warn(`the store does not answer: ${error}`);
        }
        await new Promise((after) => setTimeout(after, 10));
      }
    }
    throw new Away('the store does not answer');
  }

  // Says to the store later what it could not be told now.
  owe(...question) {
    if (this.owed.length < 10_000) this.owed.push(question);
    this.later ??= setTimeout(async () => {
      this.later = undefined;
      for (const owed of this.owed.splice(0)) await this.ask(...owed, EVENT_MS).catch(() => this.owe(...owed));
    }, 1000);
  }
}

// Node's client waits for a store that is away; here it gives up, and forgets what it has not sent yet.
async function soon(redis, script, options) {
  const given = new AbortController();
  const client = redis.withAbortSignal ? redis.withAbortSignal(given.signal) : redis;
  let timer;
  const late = new Promise((_, reject) => {
    // A process that was busy for so long reads first what has come meanwhile.
    timer = setTimeout(() => setImmediate(() => { reject(new Error('no answer in time')); given.abort(); }), ANSWER_MS);
  });
  try {
    return await Promise.race([client.eval(script, options), late]);
  } finally {
    clearTimeout(timer);
  }
}

module.exports = { Dedup };
