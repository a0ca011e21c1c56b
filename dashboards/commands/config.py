"""`config init` writes commented examples, `config check` reads everything as a start would."""

import sys
from argparse import Namespace
from dataclasses import fields
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from collector.identity import require_keys_off_loopback
from collector.settings import FILE_NAME, Settings
from dashboards.commands.asking import OK


def config(args: Namespace, settings: Settings) -> int:
    """Write the examples, or check what is there. Raises ConfigError."""
    if args.action == "check":
        return _check(settings)
    for what, path in write_examples(settings.data):
        sys.stdout.write(f"{what:6} {path}\n")
    return OK


def write_examples(data: Path, prefix: str = "") -> list[tuple[str, Path]]:
    """Write the examples whose place begins with `prefix`; for each `wrote` or, where a file is already, `kept`."""
    done = []
    for name, text in _examples().items():
        path = data / name
        if not name.startswith(prefix):
            continue
        if path.exists():
            done.append(("kept", path))
            continue
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        done.append(("wrote", path))
    return done


def _check(settings: Settings) -> int:
    from dashboards import rules  # noqa: PLC0415 - Polars and the price list

    require_keys_off_loopback(settings.host, settings)
    ruled = rules.load(settings.data)
    book, _ = rules.price_book(settings.data), rules.report_plans(settings.data)
    tables = rules.dialect_tables(settings.data)
    sys.stdout.write(
        f"{settings.data}: valid. Prices of {book.version}; SLOs: {', '.join(s.name for s in ruled.slos) or 'none'}; "
        f"alert targets: {', '.join(t.name for t in ruled.alerts.targets) or 'none'}; "
        f"own dialect tables: {', '.join(tables.own) or 'none'}.\n"
    )
    return OK


def _examples() -> dict[str, str]:
    """Every file that people write, by its place in the data folder."""
    data = resources.files("analytics").joinpath("data")
    examples = {FILE_NAME: _settings_example()}
    examples["prices.toml"] = data.joinpath("prices.example.toml").read_text()
    examples["owners.toml"] = data.joinpath("owners.example.toml").read_text()
    examples["maintenance.toml"] = data.joinpath("maintenance.example.toml").read_text()
    examples["tenants.toml"] = data.joinpath("tenants.example.toml").read_text()
    examples["reports.toml"] = data.joinpath("reports.example.toml").read_text()
    examples["alerts.toml"] = data.joinpath("alerts.toml").read_text()
    examples["dialects/example.toml"] = resources.files("collector").joinpath("dialects/example.toml").read_text()
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
