"""Cache: the private folder where the page's library lays what a browser uploads, emptied while the server runs."""

from __future__ import annotations

import asyncio
import os
import time
import weakref
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

from mien.scratch import temporary_folder

_AGE = 300  # seconds that an upload stays
_EVERY = 30  # seconds between looks


class UploadCache:
    """A folder that only this user can read (mode 0700). It goes with the server, or at the latest with the process.

    That of a process that was killed goes when the next one starts.
    """

    def __init__(self) -> None:
        held = ExitStack()
        self.path = held.enter_context(temporary_folder()).resolve()
        self._remove = weakref.finalize(self, held.close)
        self._size = 0  # bytes at the last look, and all that came since

    def holds(self, path: Path) -> bool:
        """Whether `path` is a file within, links followed."""
        try:
            return path.resolve().is_relative_to(self.path) and path.is_file()
        except (OSError, ValueError):  # a name that no file can have
            return False

    def size(self) -> int:
        """Bytes of all files within, looked up."""
        total = 0
        for file in self.path.rglob("*"):
            with suppress(OSError):  # gone meanwhile
                total += file.lstat().st_size if file.is_file() else 0
        self._size = total
        return total

    def grow(self, count: int) -> int:
        """Note that `count` bytes come in. How many lie within at most, without another look."""
        self._size += count
        return self._size

    def hold(self, path: Path, seconds: float, most: float) -> None:
        """Keep a file that waits in line for `seconds` longer than those before it, up to `most` from now.

        Until then its time lies in the future, so that it is never too old; `release` ends it.
        """
        now = time.time()
        with suppress(OSError):  # gone meanwhile
            last = max(file.lstat().st_mtime for file in self.path.rglob("*") if file.is_file())
            until = min(max(now, last) + seconds, now + most)
            os.utime(path, (until, until))

    def release(self, path: Path) -> None:
        """From now on the file gets older like any other."""
        with suppress(OSError):
            os.utime(path)

    def sweep(self, age: float = _AGE) -> int:
        """Remove the files that are older than `age` seconds, and say how many they were."""
        gone = 0
        for file in sorted(self.path.rglob("*"), reverse=True):  # what lies in a folder comes before it
            with suppress(OSError):  # gone already, or a folder that is not empty
                if file.is_dir() and not file.is_symlink():
                    file.rmdir()
                elif time.time() - file.lstat().st_mtime > age:
                    file.unlink()
                    gone += 1
        return gone

    def remove(self) -> None:
        self._remove()

    @asynccontextmanager
    async def kept_empty(self) -> AsyncIterator[None]:
        """Sweep now and then within the context, and remove the folder at its end."""
        task = asyncio.create_task(self._sweep_for_ever())
        try:
            yield
        finally:
            task.cancel()
            self.remove()

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            await asyncio.to_thread(self.sweep)
