"""Video: frames with their times from files of every kind, and what is said of those that are none."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mien import InputError
from mien.recognize.lookahead import ahead, newest
from mien.recognize.video import Clock, Frame, Pace, Video, camera_device


def shade(i: int) -> np.ndarray:
    """A frame that tells its number by its brightness; its upper left quarter is red."""
    image = np.full((96, 128, 3), 40 + 4 * i, np.uint8)
    image[:48, :64] = (255, 0, 0)
    return image


def write(path: Path, frames: int, fps: float = 25) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (128, 96))
    for i in range(frames):
        writer.write(np.ascontiguousarray(shade(i)[..., ::-1]))
    writer.release()
    return path


def write_at(path: Path, times_ms: Sequence[int]) -> Path:
    """Frames at these times, by PyAV, with the index at the front."""
    av: Any = pytest.importorskip("av")
    with av.open(str(path), "w", options={"movflags": "+faststart"} if path.suffix == ".mp4" else {}) as file:
        stream = file.add_stream("libx264", rate=25, options={"g": "10", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for i, at in enumerate(times_ms):
            frame = av.VideoFrame.from_ndarray(shade(i % 50), format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def read(path: Path | str, pace: Pace | None = None, *, all_images: bool = False) -> tuple[list[Frame], str | None]:
    with Video(path) as video:
        return list(video.frames(pace, all_images=all_images)), video.note


def test_frames_come_in_order_with_their_times_in_rgb(tmp_path: Path) -> None:
    frames, note = read(write(tmp_path / "a.mp4", 20, fps=10))
    assert [frame.index for frame in frames] == list(range(20))
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(20) / 10, atol=1e-6)
    for i, frame in enumerate(frames):
        assert frame.image is not None
        assert frame.image.shape == (96, 128, 3)
        assert frame.image[80, 100].mean() == pytest.approx(40 + 4 * i, abs=4)
        red, green, blue = frame.image[20, 20].tolist()
        assert red > 200
        assert green < 60
        assert blue < 60
    assert note is None


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_times_are_those_of_the_frames_where_the_rate_varies(tmp_path: Path, suffix: str) -> None:
    times = [0, 40, 80, 200, 240, 700, 740, 1500]
    frames, note = read(write_at(tmp_path / f"varying{suffix}", times), Pace(fps=5))
    np.testing.assert_allclose([frame.time_s for frame in frames], np.array(times) / 1000, atol=1e-3)
    assert [frame.index for frame in frames if frame.look] == [0, 3, 5, 7]  # the first of each 0.2 s
    assert note is None


def test_every_nth_frame_is_looked_at_and_others_cost_no_image(tmp_path: Path) -> None:
    clip = write(tmp_path / "a.mp4", 10)
    frames, _ = read(clip, Pace(every=3))
    assert [frame.index for frame in frames if frame.look] == [0, 3, 6, 9]
    assert all((frame.image is not None) == frame.look for frame in frames)
    frames, _ = read(clip, Pace(every=3), all_images=True)
    assert [frame.look for frame in frames] == [True, False, False] * 3 + [True]
    assert all(frame.image is not None for frame in frames)


@pytest.mark.parametrize(("fps", "looks"), [(5, 5), (12.5, 13), (25, 25), (100, 25), (0.1, 1)])
def test_so_many_looks_a_second(tmp_path: Path, fps: float, looks: int) -> None:
    frames, _ = read(write(tmp_path / "a.mp4", 25), Pace(fps=fps))
    assert sum(frame.look for frame in frames) == looks


def test_impossible_paces_are_refused() -> None:
    for bad in ({"every": 0}, {"fps": 0.0}, {"fps": float("nan")}, {"every": 2, "fps": 5.0}):
        with pytest.raises(InputError, match=r"expected|one of them"):
            Pace(**bad)  # type: ignore[arg-type]


def test_a_turned_video_stands_upright(tmp_path: Path) -> None:
    clip = write(tmp_path / "a.mp4", 3)
    content = clip.read_bytes()
    upright = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    turned = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 96 << 16, 0, 1 << 30)  # a quarter to the right
    track = content.index(b"tkhd")
    at = content.index(upright, track)
    clip.write_bytes(content[:at] + turned + content[at + 36 :])
    frame = read(clip)[0][0]
    assert frame.image is not None
    assert frame.image.shape == (128, 96, 3)
    red = frame.image[..., 0].astype(int) - frame.image[..., 2]
    assert red[20, 80] > 150  # what was on the upper left is on the upper right
    assert red[20, 10] < 50


def test_a_video_that_is_cut_off_gives_what_it_has_and_a_note(tmp_path: Path) -> None:
    whole = write_at(tmp_path / "whole.mp4", range(0, 4000, 40))
    assert read(whole)[1] is None
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    frames, note = read(cut, all_images=True)
    assert 20 < len(frames) < 90
    assert note is not None
    assert str(cut) in note
    assert "of 100 frames could be read" in note


def test_what_is_no_video_says_so(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video " * 500)
    (tmp_path / "empty.mp4").touch()
    tail = write(tmp_path / "tail.mp4", 5)
    tail.write_bytes(tail.read_bytes()[:-300])  # its index is at the end
    for name, why in {
        "none.mp4": "no such file",
        "empty.mp4": "the file is empty",
        "text.mp4": "not a video that can be read",
        "tail.mp4": "not a video that can be read, or damaged",
        "": "is a folder",
    }.items():
        with pytest.raises(InputError, match=why):
            Video(tmp_path / name)


def test_a_video_without_frames_says_so(tmp_path: Path) -> None:
    clip = write_at(tmp_path / "a.mp4", range(0, 400, 40))
    start = clip.read_bytes().index(b"mdat") + 4
    clip.write_bytes(clip.read_bytes()[:start])
    with pytest.raises(InputError, match=r"a\.mp4: (has no frame|not a video)"):
        read(clip)


def test_a_name_that_looks_like_a_pattern_is_a_file(tmp_path: Path) -> None:
    assert len(read(write(tmp_path / "clip_%02d.mp4", 3))[0]) == 3


def test_reading_stops_where_it_is_left(tmp_path: Path) -> None:
    before = set(threading.enumerate())  # a server that another test started may still be ending
    with Video(write(tmp_path / "a.mp4", 50)) as video:
        for frame in video.frames():
            if frame.index == 3:
                break
    assert not [one for one in set(threading.enumerate()) - before if one.name.startswith("mien")]


def test_cameras_are_named() -> None:
    assert [camera_device(name) for name in ("camera", "camera:2", "camera:/dev/video3")] == [0, 2, "/dev/video3"]
    assert [camera_device(name) for name in ("camera.mp4", "cameras", "camera:")] == [None] * 3


def test_a_missing_camera_says_what_to_try() -> None:
    with pytest.raises(InputError, match=r"camera:77: cannot be opened.*missing, busy.*another\s+number"):
        Video("camera:77")


def test_a_file_can_stand_for_a_camera(tmp_path: Path) -> None:
    with Video(f"camera:{write(tmp_path / 'a.mp4', 5)}") as video:
        assert video.is_camera
        assert len(list(video.frames())) == 5


def test_bad_times_are_mended() -> None:
    clock = Clock(0.04)
    told = [0.0, 0.1, 0.2, 0.0, 0.0, 0.3, 9e9, float("nan"), 0.1]
    times = [clock.time_s(at) for at in told]
    assert times[:3] == [0.0, 0.1, 0.2]
    assert all(0.02 < b - a < 0.3 for a, b in pairwise(times))
    none_at_all = Clock(0.04)
    assert [none_at_all.time_s(0.0) for _ in range(4)] == pytest.approx([0.0, 0.04, 0.08, 0.12])
    late = Clock(0.04)  # a stream that starts at 1.4 s
    assert [late.time_s(at) for at in (1.4, 1.5, 1.7)] == pytest.approx([0.0, 0.1, 0.3])


def test_lookahead_keeps_the_order_and_stays_so_far_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for i in range(50):
            taken.append(i)
            yield i

    coming = ahead(items(), 3)
    assert next(coming) == 0
    time.sleep(0.2)
    assert len(taken) <= 6
    assert list(coming) == list(range(1, 50))


def test_lookahead_raises_what_its_iterator_raises() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise InputError("broken")

    for coming in (ahead(items(), 2), newest(items(), max)):
        with pytest.raises(InputError, match="broken"):
            list(coming)


def test_newest_skips_what_came_meanwhile_and_merges_it() -> None:
    def items() -> Iterator[tuple[int, bool]]:
        for i in count():
            yield i, i % 2 == 0
            time.sleep(0.01)

    coming = newest(items(), lambda old, new: (new[0], old[1] or new[1]))
    first = next(coming)[0]
    time.sleep(0.3)
    second, merged = next(coming)
    coming.close()  # type: ignore[attr-defined]
    assert second > first + 5
    assert merged
