"""What bgctl asks of a Bolt for Python bot. Copy this file beside your bot; it needs nothing but Bolt. Contract 2.

    contract = Contract("blue", "v1.4.1", dedup=Dedup(redis, "blue"))
    app = App(process_before_response=True)
    contract.watch(app)                              # before the first listener
    api = contract.wsgi(SlackRequestHandler(app))    # gunicorn bot:api --workers 1 --threads 8

Your functions stay yours: what is decorated can be called in a unit test as it was written. `wsgi` takes any WSGI app, such as
a whole Flask; what the contract does not answer is passed on to it. On AWS Lambda, with lazy listeners or without:

    lambda_handler = contract.aws_lambda(SlackRequestHandler(app).handle)
"""
import asyncio
import contextlib
import copy
import inspect
import json
import threading
import time

CONTRACT = 2
# Listeners by the method that adds them.
KINDS = {"command": "commands", "action": "actions", "view": "views", "view_submission": "views",
         "view_closed": "closed_views", "event": "events", "message": "messages", "shortcut": "shortcuts",
         "global_shortcut": "shortcuts", "message_shortcut": "shortcuts", "options": "options", "function": "functions"}
OPTIONS = ("matchers", "middleware", "auto_acknowledge", "ack_timeout")
ASSISTANT = ("thread_started", "thread_context_changed", "user_message", "bot_message")
BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2, 3)
# How the lazy leg of a delivery knows the claim of its first leg: AWS Lambda starts it with nothing but the request.
CLAIM = "x-bgctl-claim"


class Contract:
    def __init__(self, color, version, dedup=None, ready=lambda: True):
        """`ready` says whether this process can serve: ask `auth.test` and your stores in it."""
        self.color, self.version, self.dedup, self.ready = color, version, dedup, ready
        self.listed, self.inflight, self.lock, self.middleware = {}, 0, threading.Lock(), []
        self.retries = self.exchanged = self.requests = 0
        self.seconds, self.buckets = 0.0, [0] * len(BUCKETS)

    def watch(self, app):
        """From here on every listener is in the list, its work is claimed and counted, and its end is `done`."""
        from slack_bolt import BoltResponse  # here, since a bot without Bolt copies this file too
        self.middleware = app._middleware_list
        self._list(app)
        runner = app.listener_runner
        run = runner.run

        # Every listener comes by here, also those of an Assistant, after the bot's own middleware let it through.
        def watched(request, listener, **others):
            claim, instead = self.claim(request)
            if instead:
                return BoltResponse(status=instead, body="")
            return run(request=request, listener=self._watched(listener, claim), **others)

        runner.run = watched
        # Bolt acks an event and hands its work to this executor, so here it is counted from the ack on.
        executor = runner.listener_executor
        submit = executor.submit

        def counted(work, *args, **kwargs):
            self.count(1)
            future = submit(work, *args, **kwargs)
            future.add_done_callback(lambda _: self.count(-1))
            return future

        executor.submit = counted
        self._smoke(app)

    def count(self, change):
        with self.lock:
            self.inflight += change

    def _list(self, app):
        for method, kind in KINDS.items():
            setattr(app, method, self._listing(getattr(app, method), kind))

    def _listing(self, register, kind):
        def listed(*constraint, **options):
            given = [value for key, value in options.items() if key not in OPTIONS]
            names, of = self.listed.setdefault(kind, []), name((*constraint, *given, "")[0])
            # Several without a name are told apart by their number, whatever their functions are.
            names.append(f"#{sum(n[:1] in ('', '#') for n in names) + 1}" if of == "" and "" in names else of)
            return register(*constraint, **options)

        return listed

    def handlers(self):
        """Every listener, those of an Assistant too, whenever they were added."""
        kinds = {kind: sorted(set(names)) for kind, names in self.listed.items()}
        assistants = [m for m in self.middleware if any(hasattr(m, f"_{part}_listeners") for part in ASSISTANT)]
        if assistants:
            parts = {part for m in assistants for part in ASSISTANT if getattr(m, f"_{part}_listeners", None)}
            kinds["assistants"] = sorted(parts | {"thread_context_changed"})  # Bolt has one of its own
        return kinds

    def claim(self, request):
        """The claim of this delivery, or what to answer because somebody else has it. Its lazy legs share it."""
        if not self.dedup:
            return None, None
        lazy = request.lazy_only
        claim, instead = self.dedup.claim(request.body, request.headers.get(CLAIM, [None])[0] if lazy else None)
        if claim and not lazy and "lambda_request" in request.context:
            request.context["lambda_request"]["headers"][CLAIM] = claim.mine
        return claim, 200 if instead and lazy else instead  # Slack does not hear what a lazy leg answers

    @contextlib.contextmanager
    def working(self, claim):
        try:
            with self.dedup.working(claim) if self.dedup else contextlib.nullcontext():
                yield
        except Exception as error:
            # Somebody else used this trigger_id: the surest sign of a delivery handled twice.
            self.exchanged += "exchanged_trigger_id" in str(error)
            raise

    def _watched(self, listener, claim):
        """The listener for one delivery, with its claim held while it works."""
        lazy = list(listener.lazy_functions)

        def run_ack_function(*, request, response):
            with self.working(claim):
                result = listener.run_ack_function(request=request, response=response)
                if self.dedup and not lazy:
                    self.dedup.done(claim, request.context.get("handled"))
                return result

        watched = copy.copy(listener)
        watched.run_ack_function = run_ack_function
        watched.lazy_functions = [self._leg(function, claim, len(lazy)) for function in lazy]
        return watched

    def _leg(self, function, claim, legs):
        def leg(args):
            with self.working(claim):
                function(**asked(function, args))
                if self.dedup:
                    self.dedup.leg_done(claim, args.context.get("handled"), leg.__name__, legs)

        return named(leg, function)

    def pong(self, command):
        return {"pong": command["text"], "color": self.color, "version": self.version}

    def _smoke(self, app):
        """Reserved names that are never registered in the Slack app, so no user can trigger them."""

        @app.command("/bgctl-smoke")
        def command(ack, command, respond):
            ack(response_type="ephemeral", text=json.dumps(self.pong(command)))
            if command.get("response_url"):
                respond(json.dumps(self.pong(command)))

        @app.action("bgctl_smoke")
        def button(ack):
            ack()

        @app.view("bgctl_smoke")
        def modal(ack, view):
            if view["state"]["values"]["value"]["value"]["value"] == "valid":
                ack()
            else:
                ack(response_action="errors", errors={"value": "invalid"})

        @app.event("bgctl_smoke")
        def event(event, body, context):
            context["handled"] = body["event_id"]
            time.sleep(min(int(event.get("hold_ms", 0)), 2000) / 1000)

    def answer(self, method, path):
        """Status, headers and body of the contract's own paths; nothing for all others."""
        routes = {
            "/version": lambda: {"version": self.version, "color": self.color, "contract": CONTRACT},
            "/healthz/ready": lambda: {"ok": bool(self.ready())},
            "/bgctl/inflight": lambda: {"inflight": self.inflight},
            "/bgctl/handlers": self.handlers,
            "/metrics": self.metrics,
        }
        if method not in ("GET", "HEAD") or path not in routes:
            return None
        body = routes[path]()
        plain = isinstance(body, str)
        head = [("x-bot-version", self.version), ("x-bot-color", self.color),
                ("content-type", "text/plain; version=0.0.4" if plain else "application/json")]
        status = "503 Not Ready" if not plain and body.get("ok") is False else "200 OK"
        return status, head, (body if plain else json.dumps(body)).encode()

    def wsgi(self, app):
        """The contract's paths before those of `app`."""

        def api(environ, start_response):
            answer = self.answer(environ["REQUEST_METHOD"], environ["PATH_INFO"])
            if answer:
                start_response(*answer[:2])
                return [answer[2]]
            if "HTTP_X_SLACK_SIGNATURE" not in environ:
                return app(environ, start_response)
            with self.measured("HTTP_X_SLACK_RETRY_NUM" in environ):
                return app(environ, start_response)

        return api

    def asgi(self, app):
        """The same for ASGI: a FastAPI, or Bolt's `AsyncSlackRequestHandler`."""

        async def api(scope, receive, send):
            headers = {name for name, _ in scope.get("headers", [])} if scope["type"] == "http" else set()
            # `ready` may ask a store, and that may wait.
            answer = scope["type"] == "http" and await asyncio.to_thread(self.answer, scope["method"], scope["path"])
            if answer:
                await respond(send, *answer)
            elif b"x-slack-signature" in headers:
                with self.measured(b"x-slack-retry-num" in headers):
                    await app(scope, receive, send)
            else:
                await app(scope, receive, send)

        return api

    def aws_lambda(self, handle):
        """The same for AWS Lambda, behind a function URL, API Gateway or a load balancer."""

        def handler(event, context):
            http = event.get("requestContext", {}).get("http", {})
            method, path = http.get("method") or event.get("httpMethod"), event.get("rawPath") or event.get("path")
            answer = self.answer(method, path)
            if answer:
                return {"statusCode": int(answer[0][:3]), "headers": dict(answer[1]), "body": answer[2].decode()}
            headers = {name.lower() for name in event.get("headers") or {}}
            with self.measured("x-slack-retry-num" in headers):
                return handle(event, context)

        return handler

    @contextlib.contextmanager
    def measured(self, retry):
        """A request of Slack, until it is answered."""
        begun = time.monotonic()
        self.count(1)
        try:
            yield
        finally:
            took = time.monotonic() - begun
            with self.lock:
                self.inflight -= 1
                self.requests += 1
                self.seconds += took
                self.retries += retry
                for n, bound in enumerate(BUCKETS):
                    self.buckets[n] += took <= bound

    def metrics(self):
        """Retries, exchanged triggers and the time to ack: the earliest signs that users are hurt."""
        color = f'color="{self.color}"'
        lines = [f"slack_retries_total{{{color}}} {self.retries}",
                 f"slack_exchanged_trigger_id_total{{{color}}} {self.exchanged}",
                 f"slack_unclaimed_total{{{color}}} {getattr(self.dedup, 'unclaimed', 0)}"]
        lines += [f'slack_ack_seconds_bucket{{{color},le="{le}"}} {n}' for le, n in zip(BUCKETS, self.buckets)]
        lines += [f'slack_ack_seconds_bucket{{{color},le="+Inf"}} {self.requests}',
                  f"slack_ack_seconds_count{{{color}}} {self.requests}",
                  f"slack_ack_seconds_sum{{{color}}} {self.seconds}"]
        return "\n".join(lines) + "\n"


async def respond(send, status, head, body):
    head = [(name.encode(), value.encode()) for name, value in head]
    await send({"type": "http.response.start", "status": int(status[:3]), "headers": head})
    await send({"type": "http.response.body", "body": body})


def named(leg, function):
    """A leg with the name Bolt finds it by."""
    kind = type(function)
    leg.__name__ = getattr(function, "__name__", f"{kind.__module__}.{kind.__name__}")
    return leg


def asked(function, args):
    """What a function asks for by the names of its parameters, as Bolt gives it."""
    wanted = [n for n in inspect.getfullargspec(inspect.unwrap(function)).args if n not in ("self", "cls")]
    return {n: args if n == "args" else getattr(args, n, args.context.get(n)) for n in wanted}


def name(constraint):
    """What a listener is for: a text, a pattern as /pattern/, or the id among several constraints."""
    if isinstance(constraint, dict):
        ids = ("action_id", "callback_id", "command", "type", "subtype", "block_id")
        return next((name(constraint[i]) for i in ids if constraint.get(i)), json.dumps(constraint, default=str))
    return f"/{constraint.pattern}/" if hasattr(constraint, "pattern") else str(constraint)
