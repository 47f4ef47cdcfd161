"""Watch: the faces of a video or camera, frame by frame, with numbers that last and steadied emotions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from mien.recognize.cuts import Cuts
from mien.recognize.recognizer import Recognizer
from mien.recognize.rows import Row
from mien.recognize.track import SMOOTH_S, Tracker
from mien.recognize.video import Frame, Pace, Video

_TOGETHER = 4  # looked-at frames whose faces the classifier sees at once
_PIXELS_TOGETHER = 80_000_000  # and at most so many pixels of frames in memory


@dataclass(frozen=True)
class Seen:
    """A frame and its faces. Where `frame.look` is false, they are those of the look before, at the frame's time."""

    frame: Frame
    rows: tuple[Row, ...]


def watch(
    video: Video,
    recognizer: Recognizer,
    *,
    pace: Pace | None = None,
    smooth_s: float = SMOOTH_S,
    all_images: bool = False,
) -> Iterator[Seen]:
    """Every frame of `video`, in order, in constant memory.

    `pace` says which frames are looked at; without one, each. In the others, the boxes lie evenly between those of the
    looks around (where these are further apart than some 80 million pixels of film, those of the look before), and the
    emotions are those of the look before; they have an image only with `all_images`. `smooth_s`:
    time constant of the smoothing in seconds, 0 for none. At a cut of the film, faces get new numbers and smoothing
    begins anew. A camera's frames come one by one, without any delay, and without cuts.
    """
    cuts = None if video.is_camera else Cuts()
    tracker = Tracker(smooth_s=smooth_s, threshold=recognizer.threshold)
    frames = video.frames(pace, all_images=all_images)
    before: tuple[Row, ...] = ()
    for some in _together(frames, 1 if video.is_camera else _TOGETHER):
        looked = [frame for frame in some if frame.look]
        images = [frame.image for frame in looked if frame.image is not None]
        found = recognizer.recognize(images, [video.source] * len(images))
        rows: dict[int, tuple[Row, ...]] = {}
        for frame, image, faces in zip(looked, images, found, strict=True):
            if cuts and cuts(image):
                tracker.cut()
            followed = tracker(faces, frame.time_s)
            rows[frame.index] = tuple(Row(face, number, frame.index, frame.time_s) for number, face in followed)
        for i, frame in enumerate(some):
            if frame.look:
                before = rows[frame.index]
                yield Seen(frame, before)
            else:
                after = next((rows[later.index] for later in some[i:] if later.look), ())
                yield Seen(frame, tuple(_between(row, after, frame) for row in before))


def _together(frames: Iterator[Frame], looks: int) -> Iterator[list[Frame]]:
    """Frames up to `looks` of them that are looked at; the last one is, as long as memory allows it."""
    some: list[Frame] = []
    count = pixels = 0
    for frame in frames:
        some.append(frame)
        count += frame.look
        pixels += 0 if frame.image is None else frame.image.shape[0] * frame.image.shape[1]
        # A passed-over frame that closes the last look's gap waits for the next look, where its boxes go to.
        if count == looks or pixels > _PIXELS_TOGETHER or len(some) == 1000:
            yield some
            some, count, pixels = [], 0, 0
    if some:
        yield some


def _between(row: Row, after: tuple[Row, ...], frame: Frame) -> Row:
    """`row` at the time of `frame`, its box on the way to the same face in `after`."""
    goal = next((one for one in after if one.face_id == row.face_id), None)
    face = row.face
    if goal is not None and row.time_s is not None and goal.time_s is not None:
        share = (frame.time_s - row.time_s) / (goal.time_s - row.time_s)
        x, y, width, height = (round(a + share * (b - a)) for a, b in zip(face.box, goal.face.box, strict=True))
        face = replace(face, box=(x, y, width, height))
    return Row(face, row.face_id, frame.index, frame.time_s)
