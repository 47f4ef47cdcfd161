"""Stream: many picture files recognized one after another, with constant memory; one bad file never stops the rest."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from mien.errors import InputError
from mien.images import Pixels, read
from mien.recognize.faces import Face
from mien.recognize.inputs import InputFile
from mien.recognize.recognizer import Recognizer
from mien.recognize.session import cores

T = TypeVar("T")
TOGETHER = 8  # pictures whose faces the classifier sees at once
_DECODERS = 4  # threads at most, whose pictures wait in memory
_PIXELS_TOGETHER = 40_000_000  # and at most so many pixels of them in memory


@dataclass(frozen=True)
class Outcome:
    """What came of one picture: the picture and its faces, or the reason why there are none."""

    input: InputFile
    image: Pixels | None = None
    faces: tuple[Face, ...] = ()
    error: str | None = None


def recognize_pictures(
    inputs: Iterable[InputFile], recognizer: Recognizer, *, require_face: bool = False
) -> Iterator[Outcome]:
    """Outcomes in the order of `inputs`. With `require_face` a picture without a face is an error.

    The next pictures are decoded while faces are looked for.
    """
    workers = min(recognizer.threads or cores(), _DECODERS)
    for some in together(decoded(inputs, _read, workers)):
        good = [(one, image) for one, image in some if not isinstance(image, str)]
        found = iter(recognizer.recognize([image for _, image in good], [str(one.path) for one, _ in good]))
        for one, image in some:
            if isinstance(image, str):
                yield Outcome(one, error=image)
                continue
            faces = tuple(next(found))
            if require_face and not faces:
                yield Outcome(one, image, error=f"{one.path}: no face found")
            else:
                yield Outcome(one, image, faces)


def decoded(inputs: Iterable[T], read: Callable[[T], Pixels | str], workers: int) -> Iterator[tuple[T, Pixels | str]]:
    """Each input with its pixels, or with why there are none, in order; `workers` threads decode a few ahead."""
    coming = iter(inputs)
    waiting: deque[tuple[T, Future[Pixels | str]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            waiting.extend((one, pool.submit(read, one)) for one in islice(coming, workers + 1))
            while waiting:
                one, image = waiting.popleft()
                yield one, image.result()
                waiting.extend((one, pool.submit(read, one)) for one in islice(coming, 1))
        finally:
            pool.shutdown(cancel_futures=True)


def _read(one: InputFile) -> Pixels | str:
    if one.error:
        return one.error
    try:
        return read(one.path)
    except InputError as error:
        return str(error)


def together(decoded: Iterable[tuple[T, Pixels | str]]) -> Iterator[list[tuple[T, Pixels | str]]]:
    """As many as are recognized at once: `TOGETHER`, or fewer of large pictures."""
    some: list[tuple[T, Pixels | str]] = []
    pixels = 0
    for one, image in decoded:
        some.append((one, image))
        pixels += 0 if isinstance(image, str) else image.shape[0] * image.shape[1]
        if len(some) == TOGETHER or pixels > _PIXELS_TOGETHER:
            yield some
            some, pixels = [], 0
    if some:
        yield some
