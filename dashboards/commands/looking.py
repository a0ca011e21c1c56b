"""`runs`, `show`, `findings`, `cost`, `quality`: answers for people, or as they are with --json."""

from argparse import Namespace
from typing import Any

from collector.settings import Settings
from dashboards import format
from dashboards.commands import tables
from dashboards.commands.asking import NO, OK, CommandError, ask, checked, params_of, print_json, whoever_answers
from dashboards.commands.tables import Column

RUN_FILTERS = (
    "tenant", "agent", "status", "user", "session", "environment", "service", "model", "tool", "rule", "min_cost", "q",
)  # fmt: skip
COST_FILTERS = (
    "tenant", "agent", "agent_version", "user", "session", "environment", "service", "service_version", "owner",
    "dialect", "provider", "model", "tool_server", "tool", "run", "step",
)  # fmt: skip
SHORT_ID = 12
PERIOD = ("from", "to", "tz")
PAGE = ("limit", "cursor")


def runs(args: Namespace, settings: Settings) -> int:
    """Runs, newest first."""
    reply = ask(settings, "/api/v1/runs", params_of(args, *RUN_FILTERS, *PERIOD, *PAGE))
    if args.json:
        print_json(reply)
        return OK
    answer = reply.json()
    if not answer["items"]:
        tables.say(
            "No run matches."
            if params_of(args, *RUN_FILTERS)
            else "No runs yet: point an exporter at this server, or import a file."
        )
        return OK
    columns: list[Column] = [
        ("run", "left", _short),
        ("status", "left", tables.status),
        ("agent", "left", lambda r: format.inert(r["agent"] or r["name"])),
        ("tenant", "left", tables.text("tenant")),
        ("started", "right", tables.ago("started_at")),
        ("took", "right", lambda r: format.duration(r["duration_ms"])),
        ("calls", "right", lambda r: _failed(r["llm_calls"], r["llm_errors"])),
        ("tools", "right", lambda r: _failed(r["tool_calls"], r["tool_errors"])),
        ("tokens in / out", "right", tables.tokens),
        ("cost", "right", tables.cost),
        ("findings", "right", lambda r: str(r["findings"] or "")),
    ]
    tables.print_table(columns, answer["items"])
    tables.say_currency(answer)
    return OK


def show(args: Namespace, settings: Settings) -> int:
    """One run: its sums, its spans, its findings."""
    with whoever_answers(settings) as source:
        run_id = _whole_id(source, args.run_id)
        reply = checked(source.get(f"/api/v1/runs/{run_id}"))
        if args.json:
            print_json(reply)
            return OK
        spans = checked(source.get(f"/api/v1/runs/{run_id}/spans", {"limit": args.limit})).json()
        findings = checked(source.get("/api/v1/findings", {"run": run_id})).json()
    run = reply.json()
    facts = [{"what": what, "fact": fact} for what, fact in _facts(run)]
    tables.print_table([("", "left", lambda r: r["what"]), ("", "wrap", lambda r: r["fact"])], facts)
    tables.console().print()
    tables.print_waterfall(spans)
    for finding in findings["items"]:
        tables.say(
            f"\n{finding['severity']} {finding['rule']}: {finding['sentence']} "
            f"Wasted {format.usd(finding['wasted_usd'])}. Recommended: {finding['action']}.",
            tables.SEVERITY_STYLES.get(finding["severity"], ""),
        )
    return OK


def findings(args: Namespace, settings: Settings) -> int:
    """Findings, newest first."""
    asked = params_of(args, "rule", "severity", "tenant", "agent", "run", *PERIOD, *PAGE)
    reply = ask(settings, "/api/v1/findings", asked)
    if args.json:
        print_json(reply)
        return OK
    answer = reply.json()
    if not answer["items"]:
        tables.say("No findings.")
        return OK
    columns: list[Column] = [
        ("severity", "left", tables.text("severity")),
        ("rule", "left", tables.text("rule")),
        ("run", "left", _short),
        ("agent", "left", tables.text("agent")),
        ("began", "right", tables.ago("started_at")),
        ("wasted", "right", tables.usd("wasted_usd")),
        ("what happened", "wrap", tables.text("sentence")),
    ]
    tables.print_table(columns, answer["items"])
    tables.say_currency(answer)
    return OK


def cost(args: Namespace, settings: Settings) -> int:
    """Cost by group, and in total."""
    if args.compare:
        return _drivers(args, settings)
    reply = ask(settings, "/api/v1/costs", params_of(args, "group_by", *COST_FILTERS, *PERIOD, *PAGE))
    if args.json:
        print_json(reply)
        return OK
    answer = reply.json()
    keys = list(dict.fromkeys(key for key in (args.group_by or "").split(",") if key))
    total = {key: "total" if key == keys[0] else "" for key in keys} | answer["total"]
    columns: list[Column] = [
        *((key, "left", tables.text(key)) for key in keys),
        ("runs", "right", tables.count("runs")),
        ("calls", "right", lambda r: _failed(r["llm_calls"], r["llm_errors"])),
        ("tools", "right", tables.count("tool_calls")),
        ("tokens in / out", "right", tables.tokens),
        ("cost", "right", tables.cost),
        ("wasted", "right", tables.usd("wasted_usd")),
    ]
    tables.print_table(columns, [*(answer["items"] if keys else []), total])
    tables.say_currency(answer)
    return OK


def _drivers(args: Namespace, settings: Settings) -> int:
    """Costs beside those of the period before, and what explains the difference."""
    reply = ask(settings, "/api/v1/costs/drivers", params_of(args, "group_by", *COST_FILTERS, *PERIOD, "limit"))
    if args.json:
        print_json(reply)
        return OK
    answer = reply.json()
    keys = list(dict.fromkeys(key for key in (args.group_by or "").split(",") if key))
    parts = ("new", "gone", "volume", "mix", "price", "coverage")
    total = {key: "total" if key == keys[0] else "" for key in keys} | {"sentence": "", **answer["total"]}
    columns: list[Column] = [
        *((key, "left", tables.text(key)) for key in keys),
        ("before", "right", tables.usd("before_usd")),
        ("now", "right", tables.usd("cost_usd")),
        ("difference", "right", tables.usd("change_usd")),
        *((part, "right", tables.usd(f"{part}_usd")) for part in parts),
        ("what changed", "wrap", tables.text("sentence")),
    ]
    period, before = answer["period"], answer["before"]
    tables.say(f"{period['from_at']} to {period['to_at']} against the same length before, from {before['from_at']}.")
    tables.print_table(columns, [*(answer["items"] if keys else []), total])
    tables.say_currency(answer)
    return OK


def quality(args: Namespace, settings: Settings) -> int:
    """The ledger of what arrived."""
    reply = ask(settings, "/api/v1/quality", params_of(args, "from", "to"))
    if args.json:
        print_json(reply)
        return OK
    answer = reply.json()
    sums: dict[tuple[str, str | None, str | None, str | None], int] = {}
    for row in answer["items"]:
        place = (row["outcome"], row["reason"], row["tenant"], row["dialect"])
        sums[place] = sums.get(place, 0) + row["items"]
    names = ("outcome", "reason", "tenant", "dialect")
    rows: list[dict[str, Any]] = [dict(zip(names, place, strict=True)) | {"items": n} for place, n in sums.items()]
    if not rows:
        tables.say("Nothing arrived in this period.")
    else:
        columns: list[Column] = [(name, "left", tables.text(name)) for name in names]
        tables.print_table(
            [*columns, ("items", "right", tables.count("items"))], sorted(rows, key=lambda r: r["outcome"])
        )
    if answer["dropped_keys"]:
        names_of = ", ".join(f"{k['key']} ({k['values_dropped']})" for k in answer["dropped_keys"][:10])
        tables.say(f"\nAttributes whose values were not kept, most frequent first: {names_of}")
    tables.say_currency(answer)
    return OK


def _whole_id(source: Any, given: str) -> str:
    """The run id that `given` is, or is the one beginning of. Raises CommandError."""
    if source.get(f"/api/v1/runs/{given}").status == 200:
        return given
    found = checked(source.get("/api/v1/runs", {"q": given, "limit": 10})).json()["items"]
    ids = [r["run_id"] for r in found if r["run_id"].startswith(given.lower())]
    if not ids:
        raise CommandError(f"no run has the id {format.inert(given)}: `spanledger runs` lists them", NO)
    if len(ids) > 1:
        raise CommandError(f"{len(ids)} or more runs begin with {format.inert(given)}: give more digits", NO)
    return str(ids[0])


def _short(row: tables.Row) -> str:
    """So much of a run id as `show` needs; all of it where several runs share a trace."""
    run_id = str(row["run_id"])
    return run_id if "-" in run_id else run_id[:SHORT_ID]


def _failed(calls: int, errors: int) -> str:
    return f"{calls:,} ({errors} failed)" if errors else f"{calls:,}"


def _facts(run: dict[str, Any]) -> list[tuple[str, str]]:
    whom = (f"{label} {format.inert(run[key])}" for label, key in _WHOM if run[key])
    covered = f"{run['priced_calls']} priced, {run['unpriced_calls']} unpriced, {run['unknown_calls']} without usage"
    facts = [
        ("run", run["run_id"]),
        ("agent", format.inert(run["agent"] or run["name"])),
        ("status", format.inert(", ".join(filter(None, (run["status"], run["error_reason"]))))),
        ("of", ", ".join(whom)),
        ("started", f"{format.utc(run['started_at'])}, took {format.duration(run['duration_ms'])}"),
        ("model calls", f"{_failed(run['llm_calls'], run['llm_errors'])}: {covered}"),
        ("tool calls", f"{_failed(run['tool_calls'], run['tool_errors'])}, {run['tool_denied']} denied"),
        ("tokens", f"{run['input_tokens']:,} in ({run['cache_read_tokens']:,} cached), {run['output_tokens']:,} out"),
        ("cost", f"{format.usd(run['cost_usd'])}, wasted {format.usd(run['wasted_usd'])}"),
    ]
    if run["agents"]:
        facts.insert(2, ("sub-agents", format.inert(", ".join(run["agents"]))))
    if run["quarantined"]:
        facts.append(("quarantined", f"{run['quarantined']} spans are stored and shown, but in no total"))
    return facts


_WHOM = (
    ("tenant", "tenant"), ("user", "user"), ("session", "session"), ("service", "service"),
    ("environment", "environment"),
)  # fmt: skip
