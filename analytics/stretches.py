"""Half-open stretches of whole numbers, such as minutes, nanoseconds or batches: pure."""

from collections.abc import Sequence

Stretch = tuple[int, int]


def without(begin: int, end: int, holes: Sequence[Stretch]) -> list[Stretch]:
    """[begin, end) without the holes, which are sorted, apart and inside of it."""
    edges = [begin, *(edge for hole in holes for edge in hole), end]
    return [(first, last) for first, last in zip(edges[::2], edges[1::2], strict=True) if first < last]


def within(column: str, stretches: Sequence[Stretch]) -> str:
    """SQL that holds where the column lies in one of them."""
    return " OR ".join(f"({column} >= {first} AND {column} < {last})" for first, last in stretches) or "false"
