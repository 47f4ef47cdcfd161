"""Muon: the kernels of convolutions move by orthogonal steps, everything else by AdamW.

Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"
(https://kellerjordan.github.io/posts/muon/). torch's own Muon takes matrices alone and leaves the rest to a second
optimizer, which Lightning would have to be driven by hand for. Shapes: O outputs, I inputs of a matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

_REST = 0.1  # of the learning rate, for what AdamW moves
_STEPS = 3  # of the iteration: enough for small kernels
_QUINTIC = (3.4445, -4.7750, 2.0315)  # the source's coefficients


class Muon(torch.optim.AdamW):
    """One optimizer of two kinds of step: `param_groups[0]` holds the kernels, `param_groups[1]` the rest.

    A kernel counts as the matrix `(O, I * height * width)`. `lr` scales its orthogonal step; the rest moves at a tenth
    of it. `momentum` is Nesterov's, of the orthogonal steps alone.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float = 0.0, momentum: float = 0.95
    ) -> None:
        every = list(parameters)
        kernels = [one for one in every if _is_kernel(one)]
        rest = [one for one in every if not _is_kernel(one)]
        groups: list[dict[str, Any]] = [{"params": kernels, "lr": lr}, {"params": rest, "lr": _REST * lr}]
        super().__init__(groups, lr=lr, weight_decay=weight_decay)
        self._momentum = momentum

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        how = self.param_groups[0]
        for kernel in how["params"]:
            if kernel.grad is not None:
                self._move(kernel, kernel.grad, how["lr"], how["weight_decay"])
                kernel.grad = None  # AdamW passes over what has none
        super().step()
        return loss

    def _move(self, kernel: torch.Tensor, gradient: torch.Tensor, lr: float, weight_decay: float) -> None:
        state = self.state[kernel]
        if not state:
            # AdamW asks each state for its steps when it is read back.
            state.update(step=torch.tensor(0.0), momentum_buffer=torch.zeros_like(gradient))
        buffer = state["momentum_buffer"].mul_(self._momentum).add_(gradient)
        wanted = gradient.add(buffer, alpha=self._momentum)
        outputs, inputs = wanted.flatten(1).shape
        change = orthogonal(wanted.flatten(1)).view_as(kernel)
        kernel.mul_(1 - lr * weight_decay).add_(change, alpha=-lr * max(1.0, outputs / inputs) ** 0.5)


def orthogonal(matrix_OI: torch.Tensor) -> torch.Tensor:
    """Towards `U @ V.T` of the singular value decomposition `U @ S @ V.T`.

    Newton-Schulz iteration of the fifth order, with the source's coefficients but three steps for its five: singular
    values from about 1/80 of the matrix's norm upwards come near 1, smaller ones grow fortyfold.
    """
    wide = matrix_OI if matrix_OI.shape[0] <= matrix_OI.shape[1] else matrix_OI.T
    found: torch.Tensor = wide / (wide.norm() + 1e-7)
    first, third, fifth = _QUINTIC
    for _ in range(_STEPS):
        square = found @ found.T
        found = first * found + (third * square + fifth * square @ square) @ found
    return found if wide is matrix_OI else found.T


def _is_kernel(parameter: nn.Parameter) -> bool:
    """With several inputs: rows of a depthwise kernel, or of a first one on gray, are too short to be orthogonal."""
    return parameter.ndim == 4 and parameter.shape[1] > 1
