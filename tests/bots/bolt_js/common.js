// The bot's handlers and the ways to break it, with the same knobs as ../bolt_py/common.py.
const { Assistant } = require('@slack/bolt');
const { createClient } = require('redis');
const { Contract } = require('./bgctl_contract');
const { Dedup } = require('./bgctl_dedup');

const knob = (name, otherwise) => process.env[name] ?? otherwise;
const COLOR = knob('COLOR', 'green');
const VERSION = knob('VERSION', 'v2');
const SCHEMA = VERSION.startsWith('v1') ? 1 : 2;
const sleep = (seconds) => new Promise((after) => setTimeout(after, seconds * 1000));

// SET NX and nothing more: at most once.
class ClaimOnly extends Dedup {
  async middleware({ body, context, ack, next }) {
    const key = Dedup.key(body);
    if (key && !(await this.taken(key))) return ack ? ack() : undefined;
    await next();
    if (context.handled) await this.redis.rPush(`bgctl:handled:${context.handled}`, this.color);
  }

  taken(key) {
    return this.redis.set(key, this.color, { NX: true, PX: this.ttlMs });
  }
}

class NoDedup extends ClaimOnly {
  async taken() {
    return true;
  }
}

async function build() {
  const redis = createClient({ url: knob('REDIS_URL', 'redis://127.0.0.1:6379/0') });
  redis.on('error', (error) => console.error(error));
  await redis.connect();
  const kind = { lease: Dedup, setnx: ClaimOnly, off: NoDedup }[knob('DEDUP', 'lease')];
  const times = { leaseMs: Number(knob('LEASE_MS', 4000)), ttlMs: 1000 * Number(knob('TTL_S', 10800)) };
  const contract = new Contract(COLOR, VERSION, { dedup: new kind(redis, COLOR, times), ready: () => redis.ping() });
  const options = {
    signingSecret: knob('SLACK_SIGNING_SECRET', 'lab-signing-secret'),
    clientOptions: { slackApiUrl: knob('SLACK_API', 'http://127.0.0.1:9/api/') },
    authorize: async () => ({ botToken: 'xoxb-lab', botId: 'B0BOT', botUserId: 'U0BOT', teamId: 'T0LAB' }),
    processBeforeResponse: knob('PBR', '1') === '1',
    signatureVerification: knob('VERIFY', '1') === '1',
  };
  return { options, contract };
}

const modal = (title = 'Deploy') => ({
  type: 'modal',
  callback_id: 'deploy_modal',
  title: { type: 'plain_text', text: title },
  submit: { type: 'plain_text', text: 'Go' },
  private_metadata: JSON.stringify({ schema: SCHEMA, opened_by: VERSION }),
  blocks: [{ type: 'input', block_id: 'reason', label: { type: 'plain_text', text: 'Reason' },
    element: { type: 'plain_text_input', action_id: 'txt' } }],
});

// This build was made without some listeners, those of the contract (`smoke`) or its own.
function lacking(app, smoke) {
  for (const word of knob('WITHOUT', '').split(',').filter(Boolean)) {
    const [method, leftOut] = word.split(' ');
    if (leftOut.includes('bgctl') !== smoke) continue;
    const register = app[method].bind(app);
    app[method] = (constraint, ...listeners) => (constraint === leftOut ? undefined : register(constraint, ...listeners));
  }
}

function wire(app, contract) {
  const delay = Number(knob('ACK_DELAY_S', 0));
  if (delay) app.use(async ({ next }) => { await sleep(delay); await next(); });
  lacking(app, true);
  contract.watch(app);
  lacking(app, false);
  app.command('/deploy', async ({ ack, command, client }) => {
    await ack();
    await client.views.open({ trigger_id: command.trigger_id, view: modal() });
  });
  app.command('/standup', async ({ ack }) => ack(`noted by ${VERSION}`));
  app.action('approve', async ({ ack, body, respond, context }) => {
    await ack();
    context.handled = body.trigger_id;
    if (body.response_url) await respond({ text: `approved by ${COLOR} ${VERSION}`, replace_original: true });
  });
  app.view('deploy_modal', async ({ ack, body, view, context }) => {
    const reason = view.state.values.reason?.txt?.value || '';
    const metadata = JSON.parse(view.private_metadata || '{}');
    const errors = (text) => ack({ response_action: 'errors', errors: { reason: text } });
    if ((metadata.schema || 1) > SCHEMA) await errors('this form was opened by a newer version, please open it again');
    else if (reason.length < 3) await errors('too short');
    else if (reason === 'update') await ack({ response_action: 'update', view: modal('Updated') });
    else await ack();
    context.handled = body.trigger_id;
  });
  app.view({ callback_id: 'deploy_modal', type: 'view_closed' }, async ({ ack }) => ack());
  app.options('svc', async ({ ack }) => ack({ options: [{ text: { type: 'plain_text', text: 'api' }, value: 'api' }] }));
  app.shortcut('open_deploy', async ({ ack }) => ack());
  if (knob('ASSISTANT', '')) {
    const userMessage = async ({ body, context }) => {
      await sleep(Number(knob('EVENT_WORK_S', 0)));
      context.handled = body.event_id;
    };
    app.assistant(new Assistant({ threadStarted: async () => {}, userMessage }));
  }
  app.event('app_mention', async ({ body, context }) => {
    await sleep(Number(knob('EVENT_WORK_S', 0)));
    if (knob('EVENT_FAILS', '')) throw new Error('this work fails');
    context.handled = body.event_id;
  });
}

module.exports = { build, wire, modal, COLOR, VERSION };
