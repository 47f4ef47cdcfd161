"""Corruptions against scipy, Pillow, numpy and hand-made cases."""

from __future__ import annotations

import io
from typing import get_args

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from mien import FaceSet
from mien.cards import Alignment
from mien.errors import InputError
from mien.evaluation.corruptions import CORRUPTIONS, SEVERITIES, STRENGTHS, Corruption, corrupt
from mien.report.robustness import WORDS

FACE = Alignment(eye_distance=0.4, eye_x=0.5, eye_y=0.4, eyes_to_mouth=0.4, faces=0)
IDENTITIES = [f"{i:032x}" for i in range(40)]


def soft(height: int, width: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    """A picture of soft blobs; `(H, W)` for one channel."""
    coarse = np.random.default_rng(seed).integers(30, 225, (6, 6, channels), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))


def sharp(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def test_ten_corruptions_of_five_strengths_have_words() -> None:
    assert len(CORRUPTIONS) == 10
    assert set(STRENGTHS) == set(WORDS) == set(get_args(Corruption))
    assert len(set(WORDS.values())) == 10
    assert {len(strengths) for strengths in STRENGTHS.values()} == {len(SEVERITIES)}


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_severity_grows_the_distance_from_the_original(corruption: Corruption, drawn_faces: FaceSet) -> None:
    faces = drawn_faces.gather(np.arange(20))
    distances = [
        np.mean([np.abs(corrupt(face, corruption, severity).astype(int) - face).mean() for face in faces])
        for severity in SEVERITIES
    ]
    assert distances[0] > 0
    assert all(np.diff(distances) > 0)


@pytest.mark.parametrize("corruption", CORRUPTIONS)
@pytest.mark.parametrize(
    "shape", [(48, 48), (48, 48, 3), (61, 40), (40, 61, 3), (1, 1), (1, 1, 3), (8, 8), (1, 7), (8, 1, 3)]
)
def test_shape_and_kind_stay_and_the_crop_is_not_changed(corruption: Corruption, shape: tuple[int, ...]) -> None:
    crop = sharp(*shape[:2])[..., 0].copy() if len(shape) == 2 else sharp(*shape[:2])
    before = crop.copy()
    crop.setflags(write=False)  # as a memory-mapped store
    for severity in SEVERITIES:
        changed = corrupt(crop, corruption, severity)
        assert (changed.shape, changed.dtype) == (shape, np.uint8)
        assert changed.flags.writeable
        assert not np.shares_memory(changed, crop)
    np.testing.assert_array_equal(crop, before)


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_gray_in_three_channels_is_the_same_gray(corruption: Corruption) -> None:
    gray = soft(48, 48)
    for severity in (1, 5):
        alone = corrupt(gray, corruption, severity, identity="x")
        three = corrupt(np.repeat(gray[..., None], 3, axis=2), corruption, severity, identity="x")
        most = 2 if corruption == "jpeg" else 0  # its colors are rounded once more
        assert np.abs(three.astype(int) - alone[..., None]).max() <= most


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_a_view_gives_what_its_copy_gives(corruption: Corruption) -> None:
    view = sharp(48, 48)[::-1, ::-1]
    np.testing.assert_array_equal(corrupt(view, corruption, 3), corrupt(view.copy(), corruption, 3))


@pytest.mark.parametrize("corruption", [c for c in CORRUPTIONS if c != "jpeg"])  # its blocks always have 8 pixels
def test_a_strength_means_the_same_at_five_times_the_size(corruption: Corruption) -> None:
    """The large crop holds each pixel 25 times; corrupted and shrunk it is the small one corrupted."""
    small = soft(48, 48, seed=3)
    large = np.repeat(np.repeat(small, 5, axis=0), 5, axis=1)
    for severity in (1, 3, 5):
        once = corrupt(small, corruption, severity, identity="x", alignment=FACE).astype(int)
        both = corrupt(large, corruption, severity, identity="x", alignment=FACE)
        shrunk = cv2.resize(both, (48, 48), interpolation=cv2.INTER_AREA).astype(int)
        changed = np.abs(once - small).mean()
        assert np.abs(once - shrunk).mean() < max(0.25 * changed, 1.0)


def test_chance_depends_on_seed_corruption_and_identity_alone() -> None:
    crop = soft(48, 48)
    for corruption in ("noise", "brightness", "rotation", "shift"):
        results = {i: corrupt(crop, corruption, 3, identity=i) for i in IDENTITIES}
        for identity in reversed(IDENTITIES):  # in another order
            np.testing.assert_array_equal(corrupt(crop, corruption, 3, identity=identity), results[identity])
        assert len({image.tobytes() for image in results.values()}) > 1
        seeds = {tuple(corrupt(crop, corruption, 3, identity=i, seed=s).tobytes() for i in IDENTITIES) for s in (0, 1)}
        assert len(seeds) == 2
    for corruption in ("blur", "contrast", "jpeg", "resolution", "eyes", "mouth"):
        assert len({corrupt(crop, corruption, 3, identity=i, seed=s).tobytes() for i in "ab" for s in (0, 1)}) == 1


def test_without_an_identity_the_pixels_are_the_identity() -> None:
    crop, other = soft(48, 48), soft(48, 48, seed=1)
    noise, again, others = (corrupt(c, "noise", 2).astype(int) - c for c in (crop, crop.copy(), other))
    np.testing.assert_array_equal(noise, again)
    assert np.abs(noise - others).mean() > 1


def test_a_face_goes_the_same_way_at_every_severity_and_faces_go_both_ways() -> None:
    crop = np.full((20, 20), 128, np.uint8)
    brighter = np.array(
        [[corrupt(crop, "brightness", s, identity=i)[0, 0] > 128 for s in SEVERITIES] for i in IDENTITIES * 5]
    )
    assert (brighter == brighter[:, :1]).all()
    assert 10 < brighter[:40, 0].sum() < 30


def test_noise_has_its_standard_deviation() -> None:
    crop = np.full((48, 48), 128, np.uint8)
    for severity, share in zip(SEVERITIES, (0.01, 0.02, 0.04, 0.07, 0.10), strict=True):
        values = np.concatenate([corrupt(crop, "noise", severity, identity=i).ravel() for i in IDENTITIES]) - 128.0
        assert abs(values.mean()) < 0.05 * 255 * share
        assert values.std() == pytest.approx(np.hypot(255 * share, 1 / 12**0.5), rel=0.02)  # and that of rounding


def test_brightness_and_contrast_by_hand() -> None:
    crop = np.array([[0, 100], [200, 240]], np.uint8)  # mean 135
    seen = {corrupt(crop, "brightness", 5, identity=i).tobytes() for i in IDENTITIES}
    assert seen == {bytes([102, 202, 255, 255]), bytes([0, 0, 98, 138])}  # 102 more or less
    np.testing.assert_array_equal(corrupt(crop, "contrast", 2), [[68, 118], [168, 188]])  # 67.5, 117.5, 167.5, 187.5


def test_blur_is_scipys() -> None:
    crop = sharp(60, 40, seed=2)[..., 0]
    for severity, share in zip(SEVERITIES, (0.01, 0.02, 0.03, 0.04, 0.05), strict=True):
        expected = gaussian_filter(crop.astype(float), (60 * share, 40 * share), mode="nearest", truncate=3)
        difference = np.abs(corrupt(crop, "blur", severity) - expected)
        assert difference.mean() < 1
        assert difference.max() < 8  # the last, small weights are cut elsewhere


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_pillows(channels: int) -> None:
    crop = soft(50, 42, channels)
    for severity, quality in zip(SEVERITIES, (60, 35, 20, 12, 7), strict=True):
        file = io.BytesIO()
        Image.fromarray(crop).save(file, "JPEG", quality=quality)
        difference = np.abs(corrupt(crop, "jpeg", severity).astype(int) - np.asarray(Image.open(file)))
        assert difference.max() <= 2


def test_low_resolution_by_hand() -> None:
    crop = sharp(48, 48, seed=4)[..., 0]
    means = np.rint(crop.reshape(12, 4, 12, 4).mean(axis=(1, 3)))
    places = (np.arange(48) + 0.5) / 4 - 0.5
    rows = np.array([np.interp(places, np.arange(12), column) for column in means.T]).T
    expected = np.array([np.interp(places, np.arange(12), row) for row in rows])
    assert np.abs(corrupt(crop, "resolution", 5) - expected).max() <= 1
    for severity in SEVERITIES:
        np.testing.assert_array_equal(corrupt(crop[:12, :12], "resolution", severity), crop[:12, :12])


def test_rotation_moves_a_dot_where_trigonometry_says() -> None:
    crop = np.zeros((101, 101), np.uint8)
    crop[29:32, 79:82] = 255  # 30 to the right of the middle and 20 above it
    for severity, degrees in zip(SEVERITIES, (5, 10, 20, 30, 40), strict=True):
        found = set()
        for identity in IDENTITIES[:12]:
            turned = corrupt(crop, "rotation", severity, identity=identity).astype(float)
            rows, columns = np.indices(crop.shape)
            x, y = ((turned * axis).sum() / turned.sum() - 50 for axis in (columns, rows))
            sign = np.sign(np.cross([30, -20, 0], [x, y, 0])[2])  # 1: to the right, where y points down
            a = np.radians(sign * degrees)
            expected = (30 * np.cos(a) + 20 * np.sin(a), 30 * np.sin(a) - 20 * np.cos(a))
            assert (x, y) == pytest.approx(expected, abs=0.15)
            found.add(sign)
        assert found == {-1, 1}


def test_rotation_repeats_the_edge() -> None:
    assert corrupt(np.full((48, 48, 3), 77, np.uint8), "rotation", 5).min() == 77


def test_shift_is_a_crop_of_the_padded_picture() -> None:
    crop = np.arange(2500, dtype=np.int64).reshape(50, 50)
    low = (crop % 256).astype(np.uint8)  # with the second half of each number beside it, every pixel is another
    crop_3 = np.stack([low, (crop // 256).astype(np.uint8), low], axis=2)
    padded = np.pad(crop_3, [(10, 10), (10, 10), (0, 0)], mode="edge")
    directions = []
    for severity, length in zip(SEVERITIES, (2, 4, 6, 8, 10), strict=True):
        for identity in IDENTITIES[:8]:
            shifted = corrupt(crop_3, "shift", severity, identity=identity)
            ((row, column),) = np.argwhere((shifted == crop_3[25, 25]).all(axis=2))
            down, across = int(row) - 25, int(column) - 25
            assert np.hypot(down, across) == pytest.approx(length, abs=0.71)
            np.testing.assert_array_equal(shifted, padded[10 - down : 60 - down, 10 - across : 60 - across])
            directions.append((np.sign(down), np.sign(across)))
    assert len(set(directions)) >= 4


@pytest.mark.parametrize(
    ("part", "severity", "rows", "columns"),
    [
        ("eyes", 1, (37, 43), (10, 90)),  # 0.15 of 40 pixels around 40; twice the 40 between the eyes
        ("eyes", 3, (31, 49), (10, 90)),
        ("eyes", 5, (24, 56), (10, 90)),
        ("mouth", 3, (71, 89), (18, 82)),  # around 80; 1.6 times the 40
        ("mouth", 5, (64, 96), (18, 82)),
    ],
)
def test_a_bar_covers_its_part_of_the_face_alone(
    part: Corruption, severity: int, rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    crop = sharp(100, 100, seed=5)
    crop[..., 0] //= 4
    expected = crop.copy()
    expected[rows[0] : rows[1], columns[0] : columns[1]] = np.rint(crop.reshape(-1, 3).mean(axis=0))
    np.testing.assert_array_equal(corrupt(crop, part, severity, alignment=FACE), expected)


def test_a_bar_at_the_edge_and_in_tiny_crops_stays_inside() -> None:
    low = Alignment(eye_distance=0.9, eye_x=0.9, eye_y=0.9, eyes_to_mouth=0.9, faces=0)
    changed = corrupt(sharp(48, 48, seed=6), "mouth", 1, alignment=low) != sharp(48, 48, seed=6)
    assert np.flatnonzero(changed.any(axis=(1, 2))).tolist() == [47]  # the mouth is thought below the crop
    tiny = sharp(8, 8, seed=7)
    eyes, mouth = ((corrupt(tiny, part, 1) != tiny).any(axis=(1, 2)) for part in ("eyes", "mouth"))
    assert eyes.sum() == mouth.sum() == 1
    assert eyes.argmax() < mouth.argmax()


def test_what_cannot_be_corrupted_is_an_error() -> None:
    crop = soft(48, 48)
    with pytest.raises(InputError, match=r"unknown corruption 'blurr'. Did you mean 'blur'"):
        corrupt(crop, "blurr", 1)  # type: ignore[arg-type]
    for severity in (0, 6, 1.5):
        with pytest.raises(InputError, match="expected 1 to 5"):
            corrupt(crop, "blur", severity)  # type: ignore[arg-type]
    for wrong in (crop.astype(np.float32), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 5), np.uint8), crop[0]):
        with pytest.raises(InputError, match="expected"):
            corrupt(wrong, "blur", 1)
