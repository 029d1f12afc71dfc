// An Express that is more than a bot, with listeners that have no name: `PORT=… node bot_routes.js`.
const { App, ExpressReceiver } = require('@slack/bolt');
const common = require('./common');

(async () => {
  const { options, contract } = await common.build();
  const { signingSecret, processBeforeResponse, authorize, clientOptions } = options;
  const endpoints = { events: '/slack/events', commands: '/slack/commands' };
  const receiver = new ExpressReceiver({ signingSecret, processBeforeResponse, endpoints });
  const app = new App({ receiver, authorize, clientOptions });
  common.wire(app, contract);
  if (process.env.EDITED) {
    app.message(async ({ message }) => { console.log('edited', message.text); });
    app.message(async () => {}, 'hello', async () => {});
    app.message(async () => { console.log('the second'); });
  } else {
    app.message(async ({ body }) => { console.log(body); });
    app.message(async () => { console.log('as first written'); }, 'hello', async () => {});
    app.message(async () => {});
  }
  receiver.router.get('/slack/install', (_, res) => res.send('install me'));
  receiver.router.all('/hooks/build', (req, res) => res.status(202).send(req.method));
  contract.express(receiver.router);
  contract.measure(await app.start({ port: Number(process.env.PORT), host: '127.0.0.1' }));
})();
