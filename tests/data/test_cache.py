"""The cache: decoded once, exactly as Preprocess resizes, whole or not at all."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mien.data import cache
from mien.data.cache import cache_folder, decoded
from mien.data.faceset import FaceSet
from mien.data.sources import open_source
from mien.errors import InputError
from mien.images import Pixels, decode, pixel_hash
from mien.preprocess import Preprocess, resize

Pack = Callable[..., Path]
Classes = Callable[..., dict[str, bytes]]
Encode = Callable[[Pixels], bytes]
Noise = Callable[..., Pixels]
SIZE = 32


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "own cache"
    monkeypatch.setenv("MIEN_CACHE", str(folder))
    return folder


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, decoding a picture fails the test."""

    def refuse(*_: object) -> Pixels:
        raise AssertionError("decoded again")

    return lambda: monkeypatch.setattr(cache, "decode", refuse)


def test_the_folder_is_chosen_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_CACHE", "/a")
    assert cache_folder() == Path("/a")
    monkeypatch.delenv("MIEN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert cache_folder() == Path("/b/mien")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_folder() == Path.home() / ".cache" / "mien"


def test_a_second_opening_decodes_nothing(
    pack: Pack, classes: Classes, own_cache: Path, no_decoding: Callable[[], None]
) -> None:
    path = pack("set", classes("ab") | {"a/bad.png": b"x"})
    first = FaceSet.open(path, skip_unreadable=True)
    no_decoding()
    again = FaceSet.open(path, skip_unreadable=True)
    assert np.array_equal(first.images, again.images)
    assert (first.fingerprint, first.unreadable) == (again.fingerprint, again.unreadable)
    with pytest.raises(InputError, match="1 of 5 pictures cannot be read"):
        FaceSet.open(path)


def test_native_pixels_are_shared_between_sizes(
    pack: Pack, classes: Classes, own_cache: Path, no_decoding: Callable[[], None]
) -> None:
    path = pack("set.zip", classes("ab"))
    small = FaceSet.open(path, size=8)
    no_decoding()
    large = FaceSet.open(path, size=224)
    assert large.store.shape == small.store.shape == (4, 8, 8)
    assert len(list(own_cache.iterdir())) == 1


def test_a_smaller_size_than_native_is_a_set_of_its_own(pack: Pack, classes: Classes, own_cache: Path) -> None:
    path = pack("set.zip", classes("ab"))
    sizes = (8, 4, 6, 8, 4)
    assert [FaceSet.open(path, size=size).store.shape[1] for size in sizes] == list(sizes)
    assert len({FaceSet.open(path, size=size).fingerprint for size in sizes}) == 1
    assert len(list(own_cache.iterdir())) == 3


@pytest.mark.parametrize("name", ["set", "set.zip"])
def test_a_changed_file_is_decoded_again(name: str, pack: Pack, classes: Classes) -> None:
    before = FaceSet.open(pack(name, classes("ab"))).fingerprint
    assert FaceSet.open(pack(name, classes("ab", seed=1))).fingerprint != before
    assert FaceSet.open(pack(name, classes("ab"))).fingerprint == before


@pytest.mark.parametrize("size", [4, 8, 16])
def test_pictures_of_one_shape_keep_it_unless_it_is_too_large(size: int, pack: Pack, classes: Classes) -> None:
    files = classes("ab")
    store = FaceSet.open(pack("set", files), size=size).store
    for row, name in enumerate(sorted(files)):
        native = decode(files[name], name)
        assert np.array_equal(store[row], native if size >= 8 else resize(native, (4, 4)))


@pytest.mark.parametrize("shape", [(24, 90), (90, 24, 3)])
def test_one_side_too_large_is_too_large(shape: tuple[int, ...], pack: Pack, encode: Encode, noise: Noise) -> None:
    images = [noise(shape, seed) for seed in range(2)]
    kept = decoded(open_source(pack("set", {f"a/{i}.png": encode(image) for i, image in enumerate(images)})), SIZE)
    assert np.array_equal(kept.images, [resize(image, (SIZE, SIZE)) for image in images])


# smaller and larger than SIZE, of its size, and wide; gray and color
SHAPES = [(20, 20), (20, 20, 3), (32, 32), (60, 40, 3), (24, 90)]


@pytest.mark.parametrize("shapes", list(itertools.permutations(SHAPES, 3)))
def test_mixed_pictures_are_what_preprocess_makes_of_each(
    shapes: tuple[tuple[int, ...], ...], pack: Pack, encode: Encode, noise: Noise
) -> None:
    images = [noise(shape, seed) for seed, shape in enumerate([*shapes, shapes[0]])]
    path = pack("set", {f"{'ab'[i % 2]}/{i}.png": encode(image) for i, image in enumerate(images)})
    source = open_source(path)
    kept = decoded(source, SIZE)
    colors = any(len(shape) == 3 for shape in shapes)
    for row, entry in enumerate(source.entries):
        image = images[int(entry.name[2])]
        assert kept.shapes[row].tolist() == list(image.shape[:2])
        assert kept.hashes[row] == pixel_hash(image)
        expected = resize(image, (SIZE, SIZE))
        if colors:
            expected = Preprocess(size=SIZE, color="rgb", mean=(0,) * 3, std=(1,) * 3).pixels(image)
        assert np.array_equal(kept.images[row], expected)


@pytest.mark.parametrize("shapes", [[(20, 30), (20, 30, 3)], [(20, 30, 3), (20, 30)]])
def test_one_shape_in_gray_and_color_keeps_native_pixels(
    shapes: list[tuple[int, ...]], pack: Pack, encode: Encode, noise: Noise
) -> None:
    images = [noise(shape, seed) for seed, shape in enumerate(shapes)]
    path = pack("set", {f"a/{i}.png": encode(image) for i, image in enumerate(images)})
    kept = decoded(open_source(path), SIZE)
    for stored, image in zip(kept.images, images, strict=True):
        assert np.array_equal(stored, image if image.ndim == 3 else np.dstack([image] * 3))


def test_unreadable_pictures_leave_empty_rows_and_others_unharmed(pack: Pack, encode: Encode, noise: Noise) -> None:
    images = {1: noise((20, 20), 1), 3: noise((60, 40, 3), 3)}
    files = {f"a/{i}.png": encode(images[i]) if i in images else b"x" for i in range(5)}
    kept = decoded(open_source(pack("set", files)), SIZE)
    assert sorted(kept.unreadable) == [0, 2, 4]
    for row in range(5):
        image = images.get(row, np.zeros((1, 1), dtype=np.uint8))
        expected = resize(image, (SIZE, SIZE))
        assert np.array_equal(kept.images[row], expected if expected.ndim == 3 else np.dstack([expected] * 3))
    assert kept.hashes[0] == ""
    assert kept.shapes[[0, 2, 4]].tolist() == [[0, 0]] * 3


def test_blank_pictures_are_marked(pack: Pack, encode: Encode, noise: Noise) -> None:
    almost = np.full((9, 9), 7, dtype=np.uint8)
    almost[8, 8] = 8
    blank = np.full((9, 9, 3), 200, dtype=np.uint8)
    files = {"a/0.png": encode(blank), "a/1.png": encode(almost), "b/2.png": encode(noise((9, 9)))}
    assert decoded(open_source(pack("set", files)), SIZE).blank.tolist() == [True, False, False]


def test_progress_counts_up_to_all(pack: Pack, classes: Classes, own_cache: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    FaceSet.open(pack("set", classes("ab", 3)), progress=lambda *call: calls.append(call))
    assert calls == [("decoding faces", 6, 6)]


def test_a_cache_that_cannot_be_written_is_named(
    pack: Pack, classes: Classes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(InputError, match=r"file/cache: the cache .* cannot be written .*MIEN_CACHE="):
        FaceSet.open(pack("set", classes("ab")))


def test_a_full_disk_leaves_nothing_behind(
    pack: Pack, classes: Classes, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(cache.np, "savez_compressed", full)
        with pytest.raises(InputError, match=r"cannot be written.*No space left"):
            FaceSet.open(pack("set", classes("ab")))
    assert not own_cache.exists()


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("index.npz", lambda data: b""),
        ("index.npz", lambda data: b"hello"),
        ("index.npz", lambda data: data[:-50]),
        ("index.npz", lambda data: data[:100] + bytes(80) + data[180:]),
        ("images.npy", lambda data: data[:-50]),
        ("images.npy", lambda data: b""),
        ("images.npy", None),
    ],
)
def test_a_damaged_cache_is_named(
    file: str, damage: Callable[[bytes], bytes] | None, pack: Pack, classes: Classes, own_cache: Path
) -> None:
    path = pack("set", classes("ab"))
    FaceSet.open(path)
    (folder,) = own_cache.iterdir()
    target = folder / file
    if damage is None:
        target.unlink()
    else:
        target.write_bytes(damage(target.read_bytes()))
    with pytest.raises(InputError, match=rf"{folder.name}: damaged cache .*Delete this folder"):
        FaceSet.open(path)


def test_an_interruption_leaves_no_half_cache(
    pack: Pack, classes: Classes, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack("set", classes("ab"))
    seen: list[str] = []

    def stop_at_three(data: bytes, name: str) -> Pixels:
        seen.append(name)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return decode(data, name)

    with monkeypatch.context() as patch:
        patch.setattr(cache, "decode", stop_at_three)
        with pytest.raises(KeyboardInterrupt):
            FaceSet.open(path)
    assert not own_cache.exists()
    assert len(FaceSet.open(path)) == 4


def test_another_process_may_finish_first(
    pack: Pack, classes: Classes, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack("set", classes("ab"))
    real = cache._decode_all
    nested: list[FaceSet] = []

    def race(*arguments: object) -> bool:
        if not nested:
            nested.append(None)  # type: ignore[arg-type]
            nested.append(FaceSet.open(path))
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(cache, "_decode_all", race)
    assert FaceSet.open(path).fingerprint == nested[1].fingerprint
    assert len(list(own_cache.iterdir())) == 1
