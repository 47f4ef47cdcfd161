"""Films that OpenCV says it converted and did not: right with PyAV, refused without it, never another film's pixels."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mien import InputError
from mien.recognize import captures
from mien.recognize.captures import is_video_content
from mien.recognize.inputs import is_video, pictures
from mien.recognize.video import Video

av = pytest.importorskip("av")
SIDE = 64


def film(
    path: Path, codec: str, pixels: str, change: Callable[[object], None] = lambda _: None, frames: int = 6
) -> Path:
    """Frames of one brightness each, which grows, on a blue ground; `change` sets options of the encoder."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width = stream.height = SIDE
        stream.pix_fmt = pixels
        change(stream.codec_context)
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24").reformat(format=pixels)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def picture(index: int) -> np.ndarray:
    image = np.full((SIDE, SIDE, 3), (20, 40, 200), dtype=np.uint8)
    image[16:48, 16:48] = 40 + 30 * index
    return image


def interlaced(context: object) -> None:
    context.options = {"flags": "+ildct+ilme", "top": "1"}  # type: ignore[attr-defined]


def ycgco(context: object) -> None:
    context.colorspace = 8  # type: ignore[attr-defined]


def seen(path: Path) -> list[np.ndarray]:
    with Video(path) as video:
        return [frame.image.copy() for frame in video.frames() if frame.image is not None]


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without PyAV."""
    monkeypatch.setattr(captures, "find_spec", lambda _: None)


def strange_films(folder: Path) -> list[Path]:
    return [
        film(folder / "mpeg2.mpg", "mpeg2video", "yuv420p", interlaced),
        film(folder / "mpeg4.avi", "mpeg4", "yuv420p", interlaced),
    ]


def test_interlaced_films_give_their_own_pixels(tmp_path: Path) -> None:
    for path in strange_films(tmp_path):
        for index, image in enumerate(seen(path)):
            assert np.abs(image.astype(int) - picture(index))[20:44, 20:44].mean() < 8, path
            assert np.abs(image.astype(int) - picture(index))[:8].mean() < 12, path


@pytest.mark.usefixtures("light")
def test_without_pyav_a_film_is_right_or_refused(tmp_path: Path) -> None:
    plain = film(tmp_path / "plain.mp4", "mpeg4", "yuv420p")
    for index, image in enumerate(seen(plain)):
        assert np.abs(image.astype(int) - picture(index))[20:44, 20:44].mean() < 8
    refused = 0
    for path in strange_films(tmp_path):
        seen(plain)  # leaves its pixels in memory that is given back
        try:
            for index, image in enumerate(seen(path)):
                assert np.abs(image.astype(int) - picture(index))[20:44, 20:44].mean() < 8, path
        except InputError as error:
            refused += "OpenCV cannot convert its frames" in str(error)
    assert refused in range(3)  # which films OpenCV converts differs between its versions


@pytest.mark.usefixtures("light")
def test_a_frame_that_was_not_written_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A still film is asked again now and then; one whose frames are poison from the third on is refused there."""
    path = film(tmp_path / "plain.mp4", "mpeg4", "yuv420p", frames=1)
    assert not captures._is_unwritten(path, 0)
    asked: list[int] = []
    monkeypatch.setattr(captures, "_is_unwritten", lambda _, index: bool(asked.append(index)) or index > 2)
    capture = captures.CvCapture(None, path)
    for index in range(2):
        capture._index = index
        capture._doubt(picture(0))
    assert asked == [1]
    capture._index = 5
    for _ in range(2):
        capture._doubt(picture(0))
    with pytest.raises(InputError, match="OpenCV cannot convert its frames"):
        capture._doubt(picture(0))


@pytest.mark.usefixtures("light")
def test_without_pyav_a_name_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = film(tmp_path / "v.mp4", "mpeg4", "yuv420p").rename(tmp_path / os.fsdecode(b"v\xe9.mp4"))
    with pytest.raises(InputError, match=r"v\\xe9\.mp4: its name is not UTF-8; rename it"):
        Video(path)


def test_with_pyav_it_is_read(tmp_path: Path) -> None:
    path = film(tmp_path / "v.mp4", "mpeg4", "yuv420p").rename(tmp_path / os.fsdecode(b"v\xe9.mp4"))
    assert len(seen(path)) == 6


@pytest.mark.parametrize("name", ["a.ts", "a.mts", "a.3gp", "a.flv", "a.ogv", "a.vob", "a.mjpeg", "a", "a.dat"])
def test_videos_are_known_by_suffix_or_content(name: str, tmp_path: Path) -> None:
    path = film(tmp_path / "v.mp4", "mpeg4", "yuv420p").rename(tmp_path / name)
    assert is_video(path)
    assert len(seen(path)) == 6


def test_pictures_and_words_are_no_videos(tmp_path: Path, portrait_file: Path) -> None:
    for name, content in (("p", portrait_file.read_bytes()), ("w", b"words " * 100), ("e", b"")):
        (tmp_path / name).write_bytes(content)
        assert not is_video(tmp_path / name)
    assert not is_video_content(tmp_path / "w")
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(InputError, match="pipe, socket or device"):
        Video(tmp_path / "pipe.mp4")


def test_a_film_of_a_kind_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    """Its stream has no decoder, and so no size."""
    content = film(tmp_path / "whole.mkv", "mpeg4", "yuv420p").read_bytes()
    assert content.count(b"V_MPEG4/ISO/ASP") == 1
    strange = tmp_path / "strange.mkv"
    strange.write_bytes(content.replace(b"V_MPEG4/ISO/ASP", b"V_MPEG9/ISO/ASP"))
    with pytest.raises(InputError, match=r"strange\.mkv: not a video that can be read"):
        Video(strange)
    assert not is_video_content(strange)


def test_a_playlist_opens_nothing(tmp_path: Path) -> None:
    film(tmp_path / "secret.ts", "mpeg2video", "yuv420p")
    for name, text in (
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.ts\n#EXT-X-ENDLIST\n"),
        ("list.mp4", f"ffconcat version 1.0\nfile {tmp_path}/secret.ts\n"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError):
            seen(tmp_path / name)


def test_in_a_folder_of_photos_links_are_followed_and_others_counted(
    tmp_path: Path, portrait_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a").write_bytes(portrait_file.read_bytes())
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "link").symlink_to(tmp_path / "there")
    (tmp_path / "p" / "notes.txt").write_text("words")
    os.mkfifo(tmp_path / "p" / "pipe.jpg")
    assert [str(one.under) for one in pictures([tmp_path / "p"])] == ["link/a"]
    assert "left out, as no pictures: " in caplog.text
    assert ".txt 1" in caplog.text
    assert "pipes, sockets and devices 1" in caplog.text
