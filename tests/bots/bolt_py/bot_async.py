"""The bot with `AsyncApp`: `uvicorn bot_async:asgi`."""
import asyncio

import common
from bgctl_async import AsyncContract
from bgctl_dedup import Dedup
from slack_bolt.adapter.asgi.async_handler import AsyncSlackRequestHandler
from slack_bolt.async_app import AsyncApp, AsyncAssistant
from slack_sdk.web.async_client import AsyncWebClient

knob = common.KNOB


async def authorize(**_):
    return common.authorize()


dedup = Dedup(common.STORE, common.COLOR, lease_s=int(knob("LEASE_MS", "4000")) / 1000)
contract = AsyncContract(common.COLOR, common.VERSION, dedup=dedup, ready=common.STORE.ping)
app = AsyncApp(
    signing_secret=knob("SLACK_SIGNING_SECRET", "lab-signing-secret"),
    client=AsyncWebClient(base_url=knob("SLACK_API", "http://127.0.0.1:9/api/")),
    authorize=authorize,
    process_before_response=knob("PBR", "1") == "1",
)
contract.watch(app)


@app.command("/standup")
async def standup(ack):
    await ack(f"noted by {common.VERSION}")


@app.event("app_mention")
async def mention(body, context):
    await asyncio.sleep(float(knob("EVENT_WORK_S", "0")))
    context["handled"] = body["event_id"]


async def taken(ack):
    await ack()


async def work(body, context):
    await asyncio.sleep(float(knob("LAZY_WORK_S", "0")))
    context["handled"] = body["event_id"]


app.event("reaction_added")(ack=taken, lazy=[work])
assistant = AsyncAssistant()


@assistant.thread_started
async def started():
    pass


@assistant.user_message
async def message(body, context):
    await asyncio.sleep(float(knob("EVENT_WORK_S", "0")))
    context["handled"] = body["event_id"]


app.use(assistant)
asgi = contract.asgi(AsyncSlackRequestHandler(app))
