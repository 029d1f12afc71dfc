"""The Bolt for Python bot that bgctl is tried against, behind gunicorn: `gunicorn bot_http:api`. Knobs are in common.py."""
import common
from slack_bolt.adapter.wsgi import SlackRequestHandler

app, contract = common.build()
api = common.slowed(contract.wsgi(SlackRequestHandler(app)))
