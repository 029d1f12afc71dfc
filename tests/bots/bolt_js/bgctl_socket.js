// What bgctl asks of a Bolt for JavaScript bot in Socket Mode. Copy this file beside bgctl_contract.js.
//
//   const contract = new Contract('green', 'v1.4.2', { dedup: new Dedup(redis, 'green') });
//   const receiver = new SocketModeReceiver({ appToken: process.env.SLACK_APP_TOKEN });
//   const app = new App({ receiver, token });
//   contract.watch(app);                            // before the first listener
//   const socket = new Socket(app, receiver, contract, { open: process.env.SOCKET !== 'closed' });
//   socket.listen(8080, '10.0.0.7');                // an address that is yours; not app.start()
const http = require('node:http');

const sleep = (ms) => new Promise((after) => setTimeout(after, ms));

// One socket that is held or given up when bgctl says so, and a report of how it is.
class Socket {
  // `open: false` for a candidate: it takes no events before bgctl says so. `token`: what bgctl has to show.
  constructor(app, receiver, contract, { open = true, token } = {}) {
    Object.assign(this, { client: receiver.client, contract, token, open: false, following: false });
    Object.assign(this, { unacked: 0, inflight: 0, hello: {}, helloAt: null, helloOn: null, reason: null, reasons: {} });
    this.client.on('ws_message', (data) => this.heard(String(data)));
    // Counted from the moment an envelope is there: a middleware is only reached later.
    const process = app.processEvent.bind(app);
    app.processEvent = async (event) => {
      let owed = 1;
      const paid = () => { this.unacked -= owed; owed = 0; };
      this.unacked += 1;
      this.inflight += 1;
      try {
        await process({ ...event, ack: async (answer) => { await event.ack(answer); paid(); } });
      } finally {
        paid();
        this.inflight -= 1;
      }
    };
    if (open) this.told(true);
  }

  heard(text) {
    const message = JSON.parse(text);
    if (message.type === 'hello') {
      Object.assign(this, { hello: message, helloAt: Date.now() / 1000, helloOn: this.client.websocket, reason: null });
      this.leavePolitely(this.client.websocket);
    } else if (message.type === 'disconnect') {
      // The client closes this socket and opens the next one five seconds later.
      this.reason = message.reason;
      this.reasons[message.reason] = (this.reasons[message.reason] ?? 0) + 1;
    }
  }

  // The client closes a socket the moment Slack says that it will end, whatever it has in hand. An ack that is owed can only
  // be given on the same socket.
  leavePolitely(socket) {
    const disconnect = socket.disconnect.bind(socket);
    socket.disconnect = async () => {
      for (let waited = 0; socket.isActive() && this.unacked > 0 && waited < 3000; waited += 5) await sleep(5);
      disconnect();
    };
  }

  // Whether the socket there is now has had its hello. The client's own events tell of sockets long gone, too.
  get connected() {
    const socket = this.client.websocket;
    return socket && socket === this.helloOn && socket.isActive() ? 1 : 0;
  }

  told(open) {
    this.open = open;
    if (!this.following) this.follow();
    return this.report();
  }

  // Brings the client to what was last wished for, one step after the other.
  async follow() {
    this.following = true;
    let held = !this.open;
    while (held !== this.open) {
      held = this.open;
      try {
        if (held) {
          if (!this.connected) await this.client.start();
        } else {
          await this.client.disconnect();
        }
      } catch (error) {
        console.error(`no socket yet: ${error}`);
        held = !this.open;
        await sleep(1000);
      }
    }
    this.following = false;
  }

  report() {
    const { num_connections, debug_info } = this.hello;
    return {
      open: this.open, connected: this.connected, num_connections, last_hello: this.helloAt,
      approximate_connection_time: debug_info?.approximate_connection_time, inflight: this.inflight, disconnect: this.reason,
      disconnects: this.reasons,
      // The client pings Slack each 1.7 s.
      last_ping: this.client.websocket?.lastPongReceivedTimestamp / 1000 || this.helloAt,
    };
  }

  // The contract's routes, and those of the socket.
  listen(port, host) {
    const routes = Object.fromEntries(this.contract.routes().map((route) => [`${route.method} ${route.path}`, route.handler]));
    const mine = { 'GET /bgctl/socket': () => this.report(), 'POST /bgctl/connect': () => this.told(true),
      'POST /bgctl/quiesce': () => this.told(false) };
    const server = http.createServer((req, res) => {
      const answer = (status, body) => {
        res.writeHead(status, { 'content-type': 'application/json' });
        res.end(JSON.stringify(body));
      };
      const place = `${req.method} ${req.url.split('?')[0]}`;
      if (routes[place]) return routes[place](req, res);
      if (!mine[place]) return answer(404, { error: 'not found' });
      if (this.token && req.headers.authorization !== `Bearer ${this.token}`) return answer(401, { error: 'no token' });
      return answer(200, mine[place]());
    });
    return server.listen(port, host);
  }
}

module.exports = { Socket };
