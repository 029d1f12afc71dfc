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
  const handler = contract.awsLambda(await receiver.start());
  http.createServer(async (req, res) => {
    const chunks = [];
    for await (const chunk of req) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString();
    const requestContext = { http: { method: req.method } };
    const event = { headers: req.headers, body, isBase64Encoded: false, rawPath: req.url, requestContext };
    const answer = await handler(event, {});
    res.writeHead(answer.statusCode, answer.headers);
    return res.end(answer.body);
  }).listen(Number(process.env.PORT), '127.0.0.1');
})();
