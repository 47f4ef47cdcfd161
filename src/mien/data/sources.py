"""Sources: every layout that labeled faces come in, read as entries (name, class, split) with their pictures.

A source lists its entries first and then hands out one loader per entry, in the same order, so that pictures can be
decoded in parallel and never all at once.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import math
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

import numpy as np

from mien.errors import InputError, MissingExtraError, unknown_name
from mien.images import MAX_BYTES, SUFFIXES, Pixels
from mien.labels import FER2013_CSV_CODES

MAX_UNPACKED = 32 * 2**30  # of all members of one zip, in bytes
MAX_RATIO = 200  # unpacked to packed, of one zip member
SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
USAGES = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}

Loader = Callable[[], "bytes | Pixels"]  # raises InputError when the picture cannot be had


@dataclass(frozen=True)
class Entry:
    """One labeled picture. `split` is None where the layout has no splits."""

    name: str
    class_name: str
    split: str | None


class Source(Protocol):
    """Entries, their loaders in the same order, and a digest of the whole content."""

    @property
    def entries(self) -> Sequence[Entry]: ...

    def loaders(self) -> Iterator[Loader]: ...

    def digest(self) -> str: ...


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
        return _file_digest(self._path)


class CsvSource:
    """The original fer2013.csv: columns emotion (0–6), pixels (gray values, row by row), Usage."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pixels = 0
        self.entries: Sequence[Entry] = self._scan()

    def _scan(self) -> list[Entry]:
        entries = []
        for line, emotion, pixels, usage in self._rows():
            if emotion not in {str(code) for code in range(len(FER2013_CSV_CODES))}:
                raise InputError(f"{self._path}, line {line}: emotion is {emotion!r}, expected a code from 0 to 6")
            if usage not in USAGES:
                raise InputError(f"{self._path}, line {line}: Usage is {usage!r}, expected {', '.join(USAGES)}")
            self._pixels = self._pixels or len(pixels.split())
            entries.append(Entry(f"{usage}_{line}", FER2013_CSV_CODES[int(emotion)], USAGES[usage]))
        if not entries:
            raise InputError(f"{self._path}: no rows below the header")
        return entries

    def loaders(self) -> Iterator[Loader]:
        side = math.isqrt(self._pixels) or 1
        for line, _, pixels, _ in self._rows():
            yield lambda line=line, pixels=pixels: _parse_pixels(pixels, side, f"{self._path}, line {line}")  # type: ignore[misc]

    def _rows(self) -> Iterator[tuple[int, str, str, str]]:
        csv.field_size_limit(min(sys.maxsize, MAX_BYTES))
        try:
            with self._open() as file:
                reader = csv.reader(file)
                columns = [name.strip().lower() for name in next(reader, [])]
                missing = [name for name in ("emotion", "pixels", "usage") if name not in columns]
                if missing:
                    raise InputError(
                        f"{self._path}: no column {', '.join(missing)} (found: {', '.join(columns) or 'none'}). "
                        "Expected the original fer2013.csv with emotion, pixels, Usage"
                    )
                places = [columns.index(name) for name in ("emotion", "pixels", "usage")]
                for row in reader:
                    if not row:
                        continue  # an empty line, often the last
                    if len(row) <= max(places):
                        raise InputError(
                            f"{self._path}, line {reader.line_num}: {len(row)} columns, expected {len(columns)}"
                        )
                    emotion, pixels, usage = (row[place].strip() for place in places)
                    yield reader.line_num, emotion, pixels, usage
        except (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error) as error:
            raise InputError(f"{self._path}: cannot be read as CSV ({error})") from error

    def _open(self) -> IO[str]:
        if self._path.name.lower().endswith(".gz"):
            return gzip.open(self._path, "rt", encoding="utf-8-sig", newline="")
        return self._path.open(encoding="utf-8-sig", newline="")

    def digest(self) -> str:
        return _file_digest(self._path)


class ParquetSource:
    """Parquet in the Hugging Face image layout: column `image` {bytes, path} and an integer or text column `label`.

    The split is read from the file name (`train-00000-of-00001.parquet`); class names from the file's own metadata.
    """

    def __init__(self, files: Sequence[Path], path: Path, labels: Sequence[str] | None) -> None:
        try:
            import pyarrow.parquet as parquet
        except ImportError as error:
            raise MissingExtraError("reading Parquet", "parquet") from error
        self._files, self._path = files, path
        self.entries: Sequence[Entry] = [
            entry for file in files for entry in self._scan(parquet, file, labels, several=len(files) > 1)
        ]

    def _scan(self, parquet: object, file: Path, labels: Sequence[str] | None, several: bool) -> list[Entry]:
        import pyarrow as arrow

        try:
            table = parquet.ParquetFile(file)  # type: ignore[attr-defined]
        except (arrow.ArrowException, OSError) as error:
            raise InputError(f"{file}: damaged or no Parquet ({error})") from error
        schema = table.schema_arrow
        missing = [name for name in ("image", "label") if name not in schema.names]
        if missing:
            raise InputError(
                f"{file}: no column {', '.join(missing)} (found: {', '.join(schema.names)}). Expected image and label"
            )
        values = list(_parquet_values(file, "label"))
        names = _parquet_classes(schema.metadata or {}, values, labels, file)
        split = SPLIT_NAMES.get(file.name.lower().split("-")[0].removesuffix(".parquet"))
        if several and split is None:
            raise InputError(f"{file}: cannot tell its split. Begin file names with train, validation or test")
        return [Entry(f"{file.stem}_{i}", name, split) for i, name in enumerate(names)]

    def loaders(self) -> Iterator[Loader]:
        for file in self._files:
            for row, value in enumerate(_parquet_values(file, "image")):
                yield lambda value=value, name=f"{file.stem}_{row}": _parquet_bytes(value, name)  # type: ignore[misc]

    def digest(self) -> str:
        return hashlib.blake2b("".join(map(_file_digest, self._files)).encode(), digest_size=16).hexdigest()


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
        raise InputError(f"{source}: {name} stands in no class folder. Expected <class>/<image>")
    if not has_splits:
        return Entry(name, parts[0], None)
    split = SPLIT_NAMES.get(parts[0].lower())
    if split is None:
        raise unknown_name("split folder", parts[0], sorted(SPLIT_NAMES), see=f"{source}: {name}")
    if len(parts) < 3:
        raise InputError(f"{source}: {name} stands in no class folder. Expected {parts[0]}/<class>/<image>")
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
        raise InputError(f"{path}: holds '{repeated[0]}' more than once. Pack the zip again")


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
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        raise InputError(f"{name}: damaged in the zip ({error})") from error
    except Exception as error:  # zlib, lzma and bz2 each raise their own
        raise InputError(f"{name}: damaged in the zip ({error})") from error


def _parse_pixels(text: str, side: int, where: str) -> Pixels:
    words = text.split()
    if len(words) != side * side:
        raise InputError(f"{where}: {len(words)} pixel values, expected {side * side} ({side}x{side})")
    try:
        values = np.array(words, dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{where}: a pixel value is not a whole number") from error
    if values.min() < 0 or values.max() > 255:
        raise InputError(f"{where}: pixel values run from {values.min()} to {values.max()}, expected 0 to 255")
    return values.astype(np.uint8).reshape(side, side)


def _parquet_values(file: Path, column: str) -> Iterator[object]:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    try:
        for batch in parquet.ParquetFile(file).iter_batches(batch_size=256, columns=[column]):
            yield from batch.column(0).to_pylist()
    except (arrow.ArrowException, OSError) as error:
        raise InputError(f"{file}: damaged or no Parquet ({error})") from error


def _parquet_classes(
    metadata: dict[bytes, bytes], values: Sequence[object], labels: Sequence[str] | None, file: Path
) -> list[str]:
    if all(isinstance(value, str) for value in values):
        return [str(value) for value in values]
    names = _class_label_names(metadata) or labels
    if not names:
        raise InputError(f"{file}: its labels are numbers without names. Name them in order: --labels angry,disgust,…")
    codes = [value for value in values if isinstance(value, int) and 0 <= value < len(names)]
    if len(codes) != len(values):
        strange = next(v for v in values if not (isinstance(v, int) and 0 <= v < len(names)))
        raise InputError(f"{file}: label {strange!r} is not a number from 0 to {len(names) - 1}")
    return [names[code] for code in codes]


def _class_label_names(metadata: dict[bytes, bytes]) -> Sequence[str]:
    """What a Hugging Face file calls its codes, in their order; empty where it does not say."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return tuple(str(name) for name in features["label"]["names"])
    except (ValueError, KeyError, TypeError):
        return ()


def _parquet_bytes(value: object, name: str) -> bytes:
    data = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(data, bytes):
        raise InputError(f"{name}: holds no encoded picture (column image should hold bytes)")
    return data


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
