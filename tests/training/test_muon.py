"""Muon: orthogonal steps against numpy's singular value decomposition, AdamW for the rest, and exact resume."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from mien import InputError, Recipe
from mien.training.muon import Muon, check_kernels, orthogonal, orthogonal_all


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 8, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 2),
    )


def move(network: nn.Module, optimizer: torch.optim.Optimizer, steps: int, seed: int = 1) -> None:
    torch.manual_seed(seed)
    for _ in range(steps):
        optimizer.zero_grad()
        network(torch.randn(4, 1, 8, 8)).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("shape", [(6, 20), (20, 6)])
def test_orthogonal_keeps_the_directions_and_evens_out_the_lengths(shape: tuple[int, int]) -> None:
    matrix = np.random.default_rng(0).normal(size=shape)
    left, lengths, right = np.linalg.svd(matrix, full_matrices=False)
    found = orthogonal(torch.tensor(matrix)).numpy()
    inner = left.T @ found @ right.T  # diagonal, where the directions are kept
    np.testing.assert_allclose(inner, np.diag(np.diag(inner)), atol=1e-9)
    assert lengths.max() / lengths.min() > 2
    assert np.all((np.diag(inner) > 0.5) & (np.diag(inner) < 1.3))  # what the source promises of its coefficients


def test_small_singular_values_grow_fortyfold_and_no_more() -> None:
    left, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))
    right, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(20, 6)))
    matrix = left @ np.diag([1, 1, 1, 1, 1, 1e-4]) @ right.T
    found = np.linalg.svd(orthogonal(torch.tensor(matrix)).numpy(), compute_uv=False)
    assert np.all((found[:5] > 0.5) & (found[:5] < 1.3))
    assert found[5] == pytest.approx(3.4445**3 * 1e-4 / np.sqrt(5), rel=1e-3)


def test_the_rest_moves_as_adamw_moves_it(network: nn.Module) -> None:
    ours, theirs = network, copy.deepcopy(network)
    for one in (ours, theirs):  # without the kernel that Muon moves, both are the same function of the rest
        one[2].requires_grad_(False)
    move(ours, Muon(ours.parameters(), lr=0.02, weight_decay=0.1), 3)
    move(theirs, torch.optim.AdamW(theirs.parameters(), lr=0.002, weight_decay=0.1), 3)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)


def test_all_together_are_each_by_itself() -> None:
    shapes = [(16, 8), (16, 144), (32, 16), (32, 288), (32, 144), (8, 8)]
    matrices = [
        torch.tensor(np.random.default_rng(i).normal(size=s), dtype=torch.float32) for i, s in enumerate(shapes)
    ]
    for alone, together in zip(map(orthogonal, matrices), orthogonal_all(matrices), strict=True):
        assert together.shape == alone.shape
        assert torch.allclose(together, alone, atol=1e-5)


def test_a_kernel_moves_by_the_orthogonal_step_of_its_nesterov_momentum(network: nn.Module) -> None:
    kernel = network[2].weight
    before = kernel.detach().clone()
    optimizer = Muon(network.parameters(), lr=0.02, weight_decay=0.1)
    network(torch.ones(4, 1, 8, 8)).square().sum().backward()
    step = orthogonal((1 + 0.95) * kernel.grad.flatten(1)).view_as(kernel)
    optimizer.step()
    torch.testing.assert_close(kernel.detach(), before * (1 - 0.02 * 0.1) - 0.02 * step)


def test_tall_kernels_take_longer_steps() -> None:
    kernel = nn.Parameter(torch.zeros(36, 4, 1, 1))
    kernel.grad = torch.randn(kernel.shape, generator=torch.Generator().manual_seed(0))
    expected = -0.02 * 3 * orthogonal(1.95 * kernel.grad.flatten(1)).view_as(kernel)  # the root of 36 / 4
    Muon([kernel], lr=0.02).step()
    torch.testing.assert_close(kernel.detach(), expected)


def test_read_back_it_goes_on_as_if_never_stopped(network: nn.Module) -> None:
    whole, parts = network, copy.deepcopy(network)
    move(whole, first := Muon(whole.parameters(), lr=0.02), 2)
    move(whole, first, 2, seed=2)
    move(parts, second := Muon(parts.parameters(), lr=0.02), 2)
    again = Muon(parts.parameters(), lr=0.02)
    again.load_state_dict(copy.deepcopy(second.state_dict()))
    move(parts, again, 2, seed=2)
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_pre_trained_model_that_moves_in_parts_is_refused() -> None:
    for change in ("unfreeze=none", "optimizer.layer_decay=0.8"):
        with pytest.raises(InputError, match="muon moves all kernels at one rate"):
            Recipe.load("vit-v1.6.7", ["optimizer.name=muon", "unfreeze=all", change])


def test_a_pre_trained_model_must_be_one_of_convolutions() -> None:
    recipe = Recipe.load("vit-v1.6.7", ["optimizer.name=muon", "unfreeze=all"])
    network = nn.Sequential(nn.Conv2d(2, 2, 3, bias=False), nn.Linear(4, 8, bias=False))  # kernels: 36 weights of 68
    check_kernels(network, recipe)
    with pytest.raises(InputError, match=r"kernels of convolutions, which are 49% of the weights of .*adamw"):
        check_kernels(nn.Sequential(network, nn.Linear(6, 1, bias=False)), recipe)  # 36 of 74
