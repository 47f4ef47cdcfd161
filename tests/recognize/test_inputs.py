"""What a person names becomes files, in a fixed order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mien.errors import InputError
from mien.recognize.inputs import is_video, named_places, pictures, pictures_and_videos


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b.jpg", "a.PNG", "deep/er/c.webp", "deep/notes.txt", ".hidden.jpg", ".git/x.jpg", "film.mp4"):
        (tmp_path / "faces" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "faces" / name).write_bytes(b"")
    (tmp_path / "faces" / "deep" / "loop").symlink_to(tmp_path / "faces")
    (tmp_path / "bare").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*names: str) -> list[tuple[str, str]]:
    return [(str(one.path), str(one.under)) for one in pictures(named_places(names))]


def test_a_folder_is_searched_with_all_that_lies_below(tree: Path) -> None:
    assert found("faces") == [
        ("faces/a.PNG", "a.PNG"), ("faces/b.jpg", "b.jpg"), ("faces/deep/er/c.webp", "deep/er/c.webp"),
    ]  # fmt: skip


def test_several_inputs_keep_their_order_and_apart(tree: Path) -> None:
    assert found("faces/deep", "faces/b.jpg", "faces/deep/er") == [
        ("faces/deep/er/c.webp", "deep/er/c.webp"), ("faces/deep/loop/a.PNG", "deep/loop/a.PNG"),
        ("faces/deep/loop/b.jpg", "deep/loop/b.jpg"), ("faces/b.jpg", "b.jpg"), ("faces/deep/er/c.webp", "er/c.webp"),
    ]  # fmt: skip


def test_patterns(tree: Path) -> None:
    assert named_places(["faces/*.*", "faces/b.jpg"]) == [
        Path("faces/a.PNG"),
        Path("faces/b.jpg"),
        Path("faces/film.mp4"),
    ]
    assert found(str(tree / "faces" / "**" / "*.webp"))[0] == (str(tree / "faces/deep/er/c.webp"), "c.webp")
    with pytest.raises(InputError, match=r"https://example\.org/a\.jpg: an address is not opened"):
        named_places(["https://example.org/a.jpg"])
    with pytest.raises(InputError, match=r"faces/\*\.gif: no file fits this pattern"):
        named_places(["faces/*.gif"])


def test_a_file_whose_name_looks_like_a_pattern(tree: Path) -> None:
    Path("face[1].jpg").write_bytes(b"")
    assert found("face[1].jpg") == [("face[1].jpg", "face[1].jpg")]


def test_what_is_missing_or_empty_is_told_when_it_is_its_turn(tree: Path) -> None:
    missing, empty, _ = pictures(named_places(["none.jpg", "bare", "faces/b.jpg"]))
    assert missing.error is None, "whoever opens it says what is wrong"
    assert empty.error
    assert "bare: no pictures found in it" in empty.error
    (nothing,) = pictures(named_places(["bare"]), videos_too=True)
    assert nothing.error
    assert "bare: no pictures or videos found in it" in nothing.error


def test_videos_are_known_by_their_suffix(tree: Path) -> None:
    Path("folder.mp4").mkdir()
    assert [is_video(Path(name)) for name in ("a.MP4", "a.mov", "a.jpg", "folder.mp4")] == [True, True, False, False]


def test_a_folder_that_cannot_be_read_is_told(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = os.scandir

    def closed(path):  # type: ignore[no-untyped-def]
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", closed)
    *_, last = pictures([Path("faces")])
    assert last.error == "faces/deep: cannot be read (Permission denied)"


def test_videos_of_folders_are_found_beside_pictures(tree: Path) -> None:
    Path("films", "deep").mkdir(parents=True)
    for name in ("b.MOV", "deep/a.mkv", ".c.mp4", "notes.txt"):
        Path("films", name).write_bytes(b"")
    films = [Path("films/b.MOV"), Path("films/deep/a.mkv")]
    assert pictures_and_videos([Path("films")]) == ([], films)
    named = named_places(["films", "faces", "faces/../faces/film.mp4", "faces/deep/loop/film.mp4", "bare"])
    assert pictures_and_videos(named) == (
        [Path("faces"), Path("bare")], [*films, Path("faces/film.mp4")],
    )  # fmt: skip
