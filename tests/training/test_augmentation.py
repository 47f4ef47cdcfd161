"""Augmentation against what the change should be."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch

from mien.recipes.sections import Augment
from mien.training import prepare as module
from mien.training.prepare import augment, mix


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


def faces_like(count: int, size: int = 48, channels: int = 1) -> torch.Tensor:
    """Smooth pictures with edges, in whole gray values."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (count, channels, 6, 6)).astype(np.float32)
    large = [[cv2.resize(one, (size, size), interpolation=cv2.INTER_CUBIC) for one in image] for image in coarse]
    return torch.from_numpy(np.array(large).clip(0, 255).round() / np.float32(255))


def test_blur_is_opencv_s_gaussian_away_from_the_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    images = faces_like(8)
    monkeypatch.setattr(module, "_BLUR", (1.5 / 48, 1.5 / 48))
    blurred = augment(images, Augment(blur=1))
    for ours, image in zip(blurred, images, strict=True):
        theirs = cv2.GaussianBlur(image[0].numpy(), (25, 25), 1.5)
        np.testing.assert_allclose(ours[0, 8:-8, 8:-8], theirs[8:-8, 8:-8], atol=1e-3)


@pytest.mark.parametrize("side", [12, 20, 31])
def test_fewer_pixels_are_opencv_s(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    images = faces_like(8)
    monkeypatch.setattr(module, "_RESOLUTION", (side / 48, side / 48))
    module._coarser.cache_clear()
    coarse = augment(images, Augment(resolution=1))
    module._coarser.cache_clear()
    for ours, image in zip(coarse, images, strict=True):
        small = cv2.resize(image[0].numpy(), (side, side), interpolation=cv2.INTER_AREA)
        theirs = cv2.resize(small, (48, 48), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(ours[0], theirs, atol=2e-3)


@pytest.mark.parametrize("quality", [5, 20, 50])
def test_jpeg_loses_what_a_real_one_loses(quality: int, monkeypatch: pytest.MonkeyPatch) -> None:
    images = faces_like(8, size=44)  # no multiple of 8
    monkeypatch.setattr(module, "_JPEG", (quality, quality))
    lossy = augment(images, Augment(jpeg=1))
    for ours, image in zip(lossy, images, strict=True):
        gray = (image[0].numpy() * 255).round().astype(np.uint8)
        _, data = cv2.imencode(".jpg", gray, [cv2.IMWRITE_JPEG_QUALITY, quality])
        theirs = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
        # Both round; where a coefficient lies between two steps of the table, a whole block may differ.
        near = np.abs(ours[0].numpy() * 255 - theirs) <= 1.5
        assert near.mean() > 0.9
        assert np.abs(theirs.astype(float) - gray).mean() > 1


def test_noise_and_gamma_keep_to_their_limits() -> None:
    gray = torch.full((400, 1, 48, 48), 0.5)
    torch.manual_seed(0)
    deviations = augment(gray, Augment(noise=1)).std(dim=(1, 2, 3))
    assert 0.13 < deviations.max() < 0.16
    assert deviations.min() < 0.01
    exponents = augment(gray, Augment(gamma=1))[:, 0, 0, 0].log() / math.log(0.5)
    assert exponents.min() >= math.exp(-0.4) - 1e-5
    assert exponents.max() <= math.exp(0.4) + 1e-5
    assert exponents.max() / exponents.min() > math.exp(0.7)


@pytest.mark.parametrize("kind", ["gamma", "blur", "resolution", "noise", "jpeg"])
@pytest.mark.parametrize("channels", [1, 3])
def test_each_corruption_has_its_chance_and_leaves_the_others_alone(kind: str, channels: int) -> None:
    images = faces_like(300, size=24, channels=channels)
    torch.manual_seed(0)
    changed = augment(images, Augment.model_validate({kind: 0.25}))
    assert changed.min() >= 0
    assert changed.max() <= 1
    hit = (changed - images).abs().amax(dim=(1, 2, 3)) > 0
    assert 50 <= int(hit.sum()) <= 100  # 300 draws of a quarter, three standard deviations


def test_noise_is_one_for_all_colors_and_coarse_in_an_enlarged_face() -> None:
    torch.manual_seed(0)
    gray = torch.full((4, 3, 96, 96), 0.5)
    noisy = augment(gray, Augment(noise=1))
    assert torch.equal(noisy[:, 0], noisy[:, 2])
    blocks = noisy[:, 0].unfold(1, 2, 2).unfold(2, 2, 2)  # 48 grains across
    assert torch.equal(blocks.amax(dim=(3, 4)), blocks.amin(dim=(3, 4)))
