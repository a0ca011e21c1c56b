"""Trees as arrays: for each row the row above it, -1 for none. Pure."""

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def nearest(above: Rows, wanted: Mask) -> Rows:
    """For each row the nearest row above it that is wanted. `above` has no cycles.

    Pointer jumping: every round doubles the way gone, so deep traces need few rounds.
    """
    found = above.copy()
    while len(going := np.flatnonzero((found >= 0) & ~wanted[found])):
        found[going] = found[found[going]]
    return found


def topmost(above: Rows) -> Rows:
    """For each row the last row on its way up: itself where nothing is above. `above` has no cycles."""
    top = np.where(above < 0, np.arange(len(above)), above)
    while not np.array_equal(further := top[top], top):
        top = further
    return top


def acyclic(parent: Rows) -> Rows:
    """The same parents without cycles: the earliest span of each cycle loses its parent."""
    rounds = len(parent).bit_length() + 1
    jump = parent.copy()
    for _ in range(rounds):
        going = np.flatnonzero(jump >= 0)
        if not len(going):
            return parent
        jump[going] = jump[jump[going]]
    circling = np.unique(jump[jump >= 0])
    first, ahead = np.arange(len(parent)), parent.copy()
    for _ in range(rounds):
        first[circling] = np.minimum(first[circling], first[ahead[circling]])
        ahead[circling] = ahead[ahead[circling]]
    cut = parent.copy()
    cut[circling[first[circling] == circling]] = -1
    return cut
