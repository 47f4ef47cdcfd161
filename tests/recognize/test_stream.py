"""Many pictures: order kept, bad files told and passed over; a journal lets a stopped run go on."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.errors import InputError
from mien.images import Pixels
from mien.recognize.faces import Face
from mien.recognize.inputs import InputFile
from mien.recognize.journal import Journal, identity
from mien.recognize.recognizer import Recognizer
from mien.recognize.rows import Blank, Row
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


def test_a_relative_name_is_of_the_folder_that_is_worked_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert identity("a.jpg") == str((tmp_path / name).resolve() / "a.jpg")


def test_a_journal_goes_on(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    with Journal(table, SETTINGS) as journal:
        journal.add("a.jpg", [FACE])
        journal.add("b.jpg", [])
    with journal.path.open("ab") as file:
        file.write(b'{"source": "c.jpg", "fa')  # cut off
    with Journal(table, SETTINGS) as journal:
        assert journal.done == {str(Path.cwd() / "a.jpg"), str(Path.cwd() / "b.jpg")}
        journal.add("\udcff.jpg", [FACE, FACE])  # a name that is no UTF-8
        journal.add_failed("d.jpg", "d.jpg: not a picture")
        assert list(journal.rows()) == [
            [Row(FACE, 1)],
            [Blank("b.jpg")],
            [Row(replace(FACE, source="\udcff.jpg"), 1), Row(replace(FACE, source="\udcff.jpg"), 2)],
            [Blank("d.jpg", error="d.jpg: not a picture")],
        ]
    assert [json.loads(line).get("source") for line in journal.path.read_text().splitlines()][1:] == [
        "a.jpg", "b.jpg", "\udcff.jpg", "d.jpg",
    ]  # fmt: skip
    with Journal(table, SETTINGS) as journal:  # what failed is tried again, and stands once whatever comes of it
        assert journal.done == {str(Path.cwd() / name) for name in ("a.jpg", "b.jpg", "\udcff.jpg")}
        journal.add_failed("d.jpg", "d.jpg: gone")
        assert list(journal.rows())[3:] == [[Blank("d.jpg", error="d.jpg: gone")]]
        journal.add("d.jpg", [])
        assert list(journal.rows())[3:] == [[Blank("d.jpg")]]
    journal.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "line",
    [
        {"nan": "b.jpg", "id": "/b.jpg", "error": "cut off"},
        {"nan": "b.jpg", "id": "/b.jpg", "faces": []},
        {"source": ["b.jpg"], "id": "/b.jpg", "faces": []},
        {"source": "b.jpg", "id": "/b.jpg", "error": None},
    ],
)
def test_a_line_that_no_row_comes_of_is_refused_at_once(line: dict[str, object], tmp_path: Path) -> None:
    with Journal(tmp_path / "t.csv", SETTINGS) as journal:
        journal.add("a.jpg", [FACE])
    with journal.path.open("a") as file:
        file.write(json.dumps(line) + "\n")
    with pytest.raises(InputError, match="line 3 is not what mien writes into a journal"):
        Journal(tmp_path / "t.csv", SETTINGS)


def test_a_journal_belongs_to_what_was_named(tmp_path: Path) -> None:
    """However it is spelled; more may be named later, not less and nothing else."""
    for name in ("A", "A/sub", "B"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "A")
    (tmp_path / "A" / "a.jpg").touch()
    table = tmp_path / "t.csv"
    with Journal(table, SETTINGS, [tmp_path / "A"]) as journal:
        journal.add(str(tmp_path / "A" / "a.jpg"), [FACE])
    for other in (tmp_path / "B", tmp_path / "A" / "sub", tmp_path / "A" / "a.jpg"):
        with pytest.raises(InputError, match=rf"begun with other inputs \({tmp_path}/A is not among"):
            Journal(table, SETTINGS, [other])
    for same in ([tmp_path / "link"], [tmp_path / "A" / "sub" / ".."], [tmp_path / "B", tmp_path / "A"], [tmp_path]):
        with Journal(table, SETTINGS, same) as journal:
            assert identity(str(tmp_path / "link" / "a.jpg")) in journal.done


def test_a_table_has_one_writer(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    (tmp_path / "link").symlink_to(tmp_path)
    with Journal(table, SETTINGS) as journal:
        journal.add("a.jpg", [FACE])
        for same in (table, tmp_path / "link" / "t.csv"):
            with pytest.raises(InputError, match="another mien is writing it now"):
                Journal(same, SETTINGS, overwrite=True)
        Journal(tmp_path / "u.csv", SETTINGS).__exit__(None, None, None)
    with Journal(table, SETTINGS) as journal:
        assert len(journal.done) == 1


@pytest.mark.parametrize(
    "content",
    [b"mine", b"mine\n", b'{"format": 3}\n[]\n', b'{"format": 3}\n{"source": 1}\n', b'{"format": 3}\n{"faces": []}\n',
     b'{"format": 3}\n{"source": "a", "faces": [{}]}\n', b'{"format": 3}\n\xff\n', b"[" * 100_000 + b"\n"],
)  # fmt: skip
def test_what_is_no_journal_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.csv.journal").write_bytes(content)
    with pytest.raises(InputError, match=r"t\.csv\.journal: line \d is not what mien writes"):
        Journal(tmp_path / "t.csv", {})
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [content]


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
