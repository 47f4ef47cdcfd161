"""Robustness: what accuracy is left when the faces of a split are corrupted, each kind at five severities.

Shapes: N faces, K classes, B bootstrap draws, C corruptions, S = 5 severities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mien.cards import Alignment
from mien.data.cache import Progress
from mien.data.faceset import FaceSet
from mien.errors import InputError
from mien.evaluation.bootstrap import Estimate, Floats, Frozen, bootstrap_weights, estimate
from mien.evaluation.corruptions import CORRUPTIONS, SEVERITIES, Corruption, corrupt
from mien.evaluation.evaluate import check_scorable
from mien.images import Pixels
from mien.model import Classify
from mien.predictions import Predictions
from mien.recognize.align import FER2013

BATCH = 128  # faces in memory at once
_SAME_ANSWERS = 0.9  # of the first batch, below which the predictions are not of this model
_NO_LABEL = -1  # of a face without votes
LOST = 0.75  # of the clean accuracy: a quarter is lost

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
        lost = (s for s, left in zip(SEVERITIES, score.accuracy, strict=True) if left.value <= LOST * self.clean.value)
        return next(lost, None)


@dataclass(frozen=True)
class Draw:
    """What chance decides: which faces, where there are more than `most`, every corruption, and the resamples."""

    most: int | None = None  # faces at most, drawn evenly
    seed: int = 0
    draws: int = 2000  # of the bootstrap


def robustness(
    classify: Classify,
    faces: FaceSet,
    clean: Predictions,
    alignment: Alignment | None = None,
    draw: Draw | None = None,
    progress: Progress | None = None,
) -> Robustness:
    """Accuracy of `classify` on `faces` under ten corruptions at five severities, with 95 % bootstrap intervals.

    `clean`: the same model's predictions of the same faces, in the same order, without corruption; what is lost is
    counted against `classify` itself, which may be an 8-bit or half-precision file of that model. `alignment`: the
    card's, where eyes and mouth lie (FER2013's by default). Raises `InputError` for predictions of other faces or of
    another model.
    """
    check_scorable(clean, "the model")
    _check_same_faces(faces, clean)
    place, draw = alignment or FER2013, draw or Draw()
    chosen_N = _sample(len(faces), draw)
    whole = _Head(clean, slice(None))
    (answers,) = _right_answers(classify, faces, [whole], chosen_N, place, draw.seed, progress)
    return _scored(clean, answers, len(faces), place, draw)


def robustness_of_heads(
    classify: Classify,
    faces: FaceSet,
    labels: Predictions,
    people: Predictions,
    alignment: Alignment | None = None,
    draw: Draw | None = None,
    progress: Progress | None = None,
) -> tuple[Robustness, Robustness]:
    """The same of a model with two heads, each held against its own truth, in one pass.

    `classify` gives the outputs of both, side by side; `labels` and `people` are their predictions of the same faces.
    The people's head is right where it gives the most frequent vote; faces without votes are left out there.
    """
    check_scorable(labels, "the model")
    _check_same_faces(faces, labels)
    assert people.people is not None
    votes_NP = people.people.votes
    seen = replace(people, labels=np.where(votes_NP.any(axis=1), votes_NP.argmax(axis=1), _NO_LABEL), people=None)
    place, draw = alignment or FER2013, draw or Draw()
    chosen_N = _sample(len(faces), draw)
    k = len(labels.label_names)
    heads = [_Head(labels, slice(0, k)), _Head(seen, slice(k, k + len(seen.label_names)))]
    first, (clean_N, right_NCS) = _right_answers(classify, faces, heads, chosen_N, place, draw.seed, progress)
    voted_N = seen.labels[chosen_N] != _NO_LABEL
    if not voted_N.any():
        raise InputError(f"robustness on '{labels.split}': no face has votes to hold the people's head against")
    second = clean_N[voted_N], right_NCS[voted_N]
    return (
        _scored(labels, first, len(faces), place, draw),
        _scored(seen, second, int((seen.labels != _NO_LABEL).sum()), place, draw),
    )


def _scored(clean: Predictions, right: tuple[Bools, Bools], of: int, place: Alignment, draw: Draw) -> Robustness:
    clean_N, right_NCS = right
    n, (clean_B, right_BCS) = len(clean_N), _counts(clean_N, right_NCS, draw)
    mean, drop = _mean_and_drop(clean_B, right_BCS.reshape(len(clean_B), -1), n)
    return Robustness(
        split=clean.split,
        n=n,
        of=of,
        seed=draw.seed,
        alignment=place,
        clean=_estimate(clean_B / n),
        mean=mean,
        drop=drop,
        corruptions=tuple(_score(name, clean_B, right_BCS[:, c], n) for c, name in enumerate(CORRUPTIONS)),
    )


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


def _sample(n: int, draw: Draw) -> npt.NDArray[np.int64]:
    """Indices in rising order, all of them unless there are more than wanted."""
    if draw.most is not None and draw.most < 1:
        raise InputError(f"robustness on at most {draw.most} faces: expected 1 or more")
    if draw.most is None or n <= draw.most:
        return np.arange(n)
    return np.sort(np.random.default_rng(draw.seed).permutation(n)[: draw.most])


@dataclass(frozen=True)
class _Head:
    """One head of a model: its clean predictions of the faces with their truth, and where its outputs stand."""

    clean: Predictions
    columns: slice


def _right_answers(
    classify: Classify,
    faces: FaceSet,
    heads: Sequence[_Head],
    chosen_N: npt.NDArray[np.int64],
    alignment: Alignment,
    seed: int,
    progress: Progress | None,
) -> list[tuple[Bools, Bools]]:
    """By head `(N,)` and `(N, C, S)`: whether it is right on each chosen face, clean and under each corruption."""
    shape = (len(chosen_N), len(CORRUPTIONS), len(SEVERITIES))
    found = [(np.zeros(shape[0], dtype=bool), np.zeros(shape, dtype=bool)) for _ in heads]
    for start in range(0, len(chosen_N), BATCH):
        rows = chosen_N[start : start + BATCH]
        place, crops = slice(start, start + len(rows)), faces.gather(rows)
        for head, answers, (clean_N, _) in zip(heads, _predicted(classify, list(crops), heads), found, strict=True):
            if start == 0:
                _check_same_model(answers, head.clean.predicted[rows])
            clean_N[place] = answers == head.clean.labels[rows]
        for c, corruption in enumerate(CORRUPTIONS):
            for s, severity in enumerate(SEVERITIES):
                changed = [
                    corrupt(crop, corruption, severity, identity=identity, alignment=alignment, seed=seed)
                    for crop, identity in zip(crops, faces.hashes[rows], strict=True)
                ]
                said = _predicted(classify, changed, heads)
                for head, answers, (_, right_NCS) in zip(heads, said, found, strict=True):
                    right_NCS[place, c, s] = answers == head.clean.labels[rows]
            if progress:
                before = start * len(CORRUPTIONS) + (c + 1) * len(rows)
                progress("corrupting faces", before * len(SEVERITIES), int(np.prod(shape)))
    return found


def _predicted(classify: Classify, crops: Sequence[Pixels], heads: Sequence[_Head]) -> list[npt.NDArray[np.int64]]:
    """By head the most probable class of each crop."""
    probs_NO = classify(crops)
    expected = (len(crops), sum(len(head.clean.label_names) for head in heads))
    if probs_NO.shape != expected:
        raise InputError(f"robustness: the model answers with {probs_NO.shape}, expected {expected} probabilities")
    return [np.asarray(probs_NO[:, head.columns].argmax(axis=1), dtype=np.int64) for head in heads]


def _check_same_model(answers_N: npt.NDArray[np.int64], expected_N: npt.NDArray[np.int64]) -> None:
    """A drop against the clean accuracy of something else would look like any other drop."""
    same = int((answers_N == expected_N).sum())
    if same < _SAME_ANSWERS * len(expected_N):
        raise InputError(
            f"robustness: without corruption the model answers as its predictions say for {same} of the first "
            f"{len(expected_N)} faces only. Predict again with this model: mien evaluate MODEL --data PATH"
        )


def _counts(clean_N: Bools, right_NCS: Bools, draw: Draw) -> tuple[Floats, Floats]:
    """`(1 + B,)` and `(1 + B, C, S)`: right answers without and with corruption, of the faces, then of every draw."""
    n, *shape = right_NCS.shape
    right_NM = np.column_stack([clean_N, right_NCS.reshape(n, -1)]).astype(np.float64)
    blocks = [weights_BN @ right_NM for weights_BN in bootstrap_weights(n, draw.draws, draw.seed)]
    counts_BM = np.concatenate([right_NM.sum(axis=0, keepdims=True), *blocks])
    return counts_BM[:, 0], counts_BM[:, 1:].reshape(-1, *shape)


def _score(corruption: Corruption, clean_B: Floats, right_BS: Floats, n: int) -> CorruptionScore:
    first, second, third, fourth, fifth = (_estimate(right_B / n) for right_B in right_BS.T)
    mean, drop = _mean_and_drop(clean_B, right_BS, n)
    return CorruptionScore(corruption=corruption, accuracy=(first, second, third, fourth, fifth), mean=mean, drop=drop)


def _mean_and_drop(clean_B: Floats, right_BM: Floats, n: int) -> tuple[Estimate, Estimate]:
    """Over M ways of corrupting the faces. Divided last, so that equal counts leave a drop of exactly 0."""
    total_B, ways = right_BM.sum(axis=1), right_BM.shape[1]
    return _estimate(total_B / (n * ways)), _estimate((clean_B * ways - total_B) / (n * ways))


def _estimate(values_B: Floats) -> Estimate:
    """The first value, with the interval of the draws that follow it."""
    return estimate(values_B[0], values_B[1:])
