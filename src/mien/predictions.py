"""Predictions: what one model says of which images, as arrays that can be saved, loaded and aligned.

Shapes: N images, K classes.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mien import formats
from mien.arrays import load_arrays
from mien.confidence import FEWEST_IMAGES, fit_temperature, set_thresholds, tempered, threshold_for
from mien.errors import InputError, first_line
from mien.files import write_whole

Truth = Literal["labels", "people"]  # the labels of the data, or what people see: the votes of taggers


@dataclass(frozen=True, eq=False)
class People:
    """What a model's second head says of the same images, and the votes that it is held against, where they are known.

    Its answers begin with those of the first head, in their order.
    """

    label_names: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]  # (N, P), rows sum to 1
    votes: npt.NDArray[np.int64]  # (N, P) counts; zeros where there are none

    def keep(self, mask: npt.NDArray[Any]) -> People:
        return replace(self, probabilities=self.probabilities[mask], votes=self.votes[mask])


@dataclass(frozen=True, eq=False)
class Predictions:
    """One model's probabilities for one split.

    `in_train` and `in_val` mark images whose pixels also stand in that split, so that the leak-free score can be
    computed from this file alone.
    """

    split: str  # val, test, pooled (both together), train, or all
    label_names: tuple[str, ...]
    names: npt.NDArray[np.str_]  # (N,)
    hashes: npt.NDArray[np.str_]  # (N,) identity of the pixels
    labels: npt.NDArray[np.int64]  # (N,) index into label_names
    probabilities: npt.NDArray[np.float32]  # (N, K), rows sum to 1
    in_train: npt.NDArray[np.bool_]  # (N,)
    in_val: npt.NDArray[np.bool_]  # (N,)
    people: People | None = None  # of a model with two heads

    def __post_init__(self) -> None:
        n, k = len(self.names), len(self.label_names)
        if self.probabilities.shape != (n, k):
            raise InputError(f"probabilities are {self.probabilities.shape}, expected ({n}, {k})")
        for key in ("hashes", "labels", "in_train", "in_val"):
            if getattr(self, key).shape != (n,):
                raise InputError(f"{key} has shape {getattr(self, key).shape}, expected ({n},)")
        if self.people is not None:
            k = len(self.people.label_names)
            if self.people.probabilities.shape != (n, k) or self.people.votes.shape != (n, k):
                raise InputError(
                    f"people's probabilities are {self.people.probabilities.shape} and votes {self.people.votes.shape}"
                    f", expected ({n}, {k})"
                )
        if self.people is not None and n:
            self._check_people(self.people)
        probs_NK = self.probabilities
        self._refuse(np.asarray(~np.isfinite(probs_NK).all(axis=1)), "contain values that are not numbers")
        self._refuse(np.asarray((probs_NK < 0).any(axis=1)), "contain negative probabilities")
        self._refuse(np.asarray(np.abs(probs_NK.sum(axis=1) - 1) > 1e-3), "contain probabilities that do not sum to 1")

    def _check_people(self, people: People) -> None:
        said = people.probabilities
        if not np.isfinite(said).all() or (said < 0).any() or (np.abs(said.sum(axis=1) - 1) > 1e-3).any():
            raise InputError("people's probabilities are no numbers of 0 to 1 that sum to 1")
        if (people.votes < 0).any():
            raise InputError("people's votes are negative")

    def _refuse(self, wrong_N: npt.NDArray[np.bool_], what: str) -> None:
        if wrong_N.any():
            i = int(wrong_N.argmax())
            values = ", ".join(f"{value:.3g}" for value in self.probabilities[i])
            raise InputError(
                f"predictions for '{self.split}' {what}: {self.names[i]} has {values}, the first of "
                f"{int(wrong_N.sum())} such images. Make them again: mien evaluate RUN --data PATH"
            )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """`(N,)` index of the most probable class."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    @property
    def fingerprint(self) -> str:
        """Of the images with their labels and split: that of the `FaceSet` that they were computed on."""
        return fingerprint_of(np.full(len(self), self.split), np.array(self.label_names)[self.labels], self.hashes)

    @property
    def leak_free(self) -> npt.NDArray[np.bool_]:
        """`(N,)` images that were never seen: of `test` and `all` those not in train or val, else those not in train.

        The pooled test counts val in, as the study did, so only train can leak into it.
        """
        return ~(self.in_train | self.in_val) if self.split in ("test", "all") else ~self.in_train

    def tempered(self, temperature: float) -> Predictions:
        """What a model answers whose card holds this temperature: the same order of classes, other confidence."""
        if temperature == 1:
            return self
        return replace(self, probabilities=tempered(self.probabilities, temperature).astype(np.float32))

    def fitted_temperature(self) -> float:
        """The temperature that suits the leak-free images best; 1 where they are fewer than 100."""
        given = self.keep(self.leak_free)
        return fit_temperature(given.labels, given.probabilities) if len(given) >= FEWEST_IMAGES else 1.0

    def threshold_for(self, risk: float) -> float:
        """The confidence from which answers keep `risk`, by the leak-free images: `confidence.threshold_for`."""
        given = self.keep(self.leak_free)
        return threshold_for(risk, given.probabilities.max(axis=1, initial=0), given.predicted == given.labels)

    @property
    def label_shares(self) -> npt.NDArray[np.float64]:
        """`(N, K)` 1 for the label of each image, else 0."""
        return np.asarray(np.eye(len(self.label_names))[self.labels])

    @property
    def vote_shares(self) -> npt.NDArray[np.float64]:
        """`(N, P)` shares of the votes for each answer of the people's head; zeros where there are no votes."""
        assert self.people is not None
        votes = self.people.votes
        return np.asarray(votes / np.maximum(votes.sum(axis=1, keepdims=True), 1))

    def set_thresholds(self, level: float, shares_NK: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """`(K,)` from which labels lie in a set, by the leak-free images: `confidence.set_thresholds`."""
        return set_thresholds(level, self.probabilities[self.leak_free], shares_NK[self.leak_free])

    def answers(self, truth: Truth) -> Predictions:
        """What one head says of all images, still beside the labels of the data. Raises `InputError` without it."""
        if truth == "labels":
            return replace(self, people=None)
        if self.people is None:
            raise InputError(f"predictions for '{self.split}' are of a model with one head, of labels")
        return replace(
            self, label_names=self.people.label_names, probabilities=self.people.probabilities, people=self.people
        )

    def by_votes(self) -> Predictions:
        """What the people's head says of images with votes; labels are the most frequent vote (the first of equals)."""
        said = self.answers("people")
        assert said.people is not None
        found = replace(said, labels=said.people.votes.argmax(axis=1), people=None)
        return found.keep(said.people.votes.sum(axis=1) > 0)

    def each_vote(self) -> Predictions:
        """What the people's head says beside each single vote: an image stands in as many rows as it has votes."""
        said = self.answers("people")
        assert said.people is not None
        image, answer = np.nonzero(said.people.votes)
        times = said.people.votes[image, answer]
        rows = np.repeat(image, times)
        return replace(replace(said, people=None).keep(rows), labels=np.repeat(answer, times))

    def with_votes(self, votes: npt.NDArray[np.int64]) -> Predictions:
        """With the votes `(N, P)` of taggers beside the people's head, where there is one."""
        return self if self.people is None else replace(self, people=replace(self.people, votes=votes))

    def keep(self, mask: npt.NDArray[Any]) -> Predictions:
        """The images where `mask` (N,) is true, or at these places."""
        rows = {key: getattr(self, key)[mask] for key in _ROWS}
        return replace(self, **rows, people=None if self.people is None else self.people.keep(mask))

    def save(self, path: Path) -> None:
        """Write one compressed `.npz` (no pickle), whole or not at all."""
        values = {"split": np.asarray(self.split), "label_names": np.asarray(self.label_names)}
        values["format"] = np.asarray(formats.PREDICTIONS)
        values |= {key: getattr(self, key) for key in _ROWS}
        if self.people is not None:
            values |= {_PEOPLE + f.name: np.asarray(getattr(self.people, f.name)) for f in fields(People)}
            values[f"{_PEOPLE}votes"] = self.people.votes.astype(np.uint16)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **values)  # type: ignore[arg-type]
        write_whole(path, buffer.getbuffer())

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read what `save` wrote. Raises `InputError` when the file is missing or is something else."""
        if not path.is_file():
            raise InputError(f"{path}: no predictions there. Make them: mien evaluate RUN --data PATH")
        try:
            stored = load_arrays(path)
            formats.check(int(stored["format"]) if "format" in stored else None, formats.PREDICTIONS, path)
            _check_kinds(stored)
            values: dict[str, Any] = {key: stored[key] for key in ("split", "label_names", *_ROWS)}
            values["split"] = str(values["split"])
            values["label_names"] = tuple(str(name) for name in values["label_names"])
            values["labels"] = values["labels"].astype(np.int64)
            values["probabilities"] = values["probabilities"].astype(np.float32)
            if _PEOPLE + "votes" in stored:
                values["people"] = People(
                    label_names=tuple(str(name) for name in stored[_PEOPLE + "label_names"]),
                    probabilities=stored[_PEOPLE + "probabilities"].astype(np.float32),
                    votes=stored[_PEOPLE + "votes"].astype(np.int64),
                )
            found = cls(**values)
            outside = np.flatnonzero((found.labels < 0) | (found.labels >= len(found.label_names)))
            if len(outside):
                name, label = found.names[outside[0]], found.labels[outside[0]]
                raise InputError(f"{name} has label {label}, expected 0 to {len(found.label_names) - 1}")
            return found
        except InputError as error:
            told = str(error)
            raise InputError(told if told.startswith(str(path)) else f"{path}: {told}") from error
        except Exception as error:  # numpy, zipfile and zlib each raise their own on a damaged file
            why = f"no {error}" if isinstance(error, KeyError) else first_line(error)
            raise InputError(
                f"{path}: not a predictions file ({why}). Make it again: mien evaluate RUN --data PATH"
            ) from error


_ROWS = ("names", "hashes", "labels", "probabilities", "in_train", "in_val")  # one for each image
_KINDS = {  # of what is kept: kinds of numpy's types, and axes
    "split": ("U", 0), "label_names": ("U", 1), "names": ("U", 1), "hashes": ("U", 1), "labels": ("iu", 1),
    "probabilities": ("f", 2), "in_train": ("b", 1), "in_val": ("b", 1), "people_label_names": ("U", 1),
    "people_probabilities": ("f", 2), "people_votes": ("iu", 2),
}  # fmt: skip
_PEOPLE = "people_"  # before the names of what is kept of the second head


def _check_kinds(stored: Mapping[str, npt.NDArray[Any]]) -> None:
    """`ValueError` for arrays of another kind than is kept."""
    for key, (kinds, axes) in _KINDS.items():
        array = stored.get(key)
        if array is not None and (array.dtype.kind not in kinds or array.ndim != axes):
            raise ValueError(f"{key} is an array of {array.dtype} with {array.ndim} axes")


def fingerprint_of(splits: npt.NDArray[np.str_], labels: npt.NDArray[np.str_], hashes: npt.NDArray[np.str_]) -> str:
    """32 hex digits over all (split, label, pixels), whatever the container, the names or the order."""
    lines = sorted(f"{s}\t{n}\t{h}" for s, n, h in zip(splits, labels, hashes, strict=True))
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()


def pool(first: Predictions, second: Predictions) -> Predictions:
    """Both sets of images as one split named `pooled` (the study's test set is val and test together)."""
    if first.label_names != second.label_names:
        raise InputError(f"cannot pool predictions over {first.label_names} and {second.label_names}")
    arrays: dict[str, Any] = {key: np.concatenate([getattr(first, key), getattr(second, key)]) for key in _ROWS}
    if first.people is not None and second.people is not None:
        both = (first.people, second.people)
        arrays["people"] = People(
            first.people.label_names,
            np.concatenate([one.probabilities for one in both]),
            np.concatenate([one.votes for one in both]),
        )
    return Predictions(split="pooled", label_names=first.label_names, **arrays)


def check_same_images(first: Predictions, second: Predictions) -> None:
    """Raise `InputError`, naming the first difference, unless both speak of the same images in the same order."""
    if first.label_names != second.label_names:
        what = "label orders" if set(first.label_names) == set(second.label_names) else "label sets"
        raise InputError(f"different {what}: {', '.join(first.label_names)} and {', '.join(second.label_names)}")
    if first.split != second.split:
        raise InputError(f"different splits: {first.split} and {second.split}")
    if len(first) != len(second):
        raise InputError(f"different images: {len(first)} and {len(second)} of them{_first_missing(first, second)}")
    differs = (first.hashes != second.hashes) | (first.labels != second.labels)
    if differs.any():
        i = int(differs.argmax())
        what = "pixels" if first.hashes[i] != second.hashes[i] else "labels"
        if what == "pixels" and np.array_equal(np.sort(first.hashes), np.sort(second.hashes)):
            what = "orders of the same images, first"
        raise InputError(f"different {what} at image {i}: {first.names[i]} and {second.names[i]}")


def _first_missing(first: Predictions, second: Predictions) -> str:
    for one, other, which in ((first, second, "second"), (second, first, "first")):
        missing_N = ~np.isin(one.hashes, other.hashes)
        if missing_N.any():
            return f"; {one.names[missing_N.argmax()]} is missing in the {which}"
    return ""  # the same pixels, some of them more than once
