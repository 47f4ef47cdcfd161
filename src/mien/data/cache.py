"""Cache: each picture of a source decoded once, into one memory-mapped array keyed by content.

Shapes: N entries, H and W pixels. Gray sets are stored as (N, H, W), others as (N, H, W, 3), uint8.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.data.entry import Loader, Source
from mien.errors import InputError
from mien.images import Pixels, decode, pixel_hash, squeeze_gray
from mien.preprocess import resize
from mien.scratch import scratch_folder

FORMAT = 1  # of the cache; a change makes old caches unused
_CHUNK = 512  # pictures decoded per step

Progress = Callable[[str, int, int], None]  # what, done, total
logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Decoded:
    """Pixels of every entry of a source; rows of unreadable entries are zero."""

    images: Pixels  # (N, H, W) or (N, H, W, 3), memory-mapped
    hashes: npt.NDArray[np.str_]  # (N,) of native pixels; "" where unreadable
    shapes: npt.NDArray[np.int32]  # (N, 2) native height and width; 0 where unreadable
    blank: npt.NDArray[np.bool_]  # (N,) all native pixels have one value
    unreadable: dict[int, str]  # entry → why


def cache_folder() -> Path:
    """Where decoded sets are kept: `$MIEN_CACHE`, else `mien` in the user's cache folder."""
    chosen = os.environ.get("MIEN_CACHE")
    if chosen:
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mien"
    except RuntimeError as error:  # a user whom the system does not know, as in a container
        raise InputError(
            "this user has no home folder to keep decoded faces in. Name another place: MIEN_CACHE=/path"
        ) from error


def decoded(source: Source, size: int, progress: Progress | None = None) -> Decoded:
    """Pixels of `source`, from the cache or decoded into it now.

    If all pictures share one shape of at most `size` by `size`, they are kept as they are; otherwise all are resized
    to `size` by `size` as `Preprocess` does it.
    """
    key = f"{source.digest()[:32]}-v{FORMAT}"
    native, resized = cache_folder() / f"{key}-native", cache_folder() / f"{key}-{size}"
    if (kept := _load(native)) and max(kept.images.shape[1:3]) <= size:
        return kept
    if kept := _load(resized):
        return kept
    try:
        return _fill(source, size, native, resized, progress)
    except OSError as error:
        raise InputError(
            f"{native.parent}: the cache of decoded faces cannot be written ({error.strerror or error}). "
            "Make room, or choose another place: MIEN_CACHE=/path"
        ) from error


def _fill(source: Source, size: int, native: Path, resized: Path, progress: Progress | None) -> Decoded:
    """Decode into a new folder, then rename it by what it holds: a set kept as it is serves every larger size."""
    with scratch_folder(native) as part:
        kept_native = _decode_all(source, size, part, progress)
        folder = native if kept_native else resized
        try:
            part.rename(folder)
        except OSError:
            if not (folder / "index.npz").is_file():  # otherwise another process was first, with the same content
                raise
        made = _load(folder)
        assert made is not None
        return made


def _decode_all(source: Source, size: int, part: Path, progress: Progress | None) -> bool:
    """True when every picture was stored with its native pixels."""
    total = len(source.entries)
    store = _Store(part / "images.npy", total, size)
    hashes = np.zeros(total, dtype="<U32")
    shapes = np.zeros((total, 2), dtype=np.int32)
    blank = np.zeros(total, dtype=bool)
    unreadable: dict[int, str] = {}
    for row, outcome in enumerate(_decode_parallel(source, size)):
        if isinstance(outcome, InputError):
            unreadable[row] = str(outcome)
        else:
            image, hashes[row], shapes[row], blank[row] = outcome
            store.put(row, image)
        if progress and ((row + 1) % _CHUNK == 0 or row + 1 == total):
            progress("decoding faces", row + 1, total)
    stored = store.close()
    with (part / "index.npz").open("wb") as file:
        np.savez_compressed(
            file, hashes=hashes, shapes=shapes, blank=blank, unreadable=np.array(json.dumps(unreadable))
        )
    logger.info("decoded %d pictures, %d unreadable", total - len(unreadable), len(unreadable))
    readable = shapes[hashes != ""]
    return bool((readable == stored).all())


def new_array(path: Path, shape: tuple[int, ...], kind: np.dtype[Any]) -> Any:
    """A memory-mapped array on disk, with its room taken at once; `OSError` when there is not enough."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape)
    if hasattr(os, "posix_fallocate"):  # a disk that fills up under a memory map kills the process
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


_Outcome = tuple[Pixels, str, tuple[int, int], bool]


def _decode_parallel(source: Source, size: int) -> Iterator[_Outcome | InputError]:
    """Outcomes in order. Pillow and cv2 release the interpreter lock, so threads are enough."""
    loaders: Iterable[Loader] = source.loaders()
    names = (entry.name for entry in source.entries)
    work = zip(loaders, names, strict=True)
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        while chunk := list(itertools.islice(work, _CHUNK)):
            yield from pool.map(lambda item: _decode_one(item[0], item[1], size), chunk)


def _decode_one(load: Loader, name: str, size: int) -> _Outcome | InputError:
    try:
        data = load()
        image = decode(data, name) if isinstance(data, bytes) else squeeze_gray(data)
    except InputError as error:
        return error
    height, width = image.shape[:2]
    kept = image if max(height, width) <= size else resize(image, (size, size))
    return kept, pixel_hash(image), (height, width), bool(image.min() == image.max())


class _Store:
    """An array on disk that starts with the shape of its first picture and grows when another one needs more."""

    def __init__(self, path: Path, rows: int, size: int) -> None:
        self._path, self._rows, self._size = path, rows, size
        self._array: Any = None

    def put(self, row: int, image: Pixels) -> None:
        if self._array is None:
            self._array = self._create(self._path, image.shape)
        if image.shape[:2] != self._array.shape[1:3]:
            square = (self._size, self._size)
            if self._array.shape[1:3] != square:
                self._rewrite((*square, *self._array.shape[3:]), row)
            image = resize(image, square)
        if image.ndim == 3 and self._array.ndim == 3:
            self._rewrite((*self._array.shape[1:3], 3), row)
        self._array[row] = image[..., None] if image.ndim < self._array.ndim - 1 else image

    def close(self) -> tuple[int, int]:
        """Flush to disk; height and width of what is stored."""
        if self._array is None:
            self._array = self._create(self._path, (1, 1))
        self._array.flush()
        height, width = self._array.shape[1:3]
        self._array = None
        return height, width

    def _create(self, path: Path, shape: tuple[int, ...]) -> Any:
        return new_array(path, (self._rows, *shape), np.dtype(np.uint8))

    def _rewrite(self, shape: tuple[int, ...], filled: int) -> None:
        """Move the first `filled` rows into an array of the larger `shape`. Happens at most twice for a set."""
        old: Any = self._array
        image: Any = None
        path = self._path.with_suffix(".new")
        self._array = self._create(path, shape)
        for row in range(filled):
            image = resize(np.asarray(old[row]), (shape[0], shape[1]))
            self._array[row] = image[..., None] if image.ndim < len(shape) else image
        self._array.flush()
        self._array = old = image = None  # Windows renames no file that is mapped
        path.replace(self._path)
        self._array = np.lib.format.open_memmap(self._path, mode="r+")


def _load(folder: Path) -> Decoded | None:
    """What an earlier run decoded, or None."""
    if not (folder / "index.npz").is_file():
        return None
    try:
        with np.load(folder / "index.npz", allow_pickle=False) as index:
            unreadable = {int(row): why for row, why in json.loads(str(index["unreadable"])).items()}
            return Decoded(
                images=np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False),
                hashes=index["hashes"],
                shapes=index["shapes"],
                blank=index["blank"],
                unreadable=unreadable,
            )
    except Exception as error:  # numpy, zipfile and zlib each raise their own on a damaged file
        raise InputError(f"{folder}: damaged cache ({error}). Delete this folder and run again") from error
