// What bgctl asks of a Slack bot in Express without Bolt. Copy this file beside bgctl_contract.js. Contract 2.
//
//   const contract = new Contract('green', 'v1.4.2', { dedup: new Dedup(redis, 'green') });
//   const once = plain(contract, { commands: ['/deploy'], events: ['app_mention'] });
//   app.post('/slack/events', verified, once, yours);   // behind what verifies the signature and parses the body
//   contract.express(app);
//   contract.measure(app.listen(3000));
//
// A delivery is done when your handler has answered it with 2xx. What goes on after that is yours to queue.
const RESERVED = { commands: '/bgctl-smoke', actions: 'bgctl_smoke', views: 'bgctl_smoke', events: 'bgctl_smoke' };

function plain(contract, handlers) {
  for (const [kind, name] of Object.entries(RESERVED)) contract.list(kind, name);
  for (const [kind, names] of Object.entries(handlers)) names.forEach((name) => contract.list(kind, name));
  return async (req, res, yours) => {
    const body = req.body?.payload ? JSON.parse(req.body.payload) : req.body ?? {};
    const context = {};
    // Not the end of the connection: Slack leaves after three seconds, and the work goes on.
    const answered = new Promise((resolve) => {
      const { end } = res;
      res.end = (...parts) => { resolve(); return end.apply(res, parts); };
    });
    const next = async () => {
      if (await reserved(contract, body, context, res)) return;
      yours();
      await answered;
      if (res.statusCode >= 300) throw new Error('not handled');
    };
    contract.inflight += 1;
    try {
      await (contract.dedup ? contract.dedup.middleware({ body, context, ack: () => res.end(), next }) : next());
    } catch {
      // Somebody else has it, or the store is away: Slack comes again.
      if (!res.headersSent) res.status(503).end();
    } finally {
      contract.inflight -= 1;
    }
  };
}

// Answers a reserved name.
async function reserved(contract, body, context, res) {
  if (body.command === RESERVED.commands) {
    const text = JSON.stringify({ pong: body.text, color: contract.color, version: contract.version });
    res.json({ response_type: 'ephemeral', text });
    const post = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ text }) };
    if (body.response_url) await fetch(body.response_url, post);
  } else if (body.actions?.[0]?.action_id === RESERVED.actions) {
    res.end();
  } else if (body.type === 'view_submission' && body.view.callback_id === RESERVED.views) {
    if (body.view.state.values.value.value.value === 'valid') res.end();
    else res.json({ response_action: 'errors', errors: { value: 'invalid' } });
  } else if (body.type === 'event_callback' && body.event.type === RESERVED.events) {
    context.handled = body.event_id;
    await new Promise((after) => setTimeout(after, Math.min(body.event.hold_ms ?? 0, 2000)));
    res.end();
  } else {
    return false;
  }
  return true;
}

module.exports = { plain };
