"""Film: an MP4 with marked faces, of the frames of a video, that plays as fast as they came. It has no sound.

Every frame is in it, not only those that were looked at: a film of every tenth frame would stutter or run too fast.
"""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np

from mien.errors import InputError, not_writable
from mien.images import Pixels
from mien.outputs import FILM_MARK
from mien.scratch import scratch_file

SUFFIX = ".mp4"
_TICKS = 90_000  # a second, as broadcasting counts
_QUALITY = "21"  # x264 CRF: 18 looks like the original, 23 is its default
_H264 = 'For H.264, which browsers play too: pip install -c constraints.txt ".[video]"'

_log = logging.getLogger(__name__)


class _Writer(Protocol):
    def write(self, image: Pixels, time_s: float) -> None: ...
    def close(self) -> None: ...


class Film:
    """A film that is being written, and takes its name when it is closed without an error; see `mien.scratch`.

    A context manager. H.264 with the extra "video" (PyAV); without it MPEG-4 part 2 by OpenCV, and the log says so. A
    film without a frame is not written. Memory does not grow with the frames.
    """

    def __init__(self, path: str | Path, *, fps: float) -> None:
        """`fps`: the usual rate of the frames. Raises `InputError` for a place that cannot be written."""
        self.path = Path(path)
        if self.path.suffix.lower() != SUFFIX:
            raise InputError(f"{self.path}: films are written as MP4; expected a name that ends in {SUFFIX}")
        if self.path.is_dir():
            raise InputError(f"{self.path}: is a folder; name a file in it")
        self._fps = fps
        self._size: tuple[int, int] | None = None
        self._writer: _Writer | None = None
        self.frames = 0
        self._held = ExitStack()
        try:
            self._part = self._held.enter_context(scratch_file(self.path, SUFFIX))  # by which OpenCV tells the format
        except OSError as error:
            raise not_writable(self.path, error) from error

    def write(self, image: Pixels, time_s: float) -> None:
        """Add a frame `(H, W, 3)` RGB, which is shown from `time_s` on, later than the one before.

        All are as large as the first, others are scaled; an odd last row or column is repeated, H.264 wants pairs.
        """
        even = _even(image)
        height, width = even.shape[:2]
        try:
            if self._writer is None:
                self._size = (width, height)
                self._writer = _opened(self._part, self._size, self._fps)
            if (width, height) != self._size:
                import cv2

                assert self._size is not None
                even = np.asarray(cv2.resize(even, self._size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
            self._writer.write(even, time_s)
        except OSError as error:
            raise not_writable(self.path, error) from error
        self.frames += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if self._writer is not None:
                self._writer.close()
            if kind is None and self.frames:
                with self._part.open("ab") as file:
                    file.write(FILM_MARK)
                self._part.replace(self.path)
        except OSError as failed:
            if kind is None:  # else the first error is the one to tell
                raise not_writable(self.path, failed) from failed
        finally:
            self._held.close()


def has_h264() -> bool:
    """Whether H.264 can be written here."""
    try:
        import av
    except ImportError:
        return False
    return "libx264" in av.codecs_available


class _H264Writer:
    """PyAV: each frame has its own time, so a varying rate stays as it was."""

    def __init__(self, path: Path, size: tuple[int, int], fps: float) -> None:
        import av

        # The index goes to the front, so that a browser plays it while it loads.
        self._file: Any = av.open(os.fspath(path), "w", format="mp4", options={"movflags": "+faststart"})
        rate = Fraction(fps).limit_denominator(1001)
        self._stream: Any = self._file.add_stream("libx264", rate=rate, options={"preset": "veryfast", "crf": _QUALITY})
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, _TICKS)
        self._last = -1

    def write(self, image: Pixels, time_s: float) -> None:
        import av
        import cv2

        # BT.601; in an eighth of the time that FFmpeg takes for it.
        planes = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420), dtype=np.uint8)
        frame: Any = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        self._last = max(self._last + 1, round(time_s * _TICKS))
        frame.pts, frame.time_base = self._last, Fraction(1, _TICKS)
        self._file.mux(self._stream.encode(frame))

    def close(self) -> None:
        try:
            self._file.mux(self._stream.encode())
        finally:
            self._file.close()


class _Mpeg4Writer:
    """OpenCV: a fixed rate, so a frame is repeated or left out where its time asks for it."""

    def __init__(self, path: Path, size: tuple[int, int], fps: float) -> None:
        import cv2

        code = cv2.VideoWriter.fourcc(*"mp4v")
        self._writer = cv2.VideoWriter(os.fspath(path), cv2.CAP_FFMPEG, code, fps, size)
        if not self._writer.isOpened():
            raise OSError(0, "OpenCV has no encoder for it")
        self._fps, self._count = fps, 0
        self._held: Any = None

    def write(self, image: Pixels, time_s: float) -> None:
        import cv2

        self._fill(round(time_s * self._fps))
        self._held = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)

    def close(self) -> None:
        self._fill(self._count + 1)
        self._writer.release()

    def _fill(self, until: int) -> None:
        while self._held is not None and self._count < until:
            self._writer.write(self._held)
            self._count += 1


def _opened(path: Path, size: tuple[int, int], fps: float) -> _Writer:
    if has_h264():
        return _H264Writer(path, size, fps)
    _log.info("film: MPEG-4 part 2 by OpenCV. %s", _H264)
    return _Mpeg4Writer(path, size, fps)


def _even(image: Pixels) -> Pixels:
    height, width = image.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return image
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
