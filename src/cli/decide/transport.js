// The transport behind one interface: handlers are registered once and do not know how their events arrive.
const { App, HTTPReceiver, SocketModeReceiver } = require('@slack/bolt');

// Each gives a receiver: that is all Bolt needs to know. The contract's own paths go with it (bgctl explain bgctl_contract.js).
const transports = {
  http: (contract) => new HTTPReceiver({
    signingSecret: process.env.SLACK_SIGNING_SECRET,
    endpoints: '/slack/events',
    customRoutes: contract.routes(),
    // The 200 comes after claim and work, so a process that dies loses nothing.
    processBeforeResponse: true,
  }),
  // With bgctl explain bgctl_socket.js its socket can be held and given up.
  socket: (contract) => new SocketModeReceiver({ appToken: process.env.SLACK_APP_TOKEN, customRoutes: contract.routes() }),
};

// The only place that knows both: SLACK_TRANSPORT=http or socket, and nothing else.
function build(register, contract, settings = {}) {
  const name = process.env.SLACK_TRANSPORT;
  if (!transports[name]) throw new Error(`SLACK_TRANSPORT is ${name}, not http or socket`);
  const app = new App({ token: process.env.SLACK_BOT_TOKEN, receiver: transports[name](contract), ...settings });
  contract.watch(app); // before the first listener
  register(app);
  return app;
}

module.exports = { build };
