"""The same bot as on AWS Lambda with lazy listeners, each invocation in a thread: `gunicorn bot_lambda:api`."""
import json
import threading
import time

import common
from slack_bolt.adapter.aws_lambda import SlackRequestHandler

app, contract = common.build()
SEEN = {"legs": 0}


def first_leg(ack, body):
    ack() if "command" not in body else ack("begun")


def work(body, context):
    SEEN["legs"] += 1
    time.sleep(float(common.KNOB("LAZY_WORK_S", "0")))
    context["handled"] = body.get("event_id") or body["trigger_id"]


def more_work(body):
    SEEN["legs"] += 1


app.command("/lazy")(ack=first_leg, lazy=[work])
app.event("reaction_added")(ack=first_leg, lazy=[more_work, work])
handler = SlackRequestHandler(app)
lambda_handler = contract.aws_lambda(handler.handle)


class Function:
    """What Lambda tells a function about itself."""
    function_name, invoked_function_arn = "bot", "arn:aws:lambda:eu-west-1:000000000000:function:bot:live"


class Client:
    """Lambda's API as far as the adapter uses it: an asynchronous invocation with what came over the wire."""

    def invoke(self, FunctionName, InvocationType, Payload):
        assert (FunctionName, InvocationType) == (Function.invoked_function_arn, "Event")
        threading.Thread(target=lambda_handler, args=(json.loads(Payload), Function)).start()
        return {"StatusCode": 202}


app.listener_runner.lazy_listener_runner.lambda_client = Client()


def api(environ, start_response):
    """What stands before a function: requests become events."""
    if environ["PATH_INFO"] == "/legs":
        start_response("200 OK", [])
        return [json.dumps(SEEN).encode()]
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    headers["content-type"] = environ.get("CONTENT_TYPE", "")
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
    event = {"requestContext": {"http": {"method": environ["REQUEST_METHOD"]}}, "rawPath": environ["PATH_INFO"],
             "headers": headers, "body": body, "isBase64Encoded": False}
    answer = lambda_handler(event, Function)
    start_response(f"{answer['statusCode']} -", list(answer["headers"].items()))
    return [answer["body"].encode()]
