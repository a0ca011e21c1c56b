"""What goes wrong in runs: one module a rule, listed in `DETECTORS`. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from analytics.detectors import loop


@dataclass(frozen=True)
class Detector:
    """A rule and the function that finds it.

    `run` takes the priced calls of whole runs (see `analytics.calls`) and gives one row a finding: `run`, `agent`,
    `severity` (high: certain, and costly or harmful; medium: certain; low: suspicion), `evidence` (full, partial),
    `subject`, `occurrences`, `rows` and `span_ids` (evidence, in order of time), `wasted` (positions of calls in the
    frame that were for nothing), `wasted_pusd`, `started_ns`, `ended_ns`, `sentence`, `action`.
    """

    rule: str
    run: Callable[[pl.DataFrame], pl.DataFrame]


DETECTORS: tuple[Detector, ...] = (Detector("loop", loop.find),)
