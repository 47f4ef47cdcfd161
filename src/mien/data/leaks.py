"""Leaks: images of one split that show a photo of another split again, and persons who are in both.

Shapes: L and E images of a later and an earlier split, S side of what is compared, D its pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from mien.data.cache import Progress
from mien.data.faceset import SPLITS, FaceSet
from mien.images import Pixels

THRESHOLD = 0.86  # similarity from which two images count as one photo; chosen by eye: docs/explanation/protocol.md
DOUBTFUL = 0.75  # the least that is told, so that a reader sees what lies below the threshold

Floats: TypeAlias = npt.NDArray[np.float32]
_COARSE = 16  # pixels a side at which partners are looked for
_PARTNERS = 5  # of each image, the most alike at that size, that are looked at closely
_LEAST = 0.75  # correlation of the coarse images, for that
_FINE = 48  # pixels a side at which they are compared
_INNER = 34  # pixels of the middle of one that are moved over the other, up to 7 pixels to each side
_SCALES = (0.88, 0.94, 1.0, 1.06, 1.12)
_BLOCK = 1024
_SPARED = 0.8, 4.0  # pixels: structure between these two widths is compared; light and noise lie outside


@dataclass(frozen=True)
class Near:
    """Two images of a `FaceSet`, by their places in it."""

    later: int
    earlier: int
    similarity: float  # -1 to 1
    mirrored: bool  # one is the mirror image of the other


class Pair(BaseModel):
    """The same by name; `similarity` as in `similarity`."""

    model_config = ConfigDict(frozen=True)

    name: str
    split: str
    label: str
    of: str  # name of the image in the earlier split
    of_split: str
    of_label: str
    similarity: float
    mirrored: bool


class Leaks(BaseModel):
    """What two splits share. Keys are `test in train` and so on, counts images of the later one. JSON by pydantic."""

    model_config = ConfigDict(frozen=True)

    source: str
    fingerprint: str
    threshold: float
    images: dict[str, int]  # per split
    identical: dict[str, int]  # whose pixels stand in the earlier split
    near: dict[str, int]  # further ones that show a photo of it
    other_label: dict[str, int]  # of those: with another label there
    shared_persons: dict[str, int]  # persons; empty where nobody is known
    pairs: tuple[Pair, ...]  # of near ones, most alike first; those under the threshold are not counted


def leaks(faces: FaceSet, threshold: float = THRESHOLD, progress: Progress | None = None) -> Leaks:
    """Compare every later split with every earlier one: val with train, test with train and with val."""
    identical, near, other, pairs = {}, {}, {}, []
    for earlier, later in combinations(SPLITS, 2):
        key = f"{later} in {earlier}"
        there, found = _identical(faces, later, earlier), near_duplicates(faces, later, earlier, progress)
        counted = [pair for pair in found if pair.similarity >= threshold]
        identical[key], near[key] = int(there.sum()), len(counted)
        other[key] = sum(faces.labels[pair.later] != faces.labels[pair.earlier] for pair in counted)
        pairs += [_named(faces, pair) for pair in found]
    return Leaks(
        source=faces.source,
        fingerprint=faces.fingerprint,
        threshold=threshold,
        images={split: int((faces.splits == split).sum()) for split in SPLITS},
        identical=identical,
        near=near,
        other_label=other,
        shared_persons=faces.shared_persons(),
        pairs=tuple(sorted(pairs, key=lambda pair: -pair.similarity)),
    )


def near_duplicates(faces: FaceSet, later: str, earlier: str, progress: Progress | None = None) -> list[Near]:
    """The images of the split `later` that are like one of `earlier`, each with that one; from `DOUBTFUL` upward.

    Those whose very pixels stand in `earlier` are left out, and blank ones. For each image the five whose 16 x 16
    pixels correlate most, mirrored or not, are compared by `similarity`.
    """
    mine = np.flatnonzero((faces.splits == later) & ~faces.blank & ~np.isin(faces.hashes, _hashes(faces, earlier)))
    theirs = np.flatnonzero((faces.splits == earlier) & ~faces.blank)
    if not len(mine) or not len(theirs):
        return []
    coarse_ED, coarse_LD = _coarse(faces, theirs), _coarse(faces, mine)
    mirrored_LD = coarse_LD.reshape(-1, _COARSE, _COARSE)[:, :, ::-1].reshape(len(mine), -1)
    gray = _remembered(faces, lambda image: image)
    structure = _remembered(faces, _between)
    starts = range(0, len(mine), _BLOCK)
    found = []
    for step, start in enumerate(starts, start=1):
        block = slice(start, start + _BLOCK)
        best: dict[int, Near] = {}
        for turned, looked_LD in ((False, coarse_LD), (True, mirrored_LD)):
            before, middles = -1, []
            for row, place in _partners(looked_LD[block] @ coarse_ED.T):
                i, j = int(mine[start + row]), int(theirs[place])
                if i != before:
                    before, middles = i, _middles(gray(i), turned)
                like = _likeness(middles, structure(j))
                if like >= DOUBTFUL and (i not in best or like > best[i].similarity):
                    best[i] = Near(i, j, like, turned)
        found += [best[i] for i in sorted(best)]
        if progress:
            progress(f"near-duplicates of {later} in {earlier}", step, len(starts))
    return found


def similarity(first: Pixels | Floats, second: Pixels | Floats, *, mirrored: bool = False) -> float:
    """How alike the structure of two gray images `(48, 48)` is, -1 to 1, wherever one lies over the other.

    The largest normalized correlation of the middle of the first, at five sizes from .88 to 1.12, with any place of the
    second, of what lies between .8 and 4 pixels of a Gaussian's width: light, noise and small marks count little.
    """
    return _likeness(_middles(first, mirrored), _between(second))


def _middles(image: Pixels | Floats, mirrored: bool) -> list[Floats]:
    """The middle at each size, where it shows anything."""
    turned = np.ascontiguousarray(image[:, ::-1] if mirrored else image, dtype=np.float32)
    found = []
    for scale in _SCALES:
        side = round(_FINE * scale)
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        sized = _between(np.asarray(cv2.resize(turned, (side, side), interpolation=how), dtype=np.float32))
        edge = (side - _INNER) // 2
        inner = sized[edge : edge + _INNER, edge : edge + _INNER]
        if inner.std() >= 1:  # of 255
            found.append(inner)
    return found


def _likeness(middles: Sequence[Floats], whole: Floats) -> float:
    best = max((float(cv2.matchTemplate(whole, one, cv2.TM_CCOEFF_NORMED).max()) for one in middles), default=-1.0)
    return min(best, 1.0) if np.isfinite(best) else -1.0


def _partners(likeness_LE: Floats) -> list[tuple[int, int]]:
    """Rows and columns of the largest few of each row."""
    count = min(_PARTNERS, likeness_LE.shape[1])
    places_LP = np.argpartition(-likeness_LE, count - 1, axis=1)[:, :count]
    rows, which = np.nonzero(np.take_along_axis(likeness_LE, places_LP, axis=1) >= _LEAST)
    return [(int(row), int(places_LP[row, k])) for row, k in zip(rows, which, strict=True)]


def _coarse(faces: FaceSet, places: npt.NDArray[np.int64]) -> Floats:
    """`(N, D)` rows of mean 0 and length 1, so that their products are correlations."""
    blocks = []
    for start in range(0, len(places), _BLOCK):
        images = faces.gather(places[start : start + _BLOCK])
        small = [cv2.resize(_gray(one), (_COARSE, _COARSE), interpolation=cv2.INTER_AREA) for one in images]
        blocks.append(np.stack(small).reshape(len(small), -1).astype(np.float32))
    rows_ND = np.concatenate(blocks)
    rows_ND -= rows_ND.mean(axis=1, keepdims=True)
    length_N1 = np.linalg.norm(rows_ND, axis=1, keepdims=True)
    return np.asarray(rows_ND / np.where(length_N1 > 1e-3, length_N1, np.inf), dtype=np.float32)


def _remembered(faces: FaceSet, what: Callable[[Floats], Floats]) -> Callable[[int], Floats]:
    """What is made of the gray image of a place, kept for a while: many images have the same partners."""

    @lru_cache(10 * _BLOCK)
    def of(place: int) -> Floats:
        image = _gray(faces.gather(np.array([place]))[0])
        how = cv2.INTER_AREA if image.shape[0] > _FINE else cv2.INTER_LINEAR
        return what(cv2.resize(image, (_FINE, _FINE), interpolation=how).astype(np.float32))

    return of


def _gray(image: Pixels) -> Pixels:
    return np.asarray(image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def _between(image: Pixels | Floats) -> Floats:
    narrow, wide = _SPARED
    soft = cv2.GaussianBlur(np.asarray(image, dtype=np.float32), (0, 0), narrow)
    return np.asarray(soft - cv2.GaussianBlur(soft, (0, 0), wide), dtype=np.float32)


def _identical(faces: FaceSet, later: str, earlier: str) -> npt.NDArray[np.bool_]:
    return np.isin(faces.hashes[faces.splits == later], _hashes(faces, earlier))


def _hashes(faces: FaceSet, split: str) -> npt.NDArray[np.str_]:
    return np.asarray(faces.hashes[faces.splits == split])


def _named(faces: FaceSet, pair: Near) -> Pair:
    def told(place: int) -> tuple[str, str, str]:
        return str(faces.names[place]), str(faces.splits[place]), faces.label_set.labels[faces.labels[place]]

    (name, split, label), (of, of_split, of_label) = told(pair.later), told(pair.earlier)
    return Pair(
        name=name,
        split=split,
        label=label,
        of=of,
        of_split=of_split,
        of_label=of_label,
        similarity=round(pair.similarity, 4),
        mirrored=pair.mirrored,
    )
