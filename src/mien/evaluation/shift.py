"""Shift: the reference that `mien check` holds faces against, and how often its alarm is false and is true.

Method: mien.recognize.shift. Shapes: N faces, D features, O outputs of all heads side by side, R directions, P
corruptions, S = 5 severities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from mien.cards import Card
from mien.data.cache import Progress
from mien.data.faceset import FaceSet
from mien.errors import InputError
from mien.evaluation.bootstrap import Estimate, Frozen
from mien.evaluation.corruptions import CORRUPTIONS, SEVERITIES, Corruption, corrupt
from mien.evaluation.robustness import Robustness
from mien.evaluation.significance import wilson
from mien.images import Pixels
from mien.model import Features
from mien.recognize.align import LOOK, recut
from mien.recognize.detector import Detector
from mien.recognize.shift import FEWEST, MOST, Floats, Floats32, Reference, Shift, answers_of, text_of

FEWEST_FACES = 800  # that a reference is made of: half of them to fit, half to count false alarms
DIRECTIONS = 16  # of what is seen beyond the answers, those that vary most
LEVEL = 0.001  # of a look, wanted; what it comes to is counted
COSTLY = 0.05  # of accuracy: what a shift has to cost for an alarm to be wanted
DRAWS = 1000
FEWEST_SHOWN = 2 * MOST  # faces that alarms are counted among
_DRAWS_OF_A_KIND = 200
_MOST_FACES = 1000  # that are corrupted: draws of 200 of them
_BATCH = 128
_CHANGES = 1e-6  # of the largest feature: a direction that varies less is rounding
_NONE: Floats32 = np.zeros((0, 0), dtype=np.float32)


@dataclass(frozen=True)
class Source:
    """What the faces of a reference are: name of the data, and how they were cut."""

    data: str
    detector: Literal["default", "none"]


class Alarms(Frozen):
    """One corruption, at severity 1 to 5: what it costs, and how often it is an alarm."""

    corruption: Corruption
    cost: tuple[float, float, float, float, float]  # accuracy that is lost, of the labels' head; below 0: won
    alarms: tuple[float, float, float, float, float]  # share of the draws


class ShiftAlarm(Frozen):
    """How a reference tells the faces of one split, clean and corrupted. Draws are of `drawn` faces among `n`."""

    n: int
    drawn: int
    draws: int  # of a corruption at a severity
    clean_draws: int
    clean: Estimate  # share of draws of clean faces that are an alarm; Wilson's interval over draws
    corruptions: tuple[Alarms, ...]

    @property
    def missed(self) -> list[tuple[Corruption, int, float, float]]:
        """Corruption, severity, cost and share of alarms of what costs more than `COSTLY` and is told in under 95 %."""
        return [
            (one.corruption, severity, cost, share)
            for one in self.corruptions
            for severity, cost, share in zip(SEVERITIES, one.cost, one.alarms, strict=True)
            if cost > COSTLY and share < 0.95
        ]

    @property
    def costly(self) -> int:
        """Corruptions at a severity that cost more than `COSTLY`."""
        return sum(cost > COSTLY for one in self.corruptions for cost in one.cost)


def fit_reference(
    features_ND: Floats32, said_NO: Floats32, widths: tuple[int, ...], where: Source, *, seed: int = 0
) -> Reference:
    """A reference of one half of the faces, its false alarms counted on the other.

    `said_NO`: the probabilities of all heads, of `widths` outputs each, before any temperature. Raises
    `InputError` for fewer than `FEWEST_FACES` faces, or features that never change.
    """
    from scipy.stats import chi2

    n = len(features_ND)
    if n < FEWEST_FACES:
        raise InputError(
            f"{where.data}: {n:,} val faces that are not in the training set; a reference needs "
            f"{FEWEST_FACES}: half to fit it, half to count its false alarms"
        )
    order = np.random.default_rng(seed).permutation(n)
    own, other = order[: n // 2], order[n // 2 :]
    features = features_ND.astype(np.float64)
    answers = answers_of(said_NO, widths)
    slopes, *_ = np.linalg.lstsq(answers[own], features[own], rcond=1e-6)
    rest = features[own] - answers[own] @ slopes
    _, scales, axes = np.linalg.svd(rest, full_matrices=False)
    deviations = scales / np.sqrt(len(own) - 1)
    kept = min(DIRECTIONS, int((deviations > _CHANGES * np.abs(features[own]).max()).sum()))
    if not kept:
        raise InputError(f"{where.data}: the network's features are the same for every face, so they tell nothing")
    of_features = axes[:kept].T / deviations[:kept]
    found = Reference(
        widths=widths,
        features=features.shape[1],
        directions=kept,
        of_features=text_of(of_features),
        of_answers=text_of(slopes @ of_features),
        faces=len(own),
        limit=float(chi2.ppf(1 - LEVEL, kept)),
        looked=DRAWS,
        false_alarms=0,
        drawn=MOST,
        data=where.data,
        detector=where.detector,
    )
    others = found.rest(features_ND[other], said_NO[other])
    return found.model_copy(update={"false_alarms": _alarms(found, others, DRAWS, np.random.default_rng(seed + 1))})


def references(features: Features, faces: FaceSet, card: Card, progress: Progress | None = None) -> list[Reference]:
    """One for crops as they come, and, where the detector finds faces in them, one for faces as photos' are cut.

    `faces`: val faces that are not in the training set. Raises `InputError` as `fit_reference`.
    """
    crops = list(faces.gather(np.arange(len(faces))))
    found = [_fitted(features, crops, card, Source(faces.source, "none"))]
    if card.alignment is None:
        return found
    detector = Detector(size=LOOK)
    cut = []
    for step, crop in enumerate(crops, start=1):
        if (anew := recut(crop, card.alignment, detector)) is not None:
            cut.append(card.preprocess.pixels(anew))
        if progress and step % _BATCH == 0:
            progress("cutting anew", step, len(crops))
    if len(cut) >= FEWEST_FACES:
        found.append(_fitted(features, cut, card, Source(faces.source, "default")))
    return found


def _fitted(features: Features, crops: Sequence[Pixels], card: Card, where: Source) -> Reference:
    blocks = [features(crops[start : start + _BATCH]) for start in range(0, len(crops), _BATCH)]
    said, seen = (np.concatenate(parts) for parts in zip(*blocks, strict=True)) if blocks else (_NONE, _NONE)
    return fit_reference(seen, said, card.widths, where)


def shift_alarm(
    watched: tuple[Features, Reference],
    faces: FaceSet,
    robustness: Robustness,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> ShiftAlarm:
    """How often a reference tells up to 1,000 of `faces`, drawn evenly, clean and under each corruption.

    `robustness`: of the same model on the same split; it says what each corruption costs. Raises `InputError` for
    fewer faces than a draw has.
    """
    features, reference = watched
    if len(faces) < FEWEST_SHOWN:
        raise InputError(f"shift alarm on '{robustness.split}': {len(faces)} faces, expected at least {FEWEST_SHOWN}")
    chance = np.random.default_rng(seed)
    chosen_N = np.sort(chance.permutation(len(faces))[:_MOST_FACES])
    shown = _Shown(list(faces.gather(chosen_N)), faces.hashes[chosen_N], robustness)
    false = _alarms(reference, _rest(features, reference, shown.crops), DRAWS, chance)
    rows = []
    for step, score in enumerate(robustness.corruptions, start=1):
        rests = (_rest(features, reference, shown.corrupted(score.corruption, severity)) for severity in SEVERITIES)
        told = tuple(_alarms(reference, rest, _DRAWS_OF_A_KIND, chance) / _DRAWS_OF_A_KIND for rest in rests)
        lost = tuple(robustness.clean.value - left.value for left in score.accuracy)
        rows.append(Alarms(corruption=score.corruption, cost=lost, alarms=told))  # type: ignore[arg-type]
        if progress:
            progress("shift alarm", step, len(CORRUPTIONS))
    low, high = wilson(false, DRAWS)
    return ShiftAlarm(
        n=len(shown.crops),
        drawn=MOST,
        draws=_DRAWS_OF_A_KIND,
        clean_draws=DRAWS,
        clean=Estimate(value=false / DRAWS, low=low, high=high),
        corruptions=tuple(rows),
    )


def shift_look(watched: tuple[Features, Reference], faces: FaceSet) -> Shift | None:
    """Whether `faces`, crops as they are, are like those that the model was measured on; None for fewer than 50."""
    features, reference = watched
    if len(faces) < FEWEST:
        return None
    starts = range(0, len(faces), _BATCH)
    rows = (np.arange(start, min(start + _BATCH, len(faces))) for start in starts)
    rest = np.concatenate([_rest(features, reference, list(faces.gather(some))) for some in rows])
    return reference.look(rest.mean(axis=0), len(rest))


@dataclass(frozen=True, eq=False)
class _Shown:
    """The faces that are corrupted, as they were when accuracy was measured."""

    crops: Sequence[Pixels]
    identities: npt.NDArray[np.str_]
    how: Robustness

    def corrupted(self, corruption: Corruption, severity: int) -> list[Pixels]:
        place, seed = self.how.alignment, self.how.seed
        return [
            corrupt(crop, corruption, severity, identity=identity, alignment=place, seed=seed)
            for crop, identity in zip(self.crops, self.identities, strict=True)
        ]


def _rest(features: Features, reference: Reference, crops: Sequence[Pixels]) -> Floats:
    blocks = []
    for start in range(0, len(crops), _BATCH):
        said, seen = features(crops[start : start + _BATCH])
        blocks.append(reference.rest(seen, said))
    return np.concatenate(blocks)


def _alarms(reference: Reference, rest_NR: Floats, draws: int, chance: np.random.Generator) -> int:
    """Of so many draws without replacement, those that are an alarm."""
    drawn = (rest_NR[chance.permutation(len(rest_NR))[:MOST]] for _ in range(draws))
    return sum(reference.look(some.mean(axis=0), len(some)).alarm for some in drawn)
