"""Stream: many picture files recognized one after another, with constant memory; one bad file never stops the rest."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from mien.errors import InputError
from mien.images import Pixels, read
from mien.recognize.faces import Face
from mien.recognize.inputs import InputFile
from mien.recognize.recognizer import Recognizer
from mien.recognize.session import cores

_TOGETHER = 8  # pictures whose faces the classifier sees at once
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
    for some in _together(_decoded(inputs, workers)):
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


_Decoded = tuple[InputFile, Pixels | str]  # the pixels, or why there are none


def _decoded(inputs: Iterable[InputFile], workers: int) -> Iterator[_Decoded]:
    """Each input with its pixels, in order; `workers` threads decode a few ahead."""
    coming = iter(inputs)
    waiting: deque[Future[_Decoded]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            waiting.extend(pool.submit(_read, one) for one in islice(coming, workers + 1))
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(_read, one) for one in islice(coming, 1))
        finally:
            pool.shutdown(cancel_futures=True)


def _read(one: InputFile) -> _Decoded:
    if one.error:
        return one, one.error
    try:
        return one, read(one.path)
    except InputError as error:
        return one, str(error)


def _together(decoded: Iterable[_Decoded]) -> Iterator[list[_Decoded]]:
    some: list[_Decoded] = []
    pixels = 0
    for one, image in decoded:
        some.append((one, image))
        pixels += 0 if isinstance(image, str) else image.shape[0] * image.shape[1]
        if len(some) == _TOGETHER or pixels > _PIXELS_TOGETHER:
            yield some
            some, pixels = [], 0
    if some:
        yield some
