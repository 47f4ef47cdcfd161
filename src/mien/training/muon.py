"""Muon: the kernels of convolutions move by orthogonal steps, everything else by AdamW.

Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"
(https://kellerjordan.github.io/posts/muon/). torch's own Muon takes matrices alone and leaves the rest to a second
optimizer, which Lightning would have to be driven by hand for. Shapes: O outputs, I inputs of a matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from mien.errors import InputError
from mien.recipes.recipe import Recipe
from mien.recipes.sections import Pretrained

_REST = 0.1  # of the learning rate, for what AdamW moves
_LEAST_SHARE = 0.5  # of a pre-trained network's weights that must be kernels
_STEPS = 3  # of the iteration: enough for small kernels
_QUINTIC = (3.4445, -4.7750, 2.0315)  # the source's coefficients


class Muon(torch.optim.AdamW):
    """One optimizer of two kinds of step: `param_groups[0]` holds the kernels, `param_groups[1]` the rest.

    A kernel counts as the matrix `(O, I * height * width)`. `lr` scales its orthogonal step; the rest moves at a tenth
    of it. `momentum` is Nesterov's, of the orthogonal steps alone.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        *,
        fused: bool | None = None,
    ) -> None:
        every = list(parameters)
        kernels = [one for one in every if _is_kernel(one)]
        rest = [one for one in every if not _is_kernel(one)]
        groups: list[dict[str, Any]] = [{"params": kernels, "lr": lr}, {"params": rest, "lr": _REST * lr}]
        super().__init__(groups, lr=lr, weight_decay=weight_decay, fused=fused)
        self._momentum = momentum

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        how = self.param_groups[0]
        kernels = [kernel for kernel in how["params"] if kernel.grad is not None]
        if kernels:
            self._move(kernels, how["lr"], how["weight_decay"])
        super().step()
        return loss

    def _move(self, kernels: list[torch.Tensor], lr: float | torch.Tensor, weight_decay: float) -> None:
        """`lr` is a tensor where the step is recorded (`training.graphs`)."""
        gradients = [kernel.grad for kernel in kernels if kernel.grad is not None]
        for kernel, gradient in zip(kernels, gradients, strict=True):
            if not self.state[kernel]:
                # AdamW asks each state for its steps when it is read back.
                self.state[kernel].update(step=torch.tensor(0.0), momentum_buffer=torch.zeros_like(gradient))
            kernel.grad = None  # AdamW passes over what has none
        buffers = [self.state[kernel]["momentum_buffer"] for kernel in kernels]
        torch._foreach_mul_(buffers, self._momentum)
        torch._foreach_add_(buffers, gradients)
        wanted = [one.flatten(1) for one in torch._foreach_add(gradients, buffers, alpha=self._momentum)]
        changes = orthogonal_all(wanted) if wanted[0].is_cuda else [orthogonal(matrix) for matrix in wanted]
        torch._foreach_mul_(kernels, 1 - lr * weight_decay)
        for kernel, change in zip(kernels, changes, strict=True):
            outputs, inputs = change.shape
            rate = lr * max(1.0, outputs / inputs) ** 0.5
            if isinstance(rate, torch.Tensor):
                kernel.sub_(change.view_as(kernel) * rate)
            else:
                kernel.add_(change.view_as(kernel), alpha=-rate)


def check_kernels(network: nn.Module, recipe: Recipe) -> None:
    """Raise `InputError` for a pre-trained network that has little of what Muon moves, as one of matrices has."""
    if not isinstance(recipe.model, Pretrained):
        return
    sizes = [(parameter.numel(), _is_kernel(parameter)) for parameter in network.parameters()]
    share = sum(size for size, kernel in sizes if kernel) / sum(size for size, _ in sizes)
    if share < _LEAST_SHARE:
        raise InputError(
            f"recipe '{recipe.name}': optimizer.name muon moves the kernels of convolutions, which are {share:.0%} of "
            f"the weights of {recipe.model.backbone}. Use --set optimizer.name=adamw, with a lower optimizer.lr"
        )


def orthogonal_all(matrices: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """`orthogonal` of each, in a few large products instead of many small ones, which keep a GPU waiting for orders.

    Wide forms with equally many rows are stacked, shorter ones padded with columns of zeros, which stay zeros. The
    kernels of `small-v2` are twelve matrices of twelve shapes, but of five heights.
    """
    wide = [_wide(matrix) for matrix in matrices]
    by_height: dict[int, list[int]] = {}
    for place, one in enumerate(wide):
        by_height.setdefault(one.shape[0], []).append(place)
    found: dict[int, torch.Tensor] = {}
    for places in by_height.values():
        longest = max(wide[place].shape[1] for place in places)
        padded = [functional.pad(wide[place], (0, longest - wide[place].shape[1])) for place in places]
        for place, one in zip(places, _iterated_together(torch.stack(padded)), strict=True):
            narrow = one[:, : wide[place].shape[1]]
            found[place] = narrow if wide[place] is matrices[place] else narrow.T
    return [found[place] for place in range(len(matrices))]


def orthogonal(matrix_OI: torch.Tensor) -> torch.Tensor:
    """Towards `U @ V.T` of the singular value decomposition `U @ S @ V.T`.

    Newton-Schulz iteration of the fifth order, with the source's coefficients but three steps for its five: singular
    values from about 1/80 of the matrix's norm upwards come near 1, smaller ones grow fortyfold.
    """
    wide = _wide(matrix_OI)
    found = _iterated(wide)
    return found if wide is matrix_OI else found.T


def _wide(matrix_OI: torch.Tensor) -> torch.Tensor:
    return matrix_OI if matrix_OI.shape[0] <= matrix_OI.shape[1] else matrix_OI.T


def _iterated(wide_OI: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = wide_OI / (wide_OI.norm() + 1e-7)
    first, third, fifth = _QUINTIC
    for _ in range(_STEPS):
        square = found @ found.T
        found = first * found + (third * square + fifth * square @ square) @ found
    return found


def _iterated_together(wide_NOI: torch.Tensor) -> torch.Tensor:
    """The same of N matrices, three kernels a step."""
    found: torch.Tensor = wide_NOI / (wide_NOI.norm(dim=(1, 2), keepdim=True) + 1e-7)
    first, third, fifth = _QUINTIC
    for _ in range(_STEPS):
        square = torch.bmm(found, found.mT)
        change = torch.baddbmm(square, square, square, beta=third, alpha=fifth)
        found = torch.baddbmm(found, change, found, beta=first)
    return found


def _is_kernel(parameter: nn.Parameter) -> bool:
    """With several inputs: rows of a depthwise kernel, or of a first one on gray, are too short to be orthogonal."""
    return parameter.ndim == 4 and parameter.shape[1] > 1
