"""Bytes to an upright uint8 picture; every limit on untrusted pictures lives here."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from mien.errors import InputError

MAX_BYTES = 64 * 2**20  # of one encoded picture
MAX_PIXELS = 64_000_000  # of one decoded picture
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")

Pixels = npt.NDArray[np.uint8]


def decode(data: bytes, name: str) -> Pixels:
    """Decode an encoded picture to `(H, W)` gray or `(H, W, 3)` RGB, uint8, upright as EXIF says.

    A color file whose three channels are equal counts as gray. Transparency is laid on white; 16-bit gray is scaled to
    8 bit; of an animation the first frame is taken. Raises `InputError` naming the file when it is no picture, is
    damaged, or is over `MAX_BYTES` or `MAX_PIXELS`.
    """
    try:
        with _open(data, name) as image:
            return _to_array(ImageOps.exif_transpose(image))
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


def from_pil(image: Image.Image) -> Pixels:
    """The pixels of an opened picture, upright, under the same limits."""
    name = str(getattr(image, "filename", "") or "picture")
    _check_pixels(image, name)
    try:
        return _to_array(ImageOps.exif_transpose(image))
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
    if (
        image.ndim == 3
        and np.array_equal(image[..., 0], image[..., 1])
        and np.array_equal(image[..., 0], image[..., 2])
    ):
        return np.ascontiguousarray(image[..., 0])
    return image


def _open(data: bytes, name: str) -> Image.Image:
    if not data:
        raise InputError(f"{name}: empty, holds no byte")
    if len(data) > MAX_BYTES:
        raise _too_many_bytes(name, len(data))
    try:
        image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError as error:
        raise InputError(f"{name}: not a picture that can be read (known: {', '.join(SUFFIXES)})") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"{name}: more than {MAX_PIXELS:,} pixels; reduce it first") from error
    _check_pixels(image, name)
    return image


def _check_pixels(image: Image.Image, name: str) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise InputError(f"{name}: {image.width}x{image.height} is more than {MAX_PIXELS:,} pixels; reduce it first")


def _too_many_bytes(name: str, size: int) -> InputError:
    return InputError(f"{name}: {size / 2**20:.0f} MiB encoded; at most {MAX_BYTES // 2**20} MiB is read")


def _to_array(image: Image.Image) -> Pixels:
    if image.mode.startswith("I;16") or image.mode == "I":
        deep = np.asarray(image).astype(np.int64).clip(0, 65535)
        return np.ascontiguousarray((deep >> 8).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    if image.mode in ("1", "L"):
        return np.array(image.convert("L"), dtype=np.uint8)
    return squeeze_gray(np.array(image.convert("RGB"), dtype=np.uint8))
