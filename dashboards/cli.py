"""The command line. Exit codes: 0 done, 1 the answer is no, 2 asked wrongly, 3 nothing could be reached or opened."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from collector.errors import ConfigError, StoreError
from collector.settings import Settings
from dashboards.commands.asking import OK, UNREACHABLE, USAGE, CommandError

INTERRUPTED = 130

Option = tuple[tuple[str, ...], dict[str, object]]


def _text(name: str, about: str) -> Option:
    return (name,), {"help": about}


PERIOD: tuple[Option, ...] = (
    (("--from",), {"metavar": "TIME", "help": "from then on: a day, an RFC 3339 time, or an age such as 24h or 7d"}),
    (("--to",), {"metavar": "TIME", "help": "before then; a day is included"}),
)
ZONE: Option = (("--tz",), {"metavar": "ZONE", "help": "time zone of days, such as Europe/Berlin (default: UTC)"})
JSON: Option = (("--json",), {"action": "store_true", "help": "print the answer as one JSON document"})
CURSOR: Option = _text("--cursor", "continue after an earlier page (its next_cursor)")


def _limit(default: int) -> Option:
    return ("--limit",), {"type": int, "default": default, "metavar": "N", "help": "most items (default: %(default)s)"}


def _filters(*names: str) -> tuple[Option, ...]:
    return tuple(_text(f"--{name.replace('_', '-')}", f"only this {name.replace('_', ' ')}") for name in names)


WHOSE = _filters("tenant", "agent", "user", "session", "environment", "service")
PORTS: tuple[Option, ...] = (
    _text("--host", "address of all listeners (default: 127.0.0.1)"),
    _text("--http-port", "port of OTLP/HTTP (default: 4318); 0 picks a free one"),
    _text("--grpc-port", "port of OTLP/gRPC (default: 4317); 0 picks a free one"),
    _text("--port", "port of pages, API and /metrics (default: 8080); 0 picks a free one"),
)

# name, module:function in dashboards.commands, what it does, options
COMMANDS: tuple[tuple[str, str, str, tuple[Option, ...]], ...] = (
    ("serve", "serving:serve", "run the server", PORTS),
    (
        "demo",
        "serving:demo",
        "run the server on a store of its own while sample agents send to it",
        (*PORTS, (("--once",), {"action": "store_true", "help": "play the samples once, then only serve"})),
    ),
    (
        "import",
        "files:import_files",
        "read OTLP files in (protobuf, JSON, the Collector's file exporter; gzip or not)",
        ((("files",), {"nargs": "+", "metavar": "FILE"}), JSON),
    ),
    (
        "runs",
        "looking:runs",
        "list runs, newest first",
        (
            *WHOSE,
            (("--status",), {"action": "append", "help": "only this status; may be repeated"}),
            *_filters("model", "tool"),
            _text("--rule", "only runs with a finding of this rule, or `any`"),
            _text("--min-cost", "only runs that cost at least this many USD"),
            _text("-q", "only runs whose id begins so, or whose name contains this"),
            *PERIOD,
            ZONE,
            _limit(50),
            CURSOR,
            JSON,
        ),
    ),
    (
        "show",
        "looking:show",
        "show one run: what it did, step by step, what it cost, what went wrong",
        ((("run_id",), {"metavar": "RUN_ID", "help": "its id, or the beginning of it"}), _limit(1000), JSON),
    ),
    (
        "spans",
        "spans:spans",
        "the spans of a run; or how many are stored, or which",
        (
            (("--run",), {"metavar": "RUN_ID", "help": "the spans of this run"}),
            (("--count",), {"action": "store_true", "help": "the number of rows that every answer is built from"}),
            (("--ids",), {"action": "store_true", "help": "the span id of each such row, one a line"}),
            _limit(1000),
            CURSOR,
            JSON,
        ),
    ),
    (
        "findings",
        "looking:findings",
        "list what went wrong, newest first",
        (*_filters("rule", "severity", "tenant", "agent", "run"), *PERIOD, ZONE, _limit(50), CURSOR, JSON),
    ),
    (
        "slo",
        "reliability:slo",
        "error budgets: what burns, how much is left and for how long",
        (*_filters("tenant"), JSON),
    ),
    (
        "alerts",
        "reliability:alerts",
        "what fires and who was told; or `test TARGET`: whether a target takes alerts",
        (
            (("act",), {"nargs": "?", "choices": ("test",), "metavar": "test"}),
            (("target",), {"nargs": "?", "metavar": "TARGET", "help": "the name of a target of alerts.toml"}),
            _text("--state", "only pending, firing or resolved ones"),
            *_filters("tenant"),
            JSON,
        ),
    ),
    (
        "cost",
        "looking:cost",
        "what calls cost, by any grouping",
        (
            _text("--group-by", "group keys, separated by commas, such as tenant,model,day"),
            (("--compare",), {"action": "store_true", "help": "with the period before, and why they differ"}),
            *WHOSE,
            *_filters("agent_version", "service_version", "owner", "dialect", "provider", "model"),
            *_filters("tool_server", "tool", "run", "step"),
            *PERIOD,
            ZONE,
            _limit(1000),
            CURSOR,
            JSON,
        ),
    ),
    (
        "prices",
        "money:prices",
        "the price book; or the models that it has no price for",
        (
            *_filters("provider", "model", "source"),
            (("--unpriced",), {"action": "store_true", "help": "models without a cost instead, with their volume"}),
            *PERIOD,
            _limit(1000),
            CURSOR,
            JSON,
        ),
    ),
    (
        "reprice",
        "money:reprice",
        "price stored calls again with the book in force, or take that back",
        (
            *PERIOD,
            *_filters("model"),
            (("--dry-run",), {"action": "store_true", "help": "only show what would change"}),
            (("--undo",), {"type": int, "metavar": "N", "help": "take repricing N back"}),
            (("--list",), {"action": "store_true", "help": "what was repriced when, and by whom"}),
            JSON,
        ),
    ),
    (
        "remap",
        "remap:remap",
        "read stored spans again with the dialect tables in force, or take that back",
        (
            *PERIOD,
            (("--dry-run",), {"action": "store_true", "help": "only show what would change"}),
            (("--undo",), {"type": int, "metavar": "N", "help": "take remap N back"}),
            (("--list",), {"action": "store_true", "help": "what was remapped when, and by whom"}),
            JSON,
        ),
    ),
    (
        "reconcile",
        "money:reconcile",
        "compare a usage or cost export of OpenAI or Anthropic with what was recorded",
        ((("file",), {"metavar": "FILE", "help": "CSV or JSON, as the provider gives it"}), JSON),
    ),
    (
        "report",
        "money:report",
        "costs by any grouping, or FOCUS rows, as a file",
        (
            _text("--group-by", "group keys, separated by commas, such as tenant,model,day"),
            (("--preset",), {"choices": ("month-end", "chargeback", "daily"), "help": "a grouping by name"}),
            (("--focus",), {"action": "store_true", "help": "FOCUS cost and usage rows instead"}),
            (("--unpriced",), {"action": "store_true", "help": "with --focus: the volume that has no cost instead"}),
            *_filters("tenant"),
            *PERIOD,
            ZONE,
            (("--format",), {"choices": ("csv", "parquet", "json", "jsonl"), "default": "csv"}),
            (("--out",), {"metavar": "FILE", "help": "write here (default: standard output)"}),
        ),
    ),
    (
        "close",
        "money:close",
        "freeze a month's totals; later changes become corrections",
        (
            (("month",), {"nargs": "?", "metavar": "MONTH", "help": "such as 2026-10; without it the closed months"}),
            _text("--group-by", "show a closed month by these keys, such as tenant,owner"),
            JSON,
        ),
    ),
    ("quality", "looking:quality", "what became of everything that arrived", (*PERIOD, JSON)),
    ("health", "health:health", "say whether the server accepts and stores", (JSON,)),
    ("doctor", "doctor:doctor", "look for what commonly goes wrong", (JSON,)),
    (
        "config",
        "config:config",
        "write commented example files, or check those that are there",
        ((("action",), {"choices": ("init", "check")}),),
    ),
    (
        "sql",
        "sql:sql",
        "ask in SQL, read only; or copy the store for other DuckDB versions",
        (
            (("query",), {"nargs": "?", "metavar": "QUERY", "help": "one statement (default: from standard input)"}),
            (("--snapshot",), {"metavar": "FILE", "help": "write a copy of the store to this new file instead"}),
            _limit(1000),
            JSON,
        ),
    ),
)


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = argparse.ArgumentParser(
        prog="spanledger", description="What agent runs did, what they cost, and how complete these numbers are."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, _, about, options in COMMANDS:
        command = commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
        command.add_argument("--data", metavar="DIR", help="the data folder (default: ./spanledger-data)")
        exclusive = command.add_mutually_exclusive_group(required=True) if name == "spans" else None
        for flags, settings in options:
            group = exclusive if exclusive and flags[0] in ("--run", "--count", "--ids") else command
            group.add_argument(*flags, **settings)  # type: ignore[arg-type]
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    args = parser().parse_args(argv)
    place = next(place for name, place, _, _ in COMMANDS if name == args.command)
    module, function = place.split(":")
    try:
        flags = {name: getattr(args, name, None) for name in ("data", "host", "http_port", "grpc_port", "port")}
        settings = Settings.load(flags, os.environ)
        command = getattr(importlib.import_module(f"dashboards.commands.{module}"), function)
        return int(command(args, settings))
    except ConfigError as e:
        return _fail(str(e), USAGE)
    except StoreError as e:
        return _fail(str(e), UNREACHABLE)
    except CommandError as e:
        return _fail(str(e), e.code)
    except BrokenPipeError:  # the reader of our output had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        return INTERRUPTED


def _fail(text: str, code: int) -> int:
    sys.stderr.write(f"spanledger: {text}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
