"""Average: the moving average of a network's weights, whose figures count and which is kept."""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

_Pairs = tuple[list[torch.Tensor], list[torch.Tensor]]


class Average(AveragedModel):
    """The moving average of a network's weights and statistics, of short memory at first and then of `decay` per step.

    Source: Polyak and Juditsky 1992; the short memory at first is that of tf.train.ExponentialMovingAverage. Of torch's
    class the copy of the network and the count of steps are used: its loop over the weights takes a GPU a kernel for
    each of them, and reads the count at every step, for which all that was begun must end.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__(network, use_buffers=True)
        self.requires_grad_(False)
        self._decay = decay
        self._steps: int | None = None
        self._numbers: _Pairs = ([], [])  # theirs and ours
        self._counts: _Pairs = ([], [])  # of steps, which have no mean

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Called once a step, first when weights and device are those of the training."""
        if self._steps is None:
            self._steps = int(self.n_averaged)  # of an earlier part of the training, where it was resumed
            for pair in zip(_state(self.module), _state(model), strict=True):
                chosen = self._numbers if pair[0].is_floating_point() else self._counts
                for part, tensor in zip(chosen, pair, strict=True):
                    part.append(tensor)
        steps = self._steps
        share = 1 - min(self._decay, (1 + steps) / (10 + steps)) if steps else 1.0
        torch._foreach_lerp_(*self._numbers, share)
        if self._counts[0]:
            torch._foreach_copy_(*self._counts)
        self._steps += 1
        self.n_averaged += 1


def _state(network: nn.Module) -> list[torch.Tensor]:
    return [one.detach() for one in itertools.chain(network.parameters(), network.buffers())]
