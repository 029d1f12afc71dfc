// The same bot as on AWS Lambda: `PORT=… node bot_lambda.js`.
const http = require('node:http');
const { App, AwsLambdaReceiver } = require('@slack/bolt');
const common = require('./common');

(async () => {
  const { options, contract } = await common.build();
  const { signingSecret, authorize, clientOptions } = options;
  const receiver = new AwsLambdaReceiver({ signingSecret });
  const app = new App({ receiver, authorize, clientOptions, processBeforeResponse: true });
  common.wire(app, contract);
  const handler = await receiver.start();
  const routes = Object.fromEntries(contract.routes().map((route) => [route.path, route.handler]));
  http.createServer(async (req, res) => {
    if (routes[req.url]) return routes[req.url](req, res);
    const chunks = [];
    for await (const chunk of req) chunks.push(chunk);
    const event = { headers: req.headers, body: Buffer.concat(chunks).toString(), isBase64Encoded: false, path: req.url };
    const answer = await handler(event, {});
    res.writeHead(answer.statusCode, answer.headers);
    return res.end(answer.body);
  }).listen(Number(process.env.PORT), '127.0.0.1');
})();
