"""Scratch: files and folders under way, which take their names when they are whole; those of dead processes go.

Each has a short name of its own (`.mien-1f2e3d4c.part`), so that two processes never write into one, and is locked for
as long as its process lives: whoever writes into the same folder later removes those that nobody holds.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from mien.errors import InputError

_OURS = re.compile(r"\.mien-[0-9a-f]{8}\.(part|lock)(\.[a-z0-9]+)?")
T = TypeVar("T")
_TRIES = 10
_OLD_S = 24 * 3600  # where a system has no locks that end with their process
_swept: set[str] = set()  # folders that this process has looked through


@contextmanager
def new_folders(folder: Path) -> Iterator[None]:
    """Folders on the way to `folder`, and that one, that are not there now and come to be in this context, go again at
    its end if nothing is in them.
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        yield
    finally:
        with suppress(OSError):  # one that holds something stays, and those above it
            for one in missing:
                one.rmdir()


@contextmanager
def scratch_file(place: Path, suffix: str = "") -> Iterator[Path]:
    """An empty file in the folder of `place`, which is made when missing. Rename it when it is whole; else it goes, and
    the folder with it.

    `suffix`: that its name shall end in, for writers that tell the format by it. Raises `OSError`.
    """
    with new_folders(place.parent):
        while True:
            part = place.parent / f"{_name()}{suffix}"
            held = _made(part, partial(os.open, part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))
            if _lock(held) and _is_at(held, part):  # else another process took it for one that nobody holds
                break
            os.close(held)
        try:
            if sys.platform == "win32":  # renames no file that is open
                os.close(held)
            yield part
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            if sys.platform != "win32":
                os.close(held)


@contextmanager
def scratch_folder(place: Path, mode: int = 0o777) -> Iterator[Path]:
    """An empty folder beside `place`, to be renamed when it is whole; else it goes with all in it. Raises `OSError`."""
    with new_folders(place.parent):
        while True:
            part = place.parent / _name()
            _made(part, partial(part.mkdir, mode))
            if sys.platform == "win32":
                held = None
                break
            held = os.open(part, os.O_RDONLY)
            if _lock(held) and _is_at(held, part):
                break
            os.close(held)
        try:
            yield part
        finally:
            shutil.rmtree(part, ignore_errors=True)
            if held is not None:
                os.close(held)


@contextmanager
def held_alone(place: Path) -> Iterator[None]:
    """While this lasts no other process holds `place`; raises `InputError` where one does already, and `OSError`."""
    folder = Path(os.path.realpath(place.parent))
    with new_folders(folder):
        lock = folder / f".mien-{sha256(os.fsencode(place.name)).hexdigest()[:8]}.lock"
        while True:
            held = _made(lock, partial(os.open, lock, os.O_CREAT | os.O_RDWR, 0o666))
            if not _lock(held):
                os.close(held)
                raise _taken(place)
            if _is_at(held, lock):
                break
            os.close(held)  # the one that held it has just removed it
        try:
            yield
        finally:
            if sys.platform != "win32":
                with suppress(OSError):
                    lock.unlink(missing_ok=True)
            os.close(held)


@contextmanager
def held_folder(folder: Path) -> Iterator[None]:
    """As `held_alone`, of a folder, which is made where it is missing, and goes again if nothing was put into it.

    The folder itself is locked: beside it nothing may be writable. A file of this name is left to the caller.
    """
    place = Path(os.path.realpath(folder))
    if place.exists() and not place.is_dir():
        yield
        return
    if sys.platform == "win32":  # locks no folders
        with held_alone(place):
            yield
        return
    # The lock goes last: else another process could hold a folder that is being removed.
    with ExitStack() as lock, new_folders(place):
        while True:
            place.mkdir(parents=True, exist_ok=True)
            held = os.open(place, os.O_RDONLY)
            if not _lock(held):
                os.close(held)
                raise _taken(folder)
            if _is_at(held, place):
                break
            os.close(held)
        lock.callback(os.close, held)
        yield


def _taken(place: Path) -> InputError:
    return InputError(f"{place}: another mien is writing it now. Wait until that one has ended, or choose another name")


def temporary_folder() -> AbstractContextManager[Path]:
    """An empty folder that only this user can read, where the system keeps such; it goes at the end of the context."""
    return scratch_folder(Path(tempfile.gettempdir()) / "mien", 0o700)


def is_free(folder: Path, names: Collection[str], last: str) -> bool:
    """Whether `folder` can be `filled` with `names`: it is not there, is empty, or has what was cut off at that."""
    if not folder.exists():
        return True
    if not folder.is_dir():
        return False
    held = {entry.name for entry in folder.iterdir()}
    under_way = {name for name in held if _OURS.fullmatch(name)}
    others = held - under_way
    return not others or (bool(under_way) and last not in others and others <= set(names))


@contextmanager
def filled(folder: Path, names: Collection[str], last: str) -> Iterator[Path]:
    """Fill a folder that `is_free`: what is put into the folder that this gives moves there at the end, `last` as last.

    So `last` stands in the folder only where all the others do; until then a scratch folder in it tells the next one
    that what lies beside is nobody's. The folder itself may be a link or the root of a file system. Raises `OSError`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        _remove(folder / name)
    with scratch_folder(folder / last) as part:
        yield part
        for entry in sorted(part.iterdir(), key=lambda entry: entry.name == last):
            entry.rename(folder / entry.name)


def remove_dead(folder: Path) -> None:
    """Remove what processes that are dead have left under way in `folder`; nothing where there is no such folder."""
    try:
        with os.scandir(folder) as found:
            names = [entry.name for entry in found if _OURS.fullmatch(entry.name)]
    except OSError:
        return
    for name in names:
        with suppress(OSError):
            _remove_unless_held(folder / name)


def _made(place: Path, make: Callable[[], T]) -> T:
    """What `make` gives, which puts something at `place`; again where another process has just removed its folder, as
    there was nothing in it.
    """
    for _ in range(_TRIES):
        _prepare(place.parent)
        with suppress(FileNotFoundError):
            return make()
    return make()


def _prepare(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    key = os.path.realpath(folder)
    if key not in _swept:
        _swept.add(key)
        remove_dead(folder)


def _name() -> str:
    return f".mien-{secrets.token_hex(4)}.part"


def _remove_unless_held(left: Path) -> None:
    if sys.platform == "win32":
        if time.time() - left.stat().st_mtime > _OLD_S:
            _remove(left)
        return
    held = os.open(left, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        if _lock(held) and _is_at(held, left):
            _remove(left)
    finally:
        os.close(held)


def _remove(left: Path) -> None:
    if left.is_dir():
        shutil.rmtree(left, ignore_errors=True)
    else:
        left.unlink(missing_ok=True)


def _is_at(held: int, place: Path) -> bool:
    """Whether the open file still has this name."""
    try:
        return os.path.samestat(os.fstat(held), place.lstat())
    except OSError:
        return False


if sys.platform == "win32":

    def _lock(held: int) -> bool:
        import msvcrt

        try:
            msvcrt.locking(held, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:

    def _lock(held: int) -> bool:
        """Lock an open file or folder for this process; False where another holds it."""
        import errno
        import fcntl

        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # Some network folders have no locks; there a file counts as ours alone.
            return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
        return True
