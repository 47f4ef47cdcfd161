"""Many pictures: order kept, bad files told and passed over; a journal lets a stopped run go on."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.errors import InputError
from mien.images import Pixels
from mien.recognize.inputs import InputFile
from mien.recognize.journal import Journal
from mien.recognize.recognizer import Face, Recognizer
from mien.recognize.stream import recognize_pictures

SETTINGS = {"model": "m", "detector": "fast", "threshold": 0.5}
FACE = Face("a.jpg", "sad", {"happy": 0.25, "sad": 0.75}, (1, 2, 30, 40), 0.875, unsure=False)


@pytest.fixture(scope="module")
def crops() -> Recognizer:
    """Takes each picture as a face."""
    return Recognizer("mien-tiny", detector="none", threads=1)


def saved(folder: Path, count: int, side: int = 20) -> list[InputFile]:
    folder.mkdir(exist_ok=True)
    for i in range(count):
        noise = np.random.default_rng(i).integers(0, 256, (side, side), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{i:03}.png")
    return [InputFile(path, Path(path.name)) for path in sorted(folder.iterdir())]


def test_outcomes_come_in_order_and_are_those_of_single_calls(crops: Recognizer, tmp_path: Path) -> None:
    inputs = saved(tmp_path / "faces", 20)
    outcomes = list(recognize_pictures(inputs, crops))
    assert [outcome.input for outcome in outcomes] == inputs
    for outcome in outcomes[::7]:
        (alone,) = crops(outcome.input.path)
        (face,) = outcome.faces
        assert face.source == str(outcome.input.path)
        assert face.probabilities == pytest.approx(alone.probabilities, abs=1e-5)


def test_bad_files_stop_nothing(crops: Recognizer, tmp_path: Path) -> None:
    inputs = saved(tmp_path / "faces", 3)
    inputs[1].path.write_bytes(b"no picture")
    inputs += [InputFile(tmp_path / "none.png", Path("none.png")), InputFile(tmp_path, Path(), "told before")]
    errors = [outcome.error for outcome in recognize_pictures(inputs, crops)]
    assert errors[::2] == [None, None, "told before"]
    assert "001.png: not a picture" in str(errors[1])
    assert "none.png: cannot be read (No such file or directory)" in str(errors[3])


def test_without_a_face(portrait: Pixels, tmp_path: Path) -> None:
    recognizer = Recognizer("mien-tiny", detector="fast", threads=1)
    for name, image in (("a.png", portrait), ("b.png", np.full((90, 90, 3), 99, dtype=np.uint8))):
        Image.fromarray(image).save(tmp_path / name)
    inputs = [InputFile(path, Path(path.name)) for path in sorted(tmp_path.iterdir())]
    assert [len(outcome.faces) for outcome in recognize_pictures(inputs, recognizer)] == [1, 0]
    asked = [outcome.error for outcome in recognize_pictures(inputs, recognizer, require_face=True)]
    assert asked == [None, f"{tmp_path / 'b.png'}: no face found"]


def test_memory_does_not_grow_with_the_pictures(crops: Recognizer, tmp_path: Path) -> None:
    inputs = saved(tmp_path / "faces", 6, side=700)

    def peak(times: int) -> int:
        tracemalloc.start()
        for _ in recognize_pictures((one for _ in range(times) for one in inputs), crops):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(1)
    assert peak(12) < 1.3 * peak(3)


def test_a_journal_goes_on(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    with Journal(table, SETTINGS) as journal:
        journal.add("a.jpg", [FACE])
        journal.add("b.jpg", [])
    with journal.path.open("ab") as file:
        file.write(b'{"source": "c.jpg", "fa')  # cut off
    with Journal(table, SETTINGS) as journal:
        assert journal.done == {"a.jpg", "b.jpg"}
        journal.add("\udcff.jpg", [FACE, FACE])  # a name that is no UTF-8
        assert [len(faces) for faces in journal.faces()] == [1, 0, 2]
        assert next(journal.faces()) == [FACE]
    assert [json.loads(line).get("source") for line in journal.path.read_text().splitlines()][1:] == [
        "a.jpg", "b.jpg", "\udcff.jpg",
    ]  # fmt: skip
    journal.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_journal_of_other_settings_is_not_mixed_in(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    with Journal(table, SETTINGS) as journal:
        journal.add("a.jpg", [FACE])
    with pytest.raises(InputError, match=r"begun in another way \(detector was fast, now none\)"):
        Journal(table, {**SETTINGS, "detector": "none"})
    with Journal(table, {**SETTINGS, "detector": "none"}, overwrite=True) as journal:
        assert journal.done == set()


def test_a_finished_table_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x")
    with pytest.raises(InputError, match="exists already"):
        Journal(tmp_path / "t.csv", SETTINGS)
    with pytest.raises(InputError, match="cannot be written"):
        Journal(tmp_path / "t.csv" / "t.csv", SETTINGS)
    Journal(tmp_path / "t.csv", SETTINGS, overwrite=True).__exit__(None, None, None)
