"""Sequences: the faces of a folder or video, one picture or frame after another: `Recognizer.folder`, `.video`.

Both take the way of the command line: the same pictures in the same order, the same looks, numbers and smoothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from mien.errors import InputError
from mien.recognize.faces import Faces, Place
from mien.recognize.given import OnError
from mien.recognize.inputs import pictures
from mien.recognize.recognizer import Recognizer
from mien.recognize.stream import recognize_pictures
from mien.recognize.track import SMOOTH_S, Tracker
from mien.recognize.video import Pace, Video
from mien.recognize.watch import watch

logger = logging.getLogger(__name__)


def of_folder(recognizer: Recognizer, folder: Path, on_error: OnError) -> Iterator[Faces]:
    """The faces of each picture below `folder`. Raises `InputError` at once for what is no folder."""
    if not folder.is_dir():
        what = "is a file; recognizer(path) takes it" if folder.exists() else "no such folder"
        raise InputError(f"{folder}: {what}")
    found = _pictures(recognizer, folder, on_error)
    return _at_estimate(recognizer, found) if recognizer.mix.is_estimated else found


def _at_estimate(recognizer: Recognizer, found: Iterator[Faces]) -> Iterator[Faces]:
    """All of them first: the shares of emotions are estimated from every face."""
    yield from recognizer.mix.at_estimate(list(found), recognizer.threshold)


def _pictures(recognizer: Recognizer, folder: Path, on_error: OnError) -> Iterator[Faces]:
    for outcome in recognize_pictures(pictures([folder]), recognizer):
        if outcome.error and on_error == "raise":
            raise InputError(outcome.error)
        path = str(outcome.input.path)
        yield Faces(outcome.faces, Place(path, recognizer.labels), path, outcome.error, shifted=recognizer.shifted)


def of_video(
    recognizer: Recognizer,
    source: str | Path,
    looks: tuple[int, float | None],
    smooth_s: float | None,
    *,
    keep_frames: bool,
) -> Iterator[Faces]:
    """The faces of each frame that is looked at; `looks`: every, fps. Raises `InputError` at once for bad options."""
    pace = Pace(*looks)
    smooth = SMOOTH_S if smooth_s is None else smooth_s
    Tracker(smooth_s=smooth)
    return _looks(recognizer, source, pace, smooth, keep_frames)


def _looks(
    recognizer: Recognizer, source: str | Path, pace: Pace, smooth_s: float, keep_frames: bool
) -> Iterator[Faces]:
    with Video(source) as video:
        for seen in watch(video, recognizer, pace=pace, smooth_s=smooth_s):
            if seen.frame.look:
                ids = tuple(row.face_id for row in seen.rows)
                place = Place(video.source, recognizer.labels, seen.frame.index, seen.frame.time_s, ids)
                yield Faces([row.face for row in seen.rows], place, seen.frame.image if keep_frames else None)
        if video.note:
            logger.warning("%s", video.note)
