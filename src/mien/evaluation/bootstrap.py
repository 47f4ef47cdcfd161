"""Bootstrap: figures of a set of images and of every resample of it at once, and the intervals that these give.

Shapes: N images, K classes, B bootstrap draws, M models, R ratios, U different values, C = 3K + 1 columns of a tally.
Macro F1 and mean class accuracy run over the classes that occur among the true labels; in a bootstrap draw, over the
classes that occur in that draw. A class that occurs but is never predicted counts as F1 0.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from mien.confidence import SMALLEST_PROBABILITY
from mien.errors import InputError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

Ratio = tuple[Floats, Floats]  # `(N,)` above and below the line; the figure is the ratio of their sums

BLOCK = 4_000_000  # weights held at a time; their int64 counts are twice that size
_K = TypeVar("_K", bound=Hashable)


class Frozen(BaseModel):
    """Numbers that do not change, with a JSON round trip."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Estimate(Frozen):
    """A figure and its 95 % bootstrap interval (percentile, over images)."""

    value: float
    low: float
    high: float

    def __neg__(self) -> Estimate:
        """A difference, taken the other way round."""
        return Estimate(value=-self.value, low=-self.high, high=-self.low)


@dataclass(frozen=True, eq=False)
class Figures:
    """The headline figures of B weightings of the same images: accuracies and F1 are 0–1, nll is in nats."""

    accuracy: Floats  # (B,)
    macro_f1: Floats  # (B,)
    weighted_f1: Floats  # (B,)
    mean_class_accuracy: Floats  # (B,)
    nll: Floats  # (B,)


@dataclass(frozen=True, eq=False)
class ClassFigures:
    """The figures of each class in 0–1, NaN where undefined.

    Precision is undefined for a class never predicted, recall and F1 for a class without an image.
    """

    precision: Floats  # (K,)
    recall: Floats  # (K,)
    f1: Floats  # (K,)
    support: Ints  # (K,)


def confusion_counts(labels_N: Ints, predicted_N: Ints, classes: int) -> Ints:
    """`(K, K)` counts: row is the true class, column the predicted one."""
    from sklearn.metrics import confusion_matrix

    return np.asarray(confusion_matrix(labels_N, predicted_N, labels=np.arange(classes)), dtype=np.int64)


def class_figures(labels_N: Ints, predicted_N: Ints, classes: int) -> ClassFigures:
    """Precision, recall, F1 and support of each of the K classes."""
    from sklearn.metrics import precision_recall_fscore_support

    precision, recall, f1, support = precision_recall_fscore_support(
        labels_N, predicted_N, labels=np.arange(classes), average=None, zero_division=np.nan
    )
    # scikit-learn gives F1 0 to a class without an image that was predicted; its recall is undefined, so its F1 is too.
    return ClassFigures(precision, recall, np.where(support > 0, f1, np.nan), np.asarray(support, dtype=np.int64))


def nll_per_image(labels_N: Ints, probs_NK: npt.NDArray[np.floating]) -> Floats:
    """`(N,)` negative log of the probability given to the true class, in nats; probabilities count as at least 1e-7."""
    true_N = probs_NK[np.arange(len(labels_N)), labels_N].astype(np.float64)
    return np.asarray(-np.log(true_N.clip(SMALLEST_PROBABILITY, 1.0)))


def point_figures(labels_N: Ints, probs_NK: npt.NDArray[np.floating]) -> Figures:
    """The figures of the images as they are (B = 1)."""
    from sklearn.metrics import accuracy_score, f1_score

    predicted_N = probs_NK.argmax(axis=1)
    occurring = np.unique(labels_N)
    recall = class_figures(labels_N, predicted_N, probs_NK.shape[1]).recall
    return Figures(
        accuracy=np.array([accuracy_score(labels_N, predicted_N)]),
        macro_f1=np.array([f1_score(labels_N, predicted_N, labels=occurring, average="macro", zero_division=0.0)]),
        weighted_f1=np.array(
            [f1_score(labels_N, predicted_N, labels=occurring, average="weighted", zero_division=0.0)]
        ),
        mean_class_accuracy=np.array([np.nanmean(recall)]),
        nll=np.array([nll_per_image(labels_N, probs_NK).mean()]),
    )


def tally(labels_N: Ints, probs_NK: npt.NDArray[np.floating]) -> Floats:
    """`(N, C)` what each image adds: to its class if right, to its class, to the predicted class (K each), to the nll.

    These column sums are the diagonal, the row sums and the column sums of the confusion matrix, which is all that the
    headline figures need; so the cost grows with K and not with K².
    """
    n, k = probs_NK.shape
    rows_N, predicted_N = np.arange(n), probs_NK.argmax(axis=1)
    tally_NC = np.zeros((n, 3 * k + 1))
    tally_NC[rows_N, labels_N] = predicted_N == labels_N
    tally_NC[rows_N, k + labels_N] = 1
    tally_NC[rows_N, 2 * k + predicted_N] = 1
    tally_NC[:, -1] = nll_per_image(labels_N, probs_NK)
    return tally_NC


def weighted_figures(weights_BN: Floats, tally_NC: Floats) -> Figures:
    """The figures of B weightings of the images behind a tally; every row of weights sums to more than 0."""
    k = tally_NC.shape[1] // 3
    sums_BC = (
        weights_BN @ tally_NC
    )  # in float64: sums in float32 differ from processor to processor at the seventh digit
    right_BK, true_BK, predicted_BK = sums_BC[:, :k], sums_BC[:, k : 2 * k], sums_BC[:, 2 * k : 3 * k]
    n_B, present_B = true_BK.sum(axis=1), (true_BK > 0).sum(axis=1)
    # A class without an image in the draw has right = 0: dividing by 1 there adds 0 to the sums below.
    recall_BK = right_BK / np.maximum(true_BK, 1)
    f1_BK = np.where(true_BK > 0, 2 * right_BK / np.maximum(true_BK + predicted_BK, 1), 0.0)
    return Figures(
        accuracy=right_BK.sum(axis=1) / n_B,
        macro_f1=f1_BK.sum(axis=1) / present_B,
        weighted_f1=(f1_BK * true_BK).sum(axis=1) / n_B,
        mean_class_accuracy=recall_BK.sum(axis=1) / present_B,
        nll=sums_BC[:, -1] / n_B,
    )


def bootstrap_weights(n: int, draws: int = 2000, seed: int = 0, chunk: int = BLOCK) -> Iterator[Floats]:
    """Blocks `(b, N)` of how often each of `n` images stands in each bootstrap resample; `draws` rows in all.

    Every row sums to `n`. A block holds at most `chunk` numbers, and at least one row; the rows do not depend on it.
    Source: Efron, Bootstrap methods: another look at the jackknife, Annals of Statistics 7 (1979).
    """
    rng = np.random.default_rng(seed)
    rows = max(1, chunk // n)
    for start in range(0, draws, rows):
        b = min(rows, draws - start)
        picked_BN = rng.integers(n, size=(b, n))
        picked_BN += np.arange(b)[:, None] * n  # one count over b * n cells: far quicker than multinomial draws
        yield np.bincount(picked_BN.ravel(), minlength=b * n).reshape(b, n).astype(np.float64)


def bootstrap_figures(tallies_MNC: Sequence[Floats], draws: int = 2000, seed: int = 0) -> list[Figures]:
    """The figures of every bootstrap draw (B = `draws`) for M models on the same images.

    All models see the same resamples, so differences between two models, draw by draw, are a paired bootstrap.
    Raises `InputError` when `draws` is below 1.
    """
    if draws < 1:
        raise InputError(f"bootstrap draws: expected at least 1, got {draws}")
    blocks: list[list[Figures]] = [[] for _ in tallies_MNC]
    for weights_BN in bootstrap_weights(len(tallies_MNC[0]), draws, seed):
        for model_blocks, tally_NC in zip(blocks, tallies_MNC, strict=True):
            model_blocks.append(weighted_figures(weights_BN, tally_NC))
    return [_concatenate(model_blocks) for model_blocks in blocks]


def interval(samples_B: Floats) -> tuple[float, float]:
    """The central 95 % of the bootstrap draws: their 2.5 and 97.5 percentiles."""
    low, high = np.percentile(samples_B, [2.5, 97.5])
    return float(low), float(high)


def estimate(value: float, samples_B: Floats) -> Estimate:
    """`value` with the 95 % percentile interval of its bootstrap draws `(B,)`."""
    low, high = interval(samples_B)
    return Estimate(value=float(value), low=low, high=high)


def estimates(ratios: Mapping[_K, Ratio], *, draws: int = 2000, seed: int = 0) -> dict[_K, Estimate]:
    """Each ratio with its interval, over the draws where it is defined; without those that are 0 by 0 as a whole.

    All are computed on the same resamples, so the ratio of a difference has the interval of a paired bootstrap.
    """
    if draws < 1:
        raise InputError(f"bootstrap draws: expected at least 1, got {draws}")
    above_NR, below_NR = (np.stack([ratio[i] for ratio in ratios.values()], axis=1) for i in (0, 1))
    with np.errstate(invalid="ignore"):  # 0 / 0 where a draw lacks a class
        point_R = above_NR.sum(axis=0) / below_NR.sum(axis=0)
        samples_BR = np.concatenate(
            [
                (weights_BN @ above_NR) / (weights_BN @ below_NR)
                for weights_BN in bootstrap_weights(len(above_NR), draws, seed)
            ]
        )
    return {
        key: estimate(point_R[r], samples_BR[~np.isnan(samples_BR[:, r]), r])
        for r, key in enumerate(ratios)
        if not np.isnan(point_R[r])
    }


def spearman(x_N: Floats, y_N: Floats, *, draws: int = 2000, seed: int = 0) -> Estimate | None:
    """Rank correlation of two figures of the same images, and its interval over resamples of the images.

    None where one side is constant. Source: Spearman, American Journal of Psychology 15 (1904).
    """
    (point,) = weighted_spearman(x_N, y_N, np.ones((1, len(x_N))))
    if np.isnan(point):
        return None
    blocks = bootstrap_weights(len(x_N), draws, seed)
    samples_B = np.concatenate([weighted_spearman(x_N, y_N, weights_BN) for weights_BN in blocks])
    return estimate(point, samples_B[~np.isnan(samples_B)])


def weighted_spearman(x_N: Floats, y_N: Floats, weights_BN: Floats) -> Floats:
    """`(B,)` of the resamples in which each image stands `weights` times; NaN where one side is constant."""
    x_BN, y_BN = _centered_ranks(x_N, weights_BN), _centered_ranks(y_N, weights_BN)
    together_B = np.einsum("bn,bn,bn->b", weights_BN, x_BN, y_BN)
    scale_B = np.sqrt(
        np.einsum("bn,bn,bn->b", weights_BN, x_BN, x_BN) * np.einsum("bn,bn,bn->b", weights_BN, y_BN, y_BN)
    )
    undefined_B = np.full(len(scale_B), np.nan)
    return np.asarray(np.divide(together_B, scale_B, out=undefined_B, where=scale_B > 0))


def _concatenate(blocks: Sequence[Figures]) -> Figures:
    return Figures(
        accuracy=np.concatenate([block.accuracy for block in blocks]),
        macro_f1=np.concatenate([block.macro_f1 for block in blocks]),
        weighted_f1=np.concatenate([block.weighted_f1 for block in blocks]),
        mean_class_accuracy=np.concatenate([block.mean_class_accuracy for block in blocks]),
        nll=np.concatenate([block.nll for block in blocks]),
    )


def _centered_ranks(values_N: Floats, weights_BN: Floats) -> Floats:
    """`(B, N)` mean rank of each image's value in each resample, less the mean of all ranks."""
    _, place_N = np.unique(values_N, return_inverse=True)
    order_N = np.argsort(place_N, kind="stable")
    starts_U = np.searchsorted(place_N[order_N], np.arange(place_N.max() + 1))
    count_BU = np.add.reduceat(weights_BN[:, order_N], starts_U, axis=1)
    middle_BU = np.cumsum(count_BU, axis=1) - count_BU / 2
    return np.asarray((middle_BU - count_BU.sum(axis=1, keepdims=True) / 2)[:, place_N])
