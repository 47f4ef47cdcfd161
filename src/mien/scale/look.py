"""Look: the pictures or the video of one part, recognized, and the part written. The same for every engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath

from mien.errors import InputError
from mien.images import Pixels, decode, read
from mien.recognize.recognizer import Recognizer
from mien.recognize.rows import Blank, Row
from mien.recognize.session import cores
from mien.recognize.stream import decoded, together
from mien.recognize.summary import Summary
from mien.recognize.video import Video
from mien.recognize.watch import watch
from mien.scale import places
from mien.scale.job import How, Job
from mien.scale.parts import Rows, Tally, read_tally, write_part
from mien.scale.source import Item, picture_bytes
from mien.scratch import temporary_folder

_READERS = 8  # threads that read from a store, which mostly wait
_LARGEST_VIDEO = 2**36


def do_part(job: Job, part: int, recognizer: Recognizer) -> Tally:
    """Recognize a part and write it; of one that is there already, what was counted then.

    So a part may be begun as often as machines die, and is there once.
    """
    if places.exists(job.file(part)):
        return read_tally(job, part)
    items = job.items(part)
    if items and items[0].video:
        summed: list[Summary] = []
        rows = [rows for item in items for rows in _video(item, recognizer, job.how, summed)]
        return write_part(job, part, rows, next(iter(summed), None))
    return write_part(job, part, list(looks(items, recognizer, job.how)))


def looks(items: list[Item], recognizer: Recognizer, how: How) -> Iterator[Rows]:
    """The rows of each picture, or of each look at a video."""
    if items and items[0].video:
        for item in items:
            yield from _video(item, recognizer, how, [])
        return
    stored = _stored(items)

    def pixels(item: Item) -> Pixels | str:
        return _pixels(item, stored)

    far = any(places.is_address(item.place) for item in items)
    readers = _READERS if far else min(recognizer.threads or cores(), 4)
    for some in together(decoded(items, pixels, readers)):
        yield from _recognized(some, recognizer, require_face=how.require_face)


def _recognized(some: list[tuple[Item, Pixels | str]], recognizer: Recognizer, *, require_face: bool) -> Iterator[Rows]:
    good = [(item.source, image) for item, image in some if not isinstance(image, str)]
    found = iter(recognizer.recognize([image for _, image in good], [source for source, _ in good]))
    for item, image in some:
        if isinstance(image, str):
            yield [Blank(item.source, error=image)]
            continue
        faces = next(found)
        if faces:
            yield [Row(face, number) for number, face in enumerate(faces, start=1)]
        else:
            yield [Blank(item.source, error=f"{item.source}: no face found" if require_face else None)]


def _pixels(item: Item, stored: dict[tuple[str, int], bytes | str]) -> Pixels | str:
    """Of a picture, or why there are none."""
    if item.error:
        return item.error
    try:
        if item.row is not None:
            data = stored[item.place, item.row]
            return data if isinstance(data, str) else decode(data, item.source)
        if not places.is_address(item.place):
            return read(Path(item.place))
        return decode(places.content(item.place), item.source)
    except places.Missing as missing:
        return str(missing)
    except places.UnreachableError:
        raise
    except InputError as error:
        return str(error)


def _stored(items: Iterable[Item]) -> dict[tuple[str, int], bytes | str]:
    """Pictures that lie in Parquet files, each file read once."""
    wanted: dict[str, list[int]] = {}
    for item in items:
        if item.row is not None:
            wanted.setdefault(item.place, []).append(item.row)
    return {
        (place, row): data
        for place, rows in wanted.items()
        for row, data in places.patient(place, partial(picture_bytes, place, rows)).items()
    }


def _video(item: Item, recognizer: Recognizer, how: How, summed: list[Summary]) -> Iterator[Rows]:
    """The looks at a video, added to `summed` at its end; where it fails, what was seen until then, and why."""
    try:
        with local_copy(item.place) as file, Video(file) as video:
            summary, last_s = Summary(recognizer.labels, step_s=1 / video.fps), 0.0
            for seen in watch(video, recognizer, pace=how.pace, smooth_s=how.smooth_s):
                last_s = seen.frame.time_s
                if seen.frame.look:
                    summary.add(seen.rows, last_s)
                    yield [_renamed(row, item.source) for row in seen.rows] or [
                        Blank(item.source, seen.frame.index, seen.frame.time_s)
                    ]
            summary.end(last_s + 1 / video.fps)
            summed.append(summary)
    except places.Missing as missing:
        yield [Blank(item.source, error=str(missing))]
    except places.UnreachableError:
        raise
    except InputError as error:
        yield [Blank(item.source, error=str(error))]


def _renamed(row: Row, source: str) -> Row:
    from dataclasses import replace

    return replace(row, face=replace(row.face, source=source))


@contextmanager
def local_copy(place: str) -> Iterator[Path]:
    """The video as a file of this machine."""
    if not places.is_address(place):
        yield Path(place)
        return
    with temporary_folder() as folder:
        file = folder / (PurePosixPath(place).name or "video")
        file.write_bytes(places.content(place, _LARGEST_VIDEO))
        yield file
