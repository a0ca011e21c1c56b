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
_UNSPECIFIC = frozenset(_TABLE["unspecific"])
_FORMS = [(provider, re.compile(form)) for provider, form in _TABLE["forms"].items()]

MEANT = frozenset(_TABLE["names"].values())
"""Providers that emitters write in several ways."""


def canonical(name: str, ids: Mapping[str, str]) -> tuple[str, Kind]:
    """The provider that an emitter's name means, and where it stands. `ids`: those of the list by `plain` form."""
    for word in _words(name):
        for kind, names in (("listed", ids), *_KINDS):
            if word in names:
                return names[word], kind
    return plain(name), "unknown"


def unspecific(name: str) -> bool:
    """Whether a name only looks as if it said something about the provider, such as `openai-compatible`."""
    return not _UNSPECIFIC.isdisjoint(_words(name))


def provider_by_form(model: str) -> str | None:
    """The one provider that names models in this form, such as Amazon Bedrock's `us.anthropic.claude-...`."""
    return next((provider for provider, form in _FORMS if form.match(model.lower())), None)


def plain(name: str) -> str:
    """Lower case, with hyphens for underscores and blanks."""
    return re.sub(r"[\s_]+", "-", name.strip().lower())


def split_model(model: str) -> tuple[str, str]:
    """Prefix and rest of a model name that may name its provider: `openai/gpt-4o`, `openai:gpt-4o`; else ("", "")."""
    prefix, *rest = re.split("[/:]", model, maxsplit=1)
    return (prefix, rest[0]) if rest else ("", "")


def _words(name: str) -> tuple[str, str]:
    text = plain(name)
    return text, re.split("[./:]", text)[0]
