// What bgctl asks of a Bolt for JavaScript bot. Copy this file beside your bot; it needs nothing but Bolt. Contract 2.
//
//   const contract = new Contract('green', 'v1.4.2', { dedup: new Dedup(redis, 'green') });
//   const app = new App({ signingSecret, token, processBeforeResponse: true, customRoutes: contract.routes() });
//   contract.watch(app);                            // before the first listener
//   contract.measure(await app.start(port));
//
// Routes of your own stay beside the contract's: `customRoutes: [...yours, ...contract.routes()]`. With an ExpressReceiver:
// `contract.express(receiver.router)` in the place of `customRoutes`. On AWS Lambda:
//
//   exports.handler = contract.awsLambda(await receiver.start());

// Listeners by the method that adds them.
const KINDS = { command: 'commands', action: 'actions', view: 'views', event: 'events', message: 'messages',
  shortcut: 'shortcuts', options: 'options', function: 'functions' };
const CONTRACT = 2;
const BUCKETS = [0.05, 0.1, 0.25, 0.5, 1, 2, 3];

class Contract {
  // `ready` says whether this process can serve: ask `auth.test` and your stores in it.
  constructor(color, version, { dedup, ready = async () => true } = {}) {
    Object.assign(this, { color, version, dedup, ready, handlers: {}, inflight: 0 });
    Object.assign(this, { retries: 0, exchanged: 0, requests: 0, seconds: 0, buckets: BUCKETS.map(() => 0) });
  }

  // From here on every listener is in the list, its work is counted, and its end is `done`.
  watch(app) {
    app.use(async ({ next }) => {
      this.inflight += 1;
      try {
        await next();
      } catch (error) {
        // Somebody else used this trigger_id: the surest sign of a delivery handled twice.
        if (String(error?.data?.error ?? error).includes('exchanged_trigger_id')) this.exchanged += 1;
        throw error;
      } finally {
        this.inflight -= 1;
      }
    });
    if (this.dedup) {
      // Without `processBeforeResponse`, and on sockets, Slack has its ack before anybody could claim. Lambda acks at the end.
      const { receiver } = app;
      this.dedup.acksFirst = !receiver?.processBeforeResponse && receiver?.constructor.name !== 'AwsLambdaReceiver';
      app.use((args) => this.dedup.middleware(args));
    }
    for (const [method, kind] of Object.entries(KINDS)) {
      if (typeof app[method] !== 'function') continue;
      const register = app[method].bind(app);
      app[method] = (...given) => {
        const closed = method === 'view' && given[0]?.type === 'view_closed';
        // A function is no name: its source changes with each edit.
        const of = method === 'message' ? given.filter(isText).map(name).join(' ') : name(given[0]);
        this.list(closed ? 'closed_views' : kind, of);
        return register(...given);
      };
    }
    if (app.assistant) {
      const register = app.assistant.bind(app);
      app.assistant = (assistant) => {
        ['thread_context_changed', 'thread_started', 'user_message'].forEach((part) => this.list('assistants', part));
        return register(assistant);
      };
    }
    this.smoke(app);
  }

  // Several without a name are told apart by their number, whatever their functions are.
  list(kind, of) {
    const names = this.handlers[kind] ?? [];
    const nameless = names.filter((other) => other === '' || other.startsWith('#')).length;
    const listed = of === '' && names.includes('') ? `#${nameless + 1}` : of;
    this.handlers[kind] = [...new Set([...names, listed])].sort();
  }

  // Reserved names that are never registered in the Slack app, so no user can trigger them.
  smoke(app) {
    app.command('/bgctl-smoke', async ({ ack, command, respond }) => {
      const text = JSON.stringify({ pong: command.text, color: this.color, version: this.version });
      await ack({ response_type: 'ephemeral', text });
      if (command.response_url) await respond(text);
    });
    app.action('bgctl_smoke', async ({ ack }) => ack());
    app.view('bgctl_smoke', async ({ ack, view }) => (view.state.values.value.value.value === 'valid'
      ? ack() : ack({ response_action: 'errors', errors: { value: 'invalid' } })));
    app.event('bgctl_smoke', async ({ event, body, context }) => {
      context.handled = body.event_id;
      await new Promise((after) => setTimeout(after, Math.min(event.hold_ms ?? 0, 2000)));
    });
  }

  // The bot's own routes, for `customRoutes`.
  routes() {
    const route = (path, answer, type = 'application/json') => ({
      path,
      method: 'GET',
      handler: async (_, res) => {
        const body = await answer();
        const head = { 'content-type': type, 'x-bot-version': this.version, 'x-bot-color': this.color };
        res.writeHead(body.ok === false ? 503 : 200, head);
        res.end(typeof body === 'string' ? body : JSON.stringify(body));
      },
    });
    return [
      route('/version', () => ({ version: this.version, color: this.color, contract: CONTRACT })),
      route('/healthz/ready', async () => ({ ok: Boolean(await this.ready().catch(() => false)) })),
      route('/bgctl/inflight', () => ({ inflight: this.inflight })),
      route('/bgctl/handlers', () => this.handlers),
      route('/metrics', () => this.metrics(), 'text/plain; version=0.0.4'),
    ];
  }

  // The same for Express.
  express(router) {
    this.routes().forEach(({ path, handler }) => router.get(path, handler));
  }

  // The same for AWS Lambda, behind a function URL, API Gateway or a load balancer.
  awsLambda(handler) {
    return async (event, context) => {
      const method = event.requestContext?.http?.method ?? event.httpMethod;
      const route = this.routes().find(({ path }) => method === 'GET' && path === (event.rawPath ?? event.path));
      if (route) {
        const answer = {};
        const writeHead = (statusCode, headers) => Object.assign(answer, { statusCode, headers });
        await route.handler(null, { writeHead, end: (body) => Object.assign(answer, { body }) });
        return answer;
      }
      const names = Object.keys(event.headers ?? {}).map((header) => header.toLowerCase());
      const answered = this.asked(names.includes('x-slack-retry-num'));
      return handler(event, context).finally(answered);
    };
  }

  // Counts Slack's requests at the server that `app.start` gives.
  measure(server) {
    server.on('request', (req, res) => {
      if (req.headers['x-slack-signature']) res.on('finish', this.asked('x-slack-retry-num' in req.headers));
    });
  }

  // A request of Slack, and what to call when it is answered.
  asked(retry) {
    const begun = performance.now();
    return () => {
      const took = (performance.now() - begun) / 1000;
      this.requests += 1;
      this.seconds += took;
      if (retry) this.retries += 1;
      BUCKETS.forEach((bound, n) => { if (took <= bound) this.buckets[n] += 1; });
    };
  }

  // Retries, exchanged triggers and the time to ack: the earliest signs that users are hurt.
  metrics() {
    const color = `color="${this.color}"`;
    const counters = { retries: this.retries, exchanged_trigger_id: this.exchanged, unclaimed: this.dedup?.unclaimed ?? 0 };
    const lines = Object.entries(counters).map(([name, count]) => `slack_${name}_total{${color}} ${count}`);
    BUCKETS.forEach((bound, n) => lines.push(`slack_ack_seconds_bucket{${color},le="${bound}"} ${this.buckets[n]}`));
    lines.push(`slack_ack_seconds_bucket{${color},le="+Inf"} ${this.requests}`);
    lines.push(`slack_ack_seconds_count{${color}} ${this.requests}`, `slack_ack_seconds_sum{${color}} ${this.seconds}`);
    return `${lines.join('\n')}\n`;
  }
}

const isText = (value) => typeof value === 'string' || value instanceof RegExp;

// What a listener is for: a text, a pattern as /pattern/, or the id among several constraints.
function name(constraint) {
  if (constraint instanceof RegExp) return `/${constraint.source}/`;
  if (typeof constraint !== 'object' || constraint === null) return String(constraint ?? '');
  const ids = ['action_id', 'callback_id', 'command', 'type', 'subtype', 'block_id'];
  const id = ids.find((key) => constraint[key]);
  return id ? name(constraint[id]) : JSON.stringify(constraint);
}

module.exports = { Contract };
