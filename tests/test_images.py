"""Pictures: every kind of file becomes upright gray or RGB; what is damaged or too large is refused by name."""

from __future__ import annotations

import hashlib
import io

import cv2
import numpy as np
import pytest
from PIL import Image

from mien import images
from mien.errors import InputError
from mien.images import Pixels, decode, pixel_hash, squeeze_gray, to_gray

GRAY: Pixels = np.random.default_rng(0).integers(0, 256, (6, 9), dtype=np.uint8)
RGB: Pixels = np.random.default_rng(1).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_files_give_back_their_pixels(kind: str) -> None:
    assert np.array_equal(decode(saved(Image.fromarray(GRAY), kind), "x"), GRAY)
    assert np.array_equal(decode(saved(Image.fromarray(RGB), kind), "x"), RGB)


def test_lossless_webp_gives_back_its_pixels() -> None:
    assert np.array_equal(decode(saved(Image.fromarray(RGB), "WEBP", lossless=True), "x"), RGB)


def test_three_equal_channels_are_gray() -> None:
    three = np.repeat(GRAY[..., None], 3, axis=2)
    assert np.array_equal(decode(saved(Image.fromarray(three), "PNG"), "x"), GRAY)
    assert np.array_equal(squeeze_gray(three), GRAY)
    three[2, 3, 1] ^= 1
    assert squeeze_gray(three) is three


# EXIF 2.3, orientation: where row 0 and column 0 of the stored picture lie when it is looked at
UPRIGHT = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_rotation_is_obeyed(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for stored in (GRAY, RGB):
        data = saved(Image.fromarray(stored), "PNG", exif=exif)
        upright = UPRIGHT[orientation](stored)
        assert np.array_equal(decode(data, "x"), upright)


def test_transparency_is_laid_on_white() -> None:
    rgba = np.zeros((1, 3, 4), dtype=np.uint8)
    rgba[0, :, :3] = (200, 100, 0)
    rgba[0, :, 3] = (255, 0, 51)  # opaque, clear, a fifth
    pixels = decode(saved(Image.fromarray(rgba), "PNG"), "x")
    assert pixels[0, 0].tolist() == [200, 100, 0]
    assert pixels[0, 1].tolist() == [255, 255, 255]
    assert np.abs(pixels[0, 2] - np.array([244, 224, 204])).max() <= 1  # 0.2 * color + 0.8 * 255


def test_gray_transparency_is_laid_on_white() -> None:
    with_alpha = np.stack([GRAY, np.zeros_like(GRAY)], axis=-1)
    assert (decode(saved(Image.fromarray(with_alpha, "LA"), "PNG"), "x") == 255).all()
    one_clear = decode(saved(Image.fromarray(np.array([[7, 9]], dtype=np.uint8)), "PNG", transparency=7), "x")
    assert one_clear.tolist() == [[255, 9]]


def test_sixteen_bit_gray_is_scaled() -> None:
    deep = np.array([[0, 255, 256, 32768, 65535]], dtype=np.uint16)
    assert decode(cv2.imencode(".png", deep)[1].tobytes(), "x").tolist() == [[0, 0, 1, 128, 255]]
    assert decode(cv2.imencode(".tiff", deep)[1].tobytes(), "x").tolist() == [[0, 0, 1, 128, 255]]


def test_cmyk_jpeg_becomes_rgb() -> None:
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # no cyan, all magenta and yellow: red
    pixels = decode(saved(cmyk, "JPEG", quality=95), "x")
    assert pixels.shape == (8, 8, 3)
    assert np.abs(pixels.astype(int) - (255, 0, 0)).max() <= 4


def test_palette_one_bit_and_animation() -> None:
    palette = Image.fromarray(RGB).quantize(16)
    assert np.array_equal(decode(saved(palette, "PNG"), "x"), np.asarray(palette.convert("RGB")))
    bits = GRAY > 127
    assert np.array_equal(decode(saved(Image.fromarray(bits), "PNG"), "x"), bits * np.uint8(255))
    frames = [Image.new("RGB", (5, 4), color) for color in ("red", "blue")]
    first = decode(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]), "x")
    assert first.shape == (4, 5, 3)
    assert (first == (255, 0, 0)).all()


@pytest.mark.parametrize("data", [b"", b"GIF89a", np.random.default_rng(2).bytes(4000), b"hello, I am no picture"])
def test_other_bytes_are_refused_by_name(data: bytes) -> None:
    with pytest.raises(InputError, match=r"party\.jpg"):
        decode(data, "party.jpg")


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_cut_file_is_damaged(kind: str, share: float) -> None:
    data = saved(Image.fromarray(np.random.default_rng(3).integers(0, 256, (64, 64), dtype=np.uint8)), kind)
    with pytest.raises(InputError, match="cut: damaged picture"):
        decode(data[: int(share * len(data))], "cut")


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(Image.fromarray(GRAY), "PNG")
    monkeypatch.setattr(images, "MAX_PIXELS", GRAY.size)
    monkeypatch.setattr(images, "MAX_BYTES", len(data))
    decode(data, "x")
    monkeypatch.setattr(images, "MAX_PIXELS", GRAY.size - 1)
    with pytest.raises(InputError, match="x: 9x6 is more than 53 pixels"):
        decode(data, "x")
    monkeypatch.setattr(images, "MAX_BYTES", len(data) - 1)
    with pytest.raises(InputError, match=r"x: .* encoded"):
        decode(data, "x")


def test_a_decompression_bomb_is_refused_from_its_header() -> None:
    data = bytearray(saved(Image.fromarray(GRAY), "BMP"))
    for side in (10_000, 30_000):  # between our limit and Pillow's own, and beyond that
        data[18:26] = side.to_bytes(4, "little") * 2
        with pytest.raises(InputError, match="more than 64,000,000 pixels; reduce it"):
            decode(bytes(data), "bomb.bmp")


def test_gray_has_the_bt601_weights() -> None:
    expected = RGB.astype(float) @ (0.299, 0.587, 0.114)
    assert np.abs(to_gray(RGB) - expected).max() <= 0.51
    assert to_gray(GRAY) is GRAY


def test_the_hash_is_of_shape_and_pixels() -> None:
    expected = hashlib.blake2b(b"(6, 9)" + GRAY.tobytes(), digest_size=16).hexdigest()
    assert pixel_hash(GRAY) == pixel_hash(np.repeat(GRAY[..., None], 3, axis=2)) == expected
    assert pixel_hash(np.asfortranarray(GRAY)) == expected
    assert len({expected, pixel_hash(GRAY.T), pixel_hash(GRAY.reshape(9, 6)), pixel_hash(GRAY ^ 1)}) == 4
