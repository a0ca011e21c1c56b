"""What emitters call providers, and what the price list calls them (`data/providers.toml`)."""

import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any, Literal

Kind = Literal["listed", "elsewhere", "unknown"]
"""`listed`: in the price list. `elsewhere`: surely not in it. `unknown`: the model has to tell."""

_TABLE: dict[str, Any] = tomllib.loads(
    resources.files("analytics").joinpath("data/providers.toml").read_text(encoding="utf-8")
)
_KINDS: tuple[tuple[Kind, dict[str, str]], ...] = (
    ("listed", _TABLE["names"]),
    ("elsewhere", {name: name for name in _TABLE["elsewhere"]}),
)

UNSPECIFIC = frozenset(_TABLE["unspecific"])


def canonical(name: str, ids: Mapping[str, str]) -> tuple[str, Kind]:
    """The provider that an emitter's name means, and where it stands. `ids`: those of the list by `plain` form."""
    text = plain(name)
    for word in (text, re.split("[./:]", text)[0]):
        for kind, names in (("listed", ids), *_KINDS):
            if word in names:
                return names[word], kind
    return text, "unknown"


def plain(name: str) -> str:
    """Lower case, with hyphens for underscores and blanks."""
    return re.sub(r"[\s_]+", "-", name.strip().lower())


def split_model(model: str) -> tuple[str, str]:
    """Prefix and rest of a model name that may name its provider: `openai/gpt-4o`, `openai:gpt-4o`; else ("", "")."""
    prefix, separator, rest = re.sub("[/:]", "\0", model, count=1).partition("\0")
    return (prefix, rest) if separator else ("", "")
