"""Smooth: the faces of a live camera, whose probabilities follow with a little delay instead of flickering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mien.recognize.recognizer import Face

_NEW = 0.5  # weight of the newest picture (exponential smoothing)
_SAME = 0.3  # intersection over union above which two boxes are one face


def smoothed(before: Sequence[Face], faces: Sequence[Face], threshold: float) -> list[Face]:
    """`faces` with probabilities drawn towards those that the same face, by its place, had `before`.

    `threshold`: probability below which a face is unsure.
    """
    return [_towards(face, max(before, key=lambda old: _overlap(old, face), default=face), threshold) for face in faces]


def _towards(face: Face, old: Face, threshold: float) -> Face:
    if _overlap(face, old) < _SAME or list(face.probabilities) != list(old.probabilities):
        return face
    mixed = {label: _NEW * p + (1 - _NEW) * old.probabilities[label] for label, p in face.probabilities.items()}
    emotion = max(mixed, key=mixed.__getitem__)
    return replace(face, probabilities=mixed, emotion=emotion, unsure=mixed[emotion] < threshold)


def _overlap(one: Face, other: Face) -> float:
    """Intersection over union of the boxes, 0–1."""
    (x0, y0, w0, h0), (x1, y1, w1, h1) = one.box, other.box
    wide = min(x0 + w0, x1 + w1) - max(x0, x1)
    high = min(y0 + h0, y1 + h1) - max(y0, y1)
    both = max(0, wide) * max(0, high)
    return both / (w0 * h0 + w1 * h1 - both)
