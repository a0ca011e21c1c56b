"""Files of dialect tables: read, and told apart into those of a dialect and those that hold for all."""

import hashlib
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

SECTIONS = frozenset(
    (
        "dialect", "title", "rank", "extends", "recognise", "kind", "fields", "values", "names", "constants", "usage",
        "redacted",
    )
)  # fmt: skip
SHARED = frozenset(("kept", "clues", "reasons"))


class TableError(ValueError):
    """A dialect table says something that cannot be meant; the message names file, key, value and remedy."""


@dataclass
class File:
    """One file. parents: the dialects that it extends. below: the built-in file of its dialect that it adds to."""

    path: Path
    data: dict[str, Any]
    parents: list[str] = field(default_factory=list)
    below: "File | None" = None

    @property
    def layers(self) -> list["File"]:
        """The file, then the one that it adds to."""
        return [self, self.below] if self.below else [self]

    def fail(self, key: str, value: object, remedy: str) -> NoReturn:
        """Raise TableError for the value of a key."""
        raise TableError(f"{self.path}: {key} = {value!r}: {remedy}")

    def table(self, key: str) -> dict[str, Any]:
        """A section, empty if it is not there."""
        value = self.data.get(key, {})
        return value if isinstance(value, dict) else self.fail(key, value, f"give a table, under [{key}]")

    def rules(self) -> list[dict[str, Any]]:
        """The rules that tell a kind."""
        value = self.data.get("kind", [])
        if not isinstance(value, list) or not all(isinstance(rule, dict) for rule in value):
            self.fail("kind", value, "give each rule under [[kind]], with two brackets")
        return value

    def texts(self, key: str, value: object) -> list[str]:
        """A text, or a list of texts."""
        items: Iterable[object] = value if isinstance(value, list) else [value]
        texts = [v for v in items if isinstance(v, str)]
        if len(texts) != len(list(items)):
            self.fail(key, value, "give a list of texts")
        return texts

    def check_keys(self, known: frozenset[str], remedy: str) -> None:
        """Refuse a section that is none."""
        for key in sorted(self.data.keys() - known):
            self.fail(key, self.data[key], f"{remedy} {', '.join(sorted(known))}")


def read_folders(folders: Iterable[Path]) -> tuple[dict[str, File], list[File], str]:
    """The files of the dialects by name, those that hold for all dialects, and a version of the whole.

    A file of a later folder takes the place of the one of the same dialect, or adds to it if it extends the dialect
    itself. A folder that is not there holds nothing. Raises TableError.
    """
    files: dict[str, File] = {}
    shared: list[File] = []
    digest = hashlib.blake2b(digest_size=6)
    for path in (path for folder in folders for path in sorted(folder.glob("*.toml"))):
        try:
            text = path.read_bytes()
            file = File(path, tomllib.loads(text.decode()))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
            remedy = "correct the file or remove it from the folder of dialect tables"
            raise TableError(f"{path}: {e}: {remedy}") from e
        if file.data:  # an example that says nothing yet changes nothing
            digest.update(text)
        if "dialect" in file.data:
            _add(file, files)
        else:
            file.check_keys(SHARED, 'name the dialect, dialect = "...", or use')
            shared.append(file)
    for parent, file in ((p, f) for f in files.values() for p in f.parents if p not in files):
        file.fail("extends", parent, f"no such dialect; known: {', '.join(sorted(files))}")
    return files, shared, digest.hexdigest()


def _add(file: File, files: dict[str, File]) -> None:
    """Take in the file of a dialect, over one of an earlier folder."""
    name = file.data["dialect"]
    if not isinstance(name, str) or not name:
        file.fail("dialect", name, "give the dialect a name")
    file.check_keys(SECTIONS, "unknown section; use one of")
    earlier = files.get(name)
    if earlier and earlier.path.parent == file.path.parent:
        file.fail("dialect", name, f"{earlier.path.name} tells of it already: join the two files")
    file.parents = file.texts("extends", file.data.get("extends", []))
    if name in file.parents:
        file.below = earlier or file.fail("extends", name, "no built-in dialect has this name: leave it out")
        file.parents = [p for p in file.parents if p != name] + file.below.parents
    files[name] = file
