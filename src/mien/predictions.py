"""Predictions: what one model says of which images, as arrays that can be saved, loaded and aligned.

Shapes: N images, K classes.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.confidence import FEWEST_IMAGES, fit_temperature, tempered, threshold_for
from mien.errors import InputError
from mien.files import write_whole


@dataclass(frozen=True, eq=False)
class Predictions:
    """One model's probabilities for one split.

    `in_train` and `in_val` mark images whose pixels also stand in that split, so that the leak-free score can be
    computed from this file alone.
    """

    split: str  # val, test, or pooled (both together)
    label_names: tuple[str, ...]
    names: npt.NDArray[np.str_]  # (N,)
    hashes: npt.NDArray[np.str_]  # (N,) identity of the pixels
    labels: npt.NDArray[np.int64]  # (N,) index into label_names
    probabilities: npt.NDArray[np.float32]  # (N, K), rows sum to 1
    in_train: npt.NDArray[np.bool_]  # (N,)
    in_val: npt.NDArray[np.bool_]  # (N,)

    def __post_init__(self) -> None:
        n, k = len(self.names), len(self.label_names)
        if self.probabilities.shape != (n, k):
            raise InputError(f"probabilities are {self.probabilities.shape}, expected ({n}, {k})")
        for key in ("hashes", "labels", "in_train", "in_val"):
            if getattr(self, key).shape != (n,):
                raise InputError(f"{key} has shape {getattr(self, key).shape}, expected ({n},)")
        probs_NK = self.probabilities
        self._refuse(np.asarray(~np.isfinite(probs_NK).all(axis=1)), "hold values that are not numbers")
        self._refuse(np.asarray((probs_NK < 0).any(axis=1)), "hold negative probabilities")
        self._refuse(np.asarray(np.abs(probs_NK.sum(axis=1) - 1) > 1e-3), "hold probabilities that do not sum to 1")

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
    def leak_free(self) -> npt.NDArray[np.bool_]:
        """`(N,)` images that training and selection never saw: for `test` not in train or val, otherwise not in train.

        The pooled test counts val in, as the study did, so only train can leak into it.
        """
        return ~(self.in_train | self.in_val) if self.split == "test" else ~self.in_train

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

    def keep(self, mask: npt.NDArray[np.bool_]) -> Predictions:
        """The images where `mask` (N,) is true."""
        rows = {f.name: getattr(self, f.name)[mask] for f in fields(self) if f.name not in ("split", "label_names")}
        return replace(self, **rows)

    def save(self, path: Path) -> None:
        """Write one compressed `.npz` (no pickle), whole or not at all."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{f.name: np.asarray(getattr(self, f.name)) for f in fields(self)})  # type: ignore[arg-type]
        write_whole(path, buffer.getbuffer())

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read what `save` wrote. Raises `InputError` when the file is missing or is something else."""
        if not path.is_file():
            raise InputError(f"{path}: no predictions there. Make them: mien evaluate RUN --data PATH")
        try:
            with np.load(path, allow_pickle=False) as stored:
                values: dict[str, Any] = {f.name: stored[f.name] for f in fields(cls)}
        except Exception as error:  # numpy, zipfile and zlib each raise their own on a damaged file
            raise InputError(f"{path}: not a predictions file ({error})") from error
        values["split"] = str(values["split"])
        values["label_names"] = tuple(str(name) for name in values["label_names"])
        return cls(**values)


def pool(first: Predictions, second: Predictions) -> Predictions:
    """Both sets of images as one split named `pooled` (the study's test set is val and test together)."""
    if first.label_names != second.label_names:
        raise InputError(f"cannot pool predictions over {first.label_names} and {second.label_names}")
    arrays = {
        f.name: np.concatenate([getattr(first, f.name), getattr(second, f.name)])
        for f in fields(Predictions)
        if f.name not in ("split", "label_names")
    }
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
