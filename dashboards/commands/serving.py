"""`serve` and `demo`."""

import logging
import sys
import tempfile
import threading
from argparse import Namespace
from dataclasses import replace
from importlib import resources
from pathlib import Path

from collector.settings import Settings
from dashboards.client import Server
from dashboards.commands import alerting, config
from dashboards.commands.asking import OK

log = logging.getLogger(__name__)


def serve(args: Namespace, settings: Settings) -> int:
    """Run the server until it is told to stop."""
    from dashboards import serve as server  # noqa: PLC0415 - uvicorn

    server.run(settings)
    return OK


def demo(args: Namespace, settings: Settings) -> int:
    """Run a server on a store of its own while the sample agents send to it."""
    if args.data is not None:
        return _demo(settings, args)
    with tempfile.TemporaryDirectory(prefix="spanledger-demo-") as folder:
        return _demo(replace(settings, data=Path(folder)), args)


def _demo(settings: Settings, args: Namespace) -> int:
    from dashboards import serve as server  # noqa: PLC0415 - uvicorn

    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    prices = settings.data / "prices.toml"
    if not prices.exists():  # frozen, so that the costs that the samples name hold
        prices.write_text(resources.files("sample_traces").joinpath("prices.toml").read_text())
    config.write_examples(settings.data, "slos/")
    if not settings.port:  # alerts come back to the pages' port: it must be known before
        settings = replace(settings, port=alerting.free_port())
    done, receiver = threading.Event(), alerting.Receiver(settings.data, settings.port)

    def ready(addresses: Server) -> None:
        receiver.start()
        sys.stdout.write(
            f"The pages are at {addresses.pages}\n"
            f"The sample agents are sending to {addresses.otlp_http}; an agent burns its budget and one loops.\n"
            f"{receiver.where}: see {addresses.pages}/alerts within a minute.\n"
            f"Ask from another terminal: spanledger runs --data {settings.data}\n"
            "Ctrl-C stops.\n"
        )
        sys.stdout.flush()
        threading.Thread(target=_play, args=(addresses.otlp_http, None if args.once else done), daemon=True).start()

    try:
        server.run(replace(settings, log_level="warning"), ready)
    finally:
        done.set()
        receiver.stop()
    return OK


def _play(url: str, live_until: threading.Event | None) -> None:
    from sample_traces import play  # noqa: PLC0415 - the OpenTelemetry SDK, which only the demo needs

    try:
        play.play(url, live_until=live_until)
    except Exception:  # its own thread: the server must go on
        log.exception("the sample agents stopped")
