"""What the page does with what a browser posts, called without Gradio, and its videos within the limits."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mien.errors import InputError
from mien.recognize.annotate import UNSURE
from mien.recognize.recognizer import Recognizer
from mien.recognize.track import Tracker
from mien.serve import clip
from mien.serve.bars import faces_html
from mien.serve.browser import _Page
from mien.serve.clip import watch_clip
from mien.serve.limits import Limits
from mien.serve.upload_cache import UploadCache
from mien.serve.workers import Workers


@pytest.fixture
def cache() -> Iterator[UploadCache]:
    made = UploadCache()
    yield made
    made.remove()


@pytest.fixture
def film(cache: UploadCache) -> Path:
    """Six frames of 64 x 48, half a second."""
    path = cache.path / "film.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 12, (64, 48))
    for _ in range(6):
        writer.write(np.full((48, 64, 3), 90, np.uint8))
    writer.release()
    return path


def page_of(recognizer: Recognizer, cache: UploadCache, limits: Limits | None = None) -> _Page:
    limits = limits or Limits()
    return _Page({"mien-small": recognizer}, limits, Workers(1, limits.waiting), cache)


def inline(portrait: bytes) -> dict[str, str]:
    return {"url": "data:image/jpeg;base64," + base64.b64encode(portrait).decode()}


@pytest.mark.parametrize("given", [{"path": 5}, {"url": 5}, {"path": ["a"]}, [], ["a"], "a", 5, {}])
def test_an_upload_of_another_type_is_told_in_words(recognizer: Recognizer, cache: UploadCache, given: Any) -> None:
    page = page_of(recognizer, cache)
    assert "the upload is no longer here" in page.photo(given, "mien-small")[0]
    assert page.line_up(given) == ""
    (told,) = page.video(given, None)
    assert "the upload is no longer here" in told
    page.frame(given, None, None)  # left out: the camera's next picture comes soon


@pytest.mark.parametrize("model", [["mien-small"], 5, {}, "other"])
def test_a_model_of_another_type_is_the_first(
    recognizer: Recognizer, cache: UploadCache, portrait: bytes, model: Any
) -> None:
    assert "happy" in page_of(recognizer, cache).photo(inline(portrait), model)[0]


def test_names_of_another_type_are_left_out(recognizer: Recognizer, cache: UploadCache, portrait: bytes) -> None:
    file = cache.path / "a.jpg"
    file.write_bytes(portrait)
    assert "happy" in page_of(recognizer, cache).photo({"path": str(file), "orig_name": 5}, None)[0]


def test_a_picture_of_the_camera_that_came_too_late_never_meets_the_tracker(
    recognizer: Recognizer, cache: UploadCache, portrait: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    called_in = []

    class Watched(Tracker):
        def __call__(self, *given: Any) -> Any:
            called_in.append(threading.current_thread())
            return super().__call__(*given)

    page, tracker = page_of(recognizer, cache, Limits(seconds=1)), Watched()
    html, same = page.frame(inline(portrait), tracker, None)
    assert "happy" in html
    assert same is tracker
    assert called_in == [threading.current_thread()]  # not a worker, which may go on for long

    found, go, done = recognizer.recognize, threading.Event(), threading.Event()

    def late(images: Any, names: Any) -> Any:
        assert go.wait(20)
        faces = found(images, names)
        done.set()
        return faces

    monkeypatch.setattr(recognizer, "recognize", late)
    page.frame(inline(portrait), tracker, None)
    go.set()
    assert done.wait(20)
    page._workers._pool.shutdown(wait=True)
    assert len(called_in) == 1


def test_a_video_has_the_limit_of_pixels(fast: Recognizer, film: Path) -> None:
    with pytest.raises(InputError, match=r"a\.mp4: frames of more than 3,071 pixels; reduce it first"):
        list(watch_clip(film, "a.mp4", fast, Limits(pixels=64 * 48 - 1)))
    assert "No face found." in list(watch_clip(film, "a.mp4", fast, Limits(pixels=64 * 48)))[-1]


def test_a_video_has_the_limit_of_faces(
    recognizer: Recognizer, film: Path, portrait: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (face,) = recognizer(portrait)
    crowd = [replace(face, box=(20 * i, 0, side, side)) for i, side in enumerate((5, 9, 3, 7))]
    monkeypatch.setattr(recognizer, "recognize", lambda images, names: [crowd] * len(images))
    shown = []
    monkeypatch.setattr(clip, "shares_html", lambda title, shares: shown.append(title) or "")
    list(watch_clip(film, "a.mp4", recognizer, Limits(faces=2)))
    assert [title.partition(",")[0] for title in shown] == ["Face 2", "Face 4"]


def test_a_video_in_line_is_not_swept_before_its_turn(fast: Recognizer, cache: UploadCache, film: Path) -> None:
    page = page_of(fast, cache, Limits(video_seconds=300, waiting=3))
    waits = [film, cache.path / "b.mp4", cache.path / "c.mp4"]
    for path in waits[1:]:
        path.write_bytes(film.read_bytes())
    for path in waits:
        assert "Waiting for its turn" in page.line_up({"path": str(path)})
    assert [round(path.stat().st_mtime - time.time(), -1) for path in waits] == [300, 600, 900]
    assert cache.sweep() == 0
    for _ in range(9):
        page.line_up({"path": str(film)})
    assert film.stat().st_mtime - time.time() < 1000  # a place in line is no way to stay for ever
    assert "No face found." in list(page.video({"path": str(film)}, None))[-1]
    assert film.stat().st_mtime <= time.time()  # from here on it is an upload like any other
    assert page.line_up(None) == ""


def test_unsure_has_the_color_of_no_label(recognizer: Recognizer, portrait: bytes) -> None:
    (face,) = recognizer(portrait)
    assert f'<h3 style="--color:{UNSURE}">unsure' in faces_html([replace(face, unsure=True)])
