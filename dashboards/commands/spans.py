"""`spans`: how many, which, or those of one run. Light: with a server running only the standard library is loaded."""

import sys
from argparse import Namespace

from collector.settings import Settings
from dashboards.commands.asking import OK, ask, checked, print_json, print_pieces, whoever_answers


def spans(args: Namespace, settings: Settings) -> int:
    """Print a count, ids, or the spans of a run."""
    if args.count:
        with whoever_answers(settings, current=False) as source:
            reply = checked(source.get("/api/v1/spans/count"))
        if args.json:
            print_json(reply)
        else:
            sys.stdout.write(f"{reply.json()['count']}\n")
    elif args.ids:
        with whoever_answers(settings, current=False) as source:
            print_pieces(source.stream("/api/v1/spans/ids"))
    else:
        reply = ask(settings, f"/api/v1/runs/{args.run}/spans", {"limit": args.limit, "cursor": args.cursor})
        if args.json:
            print_json(reply)
        else:
            from dashboards.commands.tables import print_waterfall  # noqa: PLC0415 - loads rich

            print_waterfall(reply.json())
    return OK
