"""Graphs: a training step recorded once on a GPU and replayed, so that it does not wait for orders.

A step of `small-v2` is some 500 small kernels of a few microseconds each, and giving an order for one takes a CPU
longer than that. A CUDA graph is one order for all of them. Recorded are forward, loss, backward and the optimizer's
move; pictures are prepared beforehand, for several steps at once (`loaders.Resident`). On one H100 that is 33,000
images/s where it was 5,000, and with a ViT of 22 million parameters at 224 px 2,700 where it was 1,000.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from mien.training.hardware import training_attention

# Network input and targets → the loss that is followed downhill, the loss that is reported, the logits of the labels.
Losses = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]
_WARM_UP = 3  # steps before recording: libraries choose their kernels in the first ones

logger = logging.getLogger(__name__)


def recorded(
    losses: Losses,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    example: tuple[torch.Tensor, torch.Tensor],
    half: bool,
) -> Recorded | None:
    """The step of `losses` and `optimizer` for batches of the shape of `example`; `half`: under autocast to bfloat16.

    Weights, statistics and the optimizer's state are afterwards as they were. None, with a line in the log, where it
    cannot be recorded. A step of another shape may be made in between in the ordinary way.
    """
    try:
        with _put_back(network, optimizer):
            return Recorded(losses, optimizer, example, half)
    except Exception as error:  # whatever it is, the training goes on without
        reason = str(error).split("\n")[0]
        logger.warning("a training step cannot be recorded as a CUDA graph (%s): slower, same numbers", reason)
        return None


class Recorded:
    """A recorded step: call it with a batch, and the weights have moved."""

    def __init__(
        self,
        losses: Losses,
        optimizer: torch.optim.Optimizer,
        example: tuple[torch.Tensor, torch.Tensor],
        half: bool,
    ) -> None:
        self._losses, self._optimizer, self._half = losses, optimizer, half
        self._shown, self._wanted = (part.detach().clone() for part in example)
        self._device = self._shown.device
        self._rates = [torch.tensor(float(group["lr"]), device=self._device) for group in optimizer.param_groups]
        self._told = [float(group["lr"]) for group in optimizer.param_groups]
        with _rates_in(optimizer, self._rates):
            self._replay = record(self._step)

    def fits(self, batch: tuple[torch.Tensor, torch.Tensor]) -> bool:
        """Whether the batch has as many images as were recorded."""
        return len(batch[0]) == len(self._shown)

    def __call__(self, shown: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss that is reported and the logits, which hold until the next call."""
        self._shown.copy_(shown)
        self._wanted.copy_(wanted)
        for place, group in enumerate(self._optimizer.param_groups):
            if group["lr"] != self._told[place]:
                self._told[place] = group["lr"]
                self._rates[place].fill_(group["lr"])
        self._replay()
        return self._loss, self._logits

    def _step(self) -> None:
        self._optimizer.zero_grad()
        # What is recorded converts the weights anew each time, so they must not come from autocast's cache.
        with (
            torch.autocast(self._device.type, torch.bfloat16, enabled=self._half, cache_enabled=False),
            training_attention(self._device.type),
        ):
            total, loss, logits = self._losses(self._shown, self._wanted)
        total.backward()  # type: ignore[no-untyped-call]
        self._loss, self._logits = loss.detach(), logits.detach()
        self._optimizer.step()


def record(step: Callable[[], None]) -> Callable[[], None]:
    """What repeats `step` on the same memory. It has been run a few times then."""
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(_WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


@contextmanager
def _rates_in(optimizer: torch.optim.Optimizer, rates: list[torch.Tensor]) -> Iterator[None]:
    """The learning rates as numbers on the device, where a recorded step reads them; then as they were."""
    before = [dict(group) for group in optimizer.param_groups]
    try:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
            if "capturable" in group:  # Adam refuses to be recorded without
                group["capturable"] = rate.is_cuda
        yield
    finally:
        for group, own in zip(optimizer.param_groups, before, strict=True):
            group.update(own)


@contextmanager
def _put_back(network: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Leave weights, statistics and the optimizer's state as they are. State that is new in between is zero then."""
    ours = [*network.parameters(), *network.buffers()]
    before = [one.detach().clone() for one in ours]
    states = {id(value): value.clone() for value in _state(optimizer)}
    try:
        yield
    finally:
        optimizer.zero_grad()
        with torch.no_grad():
            for one, value in zip(ours, before, strict=True):
                one.copy_(value)
            for value in _state(optimizer):
                value.copy_(states[id(value)]) if id(value) in states else value.zero_()


def _state(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    every = [value for state in optimizer.state.values() for value in state.values()]
    return [value for value in every if isinstance(value, torch.Tensor)]
