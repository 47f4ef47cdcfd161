"""Image files: which reader the first bytes of a picture ask for, and what is refused before it reads."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator

from PIL import BmpImagePlugin, GifImagePlugin, Image, JpegImagePlugin, PngImagePlugin, PpmImagePlugin, TiffImagePlugin

from mien.errors import InputError, MissingExtraError

MAX_PIXELS = 64_000_000  # of one decoded picture
SUFFIXES = (
    ".apng", ".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png",
    ".pnm", ".ppm", ".tif", ".tiff", ".webp",
)  # fmt: skip
HEAD = 64  # bytes at the beginning of a file that say what it is
_MAX_SCANS = 100  # of a JPEG, which has one or about ten; each takes 0.05 s at the most pixels
_MAX_BLOCKS = 2_000  # before the first frame of a GIF, of at most 255 bytes
_GIF_EXTENSION, _GIF_FRAME = b"!,"  # what begins such a block
_MAX_TEXT = 4 * 2**20  # bytes of a PGM or PPM that writes its pixels as text; 2 s
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_BESIDE = (b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf")  # parts of a PNG beside its pixels, of any length
_AVIF = (b"avif", b"avis")  # brands of ISO/IEC 23008-12 and of the AVIF specification
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def is_picture(head: bytes) -> bool:
    """Whether a file that begins with these bytes (`HEAD` of them are enough) is a picture of a kind that is read."""
    try:
        reader(head, "")
    except InputError:
        return False
    return True


def reader(data: bytes, name: str) -> Callable[[io.BytesIO], Image.Image]:
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
    if kind := _heif_kind(data):
        return _heif_reader(kind, name)
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
        check_size(left + width, top + height, name)


def check_size(width: int, height: int, name: str) -> None:
    """Raise `InputError` for more than `MAX_PIXELS`."""
    if width * height > MAX_PIXELS:
        raise InputError(f"{name}: {width}x{height} is more than {MAX_PIXELS:,} pixels; reduce it first")


def _heif_kind(data: bytes) -> str | None:
    """`avif` or `heic`, by the brands that the file claims."""
    if data[4:8] != b"ftyp":
        return None
    brands = [data[place : place + 4] for place in range(8, min(int.from_bytes(data[:4], "big"), HEAD), 4)]
    if any(brand in _AVIF for brand in brands):
        return "avif"
    return "heic" if any(brand in _HEIC for brand in brands) else None


def _heif_reader(kind: str, name: str) -> Callable[[io.BytesIO], Image.Image]:
    if kind == "avif":
        from PIL import AvifImagePlugin

        if not AvifImagePlugin.SUPPORTED:
            raise InputError(f"{name}: is AVIF, which this Pillow was built without: pip install --upgrade pillow")
        return AvifImagePlugin.AvifImageFile
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise InputError(f"{name}: {MissingExtraError('a picture in HEIC', 'heic')}, or save it as JPEG") from error
    opened: Callable[[io.BytesIO], Image.Image] = HeifImageFile
    return opened


def without_texts(data: bytes) -> bytes | None:
    """A PNG without what stands beside its pixels and is over 1 MB unpacked, where Pillow gives up; None: nothing is.

    Source: PNG specification, third edition, sections 5.3 and 11.3.
    """
    if not data.startswith(_PNG):
        return None
    kept, dropped = [_PNG], False
    for kind, start, end in _png_parts(data):
        if kind in _PNG_BESIDE and _unpacks_to_much(kind, data[start + 8 : end - 4]):
            dropped = True
        else:
            kept.append(data[start:end])
    return b"".join(kept) if dropped else None


def _png_parts(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, beginning and end of each part."""
    place = len(_PNG)
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        yield data[place + 4 : place + 8], place, place + 12 + length
        place += 12 + length


def _unpacks_to_much(kind: bytes, content: bytes) -> bool:
    most = PngImagePlugin.MAX_TEXT_CHUNK
    if len(content) > most:
        return True
    if kind in (b"tEXt", b"eXIf"):
        return False
    for place in range(min(len(content), 400)):  # after a name, and for iTXt two more words: where zlib's data begins
        if content[place : place + 1] == b"\x78":
            try:
                if len(zlib.decompressobj().decompress(content[place:], most + 1)) > most:
                    return True
            except zlib.error:
                continue
    return False


def with_ends(data: bytes) -> tuple[bytes, ...]:
    """A JPEG without its end mark, with it: at once, and after bytes that change whatever is still to be decoded.

    Where all of them decode to the same pixels, no pixel was missing. Empty for what has an end mark or is no JPEG, and
    for more scans than a photo has, which would take long.
    """
    if not data.startswith(b"\xff\xd8\xff") or data[-2:] == b"\xff\xd9" or data.count(b"\xff\xda") > _MAX_SCANS // 5:
        return ()
    body = data.rstrip(b"\xff")
    return tuple(body + filling + b"\xff\xd9" for filling in (b"", b"\x5a" * 64, b"\xa5" * 64))
