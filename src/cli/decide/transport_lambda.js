// The transport on AWS Lambda: handlers are registered once and do not know how their events arrive.
const { App, AwsLambdaReceiver } = require('@slack/bolt');

// The answer ends the invocation, so the ack comes after the listener; what takes longer than 3 s goes to a queue.
function build(register, contract, settings = {}) {
  const receiver = new AwsLambdaReceiver({ signingSecret: process.env.SLACK_SIGNING_SECRET });
  const app = new App({ token: process.env.SLACK_BOT_TOKEN, receiver, processBeforeResponse: true, ...settings });
  contract.watch(app); // before the first listener (bgctl explain bgctl_contract.js)
  register(app);
  return { app, receiver };
}

// `exports.handler = handler(receiver, contract)`: made once a process, so that only the first request is cold.
function handler(receiver, contract) {
  const started = receiver.start();
  return async (event, context) => contract.awsLambda(await started)(event, context);
}

module.exports = { build, handler };
