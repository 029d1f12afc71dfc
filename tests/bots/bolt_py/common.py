"""The bot's handlers and the ways to break it. Each knob is a variable of the environment; unset, the bot is healthy.

COLOR VERSION REDIS_URL SLACK_SIGNING_SECRET   who it is
DEDUP=lease|setnx|off LEASE_MS TTL_S           how deliveries are told apart
PBR=0                                          acks events before their work
VERIFY=0                                       takes any signature
ACK_DELAY_S EVENT_WORK_S EVENT_FAILS=1         slow answers, slow work, work that fails
WITHOUT="command /deploy,event app_mention"    listeners this build lacks
FRONT=urls|retries|anew|consumed|forms|html|ok    what stands in front of Bolt
COLD_S COLD_AFTER                              how long the first answer takes, or the one after so many
ASSISTANT=1                                    has an Assistant, which works as long as an event does
"""
import io
import json
import os
import time
from urllib.parse import parse_qsl, urlencode

import redis
from bgctl_contract import Contract
from bgctl_dedup import Claim, Dedup
from slack_bolt import App, Assistant
from slack_bolt.authorization import AuthorizeResult
from slack_sdk import WebClient

KNOB = os.environ.get
COLOR, VERSION = KNOB("COLOR", "blue"), KNOB("VERSION", "v1")
SCHEMA = 1 if VERSION.startswith("v1") else 2
STORE = redis.Redis.from_url(KNOB("REDIS_URL", "redis://127.0.0.1:6379/0"))


class ClaimOnly(Dedup):
    """SET NX and nothing more: at most once."""

    def claim(self, body, mine=None):
        key = self.key(body)
        if key is None or self.redis.set(key, self.color, nx=True, px=self.ttl_ms):
            return Claim(None, self.color), None
        return None, 200

    def done(self, claim, handled):
        if handled:
            self.redis.rpush(f"bgctl:handled:{handled}", self.color)


class NoDedup(ClaimOnly):
    def claim(self, body, mine=None):
        return Claim(None, self.color), None


def authorize(**_):
    return AuthorizeResult(enterprise_id=None, team_id="T0LAB", bot_token="xoxb-lab", bot_id="B0BOT", bot_user_id="U0BOT")


def build():
    kind = {"lease": Dedup, "setnx": ClaimOnly, "off": NoDedup}[KNOB("DEDUP", "lease")]
    dedup = kind(STORE, COLOR, lease_s=int(KNOB("LEASE_MS", "4000")) / 1000, ttl_s=int(KNOB("TTL_S", "10800")))
    contract = Contract(COLOR, VERSION, dedup=dedup, ready=STORE.ping)
    app = App(
        signing_secret=KNOB("SLACK_SIGNING_SECRET", "lab-signing-secret"),
        client=WebClient(base_url=KNOB("SLACK_API", "http://127.0.0.1:9/api/")),
        authorize=authorize,
        process_before_response=KNOB("PBR", "1") == "1",
        request_verification_enabled=KNOB("VERIFY", "1") == "1",
    )
    # Before `watch`: an Assistant may be added at any time.
    if KNOB("ASSISTANT"):
        app.use(assistant())
    lacking(app, smoke=True)
    contract.watch(app)
    lacking(app, smoke=False)
    listeners(app)
    return app, contract


def lacking(app, smoke):
    """This build was made without some listeners, those of the contract (`smoke`) or its own."""
    for word in filter(None, KNOB("WITHOUT", "").split(",")):
        method, left_out = word.split(" ")
        if ("bgctl" in left_out) != smoke:
            continue

        def leave_out(constraint, *rest, register=getattr(app, method), left_out=left_out, **options):
            return (lambda *functions: None) if constraint == left_out else register(constraint, *rest, **options)

        setattr(app, method, leave_out)


def before(api):
    """What stands in front of Bolt in this build, and does to requests what such things do."""
    mode, cold = KNOB("FRONT", ""), [0] * int(KNOB("COLD_AFTER", "0")) + [float(KNOB("COLD_S", "0"))]
    urls = {"/slack/commands": b"command=", "/slack/interactive": b"payload=", "/slack/events": b"{"}

    def front(environ, start_response):
        time.sleep(cold.pop(0) if cold else 0)
        if environ["REQUEST_METHOD"] != "POST":
            return api(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        form = "form" in environ.get("CONTENT_TYPE", "")
        if mode == "urls":
            # Each URL takes its own.
            if b"ssl_check" not in body and urls.get(environ["PATH_INFO"], b"none") not in body:
                start_response("404 Not Found", [("content-type", "text/html")])
                return [b"<h1>not found</h1>"]
            environ["PATH_INFO"] = "/slack/events"
        if mode == "retries" and "HTTP_X_SLACK_RETRY_NUM" in environ:
            start_response("200 OK", [])
            return [b""]
        if mode == "anew":
            body = urlencode(parse_qsl(body.decode())).encode() if form else json.dumps(json.loads(body)).encode()
        if mode == "consumed" or mode == "forms" and form:
            body = b""
        environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(body), str(len(body))

        def answered(status, headers, *rest):
            kept = [(name, value) for name, value in headers if name.lower() not in ("content-type", "content-length")]
            return start_response(status, kept + [("content-type", "text/html")], *rest)

        answer = list(api(environ, answered if mode in ("html", "ok") else start_response))
        return [b"ok"] if mode == "ok" and not b"".join(answer) else answer

    return front if mode or any(cold) else api


def slowed(api):
    """A bot that is busy before it sees a request."""
    api = before(api)
    delay = float(KNOB("ACK_DELAY_S", "0"))

    def slow(environ, start_response):
        if environ["PATH_INFO"] == "/slack/events":
            time.sleep(delay)
        return api(environ, start_response)

    return slow if delay else api


def modal(title="Deploy"):
    return {
        "type": "modal", "callback_id": "deploy_modal", "title": {"type": "plain_text", "text": title},
        "submit": {"type": "plain_text", "text": "Go"},
        "private_metadata": json.dumps({"schema": SCHEMA, "opened_by": VERSION}),
        "blocks": [{"type": "input", "block_id": "reason", "label": {"type": "plain_text", "text": "Reason"},
                    "element": {"type": "plain_text_input", "action_id": "txt"}}],
    }


def assistant():
    assistant = Assistant()

    @assistant.thread_started
    def started():
        pass

    @assistant.user_message
    def message(body, context):
        time.sleep(float(KNOB("EVENT_WORK_S", "0")))
        context["handled"] = body["event_id"]

    return assistant


def listeners(app):
    @app.command("/deploy")
    def deploy(ack, command, client):
        ack()
        client.views_open(trigger_id=command["trigger_id"], view=modal())

    @app.command("/standup")
    def standup(ack):
        ack(f"noted by {VERSION}")

    @app.action("approve")
    def approve(ack, body, respond, context):
        ack()
        context["handled"] = body["trigger_id"]
        if body.get("response_url"):
            respond(text=f"approved by {COLOR} {VERSION}", replace_original=True)

    @app.view("deploy_modal")
    def submitted(ack, body, view, context):
        reason = view["state"]["values"].get("reason", {}).get("txt", {}).get("value") or ""
        metadata = json.loads(view.get("private_metadata") or "{}")
        if metadata.get("schema", 1) > SCHEMA:
            ack(response_action="errors", errors={"reason": "this form was opened by a newer version, please open it again"})
        elif len(reason) < 3:
            ack(response_action="errors", errors={"reason": "too short"})
        elif reason == "update":
            ack(response_action="update", view=modal("Updated"))
        else:
            ack()
        context["handled"] = body["trigger_id"]

    @app.view_closed("deploy_modal")
    def closed(ack):
        ack()

    @app.options("svc")
    def options(ack):
        ack(options=[{"text": {"type": "plain_text", "text": "api"}, "value": "api"}])

    @app.shortcut("open_deploy")
    def shortcut(ack):
        ack()

    @app.event("app_mention")
    def mention(event, body, context):
        time.sleep(float(KNOB("EVENT_WORK_S", "0")))
        if KNOB("EVENT_FAILS"):
            raise RuntimeError("this work fails")
        context["handled"] = body["event_id"]
