"""Figures by group against scikit-learn, planted gaps are found, and files that cannot be meant are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import kstest
from sklearn.metrics import balanced_accuracy_score, f1_score
from statsmodels.stats.proportion import proportion_confint

from mien.errors import InputError
from mien.evaluation.groups import Groups, by_group, read_groups
from mien.predictions import Predictions

LABELS = ("a", "b", "c")


def answering(labels: npt.ArrayLike, right: npt.NDArray[np.bool_], confidence: float = 0.8) -> Predictions:
    """Predictions for images `test/0.png`, …; where they are not `right` they name the next class."""
    truth, n = np.asarray(labels, dtype=np.int64), len(right)
    guess = np.where(right, truth, (truth + 1) % 3)
    probabilities = np.full((n, 3), (1 - confidence) / 2, dtype=np.float32)
    probabilities[np.arange(n), guess] = confidence
    names = np.array([f"test/{i}.png" for i in range(n)], dtype=np.str_)
    no = np.zeros(n, dtype=np.bool_)
    return Predictions("test", LABELS, names, names, truth, probabilities, no, no)


def in_groups(predictions: Predictions, groups: npt.ArrayLike) -> dict[str, str]:
    return dict(zip(predictions.names.tolist(), map(str, np.asarray(groups)), strict=True))


def drawn(sizes: dict[str, int], accuracy: dict[str, float], seed: int = 0) -> tuple[Predictions, dict[str, str]]:
    rng = np.random.default_rng(seed)
    group = np.repeat(list(sizes), list(sizes.values()))
    right = rng.random(len(group)) < np.array([accuracy[name] for name in group])
    predictions = answering(rng.integers(3, size=len(group)), right)
    return predictions, in_groups(predictions, group)


def scored(predictions: Predictions, groups: dict[str, str]) -> Groups:
    return by_group(predictions, groups, draws=100, permutations=500)


def test_figures_are_those_of_scikit_learn_by_group() -> None:
    predictions, groups = drawn({"old": 70, "young": 150, "few": 29}, {"old": 0.5, "young": 0.7, "few": 0.9})
    found = scored(predictions, groups)
    assert [(score.name, score.n, score.few) for score in found.scores] == [
        ("few", 29, True), ("old", 70, False), ("young", 150, False)
    ]  # fmt: skip
    assert (found.n, found.without_group, found.labels) == (249, 0, LABELS)
    for score in found.scores:
        mask = np.array([groups[name] == score.name for name in predictions.names.tolist()])
        truth, guess = predictions.labels[mask], predictions.predicted[mask]
        right = int((truth == guess).sum())
        assert score.accuracy.value == pytest.approx(right / score.n)
        interval = proportion_confint(right, score.n, method="wilson")
        assert (score.accuracy.low, score.accuracy.high) == pytest.approx(interval)
        assert score.macro_f1.value == pytest.approx(f1_score(truth, guess, average="macro"))
        assert score.mean_class_accuracy.value == pytest.approx(balanced_accuracy_score(truth, guess))
        assert score.overconfidence.value == pytest.approx(0.8 - right / score.n)
        assert score.shares == pytest.approx(np.bincount(truth, minlength=3) / score.n)
        for figure in (score.macro_f1, score.mean_class_accuracy, score.overconfidence):
            assert figure.low < figure.value < figure.high


def test_overconfidence_interval_equals_naive_resampling() -> None:
    predictions, groups = drawn({"x": 200, "y": 40}, {"x": 0.6, "y": 0.6})
    score = by_group(predictions, groups).scores[0]
    over = 0.8 - (predictions.predicted == predictions.labels)[:200]
    rng = np.random.default_rng(1)
    naive = np.percentile([rng.choice(over, 200).mean() for _ in range(3000)], [2.5, 97.5])
    assert (score.overconfidence.low, score.overconfidence.high) == pytest.approx(naive, abs=0.01)


def test_a_planted_gap_is_found_and_is_not_of_the_mix() -> None:
    found = by_group(*drawn({"x": 300, "y": 400, "z": 300}, {"x": 0.8, "y": 0.7, "z": 0.5}))
    gap = found.largest
    assert gap is not None
    assert (gap.higher, gap.lower) == ("x", "z")
    x, _, z = found.scores
    assert gap.difference.value == pytest.approx(x.accuracy.value - z.accuracy.value)
    assert gap.difference.low < 0.3 < gap.difference.high
    assert gap.p_value < 0.001
    assert gap.p_same_mix is not None
    assert gap.p_same_mix < 0.001
    assert gap.same_mix is not None
    assert gap.same_mix.low < 0.3 < gap.same_mix.high
    assert found.clearest == found.clearest_same_mix == gap


def test_a_gap_by_the_mix_of_classes_alone_is_told_apart() -> None:
    """Class a is answered well and c badly, in both groups alike, but x holds more of a."""
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 2, 0, 2], [400, 100, 100, 400])
    right = rng.random(1000) < np.where(labels == 0, 0.9, 0.4)
    predictions = answering(labels, right)
    found = by_group(predictions, in_groups(predictions, np.repeat(["x", "y"], 500)))
    gap = found.largest
    assert gap is not None
    assert gap.difference.value > 0.2
    assert gap.p_value < 0.001
    assert gap.same_mix is not None
    assert gap.same_mix.low < 0 < gap.same_mix.high
    assert gap.p_same_mix is not None
    assert gap.p_same_mix > 0.1


def test_a_gap_that_the_mix_hides_is_found_within_classes() -> None:
    """y is worse in each class, and holds more of the easy one: Simpson's paradox."""
    labels = np.repeat([0, 2, 0, 2], [100, 400, 400, 100])
    right = np.concatenate([np.arange(n) < hits for n, hits in [(100, 95), (400, 250), (400, 310), (100, 35)]])
    predictions = answering(labels, right)
    gap = by_group(predictions, in_groups(predictions, np.repeat(["x", "y"], 500))).largest
    assert gap is not None
    assert gap.p_value > 0.5
    assert gap.same_mix is not None
    assert abs(gap.same_mix.value) > 0.15
    assert gap.p_same_mix is not None
    assert gap.p_same_mix < 0.001


def test_p_is_uniform_where_groups_are_drawn_at_random() -> None:
    rng = np.random.default_rng(5)
    p = []
    for seed in range(60):
        predictions = answering(rng.integers(3, size=300), rng.random(300) < 0.65)
        groups = in_groups(predictions, rng.choice(list("xyz"), size=300))
        gap = by_group(predictions, groups, draws=2, permutations=200, seed=seed).clearest
        assert gap is not None
        p.append(gap.p_value)
    assert kstest(p, "uniform").pvalue > 0.01


def test_small_groups_stand_in_no_gap() -> None:
    found = scored(*drawn({"x": 60, "y": 60, "few": 29}, {"x": 0.6, "y": 0.6, "few": 0.0}))
    assert found.scores[0].accuracy.value == 0
    assert found.largest is not None
    assert {found.largest.higher, found.largest.lower} == {"x", "y"}
    alone = scored(*drawn({"x": 60, "few": 29}, {"x": 0.6, "few": 0.0}))
    assert (alone.largest, alone.clearest, alone.clearest_same_mix) == (None, None, None)


def test_groups_that_share_no_class_cannot_be_compared_class_by_class() -> None:
    predictions = answering(np.repeat([0, 1], 40), np.arange(80) % 3 > 0)
    found = scored(predictions, in_groups(predictions, np.repeat(["x", "y"], 40)))
    assert found.largest is not None
    assert (found.largest.same_mix, found.largest.p_same_mix, found.clearest_same_mix) == (None, None, None)


def test_all_right_and_one_image_are_borne(recwarn: pytest.WarningsRecorder) -> None:
    found = scored(*drawn({"one": 1, "x": 50, "y": 50}, {"one": 1.0, "x": 1.0, "y": 1.0}))
    one = found.scores[0].accuracy
    assert (one.value, one.high) == (1, 1)
    assert one.low < 0.3
    assert found.largest is not None
    assert (found.largest.difference.value, found.largest.p_value, found.largest.p_same_mix) == (0, 1, 1)
    assert not recwarn.list


def test_groups_draw_from_streams_of_their_own() -> None:
    """Two groups of the same answers have the same figures, but not the same resamples."""
    predictions = answering(np.tile([0, 1, 2], 40), np.tile(np.arange(60) % 3 > 0, 2))
    x, y = by_group(predictions, in_groups(predictions, np.repeat(["x", "y"], 60)), draws=200).scores
    assert x.macro_f1.value == y.macro_f1.value
    assert (x.macro_f1.low, x.macro_f1.high) != (y.macro_f1.low, y.macro_f1.high)


def test_json_round_trip_and_seed() -> None:
    case = drawn({"x": 40, "y": 50}, {"x": 0.4, "y": 0.7})
    found = by_group(*case, draws=50, permutations=100, seed=1)
    assert Groups.model_validate_json(found.model_dump_json()) == found
    assert by_group(*case, draws=50, permutations=100, seed=1) == found
    assert by_group(*case, draws=50, permutations=100, seed=2) != found


def test_a_file_may_speak_of_other_splits_and_leave_images_out() -> None:
    predictions, groups = drawn({"x": 40, "y": 40}, {"x": 0.5, "y": 0.5})
    known = ["train/0.png", *predictions.names.tolist()]
    fewer = {name: group for name, group in groups.items() if name not in ("test/0.png", "test/79.png")}
    found = by_group(predictions, {**fewer, "train/0.png": "z"}, known=known, draws=10, permutations=10)
    assert (found.n, found.without_group) == (78, 2)
    assert [score.name for score in found.scores] == ["x", "y"]
    with pytest.raises(InputError, match=r"1 of 79 names are of no image of the data: train/0\.png\. Names here look"):
        scored(predictions, {**fewer, "train/0.png": "z"})


def test_unknown_names_are_listed_with_the_near_one() -> None:
    predictions, groups = drawn({"x": 40, "y": 40}, {"x": 0.5, "y": 0.5})
    wrong = {f"7{i}.png": "x" for i in range(5)}
    message = (
        r"5 of 85 names are of no image of the data: 70\.png, 71\.png, 72\.png, …\. "
        r"Names here look like test/0\.png\. Did you mean 'test/70\.png'\?"
    )
    with pytest.raises(InputError, match=message):
        scored(predictions, {**groups, **wrong})


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["test/0.png", "test/1.png"], "at least two among the 80 images of 'test', found one, x"),
        (["val/0.png"], "found none: all 1 names are of other splits"),
    ],
)
def test_fewer_than_two_groups_are_refused(names: list[str], message: str) -> None:
    predictions, _ = drawn({"x": 40, "y": 40}, {"x": 0.5, "y": 0.5})
    known = ["val/0.png", *predictions.names.tolist()]
    with pytest.raises(InputError, match=message):
        by_group(predictions, dict.fromkeys(names, "x"), known=known)


def test_no_image_is_refused() -> None:
    predictions, groups = drawn({"x": 40, "y": 40}, {"x": 0.5, "y": 0.5})
    with pytest.raises(InputError, match="no image to score"):
        scored(predictions.keep(np.zeros(80, dtype=bool)), groups)


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "groups.csv"
    path.write_text('\ufeffname, Group ,note\na.png, x y ,1\n"b, c.png",z\na.png,x y\nd é.png,ü\n', encoding="utf-8")
    assert read_groups(path) == {"a.png": "x y", "b, c.png": "z", "d é.png": "ü"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected the columns name and group, found: none"),
        (b"name;group\na;b\n", "found: name;group"),
        (b"name,sex\na,b\n", "expected the columns name and group, found: name, sex. The first line"),
        (b"a.png,x\nb.png,y\n", r"found: a\.png, x"),
        (b"name,group\n", "names no image"),
        (b"name,group\na.png,x\na.png,y\n", r"groups\.csv, line 3: a\.png is in group 'y', before it was in 'x'"),
        (b"name,group\na.png,x\nb.png, \n", r"line 3: has no group"),
        (b"name,group\na.png\n", r"line 2: has no group"),
        (b"name,group\n,x\n", r"line 2: has no name"),
        ("name,group\nä.png,x\n".encode("latin-1"), "cannot be read as CSV in UTF-8"),
        (b"name,group\n\x89PNG\x00\x01,x\n", "cannot be read as CSV in UTF-8"),
    ],
)
def test_other_files_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "groups.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_groups(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv: no such file of groups"):
        read_groups(tmp_path / "none.csv")
    with pytest.raises(InputError, match="cannot be read as CSV"):
        read_groups(tmp_path)
