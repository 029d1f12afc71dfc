"""The Bolt for Python bot in Socket Mode: `SOCKET=closed gunicorn bot_socket:api --workers 1`. Knobs are in common.py."""
import os

import common
from bgctl_socket import Socket

app, contract = common.build()
socket = Socket(app, contract, os.environ["SLACK_APP_TOKEN"], open=os.environ.get("SOCKET") != "closed",
                token=os.environ.get("BGCTL_BOT_TOKEN"))
api = socket.wsgi()
