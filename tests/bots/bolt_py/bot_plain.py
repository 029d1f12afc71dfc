"""A bot without Bolt: `gunicorn bot_plain:api` with Flask, `uvicorn bot_plain:asgi` with none at all."""
import asyncio
import json
import os
import time

import redis
from bgctl_dedup import Dedup
from bgctl_plain import Plain
from flask import Flask, request
from slack_sdk.signature import SignatureVerifier

knob = os.environ.get
COLOR, VERSION, SECRET = knob("COLOR", "blue"), knob("VERSION", "v1"), knob("SLACK_SIGNING_SECRET", "")
WORK = float(knob("EVENT_WORK_S", "0"))
store = redis.Redis.from_url(knob("REDIS_URL", "redis://127.0.0.1:6379/0"))
verifier, site = SignatureVerifier(SECRET), Flask(__name__)
handlers = {"commands": ["/standup"], "events": ["app_mention"]}


@site.post("/slack/events")
def slack():
    if not verifier.is_valid_request(request.get_data(), dict(request.headers)):
        return "", 401
    status, answer, event = handle(request.content_type, request.get_data())
    if event:
        time.sleep(WORK)
        store.rpush("worked", event)
    return answer, status


@site.get("/hooks/build")
def hook():
    return "built", 202


def handle(kind, raw):
    body = json.loads(raw) if kind == "application/json" else {}
    return 200, body.get("challenge") or ("" if body else f"noted by {VERSION}"), body.get("event_id")


async def bare(scope, receive, send):
    """The least that is an ASGI app."""
    if scope["type"] == "lifespan":
        for word in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{word}.complete"})
        return
    raw = (await receive())["body"]
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    status, answer, event = (401, "", None) if scope["method"] == "POST" else (202, "built", None)
    if verifier.is_valid_request(raw, headers):
        status, answer, event = handle(headers["content-type"], raw)
    if event:
        await asyncio.sleep(WORK)
        store.rpush("worked", event)
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": answer.encode()})


contract = Plain(COLOR, VERSION, SECRET, handlers, ready=store.ping,
                 dedup=Dedup(store, COLOR, lease_s=int(knob("LEASE_MS", "4000")) / 1000))
api, asgi = contract.wsgi(site), contract.asgi(bare)
