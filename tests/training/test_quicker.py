"""A rearranged network is the same function, and its dropout has the statistics of torch's."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from mien.models.cnn import cnn_v1, cnn_v2
from mien.models.vit import ScratchVit
from mien.recipes.sections import Vit
from mien.training.quicker import QuickDropout, quicker


@pytest.mark.parametrize("make", [cnn_v1, cnn_v2])
def test_outputs_statistics_and_gradients_are_the_same_to_the_last_bit(make) -> None:
    torch.manual_seed(0)
    printed = make(1, 48, 7).train()
    for layer in printed:
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    changed = quicker(copy.deepcopy(printed))
    kinds = [type(layer).__name__ for layer in changed]
    assert kinds.index("MaxPool2d") < kinds.index("ReLU")  # or nothing would be compared
    images = torch.randn(8, 1, 48, 48).relu()  # with ties: whole patches of zeros
    given = []
    for network in (printed, changed):
        loss = nn.functional.cross_entropy(network(images), torch.arange(8) % 7)
        loss.backward()
        given.append([loss, *(one.grad for one in network.parameters()), *network.buffers()])
    assert all(torch.equal(one, other) for one, other in zip(*given, strict=True))
    assert changed.state_dict().keys() == printed.state_dict().keys()


def test_only_a_relu_before_a_largest_of_is_moved() -> None:
    layers = [
        nn.Sigmoid(),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.ReLU(),
        nn.MaxPool2d(2, return_indices=True),
    ]
    assert list(quicker(nn.Sequential(*layers))) == layers


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.75])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_dropout_leaves_the_share_and_the_scale_of_torch_s(rate: float, kind: torch.dtype) -> None:
    torch.manual_seed(1)
    ones = torch.ones(64, 32, 12, 13, dtype=kind).contiguous(memory_format=torch.channels_last).requires_grad_()
    seen = QuickDropout(rate)(ones)
    kept = seen != 0
    assert kept.float().mean().item() == pytest.approx(1 - rate, abs=5 * (rate * (1 - rate) / ones.numel()) ** 0.5)
    assert seen[kept].unique().item() == pytest.approx(nn.functional.dropout(ones, rate).max().item(), rel=1e-4)
    assert seen.stride() == ones.stride()
    seen.sum().backward()
    assert torch.equal(ones.grad, seen.detach())  # what is left out learns nothing


def test_elements_are_left_out_one_by_one_in_each_layout() -> None:
    """Neighbors along no axis fall together: four come from one random word."""
    torch.manual_seed(2)
    for layout in (torch.contiguous_format, torch.channels_last):
        kept = (QuickDropout(0.5)(torch.ones(16, 32, 16, 16).contiguous(memory_format=layout)) > 0).float()
        for axis in range(4):
            here, there = kept.narrow(axis, 0, kept.shape[axis] - 1), kept.narrow(axis, 1, kept.shape[axis] - 1)
            assert ((here == there).float().mean() - 0.5).abs() < 0.01, (layout, axis)


def test_masks_follow_from_the_seed_and_are_drawn_in_training_alone() -> None:
    layer, ones = QuickDropout(0.5), torch.ones(3, 5, 7)
    drawn = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        drawn.append(layer(ones))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert layer.eval()(ones) is ones
    assert torch.equal(QuickDropout(0.0)(ones), ones)
    assert torch.equal(QuickDropout(1.0)(ones), torch.zeros(3, 5, 7))


def test_layers_within_an_encoder_are_replaced_too() -> None:
    network = quicker(ScratchVit(1, 48, 7, Vit(kind="vit", patch=8, width=32, depth=2, heads=2, dropout=0.1)))
    kinds = [type(part) for part in network.modules() if isinstance(part, nn.Dropout)]
    assert len(kinds) == 6
    assert set(kinds) == {QuickDropout}
    assert network(torch.randn(2, 1, 48, 48)).shape == (2, 7)
