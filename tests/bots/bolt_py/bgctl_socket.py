"""What bgctl asks of a Bolt for Python bot in Socket Mode. Copy this file beside bgctl_contract.py.

    contract = Contract("blue", "v1.4.1", dedup=Dedup(redis, "blue"))
    app = App(process_before_response=True)
    contract.watch(app)                              # before the first listener
    socket = Socket(app, contract, os.environ["SLACK_APP_TOKEN"], open=os.environ.get("SOCKET") != "closed")
    api = socket.wsgi()                              # gunicorn bot:api --workers 1 --threads 8, on an address that is yours
"""
import json
import threading
import time

from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk.socket_mode.builtin import SocketModeClient
from slack_sdk.socket_mode.builtin.frame_header import FrameHeader
from slack_sdk.socket_mode.builtin.internals import _build_data_frame_for_sending


def leave(session):
    """Says goodbye before the socket is closed. Without it Slack goes on sending on a socket that nobody will answer on, and
    the reader is held up for three seconds, deaf on the next socket too."""
    try:
        with session.sock_send_lock:
            if session.sock is not None:
                session.sock.send(_build_data_frame_for_sending("", FrameHeader.OPCODE_CLOSE))
    except OSError:
        pass  # the line is gone already
    session.disconnect()


class Client(SocketModeClient):
    """Opens the next socket first, as Bolt does, and leaves the last one when no ack is owed on it."""
    owed, renewing = staticmethod(lambda: 0), False

    def connect_to_new_endpoint(self, force=False):
        """Slack is about to end the socket. Bolt would hold up everything it still sends there until the next one is open."""
        if force and not self.renewing:
            self.renewing = True
            threading.Thread(target=self.renew, daemon=True).start()
        elif not force:
            super().connect_to_new_endpoint()

    def renew(self):
        try:
            super().connect_to_new_endpoint(force=True)
        finally:
            self.renewing = False

    def connect(self):
        last = self.current_session
        if last is not None:
            last.close = lambda: self.leave(last)
        super().connect()

    def leave(self, session):
        deadline = time.time() + 3
        while session.sock is not None and self.owed() and time.time() < deadline:
            time.sleep(0.005)
        leave(session)


class Socket(SocketModeHandler):
    """One socket that is held or given up when bgctl says so, and a report of how it is."""

    def __init__(self, app, contract, app_token, open=True, web_client=None, token=None):
        """`open=False` for a candidate: it takes no events before bgctl says so. `token`: what bgctl has to show."""
        super().__init__(app, app_token)
        self.client.close()
        # Slack is pinged each 2 s, and a socket over which nothing comes back is renewed after 8 s more.
        self.client = Client(app_token=app_token, logger=app.logger, web_client=web_client or app.client, ping_interval=2)
        self.client.owed = lambda: self.unacked
        self.client.socket_mode_request_listeners.append(self.handle)
        self.client.on_message_listeners.append(self.heard)
        self.contract, self.token, self.open = contract, token, False
        self.lock, self.wishes = threading.Lock(), threading.Lock()
        self.unacked, self.hello, self.hello_at, self.hello_on, self.reason = 0, {}, None, None, None
        self.reasons = {}
        if open:
            self.told(True)

    def heard(self, text):
        """Every message as it comes in, before it waits for its turn."""
        message = json.loads(text) if text.startswith("{") else {}
        if message.get("type") == "hello":
            self.hello, self.hello_at, self.hello_on, self.reason = message, time.time(), self.client.session_id(), None
        elif message.get("type") == "disconnect":
            self.reason = message.get("reason")
            self.reasons[self.reason] = self.reasons.get(self.reason, 0) + 1
        elif "envelope_id" in message:
            with self.lock:
                self.unacked += 1

    def handle(self, client, request):
        try:
            super().handle(client, request)
        finally:
            with self.lock:
                self.unacked -= 1

    def told(self, open):
        """Bolt waits for Slack in both, so it is done in a thread, one wish after the other."""
        self.open = open
        threading.Thread(target=self.follow, daemon=True).start()
        return self.report()

    def follow(self):
        with self.wishes:
            self.client.default_auto_reconnect_enabled = self.client.auto_reconnect_enabled = self.open
            while self.open and not self.client.is_connected():
                try:
                    self.client.renew()
                except Exception as error:
                    self.app.logger.warning("no socket yet: %s", error)
                    time.sleep(1)
            if not self.open and self.client.is_connected():
                self.client.leave(self.client.current_session)

    def report(self):
        connected = self.client.is_connected() and self.hello_on == self.client.session_id()
        about = self.hello.get("debug_info", {})
        return {
            "open": self.open, "connected": int(connected), "num_connections": self.hello.get("num_connections"),
            "last_hello": self.hello_at, "approximate_connection_time": about.get("approximate_connection_time"),
            "inflight": self.unacked + self.contract.inflight, "disconnect": self.reason,
            "disconnects": self.reasons,
            "last_ping": getattr(self.client.current_session, "last_ping_pong_time", None) or self.hello_at,
        }

    def wsgi(self, app=None):
        """The contract's routes and those of the socket before those of `app`, such as a Flask that serves your own."""
        others = self.contract.wsgi(app or nothing)
        routes = {("GET", "/bgctl/socket"): self.report, ("POST", "/bgctl/connect"): lambda: self.told(True),
                  ("POST", "/bgctl/quiesce"): lambda: self.told(False)}

        def api(environ, start_response):
            route = routes.get((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
            if not route:
                return others(environ, start_response)
            if self.token and environ.get("HTTP_AUTHORIZATION") != f"Bearer {self.token}":
                start_response("401 Unauthorized", [("content-type", "application/json")])
                return [b'{"error": "no token"}']
            start_response("200 OK", [("content-type", "application/json")])
            return [json.dumps(route()).encode()]

        return api


def nothing(environ, start_response):
    start_response("404 Not Found", [("content-type", "application/json")])
    return [b'{"error": "not found"}']
