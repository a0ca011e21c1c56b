"""`health`: is the server on this data folder accepting and storing? Light: for supervisors that ask every second."""

import http.client
import json
import sys
from argparse import Namespace

from collector.settings import Settings
from dashboards.client import Remote, running
from dashboards.commands.asking import NO, OK, UNREACHABLE


def health(args: Namespace, settings: Settings) -> int:
    """Print the state; the exit code says it too."""
    server = running(settings.data)
    if server is None:
        return _say(args, {"status": "not running", "reason": f"no server runs on {settings.data}"}, UNREACHABLE)
    try:
        reply = Remote(server, timeout_s=5).get("/readyz")
        state = reply.json()
    except (OSError, http.client.HTTPException, ValueError) as e:
        return _say(args, {"status": "not ready", "reason": f"{server.pages} did not answer ({type(e).__name__})"}, NO)
    return _say(args, {**state, "pages": server.pages}, OK if reply.status == 200 else NO)


def _say(args: Namespace, state: dict[str, str], code: int) -> int:
    shown = json.dumps(state) if args.json else ", ".join(filter(None, (state["status"], state.get("reason"))))
    sys.stdout.write(shown + "\n")
    return code
