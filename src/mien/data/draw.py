"""Drawn sets: a small, license-free, deterministic data set of cartoon faces for tests, the demo and first steps."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mien.data.cartoon import SIZES, draw_face
from mien.data.tint import tint
from mien.errors import InputError, not_writable
from mien.labels import FER7
from mien.scratch import remove_dead, scratch_folder

MIN_COUNT = 70  # the least that gives every class a face in both tenths
MAX_COUNT = 1_000_000  # some 2 GB at 48 pixels
REPEATED = 0.01  # share of the faces that copy a training face into the test folder, on purpose
# FER2013's imbalance, except that disgust (there 1.5 %) stays common enough to be counted in a small set.
SHARES = {"angry": 0.14, "disgust": 0.05, "fear": 0.13, "happy": 0.24, "neutral": 0.16, "sad": 0.16, "surprise": 0.12}


@dataclass(frozen=True)
class DrawnFile:
    """One file of the set: `face` is the number that, with the seed, decides its pixels."""

    name: str
    emotion: str
    face: int


def draw_set(out: Path, count: int, seed: int, *, size: int = 48, color: bool = False, overwrite: bool = False) -> Path:
    """Write `count` faces as PNG in the layout of the usual FER2013 download, and return `out`.

    `train/<class>/Training_<i>.png` holds 80 %, `test/<class>/PublicTest_<i>.png` and `PrivateTest_<i>.png` 10 % each;
    every class stands in each of the three, in `SHARES`. About 1 % of the files (at least one, in PrivateTest first)
    repeat a training face of the same class pixel for pixel, as FER2013 does, so that an audit has something to find
    and the leak-free score differs from the official one.

    `out` is one zip file if its name ends in .zip, otherwise a folder; it appears whole or not at all. Face i depends
    on `seed`, i and its emotion alone, so the same arguments give the same bytes. With `color` the same faces are drawn
    as RGB.

    Raises `InputError` when `count` is outside `MIN_COUNT` to `MAX_COUNT`, `seed` below 0, `size` outside `SIZES`, or
    `out` already holds something and `overwrite` is False. Even then a folder is replaced only if nothing but `train`
    and `test` lies in it.
    """
    if count < MIN_COUNT:
        raise InputError(f"at least {MIN_COUNT} faces are needed for every class to stand in every split, got {count}")
    if count > MAX_COUNT:
        raise InputError(f"at most {MAX_COUNT:,} faces are drawn at a time, got {count:,}")
    if seed < 0:
        raise InputError(f"a seed is a whole number from 0, got {seed}")
    if not SIZES[0] <= size <= SIZES[1]:
        raise InputError(f"faces are drawn {SIZES[0]} to {SIZES[1]} pixels wide, got size {size}")
    target = out.resolve()
    remove_dead(target.parent)
    _check_free(target, out, overwrite)
    try:
        with scratch_folder(target) as scratch:
            part = scratch / "new"
            write = _write_zip if _is_zip(target) else _write_folder
            write(part, _files(count, seed, size, color))
            _swap(part, target, scratch / "old")
    except OSError as error:
        raise not_writable(out, error, "Choose another place") from error
    return out


def drawn_files(count: int) -> list[DrawnFile]:
    """Which face goes where, in the order of their numbers; a repeat carries the number of the face it copies."""
    tenth = round(count / 10)
    splits = (("train", "Training", count - 2 * tenth), ("test", "PublicTest", tenth), ("test", "PrivateTest", tenth))
    kinds = [
        (folder, usage, emotion)
        for folder, usage, n in splits
        for emotion, share in _quota(n).items()
        for _ in range(share)
    ]
    files = [
        DrawnFile(f"{folder}/{emotion}/{usage}_{i}.png", emotion, i) for i, (folder, usage, emotion) in enumerate(kinds)
    ]
    repeats = max(1, round(REPEATED * count))
    private = (repeats + 1) // 2
    for first, n in ((count - tenth, private), (count - 2 * tenth, repeats - private)):
        for k in range(n):
            i = first + int((k + 0.5) * tenth / n)
            twins = [file.face for file in files[: count - 2 * tenth] if file.emotion == files[i].emotion]
            # from the front for PrivateTest, from the back for PublicTest: no face stands in all three
            source = twins[k % len(twins)] if first == count - tenth else twins[-1 - k % len(twins)]
            files[i] = DrawnFile(files[i].name, files[i].emotion, source)
    return files


def _quota(n: int) -> dict[str, int]:
    """How many of `n` faces each class gets: one each, then always to the class that is furthest below its share."""
    have = dict.fromkeys(FER7.labels, 1)
    for _ in range(n - len(have)):
        have[max(have, key=lambda emotion: SHARES[emotion] * n - have[emotion])] += 1
    return have


def _files(count: int, seed: int, size: int, color: bool) -> Iterator[tuple[str, bytes]]:
    for file in drawn_files(count):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(file.face,)))
        buffer = io.BytesIO()
        face = draw_face(file.emotion, rng, size)
        Image.fromarray(tint(face, rng) if color else face).save(buffer, "PNG")
        yield file.name, buffer.getvalue()


def _write_folder(folder: Path, files: Iterator[tuple[str, bytes]]) -> None:
    for name, data in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _write_zip(path: Path, files: Iterator[tuple[str, bytes]]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files:
            entry = zipfile.ZipInfo(name)  # dated 1980: the bytes must not depend on the clock
            entry.create_system = 3  # nor on the operating system
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)


def _swap(part: Path, target: Path, old: Path) -> None:
    """Put `part` in the place of `target`; whatever goes wrong, something whole stands there."""
    try:
        if target.is_dir():  # a folder cannot be replaced in one step while it holds something
            target.rename(old)
        part.replace(target)
    finally:
        if old.exists() and not target.exists():
            old.rename(target)


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip"


def _check_free(target: Path, out: Path, overwrite: bool) -> None:
    if not target.exists():
        return
    if target.is_dir() == _is_zip(target):
        found, expected = ("folder", "zip file") if target.is_dir() else ("file", "folder")
        raise InputError(f"{out}: is a {found}, but a {expected} would be written there. Choose another name")
    held = sorted(path.name for path in target.iterdir()) if target.is_dir() else [target.name]
    if held and not overwrite:
        raise InputError(f"{out}: already there and not empty. Replace it with --overwrite, or choose another name")
    foreign = [name for name in held if target.is_dir() and name not in ("train", "test")]
    if foreign:
        raise InputError(
            f"{out}: contains more than a data set ('{foreign[0]}'), so it is not replaced even with --overwrite. "
            "Choose another name"
        )
