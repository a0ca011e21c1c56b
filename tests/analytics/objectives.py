"""SLOs that tests share, and the time they look from."""

from dataclasses import replace

from analytics.slo import MINUTE_NS, Condition, Pair, Slo

NOW_NS = 29_800_000 * MINUTE_NS + 17 * 10**9
PAIRS = (Pair("page", 60, 5, 14.4), Pair("page", 360, 30, 6), Pair("ticket", 1440, 120, 3))
SUCCESS = Slo(
    name="run-success",
    title="Runs succeed",
    description="",
    service="agents",
    source="runs",
    filter=(),
    good=(Condition("status", "in", ("ok",)),),
    negated=False,
    threshold=False,
    group_by=(),
    objective=0.95,
    period_minutes=30 * 1440,
    pairs=PAIRS,
)
COST = replace(
    SUCCESS, name="run-cost", good=(Condition("cost_usd", "lte", ("0.50",)),), threshold=True, group_by=("tenant",)
)
TOOLS = replace(
    SUCCESS,
    name="tools",
    source="tools",
    good=(Condition("status", "in", ("error",)),),
    negated=True,
    group_by=("tool_server", "tool"),
    filter=(Condition("agent", "not_in", ("test-*",)),),
)
