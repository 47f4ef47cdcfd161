"""Attention: which patches a vision transformer's answer depends on, from its attentions and their gradients.

Shapes: B faces, C channels, H and W pixels, A heads, T tokens, D width, h x w patches.

Source: Chefer, Gur and Wolf, "Generic Attention-model Explainability", ICCV 2021, and "Transformer Interpretability
Beyond Attention Visualization", CVPR 2021.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from mien.models.pretrained import PretrainedClassifier, patch_size
from mien.models.vit import ScratchVit

Transformer = ScratchVit | PretrainedClassifier


def relevance(attentions: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor]) -> torch.Tensor:
    """`(B, T, T)`: how much each token of the last layer (row) depends on each of the first one's input (column).

    `attentions`: `(B, A, T, T)` of each layer, from the bottom; `gradients`: of the logit of a class. R begins as the
    identity, and each layer adds the mean over heads of max(gradient · attention, 0), times R (ICCV 2021, equations 5
    and 6).
    """
    first = attentions[0]
    R_BTT = torch.eye(first.shape[-1], device=first.device).expand(len(first), -1, -1)
    for attention_BATT, gradient_BATT in zip(attentions, gradients, strict=True):
        R_BTT = R_BTT + (gradient_BATT * attention_BATT).relu().mean(dim=1) @ R_BTT
    return R_BTT


def of_patches(network: Transformer, R_BTT: torch.Tensor, images_BCHW: torch.Tensor) -> torch.Tensor:
    """`(B, h, w)`: the relevance of each patch for the tokens that the features are made of, less the smallest."""
    h, w = _grid(network, images_BCHW)
    prefix = R_BTT.shape[1] - h * w  # class token and registers
    R_BTT = R_BTT - torch.eye(R_BTT.shape[1], device=R_BTT.device)  # that a token depends on itself says not where
    kind = network.backbone.kind if isinstance(network, PretrainedClassifier) else "mean"
    token_BT, mean_BT = R_BTT[:, 0, prefix:], R_BTT[:, prefix:, prefix:].mean(dim=1)
    of_patch_BT = {"cls": token_BT, "mean": mean_BT, "both": (token_BT + mean_BT) / 2}[kind]
    return (of_patch_BT - of_patch_BT.min(dim=1, keepdim=True).values).reshape(-1, h, w)


def attends_to_all(network: PretrainedClassifier, images_BCHW: torch.Tensor) -> bool:
    """Whether every layer attends from all tokens to all, and these are patches; windows, as in Swin, are otherwise."""
    h, w = _grid(network, images_BCHW)
    try:
        with torch.no_grad(), recorded(network) as attentions:
            tokens = network.backbone.network(images_BCHW).last_hidden_state.shape[1]
    except ValueError:  # transformers: a model that cannot show its attention
        return False
    shapes = {tuple(attention.shape[2:]) for attention in attentions}
    return shapes == {(tokens, tokens)} and 0 < h * w <= tokens


@contextmanager
def recorded(network: Transformer) -> Iterator[list[torch.Tensor]]:
    """A list that a pass of `network` fills with the attentions of its layers, from the bottom, each `(B, A, T, T)`.

    Answers rest on just these tensors, so that gradients reach them.
    """
    with _recorded_of_scratch(network) if isinstance(network, ScratchVit) else _recorded_of_backbone(network) as found:
        yield found


@contextmanager
def _recorded_of_backbone(network: PretrainedClassifier) -> Iterator[list[torch.Tensor]]:
    """By hooks, since a model of transformers that is asked for its attentions keeps hooks of its own for good."""
    model: Any = network.backbone.network.model  # of transformers
    attentions: list[torch.Tensor] = []

    def note(_: nn.Module, __: Any, output: Any) -> None:
        found = output[1] if isinstance(output, tuple) and len(output) > 1 else None
        if isinstance(found, torch.Tensor) and found.ndim == 4 and not any(found is one for one in attentions):
            attentions.append(found)

    before = model.config._attn_implementation
    with ExitStack() as stack:
        stack.callback(model.set_attn_implementation, before)
        model.set_attn_implementation("eager")  # the fast ways never hold an attention as a whole
        for part in model.modules():
            stack.callback(part.register_forward_hook(note).remove)
        yield attentions


@contextmanager
def _recorded_of_scratch(network: ScratchVit) -> Iterator[list[torch.Tensor]]:
    attentions: list[torch.Tensor] = []

    def attend(layer: nn.MultiheadAttention, inputs: tuple[torch.Tensor, ...], _: Any) -> tuple[torch.Tensor, None]:
        output_BTD, attention_BATT = _attend(layer, inputs[0])
        attentions.append(attention_BATT)
        return output_BTD, None

    with ExitStack() as stack:
        for part in network.modules():
            if isinstance(part, nn.MultiheadAttention):
                stack.callback(part.register_forward_hook(attend).remove)
        yield attentions


def _attend(layer: nn.MultiheadAttention, tokens_BTD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What `layer` answers, and its attention `(B, A, T, T)`: no gradient reaches the one that torch itself returns."""
    mixed = functional.linear(tokens_BTD, layer.in_proj_weight, layer.in_proj_bias)
    B, T, _ = mixed.shape
    query, key, value = mixed.view(B, T, 3, layer.num_heads, layer.head_dim).permute(2, 0, 3, 1, 4)
    attention_BATT = (query @ key.transpose(2, 3) / math.sqrt(layer.head_dim)).softmax(dim=3)
    return layer.out_proj((attention_BATT @ value).transpose(1, 2).flatten(2)), attention_BATT


def _grid(network: Transformer, images_BCHW: torch.Tensor) -> tuple[int, int]:
    """Rows and columns of patches; none where patches have no size."""
    if isinstance(network, PretrainedClassifier):
        patch = patch_size(network.backbone.config)
    else:
        patch = network.stem.kernel_size[0]
    return (images_BCHW.shape[2] // patch, images_BCHW.shape[3] // patch) if patch else (0, 0)
