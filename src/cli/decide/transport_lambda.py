"""The transport on AWS Lambda: handlers are registered once and do not know how their events arrive."""
import os

from bgctl_contract import Contract  # bgctl explain bgctl_contract.py
from slack_bolt import App
from slack_bolt.adapter.aws_lambda import SlackRequestHandler


def build(register, contract: Contract, **settings) -> App:
    """The answer ends the invocation, so the ack comes after the listener. What takes longer than 3 s is a lazy listener:
    `app.command("/deploy")(ack=lambda ack: ack(), lazy=[deploy])`, an invocation of its own."""
    app = App(
        token=os.environ.get("SLACK_BOT_TOKEN"),
        signing_secret=os.environ.get("SLACK_SIGNING_SECRET"),
        process_before_response=True,
        **settings,
    )
    contract.watch(app)  # before the first listener
    register(app)
    return app


def handler(app: App, contract: Contract):
    """`lambda_handler = handler(app, contract)`: made once a process, so that only the first request is cold."""
    return contract.aws_lambda(SlackRequestHandler(app).handle)
