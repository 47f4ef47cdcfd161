"""Bytes to an upright uint8 picture; every limit on untrusted pictures lives here."""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import (
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
)

from mien.errors import InputError

MAX_BYTES = 64 * 2**20  # of one encoded picture
MAX_PIXELS = 64_000_000  # of one decoded picture
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_MAX_SCANS = 100  # of a JPEG, which has one or about ten; each takes 0.05 s at the most pixels
_MAX_BLOCKS = 2_000  # before the first frame of a GIF, of at most 255 bytes
_GIF_EXTENSION, _GIF_FRAME = b"!,"  # what begins such a block
_MAX_TEXT = 4 * 2**20  # bytes of a PGM or PPM that writes its pixels as text; 2 s
_TURNS = {  # EXIF 2.3, orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

Pixels = npt.NDArray[np.uint8]


def decode(data: bytes, name: str) -> Pixels:
    """Decode an encoded picture to `(H, W)` gray or `(H, W, 3)` RGB, uint8, upright as EXIF says.

    A color file whose three channels are equal counts as gray. Transparency is laid on white; 16-bit gray is scaled to
    8 bit; of an animation the first frame is taken. Raises `InputError` naming the file when it is no picture, is
    damaged, or is over `MAX_BYTES` or `MAX_PIXELS`.
    """
    try:
        with _open(data, name) as image:
            return _to_array(image)
    except InputError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file
        raise InputError(f"{name}: damaged picture ({error})") from error


def read(path: Path) -> Pixels:
    """Decode the picture at `path`; `InputError` for a file that cannot be read or is no picture."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _too_many_bytes(str(path), path.stat().st_size)
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    return decode(content, str(path))


def header_size(data: bytes, name: str) -> tuple[int, int]:
    """Width and height of an encoded picture as it is stored, without decoding it; the same errors as `decode`."""
    try:
        with _open(data, name) as image:
            return image.size
    except InputError:
        raise
    except Exception as error:  # as in `decode`
        raise InputError(f"{name}: damaged picture ({error})") from error


def from_pil(image: Image.Image) -> Pixels:
    """The pixels of an opened picture, upright, under the same limits."""
    name = str(getattr(image, "filename", "") or "picture")
    _check_pixels(image, name)
    try:
        return _to_array(image)
    except Exception as error:  # it may be read from its file only now
        raise InputError(f"{name}: damaged picture ({error})") from error


def to_gray(image: Pixels) -> Pixels:
    """`(H, W)` from `(H, W)` or `(H, W, 3)` RGB, with the BT.601 weights."""
    if image.ndim == 2:
        return image
    import cv2

    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def pixel_hash(image: Pixels) -> str:
    """The identity of a picture: 32 hex digits over shape and native pixels (BLAKE2b).

    Three equal channels count as gray, so a lossless copy in any container has the same hash.
    """
    image = squeeze_gray(image)
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def squeeze_gray(image: Pixels) -> Pixels:
    """`(H, W, 3)` with three equal channels becomes `(H, W)`; anything else stays as it is."""
    # Some rows first: they tell nearly every color picture from a gray one, in a fraction of the time.
    if image.ndim == 3 and _equal_channels(image[::64]) and _equal_channels(image):
        return np.ascontiguousarray(image[..., 0])
    return image


def _equal_channels(image: Pixels) -> bool:
    return all(np.array_equal(image[..., 0], image[..., i]) for i in (1, 2))


def _open(data: bytes, name: str) -> Image.Image:
    """The picture with its header read and its limits checked; no pixel is decoded yet."""
    if not data:
        raise InputError(f"{name}: the file is empty")
    if len(data) > MAX_BYTES:
        raise _too_many_bytes(name, len(data))
    image = _reader(data, name)(io.BytesIO(data))
    _check_pixels(image, name)
    return image


def _reader(data: bytes, name: str) -> Callable[[io.BytesIO], Image.Image]:
    """Pillow's reader for the kind of file that the first bytes say.

    `Image.open` would also hand them to readers of rare kinds, of which one starts a program (EPS), and would warn of
    large pictures beside our error. Files are refused here that would keep a reader busy for minutes to hours.
    """
    if data.startswith(b"\xff\xd8\xff"):
        if data.count(b"\xff\xda") > _MAX_SCANS:
            raise InputError(f"{name}: a JPEG of more than {_MAX_SCANS} scans; save it anew")
        return JpegImagePlugin.jpeg_factory
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImagePlugin.PngImageFile
    if data.startswith((b"GIF87a", b"GIF89a")):
        _check_gif(data, name)
        return GifImagePlugin.GifImageFile
    if data.startswith(b"BM"):
        return BmpImagePlugin.BmpImageFile
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        from PIL import WebPImagePlugin  # it may be missing where Pillow was built without it

        return WebPImagePlugin.WebPImageFile
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return TiffImagePlugin.TiffImageFile
    if data[:1] == b"P" and data[1:2] in b"123456" and data[2:3].isspace():
        if data[1:2] in b"123" and len(data) > _MAX_TEXT:
            raise InputError(f"{name}: {len(data) / 2**20:.0f} MiB of pixels written as text; save it as binary")
        return PpmImagePlugin.PpmImageFile
    raise InputError(f"{name}: not a picture that can be read (known: {', '.join(SUFFIXES)})")


def _check_gif(data: bytes, name: str) -> None:
    """The first frame of a GIF may be larger than its screen, and anything may stand before it.

    Pillow appends every comment to those before it, which takes time that grows with the square of their number.
    Source: GIF89a specification, sections 17 to 26.
    """
    place = 13 + (3 * 2 ** ((data[10] & 7) + 1) if len(data) > 10 and data[10] & 0x80 else 0)
    blocks = 0
    while place + 9 < len(data) and data[place] != _GIF_FRAME:
        extension = data[place] == _GIF_EXTENSION
        place += 2 if extension else 1
        blocks += 1
        while extension and place < len(data) and data[place] and blocks <= _MAX_BLOCKS:
            place += 1 + data[place]
            blocks += 1
        place += extension
        if blocks > _MAX_BLOCKS:
            raise InputError(
                f"{name}: a GIF with more than {_MAX_BLOCKS:,} blocks before its first frame; save it anew"
            )
    if place + 9 < len(data):
        left, top, width, height = struct.unpack_from("<HHHH", data, place + 1)
        _check_size(left + width, top + height, name)


def _check_pixels(image: Image.Image, name: str) -> None:
    _check_size(image.width, image.height, name)
    if image.width * image.height == 0:
        raise InputError(f"{name}: {image.width}x{image.height}, without a pixel")


def _check_size(width: int, height: int, name: str) -> None:
    if width * height > MAX_PIXELS:
        raise InputError(f"{name}: {width}x{height} is more than {MAX_PIXELS:,} pixels; reduce it first")


def _too_many_bytes(name: str, size: int) -> InputError:
    return InputError(f"{name}: {size / 2**20:.0f} MiB encoded; at most {MAX_BYTES // 2**20} MiB is read")


def _to_array(image: Image.Image) -> Pixels:
    """Decode it."""
    image = _upright(image)
    if image.mode.startswith("I;16") or image.mode == "I":
        return (np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8)
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    wanted = "L" if image.mode in ("1", "L") else "RGB"
    # `convert` copies also where there is nothing to convert.
    return squeeze_gray(np.array(image if image.mode == wanted else image.convert(wanted), dtype=np.uint8))


def _upright(image: Image.Image) -> Image.Image:
    """Turned as EXIF says. Where that block cannot be read, the picture stays as it is stored."""
    image.load()  # a TIFF is turned here, and then says so
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # it raises nearly anything on a damaged block; the pixels may be whole
        return image
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image
