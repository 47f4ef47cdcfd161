"""Files written whole or not at all: to a new name in the same folder, then renamed."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from mien.scratch import scratch_file


def write_whole(path: Path, content: str | bytes | memoryview) -> None:
    """Write text (UTF-8) or bytes; whatever goes wrong, `path` holds what it held before. Raises `OSError`, which names
    `path`.
    """
    try:
        with scratch_file(path) as part:
            with part.open("wb") as file:
                file.write(content.encode("utf-8") if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
    except OSError as error:
        if error.errno is not None:  # else its words are all that it says
            error.filename, error.filename2 = str(path), None
        raise


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table, as `write_whole` does."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_whole(path, text.getvalue())
