"""Robustness: what accuracy is left when the faces of a split are corrupted, each kind at five severities.

Shapes: N faces, K classes, B bootstrap draws, C corruptions, S = 5 severities.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mien.card import Alignment
from mien.data.cache import Progress
from mien.data.faceset import FaceSet
from mien.errors import InputError
from mien.evaluation import metrics
from mien.evaluation.corruptions import CORRUPTIONS, SEVERITIES, WORDS, Corruption, corrupt
from mien.evaluation.evaluate import Estimate, Frozen, check_scorable, estimate, figure_text, format_estimate
from mien.evaluation.model_files import Classify
from mien.images import Pixels
from mien.predictions import Predictions
from mien.recognize.align import FER2013

BATCH = 128  # faces in memory at once
_SAME_ANSWERS = 0.9  # of the first batch, below which the predictions are not of this model
_LOST = 0.75  # of the clean accuracy: a quarter is lost

Bools = npt.NDArray[np.bool_]


class CorruptionScore(Frozen):
    """Accuracy (0–1) under one corruption."""

    corruption: Corruption
    accuracy: tuple[Estimate, Estimate, Estimate, Estimate, Estimate]  # at severity 1 to 5
    mean: Estimate  # over the severities
    drop: Estimate  # clean accuracy minus that mean; paired bootstrap


class Robustness(Frozen):
    """Accuracy (0–1) of one model on the corrupted faces of one split; every interval resamples the same faces."""

    split: str
    n: int  # faces that were corrupted
    of: int  # faces of the split
    seed: int
    alignment: Alignment  # where eyes and mouth were taken to be
    clean: Estimate  # of the same n faces
    mean: Estimate  # mean corruption accuracy: over all corruptions and severities
    drop: Estimate  # clean accuracy minus that mean; paired bootstrap
    corruptions: tuple[CorruptionScore, ...]

    def lost_a_quarter(self, score: CorruptionScore) -> int | None:
        """The severity from which a quarter of the clean accuracy is lost; None where no severity takes as much."""
        if not self.clean.value:
            return None
        lost = (s for s, left in zip(SEVERITIES, score.accuracy, strict=True) if left.value <= _LOST * self.clean.value)
        return next(lost, None)


def robustness(
    classify: Classify,
    faces: FaceSet,
    clean: Predictions,
    *,
    alignment: Alignment | None = None,
    seed: int = 0,
    most: int | None = None,
    draws: int = 2000,
    progress: Progress | None = None,
) -> Robustness:
    """Accuracy of `classify` on `faces` under ten corruptions at five severities, with 95 % bootstrap intervals.

    `clean`: the same model's predictions of the same faces, in the same order, without corruption; what is lost is
    counted against `classify` itself, which may be an 8-bit or half-precision file of that model. `alignment`: the
    card's, where eyes and mouth lie (FER2013's by default). `most`: so many faces at most, drawn evenly by `seed`,
    which also decides every corruption. Raises `InputError` for predictions of other faces or of another model.
    """
    check_scorable(clean, "the model")
    _check_same_faces(faces, clean)
    if most is not None and most < 1:
        raise InputError(f"robustness on at most {most} faces: expected 1 or more")
    chosen_N = _sample(len(faces), most, seed)
    place = alignment or FER2013
    clean_N, right_NCS = _right_answers(classify, faces, clean, chosen_N, place, seed, progress)
    n, (clean_B, right_BCS) = len(chosen_N), _counts(clean_N, right_NCS, draws, seed)
    mean, drop = _mean_and_drop(clean_B, right_BCS.reshape(len(clean_B), -1), n)
    return Robustness(
        split=clean.split,
        n=n,
        of=len(faces),
        seed=seed,
        alignment=place,
        clean=_estimate(clean_B / n),
        mean=mean,
        drop=drop,
        corruptions=tuple(_score(name, clean_B, right_BCS[:, c], n) for c, name in enumerate(CORRUPTIONS)),
    )


def in_words(found: Robustness) -> tuple[str, ...]:
    """What the model withstands and what not, in sentences."""
    count = f"n = {found.n:,}" if found.n == found.of else f"n = {found.n:,} of {found.of:,}, drawn evenly"
    clean, mean, drop = (format_estimate(one) for one in (found.clean, found.mean, found.drop))
    opening = f"Mean accuracy over {len(found.corruptions)} corruptions at five severities: {mean} on {found.split}, "
    opening += f"{count}; without corruption {clean}, so {drop} is lost."
    return opening, _extremes(found), _quarters(found)


def _check_same_faces(faces: FaceSet, clean: Predictions) -> None:
    what = f"robustness on '{clean.split}'"
    advice = "Predict the same split of the same data again: mien evaluate MODEL --data PATH"
    if faces.label_set.labels != clean.label_names:
        ours, theirs = ", ".join(faces.label_set.labels), ", ".join(clean.label_names)
        raise InputError(f"{what}: {faces.source} has the classes {ours}; the predictions {theirs}. {advice}")
    if len(faces) != len(clean):
        raise InputError(f"{what}: {len(faces)} faces, predictions of {len(clean)}. {advice}")
    differs_N = (faces.hashes != clean.hashes) | (faces.labels != clean.labels)
    if differs_N.any():
        i = int(differs_N.argmax())
        which = "other pixels" if faces.hashes[i] != clean.hashes[i] else "another label"
        raise InputError(
            f"{what}: face {i} is {faces.names[i]}, the predictions there are of {clean.names[i]}, with {which}. "
            f"{advice}"
        )


def _sample(n: int, most: int | None, seed: int) -> npt.NDArray[np.int64]:
    """Indices in rising order, all of them unless there are more than `most`."""
    if most is None or n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).permutation(n)[:most])


def _right_answers(
    classify: Classify,
    faces: FaceSet,
    clean: Predictions,
    chosen_N: npt.NDArray[np.int64],
    alignment: Alignment,
    seed: int,
    progress: Progress | None,
) -> tuple[Bools, Bools]:
    """`(N,)` and `(N, C, S)`: whether `classify` is right on each chosen face, clean and under each corruption."""
    clean_N = np.zeros(len(chosen_N), dtype=bool)
    right_NCS = np.zeros((len(chosen_N), len(CORRUPTIONS), len(SEVERITIES)), dtype=bool)
    total = right_NCS.size
    for start in range(0, len(chosen_N), BATCH):
        rows = chosen_N[start : start + BATCH]
        crops, labels = faces.gather(rows), faces.labels[rows]
        answers = _predicted(classify, list(crops), clean)
        if start == 0:
            _check_same_model(answers, clean.predicted[rows])
        clean_N[start : start + len(rows)] = answers == labels
        for c, corruption in enumerate(CORRUPTIONS):
            for s, severity in enumerate(SEVERITIES):
                changed = [
                    corrupt(crop, corruption, severity, identity=identity, alignment=alignment, seed=seed)
                    for crop, identity in zip(crops, faces.hashes[rows], strict=True)
                ]
                right_NCS[start : start + len(rows), c, s] = _predicted(classify, changed, clean) == labels
            if progress:
                before = start * len(CORRUPTIONS) + (c + 1) * len(rows)
                progress("corrupting faces", before * len(SEVERITIES), total)
    return clean_N, right_NCS


def _predicted(classify: Classify, crops: Sequence[Pixels], clean: Predictions) -> npt.NDArray[np.int64]:
    probs_NK = classify(crops)
    expected = (len(crops), len(clean.label_names))
    if probs_NK.shape != expected:
        raise InputError(f"robustness: the model answers with {probs_NK.shape}, expected {expected} probabilities")
    return np.asarray(probs_NK.argmax(axis=1), dtype=np.int64)


def _check_same_model(answers_N: npt.NDArray[np.int64], expected_N: npt.NDArray[np.int64]) -> None:
    """A drop against the clean accuracy of something else would look like any other drop."""
    same = int((answers_N == expected_N).sum())
    if same < _SAME_ANSWERS * len(expected_N):
        raise InputError(
            f"robustness: without corruption the model answers as its predictions say for {same} of the first "
            f"{len(expected_N)} faces only. Predict again with this model: mien evaluate MODEL --data PATH"
        )


def _counts(clean_N: Bools, right_NCS: Bools, draws: int, seed: int) -> tuple[metrics.Floats, metrics.Floats]:
    """`(1 + B,)` and `(1 + B, C, S)`: right answers without and with corruption, of the faces, then of every draw."""
    n, *shape = right_NCS.shape
    right_NM = np.column_stack([clean_N, right_NCS.reshape(n, -1)]).astype(np.float32)  # sums of ones are exact
    blocks = [weights_BN @ right_NM for weights_BN in metrics.bootstrap_weights(n, draws, seed)]
    counts_BM = np.concatenate([right_NM.sum(axis=0, keepdims=True), *blocks]).astype(np.float64)
    return counts_BM[:, 0], counts_BM[:, 1:].reshape(-1, *shape)


def _score(corruption: Corruption, clean_B: metrics.Floats, right_BS: metrics.Floats, n: int) -> CorruptionScore:
    first, second, third, fourth, fifth = (_estimate(right_B / n) for right_B in right_BS.T)
    mean, drop = _mean_and_drop(clean_B, right_BS, n)
    return CorruptionScore(corruption=corruption, accuracy=(first, second, third, fourth, fifth), mean=mean, drop=drop)


def _mean_and_drop(clean_B: metrics.Floats, right_BM: metrics.Floats, n: int) -> tuple[Estimate, Estimate]:
    """Over M ways of corrupting the faces. Divided last, so that equal counts leave a drop of exactly 0."""
    total_B, ways = right_BM.sum(axis=1), right_BM.shape[1]
    return _estimate(total_B / (n * ways)), _estimate((clean_B * ways - total_B) / (n * ways))


def _estimate(values_B: metrics.Floats) -> Estimate:
    """The first value, with the interval of the draws that follow it."""
    return estimate(values_B[0], values_B[1:])


def _extremes(found: Robustness) -> str:
    """The largest three drops and the smallest."""
    ordered = sorted(found.corruptions, key=lambda score: -score.drop.value)
    if ordered[0].drop.value <= 0:
        return "No corruption takes anything in the mean over its severities."
    drops = [f"{WORDS[score.corruption]} {format_estimate(score.drop)}" for score in ordered]
    return f"In the mean over severities most is lost to {', '.join(drops[:3])}; least to {drops[-1]}."


def _quarters(found: Robustness) -> str:
    """Where a quarter of the clean accuracy is lost."""
    by_severity: dict[int | None, list[str]] = {}
    for score in found.corruptions:
        by_severity.setdefault(found.lost_a_quarter(score), []).append(WORDS[score.corruption])
    safe = by_severity.pop(None, [])
    if not by_severity:
        return "No corruption takes a quarter of the clean accuracy, not even at severity 5."
    where = "; ".join(f"{severity} of {', '.join(names)}" for severity, names in sorted(by_severity.items()))
    left, never = figure_text(_LOST * found.clean.value), f"; not even at 5 of {', '.join(safe)}" if safe else ""
    return f"A quarter of the clean accuracy is lost, {left} or less are left, from severity {where}{never}."
