"""Files written whole or not at all: to a new name in the same folder, then renamed."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, content: str | bytes | memoryview) -> None:
    """Write text (UTF-8) or bytes; whatever goes wrong, `path` holds what it held before. Raises `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
