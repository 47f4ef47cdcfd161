"""Sources: folders and zips of labeled faces, and the choice of the right source for any path."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from mien.data.entry import Entry, Loader, Source, file_digest
from mien.data.layouts import class_folders, published
from mien.data.listing import Face, Files, Layout
from mien.data.parquet import ParquetSource
from mien.data.tables import CsvSource
from mien.errors import InputError, first_line, printable
from mien.image_files import HEAD, SUFFIXES
from mien.images import MAX_BYTES, Pixels, decode
from mien.labels import Naming
from mien.walk import files_below, is_hidden, kind_by, left_out_as

logger = logging.getLogger(__name__)

MAX_UNPACKED = 32 * 2**30  # of all members of one zip, in bytes
MAX_RATIO = 200  # unpacked to packed, of one zip member


def open_source(path: Path, labels: Naming | None = None) -> Source:
    """The source at `path`: a folder of images, a zip of such a folder, fer2013.csv (or .csv.gz, .csv.zip), or Parquet.

    `labels` names the integer labels of a Parquet file that does not name them itself, and numbered folders.
    """
    numbers = labels is not None and (not isinstance(labels, Mapping) or any(name.isdigit() for name in labels))
    if not path.exists():
        raise InputError(
            f"{path}: does not exist. Give a folder of class folders, a zip of one, fer2013.csv or Parquet"
        )
    if path.is_dir():
        tables = sorted([*path.rglob("*.parquet"), *path.rglob("*.arrow")])
        return ParquetSource(tables, path, labels) if tables else FolderSource(path, numbers=numbers)
    if not path.is_file():
        raise InputError(f"{path}: no file but a pipe, socket or device; write the data to a file first")
    name = path.name.lower()
    if name.endswith(".zip"):
        return _in_zip(path, numbers)
    if name.endswith((".csv", ".csv.gz")):
        return CsvSource(path)
    if name.endswith((".parquet", ".arrow")):
        return ParquetSource([path], path, labels)
    raise InputError(f"{path}: neither a folder nor a .zip, .csv, .csv.gz, .csv.zip, .parquet or .arrow file")


class FolderSource:
    """A folder: a published data set that is known by its layout, or class folders with or without splits."""

    def __init__(self, path: Path, *, numbers: bool = False) -> None:
        """`numbers`: the user names the numbers of folders."""
        self._root = path
        pictures: list[str] = []
        others: list[str] = []
        left_out = Counter[str]()
        for file in files_below(path):
            kind = left_out_as(file)
            (pictures if kind is None else others).append(file.relative_to(path).as_posix())
            if kind is not None:
                left_out[kind] += 1
        files = Files(str(path), sorted(pictures), others, lambda place: _read_file(path / place, place))
        layout = _laid_out(files, left_out, numbers)
        self._faces, self.left_out, self.labels = layout.faces, _no_pictures(layout), layout.labels
        self.unlabeled: Sequence[str] = _unlabeled(files, layout)
        self.entries: Sequence[Entry] = [face.entry for face in layout.faces]

    def loaders(self) -> Iterator[Loader]:
        for face in self._faces:
            yield lambda face=face: _picture(_read_file(self._root / face.file, face.file), face)  # type: ignore[misc]

    def digest(self) -> str:
        total = hashlib.blake2b(digest_size=16)
        known: dict[str, bytes] = {}  # a photo of several faces is read once
        for face in self._faces:
            if face.file not in known:
                known[face.file] = self._content(face.file)
            total.update(os.fsencode(face.file) + b"\0" + known[face.file])
            if face.box:
                total.update(repr(face.box).encode())
        return total.hexdigest()

    def _content(self, place: str) -> bytes:
        try:
            with (self._root / place).open("rb") as file:
                return hashlib.file_digest(file, "sha256").digest()
        except OSError:
            return b"unreadable"  # its loader will say why


class ZipSource:
    """A zip of the same. Members are read one at a time and never unpacked to disk."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, *, numbers: bool = False) -> None:
        self._path, self._archive = path, archive  # it stays open as long as its loaders may be called
        left_out: Counter[str] = Counter()
        self._members: dict[str, zipfile.ZipInfo] = {}  # by their places, sorted
        pictures: list[str] = []
        others: list[str] = []
        for member in sorted(archive.infolist(), key=_place):
            place = _place(member)
            if place.endswith("/") or is_hidden(place):
                continue
            self._members[place] = member
            kind = kind_by(place, lambda member=member: _head(archive, member))  # type: ignore[misc]
            (pictures if kind is None else others).append(place)
            if kind is not None:
                left_out[kind] += 1
        files = Files(str(path), pictures, others, self._read)
        layout = _laid_out(files, left_out, numbers)
        self._layout, self.left_out, self.labels = layout, _no_pictures(layout), layout.labels
        self.unlabeled: Sequence[str] = _unlabeled(files, layout)
        self.entries: Sequence[Entry] = [face.entry for face in layout.faces]

    def _read(self, place: str) -> bytes:
        return _read_member(self._archive, self._members[place], place)

    def loaders(self) -> Iterator[Loader]:
        for face in self._layout.faces:
            yield lambda face=face: _picture(self._read(face.file), face)  # type: ignore[misc]

    def digest(self) -> str:
        whole = file_digest(self._path)
        if not self._layout.name:
            return whole
        # Which of its pictures are faces, and where, is ours to tell and may change.
        told = "\n".join(f"{face.file}\t{face.box}" for face in self._layout.faces)
        return hashlib.blake2b(f"{whole}\n{told}".encode(errors="surrogateescape"), digest_size=16).hexdigest()


def _laid_out(files: Files, left_out: Counter[str], numbers: bool) -> Layout:
    layout = published(files, numbers=numbers)
    if layout is None:
        return class_folders(files, left_out)
    logger.info("%s: %s", files.source, layout)
    return layout


def _no_pictures(layout: Layout) -> Counter[str]:
    """What is counted as no picture: a published set's other files are its own."""
    return Counter() if layout.name else layout.left_out


def _unlabeled(files: Files, layout: Layout) -> list[str]:
    labeled = {face.file for face in layout.faces}
    return [printable(place) for place in files.pictures if place not in labeled]


def _picture(content: bytes, face: Face) -> bytes | Pixels:
    """The encoded picture, or the pixels of the face in it."""
    if face.box is None:
        return content
    pixels = decode(content, face.file)
    left, top, right, bottom = (max(0, place) for place in face.box)
    crop = pixels[top:bottom, left:right]
    if not crop.size:
        raise InputError(f"{face.entry.name}: its box {face.box} lies outside of the photo")
    return np.ascontiguousarray(crop)


def _in_zip(path: Path, numbers: bool) -> Source:
    """Pictures in a zip, or the one table in a zip that holds no picture."""
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # zipfile raises nearly anything on a damaged directory
        raise InputError(f"{path}: damaged or truncated zip ({first_line(error)}). Download it again") from error
    members = archive.infolist()
    _check_members(members, path)
    places = [place for place in map(_place, members) if not is_hidden(place)]
    tables = [place for place in places if place.lower().endswith(".csv")]
    if len(tables) == 1 and not any(place.lower().endswith(SUFFIXES) for place in places):
        return CsvSource(path)
    return ZipSource(path, archive, numbers=numbers)


def _place(member: zipfile.ZipInfo) -> str:
    """Where a member would lie; some programs on Windows part folders by backslashes."""
    return member.filename.replace("\\", "/")


def _head(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(member) as file:
            return file.read(HEAD)
    except Exception:  # no picture then; as in `_read_member`
        return b""


def _check_members(members: Sequence[zipfile.ZipInfo], path: Path) -> None:
    """Refuse what could write outside, unpack without end, or hide one file behind another."""
    for member in members:
        if not member.filename:
            raise InputError(f"{path}: has a member without a name. Pack the zip again")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unpack without a bound
            raise InputError(
                f"{path}: member '{member.filename}' is packed in a rare way. Pack the zip again (deflate)"
            )
        parts = PurePosixPath(_place(member))
        if parts.is_absolute() or ".." in parts.parts or (parts.parts and ":" in parts.parts[0]):
            raise InputError(f"{path}: member '{member.filename}' has an absolute or parent path. Pack the zip again")
        if member.file_size > MAX_BYTES and _place(member).lower().endswith(SUFFIXES):
            raise InputError(
                f"{path}: member '{member.filename}' unpacks to {member.file_size:,} bytes; limit {MAX_BYTES:,}"
            )
        if member.file_size > 2**20 and member.file_size > MAX_RATIO * max(member.compress_size, 1):
            raise InputError(
                f"{path}: member '{member.filename}' unpacks {MAX_RATIO} times its size or more: a zip bomb?"
            )
    total = sum(member.file_size for member in members)
    if total > MAX_UNPACKED:
        raise InputError(
            f"{path}: unpacks to {total:,} bytes; limit {MAX_UNPACKED:,}. Give the unpacked folder instead"
        )
    repeated = [name for name, count in Counter(map(_place, members)).items() if count > 1]
    if repeated:
        raise InputError(f"{path}: contains '{repeated[0]}' more than once. Pack the zip again")


def _read_file(file: Path, name: str) -> bytes:
    try:
        found = file.stat()
        if found.st_size > MAX_BYTES:
            raise InputError(f"{name}: over {MAX_BYTES:,} bytes")
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{name}: no file but a pipe, socket or device")
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror})") from error


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> bytes:
    try:
        with archive.open(member) as file:
            # No more than the directory says, whatever is packed there; to its end, where the checksum is compared.
            content = file.read(member.file_size) + file.read(1)
    except Exception as error:  # zipfile and zlib each raise their own
        raise InputError(f"{name}: damaged in the zip ({first_line(error)})") from error
    if len(content) != member.file_size:
        raise InputError(f"{name}: damaged in the zip (cut off)")
    return content
