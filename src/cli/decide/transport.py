"""The transport behind one interface: handlers are registered once and do not know how their events arrive."""
import os
from typing import Callable, Protocol

from slack_bolt import App


class Transport(Protocol):
    def serve(self, app: App) -> None: ...


class Http:
    """Slack posts to us. `wsgi(app)` goes behind gunicorn; `serve` is for a laptop."""

    def wsgi(self, app: App):
        from slack_bolt.adapter.wsgi import SlackRequestHandler

        return SlackRequestHandler(app, path="/slack/events")

    def serve(self, app: App) -> None:
        from wsgiref.simple_server import make_server

        make_server("127.0.0.1", int(os.environ.get("PORT", "3000")), self.wsgi(app)).serve_forever()


class Socket:
    """We hold a WebSocket to Slack."""

    def serve(self, app: App) -> None:
        from slack_bolt.adapter.socket_mode import SocketModeHandler

        SocketModeHandler(app, os.environ["SLACK_APP_TOKEN"]).start()


def build(register: Callable[[App], None], **settings) -> App:
    """The ack comes after the listener in either transport: what a dying process had in hand is sent again."""
    app = App(
        token=os.environ.get("SLACK_BOT_TOKEN"),
        signing_secret=os.environ.get("SLACK_SIGNING_SECRET"),
        process_before_response=True,
        **settings,
    )
    register(app)
    return app


def transport() -> Transport:
    """The only place that knows both: `SLACK_TRANSPORT=http` or `socket`, and nothing else."""
    return {"http": Http, "socket": Socket}[os.environ["SLACK_TRANSPORT"]]()
