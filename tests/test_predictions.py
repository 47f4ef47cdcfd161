"""Predictions: saved, loaded and joined without change; what is no set of probabilities is refused."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from mien.errors import InputError
from mien.predictions import Predictions, check_same_images, pool

N = 5


def predictions(split: str = "test", seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    return Predictions(
        split=split,
        label_names=("angry", "happy", "sad"),
        names=np.array([f"{split}/{seed}_{i}.png" for i in range(N)]),
        hashes=np.array([f"{seed}{i:031d}" for i in range(N)]),
        labels=np.array([0, 1, 2, 1, 0]),
        probabilities=rng.dirichlet(np.ones(3), N).astype(np.float32),
        in_train=np.array([True, False, False, True, False]),
        in_val=np.array([True, True, False, False, False]),
    )


def assert_same(one: Predictions, other: Predictions) -> None:
    for field in fields(Predictions):
        first, second = getattr(one, field.name), getattr(other, field.name)
        assert np.array_equal(first, second), field.name
        assert type(first) is type(second)
        if isinstance(first, np.ndarray):
            assert first.dtype.kind == second.dtype.kind


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "predictions" / "test.npz"
    predictions().save(path)
    assert_same(Predictions.load(path), predictions())
    assert [file.name for file in path.parent.iterdir()] == ["test.npz"]


def test_the_file_holds_no_pickle(tmp_path: Path) -> None:
    predictions().save(tmp_path / "test.npz")
    with zipfile.ZipFile(tmp_path / "test.npz") as archive:
        for member in archive.namelist():
            assert b"|O" not in archive.read(member)[:128]  # numpy's mark of an object array
    with np.load(tmp_path / "test.npz", allow_pickle=False) as stored:
        assert set(stored.files) == {field.name for field in fields(Predictions)} - {"people"} | {"format"}


class Evil:
    """Unpickling this would end the test run."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[int]]:
        return exit, (3,)


def test_a_file_with_a_pickle_inside_is_refused_unread(tmp_path: Path) -> None:
    values = {field.name: getattr(predictions(), field.name) for field in fields(Predictions)}
    evil = np.array([Evil()] * N, dtype=object)
    np.savez(tmp_path / "object.npz", **(values | {"names": evil}))
    (tmp_path / "raw.npz").write_bytes(pickle.dumps(Evil()))
    for name in ("object.npz", "raw.npz"):
        with pytest.raises(InputError, match=f"{name}: not a predictions file"):
            Predictions.load(tmp_path / name)


def whole(path: Path) -> bytes:
    predictions().save(path)
    return path.read_bytes()


def bare_array(path: Path) -> bytes:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    return path.read_bytes()


def one_key(path: Path) -> bytes:
    np.savez(path, names=np.zeros(3))
    return path.read_bytes()


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: b"",
        lambda path: b"not a zip at all",
        lambda path: whole(path)[:300],
        lambda path: whole(path)[:-40],
        lambda path: whole(path)[:150] + bytes(60) + whole(path)[210:],
        bare_array,
        one_key,
    ],
    ids=["empty", "text", "cut", "tail", "zeros", "npy", "one-key"],
)
def test_a_damaged_file_is_named(damage: Callable[[Path], bytes], tmp_path: Path) -> None:
    path = tmp_path / "test.npz"
    path.write_bytes(damage(path))
    with pytest.raises(InputError, match=r"test\.npz: not a predictions file"):
        Predictions.load(path)


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mien evaluate"):
        Predictions.load(tmp_path / "val.npz")


def rows(changed: dict[int, list[float]]) -> np.ndarray:
    """Probabilities of which these rows are others."""
    probabilities = predictions().probabilities.copy()
    for i, row in changed.items():
        probabilities[i] = row
    return probabilities


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probabilities": np.full((N, 2), 0.5)}, r"probabilities are \(5, 2\), expected \(5, 3\)"),
        ({"labels": np.zeros(N - 1, dtype=np.int64)}, r"labels has shape \(4,\), expected \(5,\)"),
        ({"hashes": np.array(["a"])}, "hashes has shape"),
        ({"in_train": np.zeros((N, 1), dtype=bool)}, r"in_train has shape \(5, 1\)"),
        ({"in_val": np.zeros(0, dtype=bool)}, "in_val has shape"),
        (
            {"probabilities": rows({2: [np.nan, 0.5, 0.5]})},
            r"not numbers: test/0_2\.png has nan, 0\.5, 0\.5, the first of 1",
        ),
        ({"probabilities": rows({4: [np.inf, 0, 0]})}, r"not numbers: test/0_4\.png has inf"),
        (
            {"probabilities": rows({1: [-0.2, 0.6, 0.6]})},
            r"negative probabilities: test/0_1\.png has -0\.2, 0\.6, 0\.6",
        ),
        (
            {"probabilities": rows({1: [0.3, 0.3, 0.3], 3: [0.5, 0.5, 0.5]})},
            r"do not sum to 1: test/0_1\.png has 0\.3, 0\.3, 0\.3, the first of 2 such images.*mien evaluate",
        ),
    ],
)
def test_wrong_arrays_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(predictions(), **change)  # type: ignore[arg-type]


def test_rounding_of_the_sums_is_forgiven_and_empty_sets_are_allowed() -> None:
    rounded = np.full((N, 3), np.float16(1 / 3)).astype(np.float32)
    assert len(replace(predictions(), probabilities=rounded)) == N
    nothing = predictions().keep(np.zeros(N, dtype=bool))
    assert len(nothing) == 0
    assert nothing.probabilities.shape == (0, 3)


def test_predicted_is_the_most_probable() -> None:
    some = replace(predictions(), probabilities=np.eye(3)[[2, 0, 1, 1, 2]])
    assert some.predicted.tolist() == [2, 0, 1, 1, 2]


def test_leak_free_depends_on_the_split() -> None:
    assert predictions("test").leak_free.tolist() == [False, False, True, False, True]
    assert predictions("val").leak_free.tolist() == [False, True, True, False, True]
    assert predictions("pooled").leak_free.tolist() == [False, True, True, False, True]


def test_keep_takes_the_same_rows_of_everything() -> None:
    kept = predictions().keep(predictions().labels == 1)
    assert kept.names.tolist() == ["test/0_1.png", "test/0_3.png"]
    assert np.array_equal(kept.probabilities, predictions().probabilities[[1, 3]])
    assert kept.in_train.tolist() == [False, True]
    assert (kept.split, kept.label_names) == ("test", predictions().label_names)


def test_pool_is_one_after_the_other() -> None:
    val, test = predictions("val", seed=1), predictions("test", seed=2)
    both = pool(val, test)
    assert both.split == "pooled"
    assert_same(replace(both.keep(np.arange(2 * N) < N), split="val"), val)
    assert_same(replace(both.keep(np.arange(2 * N) >= N), split="test"), test)
    with pytest.raises(InputError, match="cannot pool"):
        pool(val, replace(test, label_names=("a", "b", "c")))


def test_the_same_images_from_two_models_agree() -> None:
    other = replace(predictions(), probabilities=predictions(seed=9).probabilities, names=predictions(seed=9).names)
    check_same_images(predictions(), other)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (replace(predictions(), label_names=("a", "b", "c")), "different label sets: angry, happy, sad and a, b, c"),
        (predictions("val"), "different splits: test and val"),
        (
            replace(predictions(), label_names=("angry", "sad", "happy")),
            "different label orders: angry, happy, sad and angry, sad, happy",
        ),
        (
            predictions().keep(np.arange(N) != 3),
            r"different images: 5 and 4 of them; test/0_3\.png is missing in the second",
        ),
        (
            predictions().keep(np.array([0, 2, 1, 3, 4])),
            r"different orders of the same images, first at image 1: test/0_1\.png and test/0_2\.png",
        ),
        (
            replace(predictions(), labels=np.array([0, 1, 0, 1, 1])),
            r"different labels at image 2: test/0_2\.png and test/0_2\.png",
        ),
        (predictions(seed=3), r"different pixels at image 0: test/0_0\.png and test/3_0\.png"),
    ],
)
def test_the_first_difference_is_named(other: Predictions, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_same_images(predictions(), other)


def answers(confidence: list[float], right: list[bool], in_train: list[bool] | None = None) -> Predictions:
    top = np.array(confidence, dtype=np.float32)
    n = len(top)
    return Predictions(
        split="val",
        label_names=("happy", "sad"),
        names=np.array([f"{i}" for i in range(n)], dtype=np.str_),
        hashes=np.array([f"{i}" for i in range(n)], dtype=np.str_),
        labels=np.where(right, 0, 1).astype(np.int64),
        probabilities=np.stack([top, 1 - top], axis=1).reshape(n, 2),
        in_train=np.array(in_train if in_train else [False] * n, dtype=bool),
        in_val=np.ones(n, dtype=bool),
    )


def test_temperature_and_threshold_are_of_images_that_were_not_trained_on() -> None:
    rng = np.random.default_rng(0)
    confidence = list(rng.uniform(0.5, 1, 4_000))
    right = list(rng.uniform(size=4_000) < np.array(confidence))
    honest = answers(confidence, right)
    assert honest.fitted_temperature() == pytest.approx(1, abs=0.1)
    # Half of the images stand in train, where every answer is right: they must not count.
    flattered = answers(confidence + confidence, right + [True] * 4_000, [False] * 4_000 + [True] * 4_000)
    assert flattered.fitted_temperature() == honest.fitted_temperature()
    assert flattered.threshold_for(0.1) == honest.threshold_for(0.1)


def test_few_images_give_no_temperature() -> None:
    assert answers([0.6] * 99, [True] * 99).fitted_temperature() == 1
    assert answers([0.6] * 100, [True] * 100).fitted_temperature() < 0.5
    assert answers([], []).threshold_for(0.1) == 1


def test_tempered_answers_keep_their_order() -> None:
    before = answers([0.9, 0.6], [True, False])
    after = before.tempered(2.0)
    assert after.probabilities[0, 0] == pytest.approx(3 / 4)  # roots of .9 and .1 stand 3 to 1
    assert (after.predicted == before.predicted).all()
    assert before.tempered(1.0) is before
