"""Adjust: a trained network answers as if rare classes were less rare, by its last bias alone.

Source: Menon et al. 2021, "Long-tail learning via logit adjustment", section 4.1. Shapes: N faces, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch


def adjusted(
    weights: Mapping[str, torch.Tensor], bias: str, labels: npt.NDArray[np.int64], strength: float
) -> dict[str, torch.Tensor]:
    """The weights with `strength` times the log of each class's share of the train `labels` (N,) off the last `bias`.

    At 1 the answers favor no class over another; every class must have a label.
    """
    shares = np.bincount(labels, minlength=len(weights[bias])) / len(labels)
    shift = torch.tensor(strength * np.log(shares), dtype=weights[bias].dtype)
    return {**weights, bias: weights[bias] - shift}
