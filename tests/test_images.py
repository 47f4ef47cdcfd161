"""Pictures: every kind of file becomes upright gray or RGB; what is damaged or too large is refused by name."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import sys
import tracemalloc
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from mien import image_files, images
from mien.errors import InputError
from mien.images import Pixels, decode, from_pil, pixel_hash, read, squeeze_gray, to_gray

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
    monkeypatch.setattr(image_files, "MAX_PIXELS", GRAY.size)
    monkeypatch.setattr(images, "MAX_BYTES", len(data))
    decode(data, "x")
    monkeypatch.setattr(image_files, "MAX_PIXELS", GRAY.size - 1)
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


def test_a_damaged_exif_block_does_not_spoil_the_picture() -> None:
    whole = saved(Image.fromarray(RGB), "PNG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff no directory")
    assert np.array_equal(decode(whole, "x"), RGB)


def test_odd_exif_entries_do_not_spoil_the_picture() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x8769] = {0x9003: "2026:01:01 00:00:00", 0x0112: 3}
    assert np.array_equal(decode(saved(Image.fromarray(RGB), "PNG", exif=exif), "x"), np.rot90(RGB, -1))


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_tiff_and_jpeg_rotation_is_obeyed_once(orientation: int) -> None:
    tiff = saved(Image.fromarray(RGB), "TIFF", tiffinfo={0x0112: orientation})
    assert np.array_equal(decode(tiff, "x"), UPRIGHT[orientation](RGB))
    exif = Image.Exif()
    exif[0x0112] = orientation
    halves = np.zeros((16, 32), dtype=np.uint8)
    halves[:, 16:] = 255
    halves[8:, :16] = 128
    pixels = decode(saved(Image.fromarray(halves), "JPEG", exif=exif, quality=95), "x")
    assert np.abs(pixels.astype(int) - UPRIGHT[orientation](halves)).max() <= 4


def test_first_frame_of_animations() -> None:
    frames = [Image.new("RGB", (5, 4), color) for color in ("red", "blue")]
    webp = decode(saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True), "x")
    assert (webp == (255, 0, 0)).all()
    apng = decode(saved(frames[0], "PNG", save_all=True, append_images=frames[1:]), "x")
    assert (apng == (255, 0, 0)).all()
    pages = decode(saved(frames[0], "TIFF", save_all=True, append_images=frames[1:]), "x")
    assert (pages == (255, 0, 0)).all()


def test_palette_with_transparency_is_laid_on_white() -> None:
    palette = Image.new("P", (3, 1))
    palette.putpalette([0, 0, 0, 200, 100, 0, 10, 20, 30])
    palette.putdata([0, 1, 2])
    expected = [[[255, 255, 255], [200, 100, 0], [10, 20, 30]]]
    assert decode(saved(palette, "GIF", transparency=0), "x").tolist() == expected
    assert decode(saved(palette, "PNG", transparency=b"\x00\xff\xff"), "x").tolist() == expected


def test_big_endian_and_32_bit_gray() -> None:
    deep = np.array([[0, 255, 256, 32768, 65535]], dtype=">u2")
    assert decode(saved(Image.fromarray(deep), "TIFF"), "x").tolist() == [[0, 0, 1, 128, 255]]
    wide = np.array([[0, 255, 256, 65535]], dtype=np.int32)
    assert decode(saved(Image.fromarray(wide), "TIFF"), "x").tolist() == [[0, 0, 1, 255]]


@pytest.mark.parametrize(
    "values",
    [
        np.array([[-5, 0, 256, 70000]], dtype=np.int32),
        np.array([[0, 255]], dtype=np.int32),
        np.array([[0, 255]], dtype=np.uint16),
        np.array([[0, 1]], dtype=np.float32),
        np.array([[0, 255]], dtype=np.float32),
        np.array([[0, 65535]], dtype=np.float32),
        np.array([[np.nan, 0.5]], dtype=np.float32),
    ],
    ids=["I outside", "I small", "I;16 small", "F to 1", "F to 255", "F to 65535", "F nan"],
)
def test_values_whose_white_is_not_known_are_refused(values: np.ndarray) -> None:
    image = Image.fromarray(values)
    for ask in (lambda: from_pil(image), lambda: decode(saved(image, "TIFF"), "x")):
        with pytest.raises(InputError, match=r"so what is white is not known\. Scale them to 0–255"):
            ask()


def test_black_of_16_bits_is_black() -> None:
    assert from_pil(Image.fromarray(np.zeros((2, 3), dtype=np.uint16))).tolist() == [[0] * 3] * 2


PHOTO: Pixels = cv2.GaussianBlur(np.random.default_rng(2).integers(0, 256, (90, 70, 3), dtype=np.uint8), (9, 9), 0)


def test_a_png_with_long_texts_is_read_and_said(caplog: pytest.LogCaptureFixture) -> None:
    for compressed in (True, False):
        for kind in (PngImagePlugin.PngInfo.add_text, PngImagePlugin.PngInfo.add_itxt):
            info = PngImagePlugin.PngInfo()
            kind(info, "workflow", "x" * 2_000_000, zip=compressed)  # type: ignore[operator]
            data = saved(Image.fromarray(PHOTO), "PNG", pnginfo=info)
            caplog.clear()
            assert np.array_equal(decode(data, "it.png"), PHOTO)
            assert ("it.png: read without its texts" in caplog.text) == (not image_opens(data))


def image_opens(data: bytes) -> bool:
    try:
        Image.open(io.BytesIO(data)).load()
    except Exception:
        return False
    return True


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "quality": 98}])
def test_a_jpeg_without_its_end_mark_is_whole_and_with_less_is_not(
    options: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    data = saved(Image.fromarray(PHOTO), "JPEG", **options)
    expected = decode(data, "x")
    for missing in (1, 2):
        caplog.clear()
        assert np.array_equal(decode(data[:-missing], "it.jpg"), expected)
        assert caplog.messages in ([], ["it.jpg: a JPEG without its end mark; all its pixels are there"])
    for missing in (8, 40, len(data) // 3):
        with pytest.raises(InputError, match="damaged picture"):
            decode(data[:-missing], "it.jpg")


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_avif_and_heic_are_read(kind: str) -> None:
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    found = decode(saved(Image.fromarray(PHOTO), kind, quality=100), "x")
    assert np.abs(found.astype(int) - PHOTO).mean() < 6


def test_avif_is_turned_as_it_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    found = decode(saved(Image.fromarray(PHOTO), "AVIF", quality=100, exif=exif), "x")
    assert np.abs(found.astype(int) - UPRIGHT[6](PHOTO)).mean() < 6


def test_heic_without_its_reader_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    head = (24).to_bytes(4, "big") + b"ftypheic" + bytes(4) + b"mif1heic"
    with pytest.raises(InputError, match=r'x: a picture in HEIC needs the extra "heic"\..* or save it as JPEG'):
        decode(head + bytes(100), "x")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(InputError, match="pipe, socket or device"):
        read(tmp_path / "pipe.jpg")
    with pytest.raises(InputError, match="no name of a file"):
        read(Path("a\0b.jpg"))


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(1000)))


def tiff_of(width: int, height: int) -> bytes:
    data = bytearray(saved(Image.new("L", (4, 4)), "TIFF"))
    first = struct.unpack_from("<I", data, 4)[0] + 2
    for place in range(first, first + 12 * struct.unpack_from("<H", data, first - 2)[0], 12):
        tag = struct.unpack_from("<H", data, place)[0]
        if tag in (256, 257):
            struct.pack_into("<HHII", data, place, tag, 4, 1, width if tag == 256 else height)
    return bytes(data)


def webp_of(width: int, height: int) -> bytes:
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    data = bytearray(saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
    place = data.find(b"VP8X") + 12
    data[place : place + 6] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(data)


def gif_of(width: int, height: int) -> bytes:
    """A first frame that is larger than the screen of the file."""
    data = bytearray(saved(Image.new("P", (2, 2)), "GIF"))
    struct.pack_into("<HH", data, data.index(b"\x2c", 13) + 5, width, height)
    return bytes(data)


BOMBS = {
    "png": png_of,
    "tiff": tiff_of,
    "webp": webp_of,
    "gif": gif_of,
    "pgm": lambda width, height: b"P5 %d %d 255\n" % (width, height),
}


@pytest.mark.filterwarnings("error")  # of Pillow: ours is the only word on it
@pytest.mark.parametrize("kind", BOMBS)
@pytest.mark.parametrize("side", [10_000, 16_000, 50_000])
def test_every_kind_of_bomb_is_refused_from_its_header(kind: str, side: int) -> None:
    bomb = BOMBS[kind](side, side)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=f"bomb: {side}x{side} is more than 64,000,000 pixels; reduce it first"):
            decode(bomb, "bomb")
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    finally:
        tracemalloc.stop()


def test_a_picture_without_a_pixel_is_refused() -> None:
    empty_gif = gif_of(0, 0)
    for data in (b"P5 0 4 255\n", empty_gif[:6] + bytes(4) + empty_gif[10:], png_of(0, 5), webp_of(4, 4)[:20]):
        with pytest.raises(InputError, match="x: "):
            decode(data, "x")


def test_other_kinds_than_the_known_are_not_even_tried() -> None:
    postscript = (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"  # would start a program
    )
    for data in (postscript, saved(Image.fromarray(RGB), "JPEG2000"), saved(Image.fromarray(RGB), "TGA")):
        with pytest.raises(InputError, match=r"x: not a picture that can be read \(known: \.apng"):
            decode(data, "x")


def test_files_that_would_keep_a_decoder_busy_for_hours_are_refused() -> None:
    gif = saved(Image.new("P", (2, 2)), "GIF")
    at = gif.index(b"\x2c", 13)
    progressive = saved(Image.fromarray(GRAY), "JPEG", progressive=True)
    last = progressive[progressive.rindex(b"\xff\xda") : -2]
    for data, why in (
        (gif[:at] + b"\x21\xfe\x01a\x00" * 10_000 + gif[at:], "2,000 blocks before its first frame"),
        (gif[:at] + b"\0\x21\xfe" + b"\x01a" * 10_000 + b"\x00" + gif[at:], "2,000 blocks before its first frame"),
        (gif[:at] + bytes(10_000) + gif[at:], "2,000 blocks before its first frame"),
        (progressive[:-2] + last * 200 + b"\xff\xd9", r"more than 100 scans"),
        (b"P3 2000 2000 255\n" + b"1 " * (3 * 2000 * 2000), "written as text"),
    ):
        with pytest.raises(InputError, match=f"busy: .*{why}"):
            decode(data, "busy")
    assert decode(gif[:at] + b"\x21\xfe\x01a\x00" * 100 + gif[at:], "x").shape == (2, 2)
    assert np.array_equal(decode(b"P2 9 6 255\n" + b" ".join(b"%d" % v for v in GRAY.ravel()), "x"), GRAY)
