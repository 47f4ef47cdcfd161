"""Film: an MP4 that plays as fast as its frames came, written whole or not at all."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mien import InputError
from mien.recognize.film import Film, has_h264
from mien.recognize.video import Video

WRITERS = ("h264", "mpeg4")


@pytest.fixture(params=WRITERS)
def writer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "h264":
        pytest.importorskip("av")
    else:
        monkeypatch.setitem(sys.modules, "av", None)  # as if it were not installed
    return str(request.param)


def shade(value: int, size: tuple[int, int] = (96, 128)) -> np.ndarray:
    image = np.full((*size, 3), value, np.uint8)
    image[: size[0] // 2, : size[1] // 2] = (255, 0, 0)
    return image


def brightness(path: Path) -> list[tuple[float, float]]:
    """Time and brightness of every frame."""
    with Video(path) as video:
        return [(f.time_s, float(f.image[80, 100].mean())) for f in video.frames() if f.image is not None]


def codec(path: Path) -> str:
    capture = cv2.VideoCapture(str(path))
    return int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode()


def test_frames_colors_and_times_come_back(tmp_path: Path, writer: str) -> None:
    path = tmp_path / "new" / "film.mp4"
    with Film(path, fps=25) as film:
        for i in range(20):
            film.write(shade(40 + 8 * i), i / 25)
    assert codec(path) == {"h264": "h264", "mpeg4": "FMP4"}[writer]
    got = brightness(path)
    np.testing.assert_allclose([time_s for time_s, _ in got], np.arange(20) / 25, atol=1e-3)
    np.testing.assert_allclose([value for _, value in got], 40 + 8 * np.arange(20), atol=6)
    with Video(path) as video:
        first = next(iter(video.frames())).image
    assert first is not None
    assert first[20, 20, 0] > 200  # red
    assert first[20, 20, 2] < 60
    assert [file.name for file in path.parent.iterdir()] == ["film.mp4"]


def test_it_plays_at_the_speed_of_frames_that_come_unevenly(tmp_path: Path, writer: str) -> None:
    times = [0.0, 0.04, 0.08, 0.4, 0.44, 1.2]
    with Film(tmp_path / "film.mp4", fps=25) as film:
        for i, time_s in enumerate(times):
            film.write(shade(40 + 30 * i), time_s)
    got = brightness(tmp_path / "film.mp4")
    assert len(got) == (len(times) if writer == "h264" else 31)  # else what stands still is repeated
    for i, time_s in enumerate(times):
        first = min(at for at, value in got if abs(value - (40 + 30 * i)) < 12)
        assert first == pytest.approx(time_s, abs=2e-3)


def test_odd_sizes_and_frames_of_another_size_are_fitted(tmp_path: Path, writer: str) -> None:
    with Film(tmp_path / "film.mp4", fps=25) as film:
        film.write(shade(90, (97, 129)), 0.0)
        film.write(shade(90, (50, 60)), 0.04)
    with Video(tmp_path / "film.mp4") as video:
        shapes = [frame.image.shape for frame in video.frames() if frame.image is not None]
    assert shapes == [(98, 130, 3)] * 2


def test_without_pyav_the_log_says_how_to_get_h264(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    assert not has_h264()
    with caplog.at_level(logging.INFO, logger="mien"), Film(tmp_path / "film.mp4", fps=25) as film:
        film.write(shade(90), 0.0)
    assert '.[video]"' in caplog.text


def test_an_error_leaves_what_was_there(tmp_path: Path, writer: str) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"older film")

    def fails() -> None:
        with Film(path, fps=25) as film:
            film.write(shade(90), 0.0)
            raise RuntimeError("elsewhere")

    with pytest.raises(RuntimeError, match="elsewhere"):
        fails()
    assert path.read_bytes() == b"older film"
    assert list(tmp_path.iterdir()) == [path]


def test_a_film_without_a_frame_is_not_written(tmp_path: Path) -> None:
    with Film(tmp_path / "film.mp4", fps=25):
        pass
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.mp4").mkdir()
    for name, why in {"file/film.mp4": "cannot be written", "folder.mp4": "is a folder", "film.avi": "as MP4"}.items():
        with pytest.raises(InputError, match=why):
            Film(tmp_path / name, fps=25)


def test_a_disk_that_is_full_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with Film(tmp_path / "other.mp4", fps=25) as film:
        film.write(shade(90), 0.0)
        monkeypatch.setattr(type(film._writer), "write", full)

    def fails() -> None:
        with Film(tmp_path / "film.mp4", fps=25) as film:
            film.write(shade(90), 0.0)

    with pytest.raises(InputError, match=r"film\.mp4: cannot be written \(No space left"):
        fails()
    assert [file.name for file in tmp_path.iterdir()] == ["other.mp4"]
