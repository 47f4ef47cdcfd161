"""Saliency: which pixels a network's answer depends on, from its gradients: by Grad-CAM or by attention.

Shapes: B faces, C channels, H and W pixels, K classes, D maps of h x w positions.

A network is left as it was found: no gradient, mode, hook or setting stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

from mien.explanation import attention
from mien.models.ensemble import EnsembleNet
from mien.models.pretrained import PretrainedClassifier
from mien.models.vit import ScratchVit

Way = Literal["grad-cam", "attention"]
_LEAST_SIDE = 3  # positions of a layer that says where


@dataclass(frozen=True)
class Saliency:
    """What a network says of faces, and which pixels one class of each depends on."""

    probabilities: torch.Tensor  # (B, K)
    labels: torch.Tensor  # (B,), the classes that the maps are about
    maps: torch.Tensor  # (B, H, W), at least 0, of no fixed scale


def way_of(network: nn.Module, blank_1CHW: torch.Tensor) -> Way | None:
    """What fits a network, by what it makes of an image; None where neither does, as in ensembles and windowed ViTs."""
    if isinstance(network, EnsembleNet):
        return None
    if isinstance(network, ScratchVit):
        return "attention"
    with _eval_mode(network), torch.no_grad():
        if isinstance(network, PretrainedClassifier) and not _ends_in_maps(network, blank_1CHW):
            return "attention" if attention.attends_to_all(network, blank_1CHW) else None
        with _recorded_maps(network) as seen:
            network(blank_1CHW)
    return "grad-cam" if _shape_of_last(seen) else None


def saliency(
    network: nn.Module, images_BCHW: torch.Tensor, way: Way, *, label: int | None = None, mirror: bool = False
) -> Saliency:
    """Maps for class `label`, or the most probable one of each face, of images as the network wants them.

    `way` is what `way_of` gave. With `mirror` the answer is the mean over each face and its mirror image, and so is the
    map, once that of the mirror image is turned back.
    """
    shown_BCHW = torch.cat([images_BCHW, images_BCHW.flip(-1)]) if mirror else images_BCHW
    record: Any = _recorded_maps if way == "grad-cam" else attention.recorded
    with _eval_mode(network), torch.enable_grad(), record(network) as seen:
        logits_BK = network(shown_BCHW.detach().requires_grad_())  # gradients, also where all weights are frozen
        probs_BK = _mean_of_both(logits_BK.detach().float().softmax(dim=1), mirror)
        label_B = probs_BK.argmax(dim=1) if label is None else torch.full_like(probs_BK.argmax(dim=1), label)
        layers = [_last_map(seen)] if way == "grad-cam" else seen
        gradients = torch.autograd.grad(logits_BK.gather(1, label_B.repeat(1 + mirror)[:, None]).sum(), layers)
    with torch.no_grad():
        if way == "grad-cam":
            map_Bhw = grad_cam(layers[0], gradients[0])
        else:
            assert isinstance(network, attention.Transformer)
            map_Bhw = attention.of_patches(network, attention.relevance(layers, gradients), shown_BCHW)
        map_BHW = functional.interpolate(map_Bhw[:, None], images_BCHW.shape[2:], mode="bilinear")[:, 0]
        return Saliency(probs_BK, label_B, _mean_of_both(_turned_back(map_BHW, mirror), mirror))


def grad_cam(maps_BDhw: torch.Tensor, gradients_BDhw: torch.Tensor) -> torch.Tensor:
    """`(B, h, w)`: the sum of a layer's maps, each weighed by the mean of its gradients; what is below 0 becomes 0.

    `gradients_BDhw`: of the logit of a class. Source: Selvaraju et al., ICCV 2017, equations 1 and 2.
    """
    weights_BD11 = gradients_BDhw.mean(dim=(2, 3), keepdim=True)
    return (weights_BD11 * maps_BDhw).sum(dim=1).relu()


def _turned_back(map_BHW: torch.Tensor, mirror: bool) -> torch.Tensor:
    """With the second half, of mirror images, mirrored once more."""
    if not mirror:
        return map_BHW
    first, second = map_BHW.chunk(2)
    return torch.cat([first, second.flip(-1)])


def _mean_of_both(values: torch.Tensor, mirror: bool) -> torch.Tensor:
    """Of a value of the first half and its fellow in the second."""
    return torch.stack(values.chunk(2)).mean(dim=0) if mirror else values


_Recorded = list[tuple[nn.Module, torch.Tensor]]


@contextmanager
def _recorded_maps(network: nn.Module) -> Iterator[_Recorded]:
    """A list that a pass of `network` fills with the modules that give `(B, D, h, w)`, in order, and what they give."""
    seen: _Recorded = []

    def note(module: nn.Module, _: Any, output: Any) -> None:
        found = getattr(output, "last_hidden_state", output)
        if isinstance(found, torch.Tensor) and found.ndim == 4:
            seen.append((module, found))

    with ExitStack() as stack:
        for module in network.modules():
            stack.callback(module.register_forward_hook(note).remove)
        yield seen


def _shape_of_last(seen: _Recorded) -> torch.Size | None:
    """Height and width that the last convolution gives; of an earlier one, where the last no longer says where."""
    shapes = [found.shape[2:] for module, found in seen if isinstance(module, nn.Conv2d)]
    fitting = [shape for shape in shapes if min(shape) >= _LEAST_SIDE] or [shape for shape in shapes if max(shape) > 1]
    return fitting[-1] if fitting else None


def _last_map(seen: _Recorded) -> torch.Tensor:
    """The last convolution's outcome after norm, activation and shortcut, before pooling: the last one of its size."""
    shape = _shape_of_last(seen)
    return [found for _, found in seen if found.shape[2:] == shape][-1]


def _ends_in_maps(network: PretrainedClassifier, images_BCHW: torch.Tensor) -> bool:
    hidden: torch.Tensor = network.backbone.network(images_BCHW).last_hidden_state
    return hidden.ndim == 4


@contextmanager
def _eval_mode(network: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
