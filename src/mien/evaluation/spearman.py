"""Spearman: the rank correlation of two figures of the same images, and its interval.

Ties have their mean rank. Shapes: N images, B bootstrap draws, U different values.
"""

from __future__ import annotations

import numpy as np

from mien.evaluation import metrics
from mien.evaluation.evaluate import Estimate, estimate

Floats = metrics.Floats


def spearman(x_N: Floats, y_N: Floats, *, draws: int = 2000, seed: int = 0) -> Estimate | None:
    """Rank correlation of two figures of the same images, and its interval over resamples of the images.

    None where one side is constant. Source: Spearman, American Journal of Psychology 15 (1904).
    """
    (point,) = weighted_spearman(x_N, y_N, np.ones((1, len(x_N)), np.float32))
    if np.isnan(point):
        return None
    blocks = metrics.bootstrap_weights(len(x_N), draws, seed)
    samples_B = np.concatenate([weighted_spearman(x_N, y_N, weights_BN) for weights_BN in blocks])
    return estimate(point, samples_B[~np.isnan(samples_B)])


def weighted_spearman(x_N: Floats, y_N: Floats, weights_BN: metrics.Singles) -> Floats:
    """`(B,)` of the resamples in which each image stands `weights` times; NaN where one side is constant."""
    x_BN, y_BN = _centered_ranks(x_N, weights_BN), _centered_ranks(y_N, weights_BN)
    together_B = np.einsum("bn,bn,bn->b", weights_BN, x_BN, y_BN)
    scale_B = np.sqrt(
        np.einsum("bn,bn,bn->b", weights_BN, x_BN, x_BN) * np.einsum("bn,bn,bn->b", weights_BN, y_BN, y_BN)
    )
    undefined_B = np.full(len(scale_B), np.nan)
    return np.asarray(np.divide(together_B, scale_B, out=undefined_B, where=scale_B > 0))


def _centered_ranks(values_N: Floats, weights_BN: metrics.Singles) -> Floats:
    """`(B, N)` mean rank of each image's value in each resample, less the mean of all ranks."""
    _, place_N = np.unique(values_N, return_inverse=True)
    order_N = np.argsort(place_N, kind="stable")
    starts_U = np.searchsorted(place_N[order_N], np.arange(place_N.max() + 1))
    count_BU = np.add.reduceat(weights_BN[:, order_N].astype(np.float64), starts_U, axis=1)
    middle_BU = np.cumsum(count_BU, axis=1) - count_BU / 2
    return np.asarray((middle_BU - count_BU.sum(axis=1, keepdims=True) / 2)[:, place_N])
