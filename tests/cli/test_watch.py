"""Videos and camera on the command line: what is told, what is written, and how it ends."""

from __future__ import annotations

import csv
import json
import shutil
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from PIL import Image

import mien
from mien import InputError, Recognizer
from mien.cli import live
from mien.cli.films import recognize_videos
from mien.cli.watch import WatchOptions, recognize_camera
from mien.errors import InterruptedRunError
from mien.images import read
from mien.recognize.faces import Face
from mien.recognize.rows import Row
from mien.recognize.vendored import vendored_folder
from mien.recognize.video import Frame, Pace, Video
from mien.recognize.watch import Seen, watch
from mien.report import style

PORTRAIT = Path(mien.__file__).parent / "recognize" / "pictures" / "astronaut.jpg"
FRAMES, HIDDEN = 40, range(16, 24)  # at 20 a second


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(detector="fast", threads=1)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A portrait that moves to the right by two pixels a frame, and is away for 0.4 s."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    portrait = cv2.resize(read(PORTRAIT), (200, 200), interpolation=cv2.INTER_AREA)[..., ::-1]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 20, (320, 240))
    for i in range(FRAMES):
        image = np.full((240, 320, 3), 90, np.uint8)
        if i not in HIDDEN:
            image[20:220, 2 * i : 2 * i + 200] = portrait
        writer.write(image)
    writer.release()
    return path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_table_summary_film_and_timeline(
    clip: Path, recognizer: Recognizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, picture = tmp_path / "t.csv", tmp_path / "t.png"
    options = WatchOptions(every=2, out=out, annotate=tmp_path / "films", timeline=picture)
    recognize_videos([clip], recognizer, options)
    every = rows(out)
    assert [int(row["frame"]) for row in every] == list(range(0, FRAMES, 2))
    assert {int(row["frame"]) for row in every if row["status"] == "no_face"} == set(range(0, FRAMES, 2)) & set(HIDDEN)
    table = [row for row in every if row["status"] == "face"]
    looked = [i for i in range(0, FRAMES, 2) if i not in HIDDEN]
    assert [int(row["frame"]) for row in table] == looked
    assert [float(row["time_s"]) for row in table] == pytest.approx([i / 20 for i in looked])
    assert {row["face_id"] for row in table} == {"1"}  # the same one after it was away
    assert {row["emotion"] for row in table} == {"happy"}
    assert int(table[-1]["x"]) - int(table[0]["x"]) == pytest.approx(2 * looked[-1], abs=6)
    told = capsys.readouterr()
    assert "happy 100 %" in told.out
    assert "0:00–0:02" in told.out
    assert "1.6 s" in told.out
    assert f"table: {out} (20 rows)" in told.err
    assert Image.open(picture).width > 5 * style.DPI
    with Video(tmp_path / "films" / "clip.mp4") as film:
        frames = list(film.frames())
    assert len(frames) == FRAMES  # also those that were not looked at
    assert frames[-1].time_s == pytest.approx((FRAMES - 1) / 20, abs=1e-3)


def test_boxes_move_evenly_between_looks(clip: Path, recognizer: Recognizer) -> None:
    with Video(clip) as video:
        seen = list(watch(video, recognizer, pace=Pace(every=4), all_images=True))
    assert [one.frame.index for one in seen] == list(range(FRAMES))
    boxes = {one.frame.index: one.rows[0].face.box[0] for one in seen if one.rows}
    for look in (0, 4, 8, 24, 28):
        for i in (1, 2, 3):
            even = boxes[look] + (boxes[look + 4] - boxes[look]) * i / 4
            assert boxes[look + i] == pytest.approx(even, abs=0.51)
    assert [row.frame for one in seen for row in one.rows] == [one.frame.index for one in seen for _ in one.rows]
    assert all(not one.rows for one in seen if 16 <= one.frame.index < 24)


def test_a_line_of_json_for_each_look_says_what_the_table_says(
    clip: Path, recognizer: Recognizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = WatchOptions(fps=5, as_json=True, out=tmp_path / "t.jsonl")
    recognize_videos([clip], recognizer, options)
    looks = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    rows = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text("utf-8").splitlines()]
    assert [look["frame"] for look in looks] == [0, 4, 8, 12, 16, 20, 24, 28, 32, 36]
    assert [look["frame"] for look in looks if not look["faces"]] == [16, 20]
    told = [(look, face) for look in looks for face in look["faces"]]
    assert len(told) == 8
    assert [row["frame"] for row in rows] == [look["frame"] for look in looks]
    assert [row["frame"] for row in rows if row["status"] == "no_face"] == [16, 20]
    for (look, face), row in zip(told, [row for row in rows if row["status"] == "face"], strict=True):
        assert (look["source"], look["time_s"], face["face_id"]) == (str(clip), row["time_s"], row["face_id"])
        assert face["box"] == [row[key] for key in ("x", "y", "width", "height")]
        assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert face["probabilities"]["happy"] == pytest.approx(row["p_happy"], abs=1e-6)


def test_several_videos_share_a_table_and_one_that_fails_stops_none(
    clip: Path, recognizer: Recognizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    out = tmp_path / "t.csv"
    with pytest.raises(typer.Exit) as stop:
        recognize_videos([bad, clip], recognizer, WatchOptions(every=20, out=out, timeline=tmp_path / "p.png"))
    assert stop.value.exit_code == 1
    assert rows(out)[0]["source"] == str(bad)
    assert rows(out)[0]["error"].startswith(f"{bad}: not a video")
    assert [(row["source"], row["status"]) for row in rows(out)[1:]] == [(str(clip), "face"), (str(clip), "no_face")]
    assert "bad.mp4: not a video" in capsys.readouterr().err
    assert (tmp_path / "p-2-clip.png").is_file()


def test_mistakes_are_told_before_anything_is_written(clip: Path, recognizer: Recognizer, tmp_path: Path) -> None:
    there = tmp_path / "there.csv"
    there.write_text("mine")
    for options, why in (
        (WatchOptions(out=there), "was not written by mien"),
        (WatchOptions(out=tmp_path / "t.xlsx"), "cannot tell the format"),
        (WatchOptions(every=0), "every 0"),
        (WatchOptions(every=2, fps=3), "give one of them"),
        (WatchOptions(smooth_s=-1), "smooth -1"),
        (WatchOptions(annotate=clip), "is read by this command"),
        (WatchOptions(annotate=clip.parent), "name another folder"),
        (WatchOptions(annotate=there / "x.mp4"), "cannot be written"),
        (WatchOptions(timeline=there / "x.png", every=40), "cannot be written"),
    ):
        with pytest.raises(InputError, match=why):
            recognize_videos([clip], recognizer, options)
    with pytest.raises(InputError, match="one film for 2 videos"):
        recognize_videos([clip, clip], recognizer, WatchOptions(annotate=tmp_path / "x.mp4"))
    assert [path.name for path in tmp_path.iterdir()] == ["there.csv"]
    assert there.read_text() == "mine"


def interrupt_at(monkeypatch: pytest.MonkeyPatch, frame: int) -> None:
    """Ctrl-C when a frame is counted."""
    from mien.recognize import summary

    add = summary.Summary.add

    def added(self: summary.Summary, rows: list[Row], time_s: float) -> None:
        add(self, rows, time_s)
        if self.looks == frame:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(summary.Summary, "add", added)


def test_ctrl_c_keeps_what_was_read(
    clip: Path, recognizer: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(monkeypatch, 6)
    options = WatchOptions(out=tmp_path / "t.csv", annotate=tmp_path / "f.mp4")
    with pytest.raises(InterruptedRunError, match="is kept"):
        recognize_videos([clip], recognizer, options)
    assert len(rows(tmp_path / "t.csv")) == 5
    with Video(tmp_path / "f.mp4") as film:
        assert len(list(film.frames())) == 5


def test_ctrl_c_is_the_normal_end_of_a_camera(
    clip: Path,
    recognizer: Recognizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    interrupt_at(monkeypatch, 8)
    recognize_camera(f"camera:{clip}", recognizer, WatchOptions(out=tmp_path / "t.csv"))
    assert len(rows(tmp_path / "t.csv")) == 7
    told = capsys.readouterr()
    assert told.out.startswith("0:00  face 1: happy 9")
    assert "happy 100 %" in told.out
    assert "Ctrl-C ends" in told.err


def test_a_camera_without_a_terminal_tells_every_change(
    clip: Path, recognizer: Recognizer, capsys: pytest.CaptureFixture[str]
) -> None:
    recognize_camera(f"camera:{clip}", recognizer, WatchOptions(every=4))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[1][:7] for line in lines[:3]] == ["happy 9", "out of ", "happy 9"]


def test_a_camera_with_json_prints_json_alone(
    clip: Path, recognizer: Recognizer, capsys: pytest.CaptureFixture[str]
) -> None:
    recognize_camera(f"camera:{clip}", recognizer, WatchOptions(every=10, as_json=True))
    values = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [value["frame"] for value in values] == [0, 10, 20, 30]
    assert [len(value["faces"]) for value in values] == [1, 1, 0, 1]
    assert values[0]["source"] == f"camera:{clip}"


def test_a_missing_camera_is_a_mistake(recognizer: Recognizer) -> None:
    with pytest.raises(InputError, match="camera:77: cannot be opened"):
        recognize_camera("camera:77", recognizer, WatchOptions())


def test_a_window_where_there_is_one_and_q_ends_it(
    clip: Path, recognizer: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[np.ndarray] = []
    monkeypatch.setattr(live, "has_window", lambda: True)
    monkeypatch.setattr(cv2, "imshow", lambda _, image: shown.append(image))
    monkeypatch.setattr(cv2, "waitKey", lambda _: ord("q") if len(shown) == 5 else -1)
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: shown.append(np.zeros(0)))
    recognize_camera(f"camera:{clip}", recognizer, WatchOptions(out=tmp_path / "t.csv"))
    assert len(rows(tmp_path / "t.csv")) == 5
    assert len(shown) == 6
    with Video(clip) as video:
        frame = next(iter(video.frames()))
    assert frame.image is not None
    assert (shown[0] != frame.image[..., ::-1]).any()  # marked
    assert shown[0].shape == frame.image.shape


def test_the_live_table_tells_each_face(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    face = Face("c", "sad", {"happy": 0.25, "sad": 0.75}, (0, 0, 9, 9), 0.9, unsure=False)
    seen = Seen(Frame(0, 65.0, None, look=True), (Row(face, 3, 0, 65.0),))
    console = Console(width=90, color_system=None)
    with console.capture() as told:
        console.print(live._table(seen))
    assert "1:05  1 face" in told.get()
    assert "3 │ sad 75 %" in told.get()
    bar = live._bar(face.probabilities)
    assert [(span.end - span.start) for span in bar.spans] == [10, 30]


def test_no_face_is_said(recognizer: Recognizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "empty.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 20, (320, 240))
    for _ in range(20):
        writer.write(np.full((240, 320, 3), 90, np.uint8))
    writer.release()
    recognize_videos([path], recognizer, WatchOptions(every=5, timeline=tmp_path / "p.png"))
    assert capsys.readouterr().out == f"{path}: no face found in 1.0 s\n"
    assert (tmp_path / "p.png").is_file()


def test_a_table_outlives_a_timeline_that_cannot_be_written(
    clip: Path, recognizer: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mien.report.style.save", full)
    options = WatchOptions(every=10, out=tmp_path / "t.csv", timeline=tmp_path / "t.png")
    with pytest.raises(InputError, match=r"t\.png: cannot be written \(No space left on device\)"):
        recognize_videos([clip], recognizer, options)
    assert len((tmp_path / "t.csv").read_text().splitlines()) > 2


def test_a_film_never_takes_the_place_of_a_video(clip: Path, recognizer: Recognizer, tmp_path: Path) -> None:
    for day in ("one", "two"):
        (tmp_path / day).mkdir()
        shutil.copyfile(clip, tmp_path / day / "clip.mp4")
    paths = [tmp_path / "one" / "clip.mp4", tmp_path / "two" / "clip.mp4"]
    with pytest.raises(InputError, match="name another folder"):
        recognize_videos(paths, recognizer, WatchOptions(annotate=tmp_path / "two"))
    with pytest.raises(InputError, match=r"let the name end in \.png"):
        recognize_videos(paths, recognizer, WatchOptions(timeline=tmp_path / "t.pdf"))


def test_an_animated_picture_is_its_first_frame_or_a_video(mien, tmp_path: Path) -> None:
    portrait = Image.open(vendored_folder("pictures") / "astronaut.jpg").convert("RGB").resize((256, 256))
    empty = Image.new("RGB", (256, 256), "gray")
    file = tmp_path / "a.gif"
    portrait.save(file, save_all=True, append_images=[empty, portrait], duration=200)
    ours = ["recognize", file, "--model", "mien-tiny", "--detector", "fast", "--json"]
    (first,) = map(json.loads, mien(*ours).out.splitlines())
    assert [face["emotion"] for face in first["faces"]] == ["happy"]
    looks = [json.loads(line) for line in mien(*ours, "--as-video").out.splitlines()]
    assert [(look["time_s"], len(look["faces"])) for look in looks] == [(0.0, 1), (0.2, 0), (0.4, 1)]


def test_every_name_of_a_camera_reaches_it(mien, clip: Path) -> None:
    ours = ["--model", "mien-tiny", "--detector", "fast", "--every", "10", "--json"]
    assert len(mien("recognize", f"camera:{clip}", *ours).out.splitlines()) == 4
    missing = mien("recognize", "camera:/dev/video77", *ours)
    assert missing.code == 2
    assert "camera:/dev/video77: cannot be opened; the camera is missing" in missing.err
