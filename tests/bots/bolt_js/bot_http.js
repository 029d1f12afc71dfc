// The Bolt for JavaScript bot that bgctl is tried against: `PORT=… node bot_http.js`. Knobs are in common.js.
const { App } = require('@slack/bolt');
const common = require('./common');

(async () => {
  const { options, contract } = await common.build();
  const app = new App({ ...options, customRoutes: contract.routes() });
  common.wire(app, contract);
  contract.measure(await app.start({ port: Number(process.env.PORT), host: '127.0.0.1' }));
})();
