"""Faces as Python gives them: a list that can be tabled, drawn, saved and shown, of files, folders and videos."""

from __future__ import annotations

import base64
import csv
import io
import json
import pickle
import re
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from mien import Batch, Face, Faces, InputError, MienError, Recognizer
from mien.cli.main import app
from mien.images import Pixels, read
from mien.recognize.annotate import annotate
from mien.recognize.faces import Place
from mien.recognize.rows import columns


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer("mien-tiny", detector="fast", threads=1)


@pytest.fixture(scope="module")
def faces(recognizer: Recognizer, portrait_file: Path) -> Faces:
    return recognizer(portrait_file)


def terminal(what: object) -> str:
    console = Console(file=io.StringIO(), width=140, force_terminal=False)
    console.print(what)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_they_are_a_list_and_outlive_a_process(faces: Faces) -> None:
    assert isinstance(faces, list)
    (face,) = faces
    assert faces == [face]
    again = pickle.loads(pickle.dumps(faces))  # noqa: S301  our own
    assert (again, again.source, again.picture) == (faces, faces.source, faces.picture)
    assert str(faces) == str(face)


def test_rows_are_those_of_the_command_line(faces: Faces, portrait_file: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.csv"
    options = ["--model", "mien-tiny", "--detector", "fast", "--threads", "1", "--out", str(theirs)]
    assert CliRunner().invoke(app, ["recognize", str(portrait_file), *options]).exit_code == 0
    assert faces.save(tmp_path / "ours.csv").read_text() == theirs.read_text()
    (row,) = faces.to_dicts()
    assert (row["source"], row["status"], row["emotion"]) == (str(portrait_file), "face", "happy")
    pd.testing.assert_frame_equal(
        faces.to_pandas(), pd.read_csv(theirs), check_dtype=False, check_exact=False, check_column_type=False
    )


def test_a_bad_picture_of_a_list_is_told_or_kept(recognizer: Recognizer, portrait_file: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    given = [portrait_file, tmp_path / "bad.jpg", np.zeros((64, 64), np.uint8)]
    with pytest.raises(InputError, match=r"bad\.jpg: not a picture"):
        recognizer(given)
    found = recognizer(given, on_error="keep")
    assert isinstance(found, Batch)
    assert [len(one) for one in found] == [1, 0, 0]
    assert [one.error is not None for one in found] == [False, True, False]
    assert list(found.to_pandas()["status"]) == ["face", "error", "no_face"]
    table = list(csv.DictReader(found.save(tmp_path / "all.csv").open(newline="")))
    assert [row["status"] for row in table] == ["face", "error", "no_face"]
    assert "not a picture" in table[1]["error"]
    assert str(found[1]) == found[1].error
    assert str(found[2]) == "picture 3: no face found"
    assert "not a picture" in found._repr_html_()
    assert recognizer(tmp_path / "bad.jpg", on_error="keep").error == found[1].error
    with pytest.raises(InputError, match=r"unknown on_error 'kep'\. Did you mean 'keep'"):
        recognizer(given, on_error="kep")  # type: ignore[call-overload]


def test_an_empty_list_gives_an_empty_table(recognizer: Recognizer) -> None:
    assert recognizer([]) == []
    assert len(recognizer([]).to_pandas()) == 0


def test_they_are_drawn_as_the_command_line_draws_them(faces: Faces, portrait: Pixels, tmp_path: Path) -> None:
    wanted = annotate(portrait, faces)
    assert np.array_equal(np.asarray(faces.plot()), wanted)
    assert np.array_equal(np.asarray(Image.open(faces.save(tmp_path / "marked.png"))), wanted)
    assert Image.open(faces.save(tmp_path / "marked.jpg")).size == (512, 512)
    faces.save(tmp_path / "marked.png")  # our own is replaced


def test_nothing_of_others_is_written_over(recognizer: Recognizer, portrait_file: Path, tmp_path: Path) -> None:
    photo = Path(shutil.copyfile(portrait_file, tmp_path / "photo.jpg"))
    found = recognizer(photo)
    with pytest.raises(InputError, match="is read by this command"):
        found.save(photo, overwrite=True)
    other = tmp_path / "other.csv"
    other.write_text("mine")
    with pytest.raises(InputError, match="was not written by mien"):
        found.save(other)
    found.save(other, overwrite=True)
    with pytest.raises(InputError, match=r"cannot tell what to write by '\.xlsx'.*\.csv.*\.png"):
        found.save(tmp_path / "faces.xlsx")
    photo.unlink()
    with pytest.raises(InputError, match=r"photo\.jpg: cannot be read"):
        found.plot()
    assert "cannot be read" in found._repr_html_()


def test_a_notebook_shows_picture_and_bars_and_asks_for_nothing(recognizer: Recognizer, portrait: Pixels) -> None:
    html = recognizer(np.concatenate([portrait, portrait[:, ::-1]], axis=1))._repr_html_()
    (picture,) = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', html)
    assert Image.open(io.BytesIO(base64.b64decode(picture))).size == (900, 450)
    assert html.count("<strong>") == 2
    assert len(re.findall(r"height:.9em;width:\d+\.\d%", html)) == 14
    assert not re.findall(r"https?:|<script|<link|url\(", html)


def test_names_are_no_markup() -> None:
    face = Face("<b>.jpg", "sad", {"<i>": 0.25, "sad": 0.75}, (1, 2, 30, 40), 0.9, unsure=True)
    found = Faces([face], Place("[red]<b>.jpg", ("<i>", "sad")), np.zeros((50, 50), np.uint8))
    assert "<b>" not in found._repr_html_()
    assert "<i>" not in found._repr_html_()
    assert "<b>" not in Faces([], Place("<b>.jpg", ()))._repr_html_()
    told = terminal(found)
    assert "[red]<b>.jpg" in told
    assert "unsure" in told


def test_a_terminal_shows_a_row_for_each_face(faces: Faces) -> None:
    told = terminal(faces)
    assert "happy" in told
    assert "█" in told
    assert "no face found" in terminal(Faces([], Place("a.jpg", ())))


def test_without_pandas_the_next_step_is_named(faces: Faces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MienError, match=r'needs the extra "pandas".*pip install'):
        faces.to_pandas()
    assert len(faces.to_dicts()) == 1


def test_a_folder_gives_what_the_command_line_gives(
    recognizer: Recognizer, portrait_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "photos" / "below").mkdir(parents=True)
    shutil.copyfile(portrait_file, tmp_path / "photos" / "below" / "a.jpg")
    (tmp_path / "photos" / "bad.png").write_bytes(b"no picture")
    Image.new("L", (64, 64)).save(tmp_path / "photos" / "dark.png")
    found = Batch(recognizer.folder(tmp_path / "photos", on_error="keep"))
    done = CliRunner().invoke(
        app, ["recognize", str(tmp_path / "photos"), "--model", "mien-tiny", "--detector", "fast", "--threads", "1",
              "--out", str(tmp_path / "theirs.jsonl")]
    )  # fmt: skip
    assert done.exit_code == 1
    ours = found.save(tmp_path / "ours.jsonl").read_text().splitlines()
    assert ours == (tmp_path / "theirs.jsonl").read_text().splitlines()
    assert found[-1].plot().size == (512, 512) or found[0].plot().size == (512, 512)
    with pytest.raises(InputError, match=r"bad\.png: not a picture"):
        list(recognizer.folder(tmp_path / "photos"))
    with pytest.raises(InputError, match="no such folder"):
        recognizer.folder(tmp_path / "none")
    with pytest.raises(InputError, match="is a file"):
        recognizer.folder(portrait_file)


def clip(path: Path, portrait: Pixels, frames: int = 6) -> Path:
    film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (512, 512))
    for _ in range(frames):
        film.write(np.ascontiguousarray(portrait[..., ::-1]))
    film.release()
    return path


def test_a_video_gives_what_the_command_line_gives(recognizer: Recognizer, portrait: Pixels, tmp_path: Path) -> None:
    path = clip(tmp_path / "clip.mp4", portrait)
    found = Batch(recognizer.video(path, every=2))
    assert [(one.frame, one.face_ids) for one in found] == [(0, (1,)), (2, (1,)), (4, (1,))]
    assert [one.time_s for one in found] == pytest.approx([0, 0.2, 0.4], abs=0.001)
    options = ["--model", "mien-tiny", "--detector", "fast", "--threads", "1", "--every", "2"]
    done = CliRunner().invoke(app, ["recognize", str(path), *options, "--out", str(tmp_path / "theirs.jsonl")])
    assert done.exit_code == 0, done.output
    ours = [json.loads(line) for line in found.save(tmp_path / "ours.jsonl").read_text().splitlines()]
    assert ours == [json.loads(line) for line in (tmp_path / "theirs.jsonl").read_text().splitlines()]
    assert list(ours[0]) == columns(recognizer.labels)
    with pytest.raises(InputError, match="ask for keep_frames=True"):
        found[0].plot()
    (first, *_) = recognizer.video(path, every=2, keep_frames=True)
    assert first.plot().size == (512, 512)


def test_a_video_that_cannot_be_says_so(recognizer: Recognizer, portrait_file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected 1"):
        recognizer.video("clip.mp4", every=0)  # at once, before a frame is asked for
    with pytest.raises(InputError, match="smooth -1"):
        recognizer.video("clip.mp4", smooth_s=-1)
    with pytest.raises(InputError, match="no such file"):
        next(recognizer.video(tmp_path / "none.mp4"))


def test_left_early_a_video_is_closed(recognizer: Recognizer, portrait: Pixels, tmp_path: Path) -> None:
    path = clip(tmp_path / "clip.mp4", portrait)
    looks = recognizer.video(path)
    assert len(next(looks)) == 1
    looks.close()  # type: ignore[attr-defined]
    assert not [fd for fd in Path("/proc/self/fd").glob("*") if fd.exists() and fd.resolve() == path]


@pytest.mark.slow
def test_names_of_options_are_types(tmp_path: Path) -> None:
    from mypy import api

    (tmp_path / "user.py").write_text(
        "from mien import Batch, Faces, Recognizer\n"
        'recognizer = Recognizer(detector="fast", truth="labels")\n'
        'one: Faces = recognizer("a.jpg", on_error="keep")\n'
        'many: Batch = recognizer(["a.jpg", b""])\n'
        'Recognizer(detector="haar")\n'
        'Recognizer(truth="peple")\n'
        'recognizer("a.jpg", on_error="ignore")\n'
    )
    source = Path(sys.modules["mien"].__file__ or "").parent
    config = tmp_path / "mypy.ini"
    config.write_text(f"[mypy]\nstrict = true\nmypy_path = {source.parent}\nfollow_imports = silent\n")
    options = ["--config-file", str(config), "--cache-dir", str(tmp_path / "cache")]
    told, _, _ = api.run([*options, str(tmp_path / "user.py")])
    lines = sorted({int(line.split(":")[1]) for line in told.splitlines() if "user.py" in line and "error" in line})
    assert lines == [5, 6, 7], told


def test_the_picture_of_a_file_is_not_held(faces: Faces, portrait_file: Path) -> None:
    assert faces.picture == portrait_file
    assert read(portrait_file).shape == (512, 512, 3)
