"""Graphs: the passes forward and back of a small network as one order to a GPU each, in place of hundreds.

Where the time of a step of `small-v2` goes (batch 128, 225 steps an epoch; operations as counted, each about a kernel):
augmentation 144, forward 91 and backward 110 (and half as many conversions to bfloat16 again), Muon 115 (755 where each
weight moves by itself), figures and loss 30, moving average 3. At 5 to 10 µs of the CPU for each that is 3 to 6 ms,
estimated, and more than the GPU computes for: it waits for orders. Hence graphs, and several trainings side by side as
processes, each with orders of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import nn

logger = logging.getLogger(__name__)

Forward = Callable[[torch.Tensor], torch.Tensor]


def graphed(network: nn.Module, example: torch.Tensor, half: bool) -> Forward | None:
    """Logits of a batch of the shape of `example`, from a recorded graph, with a recorded backward pass.

    `half`: in bfloat16 where autocast would choose that. None, with a line in the log, where it cannot be recorded. The
    network itself stays as it is, for other batches: its statistics are put back after the passes that warm up.
    """
    before = [buffer.clone() for buffer in network.buffers()]
    network.train()
    try:
        # What is recorded converts the weights anew each time, so they must not come from autocast's cache.
        with torch.autocast(example.device.type, torch.bfloat16, enabled=half, cache_enabled=False):
            torch.cuda.make_graphed_callables(network, (example.clone(),))
        return network.forward  # which is the graph's, for now
    except Exception as error:  # whatever it is, the training goes on without
        logger.warning("the network is not recorded as a graph (%s): slower, same numbers", str(error).split("\n")[0])
        return None
    finally:
        vars(network).pop("forward", None)
        with torch.no_grad():
            for buffer, value in zip(network.buffers(), before, strict=True):
                buffer.copy_(value)
