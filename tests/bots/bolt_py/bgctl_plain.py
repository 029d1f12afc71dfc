"""What bgctl asks of a Slack bot without Bolt: Flask, FastAPI, or any WSGI or ASGI app. Copy this file beside bgctl_contract.py.
Contract 2.

    contract = Plain("blue", "v1.4.1", signing_secret, {"commands": ["/deploy"], "events": ["app_mention"]},
                     dedup=Dedup(redis, "blue"))
    api = contract.wsgi(flask_app)                   # or contract.asgi(fastapi_app)

Your app verifies each request as before. What the contract does not know, and what is not signed, it passes on untouched.
A delivery is done when your app has answered it with 2xx, and in FastAPI when its background tasks have ended. What takes
longer than 3 s and ends after that is yours to queue.
"""
import asyncio
import hashlib
import hmac
import io
import json
import threading
import time
import urllib.parse
import urllib.request

from bgctl_contract import Contract, respond

RESERVED = {"commands": ["/bgctl-smoke"], "actions": ["bgctl_smoke"], "views": ["bgctl_smoke"], "events": ["bgctl_smoke"]}
JSON = [("content-type", "application/json")]


class Plain(Contract):
    def __init__(self, color, version, secret, handlers, dedup=None, ready=lambda: True):
        """`handlers`: what your app answers, by kind."""
        super().__init__(color, version, dedup, ready)
        self.secret = secret.encode()
        self.listed = {kind: [*handlers.get(kind, []), *RESERVED.get(kind, [])] for kind in {**RESERVED, **handlers}}

    def signed(self, header, raw):
        """What Slack says, or nothing where it is not Slack that says it."""
        at, signature = header("x-slack-request-timestamp") or "", header("x-slack-signature") or ""
        if not at.isdigit() or abs(time.time() - int(at)) > 300:
            return None
        wanted = "v0=" + hmac.new(self.secret, f"v0:{at}:".encode() + raw, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(wanted.encode(), signature.encode()):
            return None
        if (header("content-type") or "").startswith("application/json"):
            return json.loads(raw)
        form = dict(urllib.parse.parse_qsl(raw.decode(), keep_blank_values=True))
        return json.loads(form["payload"]) if "payload" in form else form

    def begin(self, body):
        """The claim of a delivery, or the answer to give instead."""
        claim, instead = self.dedup.claim(body) if self.dedup else (None, None)
        if instead:
            return None, (f"{instead} -", [], b"")
        return claim, None

    def reserved(self, body):
        """The answer to a reserved name and how long its work takes; nothing for all others."""
        if body.get("command") == "/bgctl-smoke":
            pong = json.dumps(self.pong(body))
            if body.get("response_url"):
                threading.Thread(target=posted, args=(body["response_url"], pong), daemon=True).start()
            return ("200 OK", JSON, json.dumps({"response_type": "ephemeral", "text": pong}).encode()), 0
        if [action.get("action_id") for action in body.get("actions") or []] == ["bgctl_smoke"]:
            return ("200 OK", [], b""), 0
        if body.get("type") == "view_submission" and body["view"].get("callback_id") == "bgctl_smoke":
            if body["view"]["state"]["values"]["value"]["value"]["value"] == "valid":
                return ("200 OK", [], b""), 0
            refusal = {"response_action": "errors", "errors": {"value": "invalid"}}
            return ("200 OK", JSON, json.dumps(refusal).encode()), 0
        event = body.get("event") if body.get("type") == "event_callback" else None
        if isinstance(event, dict) and event.get("type") == "bgctl_smoke":
            return ("200 OK", [], b""), min(int(event.get("hold_ms", 0)), 2000) / 1000
        return None, 0

    def ended(self, claim, status, body, smoke):
        if claim and status.startswith("2"):
            self.dedup.done(claim, body.get("event_id") if smoke else None)

    def wsgi(self, app):
        def guarded(environ, start_response):
            raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(raw)
            kind = environ.get("CONTENT_TYPE")
            header = lambda name: kind if name == "content-type" else environ.get("HTTP_" + name.upper().replace("-", "_"))
            body = self.signed(header, raw)
            if body is None:
                return app(environ, start_response)
            claim, answer = self.begin(body)
            if not answer:
                with self.working(claim):
                    answer, hold = self.reserved(body)
                    smoke = answer is not None
                    time.sleep(hold)
                    answer = answer or called(app, environ)
                    self.ended(claim, answer[0], body, smoke)
            start_response(*answer[:2])
            return [answer[2]]

        return super().wsgi(guarded)

    def asgi(self, app):
        async def guarded(scope, receive, send):
            if scope["type"] != "http":
                return await app(scope, receive, send)
            raw, more = b"", True
            while more:
                message = await receive()
                raw, more = raw + message.get("body", b""), message.get("more_body", False)
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            said, status = [{"type": "http.request", "body": raw}], []

            async def again():
                return said.pop() if said else await receive()

            async def heard(message):
                if message["type"] == "http.response.start":
                    status.append(str(message["status"]))
                await send(message)

            body = self.signed(headers.get, raw)
            if body is None:
                return await app(scope, again, send)
            claim, answer = await asyncio.to_thread(self.begin, body)
            if not answer:
                with self.working(claim):
                    answer, hold = self.reserved(body)
                    smoke = answer is not None
                    await asyncio.sleep(hold)
                    if not smoke:
                        await app(scope, again, heard)
                    await asyncio.to_thread(self.ended, claim, answer[0] if smoke else status[0], body, smoke)
            if answer:
                await respond(send, *answer)

        return super().asgi(guarded)


def called(app, environ):
    """The whole answer of a WSGI app."""
    said = []
    parts = app(environ, lambda status, head, *_: said.append((status, head)))
    try:
        body = b"".join(parts)
    finally:
        getattr(parts, "close", lambda: None)()
    return (*said[-1], body)


def posted(url, text):
    request = urllib.request.Request(url, json.dumps({"text": text}).encode(), dict(JSON))
    urllib.request.urlopen(request, timeout=3).close()
