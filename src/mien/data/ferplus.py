"""FER+: what votes make of a face, by the protocols of Barsoum et al. 2016. Shapes: N faces, K answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from mien.errors import unknown_name
from mien.labels import FERPLUS8, canonical

Protocol = Literal["majority", "argmax"]


def check_protocol(name: str) -> None:
    """Raise `InputError` for what is no protocol."""
    if name not in get_args(Protocol):
        raise unknown_name("protocol", name, get_args(Protocol), see="mien train --help")


def answers(
    votes_NK: npt.NDArray[np.int64], columns: Sequence[str], protocol: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """`(N,)` place among FER+'s eight labels, and `(N,)` whether the protocol gives a label at all.

    `majority` drops single votes, then asks for more than half of those that are left; `argmax` takes the most frequent
    answer, the first of equals. Either way faces that come out as unknown or as no face get none.
    Source: Barsoum et al. 2016, section 3, and the code that goes with it.
    """
    check_protocol(protocol)
    if protocol == "majority":
        votes_NK = np.where(votes_NK > 1, votes_NK, 0)
    top_N = votes_NK.argmax(axis=1)
    most_N, total_N = votes_NK.max(axis=1), votes_NK.sum(axis=1)
    indices_N = np.array([_index(name) for name in columns])[top_N]
    return indices_N, (total_N > 0) & (indices_N >= 0) & ((2 * most_N > total_N) | (protocol == "argmax"))


def _index(column: str) -> int:
    label = canonical(column, FERPLUS8)
    return FERPLUS8.labels.index(label) if label else -1
