"""Sources: folders and zips of labeled faces, and the choice of the right source for any path."""

from __future__ import annotations

import hashlib
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from mien.data.entry import SPLIT_NAMES, Entry, Loader, Source, file_digest
from mien.data.tables import CsvSource, ParquetSource
from mien.errors import InputError, unknown_name
from mien.images import MAX_BYTES, SUFFIXES

MAX_UNPACKED = 32 * 2**30  # of all members of one zip, in bytes
MAX_RATIO = 200  # unpacked to packed, of one zip member


def open_source(path: Path, labels: Sequence[str] | None = None) -> Source:
    """The source at `path`: a folder of images, a zip of such a folder, fer2013.csv (or .csv.gz), or Parquet.

    `labels` names the integer labels of a Parquet file that does not name them itself.
    """
    if not path.exists():
        raise InputError(
            f"{path}: does not exist. Give a folder of class folders, a zip of one, fer2013.csv or Parquet"
        )
    if path.is_dir():
        tables = sorted(path.rglob("*.parquet"))
        return ParquetSource(tables, path, labels) if tables else FolderSource(path)
    name = path.name.lower()
    if name.endswith(".zip"):
        return ZipSource(path)
    if name.endswith((".csv", ".csv.gz")):
        return CsvSource(path)
    if name.endswith(".parquet"):
        return ParquetSource([path], path, labels)
    raise InputError(f"{path}: neither a folder nor a .zip, .csv, .csv.gz or .parquet file")


class FolderSource:
    """`train/<class>/x.png` with optional `val/` and `test/`, or class folders alone."""

    def __init__(self, path: Path) -> None:
        self._root = path
        relative = (file.relative_to(path).as_posix() for file in path.rglob("*"))
        self._files = sorted(name for name in relative if _is_picture(name) and (path / name).is_file())
        self.entries: Sequence[Entry] = _entries(self._files, str(path))

    def loaders(self) -> Iterator[Loader]:
        for name in self._files:
            yield lambda file=self._root / name, name=name: _read_file(file, name)  # type: ignore[misc]

    def digest(self) -> str:
        total = hashlib.blake2b(digest_size=16)
        for name in self._files:
            total.update(name.encode() + b"\0")
            try:
                with (self._root / name).open("rb") as file:
                    total.update(hashlib.file_digest(file, "sha256").digest())
            except OSError:
                total.update(b"unreadable")  # its loader will say why
        return total.hexdigest()


class ZipSource:
    """A zip of the folder layout. Members are read one at a time and never unpacked to disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._archive = zipfile.ZipFile(path)  # stays open as long as its loaders may be called
        except (zipfile.BadZipFile, OSError) as error:
            raise InputError(f"{path}: damaged or truncated zip ({error}). Download it again") from error
        members = self._archive.infolist()
        _check_members(members, path)
        self._files = sorted(m.filename for m in members if not m.is_dir() and _is_picture(m.filename))
        self.entries: Sequence[Entry] = _entries(self._files, str(path))

    def loaders(self) -> Iterator[Loader]:
        for name in self._files:
            yield lambda name=name: _read_member(self._archive, name)  # type: ignore[misc]

    def digest(self) -> str:
        return file_digest(self._path)


def _is_picture(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts if part != "..")
    return path.suffix.lower() in SUFFIXES and not hidden


def _entries(files: Sequence[str], source: str) -> list[Entry]:
    """Class and split of each file, from its path below the outermost folder that tells something."""
    if not files:
        raise InputError(f"{source}: no pictures found ({', '.join(SUFFIXES)}). Expected <class>/<image> in it")
    paths = [PurePosixPath(name).parts for name in files]
    start = 0
    while (
        max(map(len, paths)) > start + 2
        and len({parts[start] for parts in paths}) == 1
        and paths[0][start].lower() not in SPLIT_NAMES
    ):
        start += 1
    has_splits = any(parts[start].lower() in SPLIT_NAMES for parts in paths)
    return [_entry(name, parts[start:], has_splits, source) for name, parts in zip(files, paths, strict=True)]


def _entry(name: str, parts: Sequence[str], has_splits: bool, source: str) -> Entry:
    if len(parts) < 2:
        raise InputError(f"{source}: {name} is in no class folder. Expected <class>/<image>")
    if not has_splits:
        return Entry(name, parts[0], None)
    split = SPLIT_NAMES.get(parts[0].lower())
    if split is None:
        raise unknown_name("split folder", parts[0], sorted(SPLIT_NAMES), see=f"{source}: {name}")
    if len(parts) < 3:
        raise InputError(f"{source}: {name} is in no class folder. Expected {parts[0]}/<class>/<image>")
    if split == "test" and parts[-1].startswith("PublicTest"):
        split = "val"  # the Kaggle layout keeps both public and private faces under test/
    return Entry(name, parts[1], split)


def _check_members(members: Sequence[zipfile.ZipInfo], path: Path) -> None:
    """Refuse what could write outside, unpack without end, or hide one file behind another."""
    for member in members:
        parts = PurePosixPath(member.filename.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or (parts.parts and ":" in parts.parts[0]):
            raise InputError(f"{path}: member '{member.filename}' has an absolute or parent path. Pack the zip again")
        if member.file_size > MAX_BYTES and _is_picture(member.filename):
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
    repeated = [name for name, count in Counter(m.filename for m in members).items() if count > 1]
    if repeated:
        raise InputError(f"{path}: contains '{repeated[0]}' more than once. Pack the zip again")


def _read_file(file: Path, name: str) -> bytes:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise InputError(f"{name}: over {MAX_BYTES:,} bytes")
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror})") from error


def _read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)
    except Exception as error:  # zipfile, zlib, lzma and bz2 each raise their own
        raise InputError(f"{name}: damaged in the zip ({error})") from error
