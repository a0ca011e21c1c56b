"""What emitters are known to leave out: read from `data/emitter_gaps.toml`, found by what arrived. Pure."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from collector.dialects.tables import glob


@dataclass(frozen=True)
class Gap:
    """Something that an emitter never tells, or tells wrongly. `kind`: of the spans that it concerns. `refuted_by`: the
    count (a column of queries/emitters.sql) that shows an emitter without this gap. `counted_as`: the defect that tells
    the same by counting. Both are empty where there is none."""

    emitter: str
    scopes: tuple[re.Pattern[str], ...]
    versions: tuple[re.Pattern[str], ...]
    kind: str
    missing: str
    consequence: str
    refuted_by: str
    counted_as: str

    @property
    def sentence(self) -> str:
        """What it means for the numbers."""
        return f"Known to leave out {self.missing}: {self.consequence}."

    def shows(self, scope: str, version: str | None, counts: Mapping[str, int]) -> bool:
        """Whether an emitter has this gap, by its scope, version and counts."""
        here = any(pattern.fullmatch(scope) for pattern in self.scopes)
        return here and any(p.fullmatch(version or "") for p in self.versions) and not counts.get(self.refuted_by)


@cache
def known_gaps() -> tuple[Gap, ...]:
    """All of the file, in its order."""
    text = resources.files("analytics").joinpath("data/emitter_gaps.toml").read_text(encoding="utf-8")
    return tuple(_gaps(tomllib.loads(text)))


def _gaps(data: Mapping[str, list[dict[str, str]]]) -> Iterator[Gap]:
    for entry in data["gap"]:
        patterns = {name: tuple(map(glob, entry.get(name, ["*"]))) for name in ("scopes", "versions")}
        yield Gap(**{"refuted_by": "", "counted_as": ""} | entry | patterns)  # type: ignore[arg-type]
