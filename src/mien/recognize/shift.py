"""Shift: whether faces are like those that a model's figures were measured on.

What is tested is what the network sees in a face beyond what it answers: its features, without the part that its own
answers predict. Other emotions in other shares than at the measurement move the answers and the features together and
leave that rest alone; blur, noise, darkness, covered or crooked faces move it. The mean of the rest over the faces at
hand is held against a reference by its squared distance (Hotelling 1931, with the reference's covariance), which is
chi-squared with `directions` degrees of freedom for faces like the reference's.

Shapes: N faces, D features, O outputs of all heads side by side, A columns made of those outputs, R directions.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mien import formats
from mien.errors import InputError

REFERENCE_KEY = "mien.reference"  # of the metadata of a model file, with the detector behind it
FEATURES = "features"  # the output of a model file that holds them
MOST = 200  # faces that a look is worth at most: more of them find no smaller shifts, which would not matter
FEWEST = 50  # faces of a look
_SMALLEST = 1e-3  # probability, before its logarithm

Floats = npt.NDArray[np.float64]
Floats32 = npt.NDArray[np.float32]


class Reference(BaseModel):
    """What faces of the measurement are like. JSON round trip; matrices are base64 of little-endian float32."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: int = formats.REFERENCE
    widths: tuple[int, ...] = Field(min_length=1)  # outputs of each head
    features: int = Field(gt=0)  # D
    directions: int = Field(gt=0)  # R
    of_features: str  # (D, R)
    of_answers: str  # (A, R)
    faces: int = Field(gt=0)  # that it was fitted on
    limit: float = Field(gt=0)  # of the distance, beyond which it is an alarm
    looked: int = Field(gt=0)  # draws of other faces of the same kind, of which …
    false_alarms: int = Field(ge=0)  # … so many were alarms
    drawn: int = Field(gt=0)  # faces of a draw
    data: str  # name of the source that the faces are of
    detector: Literal["default", "none"]  # how they were cut: anew, as the faces of photos are, or as they came

    @model_validator(mode="after")
    def _shapes(self) -> Reference:
        self.matrices()
        return self

    def matrices(self) -> tuple[Floats, Floats]:
        """`(D, R)` and `(A, R)`."""
        rows = (self.features, 1 + 2 * sum(self.widths))
        texts = (self.of_features, self.of_answers)
        return tuple(_matrix(text, (n, self.directions)) for text, n in zip(texts, rows, strict=True))  # type: ignore[return-value]

    @classmethod
    def parse(cls, text: str, source: str) -> Reference:
        """Raises `InputError`, which names `source`, for a text that is no reference."""
        try:
            found = cls.model_validate_json(text)
        except ValidationError as error:
            told = error.errors()[0]
            raise InputError(
                f"{source}: its reference for mien check is damaged ({told['msg']}). Write it anew: "
                "mien calibrate MODEL --reference --data PATH --to NEW.onnx"
            ) from error
        formats.check(found.format, formats.REFERENCE, source)
        return found

    def rest(self, features_ND: Floats32, said_NO: Floats32) -> Floats:
        """`(N, R)`: what is seen beyond the answers; of the reference's own faces with mean 0 and variance 1."""
        of_features, of_answers = self.matrices()
        answers_NA = answers_of(said_NO, self.widths)
        return np.asarray(features_ND.astype(np.float64) @ of_features - answers_NA @ of_answers)

    def look(self, mean_R: Floats, n: int) -> Shift:
        """What the mean of `rest` over `n` faces says. Raises `InputError` for fewer than `FEWEST` faces."""
        if n < FEWEST:
            raise InputError(
                f"faces found: {n}, expected at least {FEWEST}: fewer do not tell whether they are like those that the "
                "model was measured on. Name more pictures together"
            )
        chance = 1 / min(n, MOST) + 1 / self.faces
        return Shift(n, float((mean_R**2).sum() / chance), self.limit)


@dataclass(frozen=True)
class Shift:
    """One look at `n` faces. `distance` from the reference, in units of chance; it is an alarm beyond `limit`."""

    n: int
    distance: float
    limit: float

    @property
    def alarm(self) -> bool:
        return self.distance > self.limit

    def __str__(self) -> str:
        how = f"distance {self.distance:.0f}, limit {self.limit:.0f}"
        if self.alarm:
            return (
                f"{self.n:,} faces are unlike those that the model was measured on ({how}). Its accuracy, its "
                "confidence and the share of wrong answers that it promises are not known to hold for them"
            )
        return f"{self.n:,} faces: no sign that they are unlike those that the model was measured on ({how})"


def reference_key(detector: str) -> str:
    """Where the reference for faces that this detector cut stands in the metadata of a model file."""
    return f"{REFERENCE_KEY}.{detector}"


def answers_of(said_NO: Floats32, widths: Sequence[int]) -> Floats:
    """`(N, A)`: a column of ones, the centered log-probabilities of each head, and the probabilities."""
    said = np.asarray(said_NO, dtype=np.float64)
    logs = np.log(np.maximum(said, _SMALLEST))
    ends = list(accumulate(widths, initial=0))
    centered = [logs[:, a:b] - logs[:, a:b].mean(axis=1, keepdims=True) for a, b in pairwise(ends)]
    return np.concatenate([np.ones((len(said), 1)), *centered, said], axis=1)


def text_of(matrix: Floats) -> str:
    """A matrix as a `Reference` holds it."""
    return base64.b64encode(np.ascontiguousarray(matrix, dtype="<f4").tobytes()).decode("ascii")


@lru_cache(maxsize=8)  # two of a reference, which every picture that is watched asks for
def _matrix(text: str, shape: tuple[int, int]) -> Floats:
    content = base64.b64decode(text, validate=True)  # binascii.Error is a ValueError, which pydantic tells
    if len(content) != 4 * shape[0] * shape[1]:
        raise ValueError(f"a matrix of {len(content):,} bytes, expected {shape[0]} × {shape[1]} numbers of 4")
    found = np.frombuffer(content, dtype="<f4").reshape(shape).astype(np.float64)
    if not np.isfinite(found).all():
        raise ValueError("a matrix with values that are no finite numbers")
    found.flags.writeable = False  # shared by all who ask
    return found
