"""Photos: what is found and recognized in photos whose faces are marked: photo in, emotion out, missed faces counted.

Shapes: F found faces, M marked ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import hypot, sqrt
from pathlib import Path

import numpy as np

from mien.data.marks import Box, Mark, Photo, check_inside
from mien.evaluation.bootstrap import Estimate, Frozen
from mien.evaluation.significance import wilson
from mien.images import read
from mien.recognize.faces import Face
from mien.recognize.recognizer import Recognizer
from mien.recognize.track import assign

NEAR = 0.35  # of the marked side: the farthest that the middle of the found box may lie from that of the marked one
RATIO = 2.5  # the most by which one of the two is larger: some mark the head with its hair, some eyes to mouth
SIZES = (0, 24, 48, 96, 192)  # pixels: where sizes of faces begin


class MarkedFace(Frozen):
    """A marked face, and what was made of it."""

    source: str
    box: Box
    label: str | None
    group: str
    found: bool
    answer: str | None  # the emotion that was told, None where the face was missed

    @property
    def side(self) -> float:
        """Pixels, geometric mean of width and height."""
        return sqrt(self.box[2] * self.box[3])


class FalseFace(Frozen):
    """What was taken for a face and is marked by nobody."""

    source: str
    box: Box


class PartScore(Frozen):
    """Marked faces of one size or group, or all. Shares are 0–1, intervals Wilson's, as if faces were independent."""

    name: str
    marked: int
    missed: Estimate | None  # None where no face is marked
    labeled: int  # of the marked ones
    read: int  # of these, found
    accuracy_found: Estimate | None  # right among those that were found
    accuracy: Estimate | None  # right among all labeled: what is missed is wrong


class PhotoScores(Frozen):
    """What a model and a detector make of marked photos."""

    model: str
    detector: str
    labels: tuple[str, ...]
    photos: int
    found: int  # whatever was taken for a face
    false: Estimate | None  # share of it that is marked by nobody; Wilson's interval. None: nothing was found
    photos_with_false: Estimate  # share of the photos; Wilson's interval
    whole: PartScore
    by_size: tuple[PartScore, ...]  # by the side of the mark; those that occur
    by_group: tuple[PartScore, ...]  # by name; empty where no group is told
    faces: tuple[MarkedFace, ...]
    false_faces: tuple[FalseFace, ...]


def matched(found: Sequence[Box], marked: Sequence[Box]) -> list[int | None]:
    """For each of M marked faces the index of the found face that is it, None where it was missed.

    A found box is a marked face where its middle lies within 0.35 of the mark's side (the geometric mean of width and
    height) and neither is more than 2.5 times as large as the other: detectors and people cut faces differently, which
    an overlap would count as an error. Each is one face at most; as many are paired as can be, then the nearest.
    """
    if not found or not marked:
        return [None] * len(marked)
    apart_MF = np.array([[_apart(one, mark) for one in found] for mark in marked])
    possible_MF = apart_MF <= NEAR
    impossible = NEAR * (1 + min(len(found), len(marked))) * 2
    pairs = dict(assign(np.where(possible_MF, apart_MF, impossible)))
    return [pairs[m] if m in pairs and possible_MF[m, pairs[m]] else None for m in range(len(marked))]


def outcomes(source: str, marks: Sequence[Mark], faces: Sequence[Face]) -> tuple[list[MarkedFace], list[FalseFace]]:
    """What the recognized `faces` of one photo say of its marked ones, and which of them are none."""
    boxes: list[Box] = [face.box for face in faces]
    pairs = matched(boxes, [mark.box for mark in marks])
    told = [
        MarkedFace(
            source=source,
            box=mark.box,
            label=mark.label,
            group=mark.group,
            found=index is not None,
            answer=None if index is None else faces[index].emotion,
        )
        for mark, index in zip(marks, pairs, strict=True)
    ]
    false = [FalseFace(source=source, box=box) for i, box in enumerate(boxes) if i not in pairs]
    return told, false


def evaluate_photos(
    recognizer: Recognizer,
    photos: Sequence[Photo],
    names: tuple[str, str],
    csv: Path,
    progress: Callable[[str, int, int], None] | None = None,
) -> PhotoScores:
    """Recognize the photos that `read_marks` read from `csv`, and score them; `names`: of model and detector.

    Raises `InputError` for a picture that cannot be read, and for a box that reaches beyond it.
    """
    marked: list[MarkedFace] = []
    false: list[FalseFace] = []
    for step, photo in enumerate(photos, start=1):
        image = read(photo.path)
        check_inside(photo, (image.shape[1], image.shape[0]), csv)
        (faces,) = recognizer.recognize([image], [photo.source])
        told, others = outcomes(photo.source, photo.marks, faces)
        marked += told
        false += others
        if progress:
            progress("recognizing", step, len(photos))
    return score_photos(names, recognizer.labels, len(photos), marked, false)


def score_photos(
    names: tuple[str, str],
    labels: Sequence[str],
    photos: int,
    faces: Sequence[MarkedFace],
    false: Sequence[FalseFace],
) -> PhotoScores:
    """The figures of so many photos with these marked `faces` and `false` ones; `names`: of model and detector."""
    found = sum(face.found for face in faces) + len(false)
    groups = sorted({face.group for face in faces if face.group})
    by_size = [(size_name(i), [face for face in faces if size_of(face.side) == i]) for i in range(len(SIZES))]
    return PhotoScores(
        model=names[0],
        detector=names[1],
        labels=tuple(labels),
        photos=photos,
        found=found,
        false=share_of(len(false), found),
        photos_with_false=_share(len({one.source for one in false}), photos),
        whole=part_score("all", faces),
        by_size=tuple(part_score(name, some) for name, some in by_size if some),
        by_group=tuple(part_score(name, [face for face in faces if face.group == name]) for name in groups),
        faces=tuple(faces),
        false_faces=tuple(false),
    )


def part_score(name: str, faces: Iterable[MarkedFace]) -> PartScore:
    """The figures of some marked faces."""
    some = list(faces)
    labeled = [face for face in some if face.label is not None]
    read_ones = [face for face in labeled if face.found]
    right = sum(face.answer == face.label for face in read_ones)
    return PartScore(
        name=name,
        marked=len(some),
        missed=share_of(sum(not face.found for face in some), len(some)),
        labeled=len(labeled),
        read=len(read_ones),
        accuracy_found=share_of(right, len(read_ones)),
        accuracy=share_of(right, len(labeled)),
    )


def size_of(side: float) -> int:
    """Which of `SIZES` a face of this side is of."""
    return max(i for i, begin in enumerate(SIZES) if side >= begin)


def size_name(which: int) -> str:
    """
    >>> size_name(0), size_name(1), size_name(4)
    ('below 24 pixels', '24 to 47 pixels', '192 pixels or more')
    """
    if which == len(SIZES) - 1:
        return f"{SIZES[which]} pixels or more"
    return f"{SIZES[which]} to {SIZES[which + 1] - 1} pixels" if which else f"below {SIZES[1]} pixels"


def share_of(count: int, n: int) -> Estimate | None:
    """A share with Wilson's interval; None of nothing."""
    return _share(count, n) if n else None


def _share(count: int, n: int) -> Estimate:
    low, high = wilson(count, n)
    return Estimate(value=count / n, low=low, high=high)


def _apart(found: Box, marked: Box) -> float:
    """Distance of the middles in sides of the mark; infinite where the sizes do not fit."""
    side, other = sqrt(marked[2] * marked[3]), sqrt(found[2] * found[3])
    if not side / RATIO <= other <= side * RATIO:
        return float("inf")
    across = found[0] + found[2] / 2 - marked[0] - marked[2] / 2
    down = found[1] + found[3] / 2 - marked[1] - marked[3] / 2
    return hypot(across, down) / side
