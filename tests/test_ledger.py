"""The ledger of looks at test: chained, whole after anything, honest about what was changed in it."""

from __future__ import annotations

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from mien import InputError, ledger
from mien.ledger import START, Look, append, extend, read


def made(model: str = "cnn", weights: str = "a" * 64, fingerprint: str = "f") -> Look:
    return Look(
        at="2026-11-28T00:00:00Z",
        what="computed",
        model=model,
        weights=weights,
        recipe="cnn-v1",
        data="faces.zip",
        fingerprint=fingerprint,
        n=14,
    )


def written(file: Path, count: int = 3) -> list[str]:
    for i in range(count):
        append(file, made(f"gesichter-ö-{i}"))
    return file.read_text(encoding="utf-8").splitlines()


def test_each_line_holds_the_hash_of_the_one_before(tmp_path: Path) -> None:
    lines = written(tmp_path / "ledger.jsonl")
    before = START
    for number, line in enumerate(lines, 1):
        assert json.loads(line)["before"] == before
        assert json.loads(line)["line"] == number
        before = sha256(line.encode()).hexdigest()
    found = read(tmp_path / "ledger.jsonl")
    assert found.head == before
    assert found.broken == ()
    assert [look.model for look in found.looks] == [f"gesichter-ö-{i}" for i in range(3)]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda lines: [lines[0].replace('"n": 14', '"n": 15'), *lines[1:]], "line 2 does not follow"),
        (lambda lines: [lines[0], lines[2]], "line 2 does not follow"),
        (lambda lines: lines[1:], "line 1 does not follow"),
        (lambda lines: [lines[0], lines[0], *lines[1:]], "line 2 does not follow"),
        (lambda lines: [*lines, "{}"], "line 4 is not a line of a ledger"),
        (lambda lines: [*lines, lines[0][:20]], "line 4 is not a line of a ledger"),
        (lambda lines: ["\x00\x01", *lines], "line 1 is not a line of a ledger"),
        (lambda lines: ["[" * 100_000, *lines], "line 1 is not a line of a ledger"),
    ],
)
def test_what_was_changed_is_told_and_stays_told(tmp_path: Path, change, told: str) -> None:
    file = tmp_path / "ledger.jsonl"
    file.write_text("\n".join(change(written(file))) + "\n", encoding="utf-8")
    assert any(told in one for one in read(file).broken)
    length = len(read(file).looks)
    append(file, made("later"))
    after = read(file)
    assert any(told in one for one in after.broken)
    assert len(after.looks) == length + 1
    assert not any(f"line {len(file.read_text().splitlines())} does not" in one for one in after.broken)


def test_a_cut_end_shows_by_the_head_that_was_written_down(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    lines = written(file)
    head = read(file).head
    file.write_text("\n".join(lines[:2]) + "\n", encoding="utf-8")
    assert read(file).broken == ()  # the chain alone cannot tell
    assert read(file).head != head


def test_a_failure_while_writing_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "ledger.jsonl"
    before = written(file)
    monkeypatch.setattr("mien.files.os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        append(file, made("lost"))
    assert file.read_text(encoding="utf-8").splitlines() == before
    assert sorted(tmp_path.iterdir()) == [file]


_MANY = """
import sys
from pathlib import Path
from mien.ledger import Look, append
told = Look.model_validate_json(sys.argv[2])
for i in range(10):
    append(Path(sys.argv[1]), told.model_copy(update={"model": f"{sys.argv[3]}-{i}"}))
"""


def test_processes_that_write_at_once_lose_no_line(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    commands = [[sys.executable, "-c", _MANY, str(file), made().model_dump_json(), name] for name in "abc"]
    processes = [subprocess.Popen(command) for command in commands]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    found = read(file)
    assert found.broken == ()
    assert sorted(look.model for look in found.looks) == sorted(f"{name}-{i}" for name in "abc" for i in range(10))
    assert sorted(tmp_path.iterdir()) == [file]


def test_no_file_is_an_empty_ledger_and_a_newer_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    assert read(file) == ledger.Ledger((), START, ())
    line = json.loads(written(file, 1)[0])
    file.write_text(json.dumps({**line, "format": 99}) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="newer mien"):
        append(file, made())
    assert json.loads(file.read_text())["format"] == 99


def test_lines_are_taken_over_once(tmp_path: Path) -> None:
    here, there = tmp_path / "here.jsonl", tmp_path / "there.jsonl"
    append(there, made("own"))
    written(here)
    assert extend(there, read(here).looks) == 3
    assert extend(there, read(here).looks) == 0
    assert read(there).looks[0].model == "own"
    assert read(there).broken == ()
