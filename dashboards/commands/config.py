"""`config init` writes commented examples, `config check` reads everything as a start would."""

import sys
from argparse import Namespace
from dataclasses import fields
from importlib import resources
from importlib.resources.abc import Traversable

from collector.identity import require_keys_off_loopback
from collector.settings import FILE_NAME, Settings
from dashboards.commands.asking import OK


def config(args: Namespace, settings: Settings) -> int:
    """Write the examples, or check what is there. Raises ConfigError."""
    return _init(settings) if args.action == "init" else _check(settings)


def _init(settings: Settings) -> int:
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, text in _examples().items():
        path = settings.data / name
        if path.exists():
            sys.stdout.write(f"kept   {path}\n")
            continue
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote  {path}\n")
    return OK


def _check(settings: Settings) -> int:
    from dashboards import rules  # noqa: PLC0415 - Polars and the price list

    require_keys_off_loopback(settings.host, settings)
    ruled = rules.load(settings.data)
    book = rules.price_book(settings.data)
    sys.stdout.write(
        f"{settings.data}: valid. Prices of {book.version}; SLOs: {', '.join(s.name for s in ruled.slos) or 'none'}; "
        f"alert targets: {', '.join(t.name for t in ruled.alerts.targets) or 'none'}.\n"
    )
    return OK


def _examples() -> dict[str, str]:
    """Every file that people write, by its place in the data folder."""
    data = resources.files("analytics").joinpath("data")
    examples = {FILE_NAME: _settings_example()}
    examples["prices.toml"] = data.joinpath("prices.example.toml").read_text()
    examples["alerts.toml"] = data.joinpath("alerts.toml").read_text()
    slos: list[Traversable] = [f for f in data.joinpath("slos").iterdir() if f.name.endswith(".yaml")]
    return examples | {f"slos/{f.name}": f.read_text() for f in sorted(slos, key=lambda f: f.name)}


def _settings_example() -> str:
    lines = ["# Settings of spanledger. A flag beats SPANLEDGER_<NAME> in the environment beats this file.", ""]
    for field in fields(Settings):
        if field.metadata["secret"] or field.name == "data":
            continue
        value = field.default
        shown = str(value) if isinstance(value, int) else "[]" if isinstance(value, tuple) else f'"{value}"'
        lines += [f"# {field.metadata['help']}", f"# {field.name} = {shown}", ""]
    return "\n".join(lines)
