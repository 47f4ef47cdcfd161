"""Rows: recognized faces as a table, one row per face per look, written as CSV, JSON lines or Parquet.

Columns: source, frame, time_s, status, error, face_id, x, y, width, height, detection_score, emotion, p_<label> …,
unsure, format, and those that came later: face_size, sharpness, brightness, roll, yaw, why_unsure, set. Boxes are in
pixels of the upright picture, probabilities 0–1, angles in degrees; `set` holds labels between bars. `frame` (from 0)
and `time_s` (seconds) are empty for pictures. `status` is `face`; or `no_face` for a picture or look without one, or
`error` for one that failed, which have one row, whose columns of a face are empty.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

from mien import formats
from mien.errors import InputError, MissingExtraError, not_writable
from mien.labels import BAR
from mien.outputs import MARK, TABLE, check_output
from mien.recognize.faces import Face
from mien.recognize.quality import Quality
from mien.scratch import scratch_file

FORMATS = (".csv", ".jsonl", ".parquet")
_GROUP = 5000  # rows of a Parquet row group


@dataclass(frozen=True)
class Row:
    """A face at its place: frame and time for a video, and the face's number, from 1."""

    face: Face
    face_id: int
    frame: int | None = None
    time_s: float | None = None

    def values(self) -> dict[str, str | int | float | bool | None]:
        """By column name; probabilities and times rounded to what they can tell."""
        x, y, width, height = self.face.box
        score = self.face.detection_score
        return {
            "source": self.face.source,
            "frame": self.frame,
            "time_s": None if self.time_s is None else round(self.time_s, 3),
            "status": "face",
            "error": None,
            "face_id": self.face_id,
            "x": x,
            "y": y,
            "width": width,
            "height": height,
            "detection_score": None if score is None else round(score, 4),
            "emotion": self.face.emotion,
            **{f"p_{label}": round(p, 6) for label, p in self.face.probabilities.items()},
            "unsure": self.face.unsure,
            "format": formats.TABLE,
            **of_quality(self.face.quality),
            "why_unsure": self.face.why_unsure,
            "set": None if self.face.set is None else BAR.join(self.face.set),
        }


def of_quality(quality: Quality | None) -> dict[str, float | None]:
    """Its columns; empty where it is not known."""
    names = [field.name for field in fields(Quality)]
    values = [getattr(quality, name) if quality else None for name in names]
    return {f"face_{name}" if name == "size" else name: value for name, value in zip(names, values, strict=True)}


@dataclass(frozen=True)
class Blank:
    """A picture or a look at a video that gave no face; with an `error`, one that failed."""

    source: str
    frame: int | None = None
    time_s: float | None = None
    error: str | None = None

    def values(self) -> dict[str, str | int | float | bool | None]:
        """By column name; those that are left out are empty."""
        return {
            "source": self.source,
            "frame": self.frame,
            "time_s": None if self.time_s is None else round(self.time_s, 3),
            "status": "error" if self.error else "no_face",
            "error": self.error,
            "format": formats.TABLE,
        }


class _Sheet(Protocol):
    def write(self, values: Sequence[dict[str, Any]]) -> None: ...
    def close(self) -> None: ...


class TableFile:
    """A table that is being written, and takes its name once it is closed without an error; see `mien.scratch`.

    A context manager. Memory does not grow with the rows.
    """

    def __init__(self, path: str | Path, labels: Sequence[str]) -> None:
        """Raises `InputError` for a suffix that is none of `FORMATS` or a place that cannot be written."""
        self.path = Path(path)
        check_format(self.path)
        self.rows = self.faces = self.failed = 0
        self._wanted = True
        with ExitStack() as stack:
            try:
                self._part = stack.enter_context(scratch_file(self.path))
                self._sheet: _Sheet = _SHEETS[self.path.suffix.lower()](self._part, labels)
            except OSError as error:
                raise not_writable(self.path, error) from error
            self._held = stack.pop_all()

    def write(self, rows: Iterable[Row | Blank]) -> None:
        values = [row.values() for row in rows]
        try:
            self._sheet.write(values)
        except OSError as error:
            raise not_writable(self.path, error) from error
        self.rows += len(values)
        self.faces += sum(row["status"] == "face" for row in values)
        self.failed += sum(row["status"] == "error" for row in values)

    def discard(self) -> None:
        """Leave what was there before when it is closed, as after an error."""
        self._wanted = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self._sheet.close()
            if kind is None and self._wanted:
                self._part.replace(self.path)
        except OSError as failed:
            if error is None:  # else that one is told
                raise not_writable(self.path, failed) from failed
        finally:
            self._held.close()


def check_format(path: Path) -> None:
    """Raise `InputError` unless the suffix of `path` names a format that can be written here."""
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path}: cannot tell the format of a table by '{path.suffix}'. Expected {', '.join(FORMATS)}")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file in it")
    if path.suffix.lower() == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ModuleNotFoundError as error:
            raise MissingExtraError("writing Parquet", "parquet") from error


def check_table(path: Path, inputs: Iterable[str | Path], *, overwrite: bool) -> None:
    """Raise `InputError` where a table must not be written; see `mien.outputs`. One that is whole is another matter."""
    check_format(path)
    check_output(path, TABLE, inputs, overwrite=overwrite)


def check_absent(path: Path, *, overwrite: bool) -> None:
    """Raise `InputError` for a table that is there already, unless it may be written over: it may have taken long."""
    if path.exists() and not overwrite:
        raise InputError(f"{path}: exists already. Choose another --out, or replace it with --overwrite")


def columns(labels: Sequence[str]) -> list[str]:
    """Names of the columns, in order."""
    nothing = Face("", "", dict.fromkeys(labels, 0.0), (0, 0, 0, 0), None, unsure=False)
    return list(Row(nothing, 0).values())


class _Csv:
    def __init__(self, path: Path, labels: Sequence[str]) -> None:
        self._file = _opened(path, newline="")
        self._writer = csv.DictWriter(self._file, columns(labels))
        self._writer.writeheader()

    def write(self, values: Sequence[dict[str, Any]]) -> None:
        self._writer.writerows({key: _word(value) for key, value in row.items()} for row in values)

    def close(self) -> None:
        self._file.close()


class _JsonLines:
    def __init__(self, path: Path, labels: Sequence[str]) -> None:
        self._file = _opened(path)
        self._columns = columns(labels)

    def write(self, values: Sequence[dict[str, Any]]) -> None:
        whole = ({column: row.get(column) for column in self._columns} for row in values)
        self._file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in whole)

    def close(self) -> None:
        self._file.close()


class _Parquet:
    def __init__(self, path: Path, labels: Sequence[str]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        whole, real = pa.int64(), pa.float64()
        types = {
            "source": pa.string(), "frame": whole, "time_s": real, "status": pa.string(), "error": pa.string(),
            "face_id": whole, "x": whole, "y": whole, "width": whole, "height": whole, "detection_score": real,
            "emotion": pa.string(), **{f"p_{label}": real for label in labels}, "unsure": pa.bool_(), "format": whole,
            **dict.fromkeys(of_quality(None), real), "why_unsure": pa.string(),
            "set": pa.string(),
        }  # fmt: skip
        self._schema = pa.schema(list(types.items()), metadata={MARK: "table"})
        self._writer = pq.ParquetWriter(path, self._schema)
        self._waiting: list[dict[str, Any]] = []

    def write(self, values: Sequence[dict[str, Any]]) -> None:
        for row in values:
            readable = {key: _readable(row[key]) for key in ("source", "error") if row[key]}
            self._waiting.append({**row, **readable})
        if len(self._waiting) >= _GROUP:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._waiting:
            self._writer.write_table(pa.Table.from_pylist(self._waiting, schema=self._schema))
            self._waiting = []

    def close(self) -> None:
        self._flush()
        self._writer.close()


_SHEETS: dict[str, Any] = {".csv": _Csv, ".jsonl": _JsonLines, ".parquet": _Parquet}


def _opened(path: Path, newline: str | None = None) -> IO[str]:
    # Names of files need not be UTF-8; their bytes are written as they are.
    return path.open("w", encoding="utf-8", errors="surrogateescape", newline=newline)


def _readable(name: str) -> str:
    """A name of a file as Parquet takes it: bytes that are no UTF-8 become question marks."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _word(value: str | float | bool | None) -> str | float | None:
    """A truth value as JSON writes it."""
    return ("true" if value else "false") if isinstance(value, bool) else value
