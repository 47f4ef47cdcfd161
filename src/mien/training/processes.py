"""Processes: what those of one training know and tell each other.

Lightning starts the further ones itself, as copies of this program, once the first is ready to train. Where something
else has started them all (`Launched`), they begin together, and the first one's word holds for the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch.distributed as dist
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.pytorch.strategies import Strategy

from mien.errors import MienError

T = TypeVar("T")


@dataclass(frozen=True)
class Launched:
    """Processes that are there already, on any number of machines, with a process group of torch."""

    strategy: Callable[[bool], Strategy]  # whether there are parameters that do not learn at times
    environment: ClusterEnvironment


def is_first() -> bool:
    """Whether this process is the first of its training, or the only one."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) == 0


def decided_by_first(decide: Callable[[], T], otherwise: T) -> T:
    """What the first process decides, or raises, for all that began together.

    `otherwise`: for one that was started later, when it was decided.
    """
    if not dist.is_initialized():
        return decide() if is_first() else otherwise
    told: list[object] = [None, None]
    if is_first():
        try:
            told[0] = decide()
        except MienError as error:
            told[1] = error
    dist.broadcast_object_list(told)
    if isinstance(told[1], MienError):
        raise told[1]
    return told[0]  # type: ignore[return-value]


@contextmanager
def first_of_this_machine() -> Iterator[None]:
    """What is done within: the first process of each machine does it before the others begin, who find it done."""
    together, later = dist.is_initialized(), int(os.environ.get("LOCAL_RANK", "0")) > 0
    if together and later:
        dist.barrier()
    yield
    if together and not later:
        dist.barrier()
