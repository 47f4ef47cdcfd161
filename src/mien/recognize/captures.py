"""Captures: the frames of one video file, by PyAV where it is installed, otherwise by OpenCV, whose frames are proved.

OpenCV 4.13 and newer cannot convert some films (interlaced ones, odd color tags), says nothing and hands out memory
that it never wrote: pixels of whatever lay there before, which may be another person's video.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mien.errors import InputError, MissingExtraError, first_line
from mien.image_files import MAX_PIXELS
from mien.images import Pixels

_PERTURB = -6  # M_PERTURB of glibc's malloc.h: new memory is filled with the complement of a byte
_POISONS = (0x5A, 0xC3)
_ONE_AT_A_TIME = threading.Lock()  # the poison is of the whole process
_UNSAID = 2  # of ISO/IEC 23091-2: what players take then is the usual
_OTHER_COLORS = (0, 8, 14)  # RGB, YCgCo, ICtCp: whose values would give other colors if they were taken as usual
_OPTIONS = {"protocol_whitelist": "none"}  # playlists, which name other files and addresses, open none of them


class Capture(Protocol):
    """A video that is read frame by frame."""

    def grab(self) -> bool:
        """Go on to the next frame; False where there is none."""
        ...

    def image(self) -> Pixels | None:
        """The pixels of that frame, `(H, W, 3)` RGB, upright; None where they cannot be had."""
        ...

    def told(self, what: str) -> float:
        """A property by the name that OpenCV gives it; 0 where it is not known."""
        ...

    def release(self) -> None: ...


def open_capture(path: Path, most_pixels: int = MAX_PIXELS) -> Capture | None:
    """The video at `path`, a file that is there; None for what is none.

    Raises `InputError` for frames of more than `most_pixels`, before one is decoded, and without PyAV for a video that
    OpenCV cannot convert, or whose name it does not take.
    """
    return _AvCapture.open(path, most_pixels) if find_spec("av") else _proved(path, most_pixels)


def check_frames(capture: Capture, source: object, most_pixels: int) -> None:
    """Raise `InputError` where the header tells of frames of more than `most_pixels`."""
    width, height = int(capture.told("FRAME_WIDTH")), int(capture.told("FRAME_HEIGHT"))
    if width * height > most_pixels:
        raise InputError(f"{source}: frames of {width}x{height}, more than {most_pixels:,} pixels; reduce it first")


class _AvCapture:
    """By PyAV, which converts whatever FFmpeg decodes."""

    def __init__(self, file: Any, container: Any) -> None:
        self._file, self._container = file, container
        self._stream = container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self._frames = container.decode(self._stream)
        self._frame: Any = None

    @classmethod
    def open(cls, path: Path, most_pixels: int) -> _AvCapture | None:
        import av

        av.logging.set_level(av.logging.PANIC)
        file = path.open("rb")  # not by its name, which FFmpeg could take for an address or a pattern
        try:
            container = av.open(file, options=_OPTIONS)
            # A stream of a kind that FFmpeg does not know has no decoder, and no size.
            if container.streams.video and container.streams.video[0].codec_context is not None:
                opened = cls(file, container)
                try:
                    check_frames(opened, path, most_pixels)
                except InputError:
                    opened.release()
                    raise
                return opened
            container.close()
        except (av.FFmpegError, ValueError, OSError):
            pass
        file.close()
        return None

    def grab(self) -> bool:
        import av

        try:
            self._frame = next(self._frames, None)
        except (av.FFmpegError, ValueError, OSError):  # what can be read ends here
            self._frame = None
        return self._frame is not None

    def image(self) -> Pixels | None:
        try:
            image = self._frame.to_ndarray(format="rgb24")
        except Exception:  # tags of colors that even swscale does not convert
            if self._frame.colorspace in _OTHER_COLORS:
                return None
            for tag in ("colorspace", "color_trc", "color_primaries"):
                setattr(self._frame, tag, _UNSAID)
            try:
                image = self._frame.to_ndarray(format="rgb24")
            except Exception:  # it is not the tags
                return None
        turns = round(getattr(self._frame, "rotation", 0) / 90) % 4
        return np.ascontiguousarray(np.rot90(image, turns))

    def told(self, what: str) -> float:
        if what == "POS_MSEC":
            time_s = self._frame.time if self._frame is not None else None
            return float("nan") if time_s is None else float(time_s) * 1000
        if what == "FPS":
            return float(self._stream.average_rate or 0)
        if what == "FRAME_COUNT":
            seconds = float(self._container.duration or 0) / 1_000_000
            return float(self._stream.frames or seconds * self.told("FPS"))
        return float({"FRAME_WIDTH": self._stream.width, "FRAME_HEIGHT": self._stream.height}[what] or 0)

    def release(self) -> None:
        self._container.close()
        self._file.close()


class CvCapture:
    """By OpenCV: a camera, or a file of which `path` is given."""

    def __init__(self, capture: Any, path: Path | None = None) -> None:
        self._capture, self._path = capture, path
        self._index, self._same, self._checked = -1, 0, 1
        self._last: Pixels | None = None

    def grab(self) -> bool:
        self._index += 1
        return bool(self._capture.grab())

    def image(self) -> Pixels | None:
        import cv2

        good, image = self._capture.retrieve()
        if not good:
            return None
        color = cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB
        found = np.asarray(cv2.cvtColor(image, color), dtype=np.uint8)
        if self._path is not None:
            self._doubt(found)
        return found

    def _doubt(self, image: Pixels) -> None:
        """A frame that equals the one before may be a still scene, or was not written: asked again now and then."""
        self._same = self._same + 1 if self._last is not None and np.array_equal(image, self._last) else 0
        self._last = image
        if self._same == 0:
            self._checked = 1
        elif self._same >= self._checked:
            self._checked *= 4
            assert self._path is not None
            if _is_unwritten(self._path, self._index):
                raise _not_converted(self._path)

    def told(self, what: str) -> float:
        import cv2

        return float(self._capture.get(getattr(cv2, f"CAP_PROP_{what}")))

    def release(self) -> None:
        self._capture.release()


def _proved(path: Path, most_pixels: int) -> CvCapture | None:
    try:
        os.fsencode(path).decode("utf-8")
    except UnicodeDecodeError as error:  # OpenCV's process would end
        raise InputError(f"{path}: its name is not UTF-8; rename it") from error
    opened = cv_capture(os.fspath(path.absolute()), "CAP_FFMPEG")  # absolute: no address, no pattern of pictures
    if opened is None:
        return None
    capture = CvCapture(opened, path)
    try:
        check_frames(capture, path, most_pixels)
        if _is_unwritten(path, 0):
            raise _not_converted(path)
    except InputError:
        capture.release()
        raise
    return capture


def cv_capture(what: int | str, backend: str) -> Any:
    """OpenCV's own, or None where it cannot open it."""
    # FFmpeg would write what it finds damaged to standard error, line by line; `Video.note` says it once.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    with _quiet():
        capture = cv2.VideoCapture(what, getattr(cv2, backend))
    return capture if capture.isOpened() else None


def _is_unwritten(path: Path, index: int) -> bool:
    """Whether frame `index` is memory as it was given: twice filled with another byte, it is that byte everywhere."""
    return all(_is_poison(path, index, byte) for byte in _POISONS)


def _is_poison(path: Path, index: int, byte: int) -> bool:
    with _poisoned(byte):
        capture = cv_capture(os.fspath(path.absolute()), "CAP_FFMPEG")
        if capture is None:
            return False
        try:
            if not all(capture.grab() for _ in range(index + 1)):
                return False
            good, image = capture.retrieve()
            return bool(good) and bool((image == byte ^ 0xFF).all())
        finally:
            capture.release()


@contextmanager
def _poisoned(byte: int) -> Iterator[None]:
    """New memory holds the complement of `byte`, where the system's library can do so (glibc)."""
    with _ONE_AT_A_TIME:
        set_option = None
        with suppress(AttributeError, OSError):  # macOS, Windows, musl
            set_option = ctypes.CDLL(None).mallopt
        if set_option:
            set_option(_PERTURB, byte)
        try:
            yield
        finally:
            if set_option:
                set_option(_PERTURB, 0)


def _not_converted(path: Path) -> InputError:
    needs = MissingExtraError("an interlaced film, or one with such colors,", "video")
    return InputError(f"{path}: OpenCV cannot convert its frames. {needs}")


@contextmanager
def _quiet() -> Iterator[None]:
    """OpenCV keeps to itself what it tries while it opens something."""
    import cv2

    log: Any = cv2.utils.logging
    level = log.getLogLevel()
    log.setLogLevel(0)
    try:
        yield
    finally:
        log.setLogLevel(level)


def is_video_content(path: Path) -> bool:
    """Whether a file holds moving pictures, by its content: at least two frames. False for pictures, also animated."""
    try:
        capture = open_capture(path)
    except InputError:
        return True  # which OpenCV cannot convert
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({first_line(error)})") from error
    if capture is None:
        return False
    try:
        return capture.grab() and capture.grab()
    finally:
        capture.release()
