"""About: what else is known of videos, from a CSV that a person wrote: participant, condition, whatever it names.

The column `source` names the video: by its path, the end of it (`monday/p1.mp4`, `p1.mp4`), or its name without the
suffix.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.errors import InputError, unknown_name

SOURCE = "source"


@dataclass(frozen=True)
class About:
    """`columns`: all but `source`. `rows`: by what stands under `source`, the values in that order."""

    path: Path
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[str, ...]]

    @classmethod
    def read(cls, path: Path, taken: Sequence[str] = ()) -> About:
        """Raises `InputError` for what is no such file; `taken` are names of columns that it must not have."""
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                lines = list(csv.reader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            why = getattr(error, "strerror", None) or "it is no CSV in UTF-8"
            raise InputError(f"{path}: cannot be read ({why})") from error
        header = [name.strip() for name in lines[0]] if lines else []
        if SOURCE not in header:
            found = ", ".join(header) or "nothing"
            raise InputError(f"{path}: expected a header with the column 'source', which names the videos; got {found}")
        if double := next((name for i, name in enumerate(header) if name in header[:i]), None):
            raise InputError(f"{path}: two columns are called '{double}'")
        if clash := next((name for name in header if name in taken and name != SOURCE), None):
            raise InputError(f"{path}: a column of the summary is called '{clash}' too; give this one another name")
        at = header.index(SOURCE)
        rows: dict[str, tuple[str, ...]] = {}
        for number, line in enumerate(lines[1:], start=2):
            if not any(cell.strip() for cell in line):
                continue
            if len(line) != len(header):
                raise InputError(f"{path}: line {number} has {len(line)} cells, the header {len(header)}")
            name = line[at].strip()
            if name in rows:
                raise InputError(f"{path}: line {number} names {name} a second time; expected one line for each video")
            rows[name] = tuple(cell.strip() for i, cell in enumerate(line) if i != at)
        return cls(path, tuple(name for i, name in enumerate(header) if i != at), rows)

    def name_of(self, source: str) -> str | None:
        """How the file calls a video; None where it does not name it."""
        parts = Path(source).parts
        ends = ("/".join(parts[i:]) for i in range(len(parts)))
        return next((name for name in (source, *ends, Path(source).stem) if name in self.rows), None)

    def of(self, source: str) -> dict[str, str | None]:
        """What is known of a video, by column; None where nothing is."""
        name = self.name_of(source)
        return dict(zip(self.columns, self.rows[name] if name else [None] * len(self.columns), strict=True))

    def check_column(self, name: str) -> None:
        """Raise `InputError` for a column that is not there."""
        if name not in self.columns:
            raise unknown_name("column", name, self.columns, f"It has to stand in {self.path}")
