"""Scrub the little free text that remains: names and kept attributes of secrets, error messages of all but known words.

Rules are data; they run on distinct values only. Each hit is counted under the rule's name, never with the value.
"""

import re
from collections import Counter
from dataclasses import dataclass
from importlib import resources

MAX_NAME = 200
MAX_WORDS = 12


@dataclass(frozen=True)
class Rule:
    """Replace what `pattern` matches by `replacement`; hits are counted under `name`."""

    name: str
    pattern: re.Pattern[str]
    replacement: str


def _rule(name: str, pattern: str, replacement: str = "") -> Rule:
    return Rule(name, re.compile(pattern, re.IGNORECASE), replacement or f"[{name}]")


# Secrets by their well-known shapes, then personal data.
SECRETS: tuple[Rule, ...] = (
    _rule("private_key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"),
    _rule("authorization", r"\b(?:authorization|proxy-authorization)\b\s*[:=]\s*\S+(?:\s+\S+)?"),
    _rule("cookie", r"\b(?:set-)?cookie\b\s*[:=]\s*[^\n]+"),
    _rule("bearer", r"\b(?:bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"),
    _rule("jwt", r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?"),
    _rule(
        "api_key",
        r"\b(?:sk|pk|rk|xox[abprs]|gh[opsur]|github_pat|glpat|AIza|hf|npm|dop_v1|shpat)[-_][A-Za-z0-9_-]{10,}",
    ),
    _rule("api_key", r"\bAIza[A-Za-z0-9_-]{20,}"),
    _rule("aws_key", r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}"),
    _rule(
        "credential",
        r"\b(?:api[-_]?key|secret|passw(?:or)?d|pwd|token|access[-_]?key)\b[\"']?\s*[:=]\s*[\"']?[^\s\"',;}]{4,}",
    ),
    _rule("url_credential", r"\b[a-z][a-z0-9+.-]*://[^\s/@:]+:[^\s/@]+@"),
    _rule("email", r"\b[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}\b"),
    _rule("card", r"\b(?:\d[ -]?){15,16}\b"),
)

# Error messages like to echo their input, so only these words of them are kept, in order: enough to tell what kind
# of failure it was, never what was said.
ERROR_WORDS = frozenset(resources.files("collector").joinpath("error_words.txt").read_text().split())
_WORD = re.compile(r"[A-Za-z]+")

# Cheap gate: text without any of these cannot match a secret rule.
_SUSPICIOUS = re.compile(
    r"[@:=]|-----|[-_][A-Za-z0-9_-]{10}|AIza|AKIA|ASIA|eyJ|bearer|basic|(?:\d[ -]?){15}", re.IGNORECASE
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def name(text: str, hits: Counter[str]) -> str:
    """A span, tool or agent name, or another short label: secrets and control characters gone, at most MAX_NAME."""
    return _apply(SECRETS, _CONTROL.sub("\ufffd", text), hits)[:MAX_NAME]


def error_words(text: str) -> str | None:
    """What an error message says in words of ERROR_WORDS, at most MAX_WORDS; None if in none of them."""
    words = [w for w in _WORD.findall(text[:2000].lower()) if w in ERROR_WORDS]
    return " · ".join(dict.fromkeys(words[:MAX_WORDS])) or None


def _apply(rules: tuple[Rule, ...], text: str, hits: Counter[str]) -> str:
    if not _SUSPICIOUS.search(text):
        return text
    for rule in rules:
        text, count = rule.pattern.subn(rule.replacement, text)
        if count:
            hits[rule.name] += count
    return text
