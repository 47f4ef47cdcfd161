"""Ratios: figures that are a sum over images divided by another sum, many at once, each with its interval.

Shapes: N images, B bootstrap draws, R ratios.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

import numpy as np

from mien.errors import InputError
from mien.evaluation import metrics
from mien.evaluation.evaluate import Estimate, estimate

Floats = metrics.Floats
Ratio = tuple[Floats, Floats]  # (N,) and (N,): the figure is the sum of the first over the sum of the second
_K = TypeVar("_K", bound=Hashable)


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
                for weights_BN in metrics.bootstrap_weights(len(above_NR), draws, seed)
            ]
        )
    return {
        key: estimate(point_R[r], samples_BR[~np.isnan(samples_BR[:, r]), r])
        for r, key in enumerate(ratios)
        if not np.isnan(point_R[r])
    }
