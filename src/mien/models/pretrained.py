"""Backbone: a pre-trained network as features, its blocks found by structure, and the work below a block split off.

Shapes: B images, C channels, S pixels, T tokens, D width, F features.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import nn

from mien.errors import InputError

Pooling = Literal["cls", "mean", "both"]


class Backbone(nn.Module):
    """Images `(B, C, S, S)` → features `(B, F)` of `network`, a model of transformers or one that behaves like it.

    C is 3 unless its config says otherwise (`num_channels`).

    `network(images)` returns an output with `last_hidden_state`, `(B, T, D)` or `(B, D, H, W)`. Its parameters belong
    to units, by the order in which they are used: 0 what comes before the first block, 1 to n the blocks from the
    bottom, n + 1 what comes after the last. What the features do not depend on (a pooler, say) belongs to none.
    """

    def __init__(self, network: nn.Module, features: Pooling, size: int, config: dict[str, Any]) -> None:
        super().__init__()
        self.network = network.eval()  # a look at it in train mode would move the statistics of its batch norms
        self.config = config  # from which `checkpoints.rebuild` makes the same network without weights
        self._channels = config.get("num_channels", 3)
        self.kind = features
        self._place = _find_blocks(network)
        self._prefix_tokens = self._count_prefix_tokens(size)
        self.units, self.width = self._probe(size)

    @property
    def blocks(self) -> list[nn.Module]:
        """From the bottom (next to the pixels) to the top; empty when the network has no list of blocks."""
        return list(getattr(*self._place)) if self._place else []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self._pool(self.network(images))

    def until(self, images: torch.Tensor, block: int) -> torch.Tensor:
        """What enters `blocks[block]`; nothing above it is computed."""
        with _hook(self.blocks[block], _stop):
            try:
                self.network(images)
            except _Reached as reached:
                return reached.hidden
        raise RuntimeError(f"block {block} was never reached")

    def after(self, hidden: torch.Tensor, block: int) -> torch.Tensor:
        """Features from what enters `blocks[block]`, as `until` gave it; nothing below is computed but the stem of one
        empty image, whose outcome is thrown away."""
        assert self._place
        parent, name = self._place
        whole = getattr(parent, name)

        def enter(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            return ((hidden, *args[1:]), kwargs) if args else (args, {**kwargs, _first_keyword(kwargs): hidden})

        with _hook(whole[block], enter):
            setattr(parent, name, nn.ModuleList(whole[block:]))
            try:
                return self._pool(self.network(self._empty(hidden)))
            finally:
                setattr(parent, name, whole)

    def parts(self, unit: int) -> list[nn.Module]:
        """The modules that hold the parameters of a unit themselves, for train or eval mode."""
        own = {id(parameter) for parameter in self.units[unit]}
        if 0 < unit <= len(self.blocks):
            return [self.blocks[unit - 1]]
        return [m for m in self.network.modules() if any(id(p) in own for p in m._parameters.values())]

    def _empty(self, hidden: torch.Tensor) -> torch.Tensor:
        return torch.zeros(1, self._channels, self._size, self._size, device=hidden.device)

    def _count_prefix_tokens(self, size: int) -> int:
        """Class token and registers in front of the patches; 0 for networks without."""
        self._size = size
        shape = (1, self._channels, size, size)
        shades = torch.linspace(0, 1, math.prod(shape)).view(shape)  # no two patches alike
        with torch.no_grad():
            hidden, again = (self.network(shades).last_hidden_state for _ in range(2))
        if hidden.shape != again.shape or not torch.allclose(hidden, again, atol=1e-3):
            raise InputError(
                "this backbone gives other numbers each time that it sees the same image (it hides patches at random, "
                "as masked autoencoders do), so it has no features of an image. Use one that sees all patches"
            )
        patch = patch_size(self.config)
        if hidden.ndim != 3 or patch is None:
            return 0
        return max(int(hidden.shape[1]) - (size // patch) ** 2, 0)

    def _pool(self, output: Any) -> torch.Tensor:
        hidden: torch.Tensor = output.last_hidden_state
        if self.kind != "mean" and not self._prefix_tokens:
            raise InputError(f"model.features is {self.kind}, but this backbone has no class token. Use mean")
        pooled: torch.Tensor | None = getattr(output, "pooler_output", None)
        if hidden.ndim == 4:  # convolutional: some put a norm after the mean, which is then in their own pooling
            return pooled.flatten(1) if pooled is not None else hidden.mean(dim=(2, 3))
        means = hidden[:, self._prefix_tokens :].mean(dim=1)
        if pooled is not None and getattr(getattr(self.network, "config", None), "use_mean_pooling", False):
            means = pooled  # as in BEiT: its last norm comes after the mean
        if self.kind == "mean":
            return means
        return hidden[:, 0] if self.kind == "cls" else torch.cat([hidden[:, 0], means], dim=1)

    def _probe(self, size: int) -> tuple[list[list[nn.Parameter]], int]:
        """Units of the parameters and the number of features, from one pass forward and backward."""
        order: list[nn.Module] = []
        handles = [m.register_forward_pre_hook(lambda module, _: order.append(module)) for m in self.network.modules()]
        try:
            with torch.enable_grad():
                features = self(torch.zeros(1, self._channels, size, size))
                features.sum().backward()
        finally:
            for handle in handles:
                handle.remove()
        used = {id(p) for p in self.network.parameters() if p.grad is not None}
        self.network.zero_grad(set_to_none=True)
        for parameter in self.network.parameters():
            parameter.requires_grad_(id(parameter) in used)
        return self._units(order, used), features.shape[1]

    def _units(self, order: list[nn.Module], used: set[int]) -> list[list[nn.Parameter]]:
        """The `used` parameters by unit, from the order in which the modules were entered."""
        blocks = self.blocks
        units: list[list[nn.Parameter]] = [[] for _ in range(len(blocks) + 2)]
        inside = {id(p): i for i, block in enumerate(blocks, 1) for p in block.parameters()}
        starts = {id(block): i for i, block in enumerate(blocks, 1)}
        reached, seen = 0, set[int]()
        for module in order:
            reached = starts.get(id(module), reached)
            outside = reached if reached < len(blocks) or not blocks else reached + 1
            for parameter in module._parameters.values():
                if parameter is not None and id(parameter) in used and id(parameter) not in seen:
                    seen.add(id(parameter))
                    units[inside.get(id(parameter), outside)].append(parameter)
        for parameter in self.network.parameters():  # read by another module than its own, which is never called
            if id(parameter) in used and id(parameter) not in seen:
                units[inside.get(id(parameter), 0)].append(parameter)
        return units


def patch_size(config: dict[str, Any]) -> int | None:
    """Side of a patch in pixels, where a checkpoint's configuration has square ones."""
    patch = config.get("patch_size")
    if isinstance(patch, list) and len(set(patch)) == 1:
        patch = patch[0]
    return patch if isinstance(patch, int) else None


class _Reached(Exception):  # noqa: N818 - no error: it leaves a forward pass early
    def __init__(self, hidden: torch.Tensor) -> None:
        self.hidden = hidden


def _stop(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    raise _Reached(args[0] if args else kwargs[_first_keyword(kwargs)])


def _first_keyword(kwargs: dict[str, Any]) -> str:
    return next(key for key, value in kwargs.items() if isinstance(value, torch.Tensor))


@contextmanager
def _hook(module: nn.Module, function: Any) -> Iterator[None]:
    handle = module.register_forward_pre_hook(function, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _find_blocks(network: nn.Module) -> tuple[nn.Module, str] | None:
    """Where the list of blocks hangs: (module, attribute). By structure, because names change between versions.

    The list that is as long as the config's depth, else as its stages, else the longest; of several the one that holds
    the most parameters.
    """
    config = getattr(network, "config", None)
    depth, stages = getattr(config, "num_hidden_layers", None), getattr(config, "depths", None)
    lists = [
        (parent, name, child)
        for parent in network.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.ModuleList) and len(child) > 1
    ]
    for length in (depth, len(stages) if stages else None):
        found = [place for place in lists if len(place[2]) == length]
        if found:
            break
    else:
        found = lists
    if not found:
        return None
    parent, name, _ = max(found, key=lambda place: sum(p.numel() for p in place[2].parameters()))
    return parent, name


class PretrainedClassifier(nn.Module):
    """A backbone with a head: images `(B, C, S, S)` → logits `(B, K)`."""

    def __init__(self, backbone: Backbone, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.backbone(images))
        return logits

    def frozen_part(self, images: torch.Tensor, depth: int) -> torch.Tensor:
        """What the lowest `depth` blocks give; the features themselves when those are all the blocks."""
        return self.backbone(images) if depth == len(self.backbone.blocks) else self.backbone.until(images, depth)

    def moving_part(self, hidden: torch.Tensor, depth: int) -> torch.Tensor:
        """Logits from what `frozen_part` gave."""
        whole = depth == len(self.backbone.blocks)
        logits: torch.Tensor = self.head(hidden if whole else self.backbone.after(hidden, depth))
        return logits
