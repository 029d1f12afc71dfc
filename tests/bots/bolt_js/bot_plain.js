// A bot in Express without Bolt: `PORT=… node bot_plain.js`.
const { createHmac, timingSafeEqual } = require('node:crypto');
const express = require('express');
const { createClient } = require('redis');
const { Contract } = require('./bgctl_contract');
const { Dedup } = require('./bgctl_dedup');
const { plain } = require('./bgctl_plain');

const { COLOR, VERSION, PORT, REDIS_URL, SLACK_SIGNING_SECRET, EVENT_WORK_S = '0', LEASE_MS = '4000' } = process.env;

(async () => {
  const redis = createClient({ url: REDIS_URL });
  redis.on('error', (error) => console.error(error));
  await redis.connect();
  const app = express();
  const verify = (req, _, raw) => { req.raw = raw; };
  app.use(express.json({ verify }), express.urlencoded({ extended: false, verify }));
  const verified = (req, res, next) => {
    const at = req.headers['x-slack-request-timestamp'];
    const wanted = Buffer.from(`v0=${createHmac('sha256', SLACK_SIGNING_SECRET).update(`v0:${at}:${req.raw}`).digest('hex')}`);
    const given = Buffer.from(req.headers['x-slack-signature'] ?? '');
    const fresh = Math.abs(Date.now() / 1000 - Number(at)) < 300;
    if (!fresh || given.length !== wanted.length || !timingSafeEqual(given, wanted)) return res.status(401).end();
    return next();
  };
  const dedup = new Dedup(redis, COLOR, { leaseMs: Number(LEASE_MS) });
  const contract = new Contract(COLOR, VERSION, { dedup, ready: () => redis.ping() });
  const once = plain(contract, { commands: ['/standup'], events: ['app_mention'] });
  app.post('/slack/events', verified, once, async (req, res) => {
    if (req.body.challenge) return res.send(req.body.challenge);
    if (req.body.command) return res.send(`noted by ${VERSION}`);
    await new Promise((after) => setTimeout(after, 1000 * Number(EVENT_WORK_S)));
    await redis.rPush('worked', req.body.event_id);
    return res.end();
  });
  app.get('/hooks/build', (_, res) => res.status(202).send('built'));
  contract.express(app);
  contract.measure(app.listen(Number(PORT), '127.0.0.1'));
})();
