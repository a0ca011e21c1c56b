"""Files to write on a schedule, from `reports.toml`."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEYS = ("name", "folder", "preset", "group_by", "focus", "every", "format", "keep")


class PlanFileError(ValueError):
    """A file of plans cannot be used; the text names the file, the entry, the key and the remedy."""


@dataclass(frozen=True)
class Plan:
    """A file to write for every `every` (day or month, UTC) that has ended: `name`-2026-10.csv and so on in `folder`.

    `group_by` is empty for a FOCUS file; `keep` is how many periods back are written if they are missing.
    """

    name: str
    folder: Path
    group_by: tuple[str, ...] = ()
    every: str = "month"
    form: str = "csv"
    is_focus: bool = False
    keep: int = 3


def load_plans(
    path: Path, presets: dict[str, tuple[str, ...]], keys: tuple[str, ...], forms: tuple[str, ...]
) -> list[Plan]:
    """The plans of a file, none if there is no file. Relative folders are beside it. Raises PlanFileError."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except OSError as e:
        raise PlanFileError(f"{path}: cannot be read ({e.strerror}): check the path and its permissions") from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise PlanFileError(f"{path}: not TOML ({e}): correct that place") from e
    tables = document.get("report", [])
    if set(document) - {"report"} or not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise PlanFileError(f"{path}: write [[report]] entries, with two brackets, and nothing else")
    plans = [
        _plan(f"{path}: [[report]] entry {number}", table, path.parent, presets, keys, forms)
        for number, table in enumerate(tables, start=1)
    ]
    if len({(plan.folder, plan.name) for plan in plans}) < len(plans):
        raise PlanFileError(f"{path}: two reports of one name would write the same files: name them apart")
    return plans


def _plan(
    place: str,
    table: dict[str, Any],
    beside: Path,
    presets: dict[str, tuple[str, ...]],
    keys: tuple[str, ...],
    forms: tuple[str, ...],
) -> Plan:
    def require(key: str, good: bool, remedy: str) -> None:
        if not good:
            raise PlanFileError(f"{place}: {key}: {remedy}")

    unknown = min(set(table) - set(KEYS), default="")
    require(unknown, not unknown, f"not known here: the keys are {', '.join(KEYS)}")
    name, folder, focus = table.get("name"), table.get("folder"), table.get("focus", False)
    preset, group_by, keep = table.get("preset"), table.get("group_by"), table.get("keep", 3)
    every, form = table.get("every", "month"), table.get("format", "csv")
    plain = isinstance(name, str) and re.fullmatch(r"[\w-]{1,100}", name, re.ASCII) is not None
    require("name", plain, "letters, digits and hyphens, for it begins the file's name")
    require("folder", isinstance(folder, str) and bool(folder), "where the files go, as a text")
    require("focus", isinstance(focus, bool), "true or false")
    require(
        "preset", sum((preset is not None, group_by is not None, focus)) == 1, "one of preset, group_by, focus = true"
    )
    require("preset", preset is None or preset in presets, f"one of {', '.join(presets)}")
    grouped = group_by is None or (
        isinstance(group_by, list) and bool(group_by) and set(map(str, group_by)) <= set(keys)
    )
    require("group_by", grouped, f"a list of {', '.join(keys)}")
    require("every", every in ("day", "month"), '"day" or "month"')
    require("format", form in forms, f"one of {', '.join(forms)}")
    require("keep", isinstance(keep, int) and not isinstance(keep, bool) and 1 <= keep <= 400, "a number from 1 to 400")
    grouping = tuple(dict.fromkeys(group_by)) if group_by else presets.get(preset or "", ())
    return Plan(str(name), beside / str(folder), grouping, every, form, focus, keep)
