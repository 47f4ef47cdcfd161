"""Journal: which pictures of a long run are done and what came of them, so that a stopped run goes on where it was.

A file of JSON lines beside the table that is to be written: first how faces are recognized and what was named, then a
line for each picture. A picture is who it is by its name in the folder where it truly lies, whatever path leads there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mien import formats
from mien.errors import InputError, not_writable
from mien.recognize.faces import Face
from mien.recognize.rows import Blank, Row, check_absent
from mien.scratch import held_alone

Settings = Mapping[str, str | int | float | None]
_START = b'{"'  # of every first line
_OURS = {"model", "detector", "detect_size", "threshold"}  # in the first line of every journal, of whatever format


class Journal:
    """The journal of the table at `table`: `NAME.journal` beside it. A context manager; memory holds names alone.

    While it is open, no other process can have one for this table.
    """

    def __init__(
        self, table: Path, settings: Settings, places: Sequence[str | Path] = (), *, overwrite: bool = False
    ) -> None:
        """Goes on with the journal that is there. Raises `InputError` for one with other `settings` or of pictures that
        `places` do not name, for a table that is finished already or that another process writes, and for a place that
        cannot be written; `overwrite` begins anew instead of the first three.
        """
        self.path = table.with_name(table.name + ".journal")
        self.done: set[str] = set()  # identities
        self._failed: dict[str, str] = {}  # identity → why, of those that are not done
        with ExitStack() as stack:
            try:
                stack.enter_context(held_alone(table))  # removes what dead ones have left here
                begun = self.path.is_file() and not overwrite
                check_absent(table, overwrite=overwrite or begun)
                named = [os.path.realpath(place) for place in places]
                whole = self._read(dict(settings), named) if begun else 0
                self._file = stack.enter_context(self.path.open("r+b" if whole else "wb"))
                self._file.truncate(whole)  # without a line that was cut off
                self._file.seek(whole)
                if not whole:
                    self._append({"format": formats.JOURNAL, **settings, "inputs": named})
            except OSError as error:
                raise not_writable(self.path, error) from error
            self._held = stack.pop_all()

    def add(self, source: str, faces: Sequence[Face]) -> None:
        """Note a picture as done; handed to the system before this returns, so that it outlives this program."""
        who = identity(source)
        self._append({"source": source, "id": who, "faces": [face.as_dict() for face in faces]})
        self.done.add(who)
        self._failed.pop(who, None)

    def add_failed(self, source: str, why: str) -> None:
        """Note a picture that cannot be recognized; it is tried again when the run goes on."""
        who = identity(source)
        self._append({"source": source, "id": who, "error": why})
        self._failed[who] = why

    def rows(self) -> Iterator[list[Row | Blank]]:
        """The rows of every picture, in the order in which they were looked at first."""
        self._file.flush()
        failed = dict(self._failed)
        with self.path.open("rb") as lines:
            next(lines)
            for line in lines:
                told = json.loads(line)
                source = told["source"]
                faces = _faces(told)
                if faces:
                    yield [Row(face, number) for number, face in enumerate(faces, start=1)]
                elif faces is not None:
                    yield [Blank(source)]
                elif (why := failed.pop(_who(told), None)) is not None:
                    yield [Blank(source, error=why)]

    def remove(self) -> None:
        """The table is written; nothing is left to go on with."""
        self._file.close()  # Windows removes no open file
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._held.close()

    def _append(self, what: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(what).encode("ascii") + b"\n")  # also file names that are no UTF-8
            self._file.flush()
        except OSError as error:
            advice = f"{len(self.done):,} pictures are done and saved in it. Make room; the same command goes on"
            raise not_writable(self.path, error, advice) from error

    def _read(self, settings: dict[str, Any], named: Sequence[str]) -> int:
        """Fill `done`; the number of bytes up to the last whole line, 0 where nothing is done that is worth keeping."""
        whole = number = 0
        begun: dict[str, Any] = {}
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    break
                told = _object(line, self.path, number)
                if number == 1:
                    formats.check(told.get("format"), formats.JOURNAL, self.path)
                    begun = told
                else:
                    self._take(told, number)
                whole += len(line)
        if number == 1 and not whole and not line.startswith(_START):
            raise _foreign(self.path, number)
        if not self.done and begun.keys() >= _OURS:  # of a command that failed: in nobody's way
            self._failed.clear()
            return 0
        if whole:
            self._check(begun, settings, named)
        return whole

    def _take(self, told: dict[str, Any], number: int) -> None:
        try:
            who, faces, why = _who(told), _faces(told), told.get("error")
            if not isinstance(told["source"], str):
                raise TypeError("a source that is no text")
            for face in faces or ():
                Row(face, 1).values()  # what the table will need of it
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _foreign(self.path, number) from error
        if faces is not None:
            self.done.add(who)
            self._failed.pop(who, None)
        elif isinstance(why, str):
            self._failed[who] = why
        else:
            raise _foreign(self.path, number)

    def _check(self, told: dict[str, Any], settings: dict[str, Any], named: Sequence[str]) -> None:
        """Raise `InputError` unless the journal was begun with these settings, for no more than what is named now."""
        check_begun_alike(self.path, told, settings)
        before = told.get("inputs")
        if not isinstance(before, list):  # of an older mien
            return
        now = set(named)
        for place in before:
            if not isinstance(place, str) or not _is_within(place, now):
                raise InputError(
                    f"{self.path}: was begun with other inputs ({place} is not among those of this command). Name the "
                    "same to go on, choose another --out for these, or begin anew with --overwrite"
                )


def check_begun_alike(path: Path, told: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise `InputError` where a file of what is done so far, beginning with `told`, was begun otherwise than now."""
    other = [f"{key} was {told.get(key)}, now {value}" for key, value in wanted.items() if told.get(key) != value]
    if other:
        raise InputError(
            f"{path}: was begun in another way ({'; '.join(other)}). Give the same options to go on, or --overwrite"
        )


def identity(source: str) -> str:
    """Of a picture, the same by whatever path: where its folder truly lies, and its name there."""
    folder, name = os.path.split(source)
    return os.path.join(_true(os.path.abspath(folder)), name)  # noqa: PTH100, PTH118  as many as there are pictures


@lru_cache(maxsize=256)
def _true(folder: str) -> str:
    return os.path.realpath(folder)


def _is_within(place: str, named: set[str]) -> bool:
    return place in named or any(str(above) in named for above in Path(place).parents)


def _who(told: dict[str, Any]) -> str:
    return str(told["id"]) if "id" in told else identity(told["source"])


def _faces(told: dict[str, Any]) -> list[Face] | None:
    """None for a picture that failed."""
    return [Face.from_dict(told["source"], face) for face in told["faces"]] if "faces" in told else None


def _object(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _foreign(path, number) from error
    if not isinstance(told, dict):
        raise _foreign(path, number)
    return told


def _foreign(path: Path, number: int) -> InputError:
    return InputError(
        f"{path}: line {number} is not what mien writes into a journal, so the run cannot go on with it. "
        "Choose another --out, or begin anew with --overwrite"
    )
