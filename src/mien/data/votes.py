"""Votes: what several taggers said of each face (FER+, Barsoum et al. 2016), by the name of its picture.

Shapes: N faces, K classes of a label set.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from mien.data.faceset import FaceSet
from mien.errors import InputError, unknown_name
from mien.labels import FERPLUS8, LabelSet, canonical
from mien.predictions import Predictions

Protocol = Literal["majority", "argmax"]
_NO_EMOTION = ("unknown", "nf")  # the taggers' other answers: no face, or cannot tell
_NAME = "path"


@dataclass(frozen=True, eq=False)
class Votes:
    """Counts of votes per picture. `columns` are emotions, then the answers that name none."""

    source: str  # file name, without the path to it
    columns: tuple[str, ...]
    counts: Mapping[str, npt.NDArray[np.int64]]  # name of the picture → (columns,)

    @classmethod
    def open(cls, path: str | Path) -> Votes:
        """Read a CSV with the column `path`, as the face set names its pictures, and one column of counts per answer.

        Raises `InputError` for other files, unknown emotions, and counts that are none.
        """
        place = Path(path)
        header, rows = _read(place)
        columns = [name for name in header if name.lower() not in (_NAME, "usage")]
        unknown = [name for name in columns if not _is_answer(name)]
        if _NAME not in header or unknown or not columns:
            raise InputError(
                f"{path}: expected the columns path, {', '.join(FERPLUS8.labels)}, unknown, NF; "
                f"found: {', '.join(header) or 'none'}"
            )
        columns.sort(key=lambda name: name.lower() in _NO_EMOTION)
        counts = {row[_NAME]: _counts(place, line, row, columns) for line, row in enumerate(rows, start=2)}
        return cls(place.name, tuple(columns), counts)

    def table(self, names: Sequence[str] | npt.NDArray[np.str_]) -> npt.NDArray[np.int64]:
        """`(N, columns)` counts of the named pictures; zeros where there are none.

        Raises `InputError` when not one of them is known, which is another data set's file.
        """
        none = np.zeros(len(self.columns), dtype=np.int64)
        found = np.array([self.counts.get(str(name), none) for name in names]).reshape(len(names), len(self.columns))
        if len(names) and not found.any():
            raise InputError(
                f"{self.source}: has votes on none of the {len(names)} faces. It names pictures like "
                f"{next(iter(self.counts), 'none')}, the faces are named like {names[0]}"
            )
        return found

    def for_labels(self, names: Sequence[str] | npt.NDArray[np.str_], label_set: LabelSet) -> npt.NDArray[np.int64]:
        """`(N, K)` counts of the votes for each label, under whatever name; votes for other answers are left out."""
        table = self.table(names)
        counts = np.zeros((len(table), len(label_set)), dtype=np.int64)
        for column, name in enumerate(self.columns):
            label = canonical(name, label_set)
            if label is not None:
                counts[:, label_set.labels.index(label)] += table[:, column]
        return counts

    def shares(self, names: Sequence[str] | npt.NDArray[np.str_], label_set: LabelSet) -> npt.NDArray[np.float32]:
        """`(N, K)` share of the votes for each label, among votes for any label; rows without such votes are NaN."""
        counts = self.for_labels(names, label_set).astype(np.float32)
        total = counts.sum(axis=1, keepdims=True)
        nothing = np.full_like(counts, np.nan)
        return np.asarray(np.divide(counts, total, out=nothing, where=total > 0))


def beside(predictions: Predictions, votes: Votes | None) -> Predictions:
    """The predictions of a model with two heads beside the votes for what its second head answers with."""
    if votes is None or predictions.people is None:
        return predictions
    label_set = LabelSet("people", predictions.people.label_names)
    return predictions.with_votes(votes.for_labels(predictions.names, label_set))


def relabeled(faces: FaceSet, votes: Votes, protocol: str) -> FaceSet:
    """The faces with the eight labels of FER+ in place of their own; without those that the protocol gives no label.

    `majority` drops single votes, then asks for more than half of those that are left; `argmax` takes the most frequent
    answer, the first of equals. Either way faces that come out as unknown or as no face are left out.
    Source: Barsoum et al. 2016, section 3, and the code that goes with it.
    """
    if protocol not in get_args(Protocol):
        raise unknown_name("protocol", protocol, get_args(Protocol), see="mien train --help")
    table = votes.table(faces.names)
    if protocol == "majority":
        table = np.where(table > 1, table, 0)
    top = table.argmax(axis=1)
    most, total = table.max(axis=1), table.sum(axis=1)
    indices = np.array([_ferplus_index(name) for name in votes.columns])[top]
    kept = (total > 0) & (indices >= 0) & ((2 * most > total) | (protocol == "argmax"))
    return replace(faces.keep(kept), label_set=FERPLUS8, labels=indices[kept])


def _ferplus_index(column: str) -> int:
    label = canonical(column, FERPLUS8)
    return FERPLUS8.labels.index(label) if label else -1


def _is_answer(name: str) -> bool:
    return name.lower() in _NO_EMOTION or canonical(name, FERPLUS8) is not None


def _read(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            return [name.strip() for name in reader.fieldnames or []], list(reader)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file of votes. Name FER+'s fer2013new.csv or one like it") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as CSV ({error})") from error


def _counts(path: Path, line: int, row: Mapping[str, str], columns: Sequence[str]) -> npt.NDArray[np.int64]:
    try:
        counts = np.array([int(row[name]) for name in columns], dtype=np.int64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}, line {line}: expected a whole number of votes in each column ({error})") from error
    if (counts < 0).any():
        raise InputError(f"{path}, line {line}: has a negative number of votes")
    return counts
