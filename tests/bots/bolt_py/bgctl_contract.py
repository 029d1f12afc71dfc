"""What bgctl asks of a Bolt for Python bot. Copy this file beside your bot; it needs nothing but Bolt.

    contract = Contract("blue", "v1.4.1", dedup=Dedup(redis, "blue"))
    app = App(process_before_response=True)
    contract.watch(app)                              # before the first listener
    api = contract.wsgi(SlackRequestHandler(app))    # gunicorn bot:api --workers 1 --threads 8
"""
import inspect
import json
import threading
import time

# Listeners by the method that adds them.
KINDS = {"command": "commands", "action": "actions", "view": "views", "view_submission": "views",
         "view_closed": "closed_views", "event": "events", "message": "messages", "shortcut": "shortcuts",
         "global_shortcut": "shortcuts", "message_shortcut": "shortcuts", "options": "options", "function": "functions"}
BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2, 3)


class Contract:
    def __init__(self, color, version, dedup=None, ready=lambda: True):
        """`ready` says whether this process can serve: ask `auth.test` and your stores in it."""
        self.color, self.version, self.dedup, self.ready = color, version, dedup, ready
        self.handlers, self.inflight, self.lock = {}, 0, threading.Lock()
        self.retries = self.exchanged = self.requests = 0
        self.seconds, self.buckets = 0.0, [0] * len(BUCKETS)

    def watch(self, app):
        """From here on every listener is in the list, its work is counted, and its end is `done`."""
        if self.dedup:
            app.use(self.dedup.claim)
        for method, kind in KINDS.items():
            setattr(app, method, self._listing(getattr(app, method), kind))
        # Bolt acks an event and hands its work to this executor, so here it is counted from the ack on.
        executor = app.listener_runner.listener_executor
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

    def _listing(self, register, kind):
        def listed(constraint="", *rest, **options):
            attach = register(constraint, *rest, **options)
            self.handlers.setdefault(kind, set()).add(name(constraint))

            def attached(*functions, **named):
                if not named:
                    return attach(*functions[:-1], self._ending(functions[-1]))
                lazy = list(named["lazy"])
                return attach(ack=named["ack"], lazy=lazy[:-1] + [self._ending(lazy[-1])])

            return attached

        return listed

    def _ending(self, listener):
        wanted = [n for n in inspect.getfullargspec(inspect.unwrap(listener)).args if n not in ("self", "cls")]

        def listener_and_done(args):
            given = {n: args if n == "args" else getattr(args, n, args.context.get(n)) for n in wanted}
            try:
                result = listener(**given)
            except Exception as error:
                # Somebody else used this trigger_id: the surest sign of a delivery handled twice.
                self.exchanged += "exchanged_trigger_id" in str(error)
                raise
            if self.dedup:
                self.dedup.done(args.context)
            return result

        return listener_and_done

    def _smoke(self, app):
        """Reserved names that are never registered in the Slack app, so no user can trigger them."""

        @app.command("/bgctl-smoke")
        def command(ack, command, respond):
            pong = {"pong": command["text"], "color": self.color, "version": self.version}
            ack(response_type="ephemeral", text=json.dumps(pong))
            if command.get("response_url"):
                respond(json.dumps(pong))

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

    def wsgi(self, slack, path="/slack/events"):
        """The bot's routes around Bolt's."""
        routes = {
            "/version": lambda: {"version": self.version, "color": self.color},
            "/healthz/ready": lambda: {"ok": bool(self.ready())},
            "/bgctl/inflight": lambda: {"inflight": self.inflight},
            "/bgctl/handlers": lambda: {kind: sorted(names) for kind, names in self.handlers.items()},
        }

        def api(environ, start_response):
            if environ["PATH_INFO"] == path:
                return self._counted(slack, environ, start_response)
            headers = [("x-bot-version", self.version), ("x-bot-color", self.color)]
            if environ["PATH_INFO"] == "/metrics":
                start_response("200 OK", headers + [("content-type", "text/plain; version=0.0.4")])
                return [self.metrics().encode()]
            route = routes.get(environ["PATH_INFO"])
            answer = route() if route else {"error": "not found"}
            status = "404 Not Found" if not route else "503 Not Ready" if answer.get("ok") is False else "200 OK"
            start_response(status, headers + [("content-type", "application/json")])
            return [json.dumps(answer).encode()]

        return api

    def _counted(self, slack, environ, start_response):
        begun = time.monotonic()
        self.count(1)
        try:
            return slack(environ, start_response)
        finally:
            took = time.monotonic() - begun
            with self.lock:
                self.inflight -= 1
                self.requests += 1
                self.seconds += took
                self.retries += "HTTP_X_SLACK_RETRY_NUM" in environ
                for n, bound in enumerate(BUCKETS):
                    self.buckets[n] += took <= bound

    def metrics(self):
        """Retries, exchanged triggers and the time to ack: the earliest signs that users are hurt."""
        color = f'color="{self.color}"'
        lines = [f"slack_retries_total{{{color}}} {self.retries}",
                 f"slack_exchanged_trigger_id_total{{{color}}} {self.exchanged}"]
        lines += [f'slack_ack_seconds_bucket{{{color},le="{le}"}} {n}' for le, n in zip(BUCKETS, self.buckets)]
        lines += [f'slack_ack_seconds_bucket{{{color},le="+Inf"}} {self.requests}',
                  f"slack_ack_seconds_count{{{color}}} {self.requests}",
                  f"slack_ack_seconds_sum{{{color}}} {self.seconds}"]
        return "\n".join(lines) + "\n"


def name(constraint):
    """What a listener is for: a text, a pattern as /pattern/, or the id among several constraints."""
    if isinstance(constraint, dict):
        ids = ("action_id", "callback_id", "command", "type", "subtype")
        return next((name(constraint[i]) for i in ids if constraint.get(i)), json.dumps(constraint, default=str))
    return f"/{constraint.pattern}/" if hasattr(constraint, "pattern") else str(constraint)
