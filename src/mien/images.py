"""Bytes to an upright uint8 picture; every limit on untrusted pictures lives here."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import stat
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image
from PIL.JpegImagePlugin import JpegImageFile

from mien.errors import InputError, first_line, shortened
from mien.image_files import MAX_PIXELS, check_size, reader, with_ends, without_texts

MAX_BYTES = 64 * 2**20  # of one encoded picture
_DEEP = 65535  # the most of 16 bits
_LONGEST_NAME = 4096  # letters of a path, on any system
_TURNS = {  # EXIF 2.3, orientation: quarter turns against the clock, and whether left and right change sides after it
    2: (0, True),
    3: (2, False),
    4: (2, True),
    5: (3, True),
    6: (3, False),
    7: (1, True),
    8: (1, False),
}
_PARTS = (2, 4, 8)  # of its size, at which a JPEG can be decoded
_STRIP = 2**16  # pixels that leave Pillow at a time: copies stay in a core's cache, 2.3 times as fast as all at once

Pixels = npt.NDArray[np.uint8]
logger = logging.getLogger(__name__)


def decode(data: bytes, name: str) -> Pixels:
    """Decode an encoded picture to `(H, W)` gray or `(H, W, 3)` RGB, uint8, upright as EXIF says.

    A color file whose three channels are equal counts as gray. Transparency is laid on white; 16-bit gray is divided by
    256; of an animation the first frame is taken. A file that is not whole but holds all pixels is read, and the log
    says so. Raises `InputError` naming the file when it is no picture, is damaged, is over `MAX_BYTES` or `MAX_PIXELS`,
    or holds values whose range is not known: of 32 bits, decimal, or of 16 bits and all below 256.
    """
    return decode_reduced(data, name, MAX_PIXELS)[0]


def decode_reduced(data: bytes, name: str, most: int) -> tuple[Pixels, tuple[int, int]]:
    """As `decode`, of at most `most` pixels, and width and height that the upright picture has at its full size.

    A larger JPEG is decoded at a half, a quarter or an eighth of its size, which takes less memory and time; another
    picture raises `InputError`, before a pixel of it is decoded.
    """
    try:
        return _decoded(data, name, most)
    except InputError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file
        whole = _whole(data, name, most)
        if whole is None:
            raise InputError(f"{name}: damaged picture ({first_line(error)}). Copy or save it anew") from error
        return whole


def _decoded(data: bytes, name: str, most: int) -> tuple[Pixels, tuple[int, int]]:
    pixels, orientation, (width, height) = _stored(data, name, most)
    turned = orientation in _TURNS and _TURNS[orientation][0] % 2 == 1
    return _upright(squeeze_gray(pixels), orientation), (height, width) if turned else (width, height)


def _stored(data: bytes, name: str, most: int) -> tuple[Pixels, int, tuple[int, int]]:
    """The pixels as they are stored, how they are turned, and the full size. Pillow's own copy of them ends here."""
    image = _open(data, name)
    size = image.size
    if size[0] * size[1] > most:
        _reduce(image, name, most)
    image.load()  # a TIFF is turned here, and then says so
    full = size if image.size[0] * image.size[1] < size[0] * size[1] else image.size
    return _to_array(image, name), _orientation(image), full


def _reduce(image: Image.Image, name: str, most: int) -> None:
    """Let a JPEG be decoded at a part of its size that has at most `most` pixels.

    A progressive one needs two bytes a value at its full size all the same, so four colors count for more than three.
    """
    width, height = image.size
    can = isinstance(image, JpegImageFile) and width * height * len(image.getbands()) <= 3 * MAX_PIXELS
    for part in _PARTS if can else ():
        if -(-width // part) * -(-height // part) <= most:
            image.draft(None, (max(1, width // part), max(1, height // part)))
            return
    raise InputError(f"{name}: {width}x{height} is more than {most:,} pixels; reduce it first")


def _whole(data: bytes, name: str, most: int) -> tuple[Pixels, tuple[int, int]] | None:
    """All pixels of a file that Pillow does not read because of what stands beside or behind them; None: not there."""
    try:
        if (bare := without_texts(data)) is not None:
            whole = _decoded(bare, name, most)
            logger.warning("%s: read without its texts of more than 1 MB; all its pixels are there", name)
            return whole
        ended = [_decoded(one, name, most) for one in with_ends(data)]
    except Exception:  # it is damaged in other ways too
        return None
    if not ended or not all(np.array_equal(ended[0][0], other) for other, _ in ended[1:]):
        return None
    logger.warning("%s: a JPEG without its end mark; all its pixels are there", name)
    return ended[0]


def read(path: Path) -> Pixels:
    """Decode the picture at `path`; `InputError` for a file that cannot be read or is no picture."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):  # a FIFO would wait without end
            raise InputError(f"{path}: no file but a pipe, socket or device; write the picture to a file first")
        if found.st_size > MAX_BYTES:
            raise _too_many_bytes(str(path), found.st_size)
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:  # a zero byte in it
        raise InputError(f"{str(path)!r}: is no name of a file; name one that is there") from error
    return decode(content, str(path))


def check_name(name: str) -> None:
    """Raise `InputError` for text that is given as the name of a file and is none: an address, or a picture as text."""
    if "://" in name[:20]:
        raise InputError(f"{shortened(name, 200)}: an address is not opened; download it and name the file")
    if name.startswith("data:") or len(name) > _LONGEST_NAME:
        raise InputError(
            f"{shortened(name, 40)}: a picture as text and no name of a file; decode it and give bytes: "
            "base64.b64decode(text.partition(',')[2] or text)"
        )
    if "\0" in name:
        raise InputError(f"{name!r}: is no name of a file; name one that is there")


def from_pil(image: Image.Image) -> Pixels:
    """The pixels of an opened picture, upright, under the same limits."""
    name = str(getattr(image, "filename", "") or "picture")
    _check_pixels(image, name)
    try:
        image.load()
        return _upright(squeeze_gray(_to_array(image, name)), _orientation(image))
    except InputError:
        raise
    except Exception as error:  # it may be read from its file only now
        raise InputError(f"{name}: damaged picture ({first_line(error)})") from error


def pixels_of(picture: object) -> Pixels:
    """The pixels of a path, encoded bytes, a PIL image or an array that has them already. Raises `InputError`."""
    if isinstance(picture, (str, os.PathLike)):
        check_name(str(picture))
        return read(Path(picture))
    if isinstance(picture, (bytes, bytearray, memoryview)):
        return decode(bytes(picture), "picture")
    if isinstance(picture, Image.Image):
        return from_pil(picture)
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or picture.shape[2:] not in ((), (3,)):
            raise InputError(
                f"picture is an array of {picture.dtype} {picture.shape}; expected uint8, (H, W) gray or (H, W, 3) RGB"
            )
        if picture.size == 0:
            raise InputError(f"picture is an array of shape {picture.shape}, without a pixel")
        return picture
    raise InputError(f"cannot read a picture from {type(picture).__name__}; expected path, bytes, PIL image or array")


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
    image = reader(data, name)(io.BytesIO(data))
    _check_pixels(image, name)
    return image


def _check_pixels(image: Image.Image, name: str) -> None:
    check_size(image.width, image.height, name)
    if image.width * image.height == 0:
        raise InputError(f"{name}: {image.width}x{image.height}, without a pixel")


def _too_many_bytes(name: str, size: int) -> InputError:
    return InputError(f"{name}: {size / 2**20:.0f} MiB encoded; at most {MAX_BYTES // 2**20} MiB is read")


def _to_array(image: Image.Image, name: str) -> Pixels:
    """`(H, W)` or `(H, W, 3)`, as it is stored."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return _from_deep(image, name)
    gray = image.mode in ("1", "L") and "transparency" not in image.info
    out = np.empty((image.height, image.width) if gray else (image.height, image.width, 3), dtype=np.uint8)
    rows = max(1, _STRIP // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        strip = image if rows >= image.height else image.crop((0, top, image.width, bottom))
        out[top:bottom] = np.asarray(_opaque(strip, "L" if gray else "RGB"))
    return out


def _opaque(image: Image.Image, mode: str) -> Image.Image:
    """In `mode`, L or RGB, laid on white where it is transparent."""
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    # `convert` copies also where there is nothing to convert.
    return image if image.mode == mode else image.convert(mode)


def _from_deep(image: Image.Image, name: str) -> Pixels:
    """Of 16 bits, divided by 256. Nothing says where white lies in values of 32 bits or below 256 of 16: refused."""
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if image.mode == "F" or not (low >= 0 and (high == 0 or 255 < high <= _DEEP)):
        kind = "decimal numbers" if image.mode == "F" else "16 or 32 bits"
        raise InputError(
            f"{name}: pixels are {kind} from {low:g} to {high:g}, so what is white is not known. Scale them to 0–255 "
            "and give 8 bits: Image.fromarray((values * 255 / white).astype('uint8'))"
        )
    return (values >> 8).astype(np.uint8)


def _orientation(image: Image.Image) -> int:
    """As EXIF says. Where that block cannot be read, the picture stays as it is stored."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation) or 1)
    except Exception:  # it raises nearly anything on a damaged block; the pixels may be whole
        return 1


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    if orientation not in _TURNS:
        return pixels
    turns, mirrored = _TURNS[orientation]
    turned = np.rot90(pixels, turns)
    return np.ascontiguousarray(np.fliplr(turned) if mirrored else turned)
