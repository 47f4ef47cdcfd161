"""Stability: flips counted by hand on faces made for it, films whose changes are known, and a real model."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from mien import FaceSet, InputError
from mien.evaluation.stability import (
    CHANGES,
    FPS,
    FRAMES,
    Move,
    Stability,
    between_seeds,
    changed,
    film_flips,
    film_of,
    moved,
    shown,
    stability,
)
from mien.images import Pixels
from mien.labels import LabelSet
from mien.model import Model
from mien.predictions import Predictions
from mien.report.stability import seeds_sentence, stability_section, stability_sentences

N = 64
LABELS = ("dark", "bright")


def edges() -> list[Pixels]:
    """Faces of 48 pixels, dark to the left of column 24; every second one a column further, in each its own gray."""
    faces = []
    for i in range(N):
        face = np.full((48, 48), 10 + i, dtype=np.uint8)
        face[:, 24 + i % 2 * 6 :] = 240
        faces.append(face)
    return faces


def classify(crops: list[Pixels]) -> np.ndarray:
    """Bright or dark, by the pixel in the middle; surer where its neighbor says the same."""
    said = []
    for crop in crops:
        bright = float(crop[24, 24] > 128)
        said.append([0.9 - 0.8 * bright, 0.1 + 0.8 * bright])
    return np.array(said, dtype=np.float32)


@pytest.fixture(scope="module")
def faces() -> FaceSet:
    names = np.array([f"{i:032x}" for i in range(N)])
    return FaceSet(
        source="edges",
        label_set=LabelSet("edges", LABELS),
        store=np.stack(edges()),
        rows=np.arange(N),
        labels=np.zeros(N, dtype=np.int64),
        splits=np.full(N, "val"),
        names=names,
        hashes=names,
        shapes=np.full((N, 2), 48, dtype=np.int32),
        blank=np.zeros(N, dtype=bool),
        persons=np.zeros(N, dtype="<U1"),
        unreadable={},
    )


def test_a_shift_goes_one_way_by_whole_pixels_that_the_identity_decides() -> None:
    face = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    seen = set()
    for i in range(40):
        for change, step in (("shift_1", 1), ("shift_2", 2)):
            cut = changed(face, change, f"{i}")
            assert np.array_equal(cut, changed(face, change, f"{i}"))
            inner = slice(4, 44)
            ways = {
                (dx, dy): np.array_equal(cut[inner, inner], face[4 - dy : 44 - dy, 4 - dx : 44 - dx])
                for dx, dy in ((step, 0), (-step, 0), (0, step), (0, -step))
            }
            assert sum(ways.values()) == 1
            seen.add(next(way for way, here in ways.items() if here))
    assert len(seen) == 8


def test_sizes_turns_and_jpeg() -> None:
    square = np.zeros((96, 96, 3), dtype=np.uint8)
    square[28:68, 28:68] = 255
    area = {change: float(changed(square, change, "").mean()) / square.mean() for change in CHANGES}
    assert area["larger"] == pytest.approx(1.03**2, abs=0.01)
    assert area["smaller"] == pytest.approx(0.97**2, abs=0.01)
    bar = np.zeros((97, 97), dtype=np.uint8)
    bar[48, :] = 255
    left, right = (changed(bar, change, "")[:, 88].astype(float) for change in ("left", "right"))
    rows = np.arange(97)
    assert (left @ rows) / left.sum() == pytest.approx(48 - 40 * np.tan(np.radians(3)), abs=0.3)  # up on the right
    assert (right @ rows) / right.sum() == pytest.approx(48 + 40 * np.tan(np.radians(3)), abs=0.3)
    face = np.random.default_rng(1).integers(0, 256, (48, 48), dtype=np.uint8)
    for change, quality in (("jpeg_90", 90), ("jpeg_75", 75)):
        data = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        assert np.array_equal(changed(face, change, ""), cv2.imdecode(data, cv2.IMREAD_GRAYSCALE))
    assert np.array_equal(moved(face, Move()), face)


def test_flips_are_those_counted_by_hand(faces: FaceSet) -> None:
    card = Model.open("mien-tiny").card.model_copy(
        update={
            "labels": LABELS,
            "people": None,
            "truth": "labels",
            "temperature": 1.0,
            "threshold": 0.95,
            "sets": None,
            "shares": None,
        }
    )
    found = stability(classify, faces, card, "val")
    assert (found.split, found.n, found.of) == ("val", N, N)
    (head,) = found.heads
    own = classify(edges()).argmax(axis=1)
    by_hand = {
        change: sum(
            int(classify([changed(face, change, f"{i:032x}")]).argmax()) != own[i] for i, face in enumerate(edges())
        )
        for change in CHANGES
    }
    assert {one.change: one.share.value * N for one in head.changes} == by_hand
    assert by_hand["jpeg_90"] == 0
    # Only faces with the edge at the middle flip, and only when they go to the right: about an eighth.
    right = sum(
        np.array_equal(changed(face, "shift_1", f"{i:032x}")[:, 30], face[:, 29]) for i, face in enumerate(edges())
    )
    assert 0 < by_hand["shift_1"] <= right
    shift = next(one.share for one in head.changes if one.change == "shift_1")
    assert (shift.low, shift.high) == pytest.approx(proportion_confint(by_hand["shift_1"], N, method="wilson"))
    assert head.mean.value == pytest.approx(sum(by_hand.values()) / N / len(CHANGES))
    assert head.any.value >= max(by_hand.values()) / N
    assert head.sure is None  # no answer is surer than .95
    assert Stability.model_validate_json(found.model_dump_json()) == found


def film_like(answers: str) -> np.ndarray:
    """A film in which `a` and `b` are told frame by frame, with .7."""
    return np.array([[0.7, 0.3] if one == "a" else [0.3, 0.7] for one in answers], dtype=np.float32)


def test_changes_a_second_by_hand() -> None:
    flickers, still, turns = film_like("ab" * 13), film_like("a" * 26), film_like("a" * 13 + "b" * 13)
    found = film_flips([flickers, still, turns], ("a", "b"), fps=25)
    assert found.seconds == 1
    assert found.raw.value == pytest.approx((25 + 0 + 1) / 3)
    assert found.still_raw.value == pytest.approx(1 / 3)
    # The flicker is gone, the change that lasts is shown.
    assert [len(set(shown(film, ("a", "b"), 25))) for film in (flickers, still, turns)] == [1, 1, 2]
    assert found.smoothed.value == pytest.approx(1 / 3)
    assert found.saved.value == pytest.approx(25 / 3)
    assert shown(flickers, ("a", "b"), 25, smooth_s=0.0) == list("ab" * 13)


def test_films_are_of_one_face_that_wanders() -> None:
    face = cv2.GaussianBlur(np.random.default_rng(2).integers(0, 256, (48, 48), dtype=np.uint8), (0, 0), 3)
    film = film_of(face, np.random.default_rng(0))
    assert len(film) == FRAMES
    assert FRAMES / FPS == 2
    assert all(not np.array_equal(a, b) for a, b in pairwise(film))
    assert np.abs(np.mean(film, axis=0) - face)[8:40, 8:40].mean() < 3
    again = film_of(face, np.random.default_rng(0))
    assert all(np.array_equal(a, b) for a, b in zip(film, again, strict=True))


def told(answers: list[int], first: str = "0") -> Predictions:
    n, no = len(answers), np.zeros(len(answers), dtype=bool)
    names = np.array([f"{first}{i}" for i in range(n)])
    probs = np.eye(3, dtype=np.float32)[answers]
    return Predictions("val", ("a", "b", "c"), names, names, np.zeros(n, dtype=np.int64), probs, no, no)


def test_seeds_by_hand() -> None:
    found = between_seeds({"s0": told([0, 1, 2, 0]), "s1": told([0, 1, 1, 1]), "s2": told([0, 1, 2, 2])})
    # By pairs: 0 and 1 differ on two faces, 0 and 2 on one, 1 and 2 on two.
    assert found.share.value == pytest.approx((2 / 4 + 1 / 4 + 2 / 4) / 3)
    assert found.all_agree.value == 0.5
    assert seeds_sentence(found).startswith("Of runs that differ by their seed (s0, s1 and s2; n = 4) two answer")
    with pytest.raises(InputError, match="at least two"):
        between_seeds({"s0": told([0])})
    with pytest.raises(InputError, match="other faces"):
        between_seeds({"s0": told([0, 1]), "s1": told([0, 1], "1")})


def test_no_face_is_told(faces: FaceSet) -> None:
    card = Model.open("mien-tiny").card
    with pytest.raises(InputError, match="no face"):
        stability(classify, faces.keep(np.arange(0)), card, "val")


@pytest.mark.slow
def test_a_real_model_on_real_faces(real_data: Path) -> None:
    model = Model.open("mien-tiny")
    faces = FaceSet.open(real_data / "fer2013.zip", size=48).select("val")
    found = stability(model.outputs, faces, model.card, "val", most=300)
    assert [head.truth for head in found.heads] == ["labels", "people"]
    for head in found.heads:
        assert 0.01 < head.mean.value < 0.15
        assert head.sure
        assert head.sure.value < head.mean.value / 2  # unsure answers are the ones that flip
        assert head.any.value > head.mean.value
        assert head.film.smoothed.value < head.film.raw.value / 3
        assert head.film.saved.low > 0
    section = stability_section(found)
    assert len(stability_sentences(found)) == 4
    assert section.tables[0].rows[0][0].text == "Shifted by 1 pixel of 48"
    assert section.tables[0].rows[7][0].text == "Saved again as JPEG, quality 75"
