"""Drawn sets: layout, counts, repeats, determinism, and what is never overwritten."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.data import draw
from mien.data.cartoon import draw_face
from mien.data.draw import MIN_COUNT, SHARES, draw_set, drawn_files
from mien.errors import InputError
from mien.labels import FER7

NAME = re.compile(r"(train/(\w+)/Training|test/(\w+)/(PublicTest|PrivateTest))_(\d+)\.png")


def contents(path: Path) -> dict[str, bytes]:
    """Every file of a drawn set by its name inside it."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def usage(name: str) -> str:
    return name.rsplit("/", 1)[1].split("_")[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_set(tmp_path_factory.mktemp("drawn") / "faces", 200, seed=3)


@pytest.mark.parametrize("size", [15, 513])
def test_a_size_out_of_range_is_refused(size: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"got size {size}"):
        draw_set(tmp_path / "faces", 70, 0, size=size)


@pytest.mark.parametrize("count", [70, 71, 75, 99, 200, 1234])
def test_counts_per_split_and_class(count: int) -> None:
    files = drawn_files(count)
    assert len(files) == len({file.name for file in files}) == count
    splits = Counter(usage(file.name) for file in files)
    assert splits["PublicTest"] == splits["PrivateTest"] == round(count / 10)
    for split in splits:
        classes = Counter(file.emotion for file in files if usage(file.name) == split)
        assert set(classes) == set(FER7.labels)
        assert classes["happy"] == max(classes.values())
    overall = Counter(file.emotion for file in files)
    assert overall["happy"] > max(n for emotion, n in overall.items() if emotion != "happy")
    assert 0.04 <= overall["disgust"] / count < 0.08
    assert all(abs(overall[emotion] - share * count) < 4 for emotion, share in SHARES.items())


def test_shares_are_a_distribution_over_the_labels() -> None:
    assert sorted(SHARES) == sorted(FER7.labels)
    assert sum(SHARES.values()) == pytest.approx(1)


def test_layout_is_that_of_the_usual_download(folder: Path) -> None:
    files = contents(folder)
    assert {path.name for path in folder.iterdir()} == {"train", "test"}
    assert sorted(int(NAME.fullmatch(name)[5]) for name in files) == list(range(200))  # type: ignore[index]
    for data in files.values():
        image = Image.open(io.BytesIO(data))
        assert (image.format, image.mode, image.size) == ("PNG", "L", (48, 48))


def test_one_percent_of_the_files_repeat_a_training_face_of_their_class(folder: Path) -> None:
    named: dict[str, list[str]] = {}
    for name, data in contents(folder).items():
        named.setdefault(hashlib.sha256(data).hexdigest(), []).append(name)
    twins = [sorted(names, key=usage, reverse=True) for names in named.values() if len(names) > 1]
    assert sorted([usage(name) for name in pair] for pair in twins) == [
        ["Training", "PrivateTest"],
        ["Training", "PublicTest"],
    ]
    assert all(len({name.split("/")[1] for name in pair}) == 1 for pair in twins)


def test_repeats_grow_with_the_set_and_never_join_three_files() -> None:
    for count, expected in ((70, 1), (600, 6), (3000, 30)):
        files = drawn_files(count)
        faces = Counter(file.face for file in files)
        assert count - len(faces) == expected
        assert max(faces.values()) == 2
    assert [usage(file.name) for i, file in enumerate(drawn_files(70)) if file.face != i] == ["PrivateTest"]


def test_same_seed_same_bytes_other_seed_other_bytes(folder: Path, tmp_path: Path) -> None:
    first, again, other = (draw_set(tmp_path / f"{k}.zip", 70, seed) for k, seed in enumerate((3, 3, 4)))
    assert first.read_bytes() == again.read_bytes()
    assert not set(contents(first).values()) & set(contents(other).values())


def test_zip_and_folder_hold_the_same_files(tmp_path: Path) -> None:
    packed, loose = draw_set(tmp_path / "set.zip", 70, 3, size=16), draw_set(tmp_path / "set", 70, 3, size=16)
    assert contents(packed) == contents(loose)
    assert len(contents(packed)) == 70


def test_a_face_does_not_depend_on_how_many_are_drawn(folder: Path, tmp_path: Path) -> None:
    name = "train/angry/Training_0.png"
    assert contents(draw_set(tmp_path / "few.zip", 70, 3))[name] == contents(folder)[name]


@pytest.mark.parametrize(("count", "seed", "message"), [(69, 0, "at least 70 faces"), (70, -1, "seed")])
def test_bad_numbers_are_refused_before_anything_is_written(
    count: int, seed: int, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        draw_set(tmp_path / "faces", count, seed)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["set", "set.zip"])
def test_what_is_there_is_replaced_only_on_request(name: str, tmp_path: Path) -> None:
    out = draw_set(tmp_path / name, 80, 1, size=16)
    before = contents(out)
    with pytest.raises(InputError, match="--overwrite"):
        draw_set(out, MIN_COUNT, 2, size=16)
    assert contents(out) == before
    draw_set(out, MIN_COUNT, 2, size=16, overwrite=True)
    assert len(contents(out)) == MIN_COUNT
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    assert len(contents(draw_set(tmp_path / "set", MIN_COUNT, 0, size=16))) == MIN_COUNT


def test_overwrite_never_deletes_a_folder_of_other_things(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis\.tex"):
        draw_set(tmp_path, MIN_COUNT, 0, size=16, overwrite=True)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_file_in_place_of_a_folder_and_the_reverse_are_refused(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("x")
    (tmp_path / "set.zip").mkdir()
    for name, found in (("set", "is a file"), ("set.zip", "is a folder")):
        with pytest.raises(InputError, match=found):
            draw_set(tmp_path / name, MIN_COUNT, 0, overwrite=True)


@pytest.mark.parametrize("name", ["set", "set.zip"])
def test_an_interrupted_run_leaves_what_was_there(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = draw_set(tmp_path / name, MIN_COUNT, 1, size=16)
    before = contents(out)
    drawn: list[str] = []

    def stop_at_ten(emotion: str, rng: np.random.Generator, size: int) -> object:
        drawn.append(emotion)
        if len(drawn) == 10:
            raise KeyboardInterrupt
        return draw_face(emotion, rng, size)

    monkeypatch.setattr(draw, "draw_face", stop_at_ten)
    with pytest.raises(KeyboardInterrupt):
        draw_set(out, MIN_COUNT, 2, size=16, overwrite=True)
    assert contents(out) == before
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_color_faces_are_the_gray_ones_with_color(tmp_path: Path) -> None:
    gray, color = draw_set(tmp_path / "gray", 70, 5, size=64), draw_set(tmp_path / "color", 70, 5, size=64, color=True)
    names = sorted(path.relative_to(gray) for path in gray.rglob("*.png"))
    assert names == sorted(path.relative_to(color) for path in color.rglob("*.png"))
    spread = 0
    for name in names[::9]:
        drawn, colored = np.asarray(Image.open(gray / name)), np.asarray(Image.open(color / name))
        assert colored.shape == (64, 64, 3)
        converted = np.asarray(Image.open(color / name).convert("L"))  # Pillow's own BT.601
        assert np.abs(converted.astype(int) - drawn).max() <= 2
        spread = max(spread, int(np.ptp(colored.astype(int), axis=2).max()))
    assert spread > 20
