"""What bgctl asks of a Bolt for Python bot with `AsyncApp`. Copy this file beside bgctl_contract.py. Contract 2.

    contract = AsyncContract("blue", "v1.4.1", dedup=Dedup(redis, "blue"))   # `redis` is a `redis.Redis`, not redis.asyncio
    app = AsyncApp(process_before_response=True)
    contract.watch(app)                              # before the first listener
    api = contract.asgi(AsyncSlackRequestHandler(app))    # or your FastAPI: all but the contract's paths is passed on
"""
import asyncio
import copy
import json

from bgctl_contract import Contract, asked, named
from slack_bolt import BoltResponse


class AsyncContract(Contract):
    def watch(self, app):
        self.middleware = app._async_middleware_list
        self._list(app)
        runner = app.listener_runner
        run = runner.run

        async def watched(request, listener, **others):
            claim, instead = await asyncio.to_thread(self.claim, request)
            if instead:
                return BoltResponse(status=instead, body="")
            return await run(request=request, listener=self._watched(listener, claim), **others)

        runner.run = watched
        self._smoke(app)

    def _watched(self, listener, claim):
        lazy = list(listener.lazy_functions)

        async def run_ack_function(*, request, response):
            self.count(1)
            try:
                with self.working(claim):
                    result = await listener.run_ack_function(request=request, response=response)
                    if self.dedup and not lazy:
                        await asyncio.to_thread(self.dedup.done, claim, request.context.get("handled"))
                    return result
            finally:
                self.count(-1)

        watched = copy.copy(listener)
        watched.run_ack_function = run_ack_function
        watched.lazy_functions = [self._leg(function, claim, len(lazy)) for function in lazy]
        return watched

    def _leg(self, function, claim, legs):
        async def leg(args):
            self.count(1)
            try:
                with self.working(claim):
                    await function(**asked(function, args))
                    if self.dedup:
                        handled = args.context.get("handled")
                        await asyncio.to_thread(self.dedup.leg_done, claim, handled, leg.__name__, legs)
            finally:
                self.count(-1)

        return named(leg, function)

    def _smoke(self, app):
        @app.command("/bgctl-smoke")
        async def command(ack, command, respond):
            await ack(response_type="ephemeral", text=json.dumps(self.pong(command)))
            if command.get("response_url"):
                await respond(json.dumps(self.pong(command)))

        @app.action("bgctl_smoke")
        async def button(ack):
            await ack()

        @app.view("bgctl_smoke")
        async def modal(ack, view):
            if view["state"]["values"]["value"]["value"]["value"] == "valid":
                await ack()
            else:
                await ack(response_action="errors", errors={"value": "invalid"})

        @app.event("bgctl_smoke")
        async def event(event, body, context):
            context["handled"] = body["event_id"]
            await asyncio.sleep(min(int(event.get("hold_ms", 0)), 2000) / 1000)
