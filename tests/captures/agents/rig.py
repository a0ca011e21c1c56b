"""What every recorded agent uses: its scenario, tools that log what they do, runs, and the set-up of OpenTelemetry."""

import functools
import importlib
import json
import os
from contextlib import contextmanager

import setups

SCENARIO = os.environ["CAPTURE_SCENARIO"]
MODEL = os.environ.get("CAPTURE_MODEL", "gpt-4o-mini")
STREAM = SCENARIO == "streaming"
BASE = os.environ["CAPTURE_MODEL_SERVER"]
PROMPT = {
    "simple": "How is the weather in Paris, and how many people live there?",
    "loop8": "Look up order A-1041 until it has been shipped, please.",
    "tool_error": "Fetch the report at https://example.com/report for me, please.",
    "streaming": "How is the weather in Paris right now, please?",
    "multi_agent": "Ask the researcher about the weather in Paris, please.",
    "fatal": "How is the weather in Paris, and what shall I wear?",
}[SCENARIO]
SYSTEM = "You are a careful assistant who always uses the tools at hand."
_tries = 0


def note(**what):
    """Write a line of the truth."""
    with open(os.environ["CAPTURE_LOG"], "a") as log:
        log.write(json.dumps(what) + "\n")


def logged(tool):
    """The tool, each of its calls noted."""

    @functools.wraps(tool)
    def noted(*args, **kwargs):
        entry = {"tool": tool.__name__, "args": dict(zip(tool.__annotations__, args, strict=False)) | kwargs}
        try:
            result = tool(*args, **kwargs)
        except Exception as error:
            note(**entry, outcome="error", error=repr(error))
            raise
        note(**entry, outcome="ok")
        return result

    return noted


@logged
def get_weather(city: str) -> str:
    """Tell the weather of a city.

    Args:
        city: name of the city
    """
    return f"The weather in {city} is sunny with twenty degrees."


@logged
def get_population(city: str) -> str:
    """Tell how many people live in a city.

    Args:
        city: name of the city
    """
    return f"Two million people live in {city} at present."


@logged
def lookup_order(order_id: str) -> str:
    """Look up the state of an order.

    Args:
        order_id: number of the order
    """
    return f"Order {order_id} is still waiting in the warehouse."


@logged
def flaky_fetch(url: str) -> str:
    """Fetch a page of the web.

    Args:
        url: address of the page
    """
    global _tries
    _tries += 1
    if _tries < 3:
        raise TimeoutError(f"upstream timed out in attempt {_tries}")
    return f"The page at {url} says that all is well."


TOOLS = {
    "simple": [get_weather, get_population],
    "loop8": [lookup_order],
    "tool_error": [flaky_fetch],
}.get(SCENARIO, [get_weather])


@contextmanager
def run(agent, *others, tool=None):
    """One execution of an agent and of those below it, its end noted. Yields a list: whoever fails without raising puts
    what went wrong there. `tool`: the tool of the framework's own by which another agent is asked."""
    wrong = []
    if tool and others:
        note(tool=tool, args={}, outcome="ok")
    try:
        yield wrong
    except BaseException as error:
        wrong.append(repr(error))
    entry = {"error": str(wrong[0])[:200]} if wrong else {}
    note(run=agent, agents=others, failed=bool(wrong), **entry)


def telemetry():
    """OpenTelemetry with OTLP over HTTP for all signals and the instrumentors that CAPTURE_INSTRUMENT names; or what
    CAPTURE_SETUP names, a function of `setups` and its arguments."""
    setup, *arguments = os.environ.get("CAPTURE_SETUP", "plain").split()
    instrumentors = [name.split(":") for name in os.environ.get("CAPTURE_INSTRUMENT", "").split()]
    getattr(setups, setup)(*arguments)
    for module, instrumentor in instrumentors:
        getattr(importlib.import_module(module), instrumentor)().instrument()


def root(agent):
    """The program's own span around its calls, where it has no framework."""
    return setups.root(agent)
