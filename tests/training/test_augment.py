"""Augmentation against what the change should be."""

from __future__ import annotations

import pytest
import torch

from mien.recipes.sections import Augment
from mien.training.augment import augment, mix


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(64, 1, 24, 24, generator=torch.Generator().manual_seed(0))


def test_certain_flip_mirrors_every_image(images: torch.Tensor) -> None:
    assert torch.allclose(augment(images, Augment(flip=1)), images.flip(-1), atol=1e-5)


def test_flip_has_its_chance(images: torch.Tensor) -> None:
    torch.manual_seed(0)
    flipped = (augment(images, Augment(flip=0.5)) - images).abs().amax(dim=(1, 2, 3)) > 1e-3
    assert 20 <= int(flipped.sum()) <= 44  # 64 throws of a coin, three standard deviations


def test_shift_moves_by_at_most_its_limit() -> None:
    dot = torch.zeros(200, 1, 21, 21)
    dot[:, :, 10, 10] = 1
    torch.manual_seed(0)
    moved = augment(dot, Augment(shift=0.2))[:, 0]
    place = torch.arange(21.0)
    mass = moved.sum(dim=(1, 2))
    down = (moved.sum(dim=2) * place).sum(dim=1) / mass - 10
    across = (moved.sum(dim=1) * place).sum(dim=1) / mass - 10
    for offset in (down, across):
        assert offset.abs().max() <= 0.2 * 21 + 1e-3
        assert offset.abs().max() > 0.15 * 21  # and uses it
        assert offset.min() < 0 < offset.max()


def test_rotation_keeps_the_center_and_turns_the_rest() -> None:
    cross = torch.zeros(100, 1, 21, 21)
    cross[:, :, 10, :] = 1
    torch.manual_seed(0)
    turned = augment(cross, Augment(rotate=30))[:, 0]
    assert turned[:, 10, 10].min() > 0.9
    # the height of the line's right end is 10 tan(angle): at most 10 tan 30 deg = 5.8 pixels from the middle
    ends = turned[:, :, 18].argmax(dim=1) - 10
    assert 3 <= ends.abs().max() <= 6


def test_scale_changes_the_size_by_at_most_its_limit() -> None:
    square = torch.zeros(200, 1, 41, 41)
    square[:, :, 10:31, 10:31] = 1
    torch.manual_seed(0)
    areas = augment(square, Augment(scale=0.2)).sum(dim=(1, 2, 3))
    assert 0.8**2 * 441 * 0.95 <= areas.min() < 350
    assert 560 < areas.max() <= 1.2**2 * 441 * 1.05


def test_erasing_paints_one_box_of_two_to_twenty_percent() -> None:
    torch.manual_seed(0)
    changed = augment(torch.full((300, 1, 48, 48), 2.0), Augment(erase=1.0))[:, 0] != 2.0
    share = changed.float().mean(dim=(1, 2))
    assert share.min() > 0.01
    assert share.max() < 0.23
    for mask in changed[:50]:
        rows, columns = mask.any(dim=1), mask.any(dim=0)
        assert int(mask.sum()) == int(rows.sum() * columns.sum())  # a full rectangle


def test_same_seed_same_change_and_images_differ(images: torch.Tensor) -> None:
    how = Augment(flip=0.5, shift=0.1, rotate=10, scale=0.1, erase=0.5)
    torch.manual_seed(3)
    first = augment(images, how)
    torch.manual_seed(3)
    assert torch.equal(first, augment(images, how))
    assert not torch.equal(first, augment(images, how))
    assert first.shape == images.shape


def test_all_off_is_off(images: torch.Tensor) -> None:
    assert not Augment().on
    assert augment(images, Augment()) is images


@pytest.fixture
def gray() -> tuple[torch.Tensor, torch.Tensor]:
    """Ten images of one value each, 0.0 to 0.9, each its own class: what is mixed can be read off."""
    return (torch.arange(10) / 10).view(10, 1, 1, 1).expand(10, 1, 16, 16).clone(), torch.eye(10)


def test_without_mixing_nothing_changes(gray: tuple[torch.Tensor, torch.Tensor]) -> None:
    images, targets = mix(*gray, Augment(flip=1))
    assert images is gray[0]
    assert targets is gray[1]


def test_mixup_mixes_images_and_targets_in_one_share(gray: tuple[torch.Tensor, torch.Tensor]) -> None:
    torch.manual_seed(0)
    images, targets = mix(*gray, Augment(mixup=1.0))
    values = images.flatten(1)
    assert (values == values[:, :1]).all()
    torch.testing.assert_close(values[:, 0], targets @ (torch.arange(10) / 10))  # the same share in both
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(10))
    shares = {round(float(share), 4) for row in targets for share in row if 0 < share < 1}
    assert len(shares) == 2
    assert sum(shares) == pytest.approx(1, abs=1e-3)


def test_cutmix_pastes_a_rectangle_and_counts_its_area(gray: tuple[torch.Tensor, torch.Tensor]) -> None:
    torch.manual_seed(1)
    for _ in range(20):
        images, targets = mix(*gray, Augment(cutmix=1.0))
        torch.testing.assert_close(images.mean(dim=(1, 2, 3)), targets @ (torch.arange(10) / 10))
        assert all(len(image.unique()) <= 2 for image in images)
        changed = (images[:, 0] != gray[0][:, 0]).any(dim=0)  # of any image: the rectangle
        rows, columns = changed.any(dim=1), changed.any(dim=0)
        assert changed.sum() == rows.sum() * columns.sum()


def test_both_kinds_of_mixing_are_met(gray: tuple[torch.Tensor, torch.Tensor]) -> None:
    torch.manual_seed(0)
    flat = [bool((mix(*gray, Augment(mixup=1.0, cutmix=1.0))[0].flatten(2).std(dim=2) == 0).all()) for _ in range(60)]
    assert 15 <= sum(flat) <= 45  # mixup leaves images of one value; cutmix nearly never
