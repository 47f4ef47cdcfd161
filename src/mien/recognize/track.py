"""Tracker: who is who from frame to frame, and each face's emotion steadied over time.

Faces are paired with those of the frames before by place and size, with the least total cost (Kuhn 1955, "The Hungarian
method"), as SORT does (Bewley et al. 2016, arXiv:1602.00763). Places are compared by the distance of the middles,
not by overlap: a face that moves by its own width between two looks overlaps with nothing and is still the nearest.
Shapes: T tracks, F faces, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mien.confidence import is_unsure
from mien.errors import InputError
from mien.recognize.faces import Face

SMOOTH_S = 0.4  # macro-expressions last 0.5 to 4 s (Ekman 2003, "Emotions Revealed"), so what is shorter is noise
LOST_S = 1.0  # a turn of the head or a hand before the face is over by then, and few other people stand there yet
_LEAD = 0.15  # probability by which another emotion must lead to be shown at once
_HOLD_S = 0.5  # or seconds for which it must lead at all
_REACH, _SPEED, _FARTHEST = 0.6, 2.0, 2.0  # face widths that a face can be away: at once, more per second, at most
_LOST_COST = 0.5  # face widths per second of not being seen: of two tracks at one place, the one seen last goes on
_GROWTH = 1.8  # largest ratio of the sizes of one face in two looks
_VELOCITY_S = 0.25  # time constant of a face's velocity
_COAST_S = 0.5  # seconds for which a lost face is thought to go on as it moved

Floats = npt.NDArray[np.float64]


@dataclass
class _Track:
    face_id: int
    middle: Floats  # (2,) pixels
    side: float  # pixels, geometric mean of width and height
    seen_s: float
    probabilities: Floats  # (K,), smoothed
    shown: int  # class
    rival_since: float | None = None  # the time since which another class leads
    velocity: Floats | None = None  # (2,) pixels a second

    def middle_at(self, time_s: float) -> Floats:
        """Where it is thought to be."""
        if self.velocity is None:
            return self.middle
        return self.middle + self.velocity * min(time_s - self.seen_s, _COAST_S)


class Tracker:
    """Gives faces their numbers, from 1 in order of appearance, and steadies their emotions.

    It knows faces by place and size alone: whoever takes the place of a lost face within `lost_s` takes its number,
    and who is away for longer comes back under another one. At a cut of the film `cut` is to be called; see
    `mien.recognize.cuts`.
    """

    def __init__(self, *, smooth_s: float = SMOOTH_S, lost_s: float = LOST_S, threshold: float = 0.0) -> None:
        """`smooth_s`: time constant of the smoothing in seconds; 0 leaves each answer as it is.

        `lost_s`: seconds for which a face that is not found keeps its number. `threshold`: smoothed confidence (0–1)
        below which a face is unsure. Raises `InputError` for a time below 0.
        """
        for name, value in (("smooth", smooth_s), ("lost", lost_s)):
            if not 0 <= value < math.inf:
                raise InputError(f"{name} {value:g}: expected seconds, 0 or more")
        self._smooth_s, self._lost_s, self._threshold = smooth_s, lost_s, threshold
        self._tracks: list[_Track] = []
        self._ids, self._looked_s = 0, -math.inf

    def __call__(self, faces: Sequence[Face], time_s: float) -> list[tuple[int, Face]]:
        """The faces of the next looked-at frame, at `time_s` seconds: number and steadied face, in the order given.

        A steadied face has the smoothed probabilities, which sum to 1, and the emotion that is shown. That may trail
        the most probable one a little: it changes where another leads by 0.15, or for half a second.
        """
        # A face of the look before is never lost yet, however long ago that look was.
        oldest = min(time_s - self._lost_s, self._looked_s)
        self._tracks = [track for track in self._tracks if track.seen_s >= oldest]
        self._looked_s = time_s
        paired = _pairs(self._tracks, faces, time_s)
        known = list(self._tracks)
        answers = []
        for i, face in enumerate(faces):
            track = known[paired[i]] if i in paired else self._begin(face, time_s)
            if i in paired:
                self._go_on(track, face, time_s)
            answers.append((track.face_id, self._steadied(track, face)))
        return answers

    def cut(self) -> None:
        """What was seen is of another shot: the faces of the next look are new ones, and nothing is smoothed over."""
        self._tracks = []

    def _begin(self, face: Face, time_s: float) -> _Track:
        self._ids += 1
        probs_K = _probs(face)
        track = _Track(self._ids, _middle(face), _side(face), time_s, probs_K, int(probs_K.argmax()))
        self._tracks.append(track)
        return track

    def _go_on(self, track: _Track, face: Face, time_s: float) -> None:
        step = time_s - track.seen_s
        middle = _middle(face)
        if step > 0:
            moved = (middle - track.middle) / step
            old = moved if track.velocity is None else track.velocity
            track.velocity = old + _weight(step, _VELOCITY_S) * (moved - old)
        track.middle, track.side, track.seen_s = middle, _side(face), time_s
        track.probabilities = track.probabilities + _weight(step, self._smooth_s) * (_probs(face) - track.probabilities)
        self._choose(track, time_s)

    def _choose(self, track: _Track, time_s: float) -> None:
        """Hysteresis: another emotion is shown only once it leads clearly or lastingly."""
        best = int(track.probabilities.argmax())
        if best == track.shown:
            track.rival_since = None
            return
        if track.rival_since is None:
            track.rival_since = time_s
        clear = track.probabilities[best] - track.probabilities[track.shown] >= _LEAD
        lasting = time_s - track.rival_since >= _HOLD_S
        if clear or lasting or self._smooth_s == 0:
            track.shown, track.rival_since = best, None

    def _steadied(self, track: _Track, face: Face) -> Face:
        if self._smooth_s == 0:
            return face
        values = dict(zip(face.probabilities, map(float, track.probabilities), strict=True))
        emotion = list(values)[track.shown]
        unsure = is_unsure(values[emotion], self._threshold)
        return replace(face, probabilities=values, emotion=emotion, unsure=unsure, set=None)  # promised of single looks


def _weight(step_s: float, constant_s: float) -> float:
    """The weight of a new value in an exponential mean over unevenly spaced times: 1 - exp(-step / constant).

    Source: Eckner 2019, "Algorithms for unevenly spaced time series", EMA with next-point interpolation. So the same
    seconds smooth alike at any rate of frames.
    """
    return 1.0 if constant_s == 0 else -math.expm1(-step_s / constant_s)


def _probs(face: Face) -> Floats:
    values = np.fromiter(face.probabilities.values(), dtype=np.float64)
    return np.asarray(values / values.sum(), dtype=np.float64)


def _middle(face: Face) -> Floats:
    x, y, width, height = face.box
    return np.array([x + width / 2, y + height / 2])


def _side(face: Face) -> float:
    return math.sqrt(face.box[2] * face.box[3])


def _pairs(tracks: Sequence[_Track], faces: Sequence[Face], time_s: float) -> dict[int, int]:
    """Index of a face → index of its track, for the faces that have one."""
    if not tracks or not faces:
        return {}
    sides_T1 = np.array([[track.side] for track in tracks])
    sides_F = np.array([_side(face) for face in faces])
    middles_T2 = np.stack([track.middle_at(time_s) for track in tracks])
    middles_F2 = np.stack([_middle(face) for face in faces])
    apart_TF = np.linalg.norm(middles_T2[:, None] - middles_F2, axis=2) / np.sqrt(sides_T1 * sides_F)
    growth_TF = np.abs(np.log(sides_F / sides_T1))
    lost_T1 = np.array([[time_s - track.seen_s] for track in tracks])
    possible_TF = (apart_TF <= np.minimum(_REACH + _SPEED * lost_T1, _FARTHEST)) & (growth_TF <= math.log(_GROWTH))
    # An impossible pair costs more than all the possible ones together, so as many as can be are paired.
    costs_TF = apart_TF + growth_TF + _LOST_COST * np.minimum(lost_T1, _FARTHEST)
    impossible = (2 * _FARTHEST + math.log(_GROWTH)) * (len(tracks) + len(faces) + 1)
    chosen = assign(np.where(possible_TF, costs_TF, impossible))
    return {face: track for track, face in chosen if possible_TF[track, face]}


def assign(costs_TF: Floats) -> list[tuple[int, int]]:
    """Pairs (row, column) with the least sum of costs; min(T, F) of them, each row and column once.

    The Hungarian method by shortest augmenting paths (Jonker and Volgenant 1987), in T²F steps; SciPy, which has it,
    is not among what recognizing needs.

    >>> assign(np.array([[1.0, 2.0], [2.0, 9.0]]))
    [(0, 1), (1, 0)]
    """
    if costs_TF.shape[0] > costs_TF.shape[1]:
        return sorted((row, column) for column, row in assign(costs_TF.T))
    rows, columns = costs_TF.shape
    price_T, price_F = np.zeros(rows), np.zeros(columns + 1)
    owner_F = np.full(columns + 1, -1)  # row that has a column; the last column is where a path begins
    for row in range(rows):
        _augment(costs_TF, row, owner_F, price_T, price_F)
    return sorted((int(owner), column) for column, owner in enumerate(owner_F[:-1]) if owner >= 0)


def _augment(costs_TF: Floats, row: int, owner_F: npt.NDArray[np.int64], price_T: Floats, price_F: Floats) -> None:
    """Give `row` a column along the cheapest path of exchanges."""
    columns = costs_TF.shape[1]
    least_F, before_F = np.full(columns, np.inf), np.full(columns, columns)
    used_F = np.zeros(columns + 1, dtype=bool)
    column = columns
    owner_F[column] = row
    while owner_F[column] >= 0:
        used_F[column] = True
        at = owner_F[column]
        reduced_F = costs_TF[at] - price_T[at] - price_F[:columns]
        better_F = ~used_F[:columns] & (reduced_F < least_F)
        least_F[better_F], before_F[better_F] = reduced_F[better_F], column
        nearest = int(np.where(used_F[:columns], np.inf, least_F).argmin())
        step = least_F[nearest]
        price_T[owner_F[used_F]] += step
        price_F[used_F] -= step
        least_F[~used_F[:columns]] -= step
        column = nearest
    while column != columns:
        previous = int(before_F[column])
        owner_F[column] = owner_F[previous]
        column = previous
    owner_F[columns] = -1
