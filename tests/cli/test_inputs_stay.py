"""What is read stays as it is: every verb that writes, told to write over its inputs or over somebody else's files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mien import FaceSet, InputError
from mien import export as export_model
from mien.data.draw import draw_set
from mien.model import Model
from mien.recognize.vendored import vendored_folder

PHOTO = vendored_folder("pictures") / "astronaut.jpg"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_set(tmp_path_factory.mktemp("drawn") / "faces.zip", 70, 0)


def test_verbs_keep_what_they_read_and_what_is_not_theirs(mien, drawn: Path, tmp_path: Path) -> None:
    """Each command line once ended with exit code 0 and an input gone."""
    data = Path(shutil.copy(drawn, tmp_path / "faces.zip"))
    photo = Path(shutil.copy(PHOTO, tmp_path / "photo.jpg"))
    model = Path(shutil.copy(vendored_folder("weights") / "mien-tiny.onnx", tmp_path / "model.onnx"))
    thesis = tmp_path / "thesis.png"
    shutil.copy(PHOTO, thesis)
    (tmp_path / "link.png").symlink_to(photo)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"weights")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for arguments in (
        ["export", model, "--int8", "--data", data, "--to", data],
        ["export", model, "--int8", "--data", data, "--to", photo],
        ["export", model, "--int8", "--data", data, "--to", weights],
        ["export", model, "--int8", "--data", data, "--to", model, "--overwrite"],
        ["calibrate", model, "--data", data, "--to", model, "--overwrite"],
        ["data", "stats", data, "--plot", data, "--overwrite"],
        ["data", "stats", data, "--plot", thesis],
        ["data", "draw", data],
        ["recognize", photo, "--plot", photo, "--overwrite"],
        ["recognize", photo, "--plot", tmp_path / "link.png", "--overwrite"],
        ["recognize", photo, "--plot", thesis],
        ["recognize", photo, "--out", photo, "--overwrite"],
        ["explain", model, photo, "--out", tmp_path / "link.png", "--overwrite"],
        ["explain", model, photo, "--out", thesis],
    ):
        done = mien(*arguments)
        assert done.code == 2, (arguments, done)
        assert done.err.startswith("error: "), done.err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_copies_replace_earlier_copies_alone(mien, tmp_path: Path) -> None:
    marked = tmp_path / "marked"
    marked.mkdir()
    mine = Path(shutil.copy(PHOTO, marked / PHOTO.name))
    command = ["recognize", PHOTO, "--model", "mien-tiny", "--detector", "fast", "--annotate", marked]
    done = mien(*command)
    assert (done.code, done.out) == (2, "")
    assert mine.read_bytes() == PHOTO.read_bytes()
    assert mien(*command, "--overwrite").code == 0
    assert mine.read_bytes() != PHOTO.read_bytes()
    assert mien(*command).code == 0


def test_python_keeps_a_model_too(drawn: Path, tmp_path: Path) -> None:
    model = Path(shutil.copy(vendored_folder("weights") / "mien-tiny.onnx", tmp_path / "model.onnx"))
    before = model.read_bytes()
    with pytest.raises(InputError, match="is read by this command"):
        export_model(Model.open(model), FaceSet.open(drawn), model, "int8", overwrite=True)
    assert model.read_bytes() == before
