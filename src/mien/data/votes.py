"""Votes: what several taggers said of each face (FER+, Barsoum et al. 2016), by the name of its picture.

Shapes: N faces, K classes of a label set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unicodedata import normalize

import numpy as np
import numpy.typing as npt

from mien.data.csv_rows import rows
from mien.data.faceset import FaceSet
from mien.data.ferplus import answers, check_protocol
from mien.errors import InputError, printable, shortened
from mien.labels import FERPLUS8, LabelSet, canonical
from mien.predictions import Predictions

_NO_EMOTION = ("unknown", "nf")  # the taggers' other answers: no face, or cannot tell
_NAME, _ROW_NAME, _USAGE = "path", "image name", "usage"
_DIGITS = 4  # of a count of votes


@dataclass(frozen=True, eq=False)
class Votes:
    """Counts of votes per picture. `columns` are emotions, then the answers that name none."""

    source: str  # file name, without the path to it
    columns: tuple[str, ...]
    counts: Mapping[str, npt.NDArray[np.int64]]  # name of the picture → (columns,)

    @classmethod
    def open(cls, path: str | Path) -> Votes:
        """Read a CSV with the column `path`, as the face set names its pictures, and one column of counts per answer.

        FER+'s own file has `Image name` instead, and its rows stand in the order of fer2013.csv.

        Raises `InputError` for other files, unknown emotions, and counts that are none.
        """
        place = Path(path)
        if not place.exists():
            raise InputError(f"{path}: no such file of votes. Name FER+'s fer2013new.csv or one like it")
        found = rows(place)
        header = next(found, (0, []))[1]
        names = [name.lower() for name in header]
        by_row = _ROW_NAME in names and _NAME not in names
        key = _ROW_NAME if by_row else _NAME
        columns = [name for name in header if name.lower() not in (key, _USAGE)]
        if key not in names or not columns or not all(map(_is_answer, columns)) or len(set(names)) < len(names):
            raise InputError(
                f"{path}: expected the columns path, {', '.join(FERPLUS8.labels)}, unknown, NF (FER+ itself: "
                f"Usage and Image name for path); found: {shortened(', '.join(header), 300) or 'none'}"
            )
        columns.sort(key=lambda name: name.lower() in _NO_EMOTION)
        places = [header.index(name) for name in columns]
        counts: dict[str, npt.NDArray[np.int64]] = {}
        for number, (line, row) in enumerate(found):
            name = row[names.index(key)] if names.index(key) < len(row) else ""
            votes = _counts(place, line, row, places)
            if by_row:
                usage = row[names.index(_USAGE)] if _USAGE in names else ""
                counts[f"{usage}_{number + 2}"] = votes  # as fer2013.csv, whose header is line 1, names its faces
            if name:
                counts[normalize("NFC", printable(name))] = votes
        return cls(place.name, tuple(columns), counts)

    def table(self, names: Sequence[str] | npt.NDArray[np.str_]) -> npt.NDArray[np.int64]:
        """`(N, columns)` counts of the named pictures; zeros where there are none.

        Raises `InputError` when not one of them is known, which is another data set's file.
        """
        none = np.zeros(len(self.columns), dtype=np.int64)
        found = np.array([self._of(str(name), none) for name in names]).reshape(len(names), len(self.columns))
        if len(names) and not found.any():
            raise InputError(
                f"{self.source}: has votes on none of the {len(names)} faces. It names pictures like "
                f"{next(iter(self.counts), 'none')}, the faces are named like {names[0]}"
            )
        return found

    def _of(self, name: str, none: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """By the whole name, or by that of the file alone, which FER+ gives."""
        key = normalize("NFC", name)
        return self.counts.get(key, self.counts.get(key.rpartition("/")[2], none))

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

    `protocol`: majority or argmax; see `mien.data.ferplus`.
    """
    check_protocol(protocol)
    indices, kept = answers(votes.table(faces.names), votes.columns, protocol)
    return replace(faces.keep(kept), label_set=FERPLUS8, labels=indices[kept])


def _is_answer(name: str) -> bool:
    return name.lower() in _NO_EMOTION or canonical(name, FERPLUS8) is not None


def _counts(path: Path, line: int, row: Sequence[str], places: Sequence[int]) -> npt.NDArray[np.int64]:
    told = [row[place] if place < len(row) else "" for place in places]
    if not all(text.isascii() and text.isdigit() and len(text) <= _DIGITS for text in told):
        strange = next(text for text in told if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS))
        if strange.startswith("-"):
            raise InputError(f"{path}, line {line}: has a negative number of votes ({shortened(strange, 40)})")
        raise InputError(
            f"{path}, line {line}: expected a whole number of votes in each column, up to {10**_DIGITS - 1:,}; "
            f"got {shortened(repr(strange), 40)}"
        )
    return np.array([int(text) for text in told], dtype=np.int64)
