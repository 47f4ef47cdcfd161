"""Video: the frames of a video file or a camera, one after another with their times; memory does not grow.

Shapes: frames are `(H, W, 3)` RGB uint8, upright as the file's rotation says.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from mien.errors import InputError, printable
from mien.image_files import MAX_PIXELS
from mien.images import Pixels
from mien.recognize.captures import Capture, CvCapture, cv_capture, open_capture
from mien.recognize.inputs import VIDEO_SUFFIXES
from mien.recognize.lookahead import ahead, newest

CAMERA = "camera"
_USUAL_FPS = 25.0
_PATIENCE_S = 2.0  # for a camera that answers no more
_FPS_RANGE = (1.0, 240.0)  # of a header that is believed
_LONGEST_GAP = 3600.0  # seconds between two frames; a longer one is a broken time
_TOLERANCE = 0.03  # share of the frames that a header may promise too much
_AHEAD = 8  # frames decoded while others are looked at
_PIXELS_AHEAD = 24_000_000


@dataclass(frozen=True)
class Frame:
    """One frame. `image` is None where the frame was passed over and its pixels are not wanted."""

    index: int  # from 0, counts every frame of the video
    time_s: float  # since the first frame, by the frame's own time
    image: Pixels | None
    look: bool  # faces are to be looked for


@dataclass(frozen=True)
class Pace:
    """Which frames are looked at: every Nth one, or at most `fps` of each second."""

    every: int = 1
    fps: float | None = None

    def __post_init__(self) -> None:
        if self.every < 1:
            raise InputError(f"every {self.every}: expected 1 (each frame) or more")
        if self.fps is not None and not 0 < self.fps < math.inf:
            raise InputError(f"fps {self.fps:g}: expected more than 0 frames a second")
        if self.fps is not None and self.every != 1:
            raise InputError("every and fps both say which frames are looked at: give one of them")

    def slot(self, index: int, time_s: float) -> int:
        """A number that goes up where the next look is due, so the times count even where the rate of frames varies."""
        return index // self.every if self.fps is None else math.floor(time_s * self.fps + 1e-6)


class Clock:
    """Times of frames that always go up, from times in a file that may be missing, repeat or jump back."""

    def __init__(self, step_s: float) -> None:
        """`step_s`: seconds between frames while the file has told none."""
        self._step, self._last, self._offset = step_s, -math.inf, 0.0
        self._steps = 0

    def time_s(self, told_s: float) -> float:
        """The time of the next frame, 0 for the first; a bad time is replaced by the mean step."""
        if self._last == -math.inf:
            self._offset = -told_s if math.isfinite(told_s) else 0.0
            self._last = 0.0
            return 0.0
        now = told_s + self._offset
        if math.isfinite(now) and 1e-6 < now - self._last <= _LONGEST_GAP:
            self._steps += 1
            self._step = now / self._steps
        else:
            self._steps += 1
            now = self._last + self._step
            # Not a lasting jump where the file has no times at all (0 each).
            self._offset = now - told_s if math.isfinite(told_s) and told_s > 0 else self._offset
        self._last = now
        return now


class Video:
    """An opened video file or camera. A context manager."""

    def __init__(self, source: str | Path, *, most_pixels: int = MAX_PIXELS) -> None:
        """`source`: a file, or `camera`, `camera:1` (the second one), `camera:PATH` (a device, or a file as one).

        `most_pixels`: of a frame. A file that tells of larger ones is refused before one is decoded; one that comes all
        the same ends the reading with an `InputError`.
        Raises `InputError` for what is no video or holds no frame, and for a camera that is missing or busy.
        """
        self.source = str(source)
        self._most_pixels = most_pixels
        device = camera_device(self.source)
        self.is_camera = device is not None
        # A camera does not wait for us, so only its newest frame counts. A file in its place is read like a file.
        self._live = device is not None and (isinstance(device, int) or not Path(device).is_file())
        self._capture = (
            _open_file(Path(source), most_pixels) if device is None else _open_camera(device, self.source, most_pixels)
        )
        told = self._told("FPS")
        self.fps = told if _FPS_RANGE[0] <= told <= _FPS_RANGE[1] else _USUAL_FPS
        count = self._told("FRAME_COUNT")
        self.expected = int(count) if not self._live and 0 < count < 1e9 else None  # frames, as the header says
        self.note: str | None = None  # what was wrong with it, once it is read
        self._in_use = threading.Lock()  # another thread reads; OpenCV does not bear it that one closes meanwhile

    def frames(self, pace: Pace | None = None, *, all_images: bool = False) -> Iterator[Frame]:
        """Every frame in order. Frames that are not looked at have no image, unless `all_images`, and cost less.

        Frames are decoded by a thread of their own, a few ahead. One that is cut off or damaged ends where nothing more
        can be read, and `note` tells so.
        """
        coming = self._read(pace or Pace(), all_images)
        if self._live:
            return newest(coming, _unlooked)
        return ahead(coming, max(2, min(_AHEAD, _PIXELS_AHEAD // self._pixels())))

    def close(self) -> None:
        if self._in_use.acquire(timeout=_PATIENCE_S):  # a camera that hangs keeps it; the program ends without it
            try:
                self._capture.release()
            finally:
                self._in_use.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def _read(self, pace: Pace, all_images: bool) -> Iterator[Frame]:
        clock, slot, time_s = Clock(1 / self.fps), -1, 0.0
        for index in itertools.count():
            with self._in_use:
                if not self._capture.grab():
                    break
                time_s = clock.time_s(time.monotonic() if self._live else self._told("POS_MSEC") / 1000)
                due = pace.slot(index, time_s)
                look, slot = due > slot, due
                # A codec decodes a frame that is passed over too, since later ones build on it; but not its colors.
                wanted = look or all_images or self._live
                image = self._retrieve() if wanted else None
            if wanted and image is None:
                if index == 0:
                    raise InputError(
                        f"{self.source}: its colors cannot be converted. Save it anew, as H.264 in yuv420p with bt709"
                    )
                break
            yield Frame(index, time_s, image, look)
        if index == 0:
            raise InputError(f"{self.source}: has no frame that can be read")
        self.note = self._missing(index, time_s)

    def _retrieve(self) -> Pixels | None:
        if self._pixels() > self._most_pixels:
            raise InputError(f"{self.source}: frames of more than {self._most_pixels:,} pixels; reduce it first")
        image = self._capture.image()
        if image is not None and image.shape[0] * image.shape[1] > self._most_pixels:
            raise InputError(f"{self.source}: frames of more than {self._most_pixels:,} pixels; reduce it first")
        return image

    def _missing(self, frames: int, time_s: float) -> str | None:
        """A note if frames are missing by number and by time too: where the rate varies, headers only guess at one."""
        if self._live:
            return f"{self.source}: gave no more frames after {time_s:.1f} s (unplugged, or taken by another program?)"
        if self.expected is None:
            return None
        short = frames < self.expected * (1 - _TOLERANCE) - 2
        header_fps = self._told("FPS") or self.fps  # believed or not, it was used for the number
        early = time_s + 1 / header_fps < (self.expected * (1 - _TOLERANCE) - 2) / header_fps
        if not (short and early):
            return None
        return (
            f"{self.source}: cut off or damaged: about {frames:,} of {self.expected:,} frames could be read, "
            f"to {time_s:.1f} s; these are kept"
        )

    def _told(self, what: str) -> float:
        return self._capture.told(what)

    def _pixels(self) -> int:
        return max(1, int(self._told("FRAME_WIDTH")) * int(self._told("FRAME_HEIGHT")))


def camera_device(source: str) -> int | str | None:
    """The number or path of the camera that `source` names; None for anything but `camera` and `camera:…`.

    >>> camera_device("camera"), camera_device("camera:1"), camera_device("camera.mp4")
    (0, 1, None)
    """
    name, colon, which = source.partition(":")
    if name != CAMERA:
        return None
    if not which:
        return None if colon else 0
    return int(which) if which.isascii() and which.isdigit() else which


def _open_file(path: Path, most_pixels: int) -> Capture:
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a video in it")
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if not path.is_file():
        raise InputError(f"{path}: no file but a pipe, socket or device; write the video to a file first")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if empty:
        raise InputError(f"{path}: the file is empty")
    capture = open_capture(path, most_pixels)
    if capture is None:
        known = ", ".join(VIDEO_SUFFIXES)
        raise InputError(f"{path}: not a video that can be read, or damaged at its beginning (known: {known})")
    return capture


def _open_camera(device: int | str, source: str, most_pixels: int) -> Capture:
    if isinstance(device, str) and Path(device).is_file():
        return _open_file(Path(device), most_pixels)
    if isinstance(device, str) and device != printable(device):
        raise InputError(f"{source!r}: its name is not UTF-8; rename it")
    capture = cv_capture(device, "CAP_ANY")
    if capture is None or not capture.grab():  # a busy camera may open and give nothing
        raise InputError(
            f"{source}: cannot be opened; the camera is missing, busy or not allowed. Close other programs that use "
            "it, let this one use it (Linux: group video; macOS and Windows: privacy settings), or try another "
            "number: camera:1"
        )
    import cv2

    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # no old frames, where the driver knows it
    return CvCapture(capture)


def _unlooked(old: Frame, new: Frame) -> Frame:
    """`new`, which replaces `old` before anyone saw it, and is looked at in its place."""
    return replace(new, look=new.look or old.look)
