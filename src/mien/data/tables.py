"""Tables: labeled faces in one file of rows: the original fer2013.csv, or Parquet in the Hugging Face layout."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import math
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from mien.data.entry import SPLIT_NAMES, Entry, Loader, file_digest
from mien.errors import InputError, MissingExtraError
from mien.images import MAX_BYTES, Pixels
from mien.labels import FER2013_CSV_CODES

USAGES = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}


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
        return file_digest(self._path)


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
        return hashlib.blake2b("".join(map(file_digest, self._files)).encode(), digest_size=16).hexdigest()


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
        raise InputError(f"{name}: has no encoded picture (column image should contain bytes)")
    return data
