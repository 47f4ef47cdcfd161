"""Finished: what was read of each video of a long run, so that a stopped run goes on with the one that was under way.

A file of JSON lines beside the table that is to be written: first how faces are recognized, then of each video a line
for each look, and one that ends it. What follows the last such line is of a video that was not finished.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from mien import formats
from mien.errors import InputError, first_line, not_writable
from mien.files import write_whole
from mien.recognize.faces import Face
from mien.recognize.journal import Settings, check_begun_alike, identity
from mien.recognize.rows import Blank, Row
from mien.recognize.summary import Summary
from mien.scratch import held_alone, scratch_file


def place_of(table: Path) -> Path:
    """Where it lies."""
    return table.with_name(table.name + ".videos.journal")


class Finished:
    """The finished videos of the table at `table`. A context manager; memory holds their summaries alone."""

    def __init__(
        self, table: Path, settings: Settings, videos: Sequence[Path], *, overwrite: bool = False, hold: bool = True
    ) -> None:
        """Goes on with the file that is there; videos that failed are tried again. `hold`: let no other process write
        the same table. Raises `InputError` for a file of other `settings` or videos, or a place that cannot be written.
        """
        self.path, self.rows = place_of(table), 0
        self._summaries: dict[str, Summary] = {}
        self._names = [identity(str(video)) for video in videos]
        head = {"format": formats.FINISHED, **settings}
        with ExitStack() as stack:
            if hold:
                stack.enter_context(held_alone(table))
            begun = self.path.is_file() and not overwrite
            try:
                if begun:
                    self._read(head)
                else:
                    write_whole(self.path, json.dumps(head) + "\n")
                self._file: IO[bytes] = stack.enter_context(self.path.open("ab"))
            except OSError as error:
                raise not_writable(self.path, error) from error
            self._held = stack.pop_all()

    @property
    def count(self) -> int:
        """How many are finished."""
        return len(self._summaries)

    def summary(self, video: Path) -> Summary | None:
        """Of a finished one."""
        return self._summaries.get(identity(str(video)))

    def write(self, rows: Iterable[Row | Blank]) -> None:
        """Add the rows of one look at the video that is under way."""
        told = list(rows)
        faces = [[row.face_id, row.face.as_dict()] for row in told if isinstance(row, Row)]
        first = told[0]
        source = first.face.source if isinstance(first, Row) else first.source
        error = first.error if isinstance(first, Blank) else None
        self._add({"look": [source, first.frame, first.time_s, error], "faces": faces})
        self.rows += len(told)

    def end(self, video: Path, summary: Summary | None) -> None:
        """All of it is written; without a summary it failed. Outlives this program from here on."""
        self._add({"end": identity(str(video)), "summary": summary.state() if summary else None})
        self._file.flush()
        if summary:
            self._summaries[identity(str(video))] = summary

    def looks(self) -> Iterator[list[Row | Blank]]:
        """The rows of every look, video by video in the order in which they were finished."""
        self._file.flush()
        with self.path.open("rb") as lines:
            next(lines)
            for line in lines:
                told = json.loads(line)
                if "look" in told:
                    yield _look(told)

    def remove(self) -> None:
        """The table is written, or nothing is worth keeping."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if not self._file.closed and not self._summaries:  # in nobody's way
            self.remove()
        self._held.close()

    def _add(self, what: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps(what).encode("ascii") + b"\n")
        except OSError as error:
            advice = f"{self.count:,} videos are done and saved in it. Make room; the same command goes on"
            raise not_writable(self.path, error, advice) from error

    def _read(self, head: dict[str, Any]) -> None:
        """Keep what was finished, and that alone."""
        with self.path.open("rb") as lines, scratch_file(self.path) as part, part.open("wb") as kept:
            try:
                told = json.loads(next(lines, b""))
                formats.check(told.get("format"), formats.FINISHED, self.path)
                check_begun_alike(self.path, told, head)
                kept.write(json.dumps(head).encode("ascii") + b"\n")
                start = kept.tell()
                for line in lines:
                    if not line.endswith(b"\n"):
                        break
                    kept.write(line)
                    told = json.loads(line)
                    if "look" in told:
                        for row in _look(told):
                            row.values()  # what the table will need of it
                    elif (state := told["summary"]) is None:
                        kept.seek(start)
                        kept.truncate()
                    else:
                        self._take(told["end"], Summary.of(state))
                        start = kept.tell()
                kept.seek(start)
                kept.truncate()
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise InputError(
                    f"{self.path}: is not what mien writes there ({first_line(error)}), so the run cannot go on with "
                    "it. Choose another --out, or begin anew with --overwrite"
                ) from error
            kept.close()
            part.replace(self.path)

    def _take(self, who: str, summary: Summary) -> None:
        if who not in self._names:
            raise InputError(
                f"{self.path}: was begun with other videos ({who} is not among those of this command). Name the same "
                "to go on, choose another --out for these, or begin anew with --overwrite"
            )
        self._summaries[who] = summary


def _look(told: dict[str, Any]) -> list[Row | Blank]:
    source, frame, time_s, error = told["look"]
    if not told["faces"]:
        return [Blank(source, frame, time_s, error)]
    return [Row(Face.from_dict(source, face), number, frame, time_s) for number, face in told["faces"]]
