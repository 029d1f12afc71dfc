"""A Flask that is more than a bot: `gunicorn bot_routes:api`."""
import common
from flask import Flask, request
from slack_bolt.adapter.flask import SlackRequestHandler

app, contract = common.build()
site, slack = Flask(__name__), SlackRequestHandler(app)


@site.post("/slack/events")
@site.post("/slack/commands")
def events():
    return slack.handle(request)


@site.get("/slack/install")
def install():
    return "install me"


@site.route("/hooks/build", methods=["GET", "POST"])
def hook():
    return f"{request.method} {request.get_data(as_text=True)}", 202


api = contract.wsgi(site)
