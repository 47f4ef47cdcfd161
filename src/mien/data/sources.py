"""Sources: folders and zips of labeled faces, and the choice of the right source for any path."""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from mien.data.entry import Entry, Loader, Source, file_digest
from mien.data.folders import entries
from mien.data.parquet import ParquetSource
from mien.data.tables import CsvSource
from mien.errors import InputError, first_line
from mien.image_files import HEAD, SUFFIXES
from mien.images import MAX_BYTES
from mien.walk import files_below, is_hidden, kind_by, left_out_as

MAX_UNPACKED = 32 * 2**30  # of all members of one zip, in bytes
MAX_RATIO = 200  # unpacked to packed, of one zip member


def open_source(path: Path, labels: Sequence[str] | None = None) -> Source:
    """The source at `path`: a folder of images, a zip of such a folder, fer2013.csv (or .csv.gz, .csv.zip), or Parquet.

    `labels` names the integer labels of a Parquet file that does not name them itself.
    """
    if not path.exists():
        raise InputError(
            f"{path}: does not exist. Give a folder of class folders, a zip of one, fer2013.csv or Parquet"
        )
    if path.is_dir():
        tables = sorted([*path.rglob("*.parquet"), *path.rglob("*.arrow")])
        return ParquetSource(tables, path, labels) if tables else FolderSource(path)
    if not path.is_file():
        raise InputError(f"{path}: no file but a pipe, socket or device; write the data to a file first")
    name = path.name.lower()
    if name.endswith(".zip"):
        return _in_zip(path)
    if name.endswith((".csv", ".csv.gz")):
        return CsvSource(path)
    if name.endswith((".parquet", ".arrow")):
        return ParquetSource([path], path, labels)
    raise InputError(f"{path}: neither a folder nor a .zip, .csv, .csv.gz, .csv.zip, .parquet or .arrow file")


class FolderSource:
    """`<split>/<class>/x.png` with the splits that are there, `<class>/<split>/x.png`, or class folders alone."""

    def __init__(self, path: Path) -> None:
        self._root = path
        self._files, self.left_out = [], Counter[str]()
        for file in files_below(path):
            kind = left_out_as(file)
            if kind is None:
                self._files.append(file.relative_to(path).as_posix())
            else:
                self.left_out[kind] += 1
        self._files.sort()
        self.entries: Sequence[Entry] = entries(self._files, str(path), self.left_out)

    def loaders(self) -> Iterator[Loader]:
        for name in self._files:
            yield lambda file=self._root / name, name=name: _read_file(file, name)  # type: ignore[misc]

    def digest(self) -> str:
        total = hashlib.blake2b(digest_size=16)
        for name in self._files:
            total.update(os.fsencode(name) + b"\0")
            try:
                with (self._root / name).open("rb") as file:
                    total.update(hashlib.file_digest(file, "sha256").digest())
            except OSError:
                total.update(b"unreadable")  # its loader will say why
        return total.hexdigest()


class ZipSource:
    """A zip of the folder layout. Members are read one at a time and never unpacked to disk."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path, self._archive = path, archive  # it stays open as long as its loaders may be called
        self.left_out: Counter[str] = Counter()
        self._members: dict[str, zipfile.ZipInfo] = {}  # by their places, sorted
        for member in sorted(archive.infolist(), key=_place):
            place = _place(member)
            if place.endswith("/") or is_hidden(place):
                continue
            kind = kind_by(place, lambda member=member: _head(archive, member))  # type: ignore[misc]
            if kind is None:
                self._members[place] = member
            else:
                self.left_out[kind] += 1
        self.entries: Sequence[Entry] = entries(list(self._members), str(path), self.left_out)

    def loaders(self) -> Iterator[Loader]:
        for name, member in self._members.items():
            yield lambda name=name, member=member: _read_member(self._archive, member, name)  # type: ignore[misc]

    def digest(self) -> str:
        return file_digest(self._path)


def _in_zip(path: Path) -> Source:
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
    return ZipSource(path, archive)


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
