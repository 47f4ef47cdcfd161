"""Scratch: what is under way is nobody else's, goes with its process, and leaves no folder stuck at any moment."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mien import InputError, scratch
from mien.files import write_whole
from mien.scratch import (
    filled,
    held_alone,
    held_folder,
    is_free,
    remove_dead,
    scratch_file,
    scratch_folder,
    temporary_folder,
)

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")
NAMES = ("a.txt", "folder", "last.txt")


@pytest.fixture(scope="module")
def count_changes() -> Callable[[str, int], Callable[[], int]]:
    faults: dict[str, Any] = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "faults.py"))
    found: Callable[[str, int], Callable[[], int]] = faults["count_changes"]
    return found


def in_child(do: Callable[[], object]) -> int:
    """The exit code of a process that does it: 0, or 1 for an error."""
    child = os.fork()
    if not child:
        code = 1
        try:
            scratch._swept.clear()
            do()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die_within(folder: Path) -> None:
    with (
        scratch_file(folder / "x.png", ".png") as part,
        scratch_folder(folder / "y") as inner,
        held_alone(folder / "z"),
    ):
        part.write_bytes(b"half")
        (inner / "deep").mkdir()
        (inner / "deep" / "half").write_bytes(b"half")
        os._exit(9)


def test_what_dead_processes_left_goes_at_the_next_start(tmp_path: Path) -> None:
    assert in_child(lambda: die_within(tmp_path)) == 9
    assert len(list(tmp_path.iterdir())) == 3
    (tmp_path / "photo.jpg.part").touch()  # a download of somebody else
    (tmp_path / ".mien-notes.part").touch()
    assert in_child(lambda: write_whole(tmp_path / "new", "x")) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mien-notes.part", "new", "photo.jpg.part"]


def test_what_a_living_process_holds_stays(tmp_path: Path) -> None:
    with scratch_file(tmp_path / "x") as part, scratch_folder(tmp_path / "y") as inner, held_alone(tmp_path / "z"):
        held = sorted(tmp_path.iterdir())
        assert len(held) == 3
        assert in_child(lambda: remove_dead(tmp_path)) == 0
        assert sorted(tmp_path.iterdir()) == held
        assert part.is_file()
        assert inner.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_one_process_at_a_time(tmp_path: Path) -> None:
    def hold() -> None:
        with held_alone(tmp_path / "t.csv"):
            pass

    with held_alone(tmp_path / "t.csv"):
        assert in_child(hold) == 1
        with pytest.raises(InputError, match=r"t\.csv: another mien is writing it now"):
            hold()
    assert in_child(hold) == 0
    assert in_child(lambda: held_alone(tmp_path / "t.csv").__enter__() and os._exit(7)) in (0, 7)
    hold()  # the lock of a dead process holds nobody


def test_one_process_at_a_time_in_a_folder(tmp_path: Path) -> None:
    def hold(name: str = "run") -> None:
        with held_folder(tmp_path / name):
            pass

    (tmp_path / "link").symlink_to(tmp_path / "run")
    with held_folder(tmp_path / "run"):
        for name in ("run", "link"):
            assert in_child(lambda name=name: hold(name)) == 1
            with pytest.raises(InputError, match=f"{name}: another mien is writing it now"):
                hold(name)
        assert list((tmp_path / "run").iterdir()) == []
    assert not (tmp_path / "run").exists(), "it was made here, and nothing was put into it"
    assert in_child(hold) == 0
    assert in_child(lambda: held_folder(tmp_path / "run").__enter__() and os._exit(7)) in (0, 7)
    hold("link")  # the lock of a dead process holds nobody
    with held_folder(tmp_path / "run"):
        (tmp_path / "run" / "card.json").touch()
    assert (tmp_path / "run" / "card.json").is_file()
    (tmp_path / "mine").mkdir()
    hold("mine")
    assert (tmp_path / "mine").is_dir(), "it was there before"
    (tmp_path / "file").write_text("mine")
    hold("file")
    assert (tmp_path / "file").read_text() == "mine"


def test_many_writers_of_one_file_leave_one_of_their_wholes(tmp_path: Path) -> None:
    place = tmp_path / "file"
    contents = [bytes([65 + i]) * 300_000 for i in range(4)]
    with multiprocessing.get_context("fork").Pool(4) as pool:
        pool.starmap(write_whole, [(place, content) for content in contents] * 5)
    assert place.read_bytes() in contents
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_temporary_folders_are_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary_folder() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert folder.parent == tmp_path
    assert not folder.exists()


def fill(folder: Path) -> None:
    assert is_free(folder, NAMES, "last.txt")
    with filled(folder, NAMES, "last.txt") as part:
        write_whole(part / "last.txt", "last")
        write_whole(part / "folder" / "inner.txt", "inner")
        write_whole(part / "a.txt", "a")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["missing", "empty", "link"])
def test_a_folder_is_filled_at_every_kill_point(
    tmp_path: Path, kind: str, count_changes: Callable[[str, int], Callable[[], int]]
) -> None:
    folder, kills = tmp_path / "new", 0
    while True:
        kills += 1
        target = tmp_path / f"target-{kills}"
        folder = tmp_path / f"new-{kills}"
        if kind != "missing":
            target.mkdir()
            folder = target
        if kind == "link":
            folder = tmp_path / f"link-{kills}"
            folder.symlink_to(target)

        def die(kill: int = kills, folder: Path = folder) -> None:
            count_changes(f"{tmp_path}/", kill)
            fill(folder)

        code = in_child(die)
        whole = (folder / "last.txt").exists()
        if not whole:
            assert in_child(lambda folder=folder: fill(folder)) == 0, f"stuck at {kills}"
        assert (folder / "a.txt").read_text() == "a"
        assert (folder / "folder" / "inner.txt").read_text() == "inner"
        if code == 0:
            break
        assert code == 137
    assert kills > 10


def test_what_is_not_free(tmp_path: Path) -> None:
    for number, names in enumerate((["thesis.txt"], ["a.txt"], ["folder"], [".mien-0123abcd.part", "thesis.txt"],
                                    [".mien-0123abcd.part", "last.txt"], [".mien-notes.part"])):  # fmt: skip
        place = tmp_path / str(number)
        place.mkdir()
        for name in names:
            (place / name).touch()
        assert not is_free(place, NAMES, "last.txt"), names
    (tmp_path / "file").touch()
    assert not is_free(tmp_path / "file", NAMES, "last.txt")


def test_a_folder_that_another_process_removes_meanwhile_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, make, removed = tmp_path / "new", os.open, []

    def open_after_removal(path, *more):  # type: ignore[no-untyped-def]
        if not removed:
            removed.append(folder.rmdir())
        return make(path, *more)

    monkeypatch.setattr(scratch.os, "open", open_after_removal)
    with scratch.scratch_file(folder / "a.txt") as part:
        assert part.parent == folder
        part.replace(folder / "a.txt")
    assert removed
    assert [path.name for path in folder.iterdir()] == ["a.txt"]


def test_folders_that_stay_empty_go_again(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"), scratch.scratch_file(tmp_path / "a" / "b" / "c.txt"):
        raise ValueError("stop")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").mkdir()  # what was there before stays
    with scratch.scratch_folder(tmp_path / "a" / "b" / "c"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert list((tmp_path / "a").iterdir()) == []
