"""Summary: what each face of a video showed, for how long, and its course in time, in memory that time does not fill.

Times are in seconds of the video. A look stands for the time up to the next one, so that shares are shares of time
also where the rate of frames varies. Shapes: K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.recognize.rows import Row

BINS = 600  # of a course at most: as many as a picture can show
COURSES = 100  # faces at most, the longest seen, whose course is kept
_BIN_S = 0.1  # width of a bin at first

_KEPT = ("face_id", "first_s", "last_s", "seconds", "changes", "unsure_s", "weighed")  # of a face, in a state

Floats = npt.NDArray[np.float64]


@dataclass
class FaceSummary:
    """What one face showed. `seconds` by shown emotion; they sum to `seen_s`."""

    face_id: int
    first_s: float
    last_s: float  # up to which it was seen
    seconds: dict[str, float]
    changes: int = 0  # of the shown emotion
    unsure_s: float = 0.0
    course: dict[int, Floats] = field(default_factory=dict, repr=False)  # bin → (2, K)
    weighed: dict[str, float] = field(default_factory=dict, repr=False)  # emotion → its probability times seconds

    @property
    def seen_s(self) -> float:
        return sum(self.seconds.values())

    @property
    def shares(self) -> dict[str, float]:
        """Share of the time it was seen, by emotion, 0–1; they sum to 1."""
        whole = self.seen_s
        return {label: seconds / whole if whole else 0.0 for label, seconds in self.seconds.items()}

    @property
    def means(self) -> dict[str, float]:
        """Mean probability of each emotion over the time it was seen; they sum to 1."""
        whole = self.seen_s
        return {label: self.weighed.get(label, 0.0) / whole if whole else 0.0 for label in self.seconds}

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without the course."""
        return {
            "face_id": self.face_id,
            "first_s": round(self.first_s, 3),
            "last_s": round(self.last_s, 3),
            "seen_s": round(self.seen_s, 3),
            "shares": {label: round(share, 4) for label, share in self.shares.items()},
            "unsure_s": round(self.unsure_s, 3),
            "changes": self.changes,
        }


class Summary:
    """Takes up look after look.

    A course is kept in bins of equal width, which doubles whenever there would be more than `BINS`; the sums in two
    neighbors are then added, which loses nothing but detail in time. So memory grows with the number of faces alone.
    """

    def __init__(self, labels: Sequence[str], *, step_s: float = 0.04) -> None:
        """`step_s`: what a look stands for where there is only one."""
        self.labels = tuple(labels)
        self.bin_s = _BIN_S
        self.looks = 0
        self.end_s = 0.0
        self.without_face_s = 0.0
        self._step_s = step_s
        self._before: tuple[Row, ...] = ()
        self._before_s = 0.0
        self._faces: dict[int, FaceSummary] = {}
        self._shown: dict[int, str] = {}

    @property
    def faces(self) -> list[FaceSummary]:
        """In order of appearance."""
        return list(self._faces.values())

    def add(self, rows: Sequence[Row], time_s: float) -> None:
        """The faces of a looked-at frame at `time_s`, which is later than that of the one before."""
        if self.looks:
            self._step_s = time_s - self._before_s
            self._count(time_s)
        for row in rows:
            emotion = row.face.emotion
            face = self._faces.get(row.face_id)
            if face is None:
                face = FaceSummary(row.face_id, time_s, time_s, dict.fromkeys(self.labels, 0.0))
                self._faces[row.face_id] = face
            elif self._shown[row.face_id] != emotion:
                face.changes += 1
            self._shown[row.face_id] = emotion
        self.looks += 1
        self._before, self._before_s = tuple(rows), time_s

    def end(self, end_s: float | None = None) -> None:
        """The last look stands up to `end_s`, at least a moment; else for as long as the one before it. Call it once.

        Nothing may be added after it.
        """
        if self.looks:
            last = self._before_s + self._step_s
            self._count(last if end_s is None or end_s <= self._before_s else end_s)
        self._before = ()

    def state(self) -> dict[str, Any]:
        """All of it but the courses, for JSON, once it has ended: `Summary.of` gives the same figures."""
        return {
            "labels": self.labels,
            "looks": self.looks,
            "end_s": self.end_s,
            "without_face_s": self.without_face_s,
            "faces": [{name: getattr(face, name) for name in _KEPT} for face in self.faces],
        }

    @classmethod
    def of(cls, state: dict[str, Any]) -> Summary:
        """What `state` gave, read back. Raises `KeyError`, `TypeError` or `ValueError` for anything else."""
        found = cls(state["labels"])
        found.looks, found.end_s, found.without_face_s = state["looks"], state["end_s"], state["without_face_s"]
        for told in state["faces"]:
            face = FaceSummary(**{name: told[name] for name in _KEPT})
            found._faces[face.face_id] = face
        return found

    def _count(self, until_s: float) -> None:
        seconds = until_s - self._before_s
        self.without_face_s += 0.0 if self._before else seconds
        for row in self._before:
            face = self._faces[row.face_id]
            face.seconds[row.face.emotion] += seconds
            for label, p in row.face.probabilities.items():
                face.weighed[label] = face.weighed.get(label, 0.0) + seconds * p
            face.unsure_s += seconds if row.face.unsure else 0.0
            face.last_s = until_s
            self._draw(face, row, until_s)
        self.end_s = until_s
        if len(self._faces) > 2 * COURSES:
            self._forget()

    def _draw(self, face: FaceSummary, row: Row, until_s: float) -> None:
        """Add to the course: seconds by shown emotion, and seconds times probability by emotion."""
        while until_s > self.bin_s * BINS:
            self._widen()
        values = np.zeros((2, len(self.labels)))
        values[0, self.labels.index(row.face.emotion)] = 1.0
        values[1] = [row.face.probabilities[label] for label in self.labels]
        at = self._before_s
        while at < until_s - 1e-9:
            place = int(at / self.bin_s + 1e-9)
            to = min((place + 1) * self.bin_s, until_s)
            course = face.course.setdefault(place, np.zeros_like(values))
            course += values * (to - at)
            at = to

    def _widen(self) -> None:
        self.bin_s *= 2
        for face in self._faces.values():
            wide: dict[int, Floats] = {}
            for place, values in face.course.items():
                wide[place // 2] = wide.get(place // 2, 0.0) + values
            face.course = wide

    def _forget(self) -> None:
        """Keep the courses of the longest seen faces alone, and of those in view."""
        here = {row.face_id for row in self._before}
        drawn = sorted((face for face in self.faces if face.course), key=lambda face: -face.seen_s)
        for face in drawn[COURSES:]:
            if face.face_id not in here:
                face.course = {}
