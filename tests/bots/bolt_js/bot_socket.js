// The Bolt for JavaScript bot in Socket Mode: `SOCKET=closed PORT=… node bot_socket.js`. Knobs are in common.js.
const { App, SocketModeReceiver } = require('@slack/bolt');
const common = require('./common');
const { Socket } = require('./bgctl_socket');

(async () => {
  const { options, contract } = await common.build();
  const { authorize, clientOptions } = options;
  const receiver = new SocketModeReceiver({ appToken: process.env.SLACK_APP_TOKEN, installerOptions: { clientOptions } });
  const app = new App({ receiver, authorize, clientOptions });
  common.wire(app, contract);
  const open = process.env.SOCKET !== 'closed';
  const socket = new Socket(app, receiver, contract, { open, token: process.env.BGCTL_BOT_TOKEN });
  socket.listen(Number(process.env.PORT), '127.0.0.1');
})();
