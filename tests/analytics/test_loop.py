"""The loop detector."""

import json
import re
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from analytics.detectors import Detector
from analytics.detectors.loop import Limits, find
from analytics.frames import Frames
from analytics.jobs import analyse
from analytics.pricing.book import PriceBook
from collector.semconv import Flag
from tests.analytics.spans import Span, agent, frame, llm, parts, tool
from tests.analytics.test_runs import NO_BOOKINGS

BOOK = PriceBook.seeded()


def turns(*tools: dict[str, Any], trace: int = 1, known: bool = True) -> list[Span]:
    """A run in which the model asks for one tool call after the other. With `known` results default to one hash."""
    default = {"args_hash": 5, "args_shape": 6} | ({"result_hash": 7} if known else {})
    spans = [agent(1, trace_lo=trace, duration_ns=10**12)]
    for i, values in enumerate(tools):
        spans.append(llm(100 + i, 1, 2 * i + 1, trace_lo=trace))
        spans.append(tool(500 + i, 1, 2 * i + 2, trace_lo=trace, **(default | values)))
    return spans


def findings(*spans: Span, **limits: Any) -> list[dict[str, Any]]:
    """What the detector finds in the runs of these spans."""
    read = Frames(frame(*spans).select("trace_hi", "trace_lo").unique(), frame(*spans), parts())
    analysis = analyse(read, NO_BOOKINGS, BOOK, 10**9, [Detector("loop", partial(find, **limits))])
    found = analysis.findings.sort("started_ns").to_dicts()
    assert (
        sum(f["wasted_pusd"] for f in found)
        == analysis.runs["wasted_pusd"].sum()
        == analysis.calls["wasted_pusd"].sum()
    )
    assert len(found) == analysis.runs["findings"].sum()
    return found


def test_the_same_call_again_and_again_is_a_loop() -> None:
    """Eight calls with one result: evidence, waste of seven turns, words, a stable id."""
    (found,) = findings(*turns(*[{}] * 8))
    (again,) = findings(*turns(*[{}] * 8))
    assert found["finding_id"] == again["finding_id"] and len(found["finding_id"]) == 24
    assert found["span_ids"] == [500 + i for i in range(8)]
    assert (found["occurrences"], found["severity"], found["evidence"], found["subject"]) == (
        8,
        "medium",
        "full",
        "search",
    )
    turn = analyse_cost()
    assert found["wasted_pusd"] == 7 * turn
    assert found["sentence"] == (
        f"search was called 8 times in a row with the same arguments and the same result. "
        f"The repeats cost ${7 * turn / 10**12:g}."
    )
    assert found["action"] == "quarantine the tool for the run"


def analyse_cost() -> int:
    """What one model call of these tests costs."""
    read = Frames(frame(agent(1)).select("trace_hi", "trace_lo"), frame(agent(1), llm(2, 1)), parts())
    return int(analyse(read, NO_BOOKINGS, BOOK, 10**9).runs["cost_pusd"].item())


@pytest.mark.parametrize(
    "tools",
    [
        [{}] * 3,
        [{"args_hash": i, "args_shape": i} for i in range(9)],
        [{"args_hash": None, "args_shape": None}] * 9,
        [{"result_hash": i} for i in range(9)],
        [{"result_hash": i % 2} for i in range(9)],
        [{"args_hash": i, "paging": i} for i in range(9)],
        [{"args_hash": i, "result_hash": None} for i in range(9)],
        [{"tool": f"t{i}"} for i in range(9)],
        [{"status": "error" if i % 3 else "ok"} for i in range(9)],
        [{"flags": int(Flag.ARGS_FROM_EMITTER) * (i % 2)} for i in range(9)],
    ],
    ids=[
        "few",
        "other args",
        "unknown args",
        "new results",
        "polling",
        "paging",
        "alike",
        "tools",
        "outcome",
        "origin",
    ],
)
def test_what_is_not_a_loop(tools: list[dict[str, Any]]) -> None:
    """Too few, other or unknown arguments, changing results, pages that advance, hashes of two origins."""
    assert findings(*turns(*tools)) == []


def test_alike_arguments_with_one_result_are_a_loop() -> None:
    """The shape of the arguments is enough where the result is the same."""
    (found,) = findings(*turns(*({"args_hash": i} for i in range(4))))
    assert "alike arguments and the same result" in found["sentence"]


def test_unknown_results_are_a_suspicion() -> None:
    """The same arguments with results that nobody told: partial evidence, low severity."""
    (found,) = findings(*turns(*[{}] * 5, known=False))
    assert (found["evidence"], found["severity"], found["action"]) == ("partial", "low", "ask approval")


def test_a_round_of_several_tools_is_a_loop() -> None:
    """Four rounds of two calls are found once, three are not; a page that goes back and forth is a round."""
    ab: list[Span] = [{"tool": "a"}, {"tool": "b", "args_hash": 8}]
    (found,) = findings(*turns(*ab * 4))
    assert (found["occurrences"], found["subject"], len(found["span_ids"])) == (4, "a, b", 8)
    assert found["sentence"].startswith("The round a, b was gone through 4 times")
    assert findings(*turns(*ab * 3, ab[0])) == []
    pages = [{"args_hash": i % 2, "paging": i % 2, "result_hash": i % 2} for i in range(8)]
    assert [f["occurrences"] for f in findings(*turns(*pages))] == [4]


def test_harm_and_cost_make_it_high() -> None:
    """A write that repeats, or a waste of ten cents, is to be stopped."""
    assert findings(*turns(*[{"tool_class": "write"}] * 4))[0]["severity"] == "high"
    (found,) = findings(*turns(*[{}] * 4), limits=Limits(costly_pusd=1))
    assert (found["severity"], found["action"]) == ("high", "stop the run")


def test_limits_hold_for_their_agent() -> None:
    """An agent that polls for a living can be given more room."""
    spans = turns(*[{}] * 6)
    assert findings(*spans, by_agent={"a": Limits(repeats=9)}) == []
    assert len(findings(*spans, by_agent={"b": Limits(repeats=9)})) == 1


def test_attempts_within_a_turn_are_one_call() -> None:
    """A framework that retries a failure is no loop; an agent that asks again for what fails is one."""
    failed = {"status": "error", "args_hash": 5, "result_hash": 7}
    storm = [agent(1), llm(2, 1, 1), *(tool(10 + i, 1, 2 + i, **failed) for i in range(9))]
    assert findings(*storm) == []
    assert len(findings(*turns(*[failed] * 4))) == 1


def test_a_turn_that_asked_for_something_new_is_not_wasted() -> None:
    """A model call counts as waste only if all that it asked for was repetition."""
    spans = turns(*[{}] * 4)
    fresh = tool(900, 103, 8.5, tool="other", args_hash=99)
    wasted = findings(*spans)[0]["wasted_pusd"]
    assert wasted == 3 * analyse_cost()
    assert findings(*spans, fresh)[0]["wasted_pusd"] == wasted - analyse_cost()


def test_agents_side_by_side_do_not_break_a_loop() -> None:
    """Calls of another agent in between belong to that agent."""
    other = [agent(2, 1, 0), *(tool(700 + i, 2, 2 * i + 2.5, args_hash=i, result_hash=i) for i in range(5))]
    assert [f["span_ids"] for f in findings(*turns(*[{}] * 5), *other)] == [[500 + i for i in range(5)]]


def test_real_runs_that_do_not_loop_are_left_alone(shared: Path) -> None:
    """200 runs of tau-bench, none of which loops, give no finding."""
    lines = (shared / "corpora" / "trajectories" / "taubench_gpt-4o-airline.jsonl").read_text().splitlines()
    spans = []
    for number, line in enumerate(lines, 1):
        steps = [s for s in json.loads(line)["steps"] if s["kind"] == "tool"]
        spans += turns(
            *(
                {
                    "tool": s["name"],
                    "args_hash": int(s["args_sha"], 16),
                    "args_shape": zlib.crc32(re.sub(r"[\w.:+-]*\d[\w.:+-]*", "#", s["args"]).encode()),
                    "result_hash": int(s["result_sha"], 16),
                    "status": "error" if s["error"] else "ok",
                }
                for s in steps
            ),
            trace=number,
        )
    assert len(lines) == 200
    assert findings(*spans) == []
    assert len(findings(*spans, limits=Limits(repeats=3))) > 0


def test_nothing_in_nothing_out() -> None:
    """Runs without calls have no loops and no special case."""
    assert findings(agent(1)) == []
    assert pl.Series([f["rule"] for f in findings(*turns(*[{}] * 4))]).to_list() == ["loop"]
