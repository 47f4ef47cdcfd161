"""mien explain, as a person meets it: pictures, folders of them, and what goes wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien import FaceSet, Recognizer, Run
from mien.explanation.explain import CAVEAT
from mien.recognize.vendored import vendored_folder
from mien.report import explanations
from mien.training.predict import classify

PORTRAIT = vendored_folder("pictures") / "astronaut.jpg"
CROPS = ["--detector", "none"]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The names of the faces of each picture, which is composed small in place of the real one."""
    names: list[list[str]] = []
    real = explanations.explained

    def explained(shown):
        names.append([name for name, _ in shown])
        return real(shown[:1])

    monkeypatch.setattr(explanations, "explained", explained)
    return names


@pytest.fixture
def crops(tmp_path: Path, drawn_faces: FaceSet) -> Path:
    """A folder of two face crops, one of them below, and a file that is no picture."""
    folder = tmp_path / "crops"
    (folder / "more").mkdir(parents=True)
    for place, face in zip(("a.png", "more/a.jpg"), drawn_faces.gather(np.arange(2)), strict=True):
        Image.fromarray(face).save(folder / place)
    (folder / "more" / "c.png").write_bytes(b"no picture")
    return folder


def is_png(path: Path) -> bool:
    return path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_photo_by_a_bundled_model(mien, tmp_path: Path, drawn: list[list[str]]) -> None:
    out = tmp_path / "new" / "why.png"
    done = mien("explain", "mien-tiny", PORTRAIT, "--detector", "fast", "--out", out)
    (face,) = Recognizer("mien-tiny", detector="fast")(PORTRAIT)
    assert done.code == 0
    assert done.out.startswith(f"{PORTRAIT}: happy {face.confidence:.3f}, occlusion, −0."), "the same face, as cut"
    assert done.out.endswith(" at most where a part is covered\n")
    assert done.err == f"picture: {out}\n{CAVEAT}\n"
    assert is_png(out)
    assert drawn == [["astronaut.jpg"]]


def test_a_crop_by_a_run_and_another_label(mien, trained_run: Run, crops: Path, tmp_path: Path) -> None:
    face = crops / "a.png"
    (answer,) = classify(trained_run.load_model(), trained_run.card, [np.asarray(Image.open(face))])
    says, least = (trained_run.card.labels[i] for i in (answer.argmax(), answer.argmin()))
    done = mien("explain", trained_run.folder, face, *CROPS, "--label", least, "--out", tmp_path / "x.png")
    assert done.code == 0
    assert done.out == f"{face}: {least} {answer.min():.3f} (says {says} {answer.max():.3f}), grad-cam\n"
    assert is_png(tmp_path / "x.png")


def test_a_folder_gives_a_picture_of_each(mien, trained_run: Run, crops: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = mien("explain", trained_run.folder, crops, *CROPS, "--out", out)
    assert done.code == 1
    assert len(done.out.splitlines()) == 2
    assert f"error: {crops / 'more' / 'c.png'}: not a picture" in done.err
    written = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert written == {"a.png", "more/a.png"}
    assert all(is_png(out / name) for name in written)


def test_two_pictures_of_the_same_name_do_not_replace_each_other(
    mien, trained_run: Run, crops: Path, tmp_path: Path, drawn: list[list[str]]
) -> None:
    done = mien(
        "explain", trained_run.folder, crops / "a.png", crops / "more" / "a.jpg", *CROPS, "--out", tmp_path / "o"
    )
    assert done.code == 0
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == ["a-2.png", "a.png"]
    assert drawn == [["a.png"], ["a.jpg"]]


@pytest.mark.parametrize("count", [12, 13])
def test_what_does_not_fit_a_picture_is_told(
    mien, trained_run: Run, tmp_path: Path, drawn_faces: FaceSet, drawn: list[list[str]], count: int
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for i, face in enumerate(drawn_faces.gather(np.arange(count))):
        Image.fromarray(face).save(folder / f"{i:02}.png")
    done = mien("explain", trained_run.folder, folder, *CROPS, "--out", tmp_path / "x.png")
    assert done.code == 0
    assert drawn == [[f"{i:02}.png" for i in range(12)]]
    assert ("a picture shows at most 12 faces; for more name a folder: --out FOLDER" in done.err) == (count > 12)


def test_faces_of_one_photo_are_numbered_from_the_left(
    mien, trained_run: Run, tmp_path: Path, drawn: list[list[str]]
) -> None:
    photo = np.asarray(Image.open(PORTRAIT).resize((128, 128)))
    group = tmp_path / "group.png"
    Image.fromarray(np.tile(photo, (2, 7, 1))).save(group)
    done = mien("explain", trained_run.folder, group, "--detect-size", 896, "--out", tmp_path / "out")
    assert done.code == 0
    assert drawn == [[f"face {i} of group.png" for i in range(1, 13)]]
    assert f"{group}: 14 faces, of which the first 12 from the left are explained" in done.err
    assert [line.split(":")[0] for line in done.out.splitlines()] == [f"{group} face {i}" for i in range(1, 13)]


@pytest.mark.parametrize("kind", ["unreadable", "faceless", "missing"])
def test_a_picture_that_gives_no_face(mien, crops: Path, tmp_path: Path, kind: str) -> None:
    """Exit code 2 where it is the only one, 1 where others are explained, as mien recognize does."""
    blank, out = tmp_path / "blank.png", tmp_path / "x.png"
    Image.fromarray(np.full((60, 80), 99, np.uint8)).save(blank)
    place, why = {
        "unreadable": (crops / "more" / "c.png", "not a picture"),
        "faceless": (blank, "no face found. If the picture is a face crop: --detector none"),
        "missing": (tmp_path / "none.jpg", "cannot be read (No such file or directory)"),
    }[kind]
    alone = mien("explain", "mien-tiny", place, "--detector", "fast", "--out", out)
    assert (alone.code, alone.out) == (2, "")
    assert f"error: {place}: {why}" in alone.err
    assert "no face to draw: nothing was written" in alone.err
    assert not out.exists()
    among = mien("explain", "mien-tiny", place, PORTRAIT, "--detector", "fast", "--out", out)
    assert among.code == 1
    assert f"error: {place}: {why}" in among.err
    assert among.out.startswith(f"{PORTRAIT}: happy")
    assert is_png(out)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--label", "hapy"], "unknown label 'hapy'. Did you mean 'happy'?"),
        (["--method", "grad-cam"], "mien-tiny: an .onnx file has no gradients; use the run or --method occlusion"),
        (["--method", "oclusion"], "unknown method 'oclusion'. Did you mean 'occlusion'?"),
        (["--detector", "slow"], "unknown detector 'slow'"),
    ],
)
def test_mistakes_are_told_with_what_would_work(mien, tmp_path: Path, options: list[str], message: str) -> None:
    done = mien("explain", "mien-tiny", PORTRAIT, *options, "--out", tmp_path / "x.png")
    assert (done.code, done.out) == (2, "")
    assert f"error: {message}" in done.err
    assert not list(tmp_path.iterdir())


def test_a_model_file_is_explained_by_covering_alone(mien, tmp_path: Path) -> None:
    model = tmp_path / "mine.onnx"
    shutil.copyfile(vendored_folder("weights") / "mien-tiny.onnx", model)
    done = mien("explain", model, PORTRAIT, "--method", "grad-cam", "--out", tmp_path / "x.png")
    assert done.code == 2
    assert "error: mine: an .onnx file has no gradients; use the run or --method occlusion" in done.err


def test_no_picture_that_is_read_is_written_over(mien, crops: Path) -> None:
    face = crops / "a.png"
    before = face.read_bytes()
    for named, out, why in (
        (face, face, "is read by this command"),
        (crops, face, f"lies in {crops}, whose pictures are read"),
        (crops, crops / "new", f"contains the files of {crops}"),
    ):
        done = mien("explain", "mien-tiny", named, *CROPS, "--out", out)
        assert (done.code, done.out) == (2, "")
        assert f"error: {out}: {why}" in done.err
    assert face.read_bytes() == before
    assert not (crops / "new").exists()
