"""The transport behind one interface: handlers are registered once and do not know how their events arrive."""
import os
from typing import Callable, Protocol

from bgctl_contract import Contract  # bgctl explain bgctl_contract.py
from slack_bolt import App


class Transport(Protocol):
    def serve(self, app: App, contract: Contract) -> None: ...


class Http:
    """Slack posts to us. `wsgi(app, contract)` goes behind gunicorn; `serve` is for a laptop."""

    def wsgi(self, app: App, contract: Contract):
        from slack_bolt.adapter.wsgi import SlackRequestHandler

        return contract.wsgi(SlackRequestHandler(app, path="/slack/events"))

    def serve(self, app: App, contract: Contract) -> None:
        from wsgiref.simple_server import make_server

        make_server("127.0.0.1", int(os.environ.get("PORT", "3000")), self.wsgi(app, contract)).serve_forever()


class Sockets:
    """We hold a WebSocket to Slack, and bgctl can ask for it to be held and given up."""

    def wsgi(self, app: App, contract: Contract):
        from bgctl_socket import Socket  # bgctl explain bgctl_socket.py

        held = os.environ.get("SOCKET") != "closed"
        return Socket(app, contract, os.environ["SLACK_APP_TOKEN"], open=held).wsgi()

    serve = Http.serve


def build(register: Callable[[App], None], contract: Contract, **settings) -> App:
    """The ack comes after the listener in either transport: what a dying process had in hand is sent again."""
    app = App(
        token=os.environ.get("SLACK_BOT_TOKEN"),
        signing_secret=os.environ.get("SLACK_SIGNING_SECRET"),
        process_before_response=True,
        **settings,
    )
    contract.watch(app)  # before the first listener
    register(app)
    return app


def transport() -> Transport:
    """The only place that knows both: `SLACK_TRANSPORT=http` or `socket`, and nothing else."""
    return {"http": Http, "socket": Sockets}[os.environ["SLACK_TRANSPORT"]]()
