"""Stability: how often the answer to one face flips when nothing about the face has changed.

Small changes of the crop, the frames of a film in which the face stays as it is, and other seeds of the training.
Shapes: N faces, C small changes, F frames of a film, K classes of one head, O outputs of all heads side by side.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Literal, get_args

import numpy as np

from mien.cards import Card
from mien.confidence import is_unsure
from mien.data.cache import Progress
from mien.data.faceset import FaceSet
from mien.errors import InputError
from mien.evaluation.bootstrap import Estimate, Frozen, Ratio, estimates
from mien.evaluation.corruptions import compressed
from mien.evaluation.photos import share_of
from mien.images import Pixels
from mien.model import Classify, Floats32
from mien.predictions import Predictions, Truth
from mien.recognize.faces import Face
from mien.recognize.track import SMOOTH_S, Tracker

Change = Literal["shift_1", "shift_2", "larger", "smaller", "left", "right", "jpeg_90", "jpeg_75"]
CHANGES: tuple[Change, ...] = get_args(Change)
PIXELS = 48  # a side, in which shifts are counted: what FER2013's faces have
SCALE, TURN = 0.03, 3.0  # share of the size, degrees
MOST = 1000  # faces
FPS, FRAMES = 25, 50
_FILMED = 10  # of so many faces one is filmed: a film takes as long as six faces under all changes
# How far the crop of a face that stays as it is wanders from frame to frame, measured with CenterFace on 27 films.
WANDERS_BY, WANDERS_SIZE, WANDERS_TURN = 0.008, 0.03, 1.3  # of the side, of the size, degrees: standard deviations
GRAIN = 3.0  # of 255: a camera's noise, standard deviation
_BATCH = 128


class Flips(Frozen):
    """Share of faces whose answer is another under one small change; Wilson's interval."""

    change: Change
    share: Estimate


class FilmFlips(Frozen):
    """Films of one face each that stays as it is: how often the shown emotion changes. Bootstrap over films."""

    films: int
    fps: int
    seconds: float
    raw: Estimate  # changes a second
    smoothed: Estimate  # the same after the smoothing of videos
    saved: Estimate  # raw less smoothed; paired
    still_raw: Estimate  # share of films without a change; Wilson's interval
    still_smoothed: Estimate


class HeadStability(Frozen):
    """One head of a model; shares are 0–1."""

    truth: Truth
    changes: tuple[Flips, ...]
    mean: Estimate  # over the changes; bootstrap over faces
    sure: (
        Estimate | None
    )  # the same of answers that are not marked unsure; None where there is no threshold, or none is
    any: Estimate  # faces whose answer is another under at least one of them; Wilson's interval
    film: FilmFlips


class Stability(Frozen):
    """How often the answers of a model flip on the faces of one split."""

    split: str
    n: int  # faces that were changed
    of: int  # faces of the split
    seed: int
    heads: tuple[HeadStability, ...]


class SeedFlips(Frozen):
    """Runs of one recipe that differ by their seed, on the same faces. Bootstrap over faces, Wilson for `all_agree`."""

    runs: tuple[str, ...]
    n: int
    share: Estimate  # of faces on which two of the runs answer differently; mean over pairs of runs
    all_agree: Estimate  # share of faces on which all of them answer the same


@dataclass(frozen=True)
class Move:
    """How a crop is cut otherwise: shift in shares of its side, factor of the face's size, degrees to the left."""

    right: float = 0.0
    down: float = 0.0
    size: float = 1.0
    left_turn: float = 0.0


def changed(crop: Pixels, change: Change, identity: str, seed: int = 0) -> Pixels:
    """A crop `(H, W)` or `(H, W, 3)` uint8 under a small change; `identity` and `seed` decide where a shift goes."""
    if change == "jpeg_90":
        return compressed(crop, 90)
    if change == "jpeg_75":
        return compressed(crop, 75)
    return moved(crop, _move(change, identity, seed))


def moved(crop: Pixels, move: Move) -> Pixels:
    """The crop as if it were cut a little otherwise; what comes in at the edges repeats the last pixels."""
    import cv2

    height, width = crop.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), move.left_turn, move.size)
    matrix[:, 2] += (move.right * width, move.down * height)
    cut = cv2.warpAffine(crop, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cut, dtype=np.uint8)


def film_of(crop: Pixels, chance: np.random.Generator) -> list[Pixels]:
    """Frames `FRAMES` of a face that stays as it is, cut as a detector cuts it, each with noise of its own."""
    frames = []
    for _ in range(FRAMES):
        right, down = chance.normal(0, WANDERS_BY, 2)
        move = Move(right, down, math.exp(chance.normal(0, WANDERS_SIZE)), chance.normal(0, WANDERS_TURN))
        frame = moved(crop, move)
        noise = chance.normal(0, GRAIN, frame.shape[:2])
        grainy = frame + (noise if frame.ndim == 2 else noise[..., None])
        frames.append(np.rint(grainy).clip(0, 255).astype(np.uint8))
    return frames


def stability(
    classify: Classify,
    faces: FaceSet,
    card: Card,
    split: str,
    *,
    most: int = MOST,
    seed: int = 0,
    progress: Progress | None = None,
) -> Stability:
    """How often the answers of `classify`, which has the heads of `card`, flip on at most `most` of `faces`.

    Raises `InputError` where there is no face.
    """
    if not len(faces):
        raise InputError(f"stability on '{split}': no face. Check that this split of the data holds pictures")
    chance = np.random.default_rng(seed)
    order_N = chance.permutation(len(faces))[:most]
    said_NO = _said(classify, list(faces.gather(order_N)))
    changed_C = []
    for step, change in enumerate(CHANGES, start=1):
        crops = [
            changed(crop, change, identity, seed)
            for crop, identity in zip(faces.gather(order_N), faces.hashes[order_N], strict=True)
        ]
        changed_C.append(_said(classify, crops))
        if progress:
            progress("small changes", step, len(CHANGES))
    films = [_said(classify, film_of(crop, chance)) for crop in faces.gather(order_N[: -(-len(order_N) // _FILMED)])]
    return Stability(
        split=split,
        n=len(order_N),
        of=len(faces),
        seed=seed,
        heads=tuple(_head(card, truth, said_NO, changed_C, films, seed) for truth in card.truths),
    )


def film_flips(films: Sequence[Floats32], labels: Sequence[str], *, fps: int = FPS, seed: int = 0) -> FilmFlips:
    """Films of one face each: its probabilities `(F, K)` frame by frame, shown as they are and smoothed."""
    raw = np.array([_flips([int(one) for one in film_FK.argmax(axis=1)]) for film_FK in films], dtype=np.float64)
    smoothed = np.array([_flips(shown(film_FK, labels, fps)) for film_FK in films], dtype=np.float64)
    seconds = np.array([(len(film_FK) - 1) / fps for film_FK in films])
    ratios: dict[str, Ratio] = {
        "raw": (raw, seconds),
        "smoothed": (smoothed, seconds),
        "saved": (raw - smoothed, seconds),
    }
    rates = estimates(ratios, seed=seed)
    still = [share_of(int((flips == 0).sum()), len(films)) for flips in (raw, smoothed)]
    assert still[0]
    assert still[1]
    return FilmFlips(
        films=len(films), fps=fps, seconds=float(seconds.mean()), **rates, still_raw=still[0], still_smoothed=still[1]
    )


def shown(film_FK: Floats32, labels: Sequence[str], fps: int, smooth_s: float = SMOOTH_S) -> list[str]:
    """The emotion that a video shows at each frame, smoothed over `smooth_s` seconds as videos are."""
    tracker = Tracker(smooth_s=smooth_s)
    told = []
    for frame, probs_K in enumerate(film_FK):
        values = dict(zip(labels, map(float, probs_K), strict=True))
        face = Face("film", max(values, key=values.__getitem__), values, (0, 0, PIXELS, PIXELS), None, unsure=False)
        ((_, steadied),) = tracker([face], frame / fps)
        told.append(steadied.emotion)
    return told


def between_seeds(runs: Mapping[str, Predictions], *, seed: int = 0) -> SeedFlips:
    """How often two runs of one recipe answer otherwise. Raises `InputError` for one run, or runs of other faces."""
    if len(runs) < 2:
        raise InputError(f"seeds: {len(runs)} run, expected at least two of one recipe")
    first, *others = runs
    for name in others:
        if not np.array_equal(runs[first].hashes, runs[name].hashes):
            raise InputError(f"seeds: {name} answered other faces than {first}. Predict the same split with both")
    answers = [one.predicted for one in runs.values()]
    differs = np.mean([a != b for a, b in combinations(answers, 2)], axis=0)
    n = len(differs)
    agree = share_of(int((differs == 0).sum()), n)
    assert agree
    share = estimates({"share": (differs, np.ones(n))}, seed=seed)["share"]
    return SeedFlips(runs=tuple(runs), n=n, share=share, all_agree=agree)


def _move(change: Change, identity: str, seed: int) -> Move:
    if change == "larger":
        return Move(size=1 + SCALE)
    if change == "smaller":
        return Move(size=1 - SCALE)
    if change in ("left", "right"):
        return Move(left_turn=TURN if change == "left" else -TURN)
    drawn = hashlib.blake2b(f"{seed} {change} {identity}".encode(), digest_size=1).digest()[0] % 4
    across, down = ((1, 0), (-1, 0), (0, 1), (0, -1))[drawn]
    pixels = (1 if change == "shift_1" else 2) / PIXELS
    return Move(right=across * pixels, down=down * pixels)


def _said(classify: Classify, crops: Sequence[Pixels]) -> Floats32:
    return np.concatenate([classify(crops[start : start + _BATCH]) for start in range(0, len(crops), _BATCH)])


def _head(
    card: Card, truth: Truth, said_NO: Floats32, changed_C: Sequence[Floats32], films: Sequence[Floats32], seed: int
) -> HeadStability:
    head = card.head(truth)
    own_NK = card.answers(said_NO, truth)
    own_N = own_NK.argmax(axis=1)
    flips_NC = np.column_stack([card.answers(one, truth).argmax(axis=1) != own_N for one in changed_C])
    sure_N = np.array([not is_unsure(float(one), head.threshold or 0.0) for one in own_NK.max(axis=1)])
    ways, n = flips_NC.shape[1], len(own_N)
    mean_N = flips_NC.sum(axis=1) / ways
    figures = estimates({"mean": (mean_N, np.ones(n)), "sure": (mean_N * sure_N, sure_N.astype(float))}, seed=seed)
    shares = [share_of(int(flips.sum()), n) for flips in flips_NC.T]
    any_of_them = share_of(int(flips_NC.any(axis=1).sum()), n)
    assert any_of_them
    return HeadStability(
        truth=truth,
        changes=tuple(Flips(change=c, share=share) for c, share in zip(CHANGES, shares, strict=True) if share),
        mean=figures["mean"],
        sure=figures.get("sure") if head.threshold else None,
        any=any_of_them,
        film=film_flips([card.answers(film, truth) for film in films], head.labels, seed=seed),
    )


def _flips(shown: Sequence[object]) -> int:
    return sum(a != b for a, b in pairwise(shown))
