"""Views: the rule for mirror images, chosen on hand-made answers with a known best; and that it is the file's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mien import FaceSet, InputError, Recognizer
from mien.cards import Head
from mien.evaluation.views import GRID, Views, check_rule, views_of, wanted_rule
from mien.model import Model
from mien.predictions import People, Predictions
from mien.recognize.classifier import with_card

Group = tuple[int, float, float]  # faces, what they and their mirror images give to the right one of two answers
TWO_HEADS = Model.open("mien-small").card.model_copy(
    update={"labels": ("no", "yes"), "people": Head(labels=("no", "yes"))}
)
ALONE = TWO_HEADS.model_copy(update={"people": None})


def views(*groups: Group, people: tuple[Group, ...] = ()) -> Views:
    """Faces whose right answer is always `yes`."""

    def said(groups: tuple[Group, ...]) -> np.ndarray:
        right_VN = np.array([[p for n, *both in groups for p in [both[v]] * n] for v in (0, 1)])
        return np.stack([1 - right_VN, right_VN], axis=-1)

    both = said(groups)
    n = both.shape[1]
    votes = np.tile([1, 9], (n, 1))
    given = Predictions(
        "val", ("no", "yes"), np.array([str(i) for i in range(n)]), np.array([str(i) for i in range(n)]),
        np.ones(n, dtype=np.int64), both[0].astype(np.float32), np.zeros(n, bool), np.zeros(n, bool),
        People(("no", "yes"), both[0].astype(np.float32), votes) if people else None,
    )  # fmt: skip
    if not people:
        return Views(ALONE, both, given)
    return Views(TWO_HEADS, np.concatenate([both, said(people)], axis=-1), given)


SURE: Group = (100, 0.95, 0.97)
MENDED: Group = (30, 0.315, 0.9)  # wrong at a confidence of .685, right with the mirror image
SPOILED: Group = (30, 0.745, 0.1)  # right at .745, wrong with the mirror image


def test_the_lowest_confidence_that_loses_nothing_is_chosen() -> None:
    assert views(SURE, MENDED).chosen("auto") == 0.69
    assert views(SURE, SURE).chosen("auto") == GRID[0]
    assert views(SURE, SPOILED).chosen("auto") == GRID[0]  # what mirror images spoil is won
    # Surer than the grid and yet mended: none is good enough.
    assert views(SURE, (60, 0.005, 0.999)).chosen("auto") is None
    # Below .69 the 30 that it loses are made up for by 40 that mirror images spoil, down to the next that are mended.
    assert views(SURE, MENDED, (40, 0.745, 0.1), (20, 0.385, 0.9)).chosen("auto") == 0.62


def test_a_lower_confidence_does_not_count_where_one_between_loses() -> None:
    """At .74 thirty are lost; at .69 forty are won back, but a little above it is worse than always."""
    given = views(SURE, (30, 0.255, 0.9), (40, 0.695, 0.1))
    assert given.chosen("auto") == 0.75
    found = given.rule(0.69)
    assert found.heads[0].rule_change.value > 0


def test_no_head_may_lose() -> None:
    faces = (SURE, (60, 0.95, 0.9))
    assert views(*faces).chosen("auto") == GRID[0]
    # The same faces, of which the people's head is mended in half: it decides, below its own .885.
    assert views(*faces, people=(SURE, (60, 0.115, 0.95))).chosen("auto") == 0.89
    # The head that is unsure has both of them look again.
    twice = views(*faces, people=(SURE, (60, 0.6, 0.6))).seen_twice(0.7)
    assert twice.tolist() == [False] * 100 + [True] * 60


def test_figures_are_those_of_the_views() -> None:
    found = views(SURE, MENDED, SPOILED).rule(0.72, draws=2000)
    (head,) = found.heads
    assert (found.below, found.n, found.seen_twice) == (0.72, 160, 30 / 160)
    assert (head.truth, head.n) == ("labels", 160)
    assert (head.always.value, head.rule.value, head.never.value) == pytest.approx((130 / 160, 1.0, 130 / 160))
    assert (head.rule_change.value, head.never_change.value) == pytest.approx((30 / 160, 0.0))
    # Paired: 30 are won and none is lost, so the standard error is that of a share.
    share = 30 / 160
    half = 1.96 * np.sqrt(share * (1 - share) / 160)
    assert (head.rule_change.low, head.rule_change.high) == pytest.approx((share - half, share + half), abs=0.02)
    # Without, 30 are won and 30 lost.
    half = 1.96 * np.sqrt(60 / 160 / 160)
    assert (head.never_change.low, head.never_change.high) == pytest.approx((-half, half), abs=0.02)
    assert (head.always.low, head.always.high) != (head.rule.low, head.rule.high)


def test_too_few_images_choose_nothing() -> None:
    few = views((50, 0.95, 0.9))
    with pytest.raises(InputError, match="50 val images that are not in train; at least 100"):
        few.chosen("auto")
    assert few.chosen(0.8) == 0.8
    assert few.chosen("always") is None


def test_what_the_option_says() -> None:
    assert [wanted_rule(text) for text in ("auto", "always", "0.75")] == ["auto", "always", 0.75]
    with pytest.raises(InputError, match=r"unknown --mirror-below 'alway'\. Did you mean 'always'"):
        wanted_rule("alway")
    small = Model.open("mien-small")
    for wrong in (0.0, -1.0, 1.01, float("nan"), float("inf")):
        with pytest.raises(InputError, match="expected a probability above 0, up to 1"):
            check_rule(small, wrong, voted=True)
    check_rule(small, 1.0, voted=True)
    with pytest.raises(InputError, match="--votes FILE"):
        check_rule(small, 0.9, voted=False)
    with pytest.raises(InputError, match="unknown --mirror-below 'often'"):
        check_rule(small, "often", voted=True)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="sees no mirror images"):
        check_rule(Model.open("mien-tiny"), 0.9, voted=True)


def test_answers_under_a_rule_are_those_of_the_file(drawn_faces: FaceSet, tmp_path: Path) -> None:
    model = Model.open("mien-small")
    every = replace(drawn_faces, splits=np.full(len(drawn_faces), "val"))
    found = Views.of(model, every, None)
    assert len(found.beside) == len(every)
    with pytest.raises(InputError, match="no votes on these 140 val images"):
        found.chosen(0.9)
    file = tmp_path / "new.onnx"
    for below in (None, 0.6):
        file.write_bytes(with_card(model.content, model.card.model_copy(update={"mirror_below": below}), "x"))
        said, under = Recognizer(file, detector="none").of_all_heads(list(every.images)), found.under(below)
        assert under.people is not None
        np.testing.assert_allclose(np.hstack([under.probabilities, under.people.probabilities]), said, atol=1e-5)
    assert 20 < found.seen_twice(0.6).sum() < 120
    # Views are raw: of a file with a rule they are those of every face.
    np.testing.assert_array_equal(
        views_of(file.read_bytes(), Model.open(file).card, list(every.images), "x"), found.said
    )


def test_images_of_train_choose_nothing(drawn_faces: FaceSet, tmp_path: Path) -> None:
    half = len(drawn_faces) // 2
    splits = np.array(["train"] * half + ["val"] * (len(drawn_faces) - half))
    mixed = replace(drawn_faces.keep(np.r_[:half, 0, 1, half + 2 : len(splits)]), splits=splits)  # two stand in both
    file = tmp_path / "mine.onnx"  # which does not know what it has seen
    small = Model.open("mien-small")
    training = small.card.training.model_copy(update={"seed": 7})
    file.write_bytes(with_card(small.content, small.card.model_copy(update={"training": training}), "mine"))
    for model, left_out in ((Model.open(file), 2), (Model.open("mien-small"), 0)):
        said = model.predictions(mixed, "val")
        given = Views.of(model, mixed, None).beside
        assert given.hashes.tolist() == said.keep(said.leak_free).hashes.tolist()
        assert given.leak_free.all()
        assert len(said) - len(given) == left_out
    same = replace(drawn_faces.keep(np.r_[0, 0]), splits=np.array(["train", "val"]))
    with pytest.raises(InputError, match="every val image is also among those"):
        Views.of(Model.open(file), same, None)
    with pytest.raises(InputError, match="has no val split"):
        Views.of(Model.open(file), drawn_faces.select("train"), None)
