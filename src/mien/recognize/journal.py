"""Journal: which pictures of a long run are done and what came of them, so that a stopped run goes on where it was.

A file of JSON lines beside the table that is to be written: first how faces are recognized, then a line for each
picture.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mien import formats
from mien.errors import InputError, not_writable
from mien.recognize.recognizer import Face
from mien.recognize.rows import check_absent

Settings = Mapping[str, str | int | float | None]


class Journal:
    """The journal of the table at `table`: `NAME.journal` beside it. A context manager; memory holds names alone."""

    def __init__(self, table: Path, settings: Settings, *, overwrite: bool = False) -> None:
        """Goes on with the journal that is there. Raises `InputError` for one with other `settings`, for a table that
        is finished already, and for a place that cannot be written; `overwrite` begins anew instead of the first two.
        """
        self.path = table.with_name(table.name + ".journal")
        self.done: set[str] = set()  # sources
        begun = self.path.is_file() and not overwrite
        check_absent(table, overwrite=overwrite or begun)
        try:
            whole = self._read(dict(settings)) if begun else 0
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("r+b" if whole else "wb")
            self._file.truncate(whole)  # without a line that was cut off
            self._file.seek(whole)
            if not whole:
                self._append({"format": formats.JOURNAL, **settings})
        except OSError as error:
            raise not_writable(self.path, error) from error

    def add(self, source: str, faces: Sequence[Face]) -> None:
        """Note a picture as done; handed to the system before this returns, so that it outlives this program."""
        self._append({"source": source, "faces": [face.as_dict() for face in faces]})
        self.done.add(source)

    def faces(self) -> Iterator[list[Face]]:
        """The faces of every picture that is done, in the order in which they were."""
        self._file.flush()
        with self.path.open("rb") as lines:
            next(lines)
            for line in lines:
                told = json.loads(line)
                yield [Face.from_dict(told["source"], face) for face in told["faces"]]

    def remove(self) -> None:
        """The table is written; nothing is left to go on with."""
        self._file.close()  # Windows removes no open file
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._file.close()

    def _append(self, what: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(what).encode("ascii") + b"\n")  # also file names that are no UTF-8
            self._file.flush()
        except OSError as error:
            raise not_writable(self.path, error, "Make room; the same command goes on") from error

    def _read(self, settings: dict[str, Any]) -> int:
        """Fill `done`; the number of bytes up to the last whole line."""
        whole = 0
        with self.path.open("rb") as lines:
            for line in lines:
                told = _whole(line)
                if told is None:
                    break
                if whole == 0:
                    _check(told, settings, self.path)
                else:
                    self.done.add(told["source"])
                whole += len(line)
        return whole


def _whole(line: bytes) -> dict[str, Any] | None:
    """What a line says; None for one that was cut off while it was written."""
    if not line.endswith(b"\n"):
        return None
    try:
        told = json.loads(line)
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


def _check(told: dict[str, Any], settings: dict[str, Any], path: Path) -> None:
    formats.check(told.get("format"), formats.JOURNAL, path)
    other = [f"{key} was {told.get(key)}, now {value}" for key, value in settings.items() if told.get(key) != value]
    if other:
        raise InputError(
            f"{path}: was begun in another way ({'; '.join(other)}). Give the same options to go on, or --overwrite"
        )
